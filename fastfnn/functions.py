"""The functions of the book 'Deep Learning from Scratch', from which the lecture notes draw, on the compiled kernels.

    from fastfnn.functions import *

imports the functions of the book's `common.functions`, and `numerical_gradient` of its `common.gradient`. They take
arrays of any rank and plain numbers, and return new arrays: float32 for float32, else float64. NaN and infinity
propagate.

Errors of the book are corrected:

- `relu_grad` is 0 at 0, like the backward pass of the book's own layer `Relu`; the book's function returns 1.
- `cross_entropy_error` takes the logarithm of y. The book takes that of y + 1e-7, which changes every loss, limits it
  to 16.1, and does not match the gradient. `epsilon=1e-7` gives the book's numbers. Rows of targets are used as they
  are; the book converts them to labels, which is wrong for soft targets.
- `sigmoid` does not overflow.

`sum_squared_error` is half the sum of squares, as in the book. Early printings call it `mean_squared_error`; programs
typed from them run too.

References
----------
K. Saito, "Deep Learning from Scratch", O'Reilly Japan, 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.arrays import activate, derivative, outputs_and_targets, real_arrays
from fastfnn.backend import kernels

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

TINY = float(np.finfo(np.float64).tiny)  # the smallest normal number

# Step h of the central difference: its error h^2 f'''/6 and the rounding error eps f / h are both below 1e-8 in float64
# and 2e-5 in float32. The book's step of 1e-4 would leave three digits in float32.
DIFFERENCE_STEP: dict[np.dtype[Any], float] = {np.dtype(np.float32): 2.0**-8, np.dtype(np.float64): 1e-4}


def identity(x: npt.ArrayLike) -> np.ndarray:
    """Return x as a new array: the activation of outputs in regression.

    Parameters
    ----------
    x : array, any shape
        Real numbers.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import identity
    >>> identity([1, -2])
    array([ 1., -2.])
    """
    return activate("identity", x)


def identity_grad(x: npt.ArrayLike) -> np.ndarray:
    """Return the derivative of the identity, ``1`` for each element of x.

    Parameters
    ----------
    x : array, any shape
        Where to take the derivative: the input of the function, not its output.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import identity_grad
    >>> identity_grad([3.0, -5.0])
    array([1., 1.])
    """
    return derivative("identity", x)


def step(x: npt.ArrayLike) -> np.ndarray:
    """Return the step function of each element: 1 where x > 0, else 0.

    Parameters
    ----------
    x : array, any shape
        Real numbers.

    Returns
    -------
    array of int
        In the shape of x.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    References
    ----------
    K. Saito, "Deep Learning from Scratch", O'Reilly Japan, 2016, chapter 3.

    Examples
    --------
    >>> from fastfnn.functions import step
    >>> step([-1.0, 0.0, 2.0])
    array([0, 0, 1])
    """
    (array,) = real_arrays(x=x)
    result: np.ndarray = (array > 0).astype(int)
    return result


def sigmoid(x: npt.ArrayLike) -> np.ndarray:
    """Return the logistic sigmoid of each element, ``1 / (1 + e^-x)``.

    Parameters
    ----------
    x : array, any shape
        Real numbers; large ones do not overflow.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import sigmoid
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    return activate("sigmoid", x)


def sigmoid_grad(x: npt.ArrayLike) -> np.ndarray:
    """Return the derivative of the sigmoid at each element, ``sigmoid(x) (1 - sigmoid(x))``.

    Parameters
    ----------
    x : array, any shape
        Where to take the derivative: the input of the function, not its output.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import sigmoid_grad
    >>> sigmoid_grad([0.0, 100.0]).round(4)
    array([0.25, 0.  ])
    """
    return derivative("sigmoid", x)


def tanh(x: npt.ArrayLike) -> np.ndarray:
    """Return the hyperbolic tangent of each element, ``(e^x - e^-x) / (e^x + e^-x)``.

    Parameters
    ----------
    x : array, any shape
        Real numbers.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import tanh
    >>> tanh([-1000.0, 0.0, 0.5]).round(4)
    array([-1.    ,  0.    ,  0.4621])
    """
    return activate("tanh", x)


def tanh_grad(x: npt.ArrayLike) -> np.ndarray:
    """Return the derivative of tanh at each element, ``1 - tanh(x)^2``.

    Parameters
    ----------
    x : array, any shape
        Where to take the derivative: the input of the function, not its output.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import tanh_grad
    >>> tanh_grad([0.0, 1.0]).round(4)
    array([1.  , 0.42])
    """
    return derivative("tanh", x)


