"""The docstrings of fastfnn: their examples run, and they have the form that numpydoc expects."""

import ast
import doctest
import importlib
import inspect
import itertools
import pathlib

import pytest

import fastfnn

PACKAGE = pathlib.Path(fastfnn.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for pattern in ("*.py", "callbacks/*.py", "metrics/*.py")
    for path in PACKAGE.glob(pattern)
    if path.stem != "__init__"
)

# The sections of numpydoc in their order.
SECTIONS = (
    "Parameters", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes", "References", "Examples"
)  # fmt: skip
CLASS_SECTIONS = ("Parameters", "Attributes", *SECTIONS[1:])


def module(name):
    return fastfnn if name == "__init__" else importlib.import_module(f"fastfnn.{name}")


def documented(name):
    """The docstrings of a module, by the name of what they describe."""
    tree = ast.parse((PACKAGE / f"{name.replace('.', '/')}.py").read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return {getattr(node, "name", name): ast.get_docstring(node) for node in nodes if ast.get_docstring(node)}


def sections(text):
    """The headings of a docstring: lines with a line of as many dashes below."""
    lines = text.splitlines()
    return [line for line, below in itertools.pairwise(lines) if line and below == "-" * len(line)]


@pytest.mark.jit
@pytest.mark.parametrize("name", ["__init__", *MODULES])
def test_examples_give_what_they_show(name):
    result = doctest.testmod(module(name))
    assert result.failed == 0


def test_the_classes_that_users_start_with_have_examples():
    finder = doctest.DocTestFinder(recurse=False)
    for item in (fastfnn, fastfnn.FNN, fastfnn.FN, fastfnn.Activation, fastfnn.SGD, fastfnn.TwoLayerNet):
        assert any(test.examples for test in finder.find(item, item.__name__)), item


@pytest.mark.parametrize("name", MODULES)
def test_the_first_line_of_a_docstring_stands_alone(name):
    for what, text in documented(name).items():
        first, *rest = text.splitlines()
        assert first.endswith((".", ":", ",")), f"{what}: {first}"
        assert not first.startswith(("The same", "As ")), f"{what}: {first}"
        assert not rest or rest[0] == "" or not first.endswith("."), f"{what}: no empty line after the first"


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ("backend", "reference")])
def test_sections_of_docstrings_have_the_order_of_numpydoc(name):
    for what, text in documented(name).items():
        found = sections(text)
        order = CLASS_SECTIONS if "Attributes" in found else SECTIONS
        assert found == sorted(found, key=order.index), what


@pytest.mark.parametrize("name", fastfnn.__all__)
def test_every_public_name_is_documented(name):
    item = getattr(fastfnn, name)
    assert inspect.getdoc(item)
    if inspect.isclass(item):
        for method, value in vars(item).items():
            if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{method}"


@pytest.mark.parametrize("name", ["fit", "predict", "loss", "gradient", "save"])
def test_the_methods_of_fnn_document_every_parameter(name):
    method = getattr(fastfnn.FNN, name)
    text = inspect.getdoc(method)
    for parameter in list(inspect.signature(method).parameters)[1:]:
        listed = [line for line in text.splitlines() if " : " in line and parameter in line.split(" : ")[0].split(", ")]
        assert listed, parameter


def test_fnn_documents_every_parameter():
    text = inspect.getdoc(fastfnn.FNN)
    for parameter in inspect.signature(fastfnn.FNN).parameters:
        assert f"\n{parameter} : " in text, parameter
