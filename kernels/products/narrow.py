"""The last columns of a product where they are so few that the vectors of a tile would be nearly empty.

With vectors of 16, the last 2 of 50 columns cost as much as the 16 before them. Here vectors lie across the columns,
along what is contiguous in the left factor:

    along the sum   (x W)    each element is a dot product, whose lanes are added at the end
    along the rows  (x^T G)  several vectors of rows of the result at once, written column by column

multiply.py calls `multiply_narrow` for the columns that `narrow_columns` counts. Both forms are LLVM functions written
here, as tiles are; they take addresses and check nothing. See Experiments: tail-across-columns.
"""

from typing import Any, ClassVar

import numpy as np
from llvmlite import ir

from ..compiler.decorators import inner
from ..compiler.emit import emitted_by
from ..compiler.memory import Rows, array_at, itemsize, matrix_at, row_at, rows_from
from ..compiler.processor import instruction_set, vector_lanes
from ..compiler.signature import Real
from ..compiler.writer import INT, Writer, bits_of
from ..tuning import NARROW_SUMS
from .operands import ALONG_ROWS, ALONG_SUM, Scaling
from .panels import NARROW_MOST, NARROWEST

# Rows that `_AlongSum` takes at once, by the columns that it has room for; and the same by the columns that there are.
_SUM_ROWS = {columns: NARROW_SUMS[instruction_set()] // columns for columns in (2, 4)}
SUM_ROWS = np.array([0, _SUM_ROWS[2], _SUM_ROWS[2], _SUM_ROWS[4], _SUM_ROWS[4]])

# Vectors of rows that `_AlongRows` takes at once, and their elements for float32.
_ROW_VECTORS = 4
ROW_ELEMENTS = _ROW_VECTORS * vector_lanes(32)

# Rows of the right factor whose cache lines stay in the first-level cache until all their columns are copied. Estimate.
_GATHERED_ROWS = 128

# Elements for float32. Sums along which vectors lie are at least this long: their lanes must be added at the end.
LEAST_DEPTH = 4 * NARROWEST


class _Narrow(Writer):
    """What both forms have in common: room for `columns` columns, of which at least one exists."""

    integers: ClassVar[tuple[str, ...]]
    reals: ClassVar[tuple[str, ...]] = ()

    def __init__(self, module: ir.Module, real: ir.Type, columns: int) -> None:
        self.columns = columns
        name = f"{type(self).__name__.lower().lstrip('_')}_{columns}"
        kinds = [INT] * len(self.integers) + [real] * len(self.reals)
        super().__init__(module, real, vector_lanes(bits_of(real)), name, kinds)
        self.item = self.bits // 8

    def named_arguments(self) -> dict[str, Any]:
        return dict(zip(self.integers + self.reals, self.function.args, strict=True))

    def at_most(self, number: int, count: Any) -> Any:
        """`number`, or the last index of `count`: a row or column that does not exist is computed as the last one."""
        builder = self.builder
        last = builder.sub(count, INT(1))
        return builder.select(builder.icmp_signed("<", INT(number), count), INT(number), last)

    def at(self, base: Any, stride: Any, number: Any) -> Any:
        return self.builder.add(base, self.builder.mul(stride, number))

    def write_element(self, value: Any, address: Any) -> None:
        self.builder.store(value, self.builder.inttoptr(address, self.real.as_pointer()))


class _AlongSum(_Narrow):
    """c[i, j] = start[i, j] + sum over k of a[i, k] b[j, k], for up to _SUM_ROWS rows; contiguous in k."""

    integers = "a_rows", "a_first", "b", "b_row", "c", "c_row", "start", "start_row", "rows", "depth", "width"

    def body(self) -> None:
        builder, arg, size = self.builder, self.named_arguments(), INT(self.lanes * self.bits // 8)
        rows, columns = range(_SUM_ROWS[self.columns]), range(self.columns)
        chosen = [self.at_most(i, arg["rows"]) for i in rows]
        heads = [self.integer(self.at(arg["a_rows"], INT(8), i)) for i in chosen]
        a = [builder.add(head, arg["a_first"]) for head in heads]
        b = [self.at(arg["b"], arg["b_row"], self.at_most(j, arg["width"])) for j in columns]

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
        _, *acc = step(values)  # what is left, less than a vector; its other lanes add 0
        sums = [self.lanes_added(value) for value in acc]
        for j in columns:
            with builder.if_then(builder.icmp_signed("<", INT(j), arg["width"])):
                shift = INT(j * self.item)
                for i, number in zip(rows, chosen, strict=True):
                    start = self.element(builder.add(self.at(arg["start"], arg["start_row"], number), shift))
                    target = builder.add(self.at(arg["c"], arg["c_row"], number), shift)
                    self.write_element(builder.fadd(start, sums[len(b) * i + j]), target)


class _AlongRows(_Narrow):
    """c[i, j] = sum over k of a[k, i] b[k, j], or shrink c + alpha that, for up to _ROW_VECTORS vectors of rows i."""

    integers = "a", "a_columns", "b", "b_row", "c", "c_row", "rows", "depth", "width", "scaled"
    reals = "shrink", "alpha"

    def body(self) -> None:
        builder, arg, item = self.builder, self.named_arguments(), INT(self.item)
        columns = range(self.columns)
        self.masks = [self.mask(arg["rows"], v) for v in range(_ROW_VECTORS)]
        shifts = [builder.mul(self.at_most(j, arg["width"]), item) for j in columns]
        room = builder.alloca(self.vector, _ROW_VECTORS * self.columns)

        def step(values: list[Any]) -> list[Any]:
            column, b, *acc = values
            row = builder.add(arg["a"], self.integer(column))
            row_of_a = [self.load(row, v) for v in range(_ROW_VECTORS)]
            total = []
            for j in columns:
                element = self.splat(self.element(builder.add(b, shifts[j])))
                sums = acc[_ROW_VECTORS * j : _ROW_VECTORS * (j + 1)]
                total += [self.multiply_add(row, element, value) for row, value in zip(row_of_a, sums, strict=True)]
            return [builder.add(column, INT(8)), builder.add(b, arg["b_row"]), *total]

        first = [arg["a_columns"], arg["b"], *[self.zero] * _ROW_VECTORS * self.columns]
        _, _, *acc = self.loop(arg["depth"], first, step)
        for number, value in enumerate(acc):
            builder.store(value, builder.gep(room, [INT(number)])).align = self.item
        sums = builder.ptrtoint(room, INT)
        for j in columns:
            with builder.if_then(builder.icmp_signed("<", INT(j), arg["width"])):
                source = builder.add(sums, INT(j * _ROW_VECTORS * self.lanes * self.item))
                self.write_column(arg, source, builder.add(arg["c"], INT(j * self.item)))

    def write_column(self, arg: dict[str, Any], source: Any, target: Any) -> None:
        """The elements at `source` become a column of the result, or are added to it."""
        builder = self.builder
        fused = self.intrinsic(f"llvm.fmuladd.f{self.bits}", self.real, [self.real] * 3)

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


def _emit_call(builder: ir.IRBuilder, kind: type[_Narrow], real: ir.Type, width: Any, values: list[Any]) -> None:
    """Call the function that has the least room for `width` columns."""
    after = builder.append_basic_block("after")
    for columns in [columns for columns in _SUM_ROWS if columns // 2 < max(NARROW_MOST, 2)]:
        fits, otherwise = (builder.append_basic_block(name) for name in ("fits", "otherwise"))
        builder.cbranch(builder.icmp_signed("<=", width, INT(columns)), fits, otherwise)
        builder.position_at_end(fits)
        builder.call(kind(builder.module, real, columns).write(), values)
        builder.branch(after)
        builder.position_at_end(otherwise)
    builder.branch(after)
    builder.position_at_end(after)


def _fields(builder: ir.IRBuilder, *operands: Any) -> list[Any]:
    return [builder.extract_value(operand, field) for operand in operands for field in range(2)]


def _emit_along_sum(
    builder: ir.IRBuilder, a_rows: Any, a_first: Any, b: Any, c: Any, start: Any, rows: Any, depth: Any, width: Any,
    one: Any,
) -> None:  # fmt: skip
    values = [a_rows, a_first, *_fields(builder, b, c, start), rows, depth, width]
    _emit_call(builder, _AlongSum, one.type, width, values)


@emitted_by(_emit_along_sum)
def along_sum(
    a_rows: int, a_first: int, b: Rows, c: Rows, start: Rows, rows: int, depth: int, width: int, one: Real
) -> None:
    """c = start + A b^T for as many of `rows` rows as are taken at once; A's row i begins at a_rows[i] + a_first."""
    dtype = np.dtype(type(one))
    count = min(rows, SUM_ROWS[width])
    first = matrix_at(start.address, count, width, start.stride, dtype)
    matrix = matrix_at(b.address, width, depth, b.stride, dtype)
    for i in range(count):
        row = array_at(array_at(a_rows, rows, np.int64(0))[i] + a_first, depth, one)
        array_at(c.address + i * c.stride, width, one)[:] = first[i] + matrix @ row


def _emit_along_rows(
    builder: ir.IRBuilder, a: Any, a_columns: Any, b: Any, c: Any, rows: Any, depth: Any, width: Any, scaling: Any,
    one: Any,
) -> None:  # fmt: skip
    factors = [builder.extract_value(scaling, field) for field in range(3)]
    values = [a, a_columns, *_fields(builder, b, c), rows, depth, width, *factors]
    _emit_call(builder, _AlongRows, one.type, width, values)


@emitted_by(_emit_along_rows)
def along_rows(
    a: int, a_columns: int, b: Rows, c: Rows, rows: int, depth: int, width: int, scaling: Scaling, one: Real
) -> None:
    """c = A b, or c = shrink c + alpha A b, for up to ROW_ELEMENTS rows; A's column k begins at a + a_columns[k]."""
    dtype = np.dtype(type(one))
    total = np.zeros((rows, width), dtype)
    offsets, matrix = array_at(a_columns, depth, np.int64(0)), matrix_at(b.address, depth, width, b.stride, dtype)
    for k in range(depth):
        total += np.outer(array_at(a + offsets[k], rows, one), matrix[k])
    result = matrix_at(c.address, rows, width, c.stride, dtype)
    result[...] = scaling.shrink * result + scaling.alpha * total if scaling.scaled else total


@inner
def narrow_columns(columns, depth, contiguous, scale):
    """How many of a product's last columns are computed here; scale is 1 for float32 and 2 for float64."""
    rest = columns % (NARROWEST // scale)
    pays = contiguous == ALONG_ROWS or (contiguous == ALONG_SUM and depth >= LEAST_DEPTH // scale)
    return rest if pays and rest <= NARROW_MOST // scale else 0


@inner
def multiply_narrow(a, b, c, start, size, scaling, room, one):
    """Compute a product of few columns, of which `b` is a Matrix that is not in panels.

    `room` holds the columns of b as rows, and zeros behind them, where sums are along what is contiguous.
    """
    item = itemsize(one)
    columns, depth = size.columns, size.depth
    i = 0
    if a.contiguous == ALONG_ROWS:
        at_once = ROW_ELEMENTS * 4 // item
        while i < size.rows:
            head = array_at(a.rows + 8 * i, 1, np.int64(0))[0]
            count = min(at_once, size.rows - i)
            along_rows(head, a.columns, Rows(b.address, b.row), rows_from(c, i), count, depth, columns, scaling, one)
            i += at_once
        return
    across = Rows(b.address, b.column)
    if b.row != item:
        across = Rows(room, depth * item)
        for top in range(0, depth, _GATHERED_ROWS):
            for j in range(columns):
                row, source = row_at(across, j, depth, one), b.address + j * b.column
                for k in range(top, min(top + _GATHERED_ROWS, depth)):
                    row[k] = array_at(source + k * b.row, 1, one)[0]
    if start.address == 0:
        start = Rows(room + columns * depth * item, 0)
        fill = array_at(start.address, columns, one)
        for j in range(columns):
            fill[j] = 0
    first = array_at(a.columns, 1, np.int64(0))[0]
    while i < size.rows:
        along_sum(
            a.rows + 8 * i, first, across, rows_from(c, i), rows_from(start, i), size.rows - i, depth, columns, one
        )
        i += SUM_ROWS[columns]
