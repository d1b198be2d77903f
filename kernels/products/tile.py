"""The register tile: a block of a product that stays in vector registers while its sums run. BLIS: the micro-kernel.

    for k:  acc[i][j] += a[i, k] * b[k, j]        i = 0 .. rows - 1,  j = 0 .. vectors - 1

Each step loads `vectors` vectors of a row of b, broadcasts `rows` elements of a, and issues rows x vectors fused
multiply-adds that do not depend on each other. A loop nest in plain Numba keeps the sums in memory and reaches a tenth
of the peak. See Experiments: register-tiles.

Every shape of tile is an LLVM function of its own, written here instruction by instruction. multiply.py calls `tile`
with the number of a shape, see panels.py. It takes addresses and checks nothing.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from ..compiler.emit import emitted_by
from ..compiler.memory import Rows, matrix_at
from ..compiler.signature import Real
from ..compiler.writer import INT, Writer, bits_of
from ..tuning import BYTES_PER_CACHE_LINE, PREFETCH_DISTANCE
from .operands import Factor, Scaling, elements_of
from .panels import Tile, tiles

# What a tile prefetches: nothing, rows of b, or elements of a. Rows of b may be as far apart as those of W, and a
# column of x^T has one element of each sample, which few processors predict.
PREFETCH_NOTHING, PREFETCH_B, PREFETCH_A = range(3)

# The arguments of a tile: addresses are integers, strides are in bytes.
_INTEGERS = (
    "a_rows", "a_columns", "b", "b_row", "c", "c_row", "start", "start_row", "depth", "width", "prefetch", "scaled"
)  # fmt: skip
_REALS = ("shrink", "alpha")


class _Tile(Writer):
    """One shape of tile."""

    def __init__(self, module: ir.Module, real: ir.Type, shape: Tile) -> None:
        panel = shape.panel
        name = f"tile_{shape.rows}x{panel.vectors}x{panel.lanes}_{'masked' if shape.masked else 'full'}"
        super().__init__(module, real, panel.lanes, name, [INT] * len(_INTEGERS) + [real] * len(_REALS))
        self.shape = shape
        self.elements = [(i, j) for i in range(shape.rows) for j in range(panel.vectors)]

    def body(self) -> None:
        builder, shape = self.builder, self.shape
        arg = dict(zip((*_INTEGERS, *_REALS), self.function.args, strict=True))
        if shape.masked:
            self.masks = [self.mask(arg["width"], j) for j in range(shape.panel.vectors)]
        acc = self.first_sums(arg["start"], arg["start_row"])
        rows_of_a = [self.integer(builder.add(arg["a_rows"], INT(8 * i))) for i in range(shape.rows)]

        def step(values: list[Any]) -> list[Any]:
            return self.step(rows_of_a, arg["b_row"], values)

        def prefetching_b(values: list[Any]) -> list[Any]:
            later = builder.add(values[2], builder.mul(arg["b_row"], INT(PREFETCH_DISTANCE)))
            for offset in range(0, shape.panel.width * self.bits // 8, BYTES_PER_CACHE_LINE):
                self.prefetch(builder.add(later, INT(offset)))
            return step(values)

        def prefetching_a(values: list[Any]) -> list[Any]:
            later = self.integer(builder.add(values[0], INT(8 * PREFETCH_DISTANCE)))
            for row in {0, shape.rows - 1}:  # those between them lie in the same one or two cache lines
                self.prefetch(builder.add(rows_of_a[row], later))
            return step(values)

        first = [arg["a_columns"], self.integer(arg["a_columns"]), arg["b"], *acc]
        if shape.rows == shape.panel.heights[0]:  # in the order of PREFETCH_NOTHING, PREFETCH_B, PREFETCH_A
            steps = step, prefetching_b, prefetching_a
            _, _, _, *acc = self.one_loop(arg["prefetch"], steps, arg["depth"], first)
        else:  # few rows: prefetching gains nothing there. See Experiments: prefetch-full-tiles
            _, _, _, *acc = self.loop(arg["depth"], first, step)
        self.write_result(arg, acc)

    def first_sums(self, start: Any, stride: Any) -> list[Any]:
        """The values that sums begin with: what lies at `start`, or 0 if there is no such address."""
        builder, entry = self.builder, self.builder.block
        load_block, begin = (self.function.append_basic_block(name) for name in ("load", "begin"))
        builder.cbranch(builder.icmp_signed("==", start, INT(0)), begin, load_block)
        builder.position_at_end(load_block)
        rows = [self.row(start, stride, i) for i in range(self.shape.rows)]
        loaded = [self.load(rows[i], j) for i, j in self.elements]
        builder.branch(begin)
        builder.position_at_end(begin)
        return [self.either((self.zero, entry), (value, load_block)) for value in loaded]

    def step(self, rows_of_a: list[Any], b_row: Any, values: list[Any]) -> list[Any]:
        """Add one term to each sum.

        The next offset of a is loaded at the end of a step: loaded where it is used, it would delay all elements of a,
        which the compiler would then load together, into registers that the sums need.
        """
        builder, vectors = self.builder, self.shape.panel.vectors
        column, offset, b, *acc = values
        row_of_b = [self.load(b, j) for j in range(vectors)]
        sums = []
        for i, row in enumerate(rows_of_a):  # one element of a at a time: there is no register for more
            element = self.splat(self.element(builder.add(row, offset)))
            sums += [self.multiply_add(element, row_of_b[j], acc[i * vectors + j]) for j in range(vectors)]
        column = builder.add(column, INT(8))
        return [column, self.integer(column), builder.add(b, b_row), *sums]

    def write_result(self, arg: dict[str, Any], acc: list[Any]) -> None:
        """c = acc, or c = shrink c + alpha acc.

        All of c is read before any of it is written: a row that begins within a vector's length of the row before it
        would wait for that row's masked store.
        """
        builder = self.builder
        rows = [self.row(arg["c"], arg["c_row"], i) for i in range(self.shape.rows)]
        summed, scale, write = builder.block, *(self.function.append_basic_block(name) for name in ("scale", "write"))
        builder.cbranch(builder.icmp_signed("!=", arg["scaled"], INT(0)), scale, write)
        builder.position_at_end(scale)
        shrink, alpha = self.splat(arg["shrink"]), self.splat(arg["alpha"])
        scaled = [
            self.multiply_add(alpha, value, builder.fmul(shrink, self.load(rows[i], j)))
            for (i, j), value in zip(self.elements, acc, strict=True)
        ]
        builder.branch(write)
        builder.position_at_end(write)
        values = [self.either((plain, summed), (value, scale)) for plain, value in zip(acc, scaled, strict=True)]
        for (i, j), value in zip(self.elements, values, strict=True):
            self.store(value, rows[i], j)


def _functions(module: ir.Module, real: ir.Type) -> ir.GlobalVariable:
    """The addresses of all tiles in the order of their numbers, as an array of a module."""
    bits = bits_of(real)
    name = f"fastfnn_tiles_f{bits}"
    if name in module.globals:
        return module.globals[name]
    functions = [_Tile(module, real, shape).write() for shape in tiles(bits)]
    kind = ir.ArrayType(functions[0].type, len(functions))
    table = ir.GlobalVariable(module, kind, name)
    table.linkage, table.global_constant = "linkonce_odr", True
    table.initializer = ir.Constant(kind, functions)
    return table


def _emit_tile(
    builder: ir.IRBuilder, number: Any, a: Any, b: Any, c: Any, start: Any, depth: Any, width: Any, prefetch: Any,
    scaling: Any, one: Any,
) -> None:  # fmt: skip
    operands = [builder.extract_value(operand, field) for operand in (a, b, c, start) for field in range(2)]
    scaled, shrink, alpha = (builder.extract_value(scaling, field) for field in range(3))
    function = builder.load(builder.gep(_functions(builder.module, one.type), [INT(0), number]))
    builder.call(function, [*operands, depth, width, prefetch, scaled, shrink, alpha])


@emitted_by(_emit_tile)
def tile(
    number: int, a: Factor, b: Rows, c: Rows, start: Rows, depth: int, width: int, prefetch: int, scaling: Scaling,
    one: Real,
) -> None:  # fmt: skip
    """Compute the rows of a tile.

    number    the shape, as an index of `tiles`
    a         (rows, depth)    the rows of the left factor from the tile's first one on
    b         (depth, width)   a panel of the right factor
    c         (rows, width)    the result
    start     (rows, width)    what the sums begin with, a bias if the stride is 0; NO_ROWS for 0
    prefetch  PREFETCH_NOTHING, PREFETCH_B or PREFETCH_A: a hint, which tiles of less than full height ignore
    """
    dtype = np.dtype(type(one))
    panel, rows, masked = tiles(8 * dtype.itemsize)[number]
    width = width if masked else panel.width
    if start.address == 0:
        total = np.zeros((rows, width), dtype)
    else:
        total = matrix_at(start.address, rows, width, start.stride, dtype).copy()
    if depth > 0:
        elements = elements_of(a, rows, depth, dtype)
        matrix = matrix_at(b.address, depth, width, b.stride, dtype)
        for column, row in zip(elements.T, matrix, strict=True):  # term by term, in the order of a compiled tile
            total += np.outer(column, row)
    result = matrix_at(c.address, rows, width, c.stride, dtype)
    result[...] = scaling.shrink * result + scaling.alpha * total if scaling.scaled else total
