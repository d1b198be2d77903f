"""Who may import whom. The rules are read off the source, so that they hold for code that no test runs, too."""

import ast
import graphlib
import os
import pathlib
import subprocess
import sys

import pytest

import fastfnn

PACKAGE = pathlib.Path(fastfnn.__file__).parent
KERNELS = pathlib.Path(fastfnn.backend.kernels.__file__).parent
STANDARD_LIBRARY = frozenset(sys.stdlib_module_names)


def imports(source: str) -> set[str]:
    """The full name of everything that `source` imports, anywhere in it; a relative import keeps its leading dots."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (f"{node.module}." if node.module else "")
            names.update(base + alias.name for alias in node.names)
    return names


def foreign_to_kernels(source: str) -> set[str]:
    """What a module of kernels imports and should not: all but numpy, numba, llvmlite and, relatively, its siblings."""
    allowed = STANDARD_LIBRARY | {"numpy", "numba", "llvmlite"}
    siblings = {name for name in imports(source) if name.startswith(".") and not name.startswith("..")}
    return {name for name in imports(source) - siblings if name.split(".")[0] not in allowed}


def foreign_to_reference(source: str) -> set[str]:
    """What the reference imports and should not: all but numpy and Python's own library."""
    return {name for name in imports(source) if name.split(".")[0] not in STANDARD_LIBRARY | {"numpy"}}


def kernels_reached(source: str) -> set[str]:
    """What a module of fastfnn imports from the kernels, under any of their names."""
    return {name for name in imports(source) if name.lstrip(".").removeprefix("fastfnn.").split(".")[0] == "kernels"}


def products(source: str) -> list[str]:
    """The matrix products that a module leaves to NumPy, and so to BLAS, in the order of the source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in ("dot", "vdot", "inner", "matmul", "einsum", "tensordot"):
            found.append(node.attr)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            found.append("@")
    return found


def import_order(sources: dict[str, str]) -> list[str]:
    """The modules of one folder, each after all that it imports; raises graphlib.CycleError where there is none."""
    siblings = {
        module: {name.split(".")[1] for name in imports(source) if name.startswith(".")} & set(sources)
        for module, source in sources.items()
    }
    return list(graphlib.TopologicalSorter(siblings).static_order())


def loaded_by(statement: str) -> set[str]:
    """The top-level packages that a fresh Python has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-P", "-c", code]  # -P: not from the working directory but from where it was found here
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    return set(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split())


def modules(folder: pathlib.Path) -> list:
    paths = sorted(folder.rglob("*.py"))
    assert paths
    return [pytest.param(path, id=path.stem) for path in paths]


@pytest.mark.parametrize("path", modules(KERNELS))
def test_kernels_import_only_the_compiler_and_each_other(path):
    assert foreign_to_kernels(path.read_text("utf-8")) == set()


def test_kernels_do_not_import_in_a_circle():
    sources = {path.stem: path.read_text("utf-8") for path in KERNELS.glob("*.py")}
    order = import_order(sources)
    assert set(order) == set(sources)
    assert order[-1] == "__init__"  # it gathers the others, and so imports them


def test_reference_imports_only_numpy():
    assert foreign_to_reference((PACKAGE / "reference.py").read_text("utf-8")) == set()


@pytest.mark.parametrize("path", modules(PACKAGE))
def test_only_the_backend_reaches_the_kernels(path):
    reached = kernels_reached(path.read_text("utf-8"))
    assert bool(reached) == (path.stem == "backend"), reached


def test_import_is_light():
    loaded = loaded_by("import fastfnn")
    assert "fastfnn" in loaded
    assert loaded.isdisjoint({"matplotlib", "tqdm", "safetensors", "torch", "sklearn"})


# The rules can be broken: what each of them says to code that breaks it.


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (
            "import math, numba.core.caching\nfrom numpy import exp\nfrom .jit import inner\nfrom . import threads",
            set(),
        ),
        ("import scipy.special", {"scipy.special"}),
        ("from fastfnn.backend import BACKENDS", {"fastfnn.backend.BACKENDS"}),
        ("from .. import backend", {"..backend"}),
        ("from ..reference import affine_forward", {"..reference.affine_forward"}),
        ("import fastfnn.kernels.jit", {"fastfnn.kernels.jit"}),
        ("def f():\n    if True:\n        import torch", {"torch"}),
    ],
)
def test_foreign_to_kernels_finds(source, found):
    assert foreign_to_kernels(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import numpy as np\nfrom numpy.linalg import norm", set()),
        ("import math", set()),
        ("import scipy.special", {"scipy.special"}),
        ("from . import kernels", {".kernels"}),
        ("from numba import njit", {"numba.njit"}),
    ],
)
def test_foreign_to_reference_finds(source, found):
    assert foreign_to_reference(source) == found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from fastfnn import backend, reference\nfrom .reference import affine_forward", set()),
        ("import kernels", {"kernels"}),
        ("import fastfnn.kernels.jit as jit", {"fastfnn.kernels.jit"}),
        ("from fastfnn import backend, kernels", {"fastfnn.kernels"}),
        ("from fastfnn.kernels import affine_forward", {"fastfnn.kernels.affine_forward"}),
        ("def f():\n    from .kernels.jit import entry", {".kernels.jit.entry"}),
        ("from . import kernels", {".kernels"}),
    ],
)
def test_kernels_reached_finds(source, found):
    assert kernels_reached(source) == found


def test_the_api_leaves_no_product_to_blas():
    """Whose threads would go on to spin on the cores that kernels need next."""
    found = {path.name: products(path.read_text("utf-8")) for path in PACKAGE.glob("*.py")}
    assert found.pop("reference.py")
    assert found.pop("fn.py") == ["@"]  # of integers, which BLAS does not know
    assert not any(found.values())


def test_import_order_finds_a_circle():
    assert import_order({"a": "from .b import f", "b": "from . import c", "c": "import a"}) == ["c", "b", "a"]
    with pytest.raises(graphlib.CycleError):
        import_order({"a": "from .b import f", "b": "def f():\n    from . import c", "c": "from .a import g"})


def test_loaded_by_finds():
    assert "tqdm" in loaded_by("import tqdm.auto")
