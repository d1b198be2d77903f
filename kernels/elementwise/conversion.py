"""Samples of another dtype or layout than products read: converted to rows of a buffer, and checked on the way.

Each thread converts what it is about to multiply, see training/batch.py and network/prediction.py, so that no copy of
all samples exists. There is a function for each dtype, called by its address: a process compiles those that it needs.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from ..compiler.decorators import address_of, called_through, entry, inner, shared
from ..compiler.memory import Matrix, Memory, Rows, array_at, itemsize, matrix_at
from ..compiler.signature import Real, WrittenVector
from ..tuning import ELEMENTS_PER_CHECK


@called_through
def call_convert(  # type: ignore[empty-body]
    function: int, target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real
) -> int:
    """Convert rows of a matrix to contiguous rows of the dtype: the prototype of the functions of this file.

    target  Rows (rows, columns)    written
    source  Matrix                  read: of the function's dtype, with any strides; elements need not be aligned
    order   address of (rows,) int64: which rows of the source; or 0 for the first ones

    Numbers become what NumPy's `astype` makes of them. Returns 1 if any is not finite then, else 0.
    """


def _numbers(kind, layout, stride_of):
    """The type of numbers at an address, and the code that makes an array of them; see the two below."""
    # float16, which compiled code cannot compute with, as its bits
    element = types.uint16 if kind.dtype == types.float16 else kind.dtype

    def code(context, builder, signature, values):
        result = signature.return_type
        array = make_array(result)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_value_type(element)))
        pointer = builder.inttoptr(values[0], array.data.type)
        populate_array(array, pointer, [values[1]], [stride_of(values, size)], size, meminfo=None)
        return array._getvalue()

    return types.Array(element, 1, layout, aligned=False), code


@intrinsic
def _numbers_at(_context, address, count, stride, kind):
    result, code = _numbers(kind, "A", lambda values, _size: values[2])
    return result(types.intp, types.intp, types.intp, kind), code


@intrinsic
def _contiguous_at(_context, address, count, kind):
    result, code = _numbers(kind, "C", lambda _values, size: size)
    return result(types.intp, types.intp, kind), code


def _emit_half(builder, bits):
    """The float32 of the bits of a float16: by integer operations, since not every processor has an instruction."""
    single, word = ir.FloatType(), ir.IntType(32)
    bits = builder.zext(bits, word)
    magnitude = builder.and_(bits, word(0x7FFF))
    shifted = builder.shl(magnitude, word(13))
    normal = builder.add(shifted, word((127 - 15) << 23))
    small = builder.bitcast(builder.fmul(builder.sitofp(magnitude, single), single(2.0**-24)), word)
    special = builder.or_(shifted, word(0x7F800000))  # infinity and NaN
    number = builder.select(builder.icmp_signed("<", magnitude, word(0x0400)), small, normal)
    number = builder.select(builder.icmp_signed(">=", magnitude, word(0x7C00)), special, number)
    sign = builder.shl(builder.and_(bits, word(0x8000)), word(16))
    return builder.bitcast(builder.or_(number, sign), single)


@intrinsic
def _as_real(_context, value, kind, one):
    def code(context, builder, signature, values):
        if kind.dtype == types.float16:
            return context.cast(builder, _emit_half(builder, values[0]), types.float32, one)
        return context.cast(builder, values[0], signature.args[0], one)

    return one(value, kind, one), code


@inner
def _convert_row(result, numbers, kind, one):
    largest, wrong = np.finfo(result.dtype).max, False
    for j in range(result.shape[0]):
        value = _as_real(numbers[j], kind, one)
        result[j] = value
        wrong |= not (abs(value) <= largest)
    return wrong


@inner
def _convert_column(target, stride, numbers, indices, ordered, rows, kind, one):
    largest, wrong = np.finfo(array_at(0, 0, one).dtype).max, False
    for i in range(rows):
        value = _as_real(numbers[indices[i] if ordered else i], kind, one)
        array_at(target + i * stride, 1, one)[0] = value
        wrong |= not (abs(value) <= largest)
    return wrong


@inner
def _convert(target, source, order, rows, columns, kind, size, one):
    wrong, indices, item = False, array_at(order, rows, 0), itemsize(one)
    if abs(source.row) < abs(source.column):  # the samples lie side by side: feature by feature, as memory is laid out
        for j in range(columns):
            numbers = _numbers_at(source.address + j * source.column, rows, source.row, kind)
            wrong |= _convert_column(
                target.address + j * item, target.stride, numbers, indices, order != 0, rows, kind, one
            )
        return 1 if wrong else 0
    for i in range(rows):
        result = array_at(target.address + i * target.stride, columns, one)
        address = source.address + (indices[i] if order != 0 else i) * source.row
        if source.column == size:
            wrong |= _convert_row(result, _contiguous_at(address, columns, kind), kind, one)
        else:
            wrong |= _convert_row(result, _numbers_at(address, columns, source.column, kind), kind, one)
    return 1 if wrong else 0


def _plain_convert(target, source, order, rows, columns, kind, _size, one):
    """In place of loops over elements, which would be slow in plain Python."""
    if rows * columns == 0:
        return 0
    indices = array_at(order, rows, 0) if order != 0 else np.arange(rows)
    shape, strides = (int(indices.max()) + 1, int(columns)), (int(source.row), int(source.column))
    given = np.asarray(Memory(source.address, shape, strides, np.dtype(kind)))
    result = matrix_at(target.address, rows, columns, target.stride, np.dtype(type(one)))
    with np.errstate(over="ignore"):
        result[...] = given[indices]
    return 0 if np.isfinite(result).all() else 1


convert: Any = _plain_convert if numba.config.DISABLE_JIT else _convert


@shared
def convert_uint8(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.uint8, 1, one)


@shared
def convert_uint16(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.uint16, 2, one)


@shared
def convert_uint32(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.uint32, 4, one)


@shared
def convert_uint64(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.uint64, 8, one)


@shared
def convert_int8(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.int8, 1, one)


@shared
def convert_int16(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.int16, 2, one)


@shared
def convert_int32(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.int32, 4, one)


@shared
def convert_int64(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.int64, 8, one)


@shared
def convert_float16(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.float16, 2, one)


@shared
def convert_float32(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.float32, 4, one)


@shared
def convert_float64(target: Rows, source: Matrix, order: int, rows: int, columns: int, one: Real) -> int:
    return convert(target, source, order, rows, columns, np.float64, 8, one)


# The functions by dtype, as the last characters of its `str`. A bool is a byte of 0 or 1.
_CONVERTERS = {
    "b1": convert_uint8, "u1": convert_uint8, "u2": convert_uint16, "u4": convert_uint32, "u8": convert_uint64,
    "i1": convert_int8, "i2": convert_int16, "i4": convert_int32, "i8": convert_int64,
    "f2": convert_float16, "f4": convert_float32, "f8": convert_float64,
}  # fmt: skip

# How samples are read where they lie, in place of a dtype.
IN_PLACE = ""


def is_convertible(dtype: np.dtype[Any]) -> bool:
    """Whether there is a function for a dtype."""
    return dtype.isnative and dtype.str[1:] in _CONVERTERS


def converter(source: str, dtype: np.dtype[Any]) -> int:
    """The address of the function that converts from a dtype, see `source_of`, to that of a network."""
    return address_of(_CONVERTERS[source], dtype)


def source_of(x: np.ndarray, dtype: np.dtype[Any]) -> str:
    """How a network of a dtype reads the samples x: IN_PLACE, or from which dtype they are converted."""
    if x.dtype == dtype and x.flags.aligned and (x.shape[1] < 2 or x.strides[1] == x.itemsize):
        return IN_PLACE
    return x.dtype.str[1:]


def enter_samples(record: np.void, x: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Enter samples to be converted in the record of a job; returns what its entry point takes in their place.

    That is as many rows of the network's dtype, without features: an entry point takes arrays of one dtype.
    """
    record["x"], (record["x_row"], record["x_column"]) = x.__array_interface__["data"][0], x.strides
    return np.empty((len(x), 0), dtype)


@entry
def _all_finite(
    room: WrittenVector, function: int, address: int, rows: int, columns: int, row: int, column: int
) -> bool:
    one = room.dtype.type(1)
    at_once, wrong = max(room.shape[0] // max(columns, 1), 1), 0
    target = Rows(np.int64(room.ctypes.data), columns * room.itemsize)  # type: ignore[arg-type]
    for top in range(0, rows, at_once):
        source = Matrix(address + top * row, row, column)
        wrong |= call_convert(function, target, source, 0, min(at_once, rows - top), columns, one)
    return wrong == 0


def all_finite_as(x: np.ndarray, dtype: np.dtype[Any]) -> bool:
    """Whether all numbers of a matrix are finite in a dtype: in one pass, and without a copy of the whole.

    x  (N, I)  read; of a dtype that `is_convertible` accepts, with any strides
    """
    if abs(x.strides[0]) < abs(x.strides[1]):
        x = x.T  # in the order of the memory
    room = np.empty(max(ELEMENTS_PER_CHECK, x.shape[1]), dtype)
    function, address = converter(x.dtype.str[1:], dtype), x.__array_interface__["data"][0]
    return bool(_all_finite(room, function, address, *x.shape, *x.strides))