def relu(x: npt.ArrayLike) -> np.ndarray:
    """Return the rectified linear unit of each element, ``max(x, 0)``.

    Parameters
    ----------
    x : array, any shape
        Real numbers.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Examples
    --------
    >>> from fastfnn.functions import relu
    >>> relu([-2.0, 0.0, 3.0])
    array([0., 0., 3.])
    """
    return activate("relu", x)


def relu_grad(x: npt.ArrayLike) -> np.ndarray:
    """Return the derivative of ReLU at each element: 1 where x > 0, else 0.

    Parameters
    ----------
    x : array, any shape
        Where to take the derivative: the input of the function, not its output.

    Returns
    -------
    array
        In the shape of x: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    Notes
    -----
    The book's function is 1 at 0, where its own layer `Relu` passes no gradient on; this one agrees with the layer.

    Examples
    --------
    >>> from fastfnn.functions import relu_grad
    >>> relu_grad([-2.0, 0.0, 3.0])
    array([0., 0., 1.])
    """
    return derivative("relu", x)


def softmax(x: npt.ArrayLike) -> np.ndarray:
    """Return softmax along the last axis, ``e^(x_k) / sum_j e^(x_j)``.

    Parameters
    ----------
    x : (..., K) array
        Logits; any finite size, they do not overflow.

    Returns
    -------
    (..., K) array
        Probabilities that sum to 1 along the last axis: float32 for float32, else float64.

    Raises
    ------
    TypeError
        If x does not hold real numbers.

    References
    ----------
    Lecture notes, section 3.

    Examples
    --------
    >>> from fastfnn.functions import softmax
    >>> softmax([[1.0, 2.0, 3.0], [1000.0, 1000.0, 1000.0]]).round(4)
    array([[0.09  , 0.2447, 0.6652],
           [0.3333, 0.3333, 0.3333]])
    """
    return activate("softmax", x)


identity_function = identity  # this and the next are the names in the book
step_function = step


def sum_squared_error(y: npt.ArrayLike, t: npt.ArrayLike) -> float:
    """Return half the sum of squares, ``1/2 sum (y - t)^2``.

    Parameters
    ----------
    y, t : array
        Outputs and targets of one shape, any rank.

    Returns
    -------
    float
        Sum over all elements, in float64; it is not divided by the number of samples.

    Raises
    ------
    TypeError, ValueError
        If y or t do not hold real numbers, or have different shapes.

    References
    ----------
    Lecture notes, section 3, error function (1).

    Examples
    --------
    >>> from fastfnn.functions import sum_squared_error
    >>> sum_squared_error([1.0, 2.0], [0.0, 4.0])
    2.5
    """
    outputs, targets = real_arrays(y=y, t=t)
    if outputs.shape != targets.shape:
        raise ValueError(f"t must have the shape of y, {outputs.shape}, got {targets.shape}")
    row, target_row = outputs.reshape(1, -1), targets.reshape(1, -1)
    return float(kernels.squared_error(np.empty_like(row), row, target_row))


mean_squared_error = sum_squared_error  # the name in early printings of the book


def cross_entropy_error(y: npt.ArrayLike, t: npt.ArrayLike, *, epsilon: float = TINY) -> float:
    """Return the cross-entropy of probabilities, ``-sum_k t_k log(y_k + epsilon)``, mean over the samples.

    Parameters
    ----------
    y : (N, K) or (K,) array
        Probabilities, or those of a single sample.
    t : array
        Integer labels (N,), or rows (N, K) that sum to 1; for a single sample a label or a row (K,).
    epsilon : float, optional
        Keeps the loss finite where y is 0. The default, the smallest normal number, limits it to 708.4 and is lost in
        rounding if y exceeds 1e-292. The book has 1e-7.

    Returns
    -------
    float
        In nats, accumulated in float64.

    Raises
    ------
    TypeError, ValueError
        If y holds a negative number, t does not fit y, or `epsilon` is negative.

    See Also
    --------
    softmax_loss : Takes logits, so that it needs no epsilon.

    References
    ----------
    Lecture notes, section 3, error function (2).

    Examples
    --------
    >>> from fastfnn.functions import cross_entropy_error
    >>> round(cross_entropy_error([[0.25, 0.75], [0.5, 0.5]], [1, 0]), 4)  # -(log 0.75 + log 0.5) / 2
    0.4904
    """
    probabilities, targets, _ = outputs_and_targets("y", y, t, "softmax_cross_entropy")
    least = np.minimum.reduce(probabilities, axis=None)
    if least < 0:
        raise ValueError(f"y must hold probabilities, got {least}: softmax_loss takes logits")
    tiny = validation.nonnegative("epsilon", epsilon)
    if targets.ndim == 1:
        return error_of_labels(probabilities, targets, tiny)
    hot = targets != 0  # 0 log 0 is 0
    logs = np.log(probabilities[hot].astype(np.float64) + tiny)
    return float(-np.add.reduce(targets[hot] * logs) / len(targets))


