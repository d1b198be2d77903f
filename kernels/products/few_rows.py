"""A product of so few rows that it takes as long as reading its right factor, such as the prediction of one sample.

    for k:  c[i, j] += a[i, k] * b[k, j]          i = 0 .. rows - 1,  j = 0 .. width - 1

Tiles walk down a panel: from each row of W they read a few vectors, and so touch every page of W once for each panel. A
large W comes faster from the outer caches and from memory in the order in which it lies there. Here the sums lie in the
first-level cache, and ROWS_OF_FEW rows of W at a time, from their first to their last column, are added to them. Each
element is the same sum, term by term, as in a tile. See Experiments: few-rows.

multiply.py calls `multiply_few_rows`. The loops are LLVM functions written here, one for each number of rows; they take
addresses and check nothing.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from ..compiler.decorators import inner
from ..compiler.emit import emitted_by
from ..compiler.memory import Rows, copy_elements, matrix_at, row_at
from ..compiler.signature import Real
from ..compiler.writer import INT, Writer, bits_of
from ..tuning import FEW_ROWS, ROWS_OF_FEW
from .operands import ALONG_SUM, Factor, elements_of
from .panels import WIDTHS, panels

_ARGUMENTS = ("a_rows", "a_columns", "b", "b_row", "c", "c_row", "depth", "width")


class _FewRows(Writer):
    """c += a b for `rows` rows of c."""

    def __init__(self, module: ir.Module, real: ir.Type, rows: int) -> None:
        self.rows = range(rows)
        lanes = panels(bits_of(real))[0].lanes
        super().__init__(module, real, lanes, f"few_rows_{rows}", [INT] * len(_ARGUMENTS))

    def body(self) -> None:
        builder = self.builder
        arg = self.arg = dict(zip(_ARGUMENTS, self.function.args, strict=True))
        self.whole = builder.sdiv(arg["width"], INT(self.lanes))  # vectors
        self.rest = builder.sub(arg["width"], builder.mul(self.whole, INT(self.lanes)))
        self.rest_mask = self.mask(self.rest, 0)
        self.a = [self.integer(builder.add(arg["a_rows"], INT(8 * i))) for i in self.rows]
        self.c = [self.row(arg["c"], arg["c_row"], i) for i in self.rows]
        at_once = INT(ROWS_OF_FEW)
        groups = builder.sdiv(arg["depth"], at_once)
        after = self.loop(groups, [arg["a_columns"], arg["b"]], lambda values: self.add_terms(ROWS_OF_FEW, *values))
        self.loop(builder.srem(arg["depth"], at_once), after, lambda values: self.add_terms(1, *values))

    def add_terms(self, count: int, column: Any, b: Any) -> list[Any]:
        """Add the terms of `count` rows of b, from the row at address b on; returns the place of those after them."""
        builder, size = self.builder, INT(self.lanes * self.bits // 8)
        offsets = [self.integer(builder.add(column, INT(8 * k))) for k in range(count)]
        factors = [[self.splat(self.element(builder.add(row, offset))) for row in self.a] for offset in offsets]
        rows_of_b = [self.row(b, self.arg["b_row"], k) for k in range(count)]

        def vector(shift: Any) -> None:
            sums = [self.load(builder.add(row, shift), 0) for row in self.c]
            for row, factor in zip(rows_of_b, factors, strict=True):
                loaded = self.load(builder.add(row, shift), 0)
                sums = [self.multiply_add(factor[i], loaded, sums[i]) for i in self.rows]
            for row, value in zip(self.c, sums, strict=True):
                self.store(value, builder.add(row, shift), 0)

        def step(values: list[Any]) -> list[Any]:
            vector(values[0])
            return [builder.add(values[0], size)]

        (shift,) = self.loop(self.whole, [INT(0)], step)
        with builder.if_then(builder.icmp_signed(">", self.rest, INT(0))):
            self.masks = [self.rest_mask]
            vector(shift)
            self.masks = []
        return [builder.add(column, INT(8 * count)), builder.add(b, builder.mul(self.arg["b_row"], INT(count)))]


def _emit_add_product(
    builder: ir.IRBuilder, a: Any, b: Any, c: Any, rows: Any, depth: Any, width: Any, one: Any
) -> None:
    values = [builder.extract_value(operand, field) for operand in (a, b, c) for field in range(2)]
    after = builder.append_basic_block("after")
    switch = builder.switch(rows, after)
    for count in range(1, FEW_ROWS + 1):
        block = builder.append_basic_block(f"few_rows_{count}")
        switch.add_case(INT(count), block)
        builder.position_at_end(block)
        builder.call(_FewRows(builder.module, one.type, count).write(), [*values, depth, width])
        builder.branch(after)
    builder.position_at_end(after)


@emitted_by(_emit_add_product)
def add_product(a: Factor, b: Rows, c: Rows, rows: int, depth: int, width: int, one: Real) -> None:
    """c += a b for up to FEW_ROWS rows, term by term."""
    dtype = np.dtype(type(one))
    result = matrix_at(c.address, rows, width, c.stride, dtype)
    matrix = matrix_at(b.address, depth, width, b.stride, dtype)
    for column, row in zip(elements_of(a, rows, depth, dtype).T, matrix, strict=True):
        result += np.outer(column, row)


@inner
def is_of_few_rows(p, scaling, item):
    """Whether `multiply_few_rows` computes a product: one with x, of more columns than a panel's."""
    plain = p.a.contiguous == ALONG_SUM and p.b.column == item and scaling.scaled == 0
    return plain and p.size.rows <= FEW_ROWS and p.size.columns > WIDTHS[0] * 4 // item


@inner
def multiply_few_rows(a, b, c, start, size, one):
    """C = start + A B, for up to FEW_ROWS rows; b is Rows. Without an address of `start`, sums begin with 0."""
    for i in range(size.rows):
        if start.address != 0:
            copy_elements(c.address + i * c.stride, start.address + i * start.stride, size.columns, one)
        else:
            row = row_at(c, i, size.columns, one)
            for j in range(size.columns):
                row[j] = 0
    if size.depth > 0:
        add_product(a, b, c, size.rows, size.depth, size.columns, one)
