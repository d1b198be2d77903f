"""What is built from a checkout, that all three ways to use it import (wheel, editable install, no install), and that
the files that describe the package agree.
"""

import os
import pathlib
import re
import shutil
import sys
import tarfile
import tomllib
import venv
import zipfile
from email.message import Message
from email.parser import Parser

import numpy as np
import programs
import pytest
import yaml
from programs import ROOT, environment_without

import fastfnn

SITE_PACKAGES = pathlib.Path(np.__file__).parents[1]
RELEASE = f"fastfnn-{fastfnn.__version__}"

# What a checkout consists of, without .git and without what was built or cached in it.
TOP_LEVEL = (
    *(".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md"),
    *("CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "NOTES.ja.md", "NOTES.md", "README.ja.md", "README.md"),
    *("SECURITY.md", "asv.conf.json", "benchmarks", "conda", "docs", "examples", "fastfnn", "kernels"),
    *("pyproject.toml", "tests", "tools"),
)
LITTER = shutil.ignore_patterns("__pycache__", ".*_checkpoints", ".*_cache", ".asv", "_build")

# Prints where a package was imported from, after a kernel has been found in it.
IMPORT = "import fastfnn, fastfnn.kernels as k; k.affine_forward; print(fastfnn.__file__, k.__file__, sep='\\n')"

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="the sources are not beside the tests")


def run(*command: str | pathlib.Path, cwd: pathlib.Path, **variables: str) -> str:
    """The output of a command, in an environment that leads neither to the checkout nor to a package index."""
    return programs.run(*command, cwd=cwd, environment=environment_without("PYTHON", "PIP_", "COV_", **variables))


def copy_checkout(target: pathlib.Path) -> pathlib.Path:
    target.mkdir()
    for name in TOP_LEVEL:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, symlinks=True, ignore=LITTER)
        elif (ROOT / name).exists():  # a folder may still be empty, and Git knows no empty folders
            shutil.copy(ROOT / name, target)
    return target


