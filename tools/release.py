"""Is this commit ready to be released? Checks it, and leaves what is to be uploaded in dist/: make release-check

    python tools/release.py
    python tools/release.py --offline      dependencies are those of this environment, not a package index's

Everything is made from a clone of HEAD, so that nothing of the working tree gets into it. docs/release.md lists the
steps around this one. The exit status is 1 if a check failed, else 0; all checks run, and each says what to do.
"""

import argparse
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[1]
URLS = ("Homepage", "Documentation", "Source", "Issues", "Changelog")  # labels that package indexes show with a symbol
LINK = re.compile(r"!?\[(?:`[^`]*`|[^\[\]])*\]\(([^()\s#]+)[^()]*\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

# Runs where only the wheel is installed: the data are in it, the kernels compile, the network learns.
TRAIN = """
import pathlib, sys, fastfnn as fnn
assert sys.prefix in map(str, pathlib.Path(fnn.__file__).parents), fnn.__file__
(x, t), (x_test, t_test) = fnn.datasets.load_mnist()
net = fnn.FNN((784, 50, 10), seed=0)
net.fit(x, t, epochs=5, batch_size=100, optimizer=fnn.Adam())
assert net.accuracy(x_test, t_test) > 0.9
print(fnn.__version__)
"""


class CheckError(Exception):
    """A check failed; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Release:
    """What the checks share: a clone of HEAD, its version, and the folder for sdist and wheel."""

    clone: pathlib.Path
    version: str
    dist: pathlib.Path
    offline: bool

    def read(self, name: str) -> str:
        """A text file of the clone."""
        return (self.clone / name).read_text("utf-8")


def run(*command: str | pathlib.Path, cwd: pathlib.Path = ROOT) -> str:
    """What a command prints; CheckError with the end of it if it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = done.stdout.strip().splitlines()[-12:]
        raise CheckError("\n".join([" ".join(map(str, command)), *lines]))
    return done.stdout


def check_working_tree(release: Release) -> None:
    """all changes are committed"""
    if changed := run("git", "status", "--porcelain").strip():
        raise CheckError(f"commit or remove these files: the release is made of HEAD\n{changed}")


def check_urls(release: Release) -> None:
    """[project.urls] is complete, and the other files have its addresses"""
    urls = tomllib.loads(release.read("pyproject.toml"))["project"].get("urls", {})
    if missing := [label for label in URLS if label not in urls]:
        raise CheckError(f"[project.urls] of pyproject.toml has no {', '.join(missing)}: add the public addresses")
    for name, line in (("CITATION.cff", "repository-code:"), ("conda/recipe.yaml", "homepage:")):
        if line not in release.read(name):
            raise CheckError(f"{name} has no {line[:-1]}: add the address of [project.urls]")


def check_readme_links(release: Release) -> None:
    """the links of README.md work on a package index"""
    text = CODE_BLOCK.sub("", release.read("README.md"))
    relative = sorted({target for target in LINK.findall(text) if not re.match(r"https?://|mailto:", target)})
    if relative:
        raise CheckError(
            "a package index shows README.md without the files beside it: "
            f"write these links with the public address: {', '.join(relative)}"
        )


def check_changelog(release: Release) -> None:
    """the changelog and the citation have the date of this version"""
    heads = re.findall(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?$", release.read("CHANGELOG.md"), re.MULTILINE)
    unreleased = re.search(r"^## \[Unreleased\]\n(.*?)^## ", release.read("CHANGELOG.md"), re.MULTILINE | re.DOTALL)
    if unreleased and unreleased[1].strip():
        raise CheckError("CHANGELOG.md has entries under Unreleased: move them to the section of a new version")
    dates = {version: date for version, date in heads if version != "Unreleased"}
    if not dates.get(release.version):
        raise CheckError(f"CHANGELOG.md has no section '## [{release.version}] - YYYY-MM-DD'")
    if f"date-released: {dates[release.version]}" not in release.read("CITATION.cff").replace('"', ""):
        raise CheckError(f"CITATION.cff has no 'date-released: {dates[release.version]}', the date of CHANGELOG.md")


def check_tag(release: Release) -> None:
    """the tag of the version is free"""
    if run("git", "tag", "--list", f"v{release.version}", cwd=release.clone).strip():
        raise CheckError(f"there is a tag v{release.version} already: raise fastfnn.__version__")


def check_recipe(release: Release) -> None:
    """rattler-build reads the conda recipe"""
    try:
        import rattler_build
    except ImportError:
        raise CheckError("rattler-build is not installed: pip install -e '.[release]'") from None
    try:
        rattler_build.Stage0Recipe.from_file(release.clone / "conda/recipe.yaml").render()
    except rattler_build.RattlerBuildError as error:
        raise CheckError(f"conda/recipe.yaml: {error}") from error


def check_build(release: Release) -> None:
    """sdist and wheel are built, the sdist holds the files of Git, and twine accepts both and can show the README"""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", release.dist, release.clone)
    wheel, sdist = (release.dist / f"fastfnn-{release.version}{end}" for end in ("-py3-none-any.whl", ".tar.gz"))
    if sorted(release.dist.iterdir()) != [wheel, sdist]:
        raise CheckError(
            f"expected {wheel.name} and {sdist.name}, got {[path.name for path in release.dist.iterdir()]}"
        )
    with tarfile.open(sdist) as archive:
        packed = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    packed = {name for name in packed if name not in ("PKG-INFO", "setup.cfg") and ".egg-info/" not in name}
    committed = set(run("git", "ls-files", cwd=release.clone).splitlines()) - {"fastfnn/kernels"}  # a link to kernels/
    if difference := sorted(packed ^ committed):
        raise CheckError(
            f"MANIFEST.in: these files are in Git or in the sdist, but not in both: {', '.join(difference)}"
        )
    if "warning" in (output := run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)).lower():
        raise CheckError(output)


def check_packaging(release: Release) -> None:
    """versions and requirements agree, the wheel holds what it should, and the sdist gives the same wheel"""
    # The clone's fastfnn is to be imported, not the one that is installed here.
    code = "import sys; sys.path.insert(0, sys.argv[1]); import fastfnn, pytest; sys.exit(pytest.main(sys.argv[2:]))"
    options = ("--quiet", "-p", "no:cacheprovider")
    run(sys.executable, "-c", code, release.clone, *options, "tests/tools/test_packaging.py", cwd=release.clone)


def check_install(release: Release) -> None:
    """the wheel installs into an empty environment and trains there"""
    (wheel,) = release.dist.glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        python = pathlib.Path(folder, "venv/bin/python")
        run(sys.executable, "-m", "venv", "--without-pip", f"{folder}/venv")
        pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet")
        if release.offline:
            run(*pip, "--no-deps", "--no-index", wheel)
            purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
            here = run(sys.executable, "-c", "import numpy; print(numpy.__path__[0])").strip()
            pathlib.Path(purelib, "dependencies.pth").write_text(str(pathlib.Path(here).parent))
        else:
            run(*pip, wheel)
        printed = run(python, "-c", TRAIN, cwd=pathlib.Path(folder)).splitlines()[-1]
    if printed != release.version:
        raise CheckError(f"the installed fastfnn says that it is {printed}")


CHECKS: tuple[Callable[[Release], None], ...] = (
    *(check_working_tree, check_urls, check_readme_links, check_changelog, check_tag),
    *(check_recipe, check_build, check_packaging, check_install),
)


def version_of(folder: pathlib.Path) -> str:
    """fastfnn.__version__, where every other place has it from."""
    match = re.search(r'^__version__ = "(.+)"$', (folder / "fastfnn/__init__.py").read_text("utf-8"), re.MULTILINE)
    assert match
    return match[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--offline", action="store_true", help="take dependencies from this environment")
    args = made.parse_args(arguments)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        clone, built = pathlib.Path(folder, "clone"), pathlib.Path(folder, "dist")
        run("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone)
        release = Release(clone, version_of(clone), built, args.offline)
        print(f"fastfnn {release.version}, {run('git', 'rev-parse', '--short', 'HEAD').strip()}", flush=True)
        for check in CHECKS:
            try:
                check(release)
            except CheckError as error:
                failed.append(check)
                print(f"FAILED  {check.__doc__}\n{textwrap.indent(str(error), ' ' * 8)}", flush=True)
            else:
                print(f"ok      {check.__doc__}", flush=True)
        if not failed:
            shutil.rmtree(ROOT / "dist", ignore_errors=True)
            shutil.copytree(built, ROOT / "dist")
            for path in sorted((ROOT / "dist").iterdir()):
                print(f"dist/{path.name}  sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    print(f"{len(failed)} of {len(CHECKS)} checks failed" if failed else "ready: docs/release.md goes on from here")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
