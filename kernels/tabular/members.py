"""Some samples through all members of a network for tables, and back.

A thread calls both functions for samples of its own, between which and those of other threads there is nothing to wait
for. step.py calls them in training, prediction.py the first one. What belongs to one block of samples, the sums for the
gradients of scales, is made as soon as its rows are known and are in the cache.
"""

from typing import NamedTuple

from ..compiler.decorators import inner, shared
from ..compiler.memory import NO_ROWS, Matrix, Rows, itemsize
from ..compiler.signature import Real
from ..elementwise.activations.contract import call_on_block, with_padding
from ..network.forward import BatchRows, factor_of, finish_rows, multiply_layer
from ..network.layers import deltas_from, derivative_from, layer_of, network_at, outputs_from, slopes_from
from ..products.multiply import multiply
from ..products.operands import ALONG_SUM, NO_EPILOGUE, Epilogue, Factor, Size
from ..workers.crew import ALONE, WHOLE
from .embedding import embed
from .records import block_sums, embedded_from, grad_embedded_from, member_rows, scales_of, tabular_at
from .scales import scale_and_add, scale_copies, scale_copies_back, scale_rows, scale_rows_back, sum_members


class Samples(NamedTuple):
    """Samples `start` to `stop` of the list, whole blocks but for the last; `first` is the number of the first one."""

    start: int
    stop: int
    first: int


@shared
def forward_members(
    network_address: int, tabular_address: int, samples: Samples, room: int, key: int, one: Real
) -> None:
    """Compute the outputs of all members, before the output activation, for some samples.

    room  the address of room for products, see products/packing.py
    key   of the step's dropout
    """
    network, tabular = network_at(network_address), tabular_at(tabular_address)
    params, members, count = network.params, tabular.members, samples.stop - samples.start
    start = samples.start * members
    rows = BatchRows(start, samples.stop * members, samples.stop * members, samples.first * members + start)
    embed(tabular, params, samples.start, samples.stop, one)
    inputs, scales = layer_of(network, 0), scales_of(tabular, 1)
    if scales.scale_in >= 0:
        source = embedded_from(tabular, samples.start)
        scale_copies(outputs_from(inputs, start), source, params + scales.scale_in, count, members, inputs.outputs, one)
    for number in range(1, network.layers):
        layer, scales = layer_of(network, number), scales_of(tabular, number)
        if scales.scale_out < 0:
            multiply_layer(network, layer, layer_of(network, number - 1), rows, ALONE, False, room, one)
        else:
            scaled_layer(network, layer, layer_of(network, number - 1), scales, rows, members, room, one)
        finish_rows(network, layer, number, rows, key, one)
        if scales.scaled != 0:
            target = Rows(scales.scaled + start * scales.scaled_stride, scales.scaled_stride)
            scale = params + scales_of(tabular, number + 1).scale_in
            scale_rows(target, outputs_from(layer, start), scale, count, members, layer.outputs, one)
    heads(network, tabular, samples.start, count, room, one)


