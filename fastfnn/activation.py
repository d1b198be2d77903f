"""Activation: an activation function that a user writes in Python, compiled and as fast as the built-in ones."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from fastfnn.arrays import real_arrays, rows
from fastfnn.backend import BACKENDS
from fastfnn.own_functions import Function, OwnFunctions


class Activation(OwnFunctions):
    """An activation function f, given by two functions of one number.

    Parameters
    ----------
    forward : function
        The function f(x): a Python function, or a NumPy ufunc such as ``np.sin``.
    derivative : function
        The derivative f'(x), or f' as a function of x and y = f(x), which often saves work.
    name : str, optional
        What `FNN.summary` prints and a saved network remembers; by default the name of `forward`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not a function of one or two numbers.

    Notes
    -----
    Both functions are compiled by Numba for float32 or float64 when they are first needed, and cached on disk. They may
    use arithmetic, conditions, loops, functions of `math` and of NumPy on one number, and other such functions. What
    Numba cannot compile raises a ValueError with the line, when a network or an array first needs the activation.

    Nothing checks that `derivative` is the derivative of `forward`: compare `FNN.gradient` with
    `FNN.numerical_gradient` once.

    An Activation can be called with an array of any shape. It is immutable; pickle takes it if the functions are those
    that a module defines by ``def``, or ufuncs.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> import numpy as np
    >>> def bent(x):
    ...     return x / (1 + abs(x))
    >>> softsign = fnn.Activation(bent, lambda x: 1 / (1 + abs(x)) ** 2, name="softsign")
    >>> softsign([-1.0, 0.0, 1.0])
    array([-0.5,  0. ,  0.5])
    >>> fnn.FNN((4, 8, 3), activation=softsign)
    FNN(4-8-3, softsign; softmax_cross_entropy; float32)
    >>> fnn.FNN((4, 8, 8, 3), activation=(fnn.Activation(np.sin, np.cos), softsign))
    FNN(4-8-8-3, sin, softsign; softmax_cross_entropy; float32)
    """

    _takes: ClassVar = {"forward": (1,), "derivative": (1, 2)}
    _compile: ClassVar = "compile_activation"

    def __init__(self, forward: Function, derivative: Function, name: str | None = None) -> None:
        super().__init__(forward, derivative, name)

    @property
    def forward(self) -> Function:
        """The function f, as it was given."""
        return self._functions["forward"]

    @property
    def derivative(self) -> Function:
        """The derivative f', as it was given."""
        return self._functions["derivative"]

    def __call__(self, x: npt.ArrayLike) -> np.ndarray:
        """Return f of each element of x, of any shape; float32 for float32, else float64."""
        (array,) = real_arrays(x=x)
        out = np.empty(array.shape, array.dtype)
        BACKENDS["kernels"].activation_forward(rows(out), rows(array), self.code("kernels", array.dtype))
        return out[()]  # a number for a number, like NumPy's functions

    def derivative_at(self, x: npt.ArrayLike) -> np.ndarray:
        """Return f' of each element of x.

        Parameters
        ----------
        x : array, any shape
            Inputs of f.

        Returns
        -------
        array
            In the shape of x: float32 for float32, else float64.

        Raises
        ------
        TypeError, ValueError
            If x does not hold real numbers, or Numba cannot compile the function.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> import numpy as np
        >>> fnn.Activation(np.sin, np.cos).derivative_at([0.0, np.pi])
        array([ 1., -1.])
        """
        (array,) = real_arrays(x=x)
        slope = np.ones(array.shape, array.dtype)
        code = self.code("kernels", array.dtype)
        BACKENDS["kernels"].activation_backward(rows(slope), rows(slope), rows(array), code)
        return slope[()]
