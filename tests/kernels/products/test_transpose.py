"""Transposition of any matrix: whole squares, what is left over, and nothing beside it."""

import numpy as np
import pytest
from buffers import callable_from_python
from helpers import DTYPES, NOJIT, framed, poisoned, unchanged

from fastfnn.kernels.compiler.memory import Rows
from fastfnn.kernels.products.transpose import SQUARE, transpose, transpose_squares

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_number_of_squares = pytest.mark.parametrize(("high", "wide"), [(1, 1), (1, 3), (2, 1), (2, 2)])

call_squares, call = callable_from_python(transpose_squares), callable_from_python(transpose)
SIZES = (1, SQUARE - 1, SQUARE, SQUARE + 1, 2 * SQUARE, 3 * SQUARE + 2, 5 * SQUARE) if not NOJIT else (1, 9, 17)


def rows_of(x):
    return Rows(x.ctypes.data, x.strides[0])


def transpose_blocks(out, x):
    call_squares(rows_of(out), rows_of(x), x.shape[0] // SQUARE, x.shape[1] // SQUARE, x.dtype.type(1))


def numbered(rows, columns, dtype):
    """Every element another number, and one of them NaN."""
    x = (1 + np.arange(rows * columns, dtype=dtype)).reshape(rows, columns)
    x[rows // 4, columns // 2] = np.nan
    return x


@every_dtype
@every_number_of_squares
@pytest.mark.parametrize("more", [0, 1, 42])  # elements from row to row: none is left over, they are not aligned
def test_squares_are_transposed(more, high, wide, dtype):
    rows, columns = high * SQUARE, wide * SQUARE
    spaced, out = poisoned((rows, columns + more), dtype), poisoned((columns, rows + more), dtype)
    x = spaced[:, :columns]
    x[...] = numbered(rows, columns, dtype)
    with unchanged(spaced):
        transpose_blocks(out[:, :rows], x)
    np.testing.assert_array_equal(out[:, :rows], x.T)
    assert np.all(np.isnan(out[:, rows:]))


@every_dtype
@every_number_of_squares
def test_rows_of_squares_may_go_backwards(high, wide, dtype):
    x, out = numbered(high * SQUARE, wide * SQUARE, dtype), poisoned((wide * SQUARE, high * SQUARE), dtype)
    transpose_blocks(out[::-1], x)
    np.testing.assert_array_equal(out, x.T[::-1])
    transpose_blocks(out, x[::-1])
    np.testing.assert_array_equal(out, x[::-1].T)


@every_dtype
@every_number_of_squares
def test_nothing_outside_the_squares_is_written(high, wide, dtype):
    with framed((wide * SQUARE, high * SQUARE), dtype=dtype) as (out,):
        transpose_blocks(out, numbered(high * SQUARE, wide * SQUARE, dtype))


@every_dtype
@pytest.mark.parametrize("rows", SIZES)
@pytest.mark.parametrize("columns", SIZES)
def test_any_matrix_is_transposed(rows, columns, dtype):
    x = numbered(rows, columns, dtype)
    with framed((columns, rows), dtype=dtype) as (out,), unchanged(x):
        call(rows_of(out), rows_of(x), rows, columns, dtype.type(1))
        np.testing.assert_array_equal(out, x.T)
