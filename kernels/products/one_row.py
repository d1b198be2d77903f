"""W and one sample: what training on batches of one consists of.

With one sample nothing is used twice, so the time is that of moving W through the processor. W is moved once a step:
the update that the last sample left, W += old^T change, and the product with the next sample, new W, are one pass. It
reads each element, changes it, uses it and writes it back.

`update_and_multiply` and `row_products` (W x, for the deltas) are called by the steps on single samples. Their inner
loops are LLVM functions, as tiles are.
"""

from typing import Any

import numpy as np
from llvmlite import ir

from ..compiler.decorators import shared
from ..compiler.emit import emitted_by
from ..compiler.memory import NO_ROWS, Rows, array_at, as_type_of, itemsize, matrix_at
from ..compiler.signature import Real
from ..compiler.writer import INT, Writer, bits_of
from ..elementwise.activations.contract import CHUNK, call_on_block, with_padding
from ..tuning import BYTES_PER_CACHE_LINE, ROWS_PER_DOT, STREAM_PREFETCH_LEAST_ROWS, STREAM_PREFETCH_ROWS
from ..workers.crew import Share, share
from .operands import Epilogue, Samples, Weights
from .panels import stream_panel

# Columns of the panel of W for float32.
PANEL_WIDTH = stream_panel(32)[0] * stream_panel(32)[1]

_STREAM_ARGUMENTS = ("out", "start", "weight", "weight_row", "old", "change", "new", "depth", "width")
_DOT_ARGUMENTS = ("out", "weight", "weight_row", "x", "width")


