"""Memory as kernels see it: arrays and records at addresses, rows of matrices, cache lines.

Kernels pass addresses, and what belongs to them, in named tuples: compiled code passes the fields one by one, at no
cost. An address of 0 stands for an array that does not exist.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from ..tuning import BYTES_PER_CACHE_LINE
from .decorators import inner


class Rows(NamedTuple):
    """Rows of contiguous elements: the address of the first, and the bytes from one row to the next."""

    address: int
    stride: int


class Matrix(NamedTuple):
    """A matrix at an address: the bytes from one row to the next, and from one column to the next."""

    address: int
    row: int
    column: int


NO_ROWS = Rows(0, 0)


# Arrays at addresses


@intrinsic
def _array_at(_context, address, count, like):
    def code(context, builder, signature, values):
        kind = signature.return_type
        array = make_array(kind)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_value_type(like)))
        pointer = builder.inttoptr(values[0], array.data.type)
        populate_array(array, pointer, [values[1]], [size], size, meminfo=None)
        return array._getvalue()

    return types.Array(like, 1, "C")(types.intp, types.intp, like), code


class Memory:
    """Memory at an address for NumPy to make an array of; `owner` is kept alive with the array."""

    def __init__(
        self, address: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: np.dtype, owner: Any = None
    ) -> None:
        self.owner = owner
        self.__array_interface__: dict[str, Any] = {
            "data": (int(address), False), "shape": shape, "strides": strides, "typestr": dtype.str, "version": 3,
            **({"descr": dtype.descr} if dtype.names else {}),
        }  # fmt: skip


def matrix_at(address: int, rows: int, columns: int, stride: int, dtype: np.dtype) -> np.ndarray:
    """A matrix at an address, its rows `stride` bytes apart: for the Python that stands in for LLVM functions."""
    return np.asarray(Memory(address, (int(rows), int(columns)), (int(stride), dtype.itemsize), dtype))


def _plain_array_at(address, count, like):
    dtype = np.dtype(type(like))
    if address == 0:  # there is nothing, and NumPy makes no array of it
        return np.empty(0, dtype)
    return np.asarray(Memory(address, (int(count),), (dtype.itemsize,), dtype))


# A contiguous array of `count` elements of the type of `like` at an address: array_at(address, count, like).
array_at: Any = _plain_array_at if numba.config.DISABLE_JIT else _array_at


@inner
def row_at(rows, i, count, like):
    """Row i of `rows`, as an array of `count` elements of the type of `like`."""
    return array_at(rows.address + i * rows.stride, count, like)


@inner
def rows_from(rows, i):
    """The rows from number i on."""
    return Rows(rows.address + i * rows.stride, rows.stride)


@inner
def itemsize(like):
    """Bytes of a scalar."""
    return array_at(0, 0, like).itemsize


@inner
def as_type_of(value, like):
    """A number converted to the type of another one."""
    return array_at(0, 0, like).dtype.type(value)


@inner
def copy_elements(target, source, count, like):
    """Copy `count` contiguous elements from one address to another."""
    values, result = array_at(source, count, like), array_at(target, count, like)
    for j in range(count):
        result[j] = values[j]


@inner
def fill_list(numbers, first, step, count):
    """Write the list of `count` int64 at an address: first, first + step, ..."""
    values = array_at(numbers, count, np.int64(0))
    for i in range(count):
        values[i] = first + i * step


# Records at addresses

# From an address to the record that lies there.
RecordAt = Callable[[int], Any]


def record(**fields: type) -> np.dtype:
    """The dtype of a record with these fields, each an int or a float of 64 bits."""
    return np.dtype([(name, np.int64 if kind is int else np.float64) for name, kind in fields.items()], align=True)


def record_of(documented: type) -> np.dtype:
    """The dtype of a record from a class whose annotations name its fields, see `record`."""
    return record(**documented.__annotations__)


def accessor(dtype: np.dtype) -> RecordAt:
    """A function from an address to the record of a dtype that lies there; writing its fields writes to memory."""
    if numba.config.DISABLE_JIT:

        def plain(address):
            return np.asarray(Memory(address, (1,), None, dtype)).view(np.recarray)[0]

        return plain
    kind = numba.from_dtype(dtype)

    @intrinsic
    def at(_context, address):
        def code(context, builder, _signature, values):
            return builder.inttoptr(values[0], context.get_value_type(kind))

        return kind(types.intp), code

    return at


@intrinsic
def _new_record(_context, dtype):
    kind = dtype.dtype

    def code(context, builder, _signature, _values):
        size = kind.size // 8
        memory = cgutils.alloca_once(builder, context.get_value_type(types.intp), size)
        cgutils.memset(builder, memory, context.get_constant(types.intp, kind.size), 0)
        return builder.bitcast(memory, context.get_value_type(kind))

    return kind(dtype), code


def _plain_new_record(dtype):
    return np.zeros(1, dtype).view(np.recarray)[0]


@intrinsic
def _address_of_record(_context, instance):
    def code(context, builder, _signature, values):
        return builder.ptrtoint(values[0], context.get_value_type(types.intp))

    return types.intp(instance), code


def _plain_address_of_record(instance):
    return instance.view(np.uint8).ctypes.data if instance.ndim else np.asarray(instance).ctypes.data


# A record of zeros that lives as long as the compiled function that makes it: new_record(dtype).
new_record: Any = _plain_new_record if numba.config.DISABLE_JIT else _new_record
# The address of a record.
address_of_record: Any = _plain_address_of_record if numba.config.DISABLE_JIT else _address_of_record


# Arrays that Python allocates


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new contiguous array of zeros that begins with a cache line."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    memory = np.zeros(math.prod(shape) * dtype.itemsize + BYTES_PER_CACHE_LINE, np.uint8)
    address = memory.__array_interface__["data"][0]
    return np.asarray(Memory(address + -address % BYTES_PER_CACHE_LINE, shape, None, dtype, owner=memory))


def contiguous_rows(x: np.ndarray) -> np.ndarray:
    """`x` if its rows can be loaded as vectors, else a copy whose rows can."""
    return x if x.shape[1] < 2 or x.strides[1] == x.itemsize else np.ascontiguousarray(x)


@inner
def whole_lines(size):
    """An address, or a number of bytes, rounded up to whole cache lines."""
    return (size + BYTES_PER_CACHE_LINE - 1) // BYTES_PER_CACHE_LINE * BYTES_PER_CACHE_LINE


@inner
def keep(array):
    """0, computed from the array: the array stays alive until here if the 0 is added to something.

    Numba frees an array after its last use. Taking its address does not count as a use of its memory, nor does a call
    whose result is not used.
    """
    return 0 * array.shape[0]
