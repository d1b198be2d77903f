"""The book's `common.functions`, on the kernels.

As in the book, `relu_grad` is 1 at 0, and `cross_entropy_error` turns rows of targets into labels and adds 1e-7 to the
probabilities; see `fastfnn.functions` for what fastfnn has instead. `mean_squared_error` is the name of
`sum_squared_error` in the first printings: half the sum of the squares.
"""

import numpy as np
import numpy.typing as npt

from fastfnn import functions
from fastfnn.arrays import real_array
from fastfnn.functions import identity_function, relu, sigmoid, sigmoid_grad, softmax, step_function, sum_squared_error

__all__ = [
    "cross_entropy_error",
    "identity_function",
    "mean_squared_error",
    "np",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step_function",
    "sum_squared_error",
]

EPSILON = 1e-7

mean_squared_error = sum_squared_error  # its name in the first printings


def relu_grad(x: npt.ArrayLike) -> np.ndarray:
    """Return 1 where x >= 0, else 0, in the dtype of x."""
    array = real_array("x", x)
    return (array >= 0).astype(array.dtype)


def cross_entropy_error(y: npt.ArrayLike, t: npt.ArrayLike) -> float:
    """Return the mean of ``-log(y_k + 1e-7)`` over the samples, for the probability y_k of the label of each.

    Parameters
    ----------
    y : (N, K) or (K,) array
        Probabilities, or those of a single sample.
    t : array
        Labels (N,), or rows (N, K) whose largest element gives the label; for a single sample a label or a row (K,).
    """
    targets = np.asarray(t)
    if targets.size == np.size(y):
        targets = targets.argmax(axis=-1)
    return functions.cross_entropy_error(y, targets, epsilon=EPSILON)


def softmax_loss(X: npt.ArrayLike, t: npt.ArrayLike) -> float:
    """Return the cross-entropy of softmax(X), see `cross_entropy_error`."""
    return cross_entropy_error(softmax(X), t)