@inner
def scaled_layer(network, layer, below, scales, rows, members, room, one):
    """f(s * (x W) + b) for rows of all members."""
    item, count = itemsize(one), rows.stop - rows.start
    product = Rows(scales.product + rows.start * scales.product_stride, scales.product_stride)
    weight = Matrix(network.params + layer.weight, layer.outputs * item, item)
    size = Size(count, layer.outputs, layer.inputs)
    multiply(product, NO_ROWS, factor_of(below, rows.start, 0), weight, size, NO_EPILOGUE, WHOLE, room, one)
    out = outputs_from(layer, rows.start)
    scale, bias = network.params + scales.scale_out, network.params + layer.bias
    scale_and_add(out, product, scale, bias, count // members, members, layer.outputs, one)
    if layer.activate != 0:
        slopes = slopes_from(layer, rows.start)
        call_on_block(layer.activate, out, slopes, count, with_padding(layer.outputs), one)


@inner
def heads(network, tabular, start, count, room, one):
    """The products of the last hidden outputs with the head of each member."""
    last, item, members = layer_of(network, network.layers), itemsize(one), tabular.members
    size = Size(count, last.outputs, last.inputs)
    for m in range(members):
        weight = network.params + tabular.head + m * last.inputs * last.outputs * item
        multiply(
            member_rows(last.out, last.stride, members, start, m),
            Rows(network.params + tabular.head_bias + m * last.outputs * item, 0),
            Factor(tabular.last_rows + m * tabular.list_bytes + 8 * start, last.columns, ALONG_SUM),
            Matrix(weight, last.outputs * item, item), size, NO_EPILOGUE, WHOLE, room, one,
        )  # fmt: skip


@shared
def backward_members(network_address: int, tabular_address: int, samples: Samples, room: int, one: Real) -> None:
    """Back-propagation for some samples, from the deltas of the heads.

    It leaves all deltas, the gradient of the embeddings, and the sums for the gradients of the scales.
    """
    network, tabular = network_at(network_address), tabular_at(tabular_address)
    start, rows = samples.start * tabular.members, (samples.stop - samples.start) * tabular.members
    heads_back(network, tabular, samples.start, samples.stop - samples.start, room, one)
    for number in range(network.layers - 1, 0, -1):
        layer, below, scales = layer_of(network, number), layer_of(network, number - 1), scales_of(tabular, number)
        if scales.scale_out >= 0:
            scales_out_back(network, tabular, layer, scales, samples, one)
        if number == 1 and tabular.grad_embedded == 0:
            break
        item, fused = itemsize(one), scales.scale_in < 0
        multiply(
            deltas_from(below, start), NO_ROWS, Factor(layer.delta_rows + 8 * start, layer.columns, ALONG_SUM),
            Matrix(network.params + layer.weight, item, layer.outputs * item), Size(rows, layer.inputs, layer.outputs),
            Epilogue(below.differentiate if fused else 0, derivative_from(below, start)), WHOLE, room, one,
        )  # fmt: skip
        if not fused:
            scales_in_back(network, tabular, below, scales, number, samples, one)
            if below.differentiate != 0:
                source = derivative_from(below, start)
                call_on_block(below.differentiate, deltas_from(below, start), source, rows, below.outputs, one)


@inner
def heads_back(network, tabular, start, count, room, one):
    """The deltas of the last hidden layer."""
    last, item, members = layer_of(network, network.layers), itemsize(one), tabular.members
    hidden = layer_of(network, network.layers - 1)
    size = Size(count, last.inputs, last.outputs)
    for m in range(members):
        weight = network.params + tabular.head + m * last.inputs * last.outputs * item
        multiply(
            member_rows(hidden.delta, hidden.stride, members, start, m), NO_ROWS,
            Factor(tabular.head_delta_rows + m * tabular.list_bytes + 8 * start, last.columns, ALONG_SUM),
            Matrix(weight, item, last.outputs * item), size,
            Epilogue(hidden.differentiate, member_rows(hidden.derivative_from, hidden.stride, members, start, m)),
            WHOLE, room, one,
        )  # fmt: skip


@inner
def scales_out_back(network, tabular, layer, scales, samples, one):
    """The sums for the biases of the members and the scales of their outputs; deltas become those of the products."""
    members, width = tabular.members, layer.outputs
    for first in range(samples.start, samples.stop, tabular.block):
        count, block = min(tabular.block, samples.stop - first), first // tabular.block
        delta = deltas_from(layer, first * members)
        product = Rows(scales.product + first * members * scales.product_stride, scales.product_stride)
        sum_members(block_sums(scales.sums_bias, block, members, width, one), delta, count, members, width, one)
        sums = block_sums(scales.sums_out, block, members, width, one)
        scale_rows_back(delta, product, network.params + scales.scale_out, sums, count, members, width, one)


@inner
def scales_in_back(network, tabular, below, scales, number, samples, one):
    """The sums for the scales of a layer's inputs; deltas become gradients of the inputs before they were scaled."""
    members, width, scale = tabular.members, below.outputs, network.params + scales.scale_in
    for first in range(samples.start, samples.stop, tabular.block):
        count, block = min(tabular.block, samples.stop - first), first // tabular.block
        delta, sums = deltas_from(below, first * members), block_sums(scales.sums_in, block, members, width, one)
        if number == 1:
            grad, source = grad_embedded_from(tabular, first), embedded_from(tabular, first)
            scale_copies_back(grad, delta, source, scale, sums, count, members, width, one)
        else:
            scale_rows_back(delta, outputs_from(below, first * members), scale, sums, count, members, width, one)
