"""What is built from a checkout, and that all three ways to use it import: wheel, editable install, no install."""

import os
import pathlib
import shutil
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser

import numpy as np
import programs
import pytest
from programs import ROOT, environment_without

import fastfnn

SITE_PACKAGES = pathlib.Path(np.__file__).parents[1]
RELEASE = f"fastfnn-{fastfnn.__version__}"

# What a checkout consists of, without .git and without what was built or cached in it.
TOP_LEVEL = (
    *(".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CODE_OF_CONDUCT.md"),
    *("CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "NOTES.ja.md", "NOTES.md", "README.ja.md", "README.md"),
    "SECURITY.md",
    *("asv.conf.json", "benchmarks", "docs", "examples", "fastfnn", "kernels", "pyproject.toml", "tests", "tools"),
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
    extras = {"plot", "sklearn", "tables", "onnx", "peers", "docs", "dev"}
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
