"""Whole networks: the forward pass, back-propagation, and what they leave for the weights.

A network is data, so that one compiled function serves them all:
    sizes        (L + 1,)  int64    sizes[0] inputs, sizes[l] outputs of layer l
    activations  (L,)      int64    the code of each layer's activation, see activations.ACTIVATIONS
    params       (P,)      real     W1 (I, O) row by row, b1 (O,), W2, b2, ... one after another

This becomes a table with a line for each layer: its sizes, its activation, where its weights begin, and the addresses
of its buffers. Outputs and deltas lie in buffers of padded rows. Behind the last element of a sample's input to a layer
stands a 1: the bias is the weight of that input, and lies in memory as the last row of W. So one product,
(x 1)^T delta, gives the gradients of both.

The functions here are called by each thread of a team, see team.py. Samples do not meet in the forward pass and in
back-propagation: each thread carries a share of the batch from layer to layer. But of a large W it pays to let each
thread take a share of the columns for the whole batch: it then reads, packs or transposes no more than its share of W,
and the team meets at the layer.
"""

import numpy as np
from numba import prange

from .activations import IDENTITY, SOFTMAX, activation_backward_row, activation_forward_row
from .jit import entry, inner, shared
from .products import BACKWARD, FORWARD, NOTHING, multiply
from .team import meet
from .threads import share, threads_for
from .vectors import array_at, itemsize, keep

# Rows that a thread predicts at a time, so that memory does not grow with the data.
BLOCK = 128

# From this size on, a W is divided by columns.
LARGE_WEIGHT = 256 << 10

# Rows of the last layer shorter than this are not padded, so that losses are computed in long runs, see losses.py.
SHORT = 16

# The columns of the table; line 0 is the input, line l layer l. Addresses, and strides of rows in bytes.
FIELDS = 8
(
    INPUTS, OUTPUTS, CODE,  # sizes, activation
    OFFSET,                 # bytes from the beginning of params, or of whatever is laid out like it, to the layer's W
    OUT, OUT_ROW,           # the layer's output (B, O)
    DELTA, DELTA_ROW,       # dE/du (B, O), u the input sum
) = range(FIELDS)  # fmt: skip


@inner
def padded(size):
    """The distance of rows of `size` elements and a 1: whole cache lines, and not a multiple of 512 bytes.

    Column-wise walks, as the weight gradient makes them, would else hit the same few sets of the cache again and again.
    """
    distance = size // 16 * 16 + 16
    return distance + 16 if distance % 128 == 0 else distance


@inner
def layer_table(room, sizes, activations, batch):
    """The table of a network, with buffers for `batch` samples in the array `room`: all outputs, then all deltas."""
    item = room.itemsize
    layers = sizes.shape[0] - 1
    table = np.zeros((layers + 1, FIELDS), np.int64)
    offset = 0
    place = room.ctypes.data
    for layer in range(layers + 1):
        line = table[layer]
        line[OUTPUTS] = sizes[layer]
        distance = padded(sizes[layer]) * item
        if layer > 0:
            line[INPUTS] = sizes[layer - 1]
            line[CODE] = activations[layer - 1]
            line[OFFSET] = offset
            offset += (sizes[layer - 1] + 1) * sizes[layer] * item
            if layer == layers and line[CODE] == IDENTITY and sizes[layer] < SHORT:
                distance = sizes[layer] * item
        line[OUT], line[OUT_ROW] = place, distance
        place += batch * distance
    for layer in range(1, layers + 1):
        line = table[layer]
        line[DELTA], line[DELTA_ROW] = place, line[OUT_ROW]
        place += batch * line[OUT_ROW]
    return table


@inner
def table_at(table_address, layers):
    return array_at(table_address, (layers + 1) * FIELDS, np.int64(0)).reshape((layers + 1, FIELDS))


@inner
def divided_by_columns(line, members, one):
    return members > 1 and line[INPUTS] * line[OUTPUTS] * itemsize(one) >= LARGE_WEIGHT


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, intp, real)", calls=[multiply])
def forward(table_address, layers, params, start, stop, batch, team, members, rank, one):
    """Every layer's output: x_l = f_l(x_{l-1} W_l + b_l), for rows start to stop, this thread's, of the batch."""
    table, item = table_at(table_address, layers), itemsize(one)
    met = False  # since the last output was written
    for layer in range(1, layers + 1):
        line, below = table[layer], table[layer - 1]
        columns = divided_by_columns(line, members, one)
        if columns and not met:
            meet(team, members)
        top, rows = (0, batch) if columns else (start, stop - start)
        parts, part = (members, rank) if columns else (1, 0)
        weight, row = params + line[OFFSET], line[OUTPUTS] * item
        multiply(
            line[OUT] + top * line[OUT_ROW], line[OUT_ROW], below[OUT] + top * below[OUT_ROW], below[OUT_ROW], item,
            weight, row, item, rows, line[OUTPUTS], line[INPUTS], weight + line[INPUTS] * row, 0, 0,
            NOTHING if line[CODE] == SOFTMAX else FORWARD + line[CODE], 0, 0, parts, part, one, one,
        )  # fmt: skip
        if columns:
            meet(team, members)
        met = columns
        for i in range(start, stop):
            if layer < layers:
                set_one(line[OUT] + i * line[OUT_ROW], line[OUTPUTS], one)
            elif line[CODE] == SOFTMAX:  # it needs whole rows
                out = array_at(line[OUT] + i * line[OUT_ROW], line[OUTPUTS], one)
                activation_forward_row(out, out, SOFTMAX)


