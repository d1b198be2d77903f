"""scikit-learn estimators on the compiled kernels: replace one import.

    from fastfnn.sklearn import MLPClassifier, MLPRegressor

The extra ``fastfnn[sklearn]`` installs scikit-learn; nothing else in this package imports it. `estimator.py` holds what
both estimators share; `training.py` is gradient descent, `lbfgs.py` the solver of that name, and `ensemble.py` trains
several networks side by side; `files.py` saves and loads estimators. All of them run on `fastfnn.FNN` and its kernels.
"""

try:
    import sklearn  # noqa: F401
except ImportError as _error:
    raise ImportError("fastfnn.sklearn needs scikit-learn: pip install 'fastfnn[sklearn]'") from _error

from fastfnn.sklearn.classifier import MLPClassifier
from fastfnn.sklearn.files import load, save
from fastfnn.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "load", "save"]
