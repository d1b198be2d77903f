"""Codes of functions that a user gives: numbers by which activations.py and losses.py find them again."""

import itertools
import weakref
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Function = Callable[..., float]

FIRST = 1000  # the first code, larger than those of the built-in functions
_numbers = itertools.count(FIRST)


class _Functions:
    """A function and its derivative, of arrays."""

    def __init__(self, function: Function, derivative: Function, dtype: npt.DTypeLike) -> None:
        self.function: Callable[..., np.ndarray] = np.vectorize(function, otypes=[dtype])
        self.derivative: Callable[..., np.ndarray] = np.vectorize(derivative, otypes=[dtype])


_given: weakref.WeakValueDictionary[int, _Functions] = weakref.WeakValueDictionary()


class Code(int):
    """The code of two functions of numbers, which is valid as long as this object lives.

    fixed  they are not compiled: the code stands for what they compute whenever they are called
    """

    fixed = True
    _functions: _Functions

    def __new__(cls, function: Function, derivative: Function, dtype: npt.DTypeLike) -> "Code":
        """Give two functions a number."""
        self = super().__new__(cls, next(_numbers))
        self._functions = _given[int(self)] = _Functions(function, derivative, dtype)
        return self


def functions_of(code: int) -> _Functions:
    """Return the functions of a code."""
    return _given[int(code)]
