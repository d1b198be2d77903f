"""The last columns of a product, where they are so few that a tile's vectors would be nearly empty.

With vectors of 16, the last 2 of 50 columns cost as much as the 16 before them. So vectors lie across the columns here,
along whatever is contiguous in the left factor:

    along the sum   (out = x W)            each element is a dot product, whose lanes are added at the end
    along the rows  (grad_weight = x^T G)  so many rows of the result at once, of which each column is written by itself

Both are LLVM functions written here, as tiles are, see tile.py; they take addresses and check nothing.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compiler.processor import vector_lanes
from ..compiler.vectors import INT, Writer, array_at, bits_of, matrix_at
from .blocks import TAIL

# Rows that `_AlongSum` works on at once, by the columns that it has room for: so many sums that none waits for itself.
# The same by the columns that there are.
ROWS = {2: 8, 4: 4}
ROWS_BY_WIDTH = np.array([0, 8, 8, 4, 4])

# Vectors of rows that `_AlongRows` works on at once, and their elements for float32.
VECTORS = 4
AT_ONCE = VECTORS * vector_lanes(32)

SUM_ARGUMENTS = ("rows", "depth", "a_rows", "a_start", "b", "b_row", "c", "c_row", "start", "start_row", "width")
ROW_ARGUMENTS = ("rows", "depth", "a", "a_columns", "b", "b_row", "c", "c_row", "width", "scaled")
FACTORS = ("shrink", "alpha")


class _Tail(Writer):
    """What both have in common: a panel of `columns` columns, of which `width` are there, one at least."""

    arguments: tuple[str, ...]

    def __init__(self, module: ir.Module, real: ir.Type, columns: int) -> None:
        self.columns = columns
        name = f"{type(self).__name__.lower().lstrip('_')}_{columns}"
        kinds = [real if argument in FACTORS else INT for argument in self.arguments]
        super().__init__(module, real, vector_lanes(bits_of(real)), name, kinds)
        self.item = self.bits // 8

    def given(self) -> dict[str, Any]:
        return dict(zip(self.arguments, self.function.args, strict=True))

    def at_most(self, number: int, count: Any) -> Any:
        """`number`, or the last of `count` if there are fewer: what is then done twice gives the same twice."""
        builder = self.builder
        last = builder.sub(count, INT(1))
        return builder.select(builder.icmp_signed("<", INT(number), count), INT(number), last)

    def place(self, base: Any, stride: Any, number: Any) -> Any:
        return self.builder.add(base, self.builder.mul(stride, number))

    def write_element(self, value: Any, address: Any) -> None:
        self.builder.store(value, self.builder.inttoptr(address, self.real.as_pointer()))


class _AlongSum(_Tail):
    """c[i, j] = start[i, j] + sum over k of a[i, k] b[j, k], for up to ROWS rows; contiguous in k."""

    arguments = SUM_ARGUMENTS

    def body(self) -> None:
        builder, arg, size = self.builder, self.given(), INT(self.lanes * self.bits // 8)
        rows, columns = range(ROWS[self.columns]), range(self.columns)
        chosen = [self.at_most(i, arg["rows"]) for i in rows]
        heads = [self.integer(self.place(arg["a_rows"], INT(8), i)) for i in chosen]
        a = [builder.add(head, arg["a_start"]) for head in heads]
        b = [self.place(arg["b"], arg["b_row"], self.at_most(j, arg["width"])) for j in columns]

        def step(values: list[Any]) -> list[Any]:
            shift, *acc = values
            row_of_b = [self.load(builder.add(row, shift), 0) for row in b]
            total = []
            for i in rows:
                row_of_a = self.load(builder.add(a[i], shift), 0)
                total += [self.multiply_add(row_of_a, row_of_b[j], acc[len(b) * i + j]) for j in columns]
            return [builder.add(shift, size), *total]

        whole = builder.sdiv(arg["depth"], INT(self.lanes))
        values = self.loop(whole, [INT(0), *[self.zero] * len(a) * len(b)], step)
        self.masks = [self.mask(builder.sub(arg["depth"], builder.mul(whole, INT(self.lanes))), 0)]
        _, *acc = step(values)  # what is left, less than a vector
        sums = [self.lanes_added(value) for value in acc]
        for j in columns:
            with builder.if_then(builder.icmp_signed("<", INT(j), arg["width"])):
                shift = INT(j * self.item)
                for i, number in zip(rows, chosen, strict=True):
                    start = self.element(builder.add(self.place(arg["start"], arg["start_row"], number), shift))
                    target = builder.add(self.place(arg["c"], arg["c_row"], number), shift)
                    self.write_element(builder.fadd(start, sums[len(b) * i + j]), target)


class _AlongRows(_Tail):
    """c[i, j] = sum over k of a[k, i] b[k, j], or c = shrink c + alpha that, for up to VECTORS vectors of rows i."""

    arguments = ROW_ARGUMENTS + FACTORS

    def body(self) -> None:
        builder, arg, item = self.builder, self.given(), INT(self.item)
        columns = range(self.columns)
        self.masks = [self.mask(arg["rows"], v) for v in range(VECTORS)]
        shifts = [builder.mul(self.at_most(j, arg["width"]), item) for j in columns]
        room = builder.alloca(self.vector, VECTORS * self.columns)

        def step(values: list[Any]) -> list[Any]:
            column, b, *acc = values
            row = builder.add(arg["a"], self.integer(column))
            row_of_a = [self.load(row, v) for v in range(VECTORS)]
            total = []
            for j in columns:
                element = self.splat(self.element(builder.add(b, shifts[j])))
                total += [self.multiply_add(row_of_a[v], element, acc[VECTORS * j + v]) for v in range(VECTORS)]
            return [builder.add(column, INT(8)), builder.add(b, arg["b_row"]), *total]

        first = [arg["a_columns"], arg["b"], *[self.zero] * VECTORS * self.columns]
        _, _, *acc = self.loop(arg["depth"], first, step)
        for number, value in enumerate(acc):
            builder.store(value, builder.gep(room, [INT(number)])).align = self.item
        sums = builder.ptrtoint(room, INT)
        for j in columns:
            with builder.if_then(builder.icmp_signed("<", INT(j), arg["width"])):
                source = builder.add(sums, INT(j * VECTORS * self.lanes * self.item))
                self.write_column(arg, source, builder.add(arg["c"], INT(j * self.item)))

    def write_column(self, arg: dict[str, Any], source: Any, target: Any) -> None:
        """The elements at `source` become a column of the result, or are added to it."""
        builder = self.builder
        fused = self._intrinsic(f"llvm.fmuladd.f{self.bits}", self.real, [self.real] * 3)

        def add(values: list[Any]) -> list[Any]:
            source, target = values
            old = builder.fmul(arg["shrink"], self.element(target))
            self.write_element(builder.call(fused, [arg["alpha"], self.element(source), old]), target)
            return [builder.add(source, INT(self.item)), builder.add(target, arg["c_row"])]

        def copy(values: list[Any]) -> list[Any]:
            source, target = values
            self.write_element(self.element(source), target)
            return [builder.add(source, INT(self.item)), builder.add(target, arg["c_row"])]

        with builder.if_else(builder.icmp_signed("!=", arg["scaled"], INT(0))) as (scaled, plain):
            for branch, move in ((scaled, add), (plain, copy)):
                with branch:
                    self.loop(arg["rows"], [source, target], move)


def _call_for(builder: ir.IRBuilder, kind: type[_Tail], real: ir.Type, width: Any, values: list[Any]) -> None:
    """Call the function with the least room for `width` columns."""
    after = builder.append_basic_block("after")
    for columns in [columns for columns in ROWS if columns // 2 < max(TAIL, 2)]:
        fits, otherwise = (builder.append_basic_block(name) for name in ("fits", "otherwise"))
        builder.cbranch(builder.icmp_signed("<=", width, INT(columns)), fits, otherwise)
        builder.position_at_end(fits)
        builder.call(kind(builder.module, real, columns).write(), values)
        builder.branch(after)
        builder.position_at_end(otherwise)
    builder.branch(after)
    builder.position_at_end(after)


@intrinsic
def _along_sum(_context, rows, depth, a_rows, a_start, b, b_row, c, c_row, start, start_row, width, one):
    def code(context, builder, _signature, values):
        *integers, _ = values
        _call_for(builder, _AlongSum, context.get_value_type(one), integers[-1], integers)
        return context.get_dummy_value()

    return types.void(*[types.intp] * len(SUM_ARGUMENTS), one), code


@intrinsic
def _along_rows(_context, rows, depth, a, a_columns, b, b_row, c, c_row, width, scaled, shrink, alpha):
    real = alpha

    def code(context, builder, _signature, values):
        width = values[ROW_ARGUMENTS.index("width")]
        _call_for(builder, _AlongRows, context.get_value_type(real), width, values)
        return context.get_dummy_value()

    return types.void(*[types.intp] * len(ROW_ARGUMENTS), real, real), code


def _plain_along_sum(rows, depth, a_rows, a_start, b, b_row, c, c_row, start, start_row, width, one):
    """The same in NumPy."""
    dtype = np.dtype(type(one))
    count = min(rows, ROWS_BY_WIDTH[width])
    first = matrix_at(start, count, width, start_row, dtype)
    matrix = matrix_at(b, width, depth, b_row, dtype)
    for i in range(count):
        row = matrix_at(array_at(a_rows, rows, np.int64(0))[i] + a_start, 1, depth, 0, dtype)[0]
        matrix_at(c + i * c_row, 1, width, 0, dtype)[0] = first[i] + matrix @ row


def _plain_along_rows(rows, depth, a, a_columns, b, b_row, c, c_row, width, scaled, shrink, alpha):
    """The same in NumPy."""
    dtype = np.dtype(type(alpha))
    total = np.zeros((rows, width), dtype)
    shifts, factor = array_at(a_columns, depth, np.int64(0)), matrix_at(b, depth, width, b_row, dtype)
    for k in range(depth):
        total += np.outer(matrix_at(a + shifts[k], 1, rows, 0, dtype)[0], factor[k])
    out = matrix_at(c, rows, width, c_row, dtype)
    out[...] = shrink * out + alpha * total if scaled else total


along_sum: Any = _plain_along_sum if numba.config.DISABLE_JIT else _along_sum
along_rows: Any = _plain_along_rows if numba.config.DISABLE_JIT else _along_rows
