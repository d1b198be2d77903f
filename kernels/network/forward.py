"""The forward pass: every layer's output, x_l = drop(f_l(norm(x_{l-1} W_l + b_l))).

All threads of a crew call `forward`, each for its own rows of the batch. See division.py for the layers that they
compute in other ways, and meet before and after.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.decorators import inner, shared
from ..compiler.memory import Matrix, Rows, array_at, itemsize
from ..compiler.signature import Real
from ..elementwise.activations.contract import call_on_block, with_padding
from ..elementwise.dropout import call_drop
from ..elementwise.settings import settings_at
from ..products.multiply import finish, multiply
from ..products.operands import ALONG_SUM, IN_PANELS, NO_EPILOGUE, Epilogue, Factor, Size
from ..workers.crew import WHOLE, Crew, Share, share
from ..workers.team import meet
from .division import by_columns, in_halves
from .layers import deltas_from, layer_of, network_at, outputs_from, slopes_from
from .normalized import call_normalize


class BatchRows(NamedTuple):
    """Rows `start` to `stop` of the buffers: samples of a batch of `batch`, the first of them number `first`."""

    start: int
    stop: int
    batch: int
    first: int


@shared
def forward(network_address: int, rows: BatchRows, crew: Crew, room: int, key: int, one: Real) -> int:
    """Compute the outputs of all layers for this thread's rows.

    room  the address of room for products over a layer's inputs or outputs, see products/packing.py
    key   of the step's dropout, see elementwise/dropout.py

    Returns 1 if an input of these rows may not be finite, else 0; 0 also if the first layer is not made of halves.
    """
    network, doubt = network_at(network_address), 0
    met = False  # since the last output was written
    for number in range(1, network.layers + 1):
        layer, below = layer_of(network, number), layer_of(network, number - 1)
        halves = number == 1 and crew.team != 0 and in_halves(layer, rows.batch, one)
        columns = not halves and by_columns(layer, rows.batch, crew, one)
        epilogue = activation_of(layer, rows.start)
        if halves:
            doubt = first_layer_in_halves(network, layer, below, rows, crew, epilogue, room, one)
        else:
            if columns and not met:
                meet(crew)
            multiply_layer(network, layer, below, rows, crew, columns, room, one)
        met = columns or layer.normalize != 0
        if met:
            meet(crew)
        if layer.normalize != 0:
            call_normalize(layer.normalize, network_address, number, rows.batch, crew, one)
            meet(crew)
        if finish_rows(network, layer, number, rows, key, one):
            met = False
    return doubt


@inner
def activation_of(layer, start):
    """The layer's activation as an epilogue of its product: not before batch normalization, which it follows."""
    return Epilogue(layer.activate if layer.normalize == 0 else 0, slopes_from(layer, start))


@inner
def factor_of(layer, first, column):
    """The layer's outputs from row `first` and element `column` on, as the left factor of a product."""
    return Factor(layer.out_rows + 8 * first, layer.columns + 8 * column, ALONG_SUM)


@inner
def multiply_layer(network, layer, below, rows, crew, columns, room, one):
    """f(x W + b) for this thread's rows or, by columns, for its share of the columns of all rows."""
    item = itemsize(one)
    first = 0 if columns else rows.start
    count = rows.batch if columns else rows.stop - rows.start
    part = Share(crew.members, crew.rank) if columns else WHOLE
    weight = Matrix(network.params + layer.weight, layer.outputs * item, item)
    if layer.packed != 0:
        weight = Matrix(layer.packed, layer.outputs * item, IN_PANELS)
    bias = Rows(network.params + layer.bias, 0)
    size = Size(count, layer.outputs, layer.inputs)
    multiply(
        outputs_from(layer, first), bias, factor_of(below, first, 0), weight, size, activation_of(layer, first), part,
        room, one,
    )  # fmt: skip


@inner
def first_layer_in_halves(network, layer, below, rows, crew, epilogue, room, one):
    """The first layer's output for this thread's rows, from sums over its share of the inputs for all rows.

    The sum over the first half of the inputs goes to the outputs, that over the second half to the deltas, which have
    no other use yet. The threads divide each half among them; with an odd number of threads each takes two parts.

    Returns 1 if any sum is not finite, else 0. A non-finite input makes every sum of its row non-finite (inf * 0 is
    NaN), so finite sums prove that the inputs are finite and nobody has to scan them.
    """
    item = itemsize(one)
    meet(crew)  # all rows of the batch are in the list
    each = 1 if crew.members % 2 == 0 else 2
    parts = each * crew.members // 2
    stride = layer.outputs * item
    for number in range(each * crew.rank, each * (crew.rank + 1)):
        half, part = number // parts, number % parts
        begin, end = share(layer.inputs, 2, half)
        weight = Matrix(network.params + layer.weight + begin * stride, stride, item)
        size = Size(rows.batch, layer.outputs, end - begin)
        target = deltas_from(layer, 0) if half == 1 else outputs_from(layer, 0)
        start = Rows(0 if half == 1 else network.params + layer.bias, 0)
        multiply(target, start, factor_of(below, 0, begin), weight, size, NO_EPILOGUE, Share(parts, part), room, one)
    meet(crew)
    shift, count = rows.start * layer.stride, (rows.stop - rows.start) * layer.stride // item
    out, other = array_at(layer.out + shift, count, one), array_at(layer.delta + shift, count, one)
    largest, doubt = np.finfo(out.dtype).max, False
    for j in range(count):
        out[j] += other[j]
        doubt |= not (abs(out[j]) <= largest)
    if epilogue.function != 0:
        out_rows, padded_columns = outputs_from(layer, rows.start), with_padding(layer.outputs)
        finish(epilogue.function, out_rows, epilogue.other, rows.stop - rows.start, padded_columns, one)
    return 1 if doubt else 0


@inner
def finish_rows(network, layer, number, rows, key, one):
    """What needs whole rows: softmax, and dropout. Returns whether it changed this thread's outputs."""
    out, count = outputs_from(layer, rows.start), rows.stop - rows.start
    if layer.activate_rows != 0:
        call_on_block(layer.activate_rows, out, slopes_from(layer, rows.start), count, layer.outputs, one)
    if layer.drop == 0:
        return False
    settings = settings_at(network.settings)
    call_drop(
        layer.drop, out, slopes_from(layer, rows.start), count, layer.outputs, rows.first, number, key,
        settings.dropout, settings.dropout_scale, one,
    )  # fmt: skip
    return True
