"""Whole networks: the forward pass, back-propagation, and what they leave for the weights.

A network is data, so that one compiled function serves them all:
    sizes        (L + 1,)  int64    sizes[0] inputs, sizes[l] outputs of layer l
    activations  (L,)      int64    the code of each layer's activation, see activations.ACTIVATIONS
    params       (P,)      real     W1 (I, O) row by row, b1 (O,), W2, b2, ... one after another

This becomes a table with a line for each layer: its sizes, its activation, where its weights begin, and the addresses
of its buffers: outputs and deltas, in padded rows. The input is not copied to a buffer. Products take their left factor
by lists of addresses, see products.py: that of the input's rows, written anew for each batch, points at the samples.

The functions here are called by each thread of a team, see team.py. Samples do not meet in the forward pass and in
back-propagation: each thread carries a share of the batch from layer to layer. But of a large W it pays to let each
thread take a share of the columns for the whole batch: it then reads, packs or transposes no more than its share of W,
and the team meets at the layer.
"""

import numpy as np
from numba import prange

from .activations import IDENTITY, SOFTMAX, activation_backward_row, activation_forward_row
from .jit import entry, inner, shared
from .products import BACKWARD, FORWARD, NOTHING, fill, multiply, room_bytes
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
FIELDS = 10
(
    INPUTS, OUTPUTS, CODE,  # sizes, activation
    OFFSET,                 # bytes from the beginning of params, or of whatever is laid out like it, to the layer's W
    OUT, OUT_ROW,           # the layer's output (B, O)
    ROWS, ELEMENTS,         # lists for products: addresses of its rows, distances of the elements in a row
    DELTA, DELTA_ROWS,      # dE/du (B, O), u the input sum: rows as far apart as those of the output; their addresses
) = range(FIELDS)  # fmt: skip


@inner
def padded(size):
    """The distance of rows of `size` elements: whole cache lines, and not a multiple of 512 bytes.

    Column-wise walks, as the weight gradient makes them, would else hit the same few sets of the cache again and again.
    """
    distance = (size + 15) // 16 * 16
    return distance + 16 if distance % 128 == 0 else distance


@inner
def list_size(sizes, batch):
    """Elements of the array that holds the lists of `layer_table`."""
    return 2 * sizes.shape[0] * batch + sizes[0] + sizes.max() + 1  # a tile reads one element more


@inner
def layer_table(room, lists, x_column, sizes, activations, batch):
    """The table of a network for `batch` samples, whose features are x_column bytes apart.

    room   array: the outputs, of which the input has two rows only, for training on one sample; then the deltas
    lists  (list_size,)  int64; the first `batch` are the addresses of samples, to be filled in
    """
    item = room.itemsize
    layers = sizes.shape[0] - 1
    table = np.zeros((layers + 1, FIELDS), np.int64)
    place, offset = room.ctypes.data, 0
    free = lists.ctypes.data
    table[0, ELEMENTS] = free
    fill(free, 0, x_column, sizes[0])
    elements = free + 8 * sizes[0]
    fill(elements, 0, item, sizes.max())
    free = elements + 8 * sizes.max()
    for layer in range(layers + 1):
        line = table[layer]
        line[OUTPUTS] = sizes[layer]
        distance = padded(sizes[layer]) * item
        if layer > 0:
            line[INPUTS] = sizes[layer - 1]
            line[CODE] = activations[layer - 1]
            line[OFFSET] = offset
            line[ELEMENTS] = elements
            offset += (sizes[layer - 1] + 1) * sizes[layer] * item
            if layer == layers and line[CODE] == IDENTITY and sizes[layer] < SHORT:
                distance = sizes[layer] * item
        line[OUT], line[OUT_ROW], line[ROWS] = place, distance, free
        if layer > 0:
            fill(free, place, distance, batch)
        free += 8 * batch
        place += (batch if layer > 0 else 2) * distance
    for layer in range(1, layers + 1):
        line = table[layer]
        line[DELTA], line[DELTA_ROWS] = place, free
        fill(free, place, line[OUT_ROW], batch)
        free += 8 * batch
        place += batch * line[OUT_ROW]
    return table


@inner
def table_at(table_address, layers):
    return array_at(table_address, (layers + 1) * FIELDS, np.int64(0)).reshape((layers + 1, FIELDS))


@inner
def divided_by_columns(line, members, one):
    return members > 1 and line[INPUTS] * line[OUTPUTS] * itemsize(one) >= LARGE_WEIGHT


@shared(f"void({10 * 'intp, '}real)", calls=[multiply])
def forward(table_address, layers, params, start, stop, batch, team, members, rank, room, one):
    """Every layer's output: x_l = f_l(x_{l-1} W_l + b_l), for rows start to stop, this thread's, of the batch.

    room  the address of room for products over a layer's inputs or outputs
    """
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
            line[OUT] + top * line[OUT_ROW], line[OUT_ROW], below[ROWS] + 8 * top, below[ELEMENTS],
            weight, row, item, rows, line[OUTPUTS], line[INPUTS], weight + line[INPUTS] * row, 0, 0,
            NOTHING if line[CODE] == SOFTMAX else FORWARD + line[CODE], 0, 0, parts, part, room, one, one,
        )  # fmt: skip
        if columns:
            meet(team, members)
        met = columns
        if line[CODE] == SOFTMAX:  # it needs whole rows
            for i in range(start, stop):
                out = array_at(line[OUT] + i * line[OUT_ROW], line[OUTPUTS], one)
                activation_forward_row(out, out, SOFTMAX)


