"""Estimators for tables: frames in, predictions out.

    from fastfnn.tabular import TabularClassifier, TabularRegressor

The extra ``fastfnn[sklearn]`` installs what they need. A table is read as columns (`reading`), of which is learnt what
they are (`columns`, `encoding`, `target`); a `TabularNetwork` is trained by a recipe (`recipe`, `training`); `fitting`
puts this together for the estimators, `files` saves and loads them.

The public names are imported when they are first used: scikit-learn, which the estimators import, takes longer to load
than the rest of the package.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastfnn.tabular.classifier import TabularClassifier
    from fastfnn.tabular.files import load
    from fastfnn.tabular.importance import Importances
    from fastfnn.tabular.recipe import Recipe
    from fastfnn.tabular.regressor import TabularRegressor

__all__ = ["Importances", "Recipe", "TabularClassifier", "TabularRegressor", "load"]

MODULES = {
    "Importances": "importance", "Recipe": "recipe", "TabularClassifier": "classifier",
    "TabularRegressor": "regressor", "load": "files",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f"{__name__}.{MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError("fastfnn.tabular needs scikit-learn: pip install 'fastfnn[sklearn]'") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
