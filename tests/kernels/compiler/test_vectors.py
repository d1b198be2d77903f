"""Arrays at addresses, squares transposed in registers, and rows that can be loaded as vectors."""

import copy
import re

import numba
import numpy as np
import pytest
from fastfnn.kernels.compiler.jit import OPTIONS, inner
from fastfnn.kernels.compiler.vectors import (
    SQUARE,
    aligned_zeros,
    array_at,
    contiguous_rows,
    itemsize,
    keep,
    transpose_squares,
    widest_vectors,
)
from helpers import DTYPES, LAYOUTS, arrange, framed, poisoned, unchanged

compiled = numba.njit(**OPTIONS)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@compiled
def transpose(out, x):
    high, wide = x.shape[0] // SQUARE, x.shape[1] // SQUARE
    transpose_squares(out.ctypes.data, out.strides[0], x.ctypes.data, x.strides[0], high, wide, x.dtype.type(1))


@compiled
def copy_at(out, address, count):
    source = array_at(address, count, out.dtype.type(1))
    for i in range(source.shape[0]):
        out[i] = source[i]
    return source.shape[0], source.itemsize


@compiled
def fill_at(address, count, value):
    target = array_at(address, count, value)
    for i in range(count):
        target[i] = value


@compiled
def size_of(like):
    return itemsize(like)


@compiled
def sum_of_new(count):
    """Of an array that nothing but an address refers to while it is read."""
    array = np.empty(count)
    address = array.ctypes.data
    fill_at(address, count, 1.0)
    others = np.empty(count)  # would get the memory of an array that was freed
    fill_at(others.ctypes.data, count, 2.0)
    total = 0.0
    for value in array_at(address, count, 1.0):
        total += value
    return total + keep(array) + keep(others)


every_number_of_squares = pytest.mark.parametrize(("high", "wide"), [(1, 1), (1, 3), (2, 1), (2, 2)])


def squares(high, wide, dtype):
    """Every element another number, and one of them NaN."""
    x = (1 + np.arange(high * wide * SQUARE * SQUARE, dtype=dtype)).reshape(high * SQUARE, wide * SQUARE)
    x[2, 5] = np.nan
    return x


@every_dtype
@every_number_of_squares
@pytest.mark.parametrize("more", [0, 1, 42])  # elements from row to row: none is left over, they are not aligned
def test_squares_are_transposed(more, high, wide, dtype):
    rows, columns = high * SQUARE, wide * SQUARE
    spaced, out = poisoned((rows, columns + more), dtype), poisoned((columns, rows + more), dtype)
    x = spaced[:, :columns]
    x[...] = squares(high, wide, dtype)
    with unchanged(spaced):
        transpose(out[:, :rows], x)
    np.testing.assert_array_equal(out[:, :rows], x.T)
    assert np.all(np.isnan(out[:, rows:]))


@every_dtype
@every_number_of_squares
def test_rows_of_squares_may_go_backwards(high, wide, dtype):
    x, out = squares(high, wide, dtype), poisoned((wide * SQUARE, high * SQUARE), dtype)
    transpose(out[::-1], x)
    np.testing.assert_array_equal(out, x.T[::-1])
    transpose(out, x[::-1])
    np.testing.assert_array_equal(out, x[::-1].T)


@every_dtype
@every_number_of_squares
def test_nothing_outside_the_squares_is_written(high, wide, dtype):
    with framed((wide * SQUARE, high * SQUARE), dtype=dtype) as (out,):
        transpose(out, squares(high, wide, dtype))


@every_dtype
@pytest.mark.parametrize("count", [0, 1, 7, 33])
def test_an_array_at_an_address(count, dtype):
    x = np.arange(40).astype(dtype)
    out = poisoned(40, dtype)
    assert copy_at(out, x[3:].ctypes.data, count) == (count, dtype.itemsize)
    np.testing.assert_array_equal(out[:count], x[3 : 3 + count])
    fill_at(x[3:].ctypes.data, count, dtype.type(0.25))
    np.testing.assert_array_equal(np.flatnonzero(x == 0.25), np.arange(3, 3 + count))


@pytest.mark.parametrize("like", [np.float32(1), np.float64(1), np.int64(1)])
def test_bytes_of_a_scalar(like):
    assert size_of(like) == like.itemsize


def test_an_array_is_kept_until_its_last_use():
    assert sum_of_new(1000) == 1000


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 5), (5, 1), (5, 7)])
def test_rows_are_contiguous_afterwards(shape, layout, dtype):
    x = arrange(np.arange(shape[0] * shape[1]).reshape(shape).astype(dtype), layout)
    got = contiguous_rows(x)
    np.testing.assert_array_equal(got, x)
    assert got.size == 0 or shape[1] < 2 or got.strides[1] == dtype.itemsize


def test_rows_that_are_contiguous_are_not_copied():
    x = np.zeros((6, 9))
    for view in (x, x[:, 2:5], x[::2], x[::-1], x[:, :1], x[:, 4:4], x[::-2, 3:4]):
        assert contiguous_rows(view) is view
    for view in (x[:, ::2], x[:, ::-1], x.T):
        assert contiguous_rows(view) is not view


@pytest.mark.parametrize("shape", [0, 1, 17, (3, 5), (0, 4), (1000, 33)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_aligned_arrays_begin_with_a_cache_line_and_are_no_views(shape, dtype):
    for _ in range(20):
        array = aligned_zeros(shape, np.dtype(dtype))
        assert array.shape == np.empty(shape).shape and array.dtype == dtype
        assert array.flags.carray and array.ctypes.data % 64 == 0
        assert not isinstance(array.base, np.ndarray)
        assert not array.any()
        array[...] = 3
        twin = copy.deepcopy({"a": array, "b": array})
        assert twin["a"] is twin["b"] and np.all(twin["a"] == 3)


@inner
def doubled(x):
    widest_vectors()
    for i in range(x.shape[0]):
        x[i] *= 2


@pytest.mark.jit
def test_a_function_that_asks_for_the_widest_vectors_is_not_inlined_and_has_its_setting():
    @numba.njit(["void(float32[::1])"])
    def call(x):
        doubled(x)

    (code,) = call.inspect_llvm().values()
    (group,) = re.findall(r"define .*doubled.* #(\d+) ", code)
    (attributes,) = re.findall(rf"attributes #{group} = {{(.*)}}", code)
    assert "noinline" in attributes and '"prefer-vector-width"="512"' in attributes
    x = np.arange(100, dtype=np.float32)
    call(x)
    assert x.tolist() == list(range(0, 200, 2))
