"""The register tile: a block of a matrix product that stays in vector registers while the sum runs.

    for k:  acc[i][j] += a[i, k] * b[k, j]        i = 0 .. rows - 1,  j = 0 .. vectors - 1

Each step loads `vectors` vectors of a row of b, broadcasts `rows` elements of a, and issues rows x vectors fused
multiply-adds that do not depend on each other. Compilers do not find this form by themselves: a loop nest in plain
Numba keeps the sums in memory and reaches a tenth of the peak.

What a step needs may be far away: rows of b lie as far apart as those of W, and a column of x^T has one element of each
sample, which few processors foresee. So steps can ask for what the tile will need AHEAD steps later, of a or of b.

Every shape of tile is an LLVM function of its own, written here instruction by instruction. `tile` picks one by its
number, see blocks.py; it takes addresses, and checks nothing.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compiler.vectors import CACHE_LINE, INT, Writer, array_at, bits_of, matrix_at
from .blocks import Panel, variants

# The arguments of a tile: addresses are integers, strides are in bytes; two factors of the dtype. a_rows and a_columns
# are addresses of lists: a[i, k] lies at address a_rows[i] + a_columns[k].
ARGUMENTS = (
    "depth", "a_rows", "a_columns", "b", "b_row", "c", "c_row", "start", "start_row", "width", "fetch", "scaled"
)  # fmt: skip
FACTORS = ("shrink", "alpha")

# What a tile fetches ahead, and how many steps: the list a_columns must be readable so far behind its end. A step takes
# 4 ns, the second cache 5 to 10. 16, 24 and 40 steps ahead were no better where operands are further away, and worse
# where they are not: what is fetched behind the end of a sum is fetched in vain.
FETCH_NOTHING, FETCH_B, FETCH_A = range(3)
AHEAD = 8


class _Tile(Writer):
    """One shape of tile. All vectors of a masked one may be cut; its lanes beyond `width` are not touched."""

    def __init__(self, module: ir.Module, real: ir.Type, panel: Panel, rows: int, masked: bool) -> None:
        name = f"tile_{rows}x{panel.vectors}x{panel.lanes}_{'masked' if masked else 'full'}"
        super().__init__(module, real, panel.lanes, name, [INT] * len(ARGUMENTS) + [real] * len(FACTORS))
        self.shape = rows, panel.vectors
        self.panel_bytes = panel.width * self.bits // 8
        self.most_rows = panel.rows
        self.masked = masked

    def body(self) -> None:
        builder, (rows, vectors) = self.builder, self.shape
        arg = dict(zip((*ARGUMENTS, *FACTORS), self.function.args, strict=True))
        elements = [(i, j) for i in range(rows) for j in range(vectors)]
        if self.masked:
            self.masks = [self.mask(arg["width"], j) for j in range(vectors)]

        # acc = 0, or what lies at `start`: a bias (start_row = 0) or an earlier part of the sum
        entry = builder.block
        load_block, begin = (self.function.append_basic_block(name) for name in ("load", "begin"))
        builder.cbranch(builder.icmp_signed("==", arg["start"], INT(0)), begin, load_block)
        builder.position_at_end(load_block)
        loaded = [self.load(self.row(arg["start"], arg["start_row"], i), j) for i, j in elements]
        builder.branch(begin)
        builder.position_at_end(begin)
        acc = [self.either((self.zero, entry), (value, load_block)) for value in loaded]

        row_of_a = [self.integer(builder.add(arg["a_rows"], INT(8 * i))) for i in range(rows)]

        # The next shift is loaded at the end of a step. Loaded where it is used it would delay all elements of a, which
        # the compiler would then load side by side, into registers that the sums need.
        def step(values: list[Any]) -> list[Any]:
            column, shift, b, *acc = values
            row_of_b = [self.load(b, j) for j in range(vectors)]
            total = []
            for i, row in enumerate(row_of_a):  # one element of a at a time: there is no register for more
                element = self.splat(self.element(builder.add(row, shift)))
                total += [self.multiply_add(element, row_of_b[j], acc[i * vectors + j]) for j in range(vectors)]
            column = builder.add(column, INT(8))
            return [column, self.integer(column), builder.add(b, arg["b_row"]), *total]

        def fetching_b(values: list[Any]) -> list[Any]:
            soon = builder.add(values[2], builder.mul(arg["b_row"], INT(AHEAD)))
            for place in range(0, self.panel_bytes, CACHE_LINE):
                self.fetch_line(builder.add(soon, INT(place)))
            return step(values)

        def fetching_a(values: list[Any]) -> list[Any]:
            soon = self.integer(builder.add(values[0], INT(8 * AHEAD)))
            for number in {0, len(row_of_a) - 1}:  # what lies between them is in one of their lines
                self.fetch_line(builder.add(row_of_a[number], soon))
            return step(values)

        # In the order of FETCH_NOTHING, FETCH_B, FETCH_A. Tiles of less than half the height are those of a product
        # with few rows: of an x^T of few inputs, which is near but for a deep batch; a loop less to compile.
        first = [arg["a_columns"], self.integer(arg["a_columns"]), arg["b"], *acc]
        steps = (step, fetching_b, fetching_a) if 2 * rows >= self.most_rows else (step, fetching_b)
        _, _, _, *acc = self.one_loop(arg["fetch"], steps, arg["depth"], first)

        # c = acc, or c = shrink c + alpha acc. All is read before any of it is written: a row that begins in the middle
        # of a vector would wait for the one before it, whose masked vector reaches into it.
        rows_of_c = [self.row(arg["c"], arg["c_row"], i) for i in range(rows)]
        summed, scale, write = builder.block, *(self.function.append_basic_block(name) for name in ("scale", "write"))
        builder.cbranch(builder.icmp_signed("!=", arg["scaled"], INT(0)), scale, write)
        builder.position_at_end(scale)
        shrink, alpha = self.splat(arg["shrink"]), self.splat(arg["alpha"])
        scaled = [
            self.multiply_add(alpha, value, builder.fmul(shrink, self.load(rows_of_c[i], j)))
            for (i, j), value in zip(elements, acc, strict=True)
        ]
        builder.branch(write)
        builder.position_at_end(write)
        acc = [self.either((plain, summed), (value, scale)) for plain, value in zip(acc, scaled, strict=True)]
        for (i, j), value in zip(elements, acc, strict=True):
            self.store(value, rows_of_c[i], j)


def _tiles(module: ir.Module, real: ir.Type) -> ir.GlobalVariable:
    """The addresses of all tiles in the order of their numbers."""
    bits = bits_of(real)
    name = f"fastfnn_tiles_f{bits}"
    if name in module.globals:
        return module.globals[name]
    functions = [_Tile(module, real, *shape).write() for shape in variants(bits)]
    kind = ir.ArrayType(functions[0].type, len(functions))
    table = ir.GlobalVariable(module, kind, name)
    table.linkage, table.global_constant = "linkonce_odr", True
    table.initializer = ir.Constant(kind, functions)
    return table


@intrinsic
def _tile(
    _context, variant, depth, a_rows, a_columns, b, b_row, c, c_row, start, start_row, width, fetch, scaled, shrink,
    alpha,
):  # fmt: skip
    real = alpha
    signature = types.void(*([types.intp] * (1 + len(ARGUMENTS))), real, real)

    def code(context, builder, _signature, values):
        number, *values = values
        tiles = _tiles(builder.module, context.get_value_type(real))
        builder.call(builder.load(builder.gep(tiles, [INT(0), number])), values)
        return context.get_dummy_value()

    return signature, code


def _plain_tile(
    variant, depth, a_rows, a_columns, b, b_row, c, c_row, start, start_row, width, fetch, scaled, shrink, alpha
):  # fmt: skip
    """What a tile does, in NumPy, for runs without the compiler."""
    dtype = np.dtype(type(alpha))
    panel, rows, masked = variants(8 * dtype.itemsize)[variant]
    width = width if masked else panel.width

    total = np.zeros((rows, width), dtype) if start == 0 else matrix_at(start, rows, width, start_row, dtype).copy()
    if depth > 0:
        a = np.empty((rows, depth), dtype)
        for i, k in np.ndindex(a.shape):
            address = array_at(a_rows, rows, np.int64(0))[i] + array_at(a_columns, depth, np.int64(0))[k]
            a[i, k] = array_at(address, 1, alpha)[0]
        for column, row in zip(a.T, matrix_at(b, depth, width, b_row, dtype), strict=True):  # in the order of a tile
            total += np.outer(column, row)
    out = matrix_at(c, rows, width, c_row, dtype)
    out[...] = shrink * out + alpha * total if scaled else total


tile = _plain_tile if numba.config.DISABLE_JIT else _tile
