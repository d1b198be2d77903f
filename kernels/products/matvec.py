"""A matrix and one sample: what training on batches of one is made of.

With one sample there is nothing to keep in registers but sums: the time is that of moving W through the processor. So W
is moved once a step. The update that the last sample left, W += x_old^T change, and the product with the next sample,
x_new W, are one pass over W, which reads each element, changes it, uses it and writes it back.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..compiler.jit import shared
from ..compiler.vectors import CACHE_LINE, INT, Writer, array_at, bits_of, itemsize, matrix_at
from ..elementwise.activations import CHUNK, activate, with_padding
from ..workers.threads import share
from .blocks import STREAM, stream_panel

# Rows of W that `_Dots` works on at once: so many sums that do not wait for each other.
DOT_ROWS = 8

# Steps on one sample each that may share a pass over the first W, see training.py.
TOGETHER = 16

# Rows of W are fetched so many steps before their turn, unless there are few: then W is near, as a rule, and its end
# would be fetched in vain. W of 784 x 50 comes from the second cache: a step takes 3.9 instead of 4.3 us (Xeon).
AHEAD = 8
FEW_ROWS = 64

# Panels begin at multiples of so many columns: activations are applied to whole such pieces.
LINE = CHUNK

STREAM_ARGUMENTS = ("depth", "weight", "weight_row", "old", "new", "change", "start", "out", "width")
DOT_ARGUMENTS = ("width", "weight", "weight_row", "x", "out")


class _Stream(Writer):
    """W = shrink W + old^T change and out = start + new W, for a panel of so many vectors of W.

    The last vector ends at column `width`, and so may overlap the one before it: their common columns are computed
    twice, to the same numbers, and so need no mask. (A masked store would make the next row's loads wait, as processors
    compare addresses of whole vectors.) All of a row is loaded before any of it is stored.
    """

    def __init__(self, module: ir.Module, real: ir.Type, lanes: int, vectors: int) -> None:
        self.vectors = vectors
        super().__init__(module, real, lanes, f"stream_{vectors}x{lanes}", [INT] * len(STREAM_ARGUMENTS) + [real])

    def body(self) -> None:
        builder = self.builder
        arg = dict(zip((*STREAM_ARGUMENTS, "shrink"), self.function.args, strict=True))
        item, size = INT(self.bits // 8), self.lanes * self.bits // 8
        places: list[Any] = [INT(j * size) for j in range(self.vectors - 1)]
        places.append(builder.mul(builder.sub(arg["width"], INT(self.lanes)), item))

        def vectors_at(row: Any) -> list[Any]:
            return [self.load(builder.add(row, place), 0) for place in places]

        def store_at(row: Any, values: list[Any]) -> None:
            for value, place in zip(values, places, strict=True):
                self.store(value, builder.add(row, place), 0)

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

        def fetching_step(values: list[Any]) -> list[Any]:
            soon = builder.add(values[0], builder.mul(arg["weight_row"], INT(AHEAD)))
            for place in range(0, self.vectors * size, CACHE_LINE):
                self.fetch_line(builder.add(soon, INT(place)))
            return step(values)

        first = [arg["weight"], arg["old"], arg["new"], *vectors_at(arg["start"])]
        far = builder.icmp_signed(">", arg["depth"], INT(FEW_ROWS))
        _, _, _, *acc = self.one_loop(builder.zext(far, INT), (step, fetching_step), arg["depth"], first)
        store_at(arg["out"], acc)


class _Dots(Writer):
    """out = W x for so many rows of W: sums of whole vectors, whose lanes are added at the end."""

    def __init__(self, module: ir.Module, real: ir.Type, rows: int) -> None:
        self.rows = rows
        super().__init__(module, real, stream_panel(bits_of(real)).lanes, f"dots_{rows}", [INT] * len(DOT_ARGUMENTS))

    def body(self) -> None:
        builder = self.builder
        arg = dict(zip(DOT_ARGUMENTS, self.function.args, strict=True))
        whole = builder.sdiv(builder.sub(arg["width"], INT(1)), INT(self.lanes))  # the last vector is cut
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


@intrinsic
def _stream_tile(_context, depth, weight, weight_row, old, new, change, start, out, width, shrink):
    real = shrink

    def code(context, builder, _signature, values):
        """The widest vectors that fit into the width, as many as it needs."""
        kind = context.get_value_type(real)
        panel, width = stream_panel(bits_of(kind)), values[-2]
        after = builder.append_basic_block("after")
        lanes, most = panel.lanes, panel.vectors
        while lanes > 0:
            fits, otherwise = (builder.append_basic_block(name) for name in ("fits", "otherwise"))
            builder.cbranch(builder.icmp_signed(">=", width, INT(lanes)), fits, otherwise)
            builder.position_at_end(fits)
            switch = builder.switch(builder.sdiv(builder.add(width, INT(lanes - 1)), INT(lanes)), after)
            for vectors in range(1, most + 1):
                block = builder.append_basic_block(f"stream_{vectors}x{lanes}")
                switch.add_case(INT(vectors), block)
                case = ir.IRBuilder(block)
                case.call(_Stream(builder.module, kind, lanes, vectors).write(), values)
                case.branch(after)
            builder.position_at_end(otherwise)
            lanes, most = lanes // 2, 2  # a width of fewer than twice so many lanes is left
        builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(*[types.intp] * len(STREAM_ARGUMENTS), real), code


@intrinsic
def _dot_tile(_context, several, width, weight, weight_row, x, out, one):
    def code(context, builder, _signature, values):
        kind = context.get_value_type(one)
        with builder.if_else(builder.icmp_signed("!=", values[0], INT(0))) as (many, single):
            for branch, rows in ((many, DOT_ROWS), (single, 1)):
                with branch:
                    builder.call(_Dots(builder.module, kind, rows).write(), values[1:-1])
        return context.get_dummy_value()

    return types.void(*[types.intp] * (1 + len(DOT_ARGUMENTS)), one), code


def _plain_stream_tile(depth, weight, weight_row, old, new, change, start, out, width, shrink):
    """The same in NumPy."""
    dtype = np.dtype(type(shrink))
    matrix = matrix_at(weight, depth, width, weight_row, dtype)
    left, right = matrix_at(old, depth, 1, dtype.itemsize, dtype), matrix_at(change, 1, width, 0, dtype)
    matrix[...] = shrink * matrix + left * right
    sums = matrix_at(new, 1, depth, 0, dtype) @ matrix
    matrix_at(out, 1, width, 0, dtype)[...] = matrix_at(start, 1, width, 0, dtype) + sums


def _plain_dot_tile(several, width, weight, weight_row, x, out, one):
    """The same in NumPy."""
    dtype = np.dtype(type(one))
    rows = DOT_ROWS if several else 1
    vector = matrix_at(x, 1, width, 0, dtype)[0]
    matrix_at(out, 1, rows, 0, dtype)[0] = matrix_at(weight, rows, width, weight_row, dtype) @ vector


stream_tile = _plain_stream_tile if numba.config.DISABLE_JIT else _stream_tile
dot_tile = _plain_dot_tile if numba.config.DISABLE_JIT else _dot_tile


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, real)", calls=[activate])
def update_and_multiply(out, slope, code, weight, bias, old, new, change, rows, columns, parts, part, shrink):
    """W = shrink W + old^T change, b += change, then out = f(new W + b), for a share of the columns.

    All are addresses of contiguous elements: out, change and bias (columns,), old and new (rows,), weight (rows,
    columns); out and change in buffers of padded rows. code is that of the activation f; slope is 0, or the address for
    its derivative, a row like out.
    """
    item = itemsize(shrink)
    width = STREAM // (item // 4)
    panels, lines = (columns + width - 1) // width, (columns + LINE - 1) // LINE
    first, last = share(panels, parts, part)
    for panel in range(first, last):
        begin, end = share(lines, panels, panel)  # panels of about the same width
        column = begin * LINE
        count, shift = min(end * LINE, columns) - column, column * item
        target = array_at(bias + shift, count, shrink)
        add = array_at(change + shift, count, shrink)
        for j in range(count):
            target[j] += add[j]
        stream_tile(
            rows, weight + shift, columns * item, old, new, change + shift, bias + shift, out + shift, count, shrink
        )
        slope_at = slope + shift if slope != 0 else 0
        activate(out + shift, 0, slope_at, 0, 1, with_padding(count), code, target.dtype.type(1))


@shared("void(intp, intp, intp, intp, intp, intp, intp, real)")
def row_products(out, weight, row, x, start, stop, columns, one):
    """out[i] = the sum over j of W[i, j] x[j], for i from start to stop: addresses of contiguous elements.

    row  bytes from one row of W to the next
    """
    item = itemsize(one)
    i = start
    while i < stop:
        several = i + DOT_ROWS <= stop
        dot_tile(several, columns, weight + i * row, row, x, out + i * item, one)
        i += DOT_ROWS if several else 1
