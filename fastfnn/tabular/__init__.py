"""Estimators for tables: frames in, predictions out.

    from fastfnn.tabular import TabularClassifier, TabularRegressor

The extra ``fastfnn[sklearn]`` installs what they need. A table is read as columns (`reading`), of which is learnt what
they are (`columns`, `encoding`, `target`); a `TabularNetwork` is trained by a recipe (`recipe`, `training`); `fitting`
puts this together for the estimators, `files` saves and loads them.
"""

try:
    import sklearn  # noqa: F401
except ImportError as _error:
    raise ImportError("fastfnn.tabular needs scikit-learn: pip install 'fastfnn[sklearn]'") from _error

from fastfnn.tabular.classifier import TabularClassifier
from fastfnn.tabular.files import load
from fastfnn.tabular.importance import Importances
from fastfnn.tabular.recipe import Recipe
from fastfnn.tabular.regressor import TabularRegressor

__all__ = ["Importances", "Recipe", "TabularClassifier", "TabularRegressor", "load"]
