"""Sums over the rows of a matrix: the gradient of a bias."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compiler.jit import inner
from ..compiler.processor import vector_lanes
from ..compiler.vectors import INT, Writer, bits_of, itemsize, matrix_at

# Sums that do not wait for each other, each of every so manieth row; and vectors of a row at a time, at most.
PHASES = 4
VECTORS = 2

ARGUMENTS = ("rows", "x", "x_row", "out", "width", "add")


class _Sums(Writer):
    """out = sum of the rows, or out += that, for `width` columns, which are so many vectors."""

    def __init__(self, module: ir.Module, real: ir.Type, vectors: int) -> None:
        self.vectors = vectors
        super().__init__(module, real, vector_lanes(bits_of(real)), f"sums_{vectors}", [INT] * len(ARGUMENTS))

    def body(self) -> None:
        builder = self.builder
        arg = dict(zip(ARGUMENTS, self.function.args, strict=True))
        self.masks = [self.mask(arg["width"], j) for j in range(self.vectors)]

        def add_rows(count: int, values: list[Any]) -> list[Any]:
            """Row p of the next `count` to sum p."""
            x, *sums = values
            rows = [self.load(self.row(x, arg["x_row"], p), j) for p in range(count) for j in range(self.vectors)]
            sums[: len(rows)] = [builder.fadd(total, row) for total, row in zip(sums, rows, strict=False)]
            return [self.row(x, arg["x_row"], count), *sums]

        whole = builder.sdiv(arg["rows"], INT(PHASES))
        values = [arg["x"], *[self.zero] * PHASES * self.vectors]
        values = self.loop(whole, values, lambda values: add_rows(PHASES, values))
        rest = builder.sub(arg["rows"], builder.mul(whole, INT(PHASES)))
        _, *sums = self.loop(rest, values, lambda values: add_rows(1, values))
        while len(sums) > self.vectors:
            half = len(sums) // 2
            sums = [builder.fadd(a, b) for a, b in zip(sums[:half], sums[half:], strict=True)]
        with builder.if_else(builder.icmp_signed("!=", arg["add"], INT(0))) as (added, plain):
            with added:
                for j, value in enumerate(sums):
                    self.store(builder.fadd(self.load(arg["out"], j), value), arg["out"], j)
            with plain:
                for j, value in enumerate(sums):
                    self.store(value, arg["out"], j)


@intrinsic
def _sum_panel(_context, rows, x, x_row, out, width, add, one):
    def code(context, builder, _signature, values):
        *values, _ = values
        real = context.get_value_type(one)
        one_vector = builder.icmp_signed("<=", values[ARGUMENTS.index("width")], INT(vector_lanes(bits_of(real))))
        with builder.if_else(one_vector) as (single, several):
            for branch, vectors in ((single, 1), (several, VECTORS)):
                with branch:
                    builder.call(_Sums(builder.module, real, vectors).write(), values)
        return context.get_dummy_value()

    return types.void(*[types.intp] * len(ARGUMENTS), one), code


def _plain_sum_panel(rows, x, x_row, out, width, add, one):
    """The same in NumPy."""
    dtype = np.dtype(type(one))
    result = matrix_at(out, 1, width, 0, dtype)[0]
    sums = np.zeros((PHASES, int(width)), dtype)
    whole = rows // PHASES * PHASES
    for i, row in enumerate(matrix_at(x, rows, width, x_row, dtype)):
        sums[i % PHASES if i < whole else 0] += row
    total = (sums[0] + sums[2]) + (sums[1] + sums[3])
    result[...] = result + total if add else total


sum_panel: Any = _plain_sum_panel if numba.config.DISABLE_JIT else _sum_panel

AT_ONCE = VECTORS * vector_lanes(32)


@inner
def column_sums(out, x, x_row, rows, columns, add, one):
    """out (columns,) = sum of the rows of x (rows, columns), or out += that; addresses, elements contiguous in a row.

    Each sum is four, of every fourth row.
    """
    item = itemsize(one)
    at_once = AT_ONCE * 4 // item
    for column in range(0, columns, at_once):
        width = min(at_once, columns - column)
        sum_panel(rows, x + column * item, x_row, out + column * item, width, add, one)
