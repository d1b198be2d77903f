"""What `Optimizer.update` is given: parameters and gradients of many forms, as the vectors and matrices of the kernels.

Parameters are arrays, which are changed in place, or numbers, whose entries are replaced. Numbers and arrays without an
axis count as vectors of one element, arrays with more than two axes as matrices.
"""

import math
import numbers
from collections.abc import Mapping, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from fastfnn.arrays import FLOAT32, FLOAT64, is_ready, real_array


class Pair(NamedTuple):
    """A parameter and its gradient with one or two axes, in one dtype, and what the parameter came as."""

    name: str
    param: np.ndarray
    grad: np.ndarray
    given: Any


def checked_pairs(params: Mapping[str, Any], grads: Mapping[str, Any]) -> list[Pair]:
    """Return each parameter with its gradient, which may hold NaN and infinities. Nothing is changed."""
    pairs = []
    for name, given in params.items():
        param = given if isinstance(given, np.ndarray) else _as_vector(name, given, params)
        if param.dtype != FLOAT64 and param.dtype != FLOAT32:
            raise TypeError(f"params[{name!r}] must be a float32 or float64 array, or a number, got {param.dtype}")
        if not param.flags.writeable:
            raise ValueError(f"params[{name!r}] must be writable, got a read-only array")
        if name not in grads:
            raise ValueError(f"grads must have an entry for each of params, got none for {name!r}")
        grad = grads[name]
        if not is_ready(grad, param.dtype):
            with np.errstate(over="ignore"):
                grad = np.require(real_array(f"grads[{name!r}]", grad), param.dtype, "A")
        shape = param.shape if param is given else ()
        if grad.shape != shape:
            raise ValueError(f"grads[{name!r}] must have shape {shape}, got {grad.shape}")
        pairs.append(Pair(name, as_rows(param), as_rows(grad), given))
    return pairs


def _as_vector(name: str, number: Any, params: Mapping[str, Any]) -> np.ndarray:
    """Return a parameter that is a number as a vector of one element."""
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, numbers.Real):
        kind = type(number).__name__
        raise TypeError(f"params[{name!r}] must be a float32 or float64 array, or a number, got {kind}")
    if not isinstance(params, MutableMapping):
        kind = type(params).__name__
        raise TypeError(f"params must be a dict, or hold arrays only: the number params[{name!r}] of a {kind} is fixed")
    return np.array([number], dtype_of(number))


def dtype_of(param: Any) -> np.dtype[Any]:
    """Return the dtype in which a parameter is updated."""
    return param.dtype if isinstance(param, (np.ndarray, np.float32)) else FLOAT64


def as_rows(array: np.ndarray) -> np.ndarray:
    """Return an array as a matrix or a vector: a view, or a copy if it has more than two axes and gaps."""
    if 0 < array.ndim < 3:
        return array
    return array.reshape(array.shape[0], math.prod(array.shape[1:])) if array.ndim else array.reshape(1)


def store(params: Mapping[str, Any], pairs: list[Pair]) -> None:
    """Write updated parameters to where they came from, unless they are views of it."""
    for name, param, _, given in pairs:
        if param is given:
            continue
        if not isinstance(given, np.ndarray):
            params[name] = param[0] if isinstance(given, np.generic) else float(param[0])  # type: ignore[index]
        elif not np.may_share_memory(param, given):
            given[...] = param.reshape(given.shape)


def clipped(pairs: list[Pair], longest: float) -> list[Pair]:
    """Return the pairs with gradients scaled down so that their common norm, in float64, is at most `longest`."""
    norm = math.sqrt(sum(float(np.square(pair.grad, dtype=np.float64).sum()) for pair in pairs))
    if norm <= longest:
        return pairs
    return [pair._replace(grad=pair.grad * pair.grad.dtype.type(longest / norm)) for pair in pairs]