@shared(f"void({10 * 'intp, '}real)", calls=[multiply])
def backward(table_address, layers, params, start, stop, batch, team, members, rank, room, one):
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
            below[DELTA] + top * below[OUT_ROW], below[OUT_ROW], line[DELTA_ROWS] + 8 * top, line[ELEMENTS],
            params + line[OFFSET], item, line[OUTPUTS] * item, rows, line[INPUTS], line[OUTPUTS], 0, 0, 0,
            BACKWARD + below[CODE], below[OUT] + top * below[OUT_ROW], below[OUT_ROW], parts, part, room, one, one,
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
            delta = array_at(line[DELTA] + i * line[OUT_ROW], line[OUTPUTS], one)
            activation_backward_row(delta, delta, out, line[CODE])


@inner
def weight_gradient(line, below, target, start, stop, top, batch, scaled, room, shrink, alpha):
    """target = x^T delta, or target = shrink target + alpha x^T delta, for rows start to stop of an (I, O) matrix.

    target is its address; the sum is over `batch` samples from row `top` of the buffers; room is as in `multiply`.
    """
    item = itemsize(alpha)
    row = line[OUTPUTS] * item
    multiply(
        target + start * row, row, below[ELEMENTS] + 8 * start, below[ROWS] + 8 * top,
        line[DELTA] + top * line[OUT_ROW], line[OUT_ROW], item,
        stop - start, line[OUTPUTS], batch, 0, 0, scaled, NOTHING, 0, 0, 1, 0, room, shrink, alpha,
    )  # fmt: skip


@inner
def bias_gradient(line, target, start, stop, top, batch, add, one):
    """target = sum of delta over the same samples, or target += that, for elements start to stop of an (O,) vector."""
    item = itemsize(one)
    count = stop - start
    result = array_at(target + start * item, count, one)
    if not add:
        for j in range(count):
            result[j] = 0
    first, row = line[DELTA] + top * line[OUT_ROW] + start * item, line[OUT_ROW]
    whole = batch // 8 * 8
    for i in range(0, whole, 8):  # in eights, so that a sum in memory is read and written once for eight samples
        d0, d1 = array_at(first + i * row, count, one), array_at(first + (i + 1) * row, count, one)
        d2, d3 = array_at(first + (i + 2) * row, count, one), array_at(first + (i + 3) * row, count, one)
        d4, d5 = array_at(first + (i + 4) * row, count, one), array_at(first + (i + 5) * row, count, one)
        d6, d7 = array_at(first + (i + 6) * row, count, one), array_at(first + (i + 7) * row, count, one)
        for j in range(count):
            result[j] += ((d0[j] + d1[j]) + (d2[j] + d3[j])) + ((d4[j] + d5[j]) + (d6[j] + d7[j]))
    for i in range(whole, batch):
        delta = array_at(first + i * row, count, one)
        for j in range(count):
            result[j] += delta[j]


@shared(f"intp({11 * 'intp, '}real)", calls=[forward])
def predict(
    out, out_row, out_column, params, x, x_row, x_column, samples, sizes_at, activations_at, layers, one
):  # fmt: skip
    """The network's output for `samples` rows of x, a block at a time: addresses, and strides in bytes."""
    sizes, activations = array_at(sizes_at, layers + 1, samples), array_at(activations_at, layers, samples)
    elements = 2 * padded(sizes[0])
    for layer in range(1, layers + 1):
        elements += BLOCK * padded(sizes[layer])
    room = np.empty(elements, array_at(out, 0, one).dtype)  # for the outputs: `forward` touches no delta
    lists = np.empty(list_size(sizes, BLOCK), np.int64)
    packing = np.empty(room_bytes(sizes.max()), np.uint8)
    table = layer_table(room, lists, x_column, sizes, activations, BLOCK)
    last = table[layers]
    for top in range(0, samples, BLOCK):
        count = min(BLOCK, samples - top)
        fill(table[0, ROWS], x + top * x_row, x_row, count)
        forward(table.ctypes.data, layers, params, 0, count, count, 0, 1, 0, packing.ctypes.data, one)
        for i in range(count):
            result = array_at(last[OUT] + i * last[OUT_ROW], last[OUTPUTS], one)
            for k in range(last[OUTPUTS]):
                array_at(out + (top + i) * out_row + k * out_column, 1, one)[0] = result[k]
    return keep(room) + keep(lists) + keep(packing) + keep(table)


@entry("void(real[:, :], real[::1], real[:, :], int64[::1], int64[::1], intp)", calls=[predict])
def _network_forward(out, params, x, sizes, activations, threads):
    if threads == 1:
        predict_share(out, params, x, sizes, activations, 1, 0)
    else:
        for part in prange(threads):
            predict_share(out, params, x, sizes, activations, threads, part)


@inner
def predict_share(out, params, x, sizes, activations, parts, part):
    start, stop = share(out.shape[0], parts, part)
    predict(
        out.ctypes.data + start * out.strides[0], out.strides[0], out.strides[1], params.ctypes.data,
        x.ctypes.data + start * x.strides[0], x.strides[0], x.strides[1], stop - start, sizes.ctypes.data,
        activations.ctypes.data, activations.shape[0], params.dtype.type(1),
    )  # fmt: skip


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
