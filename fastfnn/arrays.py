"""What the textbook modules share: arrays of any rank and any real dtype, as the kernels take them."""

import math

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.backend import ACTIVATIONS, BACKENDS

kernels = BACKENDS["kernels"]


def real_array(name: str, value: npt.ArrayLike) -> np.ndarray:
    """`value` as an array of real numbers of whatever dtype; NaN and infinity are numbers here."""
    array = validation.as_array(name, value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


def real_arrays(**values: npt.ArrayLike) -> tuple[np.ndarray, ...]:
    """The values as arrays of one dtype: float32 where that is NumPy's result type, else float64.

    Writable and aligned, since compiled code takes no others, though it writes none; copied only where they have to be.
    """
    arrays = [real_array(name, value) for name, value in values.items()]
    dtype = np.float32 if np.result_type(*arrays) == np.float32 else np.float64
    return tuple(np.require(array, dtype, ("W", "A")) for array in arrays)


def rows(array: np.ndarray) -> np.ndarray:
    """An array of any rank as a matrix with the same last axis: a view if it is C-contiguous. A number is 1 x 1."""
    return array.reshape(math.prod(array.shape[:-1]), *array.shape[-1:] or (1,))


def flat_samples(array: np.ndarray) -> np.ndarray:
    """An array of any rank as a matrix with the same first axis, a row for each sample."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def activate(name: str, x: npt.ArrayLike) -> np.ndarray:
    """A new array: the activation of that name, element by element, or along the last axis for softmax.

    x  any shape; the result has its shape and is float32 if x is, else float64
    """
    (array,) = real_arrays(x=x)
    out = np.empty(array.shape, array.dtype)
    kernels.activation_forward(rows(out), rows(array), ACTIVATIONS.index(name))
    result: np.ndarray = out[()]  # a number for a number, as NumPy's own functions do
    return result


def derivative(name: str, x: npt.ArrayLike) -> np.ndarray:
    """A new array: the derivative of the activation of that name, element by element; of any but softmax."""
    (array,) = real_arrays(x=x)
    slope = np.ones(array.shape, array.dtype)
    kernels.activation_backward(rows(slope), rows(slope), rows(array), ACTIVATIONS.index(name))
    result: np.ndarray = slope[()]
    return result


def same_shape(dout: np.ndarray, shape: tuple[int, ...]) -> None:
    """Hold that a gradient with respect to an output has the shape of that output."""
    if dout.shape != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got {dout.shape}")


def outputs_and_targets(
    name: str, value: npt.ArrayLike, t: npt.ArrayLike, loss: str
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """What a loss takes: outputs (N, K), float32 or float64; int64 labels (N,) or rows (N, K) of their dtype.

    value  (N, K), or (K,) for one sample
    t      as `FNN.loss` takes it; for one sample a row (K,), or a label if the loss takes labels

    Returns the outputs, the targets, and the shape of value.
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
