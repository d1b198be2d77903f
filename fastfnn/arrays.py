"""Arrays of any rank and any real dtype, as the kernels take them: for `functions`, `layers`, `fn` and `activation`."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.backend import ACTIVATIONS, kernels

CODES = {name: code for code, name in enumerate(ACTIVATIONS)}
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def real_array(name: str, value: npt.ArrayLike) -> np.ndarray:
    """Return `value` as an array of real numbers in its own dtype; NaN and infinity are allowed."""
    array = validation.as_array(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def is_ready(value: Any, dtype: np.dtype[Any]) -> bool:
    """Return whether a value is an aligned array of a dtype, so that kernels can take it as it is."""
    return type(value) is np.ndarray and value.dtype == dtype and value.flags.aligned


def real_arrays(**values: npt.ArrayLike) -> tuple[np.ndarray, ...]:
    """Return the values as arrays of one dtype: float32 if that is NumPy's result type, else float64.

    They are aligned, as the kernels need them, and copied only if necessary; they may be read-only.
    """
    narrow = wide = False
    for value in values.values():  # most calls are with such arrays, many of them with tiny ones: no call, no copy
        if type(value) is not np.ndarray or not value.flags.aligned:
            break
        if value.dtype == FLOAT64:
            wide = True
        elif value.dtype == FLOAT32:
            narrow = True
        else:
            break
    else:
        if not (narrow and wide):
            return tuple(values.values())  # type: ignore[arg-type]
        return tuple(_as_float64(value) for value in values.values())  # type: ignore[arg-type]
    arrays = [real_array(name, value) for name, value in values.items()]
    dtype = FLOAT32 if np.result_type(*arrays) == np.float32 else FLOAT64
    return tuple(np.require(array, dtype, "A") for array in arrays)


def _as_float64(array: np.ndarray) -> np.ndarray:
    return array if array.dtype == FLOAT64 else array.astype(FLOAT64)


def rows(array: np.ndarray) -> np.ndarray:
    """Return an array of any rank as a matrix with the same last axis: a view if it is C-contiguous.

    A number becomes a 1 x 1 matrix.
    """
    return array if array.ndim == 2 else array.reshape(math.prod(array.shape[:-1]), *array.shape[-1:] or (1,))


def flat_samples(array: np.ndarray) -> np.ndarray:
    """Return an array (N, ...) of any rank as a matrix with N rows, one for each sample."""
    return array if array.ndim == 2 else array.reshape(len(array), math.prod(array.shape[1:]))


def activate(name: str, x: npt.ArrayLike) -> np.ndarray:
    """Apply the activation called `name` to x of any shape.

    It works element by element, softmax along the last axis. The result is a new array in the shape of x, float32 if x
    is float32, else float64.
    """
    (array,) = real_arrays(x=x)
    out = np.empty(array.shape, array.dtype)
    if array.ndim == 2:
        kernels.activation_forward(out, array, CODES[name])
        return out
    kernels.activation_forward(rows(out), rows(array), CODES[name])
    result: np.ndarray = out[()]  # a number for a number, like NumPy's functions
    return result


def derivative(name: str, x: npt.ArrayLike) -> np.ndarray:
    """Return the derivative of the activation called `name`, but for softmax, at x of any shape, as a new array."""
    (array,) = real_arrays(x=x)
    slope = np.ones(array.shape, array.dtype)
    kernels.activation_backward(rows(slope), rows(slope), rows(array), CODES[name])
    result: np.ndarray = slope[()]
    return result


def check_dout(dout: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError unless the gradient with respect to an output has the shape of that output."""
    if dout.shape != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got {dout.shape}")


def outputs_and_targets(
    name: str, value: npt.ArrayLike, t: npt.ArrayLike, loss: str
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return the outputs and targets that a loss takes, and the shape of `value`.

    Parameters
    ----------
    name : str
        Name of the argument `value`.
    value : (N, K) or (K,) array-like
        Outputs, or those of a single sample.
    t : array-like
        Targets, see `FNN.loss`; for a single sample a row (K,), or a label if the loss takes labels.
    loss : str
        Name of the loss.

    Returns
    -------
    outputs : (N, K) float32 or float64 array
    targets : (N,) int64 array or (N, K) array of the dtype of the outputs
    shape : tuple of int
    """
    (outputs,) = real_arrays(**{name: value})
    shape = outputs.shape
    if outputs.ndim not in (1, 2) or outputs.size == 0:
        raise ValueError(f"{name} must have shape (outputs,) or (samples, outputs), neither of them 0; got {shape}")
    targets = validation.as_array("t", t)
    if outputs.ndim == 1:
        outputs = outputs[np.newaxis]
        if targets.shape in ((), shape):
            targets = targets[np.newaxis]
    samples, width = outputs.shape
    return outputs, validation.targets("t", targets, samples, width, loss, outputs.dtype), shape
