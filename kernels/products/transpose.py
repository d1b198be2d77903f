"""Transposition in registers: a panel of W^T is transposed just before a product uses it.

`transpose` is called by packing.py. Squares of SQUARE x SQUARE elements are transposed by a function written in LLVM,
what is left over by plain loops.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from ..compiler.decorators import inner
from ..compiler.emit import emitted_by
from ..compiler.memory import Rows, array_at, itemsize, matrix_at, row_at
from ..compiler.signature import Real
from ..compiler.writer import INT, INT32, Writer

# Definition: a square of 8 vectors of 8 elements fits the registers of every instruction set.
SQUARE = 8


class _Transposer(Writer):
    """Transposes `wide` times `high` squares.

    The halves of rows i and i + SQUARE / 2 are exchanged as they are loaded. Then round r exchanges, between rows i and
    i + 2^r, the blocks of 2^r columns that lie off the diagonal. Two squares below each other become whole cache lines
    of float32: written one by one, these lines would be loaded twice.
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
        both = ir.Constant(ir.VectorType(INT32, SQUARE), list(range(SQUARE)))
        rows = []
        for side in range(2):
            for i in range(half):
                first, second = (self.half(self.row(x, x_row, i + below), side) for below in (0, half))
                rows.append(self.builder.shuffle_vector(first, second, both))
        distance = 1
        while distance < half:
            upper = [c if not c & distance else SQUARE + c - distance for c in range(SQUARE)]
            lower = [c + distance if not c & distance else SQUARE + c for c in range(SQUARE)]
            for i in range(SQUARE):
                if not i & distance:
                    pair = rows[i], rows[i + distance]
                    for row, lanes in ((i, upper), (i + distance, lower)):
                        order = ir.Constant(ir.VectorType(INT32, SQUARE), lanes)
                        rows[row] = self.builder.shuffle_vector(*pair, order)
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


def _emit_squares(builder: ir.IRBuilder, out: Any, x: Any, high: Any, wide: Any, one: Any) -> None:
    arguments = [builder.extract_value(rows, field) for rows in (out, x) for field in range(2)]
    with builder.if_else(builder.icmp_signed("==", high, INT(2))) as (two, single):
        for branch, count in ((two, 2), (single, 1)):
            with branch:
                builder.call(_Transposer(builder.module, one.type, count).write(), [*arguments, wide])


@emitted_by(_emit_squares)
def transpose_squares(out: Rows, x: Rows, high: int, wide: int, one: Real) -> None:
    """out = x^T for x of SQUARE high x SQUARE wide elements; `high` is 1 or 2."""
    dtype = np.dtype(type(one))
    matrix = matrix_at(x.address, SQUARE * high, SQUARE * wide, x.stride, dtype)
    matrix_at(out.address, SQUARE * wide, SQUARE * high, out.stride, dtype)[...] = matrix.T


@inner
def transpose(out, x, rows, columns, one):
    """out (columns, rows) = x (rows, columns)^T."""
    item = itemsize(one)
    high, wide = rows // SQUARE, columns // SQUARE
    i = 0
    while i < high:
        squares = min(high - i, 2)
        target = Rows(out.address + i * SQUARE * item, out.stride)
        transpose_squares(target, Rows(x.address + i * SQUARE * x.stride, x.stride), squares, wide, one)
        i += squares
    for i in range(rows):
        row = row_at(x, i, columns, one)
        for j in range(SQUARE * wide if i < SQUARE * high else 0, columns):
            array_at(out.address + j * out.stride, rows, one)[i] = row[j]
