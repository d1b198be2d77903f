"""The gradient of the parameters, over samples that have gone through the network and back.

All threads call `add_gradient` after they have met: each sums over all samples for a share of each parameter, so that
no sum depends on the number of threads. A batch that is larger than the buffers goes through in several parts, whose
gradients are added up.
"""

from ..compiler.decorators import inner, shared
from ..compiler.memory import Rows, array_at, itemsize
from ..compiler.signature import Real
from ..network.backward import Part, add_weight_gradient, bias_gradient, part_of_weight, weight_gradient
from ..network.layers import layer_of, network_at
from ..products.column_sums import column_sums
from ..products.multiply import accumulate_samples, multiply_samples
from ..products.operands import ALONG_ROWS, Factor, Size
from ..workers.crew import Crew, share
from .embedding import embed_back
from .records import block_sums, member_rows, scales_of, tabular_at


@shared
def add_gradient(
    network_address: int, tabular_address: int, gradient: int, samples: int, first: bool, last: bool, room: int,
    crew: Crew, one: Real,
) -> None:  # fmt: skip
    """Add the gradient over samples 0 to `samples` of the list to that at an address.

    first, last  whether these are the first samples of the batch, before which there is nothing; and the last ones
    """
    network, tabular = network_at(network_address), tabular_at(tabular_address)
    rows = samples * tabular.members
    for number in range(1, network.layers):
        layer, below, scales = layer_of(network, number), layer_of(network, number - 1), scales_of(tabular, number)
        top, bottom = share(layer.inputs, crew.members, crew.rank)
        part = Part(top, bottom, 0, layer.outputs)
        target = part_of_weight(layer, gradient + layer.weight, part, one)
        if first:
            weight_gradient(layer, below, target, part, 0, rows, room, one)
        else:
            add_weight_gradient(layer, below, target, part, 0, rows, room, one, one)
        if scales.own_bias == 0:
            start, stop = share(layer.outputs, crew.members, crew.rank)
            place = gradient + layer.bias + start * itemsize(one)
            bias_gradient(layer, place, start, stop, 0, rows, 0 if first else 1, one)
        else:
            add_sums(gradient + layer.bias, scales.sums_bias, tabular, samples, layer.outputs, first, crew, one)
            add_sums(gradient + scales.scale_out, scales.sums_out, tabular, samples, layer.outputs, first, crew, one)
        if scales.scale_in >= 0:
            add_sums(gradient + scales.scale_in, scales.sums_in, tabular, samples, layer.inputs, first, crew, one)
    add_heads(network, tabular, gradient, samples, first, room, crew, one)
    if tabular.grad_embedded != 0:
        embed_back(tabular, gradient, samples, crew, first, last, one)


@inner
def add_sums(target, sums, tabular, samples, width, first, crew, one):
    """Add up the sums of all blocks, for this thread's share of the elements (M, width)."""
    size, item = tabular.members * width, itemsize(one)
    start, stop = share(size, crew.members, crew.rank)
    total = array_at(target + start * item, stop - start, one)
    if first:
        total[:] = one - one
    for block in range((samples + tabular.block - 1) // tabular.block):
        address = block_sums(sums, block, tabular.members, width, one)
        part = array_at(address + start * item, stop - start, one)
        for j in range(stop - start):
            total[j] += part[j]


@inner
def add_heads(network, tabular, gradient, samples, first, room, crew, one):
    """Add the gradient of the heads, for this thread's share of their M H rows and M biases."""
    last, item, members = layer_of(network, network.layers), itemsize(one), tabular.members
    below, stride = layer_of(network, network.layers - 1), last.outputs * itemsize(one)
    start, stop = share(members * last.inputs, crew.members, crew.rank)
    for m in range(members):
        top, bottom = max(start - m * last.inputs, 0), min(stop - m * last.inputs, last.inputs)
        delta = member_rows(last.delta, last.stride, members, 0, m)
        if top < bottom:
            target = Rows(gradient + tabular.head + (m * last.inputs + top) * stride, stride)
            rows = tabular.last_rows + m * tabular.list_bytes
            transposed = Factor(below.columns + 8 * top, rows, ALONG_ROWS)
            size = Size(bottom - top, last.outputs, samples)
            if first:
                multiply_samples(target, transposed, delta, size, room, one)
            else:
                accumulate_samples(target, one, transposed, delta, size, room, one)
        if m % crew.members == crew.rank:
            bias = gradient + tabular.head_bias + m * last.outputs * item
            column_sums(bias, delta, samples, last.outputs, 0 if first else 1, one)
