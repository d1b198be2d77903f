"""Who may import whom. The rules are read off the source, so that they hold for code that no test runs, too."""

import ast
import graphlib
import os
import pathlib
import re
import subprocess
import sys

import pytest

import fastfnn

PACKAGE = pathlib.Path(fastfnn.__file__).parent
KERNELS = pathlib.Path(fastfnn.backend.kernels.__file__).parent
SOURCES = sorted(KERNELS.rglob("*.py"))
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


# The sub-packages of kernels/ in the order in which they build on each other: each imports only those before it.
LAYERS = ("compiler", "workers", "elementwise", "products", "network", "training", "tabular")


def foreign_to_kernels(source: str) -> set[str]:
    """What a module of kernels imports from outside and should not: all but numpy, numba, llvmlite and kernels."""
    allowed = STANDARD_LIBRARY | {"numpy", "numba", "llvmlite"}
    return {name for name in imports(source) if not name.startswith(".") and name.split(".")[0] not in allowed}


def imported_kernels(path: pathlib.PurePath, source: str) -> set[str]:
    """The modules of kernels/ that a module at `path`, relative to kernels/, imports: their paths without the suffix.

    An import that leaves kernels/ is given as "..".
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = path.parent
        if node.level - 1 > len(folder.parts):
            found.add("..")
            continue
        for _ in range(node.level - 1):
            folder = folder.parent
        module = folder.joinpath(*(node.module or "").split("."))
        is_folder = module.as_posix() in (".", *LAYERS) or not node.module
        names = [module / alias.name for alias in node.names] if is_folder else [module]
        found |= {name.as_posix() for name in names}
    return found


def upward(path: pathlib.PurePath, source: str) -> set[str]:
    """What a module of kernels/ imports from a sub-package that builds on its own."""
    if len(path.parts) == 1:  # kernels/__init__.py gathers all; tuning.py imports none of the others
        return imported_kernels(path, source) if path.stem != "__init__" else set()
    below = LAYERS[: LAYERS.index(path.parts[0]) + 1]
    return {name for name in imported_kernels(path, source) if name.split("/")[0] not in (*below, "tuning")}


def foreign_to_reference(source: str) -> set[str]:
    """What the reference imports and should not: all but numpy, Python's own library and its own modules."""
    own = {name for name in imports(source) if re.match(r"\.\w", name)}
    return {name for name in imports(source) - own if name.split(".")[0] not in STANDARD_LIBRARY | {"numpy"}}


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
    """Modules, by path without suffix, each after all that it imports; raises graphlib.CycleError if there is none."""
    edges = {name: imported_kernels(pathlib.PurePath(name), source) for name, source in sources.items()}
    return list(graphlib.TopologicalSorter(edges).static_order())


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
    sources = {path.relative_to(KERNELS).with_suffix("").as_posix(): path.read_text("utf-8") for path in SOURCES}
    order = import_order(sources)
    assert {name for name in order if not name.endswith("__init__")} == {
        name for name in sources if not name.endswith("__init__")
    }


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(KERNELS))) for path in SOURCES])
def test_kernels_import_only_downward(path):
    assert upward(path.relative_to(KERNELS), path.read_text("utf-8")) == set()


def test_every_folder_of_the_kernels_is_a_layer():
    folders = {path.relative_to(KERNELS).parts[0] for path in SOURCES if path.parent != KERNELS}
    assert folders == set(LAYERS)


@pytest.mark.parametrize("path", modules(PACKAGE / "reference"))
def test_reference_imports_only_numpy(path):
    assert foreign_to_reference(path.read_text("utf-8")) == set()


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
        ("import fastfnn.kernels.compiler.jit", {"fastfnn.kernels.compiler.jit"}),
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
        ("from .affine import affine_forward\nfrom . import losses", set()),
        ("from .. import kernels", {"..kernels"}),
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
        ("import fastfnn.kernels.compiler.jit as jit", {"fastfnn.kernels.compiler.jit"}),
        ("from fastfnn import backend, kernels", {"fastfnn.kernels"}),
        ("from fastfnn.kernels import affine_forward", {"fastfnn.kernels.affine_forward"}),
        ("def f():\n    from .kernels.compiler.jit import entry", {".kernels.compiler.jit.entry"}),
        ("from . import kernels", {".kernels"}),
    ],
)
def test_kernels_reached_finds(source, found):
    assert kernels_reached(source) == found


def test_the_api_leaves_no_product_to_blas():
    """Whose threads would go on to spin on the cores that kernels need next."""
    found = {path.name: products(path.read_text("utf-8")) for path in PACKAGE.glob("*.py")}
    assert found.pop("fn.py") == ["@"]  # of integers, which BLAS does not know
    assert found.pop("scaling.py") == ["einsum"]  # of each column with itself, in NumPy's own loop
    assert {name: operators for name, operators in found.items() if operators} == {}


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("products/tile.py", "from ..compiler.jit import inner\nfrom .blocks import PANELS", set()),
        ("products/tile.py", "from ..tuning import GRAIN", set()),
        ("products/tile.py", "def f():\n    from ..training.job import JOB", {"training/job"}),
        ("compiler/jit.py", "from ..workers import threads", {"workers/threads"}),
        ("elementwise/losses/run.py", "from ...compiler.memory import Rows\nfrom ..primitives import where", set()),
        ("elementwise/losses/run.py", "from ...network.layers import Layer", {"network/layers"}),
        ("elementwise/losses/run.py", "from ....backend import BACKENDS", {".."}),
        ("network/forward.py", "from ... import backend", {".."}),
        ("tuning.py", "from .compiler import processor", {"compiler/processor"}),
        ("__init__.py", "from .training.steps import train_steps", set()),
    ],
)
def test_upward_finds(path, source, found):
    assert upward(pathlib.PurePath(path), source) == found


def test_import_order_finds_a_circle():
    assert import_order({"network/a": "from .b import f", "network/b": "from ..compiler import c"}) == [
        "compiler/c",
        "network/b",
        "network/a",
    ]
    with pytest.raises(graphlib.CycleError):
        import_order({"network/a": "from .b import f", "network/b": "def f():\n    from . import a"})


def test_loaded_by_finds():
    assert "tqdm" in loaded_by("import tqdm.auto")
