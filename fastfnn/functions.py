"""The functions of the book 'Deep Learning from Scratch', on which the notes draw, on the compiled kernels.

    from fastfnn.functions import *

brings what the book has in `common.functions`, and `numerical_gradient` from its `common.gradient`. Arrays of any rank
and plain numbers are taken; the result is new, float32 for float32 and else float64. NaN and infinity propagate.

Where the book slips, what is right is implemented:

- `relu_grad` is 0 at 0, as in the backward pass of its own layer `Relu`; the book's function has 1 there.
- `cross_entropy_error` takes the logarithm of y. The book takes that of y + 1e-7: every loss is a little off, none
  exceeds 16.1, and the gradient is not that of this loss. `epsilon=1e-7` gives the book's numbers. Rows of targets are
  used as they are; the book makes labels of them, which is wrong for soft targets.
- `sigmoid` does not overflow.

`sum_squared_error` is half the sum of squares, as in the book. Early printings call the same `mean_squared_error`,
though it is no mean: programs typed from them run, too.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.arrays import activate, derivative, outputs_and_targets, real_arrays
from fastfnn.backend import BACKENDS

__all__ = [
    "cross_entropy_error",
    "identity",
    "identity_function",
    "identity_grad",
    "mean_squared_error",
    "numerical_gradient",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "softmax_loss",
    "step",
    "step_function",
    "sum_squared_error",
    "tanh",
    "tanh_grad",
]

kernels = BACKENDS["kernels"]

TINY = float(np.finfo(np.float64).tiny)

# Steps of the central difference: its error h^2 f'''/6 and the rounding error eps f / h are both below 1e-8 in float64
# and 2e-5 in float32, where the book's step of 1e-4 would leave three digits.
DIFFERENCE_STEP = {np.dtype(np.float32): 2.0**-8, np.dtype(np.float64): 1e-4}


def identity(x: npt.ArrayLike) -> np.ndarray:
    """x itself, as a new array."""
    return activate("identity", x)


def identity_grad(x: npt.ArrayLike) -> np.ndarray:
    """The derivative of the identity: 1 for each element of x."""
    return derivative("identity", x)


def step(x: npt.ArrayLike) -> np.ndarray:
    """The step function: 1 where x > 0, else 0; integers, as in the book."""
    (array,) = real_arrays(x=x)
    result: np.ndarray = (array > 0).astype(int)
    return result


def sigmoid(x: npt.ArrayLike) -> np.ndarray:
    """The logistic sigmoid, 1 / (1 + e^-x)."""
    return activate("sigmoid", x)


def sigmoid_grad(x: npt.ArrayLike) -> np.ndarray:
    """The derivative of the sigmoid at x: sigmoid(x) (1 - sigmoid(x))."""
    return derivative("sigmoid", x)


def tanh(x: npt.ArrayLike) -> np.ndarray:
    """The hyperbolic tangent."""
    return activate("tanh", x)


def tanh_grad(x: npt.ArrayLike) -> np.ndarray:
    """The derivative of tanh at x: 1 - tanh(x)^2."""
    return derivative("tanh", x)


def relu(x: npt.ArrayLike) -> np.ndarray:
    """The rectified linear unit, max(x, 0)."""
    return activate("relu", x)


def relu_grad(x: npt.ArrayLike) -> np.ndarray:
    """The derivative of ReLU at x: 1 where x > 0, else 0; the book has 1 at 0, unlike its layer."""
    return derivative("relu", x)


def softmax(x: npt.ArrayLike) -> np.ndarray:
    """Softmax along the last axis: e^(x_k) / sum_j e^(x_j) for a vector x (K,), or for each row of (N, K)."""
    return activate("softmax", x)


identity_function, step_function = identity, step  # the names in the book


def sum_squared_error(y: npt.ArrayLike, t: npt.ArrayLike) -> float:
    """Half the sum of squares over all elements, 1/2 sum (y - t)^2, summed in float64.

    y, t  arrays of one shape, any; several samples are not averaged
    """
    outputs, targets = real_arrays(y=y, t=t)
    if outputs.shape != targets.shape:
        raise ValueError(f"t must have the shape of y, {outputs.shape}, got {targets.shape}")
    row, target_row = outputs.reshape(1, -1), targets.reshape(1, -1)
    return float(kernels.squared_error(np.empty_like(row), row, target_row))


mean_squared_error = sum_squared_error  # its name in early printings of the book


def cross_entropy_error(y: npt.ArrayLike, t: npt.ArrayLike, *, epsilon: float = TINY) -> float:
    """Mean over the samples of -sum_k t_k log(y_k + epsilon), in float64.

    y        (N, K) probabilities, or (K,) for one sample
    t        (N,) integer labels, or (N, K) rows that sum to 1; for one sample a label, or (K,)
    epsilon  keeps the loss finite where y is 0: at 708.4 with the smallest normal number, which is lost in rounding
             beside any other y above 1e-292; the book has 1e-7

    Source: section 3 of the notes, error function (2). `softmax_loss` needs no epsilon.
    """
    probabilities, targets, _ = outputs_and_targets("y", y, t, "softmax_cross_entropy")
    if probabilities.min() < 0:
        raise ValueError(f"y must hold probabilities, got {probabilities.min()}: softmax_loss takes logits")
    logs = np.log(probabilities.astype(np.float64) + validation.nonnegative("epsilon", epsilon))
    if targets.ndim == 1:
        return float(-logs[np.arange(len(targets)), targets].mean())
    hot = targets != 0  # 0 log 0 is 0
    return float(-np.sum(targets[hot] * logs[hot]) / len(targets))


def softmax_loss(X: npt.ArrayLike, t: npt.ArrayLike) -> float:
    """The cross-entropy of softmax(X), straight from the logits X, so that none is too large; X and t as y and t above.

    X  (N, K) logits, or (K,) for one sample
    t  as in `cross_entropy_error`
    """
    logits, targets, _ = outputs_and_targets("X", X, t, "softmax_cross_entropy")
    return float(kernels.softmax_cross_entropy(np.empty_like(logits), logits, targets))


def numerical_gradient(f: Callable[[np.ndarray], float], x: np.ndarray) -> np.ndarray:
    """The gradient of f at x by central differences: (f(x + h e_i) - f(x - h e_i)) / 2h for each element i in turn.

    f  a function of x that returns a number, or one that reads x from where it lies, as in `lambda W: net.loss(x, t)`
    x  float32 or float64, any shape; each element is changed in place and then restored, also if f raises

    Returns an array of the shape and dtype of x. h is 1e-4, as in the book; for float32, of whose digits such a step
    would leave three, it is 2^-8. Where |x_i| > 1 it is so many times larger.
    """
    if not callable(f):
        raise TypeError(f"f must be a function, got {type(f).__name__}")
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be an array, whose elements are changed in place, got {type(x).__name__}")
    if x.dtype not in DIFFERENCE_STEP:
        raise TypeError(f"x must be an array of float32 or float64, got {x.dtype}")
    if not x.flags.writeable:
        raise ValueError("x must be writable, got a read-only array")
    grad = np.empty(x.shape, x.dtype)
    for index in np.ndindex(x.shape):
        value = x[index]
        h = DIFFERENCE_STEP[x.dtype] * max(1.0, abs(float(value)))
        try:
            x[index] = value + h
            right, above = float(x[index]), _number(f(x))
            x[index] = value - h
            left, below = float(x[index]), _number(f(x))
        finally:
            x[index] = value
        grad[index] = (above - below) / (right - left)  # x +- h is rounded: the step is what it became
    return grad


def _number(value: npt.ArrayLike) -> float:
    array = np.asarray(value)
    if array.ndim > 0 or array.dtype.kind not in "biuf":
        raise TypeError(f"f must return a real number, got {type(value).__name__} of shape {array.shape}")
    return float(array)
