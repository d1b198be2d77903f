"""What the tests of products share: kernels called from Python, arrays between marks, functions as epilogues."""

import numpy as np
from helpers import NOJIT, from_python

from fastfnn.kernels.compiler.decorators import address_of, shared
from fastfnn.kernels.compiler.memory import Rows, row_at
from fastfnn.kernels.compiler.signature import Real

MARK = 12345.0
MARGIN = 64  # elements on either side: wider than any vector


def callable_from_python(function, *called):
    """A function of compiled code whose last argument is a scalar of the dtype, and the shared functions it calls."""
    if NOJIT:
        return function
    compiled = from_python(function)

    def call(*arguments):
        for each in called:
            address_of(each, np.dtype(type(arguments[-1])))
        return compiled(*arguments)

    return call


class Buffer:
    """A copy of a matrix, with room for `padding` elements behind each row, between marks."""

    def __init__(self, values, padding=0):
        values = np.atleast_2d(values)
        rows, columns = values.shape
        self.memory = np.full((rows + 2, MARGIN + columns + padding + MARGIN), MARK, values.dtype)
        self.array = self.memory[1:-1, MARGIN : MARGIN + columns]
        self.array[...] = values
        self.inside = self.memory[1:-1, MARGIN : MARGIN + columns + padding]

    @property
    def address(self):
        return self.array.ctypes.data

    @property
    def rows(self):
        return Rows(self.array.ctypes.data, self.memory.strides[0])

    def take(self):
        """The matrix; all that surrounds it must be as it was."""
        values = self.array.copy()
        self.inside[...] = MARK
        assert np.all(self.memory == MARK), "written outside the result"
        return values


def lists_of(a):
    """The two lists of a left factor; behind the second one more number can be read than there are columns."""
    rows = a.ctypes.data + a.strides[0] * np.arange(a.shape[0])
    return rows.astype(np.int64), np.append(a.strides[1] * np.arange(a.shape[1]), 0).astype(np.int64)


@shared
def double_and_keep(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """target = 2 target + 1, as an activation; other = target before, as its slopes, if there is such a matrix."""
    for i in range(rows):
        row = row_at(target, i, columns, one)
        for j in range(columns):
            value = row[j]
            row[j] = value + value + one
            if other.address != 0:
                row_at(other, i, columns, one)[j] = value


@shared
def times_other(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """target *= other, as the derivative of an activation."""
    for i in range(rows):
        row, factors = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            row[j] *= factors[j]