def error_of_labels(probabilities: np.ndarray, labels: np.ndarray, epsilon: float) -> float:
    """Return `cross_entropy_error` of probabilities (N, K) for labels (N,) that are known to be right."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.add.reduce(np.log(chosen + epsilon)) / len(labels))


def softmax_loss(X: npt.ArrayLike, t: npt.ArrayLike) -> float:
    """Return the cross-entropy of softmax(X), mean over the samples, computed from the logits X.

    Parameters
    ----------
    X : (N, K) or (K,) array
        Logits of any size, or those of a single sample.
    t : array
        Targets, see `cross_entropy_error`.

    Returns
    -------
    float
        In nats, accumulated in float64.

    Raises
    ------
    TypeError, ValueError
        If X does not hold real numbers, or t does not fit X.

    Notes
    -----
    The loss of a sample is ``log(sum_j e^(X_j)) - sum_k t_k X_k``. The largest logit is subtracted from all of them
    first, so that nothing overflows.

    References
    ----------
    Lecture notes, section 3, error function (2).

    Examples
    --------
    >>> from fastfnn.functions import softmax_loss
    >>> round(softmax_loss([[0.0, 0.0], [0.0, 1000.0]], [1, 1]), 4)  # (log 2 + 0) / 2
    0.3466
    """
    logits, targets, _ = outputs_and_targets("X", X, t, "softmax_cross_entropy")
    return float(kernels.softmax_cross_entropy(np.empty_like(logits), logits, targets))


def numerical_gradient(f: Callable[[np.ndarray], float], x: np.ndarray, *, step: float | None = None) -> np.ndarray:
    """Return the gradient of f at x by central differences.

    Parameters
    ----------
    f : callable
        A function of x that returns a number. It may ignore its argument and read x from where it is stored, as in
        ``lambda W: net.loss(x, t)``.
    x : float32 or float64 array, any shape
        Each element is changed in place and restored, even if f raises an exception.
    step : float, optional
        The step h for every element, above 0. The book has 1e-4.

    Returns
    -------
    array
        In the shape and dtype of x.

    Raises
    ------
    TypeError
        If f is no function or does not return a real number, or x is no array of float32 or float64.
    ValueError
        If x is read-only, or `step` is not above 0.

    Notes
    -----
    Element i is ``(f(x + h e_i) - f(x - h e_i)) / 2h``. Without `step`, h is 1e-4 as in the book, and 2^-8 for float32;
    it is multiplied by ``|x_i|`` if that exceeds 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfnn.functions import numerical_gradient
    >>> numerical_gradient(lambda x: (x**2).sum(), np.array([1.0, -2.0])).round(6)
    array([ 2., -4.])
    """
    if not callable(f):
        raise TypeError(f"f must be a function, got {type(f).__name__}")
    if not isinstance(x, np.ndarray):
        raise TypeError(f"x must be an array, whose elements are changed in place, got {type(x).__name__}")
    if x.dtype not in DIFFERENCE_STEP:
        raise TypeError(f"x must be an array of float32 or float64, got {x.dtype}")
    if not x.flags.writeable:
        raise ValueError("x must be writable, got a read-only array")
    h = None if step is None else validation.positive("step", step)
    least, grad = DIFFERENCE_STEP[x.dtype], np.empty(x.shape, x.dtype)
    elements, slopes = x.flat, grad.flat
    for i in range(x.size):
        value = elements[i]
        size = least * max(1.0, abs(float(value))) if h is None else h
        right, left = value + size, value - size  # in the dtype of x
        try:
            elements[i] = right
            above = _number(f(x))
            elements[i] = left
            below = _number(f(x))
        finally:
            elements[i] = value
        # right and left are rounded: divide by their true distance
        slopes[i] = (above - below) / (float(right) - float(left))
    return grad


def _number(value: npt.ArrayLike) -> float:
    """Return the result of f as a float."""
    if isinstance(value, float):
        return value
    array = np.asarray(value)
    if array.ndim > 0 or array.dtype.kind not in "biuf":
        raise TypeError(f"f must return a real number, got {type(value).__name__} of shape {array.shape}")
    return float(array)
