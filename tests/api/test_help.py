"""What help() and a notebook's tooltip show of the signatures is short."""

import importlib
import inspect
import pydoc

import pytest

import fastfnn

MODULES = ("callbacks", "datasets", "functions", "layers", "losses", "optimizers", "schedules")
UNREADABLE = ("numpy._typing", "_SupportsArray", "Union[", "typing.", "fastfnn.", "collections.abc")


def public_callables():
    """The classes and functions that users see, by name, and the public methods of the classes."""
    owners = [
        fastfnn,
        *(getattr(fastfnn, name) for name in MODULES),
        *map(importlib.import_module, ("fastfnn.sklearn", "fastfnn.tables")),
    ]
    found = {}
    for owner in owners:
        names = getattr(owner, "__all__", None) or [name for name in vars(owner) if not name.startswith("_")]
        for name in names:
            item = getattr(owner, name)
            is_warning = inspect.isclass(item) and issubclass(item, Warning)  # these have no signature
            if callable(item) and not is_warning and getattr(item, "__module__", "").startswith("fastfnn"):
                found[f"tables.{name}" if owner.__name__ == "fastfnn.tables" else name] = item
    for name, item in list(found.items()):
        if inspect.isclass(item):
            methods = inspect.getmembers(item, inspect.isfunction)
            # scikit-learn writes those that request metadata.
            own = {key: method for key, method in methods if method.__module__.startswith("fastfnn")}
            found |= {f"{name}.{key}": method for key, method in own.items() if key[0] != "_" and "request" not in key}
    return found


CALLABLES = public_callables()


@pytest.mark.parametrize("name", CALLABLES)
def test_each_parameter_is_shown_on_a_short_line(name):
    signature = inspect.signature(CALLABLES[name])
    for line in (*map(str, signature.parameters.values()), f"-> {signature.return_annotation}"):
        assert len(line) <= 100, line
        assert not any(text in line for text in UNREADABLE), line


def test_help_of_a_network_names_its_types_as_the_documentation_does():
    text = pydoc.plain(pydoc.render_doc(fastfnn.FNN))
    assert "predict(self, x: 'ArrayLike') -> 'np.ndarray'" in text
    assert "_SupportsArray" not in text
    assert len(CALLABLES) > 60