@inner
def set_one(row, count, one):
    """The 1 behind the `count` elements of a row."""
    array_at(row, count + 1, one)[count] = one


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, intp, real)", calls=[multiply])
def backward(table_address, layers, params, start, stop, batch, team, members, rank, one):
    """delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T), from dE/dy in the last layer's delta down to the first layer's."""
    table, item = table_at(table_address, layers), itemsize(one)
    last_delta(table[layers], start, stop, one)
    met = False
    for layer in range(layers, 1, -1):
        line, below = table[layer], table[layer - 1]
        columns = divided_by_columns(line, members, one)
        if columns and not met:
            meet(team, members)
        top, rows = (0, batch) if columns else (start, stop - start)
        parts, part = (members, rank) if columns else (1, 0)
        multiply(
            below[DELTA] + top * below[DELTA_ROW], below[DELTA_ROW],
            line[DELTA] + top * line[DELTA_ROW], line[DELTA_ROW], item,
            params + line[OFFSET], item, line[OUTPUTS] * item, rows, line[INPUTS], line[OUTPUTS], 0, 0, 0,
            BACKWARD + below[CODE], below[OUT] + top * below[OUT_ROW], below[OUT_ROW], parts, part, one, one,
        )  # fmt: skip
        if columns:
            meet(team, members)
        met = columns


@inner
def last_delta(line, start, stop, one):
    """delta = f'(u) * dE/dy in place, for rows of the last layer."""
    if line[CODE] != IDENTITY:
        for i in range(start, stop):
            out = array_at(line[OUT] + i * line[OUT_ROW], line[OUTPUTS], one)
            delta = array_at(line[DELTA] + i * line[DELTA_ROW], line[OUTPUTS], one)
            activation_backward_row(delta, delta, out, line[CODE])


@inner
def weight_gradient(line, below, target, start, stop, top, batch, scaled, shrink, alpha):
    """target = (x 1)^T delta, or target = shrink target + alpha (x 1)^T delta: the last row is that of the bias.

    For rows start to stop of a matrix (I + 1, O) at an address; the sum is over `batch` samples from row `top` of the
    buffers.
    """
    item = itemsize(alpha)
    row = line[OUTPUTS] * item
    multiply(
        target + start * row, row, below[OUT] + top * below[OUT_ROW] + start * item, item, below[OUT_ROW],
        line[DELTA] + top * line[DELTA_ROW], line[DELTA_ROW], item,
        stop - start, line[OUTPUTS], batch, 0, 0, scaled, NOTHING, 0, 0, 1, 0, shrink, alpha,
    )  # fmt: skip


@inner
def copy_row(out, x, x_column, count, one):
    """The `count` elements at address x, x_column bytes apart, to address out."""
    target = array_at(out, count, one)
    if x_column == itemsize(one):
        source = array_at(x, count, one)
        for j in range(count):
            target[j] = source[j]
    else:
        for j in range(count):
            target[j] = array_at(x + j * x_column, 1, one)[0]


@inner
def copy_rows(out, out_row, x, x_row, x_column, rows, columns, one):
    """A matrix at address x, with any strides, to address out."""
    if x_column == itemsize(one):  # a product over nothing begins with x, and copies many rows at once
        multiply(out, out_row, 0, 0, 0, 0, 0, x_column, rows, columns, 0, x, x_row, 0, NOTHING, 0, 0, 1, 0, one, one)
    else:
        for i in range(rows):
            copy_row(out + i * out_row, x + i * x_row, x_column, columns, one)


@inner
def forward_blocks(out, params, x, sizes, activations, start, stop):
    """out[start:stop] = the network's output for x[start:stop], a block of rows at a time."""
    layers = sizes.shape[0] - 1
    one = params.dtype.type(1)
    elements = 0
    for layer in range(layers + 1):
        elements += BLOCK * padded(sizes[layer])
    room = np.empty(elements, params.dtype)  # for the outputs only
    table = layer_table(room, sizes, activations, BLOCK)
    first, last = table[0], table[layers]
    row = out.strides[0]
    for top in range(start, stop, BLOCK):
        count = min(BLOCK, stop - top)
        source = x.ctypes.data + top * x.strides[0]
        copy_rows(first[OUT], first[OUT_ROW], source, x.strides[0], x.strides[1], count, first[OUTPUTS], one)
        forward(table.ctypes.data, layers, params.ctypes.data, 0, count, count, 0, 1, 0, one)
        for i in range(count):
            result = array_at(last[OUT] + i * last[OUT_ROW], last[OUTPUTS], one)
            for k in range(last[OUTPUTS]):
                array_at(out.ctypes.data + (top + i) * row + k * out.strides[1], 1, one)[0] = result[k]
    return keep(room) + keep(table)


@entry("void(real[:, :], real[::1], real[:, :], int64[::1], int64[::1], intp)", calls=[forward, multiply])
def _network_forward(out, params, x, sizes, activations, threads):
    if threads == 1:
        forward_blocks(out, params, x, sizes, activations, 0, out.shape[0])
    else:
        for part in prange(threads):
            start, stop = share(out.shape[0], threads, part)
            forward_blocks(out, params, x, sizes, activations, start, stop)


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> None:
    """Carry every row of x through the network: x_l = f_l(x_{l-1} W_l + b_l) for l = 1 to L.

    out          (N, K)    written: the last layer's output
    params       (P,)      read; contiguous: W1 (I, O) row by row, b1, W2, b2, ...
    x            (N, I)    read
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read: indices into ACTIVATIONS

    Source: section 1 of the notes, the multilayer network.
    """
    _network_forward(out, params, x, sizes, activations, threads_for(x.shape[0] * params.size))
