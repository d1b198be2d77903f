"""The docstrings of fastfnn: their examples run, and those of public names have the form that numpydoc expects.

What is public is what the pages docs/reference/api-*.rst list: functions, and classes with their public methods and
properties. A method whose docstring says ``:meta private:`` is not public, nor is what another library defines.
"""

import ast
import dataclasses
import doctest
import functools
import importlib
import importlib.util
import inspect
import itertools
import pathlib
import re
import textwrap

import pytest

import fastfnn

PACKAGE = pathlib.Path(fastfnn.__file__).parent
PAGES = sorted((pathlib.Path(__file__).parents[2] / "docs/reference").glob("api-*.rst"))

# Files by the name of their module; "" is the package itself.
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix("."): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in ("kernels", "bench", "book")  # they have rules or tests of their own
}
WITH_EXAMPLES = [name for name, path in FILES.items() if ">>> " in path.read_text("utf-8")]
OPTIONAL = {"sklearn": "sklearn", "tables": "pandas", "tabular": "sklearn"}  # what a package cannot be imported without

# The sections of numpydoc in their order.
SECTIONS = (
    "Parameters", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes", "References", "Examples"
)  # fmt: skip
CLASS_SECTIONS = ("Parameters", "Attributes", *SECTIONS[1:])

# Checks of numpydoc that public names need not pass. All others they do.
NOT_CHECKED = {
    "ES01": "an extended summary: the first line says it, or the notes do",
    "SA01": "a section See Also: names in the text are links",
    "EX01": "examples: test_every_public_name_has_an_example allows them to be in the class",
}
NOT_CHECKED_FOR = {
    ("fastfnn.History", "PR01"): "a dataclass, whose parameters are its attributes; fit makes it",
    ("fastfnn.tables.TableModel", "PR01"): "not made by users: `load` and the command line make it",
    ("fastfnn.tables.TabularModel", "PR01"): "not made by users: `load` and the command line make it",
}
WITHOUT_EXAMPLE = {
    "fastfnn.tables.TableModel.save": "FNN.save has the same one",
    "fastfnn.tables.TableModel.predict_quantiles": "TabularModel has it: other models have no quantiles",
    "fastfnn.tables.TabularModel.save": "FNN.save has the same one",
    "fastfnn.tables.TabularModel.predict_proba": "TableModel has the same one",
    "fastfnn.tables.TabularModel.decide": "TableModel has the same one",
}


def module(name):
    package = name.split(".")[0]
    if package in OPTIONAL:
        pytest.importorskip(OPTIONAL[package])
    return importlib.import_module(f"fastfnn.{name}".rstrip("."))


def documented(name):
    """The docstrings of a module, by the name and the line of what they describe."""
    tree = ast.parse(FILES[name].read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds) and ast.get_docstring(node)]
    return {(getattr(node, "name", name), node.body[0].lineno): ast.get_docstring(node) for node in nodes}


def sections(text):
    """The headings of a docstring: lines with a line of as many dashes below."""
    lines = text.splitlines()
    return [line for line, below in itertools.pairwise(lines) if line and below == "-" * len(line)]


# What is public


def listed():
    """The names that the pages of the reference list."""
    for page in PAGES:
        package, inside = "", False
        for line in page.read_text("utf-8").splitlines():
            if line.startswith(".. currentmodule:: "):
                package = line.split()[-1]
            if line.strip():
                inside = line.startswith(".. autosummary::") or (inside and line.startswith("   "))
            if inside and re.fullmatch(r"   [\w.]+", line):
                yield f"{package}.{line.strip()}"


PUBLIC = list(listed())


@functools.cache
def found(path):
    """The object of a public name."""
    names = path.split(".")[1:]
    if names[0] in OPTIONAL:
        pytest.importorskip(OPTIONAL[names[0]])
    if names[0] not in dir(fastfnn):
        importlib.import_module(f"fastfnn.{names[0]}")
    return functools.reduce(getattr, names, fastfnn)


def is_documented_elsewhere(item, owner, name):
    """Whether a member belongs to the page of another class: inherited from it, or what fit calls of a callback."""
    if owner is not item:
        return any(owner is found(path) for path in PUBLIC if path.split(".")[1] not in OPTIONAL)
    return item is not fastfnn.Callback and issubclass(item, fastfnn.Callback) and name in vars(fastfnn.Callback)


def members(path):
    """The public methods and properties of a class, by the name of the attribute."""
    item, result = found(path), {}
    for name in dir(item) if inspect.isclass(item) else ():
        owner = next(kind for kind in item.__mro__ if name in vars(kind))
        value = vars(owner)[name]
        function = value.fget if isinstance(value, property) else getattr(item, name)
        if (
            not name.startswith("_")
            and callable(function)
            and (getattr(function, "__module__", None) or "").startswith("fastfnn")
            and not is_documented_elsewhere(item, owner, name)
            and ":meta private:" not in (function.__doc__ or "")
        ):
            result[name] = value
    return result


def public(path):
    """A public name and those of its members, with their objects; properties are objects of that class."""
    return {path: found(path)} | {f"{path}.{name}": value for name, value in members(path).items()}


def constructor(item):
    """The function whose errors the docstring of a class describes; None if the class has none of its own."""
    return vars(item).get("__post_init__" if dataclasses.is_dataclass(item) else "__init__")