class _Stream(Writer):
    """W = shrink W + old^T change and out = start + new W, for a panel of `vectors` vectors of W.

    The last vector ends at column `width` and may overlap the one before it. Their common columns are computed twice,
    with the same result, and need no mask: the loads of the next row would wait for a masked store, since processors
    compare the addresses of whole vectors. All of a row is loaded before any of it is stored.
    """

    def __init__(self, module: ir.Module, real: ir.Type, lanes: int, vectors: int) -> None:
        self.vectors = vectors
        super().__init__(module, real, lanes, f"stream_{vectors}x{lanes}", [INT] * len(_STREAM_ARGUMENTS) + [real])

    def body(self) -> None:
        builder = self.builder
        arg = dict(zip((*_STREAM_ARGUMENTS, "shrink"), self.function.args, strict=True))
        item, size = INT(self.bits // 8), self.lanes * self.bits // 8
        offsets: list[Any] = [INT(j * size) for j in range(self.vectors - 1)]
        offsets.append(builder.mul(builder.sub(arg["width"], INT(self.lanes)), item))

        def vectors_at(row: Any) -> list[Any]:
            return [self.load(builder.add(row, offset), 0) for offset in offsets]

        def store_at(row: Any, values: list[Any]) -> None:
            for value, offset in zip(values, offsets, strict=True):
                self.store(value, builder.add(row, offset), 0)

        change, shrink = vectors_at(arg["change"]), self.splat(arg["shrink"])

        def step(values: list[Any]) -> list[Any]:
            row, old, new, *acc = values
            x_old, x_new = self.splat(self.element(old)), self.splat(self.element(new))
            weights = [
                self.multiply_add(x_old, change_j, builder.fmul(shrink, weight))
                for change_j, weight in zip(change, vectors_at(row), strict=True)
            ]
            store_at(row, weights)
            acc = [self.multiply_add(x_new, weight, value) for weight, value in zip(weights, acc, strict=True)]
            return [builder.add(row, arg["weight_row"]), builder.add(old, item), builder.add(new, item), *acc]

        def prefetching_step(values: list[Any]) -> list[Any]:
            later = builder.add(values[0], builder.mul(arg["weight_row"], INT(STREAM_PREFETCH_ROWS)))
            for offset in range(0, self.vectors * size, BYTES_PER_CACHE_LINE):
                self.prefetch(builder.add(later, INT(offset)))
            return step(values)

        first = [arg["weight"], arg["old"], arg["new"], *vectors_at(arg["start"])]
        many = builder.icmp_signed(">", arg["depth"], INT(STREAM_PREFETCH_LEAST_ROWS))
        _, _, _, *acc = self.one_loop(builder.zext(many, INT), (step, prefetching_step), arg["depth"], first)
        store_at(arg["out"], acc)


class _Dots(Writer):
    """out = W x for `rows` rows of W: sums of whole vectors, whose lanes are added at the end."""

    def __init__(self, module: ir.Module, real: ir.Type, rows: int) -> None:
        self.rows = rows
        super().__init__(module, real, stream_panel(bits_of(real))[0], f"dots_{rows}", [INT] * len(_DOT_ARGUMENTS))

    def body(self) -> None:
        builder = self.builder
        arg = dict(zip(_DOT_ARGUMENTS, self.function.args, strict=True))
        whole = builder.sdiv(builder.sub(arg["width"], INT(1)), INT(self.lanes))  # the last vector is masked
        size = INT(self.lanes * self.bits // 8)

        def step(values: list[Any]) -> list[Any]:
            weight, x, *acc = values
            factor = self.load(x, 0)
            rows = [self.load(self.row(weight, arg["weight_row"], i), 0) for i in range(self.rows)]
            acc = [self.multiply_add(row, factor, value) for row, value in zip(rows, acc, strict=True)]
            return [builder.add(weight, size), builder.add(x, size), *acc]

        values = self.loop(whole, [arg["weight"], arg["x"], *[self.zero] * self.rows], step)
        self.masks = [self.mask(builder.sub(arg["width"], builder.mul(whole, INT(self.lanes))), 0)]
        _, _, *acc = step(values)
        for i, value in enumerate(acc):
            address = builder.add(arg["out"], INT(i * self.bits // 8))
            builder.store(self.lanes_added(value), builder.inttoptr(address, self.real.as_pointer()))


def _emit_stream_panel(
    builder: ir.IRBuilder, out: Any, start: Any, weight: Any, samples: Any, depth: Any, width: Any, shrink: Any
) -> None:
    """Call the function for this width: vectors are shorter where there are fewer columns than lanes."""
    tuples = [builder.extract_value(weight, field) for field in range(2)]
    tuples += [builder.extract_value(samples, field) for field in range(3)]
    values = [out, start, *tuples, depth, width, shrink]
    lanes, most = stream_panel(bits_of(shrink.type))
    after = builder.append_basic_block("after")
    while lanes > 0:
        fits, otherwise = (builder.append_basic_block(name) for name in ("fits", "otherwise"))
        builder.cbranch(builder.icmp_signed(">=", width, INT(lanes)), fits, otherwise)
        builder.position_at_end(fits)
        switch = builder.switch(builder.sdiv(builder.add(width, INT(lanes - 1)), INT(lanes)), after)
        for vectors in range(1, most + 1):
            block = builder.append_basic_block(f"stream_{vectors}x{lanes}")
            switch.add_case(INT(vectors), block)
            case = ir.IRBuilder(block)
            case.call(_Stream(builder.module, shrink.type, lanes, vectors).write(), values)
            case.branch(after)
        builder.position_at_end(otherwise)
        lanes, most = lanes // 2, 2  # fewer than twice as many columns are left
    builder.branch(after)
    builder.position_at_end(after)


@emitted_by(_emit_stream_panel)
def stream_panel_of(out: int, start: int, weight: Rows, samples: Samples, depth: int, width: int, shrink: Real) -> None:
    """W = shrink W + old^T change, then out = start + new W, for one panel."""
    dtype = np.dtype(type(shrink))
    matrix = matrix_at(weight.address, depth, width, weight.stride, dtype)
    left, right = array_at(samples.old, depth, shrink), array_at(samples.change, width, shrink)
    matrix[...] = shrink * matrix + left[:, np.newaxis] * right
    array_at(out, width, shrink)[:] = array_at(start, width, shrink) + array_at(samples.new, depth, shrink) @ matrix


def _emit_dots(builder: ir.IRBuilder, out: Any, weight: Any, x: Any, rows: Any, width: Any, one: Any) -> None:
    values = [out, *[builder.extract_value(weight, field) for field in range(2)], x, width]
    with builder.if_else(builder.icmp_signed("==", rows, INT(1))) as (single, several):
        for branch, count in ((single, 1), (several, ROWS_PER_DOT)):
            with branch:
                builder.call(_Dots(builder.module, one.type, count).write(), values)


@emitted_by(_emit_dots)
def dots(out: int, weight: Rows, x: int, rows: int, width: int, one: Real) -> None:
    """out = W x for 1 or ROWS_PER_DOT rows."""
    result = array_at(out, rows, one)
    result[:] = matrix_at(weight.address, rows, width, weight.stride, result.dtype) @ array_at(x, width, one)


@shared
def update_and_multiply(
    out: int, weights: Weights, samples: Samples, epilogue: Epilogue, part_of: Share, shrink: Real
) -> None:
    """W = shrink W + old^T change, b += change, then out = f(new W + b), for a share of the columns.

    out       address of (columns,), in a buffer of padded rows as `change` and the epilogue's other operand
    epilogue  the activation f
    """
    item, columns = itemsize(shrink), weights.columns
    width = PANEL_WIDTH // (item // 4)
    # Panels of about the same width that begin at multiples of CHUNK: activations work on whole chunks.
    panels, chunks = (columns + width - 1) // width, (columns + CHUNK - 1) // CHUNK
    first, last = share(panels, part_of.parts, part_of.part)
    for panel in range(first, last):
        begin, end = share(chunks, panels, panel)
        count, offset = min(end * CHUNK, columns) - begin * CHUNK, begin * CHUNK * item
        bias, change = weights.bias + offset, samples.change + offset
        sums, terms = array_at(bias, count, shrink), array_at(change, count, shrink)
        for j in range(count):
            sums[j] += terms[j]
        weight = Rows(weights.weight + offset, columns * item)
        stream_panel_of(
            out + offset, bias, weight, Samples(samples.old, change, samples.new), weights.rows, count, shrink
        )
        if epilogue.function != 0:
            other = Rows(epilogue.other.address + offset, 0) if epilogue.other.address != 0 else NO_ROWS
            call_on_block(
                epilogue.function, Rows(out + offset, 0), other, 1, with_padding(count), as_type_of(1, shrink)
            )


@shared
def row_products(out: int, weight: Rows, x: int, rows: int, columns: int, one: Real) -> None:
    """out (rows,) = W x, for W (rows, columns) and x (columns,). A row's result does not depend on the other rows."""
    i = 0
    while i < rows:
        count = ROWS_PER_DOT if i + ROWS_PER_DOT <= rows else 1
        dots(out + i * itemsize(one), Rows(weight.address + i * weight.stride, weight.stride), x, count, columns, one)
        i += count
