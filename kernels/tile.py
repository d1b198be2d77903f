"""The register tile, and what else of LLVM the kernels need: squares transposed in registers, arrays at addresses.

A tile is a block of a matrix product that stays in vector registers while the sum runs over the inner index:

    for k:  acc[i][j] += a[i, k] * b[k, j]        i = 0 .. rows - 1,  j = 0 .. vectors - 1

Each step loads `vectors` vectors of a row of b, broadcasts `rows` elements of a, and issues rows x vectors fused
multiply-adds that do not depend on each other. Compilers do not find this form by themselves: a loop nest in plain
Numba keeps the sums in memory and reaches a tenth of the peak.

Every shape of tile is an LLVM function of its own, written here instruction by instruction. `tile` picks one by its
number, see blocks.py; it takes addresses, and checks nothing.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .blocks import Panel, variants
from .jit import inner

INT = ir.IntType(64)
INT32 = ir.IntType(32)
BIT = ir.IntType(1)

# Side of the square that is transposed in registers: 8 vectors of 8 elements fit every instruction set.
SQUARE = 8

# The arguments of a tile, all but the last integers: addresses are integers, strides are in bytes.
ARGUMENTS = ("depth", "a", "a_row", "a_column", "b", "b_row", "c", "c_row", "start", "start_row", "width", "scaled")


class _TileWriter:
    """Writes one tile function into an LLVM module."""

    def __init__(self, module: ir.Module, real: ir.Type, panel: Panel, rows: int, masked: bool) -> None:
        self.real, self.panel, self.rows, self.masked = real, panel, rows, masked
        self.bits = 32 if isinstance(real, ir.FloatType) else 64
        self.vector = ir.VectorType(real, panel.lanes)
        self.module = module
        kind = "masked" if masked else "full"
        name = f"fastfnn_tile_f{self.bits}_{rows}x{panel.vectors}x{panel.lanes}_{kind}"
        self.exists = name in module.globals
        if self.exists:
            self.function = module.globals[name]
            return
        signature = ir.FunctionType(ir.VoidType(), [INT] * len(ARGUMENTS) + [real])
        self.function = ir.Function(module, signature, name)
        self.function.linkage = "linkonce_odr"
        self.function.attributes.add("noinline")
        self.function.attributes.add("nounwind")

    def write(self) -> ir.Function:
        if self.exists:
            return self.function
        names = (*ARGUMENTS, "alpha")
        arg = dict(zip(names, self.function.args, strict=True))
        builder = ir.IRBuilder(self.function.append_basic_block("entry"))
        self.builder = builder
        self.masks = [self._mask(arg["width"], j) for j in range(self.panel.vectors)] if self.masked else None
        columns = range(self.panel.vectors)

        # acc = 0, or what lies at `start`: a bias (start_row = 0) or an earlier part of the sum
        zero = ir.Constant(self.vector, [0.0] * self.panel.lanes)
        first = [[zero] * self.panel.vectors for _ in range(self.rows)]
        entry = builder.block
        load_block = self.function.append_basic_block("load")
        head = self.function.append_basic_block("head")
        loop = self.function.append_basic_block("loop")
        done = self.function.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("==", arg["start"], INT(0)), head, load_block)
        builder.position_at_end(load_block)
        loaded = [
            [self._load(self._row(arg["start"], arg["start_row"], i), j) for j in columns] for i in range(self.rows)
        ]
        builder.branch(head)
        builder.position_at_end(head)
        begin = self._phis(columns, [(first, entry), (loaded, load_block)])
        builder.cbranch(builder.icmp_signed(">", arg["depth"], INT(0)), loop, done)

        # the sum
        builder.position_at_end(loop)
        k = builder.phi(INT)
        a, b = builder.phi(INT), builder.phi(INT)
        k.add_incoming(INT(0), head)
        a.add_incoming(arg["a"], head)
        b.add_incoming(arg["b"], head)
        acc = self._phis(columns, [(begin, head)])
        row_of_b = [self._load(b, j) for j in columns]
        total = []
        for i in range(self.rows):
            element = builder.load(builder.inttoptr(self._row(a, arg["a_row"], i), self.real.as_pointer()))
            value = self._splat(element)
            total.append([self._multiply_add(value, row_of_b[j], acc[i][j]) for j in columns])
        following = builder.add(k, INT(1))
        k.add_incoming(following, loop)
        a.add_incoming(builder.add(a, arg["a_column"]), loop)
        b.add_incoming(builder.add(b, arg["b_row"]), loop)
        for i in range(self.rows):
            for j in columns:
                acc[i][j].add_incoming(total[i][j], loop)
        builder.cbranch(builder.icmp_signed("<", following, arg["depth"]), loop, done)

        # c = acc, or c += alpha acc
        builder.position_at_end(done)
        result = self._phis(columns, [(begin, head), (total, loop)])
        with builder.if_else(builder.icmp_signed("!=", arg["scaled"], INT(0))) as (scaled, plain):
            with scaled:
                alpha = self._splat(arg["alpha"])
                for i in range(self.rows):
                    row = self._row(arg["c"], arg["c_row"], i)
                    for j in columns:
                        self._store(self._multiply_add(alpha, result[i][j], self._load(row, j)), row, j)
            with plain:
                for i in range(self.rows):
                    row = self._row(arg["c"], arg["c_row"], i)
                    for j in columns:
                        self._store(result[i][j], row, j)
        builder.ret_void()
        return self.function

    def _phis(self, columns: range, sources: list[tuple[Any, ir.Block]]) -> list[list[Any]]:
        phis = [[self.builder.phi(self.vector) for _ in columns] for _ in range(self.rows)]
        for values, block in sources:
            for i in range(self.rows):
                for j in columns:
                    phis[i][j].add_incoming(values[i][j], block)
        return phis

    def _row(self, base: Any, stride: Any, i: int) -> Any:
        return base if i == 0 else self.builder.add(base, self.builder.mul(stride, INT(i)))

    def _pointer(self, row: Any, j: int) -> Any:
        offset = j * self.panel.lanes * self.bits // 8
        address = self.builder.add(row, INT(offset)) if offset else row
        return self.builder.inttoptr(address, self.vector.as_pointer())

    def _mask(self, width: Any, j: int) -> Any:
        """Which lanes of vector j lie inside `width` columns: the others are neither read nor written."""
        index = ir.VectorType(INT32, self.panel.lanes)
        lanes = ir.Constant(index, [j * self.panel.lanes + lane for lane in range(self.panel.lanes)])
        limit = self._splat(self.builder.trunc(width, INT32), index)
        return self.builder.icmp_signed("<", lanes, limit)

    def _splat(self, scalar: Any, vector: Any = None) -> Any:
        vector = vector or self.vector
        undefined = ir.Constant(vector, ir.Undefined)
        one = self.builder.insert_element(undefined, scalar, INT32(0))
        zeros = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
        return self.builder.shuffle_vector(one, undefined, zeros)

    def _intrinsic(self, name: str, result: Any, arguments: list[Any]) -> Any:
        return cgutils.get_or_insert_function(self.module, ir.FunctionType(result, arguments), name)

    def _suffix(self) -> str:
        return f"v{self.panel.lanes}f{self.bits}"

    def _multiply_add(self, x: Any, y: Any, z: Any) -> Any:
        # fmuladd is a fused multiply-add where the processor has one, else a multiplication and an addition
        function = self._intrinsic(f"llvm.fmuladd.{self._suffix()}", self.vector, [self.vector] * 3)
        return self.builder.call(function, [x, y, z])

    def _load(self, row: Any, j: int) -> Any:
        pointer, alignment = self._pointer(row, j), self.bits // 8
        if self.masks is None:
            load = self.builder.load(pointer)
            load.align = alignment
            return load
        mask_type = ir.VectorType(BIT, self.panel.lanes)
        arguments = [self.vector.as_pointer(), INT32, mask_type, self.vector]
        function = self._intrinsic(f"llvm.masked.load.{self._suffix()}.p0", self.vector, arguments)
        zero = ir.Constant(self.vector, [0.0] * self.panel.lanes)
        return self.builder.call(function, [pointer, INT32(alignment), self.masks[j], zero])

    def _store(self, value: Any, row: Any, j: int) -> None:
        pointer, alignment = self._pointer(row, j), self.bits // 8
        if self.masks is None:
            self.builder.store(value, pointer).align = alignment
            return
        mask_type = ir.VectorType(BIT, self.panel.lanes)
        arguments = [self.vector, self.vector.as_pointer(), INT32, mask_type]
        function = self._intrinsic(f"llvm.masked.store.{self._suffix()}.p0", ir.VoidType(), arguments)
        self.builder.call(function, [value, pointer, INT32(alignment), self.masks[j]])


def _dispatcher(module: ir.Module, real: ir.Type) -> ir.Function:
    """The LLVM function that calls tile number `variant`."""
    bits = 32 if isinstance(real, ir.FloatType) else 64
    name = f"fastfnn_tile_f{bits}"
    if name in module.globals:
        return module.globals[name]
    signature = ir.FunctionType(ir.VoidType(), [INT] * (1 + len(ARGUMENTS)) + [real])
    function = ir.Function(module, signature, name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    unreachable = function.append_basic_block("no_such_tile")
    switch = builder.switch(function.args[0], unreachable)
    ir.IRBuilder(unreachable).unreachable()
    for number, (panel, rows, masked) in enumerate(variants(bits)):
        block = function.append_basic_block(f"tile_{number}")
        switch.add_case(INT(number), block)
        case = ir.IRBuilder(block)
        call = case.call(_TileWriter(module, real, panel, rows, masked).write(), function.args[1:], tail=True)
        assert call is not None
        case.ret_void()
    return function


@intrinsic
def _tile(_context, variant, depth, a, a_row, a_column, b, b_row, c, c_row, start, start_row, width, scaled, alpha):
    real = alpha
    signature = types.void(*([types.intp] * (1 + len(ARGUMENTS))), real)

    def code(context, builder, _signature, values):
        function = _dispatcher(builder.module, context.get_value_type(real))
        builder.call(function, values)
        return context.get_dummy_value()

    return signature, code


def _transposer(module: ir.Module, real: ir.Type) -> ir.Function:
    """The LLVM function that transposes SQUARE x SQUARE elements in registers.

    Round r of log2(SQUARE) exchanges, between rows i and i + 2^r, the blocks of 2^r columns that lie off the diagonal.
    """
    bits = 32 if isinstance(real, ir.FloatType) else 64
    name = f"fastfnn_transpose_f{bits}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [INT] * 4), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    vector = ir.VectorType(real, SQUARE)
    out, out_row, x, x_row = function.args

    def pointer(base: Any, stride: Any, i: int) -> Any:
        return builder.inttoptr(builder.add(base, builder.mul(stride, INT(i))), vector.as_pointer())

    rows = []
    for i in range(SQUARE):
        rows.append(builder.load(pointer(x, x_row, i)))
        rows[i].align = bits // 8
    distance = 1
    while distance < SQUARE:
        upper = [c if not c & distance else SQUARE + c - distance for c in range(SQUARE)]
        lower = [c + distance if not c & distance else SQUARE + c for c in range(SQUARE)]
        for i in range(SQUARE):
            if not i & distance:
                pair = rows[i], rows[i + distance]
                for row, lanes in ((i, upper), (i + distance, lower)):
                    mask = ir.Constant(ir.VectorType(INT32, SQUARE), lanes)
                    rows[row] = builder.shuffle_vector(*pair, mask)
        distance *= 2
    for i in range(SQUARE):
        builder.store(rows[i], pointer(out, out_row, i)).align = bits // 8
    builder.ret_void()
    return function


@intrinsic
def _transpose_square(_context, out, out_row, x, x_row, one):
    def code(context, builder, signature, values):
        builder.call(_transposer(builder.module, context.get_value_type(signature.args[-1])), values[:-1])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp, one), code


@intrinsic
def _pointer(_context, address, like):
    """`address` as a pointer to elements of the type of `like`."""

    def code(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(like)(types.intp, like), code


@inner
def _array_at(address, count, like):
    """A contiguous array of `count` elements of the type of `like` at an address."""
    return numba.carray(_pointer(address, like), count)


class _Memory:
    """An array at an address."""

    def __init__(self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> None:
        self.__array_interface__ = {
            "data": (int(address), False), "shape": shape, "strides": strides, "typestr": dtype.str, "version": 3
        }  # fmt: skip


def _plain_array_at(address, count, like):
    dtype = np.dtype(type(like))
    return np.asarray(_Memory(address, (int(count),), (dtype.itemsize,), dtype))


def _plain_tile(variant, depth, a, a_row, a_column, b, b_row, c, c_row, start, start_row, width, scaled, alpha):
    """What a tile does, in NumPy, for runs without the compiler."""
    dtype = np.dtype(type(alpha))
    panel, rows, masked = variants(8 * dtype.itemsize)[variant]
    width = width if masked else panel.width

    def at(address, height, stride, columns, column_stride=dtype.itemsize):
        return np.asarray(_Memory(address, (int(height), int(columns)), (int(stride), int(column_stride)), dtype))

    total = np.zeros((rows, width), dtype) if start == 0 else at(start, rows, start_row, width).copy()
    if depth > 0:
        total += at(a, rows, a_row, depth, a_column) @ at(b, depth, b_row, width)
    out = at(c, rows, c_row, width)
    out[...] = out + alpha * total if scaled else total


def _plain_transpose_square(out, out_row, x, x_row, one):
    """The same in NumPy."""
    dtype = np.dtype(type(one))
    shape = (SQUARE, SQUARE)
    source = np.asarray(_Memory(x, shape, (int(x_row), dtype.itemsize), dtype))
    np.asarray(_Memory(out, shape, (int(out_row), dtype.itemsize), dtype))[...] = source.T


transpose_square = _plain_transpose_square if numba.config.DISABLE_JIT else _transpose_square
tile = _plain_tile if numba.config.DISABLE_JIT else _tile
array_at = _plain_array_at if numba.config.DISABLE_JIT else _array_at


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
