"""Activation: an activation function that a user writes in Python, compiled and as fast as the built-in ones."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.arrays import real_arrays, rows
from fastfnn.backend import BACKENDS


class Activation:
    """An activation function f, given by two functions of one number.

    Parameters
    ----------
    forward : function
        f(x).
    derivative : function
        f'(x), or f' as a function of x and y = f(x), which often saves work.
    name : str, optional
        What `FNN.summary` prints and a saved network remembers; by default the name of `forward`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a Python function of one or two numbers.

    Notes
    -----
    Both functions are compiled by Numba for float32 or float64 when they are first needed, and cached on disk. They may
    use arithmetic, conditions, loops, functions of `math` and of NumPy on one number, and other such functions. What
    Numba cannot compile raises a ValueError with the line, when a network or an array first needs the activation.

    An Activation can be called with an array of any shape.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> def bent(x):
    ...     return x / (1 + abs(x))
    >>> softsign = fnn.Activation(bent, lambda x: 1 / (1 + abs(x)) ** 2, name="softsign")
    >>> softsign([-1.0, 0.0, 1.0])
    array([-0.5,  0. ,  0.5])
    >>> fnn.FNN((4, 8, 3), activation=softsign)
    FNN(4-8-3, softsign; softmax_cross_entropy; float32)
    """

    def __init__(
        self, forward: Callable[..., float], derivative: Callable[..., float], name: str | None = None
    ) -> None:
        self.forward = _checked_function("forward", forward, (1,))
        self.derivative = _checked_function("derivative", derivative, (1, 2))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        self.name = forward.__name__ if name is None else name
        self._codes: dict[tuple[str, np.dtype[Any]], int] = {}

    def __repr__(self) -> str:
        return f"Activation({self.name})"

    def code(self, backend: str, dtype: npt.DTypeLike) -> int:
        """Return the code of the activation for a backend and a dtype; the first call compiles it."""
        key = backend, np.dtype(dtype)
        if key not in self._codes:
            compile_activation = BACKENDS[backend].compile_activation
            self._codes[key] = compile_activation(self.forward, self.derivative, key[1])
        return self._codes[key]

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Return f of each element of x, of any shape; float32 for float32, else float64."""
        (array,) = real_arrays(x=x)
        out = np.empty(array.shape, array.dtype)
        BACKENDS["kernels"].activation_forward(rows(out), rows(array), self.code("kernels", array.dtype))
        return out[()]  # a number for a number, like NumPy's functions

    def derivative_at(self, x: npt.ArrayLike) -> np.ndarray:
        """Return f' of each element of x, of any shape; float32 for float32, else float64."""
        (array,) = real_arrays(x=x)
        slope = np.ones(array.shape, array.dtype)
        code = self.code("kernels", array.dtype)
        BACKENDS["kernels"].activation_backward(rows(slope), rows(slope), rows(array), code)
        return slope[()]


def _checked_function(name: str, value: Any, counts: tuple[int, ...]) -> Callable[..., float]:
    """Return `value`, which must be a Python function with one of `counts` positional arguments."""
    wanted = " or ".join(map(str, counts))
    if not inspect.isfunction(value):
        raise TypeError(f"{name} must be a Python function of {wanted} numbers, got {type(value).__name__}")
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(value).parameters.values()
    if len(parameters) not in counts or any(p.kind not in plain or p.default is not p.empty for p in parameters):
        raise ValueError(f"{name} must take {wanted} numbers, got a function of {inspect.signature(value)}")
    return value
