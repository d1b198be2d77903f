"""A user's activations: two functions of one number in Python, compiled into a function like those of activations/.

It is called through `call_on_block`; its address is the code of the activation.
"""

import numpy as np

from ..compiler.memory import Rows, row_at
from ..compiler.signature import Real
from ..compiler.writer import widest_vectors
from .user_functions import Function, Given, compile_block, number, takes

# Templates: `compile_block` puts the user's functions into their globals, as `value` and `slope_of`.


def _of_input(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    widest_vectors()
    for i in range(rows):
        x = row_at(target, i, columns, one)
        if other.address == 0:
            for j in range(columns):
                x[j] = number(value(x[j]))  # type: ignore[name-defined] # noqa: F821
        else:
            slope = row_at(other, i, columns, one)
            for j in range(columns):
                u = x[j]
                x[j] = number(value(u))  # type: ignore[name-defined] # noqa: F821
                slope[j] = number(slope_of(u))  # type: ignore[name-defined] # noqa: F821


def _of_input_and_output(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    widest_vectors()
    for i in range(rows):
        x = row_at(target, i, columns, one)
        if other.address == 0:
            for j in range(columns):
                x[j] = number(value(x[j]))  # type: ignore[name-defined] # noqa: F821
        else:
            slope = row_at(other, i, columns, one)
            for j in range(columns):
                u = x[j]
                y = number(value(u))  # type: ignore[name-defined] # noqa: F821
                x[j] = y
                slope[j] = number(slope_of(u, x[j]))  # type: ignore[name-defined] # noqa: F821


def compile_activation(forward: Function, derivative: Function, dtype: np.dtype) -> int:
    """The code of an activation f, for arrays of a dtype, from scalar functions in Python.

    forward     f(x)
    derivative  f'(x), or f' as a function of x and y = f(x)
    dtype       float32 or float64

    Both functions take numbers of the dtype and have no optional arguments. They may call functions of math and NumPy
    and functions like themselves, and must not raise. The compiled code is cached on disk under a fingerprint of their
    code and of what it refers to.

    Raises ValueError, with the line of the user's code, if Numba cannot compile one of them.
    """
    real = np.dtype(dtype)
    template = _of_input if takes(derivative) == 1 else _of_input_and_output
    given = {"value": Given("forward", forward, real), "slope_of": Given("derivative", derivative, real)}
    return compile_block("activation", template, given, real)
