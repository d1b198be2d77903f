"""What of LLVM the kernels need apart from tiles: vectors, squares transposed in registers, arrays at addresses."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .jit import inner

INT = ir.IntType(64)
INT32 = ir.IntType(32)
BIT = ir.IntType(1)

# Bytes of a cache line. A vector that crosses one costs two loads: with its parameters 16, 32 or 48 bytes behind the
# beginning of a line, as NumPy allocates them, a step of 30-64-64-1 takes up to 15 % longer.
CACHE_LINE = 64

# A step of a loop: from the values before it, those after it.
Step = Callable[[list[Any]], list[Any]]

# Side of the square that is transposed in registers: 8 vectors of 8 elements fit every instruction set. Of float32, two
# squares below each other become whole cache lines: written one by one they are fetched twice.
SQUARE = 8


class Writer:
    """Writes an LLVM function that works on vectors of `lanes` elements.

    The function is compiled once for a module, however often it is asked for, and is not inlined.
    """

    def __init__(self, module: ir.Module, real: ir.Type, lanes: int, name: str, arguments: list[ir.Type]) -> None:
        self.module, self.real, self.lanes = module, real, lanes
        self.bits = bits_of(real)
        self.vector = ir.VectorType(real, lanes)
        self.zero = ir.Constant(self.vector, [0.0] * lanes)
        self.masks: list[Any] = []  # of the vectors of a row, where they may not be whole
        name = f"fastfnn_{name}_f{self.bits}"
        self.exists = name in module.globals
        if self.exists:
            self.function = module.globals[name]
            return
        self.function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        self.function.linkage = "linkonce_odr"
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    def write(self) -> ir.Function:
        """The function, written if it does not exist yet."""
        if not self.exists:
            self.body()
            self.builder.ret_void()
        return self.function

    def body(self) -> None:
        """Write the instructions of the function, all but its return."""
        raise NotImplementedError

    def loop(self, count: Any, first: list[Any], step: Step) -> list[Any]:
        """`count` times values = step(values), from `first`; returns the last values."""
        builder, before = self.builder, self.builder.block
        repeat, after = (self.function.append_basic_block(name) for name in ("repeat", "after"))
        builder.cbranch(builder.icmp_signed(">", count, INT(0)), repeat, after)
        builder.position_at_end(repeat)
        number, *values = [builder.phi(value.type) for value in (count, *first)]
        following = [builder.add(number, INT(1)), *step(values)]
        end = builder.block
        for phi, begin, value in zip((number, *values), (INT(0), *first), following, strict=True):
            phi.add_incoming(begin, before)
            phi.add_incoming(value, end)
        builder.cbranch(builder.icmp_signed("<", following[0], count), repeat, after)
        builder.position_at_end(after)
        return [self.either((begin, before), (value, end)) for begin, value in zip(first, following[1:], strict=True)]

    def one_loop(self, which: Any, steps: Sequence[Step], count: Any, first: list[Any]) -> list[Any]:
        """`loop` with step number `which`, of steps that have a loop each: a loop that chose would be slower."""
        builder, ends = self.builder, []
        blocks = [self.function.append_basic_block(f"loop_{number}") for number in range(len(steps))]
        after = self.function.append_basic_block("looped")
        switch = builder.switch(which, blocks[0])
        for number, (block, step) in enumerate(zip(blocks, steps, strict=True)):
            if number > 0:
                switch.add_case(INT(number), block)
            builder.position_at_end(block)
            ends.append((self.loop(count, first, step), builder.block))
            builder.branch(after)
        builder.position_at_end(after)
        return [self.either(*((values[n], block) for values, block in ends)) for n in range(len(first))]

    def either(self, *sources: tuple[Any, ir.Block]) -> Any:
        """The value of the block that control came from."""
        phi = self.builder.phi(sources[0][0].type)
        for value, block in sources:
            phi.add_incoming(value, block)
        return phi

    def row(self, base: Any, stride: Any, i: int) -> Any:
        return base if i == 0 else self.builder.add(base, self.builder.mul(stride, INT(i)))

    def pointer(self, row: Any, j: int) -> Any:
        offset = j * self.lanes * self.bits // 8
        address = self.builder.add(row, INT(offset)) if offset else row
        return self.builder.inttoptr(address, self.vector.as_pointer())

    def element(self, address: Any) -> Any:
        """The one number at an address."""
        return self.builder.load(self.builder.inttoptr(address, self.real.as_pointer()))

    def fetch_line(self, address: Any) -> None:
        """Ask for the cache line of an address, where nothing need be, into the first cache."""
        _emit_fetch(self.builder, address, 1)

    def integer(self, address: Any) -> Any:
        """The integer at an address. It is loaded where it stands in the code, since it is loaded as an atomic one."""
        return self.builder.load_atomic(self.builder.inttoptr(address, INT.as_pointer()), "monotonic", 8)

    def mask(self, width: Any, j: int) -> Any:
        """Which lanes of vector j lie inside `width` columns: the others are neither read nor written."""
        index = ir.VectorType(INT32, self.lanes)
        lanes = ir.Constant(index, [j * self.lanes + lane for lane in range(self.lanes)])
        limit = self.splat(self.builder.trunc(width, INT32), index)
        return self.builder.icmp_signed("<", lanes, limit)

    def splat(self, scalar: Any, vector: Any = None) -> Any:
        """A vector, of the kind given or of this writer's, whose elements are all the scalar."""
        vector = vector or self.vector
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, arguments), name)

    def _suffix(self) -> str:
        return f"v{self.lanes}f{self.bits}"

    def multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        """x y + z: fused where the processor can, else a multiplication and an addition."""
        function = self._intrinsic(f"llvm.fmuladd.{self._suffix()}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [x, y, z])

    def lanes_added(self, vector: Any) -> Any:
        """The sum of a vector's elements, added in pairs."""
        function = self._intrinsic(f"llvm.vector.reduce.fadd.{self._suffix()}", self.real, [self.real, self.vector])
        return self.builder.call(function, [ir.Constant(self.real, -0.0), vector], fastmath=("reassoc",))

    def load(self, row: Any, j: int) -> Any:
        """Vector j of the row at an address; lanes that `masks` leaves out are 0 and not read."""
        pointer, alignment = self.pointer(row, j), self.bits // 8
        if not self.masks:
            load = self.builder.load(pointer)
            load.align = alignment
            return load
        mask_type = ir.VectorType(BIT, self.lanes)
        arguments = [self.vector.as_pointer(), INT32, mask_type, self.vector]
        function = self._intrinsic(f"llvm.masked.load.{self._suffix()}.p0", self.vector, arguments)
        return self.builder.call(function, [pointer, INT32(alignment), self.masks[j], self.zero])

    def store(self, value: Any, row: Any, j: int) -> None:
        """Write vector j of the row at an address; lanes that `masks` leaves out are not touched."""
        pointer, alignment = self.pointer(row, j), self.bits // 8
        if not self.masks:
            self.builder.store(value, pointer).align = alignment
            return
        mask_type = ir.VectorType(BIT, self.lanes)
        arguments = [self.vector, self.vector.as_pointer(), INT32, mask_type]
        function = self._intrinsic(f"llvm.masked.store.{self._suffix()}.p0", ir.VoidType(), arguments)
        self.builder.call(function, [value, pointer, INT32(alignment), self.masks[j]])


def _emit_fetch(builder: ir.IRBuilder, address: Any, cache: int) -> None:
    """Ask for the cache line of an address, where nothing need be, into the first or second cache."""
    kind = ir.IntType(8).as_pointer()
    signature = ir.FunctionType(ir.VoidType(), [kind, INT32, INT32, INT32])
    function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    to_read, locality, data = INT32(0), INT32(4 - cache), INT32(1)
    builder.call(function, [builder.inttoptr(address, kind), to_read, locality, data])


def bits_of(real: ir.Type) -> int:
    """Bits of a floating-point type."""
    return 32 if isinstance(real, ir.FloatType) else 64


class _Transposer(Writer):
    """Transposes a matrix of `high` times `wide` squares, each in registers.

    The halves of rows i and i + SQUARE / 2 are exchanged as they are loaded. Then round r exchanges, between rows i and
    i + 2^r, the blocks of 2^r columns that lie off the diagonal.
    """

    def __init__(self, module: ir.Module, real: ir.Type, high: int) -> None:
        self.high = high
        super().__init__(module, real, SQUARE, f"transpose_{high}", [INT] * 5)

    def body(self) -> None:
        out, out_row, x, x_row, wide = self.function.args
        size = SQUARE * self.bits // 8

        def step(values: list[Any]) -> list[Any]:
            out, x = values
            for n in range(self.high):
                self.square(self.builder.add(out, INT(n * size)), out_row, self.row(x, x_row, n * SQUARE), x_row)
            return [self.row(out, out_row, SQUARE), self.builder.add(x, INT(size))]

        self.loop(wide, [out, x], step)

    def square(self, out: Any, out_row: Any, x: Any, x_row: Any) -> None:
        """Transpose one square."""
        half = SQUARE // 2
        whole = ir.Constant(ir.VectorType(INT32, SQUARE), list(range(SQUARE)))
        rows = []
        for side in range(2):
            for i in range(half):
                first, second = (self.half(self.row(x, x_row, i + below), side) for below in (0, half))
                rows.append(self.builder.shuffle_vector(first, second, whole))
        distance = 1
        while distance < half:
            upper = [c if not c & distance else SQUARE + c - distance for c in range(SQUARE)]
            lower = [c + distance if not c & distance else SQUARE + c for c in range(SQUARE)]
            for i in range(SQUARE):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    for row, lanes in ((i, upper), (i + distance, lower)):
                        mask = ir.Constant(ir.VectorType(INT32, SQUARE), lanes)
                        rows[row] = self.builder.shuffle_vector(*pair, mask)
            distance *= 2
        for i in range(SQUARE):
            self.store(rows[i], self.row(out, out_row, i), 0)

    def half(self, row: Any, side: int) -> Any:
        """One half of the row at an address."""
        size = SQUARE // 2
        address = self.builder.add(row, INT(side * size * self.bits // 8))
        load = self.builder.load(self.builder.inttoptr(address, ir.VectorType(self.real, size).as_pointer()))
        load.align = self.bits // 8
        return load


@intrinsic
def _transpose_squares(_context, out, out_row, x, x_row, high, wide, one):
    """out (SQUARE wide, SQUARE high) = x (SQUARE high, SQUARE wide)^T, at addresses; high is 1 or 2."""

    def code(context, builder, signature, values):
        real = context.get_value_type(signature.args[-1])
        out, out_row, x, x_row, high, wide, _ = values
        with builder.if_else(builder.icmp_signed("==", high, INT(2))) as (two, one_high):
            for branch, count in ((two, 2), (one_high, 1)):
                with branch:
                    function = _Transposer(builder.module, real, count).write()
                    builder.call(function, [out, out_row, x, x_row, wide])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6, one), code


@intrinsic
def _pointer(_context, address, like):
    """`address` as a pointer to elements of the type of `like`."""

    def code(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.intp, like), code


@intrinsic
def _fetch_line(_context, address):
    """Ask for the cache line of an address, where nothing need be, into the second cache."""

    def code(context, builder, _signature, values):
        _emit_fetch(builder, values[0], 2)
        return context.get_dummy_value()

    return types.void(types.intp), code


@intrinsic
def _widest_vectors(_context):
    """Give the loops of this function the widest vectors, and keep it a function of its own, which can have a choice.

    Compilers take half the width of AVX-512 on Intel's processors, since whole vectors once cost clock. Tiles have them
    all the time. Loops of many operations gain, short and simple ones lose: rows end in the middle of a wide step.
    """

    def code(context, builder, _signature, _values):
        attributes = builder.function.attributes
        set.add(attributes, '"prefer-vector-width"="512"')  # of which llvmlite's own `add` does not know
        attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), code


@inner
def _array_at(address, count, like):
    """A contiguous array of `count` elements of the type of `like` at an address."""
    return numba.carray(_pointer(address, like), count)


class Memory:
    """An array at an address. What NumPy makes of it is no view of another array; owner is kept alive with it."""

    def __init__(
        self, address: int, shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: np.dtype, owner: Any = None
    ) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (int(address), False), "shape": shape, "strides": strides, "typestr": dtype.str, "version": 3
        }  # fmt: skip