def raised(function):
    """The names of the exceptions that a function raises in its own body."""
    if not inspect.isfunction(function):
        return set()
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    names = (node.exc.func for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call))
    return {name.id for name in names if isinstance(name, ast.Name)}


def examples(text):
    return "".join(example.source for example in doctest.DocTestParser().get_examples(text or ""))


# Examples


def imports(test):
    """The packages that the example of a docstring imports."""
    nodes = [node for example in test.examples for node in ast.walk(ast.parse(example.source))]
    modules = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in modules}


@pytest.mark.jit
@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_show(name):
    names, runner = vars(module(name)), doctest.DocTestRunner()
    for (what, line), text in documented(name).items():
        test = doctest.DocTestParser().get_doctest(text, names.copy(), what, str(FILES[name]), line - 1)
        if test.examples and all(importlib.util.find_spec(package) for package in imports(test)):
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("path", PUBLIC)
def test_every_public_name_has_an_example(path):
    shown = examples(found(path).__doc__)
    assert shown, path
    for name, value in members(path).items():
        in_class = f".{name}(" in shown or f"def {name}(" in shown
        own = in_class or isinstance(value, property) or examples(value.__doc__)
        assert own or f"{path}.{name}" in WITHOUT_EXAMPLE, f"{path}.{name}"


# Form


@pytest.mark.parametrize("name", FILES)
def test_the_first_line_of_a_docstring_stands_alone(name):
    for what, text in documented(name).items():
        first, *rest = text.splitlines()
        assert first.endswith((".", ":", ",")), f"{what}: {first}"
        assert not first.startswith(("The same", "As ")), f"{what}: {first}"
        assert not rest or rest[0] == "" or not first.endswith("."), f"{what}: no empty line after the first"


@pytest.mark.parametrize("name", [name for name in FILES if name.split(".")[0] not in ("backend", "reference")])
def test_sections_of_docstrings_have_the_order_of_numpydoc(name):
    for what, text in documented(name).items():
        sections_found = sections(text)
        order = CLASS_SECTIONS if "Attributes" in sections_found else SECTIONS
        assert sections_found == sorted(sections_found, key=order.index), what


@pytest.mark.skipif(not PAGES, reason="the pages are not beside the tests")
def test_every_public_name_is_in_the_reference():
    other_names = {"functions.identity_function", "functions.mean_squared_error", "functions.step_function"}
    packages = ("layers", "functions", "callbacks", "sklearn", "sources", "tables")
    offered = {name for name in fastfnn.__all__ if not inspect.ismodule(getattr(fastfnn, name))}
    offered |= {f"{package}.{name}" for package in packages for name in module(package).__all__}
    offered -= {"callbacks.Callback", "callbacks.EarlyStopping"}  # they are in fastfnn, too
    assert {f"fastfnn.{name}" for name in offered - other_names} <= set(PUBLIC)
    assert len(PUBLIC) == len(set(PUBLIC))


@pytest.mark.parametrize("path", PUBLIC)
def test_public_docstrings_pass_the_checks_of_numpydoc(path):
    validate = pytest.importorskip("numpydoc.validate", reason="needs fastfnn[docs]").validate
    for name in public(path):
        errors = [
            f"{code} {text}"
            for code, text in validate(name)["errors"]
            if code not in NOT_CHECKED and (name, code) not in NOT_CHECKED_FOR
        ]
        assert errors == [], name


@pytest.mark.parametrize("path", PUBLIC)
def test_what_a_public_function_raises_is_in_its_docstring(path):
    docscrape = pytest.importorskip("numpydoc.docscrape", reason="needs fastfnn[docs]")

    def told(item):
        entries = docscrape.NumpyDocString(inspect.getdoc(item) or "")["Raises"]
        return {name.strip() for entry in entries for name in entry.type.split(",")}

    of_class = told(found(path))
    for name, item in public(path).items():
        if not isinstance(item, property):
            function = constructor(item) if inspect.isclass(item) else item
            assert raised(getattr(function, "__func__", function)) <= told(item) | of_class, name


def test_both_estimators_say_the_same_about_their_common_parameters():
    docscrape = pytest.importorskip("numpydoc.docscrape", reason="needs fastfnn[docs]")
    classifier, regressor = (
        {
            entry.name: entry
            for entry in docscrape.NumpyDocString(inspect.getdoc(found(f"fastfnn.sklearn.{name}")))["Parameters"]
        }
        for name in ("MLPClassifier", "MLPRegressor")
    )
    different = {"validation_fraction", "n_estimators"}  # shares of classes, and what an ensemble averages
    for name in (classifier.keys() & regressor.keys()) - different:
        assert classifier[name] == regressor[name]
    assert classifier.keys() - regressor.keys() == {"class_weight", "label_smoothing"}


def test_exceptions_from_the_checks_are_needed():
    validate = pytest.importorskip("numpydoc.validate", reason="needs fastfnn[docs]").validate
    for name, code in NOT_CHECKED_FOR:
        found(name)
        assert code in [found_code for found_code, _ in validate(name)["errors"]]
    for name in WITHOUT_EXAMPLE:
        path, _, method = name.rpartition(".")
        assert not examples(getattr(found(path), method).__doc__)
