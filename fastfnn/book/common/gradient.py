"""The book's `common.gradient`: central differences with the step 1e-4 for every element and dtype."""

from collections.abc import Callable

import numpy as np

from fastfnn import functions

__all__ = ["np", "numerical_gradient", "numerical_gradient_2d"]

_STEP = 1e-4


def numerical_gradient(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """Return the gradient of f at an array of any shape, see `fastfnn.functions.numerical_gradient`."""
    return functions.numerical_gradient(f, x, step=_STEP)


def numerical_gradient_2d(f: Callable[[np.ndarray], float], X: np.ndarray) -> np.ndarray:
    """Return the gradient of f at a vector, or at each row of a matrix."""
    if X.ndim == 1:
        return numerical_gradient(f, X)
    return np.array([numerical_gradient(f, row) for row in X], X.dtype).reshape(X.shape)