def build(source: pathlib.Path, out: pathlib.Path, *kinds: str) -> pathlib.Path:
    run(sys.executable, "-m", "build", "--no-isolation", *kinds, "--outdir", out, source, cwd=out.parent)
    return out


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """Name and content of all that is in the wheel in `folder`."""
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the sdist and the wheel, both built from a checkout."""
    folder = tmp_path_factory.mktemp("packaging")
    return build(copy_checkout(folder / "checkout"), folder / "dist", "--sdist", "--wheel")


@pytest.fixture(scope="module")
def wheel(built: pathlib.Path) -> dict[str, bytes]:
    return contents(built)


@pytest.fixture(scope="module")
def sdist(built: pathlib.Path) -> pathlib.Path:
    """The sdist, unpacked."""
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(built.parent, filter="data")
    return built.parent / RELEASE


@pytest.fixture(scope="module")
def metadata(wheel: dict[str, bytes]) -> Message:
    return Parser().parsestr(wheel[f"{RELEASE}.dist-info/METADATA"].decode())


# What is in them


def test_wheel_holds_the_package_and_nothing_else(wheel):
    paths = [path for path in (ROOT / "fastfnn").rglob("*.py") if "kernels" not in path.parts]
    package = {path.relative_to(ROOT).as_posix() for path in paths}
    kernels = {f"fastfnn/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "kernels").rglob("*.py")}
    data = {"fastfnn/py.typed", "fastfnn/data/mnist10k.npz", "fastfnn/data/README.md"}
    info = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert package and kernels
    assert set(wheel) == package | kernels | data | {f"{RELEASE}.dist-info/{name}" for name in info}
    assert wheel["fastfnn/data/mnist10k.npz"] == (ROOT / "fastfnn/data/mnist10k.npz").read_bytes()


def test_wheel_installs_no_top_level_kernels(wheel):
    assert wheel[f"{RELEASE}.dist-info/top_level.txt"].split() == [b"fastfnn"]


def test_metadata(metadata):
    assert (metadata["Name"], metadata["Version"]) == ("fastfnn", fastfnn.__version__)
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    requirements = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert {line.split("<")[0].split(">")[0] for line in requirements} == {"numpy", "numba", "safetensors", "tqdm"}
    extras = {"plot", "sklearn", "tables", "onnx", "mpi", "openmpi", "peers", "docs", "release", "dev"}
    assert set(metadata.get_all("Provides-Extra")) == extras


def test_command(wheel):
    assert b"fastfnn = fastfnn.cli:main" in wheel[f"{RELEASE}.dist-info/entry_points.txt"]


def test_sdist_holds_the_checkout_once(sdist):
    checkout = copy_checkout(sdist.parent / "expected")
    (checkout / "fastfnn/kernels").unlink(missing_ok=True)
    want = {path.relative_to(checkout) for path in checkout.rglob("*") if path.is_file()}
    got = {path.relative_to(sdist) for path in sdist.rglob("*") if path.is_file()}
    added = {path for path in got if path.name in ("PKG-INFO", "setup.cfg") or path.parts[0] == "fastfnn.egg-info"}
    assert got - added == want


# The same wheel comes from every form of the sources


def test_wheel_from_sdist_is_the_same(sdist, wheel, tmp_path):
    assert contents(build(sdist, tmp_path / "dist", "--wheel")) == wheel


@pytest.mark.parametrize("text", [None, "../kernels"], ids=["missing", "text"])
def test_wheel_without_symlink_is_the_same(text, wheel, tmp_path):
    checkout = copy_checkout(tmp_path / "checkout")
    (checkout / "fastfnn/kernels").unlink(missing_ok=True)
    if text:  # what Git writes where it may not make links
        (checkout / "fastfnn/kernels").write_text(text)
    assert contents(build(checkout, tmp_path / "dist", "--wheel")) == wheel


# Every way to install it imports


def test_installed_wheel_imports(built, tmp_path):
    (path,) = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    run(*pip, "--target", tmp_path / "site", path, cwd=tmp_path)
    search = os.pathsep.join(map(str, (tmp_path / "site", SITE_PACKAGES)))
    package, kernels = run(sys.executable, "-c", IMPORT, cwd=tmp_path, PYTHONPATH=search).splitlines()
    assert pathlib.Path(package) == tmp_path / "site/fastfnn/__init__.py"
    assert pathlib.Path(kernels) == tmp_path / "site/fastfnn/kernels/__init__.py"


@pytest.mark.parametrize("symlink", [True, False])
def test_editable_install_imports(symlink, tmp_path):
    checkout = copy_checkout(tmp_path / "checkout")
    if not symlink:
        (checkout / "fastfnn/kernels").unlink(missing_ok=True)
    # a virtual environment with the dependencies of this one, but not with the fastfnn that is installed here
    venv.create(tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    site = pathlib.Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    )
    for entry in SITE_PACKAGES.iterdir():
        if not entry.name.startswith(("fastfnn", "__")):
            (site / entry.name).symlink_to(entry)
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--no-build-isolation", "--ignore-installed", "--editable", checkout, cwd=tmp_path)
    package, kernels = run(python, "-c", IMPORT, cwd=tmp_path).splitlines()
    assert pathlib.Path(package) == checkout / "fastfnn/__init__.py"
    assert pathlib.Path(kernels).resolve() == checkout / "kernels/__init__.py"


@pytest.mark.skipif(not (ROOT / "fastfnn/kernels").is_dir(), reason="a checkout without symlinks must be installed")
def test_uninstalled_checkout_imports(tmp_path):
    search = os.pathsep.join(map(str, (ROOT, SITE_PACKAGES)))
    package, kernels = run(sys.executable, "-c", IMPORT, cwd=tmp_path, PYTHONPATH=search).splitlines()
    assert pathlib.Path(package) == ROOT / "fastfnn/__init__.py"
    assert pathlib.Path(kernels) == ROOT / "fastfnn/kernels/__init__.py"


def test_kernels_do_not_import_under_another_name(tmp_path):
    attempt = "try:\n    import kernels\nexcept ImportError as error:\n    print(error)"
    assert "import fastfnn.kernels" in run(sys.executable, "-c", attempt, cwd=tmp_path, PYTHONPATH=str(ROOT))


# The files that describe the package agree. fastfnn.__version__ is the one place of the version: pyproject.toml and
# docs/conf.py read it, and what cannot is compared with it here.


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def project() -> dict:
    return tomllib.loads(read("pyproject.toml"))["project"]


def recipe() -> dict:
    return yaml.safe_load(read("conda/recipe.yaml"))


def split_requirement(line: str) -> tuple[str, str]:
    """The name and the versions of a requirement of pip or conda, without a marker."""
    match = re.fullmatch(r"([\w-]+) ?([^;]*)(;.*)?", line)
    assert match, line
    return match[1], match[2].strip()


def test_version_is_the_same_everywhere():
    citation = yaml.safe_load(read("CITATION.cff"))["version"]
    released = re.search(r"^## \[(\d[^\]]*)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert "version" in project()["dynamic"]
    assert [citation, recipe()["context"]["version"], released[1]] == [fastfnn.__version__] * 3


def test_classifiers_name_each_python_that_requires_python_permits():
    minors = re.findall(r"Programming Language :: Python :: 3\.(\d+)", "\n".join(project()["classifiers"]))
    oldest = int(re.fullmatch(r">=3\.(\d+)", project()["requires-python"])[1])
    assert list(map(int, minors)) == list(range(oldest, oldest + len(minors)))


def test_conda_recipe_requires_what_the_package_requires():
    assert recipe()["package"]["name"] == project()["name"]
    assert f">={recipe()['context']['python_min']}" == project()["requires-python"]
    python, *others = recipe()["requirements"]["run"]
    assert python == "python >=${{ python_min }}"
    assert dict(map(split_requirement, others)) == dict(map(split_requirement, project()["dependencies"]))


def test_conda_recipe_bounds_the_optional_dependencies():
    extras = project()["optional-dependencies"]
    want = dict(split_requirement(line) for name in ("onnx", "plot", "sklearn", "tables") for line in extras[name])
    want["matplotlib-base"] = want.pop("matplotlib")  # conda's name of Matplotlib without a window toolkit
    assert dict(map(split_requirement, recipe()["requirements"]["run_constraints"])) == want


def test_conda_recipe_builds_the_command_and_the_license():
    (command,) = recipe()["build"]["python"]["entry_points"]
    assert dict([command.split(" = ")]) == project()["scripts"]
    about = recipe()["about"]
    assert (about["summary"], about["license"]) == (project()["description"], project()["license"])
    assert [about["license_file"]] == project()["license-files"]
    assert (ROOT / about["license_file"]).is_file()
    build = tomllib.loads(read("pyproject.toml"))["build-system"]["requires"]
    assert set(map(split_requirement, build)) <= set(map(split_requirement, recipe()["requirements"]["host"][1:]))


def test_citation_has_what_the_format_requires():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "version"} <= set(citation)
    assert (citation["type"], citation["license"]) == ("software", project()["license"])
    assert citation["authors"] == project()["authors"]


@pytest.mark.parametrize("path", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md")), ids=lambda path: path.stem)
def test_issue_templates_say_what_they_are_for(path):
    _, head, body = path.read_text("utf-8").split("---\n", 2)
    assert {"name", "about", "labels"} <= set(yaml.safe_load(head))
    assert body.strip()


def test_pre_commit_runs_targets_that_exist():
    hooks = [hook for repo in yaml.safe_load(read(".pre-commit-config.yaml"))["repos"] for hook in repo["hooks"]]
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))
    assert {hook["entry"] for hook in hooks} <= {f"make {target}" for target in targets}
    assert "make lint" in {hook["entry"] for hook in hooks}
    assert "make lint" in read(".ci/run")
