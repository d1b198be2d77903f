"""Conversion of samples: the bits are those of NumPy's `astype`, for every dtype, layout and order."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, LAYOUTS, NOJIT, arrange, from_python, unchanged

from fastfnn.kernels.compiler.memory import Matrix, Rows
from fastfnn.kernels.elementwise.conversion import (
    IN_PLACE,
    all_finite_as,
    call_convert,
    converter,
    is_convertible,
    source_of,
)

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
SOURCES = ("bool", *INTEGERS, "float16", "float32", "float64")
every_source = pytest.mark.parametrize("source", SOURCES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

_call = call_convert if NOJIT else from_python(call_convert)


def converted(x, dtype, order=None, gap=3):
    """The rows of a matrix in a dtype, and whether the function says that all are finite.

    The rows of the target lie `gap` elements apart, which must not be written.
    """
    rows = len(x) if order is None else len(order)
    room = np.full((rows, x.shape[1] + gap), 77, dtype)
    target = Rows(room.ctypes.data, room.strides[0])
    source = Matrix(x.__array_interface__["data"][0], *x.strides)
    address = 0 if order is None else order.ctypes.data
    wrong = _call(converter(x.dtype.str[1:], dtype), target, source, address, rows, x.shape[1], dtype.type(1))
    assert np.all(room[:, x.shape[1] :] == 77), "written outside the rows"
    return room[:, : x.shape[1]].copy(), wrong == 0


def in_numpy(x, dtype):
    with np.errstate(over="ignore"):
        return x.astype(dtype)


def assert_as_numpy(x, dtype, order=None):
    want = in_numpy(x if order is None else x[order], dtype)
    got, finite = converted(x, dtype, order)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert np.where(np.isnan(got), 0, got).tobytes() == np.where(np.isnan(want), 0, want).tobytes()
    assert finite == np.isfinite(want).all()


def numbers(source, rng, shape):
    """Random numbers of every magnitude that the dtype has."""
    dtype = np.dtype(source)
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        raw = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype)[..., 0]
        return raw >> rng.integers(0, 8 * dtype.itemsize, shape).astype(dtype)
    exponents = rng.integers(np.finfo(dtype).minexp - 5, np.finfo(dtype).maxexp, shape)
    with np.errstate(over="ignore"):
        return np.ldexp(rng.uniform(-1, 1, shape), exponents).astype(dtype)


def unaligned(x):
    """A copy of x whose elements begin at odd addresses."""
    room = np.zeros(x.nbytes + 1, np.uint8)
    view = room[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


ARRANGEMENTS = {
    **{layout: lambda x, layout=layout: arrange(x, layout) for layout in LAYOUTS},
    "unaligned": unaligned,
    "field of a record": lambda x: records_of(x)["x"],
    "broadcast rows": lambda x: np.broadcast_to(x[:1], x.shape),
    "broadcast columns": lambda x: np.broadcast_to(x[:, :1], x.shape),
}


def records_of(x):
    records = np.zeros(x.shape, [("before", "u1"), ("x", x.dtype), ("after", "u2")])
    records["x"] = x
    return records


@every_dtype
@every_source
@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_numbers_are_those_of_numpy_in_every_layout_and_order(arrangement, source, dtype):
    rng = np.random.default_rng(0)
    for rows, columns in ((1, 1), (7, 1), (1, 33), (5, 2), (40, 67), (0, 3), (3, 0)):
        if rows == 0 and arrangement.startswith("broadcast"):
            continue
        x = ARRANGEMENTS[arrangement](numbers(source, rng, (rows, columns)))
        for order in (None, rng.integers(0, max(rows, 1), 11 if rows else 0)):
            with unchanged(x):
                assert_as_numpy(x, dtype, order)


@every_dtype
def test_every_float16_is_converted_exactly(dtype):
    x = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    for rows in (1, 1 << 16, 1 << 8):
        assert_as_numpy(x.reshape(rows, -1), dtype)
    finite = x[np.isfinite(x)].reshape(2, -1)
    assert converted(finite, dtype)[1] and len(finite[0]) == 63488 // 2


@every_dtype
@pytest.mark.parametrize("source", ["int64", "uint64", "int32", "uint32"])
def test_large_integers_are_rounded_to_the_nearest(source, dtype):
    limits = np.iinfo(source)
    powers = 2 ** np.arange(20, 62, dtype=object)
    values = [*powers, *powers + 1, *powers - 1, *3 * powers // 2 + 1, limits.max, limits.max - 1, limits.min]
    x = np.array([value for value in values if limits.min <= value <= limits.max], source)[np.newaxis]
    assert_as_numpy(x, dtype)
    assert converted(x, dtype)[1]


@every_dtype
@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_number_that_is_not_finite_is_found_wherever_it_is(layout, source, dtype):
    for row, column in itertools.product((0, 6, 12), (0, 17, 39)):
        for value in (np.nan, np.inf, -np.inf, *([1e39, -1e300] if source == "float64" else [])):
            x = np.ones((13, 40), source)
            x[row, column] = value
            given = arrange(x, layout)
            assert_as_numpy(given, dtype)
            assert all_finite_as(given, dtype) == np.isfinite(in_numpy(x, dtype)).all()
            order = np.array([i for i in range(13) if i != row])
            assert converted(given, dtype, order)[1]


@every_dtype
def test_the_largest_numbers_are_finite(dtype):
    for source in SOURCES[1:]:
        kind = np.dtype(source)
        limits = np.finfo(np.float32 if kind == np.float64 else kind) if kind.kind == "f" else np.iinfo(kind)
        x = np.array([[limits.max, limits.min]], kind)
        assert converted(x, dtype)[1] and all_finite_as(x, dtype)


@every_dtype
@pytest.mark.parametrize("shape", [(70_001, 3), (3, 70_001), (1, 200_000), (200_000, 1)])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_all_parts_of_a_large_matrix_are_checked(layout, shape, dtype):
    x = arrange(np.ones(shape, np.float16), layout)
    assert all_finite_as(x, dtype)
    for place in (0, x.size // 2, x.size - 1):
        index = np.unravel_index(place, shape)
        x[index] = np.nan
        assert not all_finite_as(x, dtype)
        x[index] = 1
    assert all_finite_as(x, dtype)


def test_there_is_a_function_for_every_real_dtype_of_the_machine():
    assert all(is_convertible(np.dtype(source)) for source in SOURCES)
    swapped = [np.dtype(source).newbyteorder() for source in ("int16", "int64", "float16", "float32", "float64")]
    longer = ["longdouble"] if np.dtype("longdouble").itemsize > 8 else []
    for other in (*swapped, *longer, "complex64", "O", "U3", "S1", "M8[s]", "m8[s]", [("a", "f4")]):
        assert not is_convertible(np.dtype(other))


@every_dtype
def test_samples_are_read_where_they_lie_if_their_features_lie_side_by_side(dtype):
    x = np.ones((6, 8), dtype)
    locked = x.copy()
    locked.flags.writeable = False
    for same in (x, locked, x[::2], x[::-1], x[:, 2:5], x[:, :1], x[:, ::3][:, :1], np.broadcast_to(x[:1], (9, 8))):
        assert source_of(same, dtype) == IN_PLACE
    for other in (x.T, x[:, ::2], x[:, ::-1], unaligned(x), x.astype(np.int32), x.astype(dtype.newbyteorder())):
        assert source_of(other, dtype) == other.dtype.str[1:]
