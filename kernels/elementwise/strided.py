"""Rows of matrices with any strides, copied to and from contiguous memory, where functions of blocks work on them."""

from ..compiler.decorators import inner
from ..compiler.memory import array_at, itemsize


@inner
def load_row(target, matrix, i, count, one):
    """Copy row i of a matrix to `count` contiguous elements at an address."""
    result, start = array_at(target, count, one), matrix.address + i * matrix.row
    if matrix.column == itemsize(one):
        values = array_at(start, count, one)
        for j in range(count):
            result[j] = values[j]
    else:
        for j in range(count):
            result[j] = array_at(start + j * matrix.column, 1, one)[0]


@inner
def store_row(matrix, i, source, count, one):
    """Copy `count` contiguous elements at an address to row i of a matrix."""
    values, start = array_at(source, count, one), matrix.address + i * matrix.row
    for j in range(count):
        array_at(start + j * matrix.column, 1, one)[0] = values[j]
