"""Sums over the rows of a matrix: the gradient of a bias.

`column_sums` cuts the columns into panels, whose sums an LLVM function keeps in registers.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from ..compiler.decorators import inner
from ..compiler.emit import emitted_by
from ..compiler.memory import Rows, array_at, itemsize, matrix_at
from ..compiler.processor import vector_lanes
from ..compiler.signature import Real
from ..compiler.writer import INT, Writer, bits_of

# Independent accumulators: accumulator p sums rows p, p + 4, p + 8, ..., which hides the latency of the addition.
PHASES = 4

# Vectors of a row at a time, at most, and their elements for float32.
_VECTORS = 2
PANEL_WIDTH = _VECTORS * vector_lanes(32)

_ARGUMENTS = ("out", "x", "x_row", "rows", "width", "add")


class _Sums(Writer):
    """out = sum of the rows, or out += that, for `width` columns, which are `vectors` vectors."""

    def __init__(self, module: ir.Module, real: ir.Type, vectors: int) -> None:
        self.vectors = vectors
        super().__init__(module, real, vector_lanes(bits_of(real)), f"sums_{vectors}", [INT] * len(_ARGUMENTS))

    def body(self) -> None:
        builder = self.builder
        arg = dict(zip(_ARGUMENTS, self.function.args, strict=True))
        self.masks = [self.mask(arg["width"], j) for j in range(self.vectors)]

        def add_rows(count: int, values: list[Any]) -> list[Any]:
            """Add row p of the next `count` to accumulator p."""
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


def _emit_panel_sums(builder: ir.IRBuilder, out: Any, x: Any, rows: Any, width: Any, add: Any, one: Any) -> None:
    values = [out, *[builder.extract_value(x, field) for field in range(2)], rows, width, add]
    one_vector = builder.icmp_signed("<=", width, INT(vector_lanes(bits_of(one.type))))
    with builder.if_else(one_vector) as (single, several):
        for branch, vectors in ((single, 1), (several, _VECTORS)):
            with branch:
                builder.call(_Sums(builder.module, one.type, vectors).write(), values)


@emitted_by(_emit_panel_sums)
def panel_sums(out: int, x: Rows, rows: int, width: int, add: int, one: Real) -> None:
    """`column_sums` of at most PANEL_WIDTH columns of float32, half as many of float64."""
    result = array_at(out, width, one)
    sums = np.zeros((PHASES, int(width)), result.dtype)
    whole = rows // PHASES * PHASES
    for i, row in enumerate(matrix_at(x.address, rows, width, x.stride, result.dtype)):
        sums[i % PHASES if i < whole else 0] += row
    total = (sums[0] + sums[2]) + (sums[1] + sums[3])
    result[...] = result + total if add else total


@inner
def column_sums(out, x, rows, columns, add, one):
    """out (columns,) = sum of the rows of x (rows, columns), or out += that if `add` is 1.

    out  address of contiguous elements
    x    Rows

    Each sum is four sums, of every fourth row each, added in pairs.
    """
    item = itemsize(one)
    width = PANEL_WIDTH * 4 // item
    for column in range(0, columns, width):
        panel = Rows(x.address + column * item, x.stride)
        panel_sums(out + column * item, panel, rows, min(width, columns - column), add, one)
