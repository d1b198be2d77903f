"""Arrays and records at addresses, rows of matrices, and arrays that Python allocates."""

import copy

import numba
import numpy as np
import pytest
from helpers import DTYPES, LAYOUTS, arrange, framed, poisoned

from fastfnn.kernels.compiler.decorators import OPTIONS
from fastfnn.kernels.compiler.memory import (
    Matrix,
    Memory,
    Rows,
    accessor,
    address_of_record,
    aligned_zeros,
    array_at,
    as_type_of,
    contiguous_rows,
    copy_elements,
    fill_list,
    itemsize,
    keep,
    matrix_at,
    new_record,
    record,
    record_of,
    row_at,
    rows_from,
    whole_lines,
)

compiled = numba.njit(**OPTIONS)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


# Arrays at addresses


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
def converted(value, like):
    return as_type_of(value, like)


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


@compiled
def fill_row(x, first, i, columns, value):
    rows = rows_from(Rows(x.ctypes.data, x.strides[0]), first)
    row = row_at(rows, i, columns, value)
    for j in range(row.shape[0]):
        row[j] = value
    return rows.address, rows.stride


@compiled
def copy_row(out, x, count, like):
    copy_elements(out.ctypes.data, x.ctypes.data, count, like)


@compiled
def listed(out, first, step, count):
    fill_list(out.ctypes.data, first, step, count)


@compiled
def up_to_whole_lines(size):
    return whole_lines(size)


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


@every_dtype
def test_a_number_takes_the_type_of_another(dtype):
    assert converted(3, dtype.type(1)) == 3
    assert converted(1 / 3, dtype.type(1)) == dtype.type(1 / 3)
    assert converted(2.75, np.int64(1)) == 2


def test_an_array_is_kept_until_its_last_use():
    assert sum_of_new(1000) == 1000


@every_dtype
@pytest.mark.parametrize(("first", "i"), [(0, 0), (0, 3), (2, 1)])
def test_rows_at_an_address(first, i, dtype):
    surroundings = poisoned((5, 9), dtype)
    assert fill_row(surroundings, first, i, 4, dtype.type(2)) == (
        surroundings[first:].ctypes.data, surroundings.strides[0],
    )  # fmt: skip
    assert (surroundings[first + i, :4] == 2).all()
    assert np.isfinite(surroundings).sum() == 4


def test_rows_may_go_backwards():
    x = np.zeros((5, 4))
    fill_row(x[::-1], 1, 1, 4, 2.0)
    np.testing.assert_array_equal(np.flatnonzero(x.any(axis=1)), [2])


@every_dtype
@pytest.mark.parametrize("count", [0, 1, 5, 16, 33])
def test_elements_are_copied(count, dtype):
    x = np.arange(40).astype(dtype)
    with framed((count,), dtype=dtype) as (out,):
        copy_row(out, x[2:], count, dtype.type(1))
        np.testing.assert_array_equal(out, x[2 : 2 + count])


def test_a_list_of_numbers():
    with framed((4,), dtype=np.int64) as (out,):
        listed(out, 10, -3, 4)
        assert out.tolist() == [10, 7, 4, 1]


@pytest.mark.parametrize(("size", "want"), [(0, 0), (1, 64), (63, 64), (64, 64), (65, 128), (1000, 1024)])
def test_sizes_in_whole_cache_lines(size, want):
    assert up_to_whole_lines(size) == want


@every_dtype
@pytest.mark.parametrize("stride", [7, 11, -11])
def test_a_matrix_at_an_address_is_a_view(stride, dtype):
    memory = np.arange(100).astype(dtype)
    view = matrix_at(memory[50:].ctypes.data, 3, 4, stride * dtype.itemsize, dtype)
    np.testing.assert_array_equal(view, 50 + stride * np.arange(3)[:, np.newaxis] + np.arange(4))
    view[1, 2] = -1
    assert memory[50 + stride + 2] == -1


def test_memory_keeps_its_owner_alive():
    owner = np.arange(5.0)
    array = np.asarray(Memory(owner.ctypes.data, (5,), None, owner.dtype, owner))
    assert array.base.owner is owner


# Records


class Work:
    """Fields of both types."""

    count: int
    rate: float
    address: int
    scale: float


WORK = record_of(Work)
work_at = accessor(WORK)


@compiled
def increment(address):
    work = work_at(address)
    work.count += 1
    work.rate *= 2
    work.address, work.scale = address, work.rate + work.count
    return work.count, work.rate


@compiled
def address_twice(address):
    return address_of_record(work_at(address))


@compiled
def fields_of_new():
    work = new_record(WORK)
    return work.count, work.rate, work.address, work.scale


@compiled
def rounds(count):
    """A record is zeros each time that it is made, and another one than that of another line."""
    total = 0
    other = new_record(WORK)
    other.count = 7
    for _ in range(count):
        work = new_record(WORK)
        work.count += 1
        work_at(address_of_record(work)).count += 10
        total += work.count
    return total, other.count, address_of_record(other) % 8


def test_a_record_has_aligned_fields_of_64_bits():
    assert record(count=int, rate=float, address=int, scale=float) == WORK
    assert WORK.names == ("count", "rate", "address", "scale")
    assert [WORK[name] for name in WORK.names] == [np.int64, np.float64] * 2
    assert [WORK.fields[name][1] for name in WORK.names] == [0, 8, 16, 24] and WORK.itemsize == 32


def test_compiled_code_and_numpy_read_and_write_the_same_fields():
    works = np.zeros(3, WORK)
    works["count"], works["rate"] = [10, 20, 30], [0.5, 0.25, 0.125]
    addresses = [works[i:].ctypes.data for i in range(3)]
    assert increment(addresses[1]) == (21, 0.5)
    assert works.tolist() == [(10, 0.5, 0, 0), (21, 0.5, addresses[1], 21.5), (30, 0.125, 0, 0)]
    works["count"][1] = -5
    assert increment(addresses[1]) == (-4, 1.0)
    assert works[1].tolist() == (-4, 1.0, addresses[1], -3.0)


def test_the_address_of_a_record():
    works = np.zeros(3, WORK)
    for i in range(3):
        assert address_twice(works[i:].ctypes.data) == works[i:].ctypes.data


def test_a_new_record_is_zeroed():
    dirty = np.full(10000, 0xFF, np.uint8)  # so that freed memory is not zeros anyway
    del dirty
    assert fields_of_new() == (0, 0.0, 0, 0.0)
    assert rounds(5) == (55, 7, 0)


def test_a_matrix_holds_address_and_strides():
    assert Matrix._fields == ("address", "row", "column") and Rows._fields == ("address", "stride")


# Arrays that Python allocates


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
