"""The import of an optional library, with an error that says how to install it."""

import importlib
from typing import Any


def imported(module: str, needed_by: str, install: str) -> Any:
    """Return a module of an optional library; ImportError says what needs it and what `install` is for pip."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{needed_by}: pip install {install}") from error
