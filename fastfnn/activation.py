"""Activation: an activation function that the user writes, as fast as the built-in ones."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn.arrays import real_arrays, rows
from fastfnn.backend import BACKENDS


class Activation:
    """An activation f given by two functions of one number.

    forward     f(x)
    derivative  f'(x), or f' as a function of x and y = f(x), which often saves work
    name        what `FNN.summary` prints and a saved network remembers; that of `forward` if None

    Both are ordinary Python, compiled for float32 or float64 when first needed, and cached on disk. They may use
    arithmetic, conditions, loops, functions of math and NumPy of one number, and other functions of this kind.

        def forward(x):
            return math.log1p(math.exp(x))

        softplus = Activation(forward, lambda x: 1 / (1 + math.exp(-x)))
        net = FNN((784, 50, 10), activation=softplus)

    An Activation is also a function of an array of any shape: `softplus(x)`, `softplus.derivative_at(x)`.

    Raises TypeError or ValueError for what is not such a function. What Numba cannot compile is found when a network or
    an array first needs it: ValueError, with the line.
    """

    def __init__(
        self, forward: Callable[..., float], derivative: Callable[..., float], name: str | None = None
    ) -> None:
        self.forward = _function("forward", forward, (1,))
        self.derivative = _function("derivative", derivative, (1, 2))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        self.name = forward.__name__ if name is None else name
        self._codes: dict[tuple[str, np.dtype[Any]], int] = {}

    def __repr__(self) -> str:
        return f"Activation({self.name})"

    def code(self, backend: str, dtype: npt.DTypeLike) -> int:
        """The activation's code for kernels of a dtype: compiled at the first call."""
        key = backend, np.dtype(dtype)
        if key not in self._codes:
            compile_activation = BACKENDS[backend].compile_activation
            self._codes[key] = compile_activation(self.forward, self.derivative, key[1])
        return self._codes[key]

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """f of every element of x, of any shape: float32 for float32, else float64."""
        (array,) = real_arrays(x=x)
        out = np.empty(array.shape, array.dtype)
        BACKENDS["kernels"].activation_forward(rows(out), rows(array), self.code("kernels", array.dtype))
        return out[()]  # a number for a number, as NumPy's own functions do

    def derivative_at(self, x: npt.ArrayLike) -> np.ndarray:
        """f' of every element of x, of any shape: float32 for float32, else float64."""
        (array,) = real_arrays(x=x)
        slope = np.ones(array.shape, array.dtype)
        BACKENDS["kernels"].activation_backward(
            rows(slope), rows(slope), rows(array), self.code("kernels", array.dtype)
        )
        return slope[()]


def _function(name: str, value: Any, counts: tuple[int, ...]) -> Callable[..., float]:
    wanted = " or ".join(map(str, counts))
    if not inspect.isfunction(value):
        raise TypeError(f"{name} must be a Python function of {wanted} numbers, got {type(value).__name__}")
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(value).parameters.values()
    if len(parameters) not in counts or any(p.kind not in plain or p.default is not p.empty for p in parameters):
        raise ValueError(f"{name} must take {wanted} numbers, got a function of {inspect.signature(value)}")
    return value
