"""The modules of fastfnn import each other in one direction."""

import ast
import graphlib
import pathlib

import pytest

import fastfnn

PACKAGE = pathlib.Path(fastfnn.__file__).parent
MODULES = {path.stem: path.read_text("utf-8") for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
for folder in ("callbacks", "metrics"):  # each counts as one module
    MODULES[folder] = "\n".join(path.read_text("utf-8") for path in sorted((PACKAGE / folder).glob("*.py")))


def imported(source, names):
    """Which of the modules `names` of fastfnn a source imports, anywhere in it, also for type checkers only."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "fastfnn":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastfnn."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("fastfnn.")}
    return found & set(names)


def order(sources):
    """The modules, each after all that it imports; graphlib.CycleError if two import each other."""
    edges = {name: imported(source, sources) - {name} for name, source in sources.items()}
    return list(graphlib.TopologicalSorter(edges).static_order())


def test_modules_do_not_import_each_other_in_a_circle():
    assert sorted(order(MODULES)) == sorted(MODULES)


def test_callbacks_and_the_training_loop_do_not_know_the_network():
    for name in ("callbacks", "fitting", "files", "folding", "metrics"):
        assert not imported(MODULES[name], ("base", "network")), name


@pytest.mark.parametrize(
    "source",
    [
        "from fastfnn import a",
        "from fastfnn.a import f",
        "import fastfnn.a",
        "def f():\n    from fastfnn.a import f",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fastfnn.a import f",
    ],
)
def test_a_circle_is_found(source):
    assert imported(source, ("a", "b")) == {"a"}
    with pytest.raises(graphlib.CycleError):
        order({"a": "from fastfnn.b import g", "b": source})
