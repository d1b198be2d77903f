"""The layout of a network's records, buffers and lists in memory.

A buffer holds rows: outputs, deltas, slopes or normalized sums of `capacity` samples. Rows are padded with zeros to
whole cache lines, and activations are applied to the padding, too: the rest of a row would otherwise fall into the slow
scalar part of the compiler's vector loop. The input has no buffer: products read the samples where they lie, by a list
of addresses that is written anew for each batch.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.decorators import address_of
from ..elementwise.activations.slopes import multiply_by_slopes, unit_slopes
from ..elementwise.activations.table import IDENTITY, SOFTMAX, functions_of
from ..elementwise.dropout import drop
from ..tuning import PREFETCH_DISTANCE, UNPADDED_OUTPUTS
from .arena import Arena
from .layers import LAYER, NETWORK
from .normalized import normalize_columns, normalize_columns_back

# Elements of a cache line of float32, to which rows are padded; of float64 they are two lines.
_LINE = 16


class Form(NamedTuple):
    """What decides on the layout of a network.

    sizes        sizes[0] inputs, sizes[l] outputs of layer l
    activations  the code of each layer's activation, see elementwise/activations/table.py
    dtype        of parameters and buffers
    capacity     rows of the buffers
    converted    rows of the buffer for converted samples; 0 if products read the samples where they lie
    training     whether deltas and slopes are wanted
    drops        whether hidden layers have dropout
    normalized   whether hidden layers have batch normalization
    """

    sizes: tuple[int, ...]
    activations: tuple[int, ...]
    dtype: np.dtype
    capacity: int
    converted: int
    training: bool
    drops: bool
    normalized: bool


def float_of(itemsize: int) -> np.dtype:
    """The floating-point dtype whose elements have this many bytes."""
    return np.dtype(f"f{itemsize}")


def padded(size: int) -> int:
    """The distance of rows of `size` elements: whole cache lines, but no multiple of 512 bytes.

    Walks along columns, as in the weight gradient, would otherwise hit the same few sets of the cache again and again.
    Three lines are added, not one: where rows lie a page and a line apart, the next vector of one row waits for the
    store of the last vector of the row below, since their addresses have the same last 12 bits.
    See Experiments: padding-of-three-lines.
    """
    distance = -(-size // _LINE) * _LINE
    return distance + 3 * _LINE if distance % (8 * _LINE) == 0 else distance


def lay_out_network(arena: Arena, form: Form) -> tuple[int, np.void, np.ndarray]:
    """Take the memory of a network; returns the network's address, its record, and the records of its layers."""
    address, network, layers = lay_out_parameters(arena, form)
    item = form.dtype.itemsize
    distances = arena.numbers(0, item, max(form.sizes), PREFETCH_DISTANCE)
    layers["columns"] = distances
    _lay_out_input(arena, form, layers[0])
    for number, activation in enumerate(form.activations, 1):
        _lay_out_buffers(arena, form, layers[number], number, activation)
    return address, network, layers


def lay_out_parameters(arena: Arena, form: Form) -> tuple[int, np.void, np.ndarray]:
    """Take the memory of a network's records alone, which say where its parameters are; returns as `lay_out_network`.

    A network that is only updated has no buffers.
    """
    address, (network,) = arena.records(NETWORK)
    network["layers"] = len(form.sizes) - 1
    network["table"], layers = arena.records(LAYER, len(form.sizes))
    for number in range(1, len(form.sizes)):
        _lay_out_sizes(form, layers, number)
    return address, network, layers


def _lay_out_input(arena: Arena, form: Form, layer: np.void) -> None:
    layer["outputs"] = form.sizes[0]
    layer["out_rows"] = arena.numbers(0, 0, form.capacity, PREFETCH_DISTANCE)
    if form.converted:
        layer["stride"] = padded(form.sizes[0]) * form.dtype.itemsize
        layer["out"] = arena.buffer(form.converted * int(layer["stride"]))


def _lay_out_sizes(form: Form, layers: np.ndarray, number: int) -> None:
    """The sizes of a layer, and where its parameters and running statistics are."""
    layer, item = layers[number], form.dtype.itemsize
    inputs, outputs = form.sizes[number - 1 : number + 1]
    layer["inputs"], layer["outputs"] = inputs, outputs
    layer["weight"] = layers[number - 1]["end"]
    layer["bias"] = layer["weight"] + inputs * outputs * item
    layer["end"] = layer["gamma"] = layer["bias"] + outputs * item
    if _is_normalized(form, number):
        layer["beta"] = layer["gamma"] + outputs * item
        layer["end"] = layer["beta"] + outputs * item
        layer["running"] = 2 * sum(form.sizes[1:number]) * item


def _is_hidden(form: Form, number: int) -> bool:
    return number < len(form.sizes) - 1


def _is_normalized(form: Form, number: int) -> bool:
    return form.normalized and _is_hidden(form, number)


def _lay_out_buffers(arena: Arena, form: Form, layer: np.void, number: int, activation: int) -> None:
    """A layer's buffers, the lists of their rows, and the functions that work on them."""
    item, outputs = form.dtype.itemsize, form.sizes[number]
    functions = functions_of(activation, form.dtype)
    unpadded = not _is_hidden(form, number) and activation == IDENTITY and outputs < UNPADDED_OUTPUTS
    stride = (outputs if unpadded else padded(outputs)) * item
    size = form.capacity * stride
    layer["stride"] = stride
    layer["out"] = layer["derivative_from"] = arena.buffer(size)
    layer["out_rows"] = arena.numbers(int(layer["out"]), stride, form.capacity, PREFETCH_DISTANCE)
    layer["activate_rows" if activation == SOFTMAX else "activate"] = functions.activate
    if not form.training:
        return
    layer["delta"] = arena.buffer(size)
    layer["delta_rows"] = arena.numbers(int(layer["delta"]), stride, form.capacity, PREFETCH_DISTANCE)
    layer["differentiate"] = functions.differentiate
    drops = form.drops and _is_hidden(form, number)
    if functions.by_slope or drops:
        layer["slope"] = layer["derivative_from"] = arena.buffer(size)
    if drops:  # dropout multiplies outputs and slopes, so that the derivative comes from the slopes
        layer["drop"] = address_of(drop, form.dtype)
        layer["differentiate"] = address_of(multiply_by_slopes, form.dtype)
        if activation == IDENTITY:
            layer["activate"] = address_of(unit_slopes, form.dtype)
    if _is_normalized(form, number):
        layer["normalized"] = arena.buffer(size)
        for name in ("batch_mean", "batch_variance", "inverse", "grad_gamma", "grad_beta"):
            layer[name] = arena.take(stride)
        layer["normalize"] = address_of(normalize_columns, form.dtype)
        layer["normalize_back"] = address_of(normalize_columns_back, form.dtype)