def matrix_at(address, rows, columns, row, dtype):
    """A matrix at an address, its rows `row` bytes apart: for the Python that stands in for LLVM functions."""
    return np.asarray(Memory(address, (int(rows), int(columns)), (int(row), dtype.itemsize), dtype))


def _plain_array_at(address, count, like):
    dtype = np.dtype(type(like))
    return np.asarray(Memory(address, (int(count),), (dtype.itemsize,), dtype))


def _plain_transpose_squares(out, out_row, x, x_row, high, wide, one):
    """The same in NumPy."""
    dtype = np.dtype(type(one))
    source = matrix_at(x, high * SQUARE, wide * SQUARE, x_row, dtype)
    matrix_at(out, wide * SQUARE, high * SQUARE, out_row, dtype)[...] = source.T


def _plain_fetch_line(_address):
    """Nothing: what is fetched has no effect but on time."""


def _plain_widest_vectors():
    """Nothing: Python has none."""


fetch_line = _plain_fetch_line if numba.config.DISABLE_JIT else _fetch_line
widest_vectors = _plain_widest_vectors if numba.config.DISABLE_JIT else _widest_vectors
transpose_squares = _plain_transpose_squares if numba.config.DISABLE_JIT else _transpose_squares
array_at = _plain_array_at if numba.config.DISABLE_JIT else _array_at


def aligned_zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new contiguous array of zeros that begins with a cache line."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    memory = np.zeros(math.prod(shape) * dtype.itemsize + CACHE_LINE, np.uint8)
    address = memory.__array_interface__["data"][0]
    return np.asarray(Memory(address + -address % CACHE_LINE, shape, None, dtype, owner=memory))


@inner
def line_from(address):
    """An address, or a number of bytes, rounded up to whole cache lines."""
    return (address + CACHE_LINE - 1) // CACHE_LINE * CACHE_LINE


def contiguous_rows(x: np.ndarray) -> np.ndarray:
    """`x` if its rows can be loaded as vectors, else a copy whose rows can."""
    return x if x.shape[1] < 2 or x.strides[1] == x.itemsize else np.ascontiguousarray(x)


@inner
def itemsize(like):
    """Bytes of a scalar."""
    return array_at(0, 0, like).itemsize


@inner
def keep(array):
    """0, and the array is alive up to here if the 0 is used.

    Numba frees an array after its last use, of which taking its address is none, and drops a call of no use.
    """
    return 0 * array.shape[0]
