"""Where the parameters of a network for tables are, and the layout of its buffers and lists.

The parameters follow one another as the computation meets them: the tables of the features, the layers with their
scales, the heads. Rows of buffers are padded as network/layout.py says.
"""

from typing import Any, NamedTuple

import numpy as np

from ..network.arena import Arena
from ..network.layout import Form, lay_out_network, padded
from ..tuning import PREFETCH_DISTANCE, TABULAR_BLOCK_ROWS, TABULAR_BLOCKS
from .records import BINS, FEATURE, PLAIN, SCALES, TABULAR


class Members(NamedTuple):
    """What decides on the layout of a network for tables, beside its `Form`.

    features  (kind, count, width) of each feature
    members   M
    scaled    whether every layer has scales and biases of each member
    samples   that the buffers have room for; the capacity of the form is so many rows for each member
    """

    features: tuple[tuple[int, int, int], ...]
    members: int
    scaled: bool
    samples: int


def lay_out_tabular(arena: Arena, form: Form, shape: Members) -> tuple[int, np.void, int, np.void]:
    """Take the memory of a network for tables; returns addresses and records of the network and of what else it has."""
    network_address, network, layers = lay_out_network(arena, form)
    address, (tabular,) = arena.records(TABULAR)
    tabular["members"], tabular["features"] = shape.members, len(shape.features)
    tabular["scales"], scales = arena.records(SCALES, len(layers))
    _lay_out_features(arena, form, shape, tabular)
    _lay_out_parameters(form, shape, tabular, layers, scales)
    block = max(1, shape.samples // TABULAR_BLOCKS)
    tabular["at_once"], tabular["block"] = shape.samples, block
    tabular["blocks_at_once"] = max(1, TABULAR_BLOCK_ROWS // (block * shape.members))
    _lay_out_inputs(arena, form, shape, tabular, layers)
    _lay_out_scales(arena, form, shape, layers, scales, -(-shape.samples // block))
    _lay_out_heads(arena, form, shape, tabular, layers)
    return network_address, network, address, tabular


def _lay_out_features(arena: Arena, form: Form, shape: Members, tabular: np.void) -> None:
    """The records of the features, and the knots."""
    item, column, table = form.dtype.itemsize, 0, 0
    tabular["table"], features = arena.records(FEATURE, len(shape.features))
    for number, (record, (kind, count, width)) in enumerate(zip(features, shape.features, strict=True)):
        record["kind"], record["count"], record["width"] = kind, count, width
        record["column"], record["input"], record["table"] = column, number * item, table
        column += width * item
        rows = {PLAIN: 0, BINS: count + 1}.get(kind, count)
        table += rows * width * item
    tabular["tables"], tabular["knots"] = table, arena.take(table)


def _lay_out_parameters(form: Form, shape: Members, tabular: np.void, layers: np.ndarray, scales: np.ndarray) -> None:
    """Where the scales, weights and biases are; -1 where there are none."""
    end, item, members = int(tabular["tables"]), form.dtype.itemsize, shape.members

    def take(*sizes: int) -> int:
        nonlocal end
        start = end
        end += int(np.prod(sizes)) * item
        return start

    scales["scale_in"] = scales["scale_out"] = -1
    each = members > 1 and shape.scaled
    for number in range(1, len(layers) - 1):
        layer, scale = layers[number], scales[number]
        inputs, outputs = form.sizes[number - 1 : number + 1]
        if members > 1 and (shape.scaled or number == 1):
            scale["scale_in"] = take(members, inputs)
        layer["weight"] = take(inputs, outputs)
        if each:
            scale["scale_out"], scale["own_bias"] = take(members, outputs), 1
        layer["bias"] = take(members if each else 1, outputs)
        layer["end"] = layer["gamma"] = end
    tabular["head"] = layers[-1]["weight"] = take(members, form.sizes[-2], form.sizes[-1])
    tabular["head_bias"] = layers[-1]["bias"] = take(members, form.sizes[-1])
    layers[-1]["end"] = layers[-1]["gamma"] = end


def _lay_out_inputs(arena: Arena, form: Form, shape: Members, tabular: np.void, layers: np.ndarray) -> None:
    """The list of the samples, their embeddings, and the inputs of the members: of one member the embeddings."""
    inputs, stride = layers[0], padded(form.sizes[0]) * form.dtype.itemsize
    tabular["samples"] = arena.numbers(0, 0, shape.samples)
    inputs["out_rows"] = arena.numbers(int(inputs["out"]), stride, form.capacity, PREFETCH_DISTANCE)
    if form.training and (shape.members > 1 or int(tabular["tables"]) > 0):
        inputs["delta"] = arena.buffer(form.capacity * stride)
        tabular["grad_embedded"] = inputs["delta"] if shape.members == 1 else arena.buffer(shape.samples * stride)
    tabular["embedded"] = inputs["out"] if shape.members == 1 else arena.buffer(shape.samples * stride)
    tabular["embedded_stride"] = stride


def _lay_out_scales(
    arena: Arena, form: Form, shape: Members, layers: np.ndarray, scales: np.ndarray, blocks: int
) -> None:
    """Buffers for what is not scaled yet or no more, and the sums for the gradients of the scales."""
    item = form.dtype.itemsize
    for number in range(1, len(layers) - 1):
        layer, scale = layers[number], scales[number]
        inputs, outputs = form.sizes[number - 1 : number + 1]
        stride = int(layer["stride"])
        if scale["scale_out"] >= 0:
            scale["product"], scale["product_stride"] = arena.buffer(form.capacity * stride), stride
        if number + 1 < len(layers) - 1 and scales[number + 1]["scale_in"] >= 0:
            scale["scaled"], scale["scaled_stride"] = arena.buffer(form.capacity * stride), stride
            # what the next product reads
            layer["out_rows"] = arena.numbers(int(scale["scaled"]), stride, form.capacity, PREFETCH_DISTANCE)
        if not form.training:
            continue
        if scale["scale_in"] >= 0:
            scale["sums_in"] = arena.take(blocks * shape.members * inputs * item)
        if scale["scale_out"] >= 0:
            scale["sums_out"] = arena.take(blocks * shape.members * outputs * item)
            scale["sums_bias"] = arena.take(blocks * shape.members * outputs * item)


def _lay_out_heads(arena: Arena, form: Form, shape: Members, tabular: np.void, layers: np.ndarray) -> None:
    """For each member the lists of its rows, which lie M rows apart."""

    def lists(layer: np.void, name: str) -> int:
        stride, begin = int(layer["stride"]), int(layer[name])
        starts = [
            arena.numbers(begin + m * stride, shape.members * stride, shape.samples, more) for m in range(shape.members)
        ]
        tabular["list_bytes"] = starts[1] - starts[0] if len(starts) > 1 else 0
        return starts[0]

    more = -(-(shape.samples + PREFETCH_DISTANCE) // 8) * 8 - shape.samples  # lists are whole cache lines
    tabular["last_rows"] = lists(layers[-2], "out")
    if form.training:
        tabular["head_delta_rows"] = lists(layers[-1], "delta")


def form_of(
    sizes: tuple[int, ...], activations: tuple[int, ...], dtype: np.dtype[Any], rows: int, training: bool, drops: bool
) -> Form:
    """The form of a network for tables whose buffers have `rows` rows: its inputs have a buffer, too."""
    return Form(sizes, activations, dtype, rows, rows, training=training, drops=drops, normalized=False)
