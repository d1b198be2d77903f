"""Whole networks in one compiled call: the forward pass, the gradient, and any number of training steps.

A network is data, so that one compiled function serves them all:
    sizes        (L + 1,)  int64    sizes[0] inputs, sizes[l] outputs of layer l
    activations  (L,)      int64    the code of each layer's activation, see activations.ACTIVATIONS
    params       (P,)      real     W1 (I, O) row by row, b1 (O,), W2, b2, ... one after another

At the start of a call this becomes a table with a line for each layer: its sizes, its activation, and the addresses of
its weights and buffers. Buffers are allocated then, once; the steps only read the table and call `multiply`.

A training step is two parallel regions. In the first, each thread carries a share of the batch through the whole
network: gather, forward, loss, and the gradient with respect to each layer's input sum. Samples do not meet there. In
the second, each thread sums the weight gradient over the whole batch for a share of each layer's inputs and updates the
weights with it. So each element is summed by one thread, in the order of the batch, whatever the number of threads.
"""

import threading

import numpy as np
from numba import prange

from .activations import IDENTITY, SOFTMAX, activation_backward_row, activation_forward_row
from .jit import entry, inner, shared
from .losses import loss_row, mean, split_targets
from .optimizers import FACTORS, SGD, factors, update_row
from .products import BACKWARD, FORWARD, NOTHING, multiply
from .threads import share, threads_for
from .tile import array_at, itemsize, keep

# Rows that the forward pass works on at a time, so that its memory does not grow with the data.
BLOCK = 128

# Rows of a weight's gradient that exist at a time, between the product and the optimizer's update.
UPDATE_ROWS = 56

# Buffers up to this size are kept for the next call.
KEEP_BYTES = 64 << 20

# The columns of the table; line 0 is the input, line l layer l. Addresses, and strides of rows in bytes.
FIELDS = 17
(
    INPUTS, OUTPUTS, CODE,       # sizes, activation
    WEIGHT, BIAS,                # (I, O) and (O,) in params
    GRAD_WEIGHT, GRAD_BIAS,      # (I, O) and (O,) in grad_params
    OUT, OUT_ROW,                # the layer's output (B, O)
    DELTA, DELTA_ROW,            # dE/du (B, O), u the input sum
    BIAS_SUM,                    # (O,): room for a sum over the batch
    FIRST, FIRST_BIAS,           # the optimizer's state, laid out like weight and bias
    SECOND, SECOND_BIAS,
    ONE,                         # a 1, in line 0
) = range(FIELDS)  # fmt: skip


@inner
def padded(size):
    """The distance of rows of `size` elements in a buffer: whole cache lines, and not a multiple of 512 bytes.

    Column-wise walks, as the weight gradient makes them, would else hit the same few sets of the cache again and again.
    """
    distance = (size + 15) // 16 * 16
    return distance + 16 if distance % 128 == 0 else distance


@inner
def buffer_size(sizes, batch):
    """Elements of a buffer that holds one padded matrix with `batch` rows for the input and for every layer."""
    total = 0
    for layer in range(sizes.shape[0]):
        total += padded(sizes[layer])
    return batch * total


@inner
def layer_table(one, params, grad_params, bias_sums, first, second, outs, deltas, sizes, activations, batch):
    """The table of a network; `outs` and `deltas` have room for `batch` samples. Buffers not used may be any array."""
    item = params.itemsize
    table = np.zeros((sizes.shape[0], FIELDS), np.int64)
    table[0, ONE] = one.ctypes.data
    offset = 0
    place = 0
    widths = 0
    for layer in range(sizes.shape[0]):
        line = table[layer]
        if layer > 0:
            line[INPUTS] = sizes[layer - 1]
            line[CODE] = activations[layer - 1]
            weights = sizes[layer - 1] * sizes[layer]
            line[WEIGHT] = params.ctypes.data + offset
            line[BIAS] = line[WEIGHT] + weights * item
            line[BIAS_SUM] = bias_sums.ctypes.data + widths * item
            widths += sizes[layer]
            line[GRAD_WEIGHT] = grad_params.ctypes.data + offset
            line[GRAD_BIAS] = line[GRAD_WEIGHT] + weights * item
            line[FIRST], line[SECOND] = first.ctypes.data + offset, second.ctypes.data + offset
            line[FIRST_BIAS], line[SECOND_BIAS] = line[FIRST] + weights * item, line[SECOND] + weights * item
            offset += (weights + sizes[layer]) * item
        line[OUTPUTS] = sizes[layer]
        distance = padded(sizes[layer]) * item
        line[OUT] = outs.ctypes.data + place
        line[DELTA] = deltas.ctypes.data + place
        line[OUT_ROW] = line[DELTA_ROW] = distance
        place += batch * distance
    return table


@inner
def table_at(table_address, layers):
    return array_at(table_address, (layers + 1) * FIELDS, np.int64(0)).reshape((layers + 1, FIELDS))


@shared("void(intp, intp, intp, intp, real)", calls=[multiply])
def forward(table_address, layers, start, stop, one):
    """Rows start to stop of every layer's output: x_l = f_l(x_{l-1} W_l + b_l)."""
    table, item = table_at(table_address, layers), itemsize(one)
    for layer in range(1, layers + 1):
        line, below = table[layer], table[layer - 1]
        out, code = line[OUT] + start * line[OUT_ROW], line[CODE]
        multiply(
            out, line[OUT_ROW], below[OUT] + start * below[OUT_ROW], below[OUT_ROW], item,
            line[WEIGHT], line[OUTPUTS] * item, item, stop - start, line[OUTPUTS], line[INPUTS], line[BIAS], 0, 0,
            NOTHING if code == SOFTMAX else FORWARD + code, 0, 0, one,
        )  # fmt: skip
        if code == SOFTMAX:  # it needs whole rows
            for i in range(stop - start):
                row = array_at(out + i * line[OUT_ROW], line[OUTPUTS], one)
                activation_forward_row(row, row, SOFTMAX)


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, real)", calls=[multiply])
def backward(table_address, layers, loss, losses, labels, targets, targets_row, batch, start, stop, one):
    """For rows start to stop, after `forward`: the loss of each sample and delta = dE/du of every layer.

    The last delta comes from the loss; below, delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T).
    losses is the address of (B,) float64; labels of (B,) int64, or 0 where targets is the address of (B, K).
    """
    table, item = table_at(table_address, layers), itemsize(one)
    last = table[layers]
    for i in range(start, stop):
        out = array_at(last[OUT] + i * last[OUT_ROW], last[OUTPUTS], one)
        delta = array_at(last[DELTA] + i * last[DELTA_ROW], last[OUTPUTS], one)
        label = 0 if labels == 0 else array_at(labels, batch, np.int64(0))[i]
        target = array_at(targets + i * targets_row, 0 if targets == 0 else last[OUTPUTS], one)
        array_at(losses, batch, 1.0)[i] = loss_row(delta, out, label, target, loss, batch)
        if last[CODE] != IDENTITY:
            activation_backward_row(delta, delta, out, last[CODE])
    for layer in range(layers, 1, -1):
        line, below = table[layer], table[layer - 1]
        multiply(
            below[DELTA] + start * below[DELTA_ROW], below[DELTA_ROW],
            line[DELTA] + start * line[DELTA_ROW], line[DELTA_ROW], item,
            line[WEIGHT], item, line[OUTPUTS] * item, stop - start, line[INPUTS], line[OUTPUTS], 0, 0, 0,
            BACKWARD + below[CODE], below[OUT] + start * below[OUT_ROW], below[OUT_ROW], one,
        )  # fmt: skip


@inner
def weight_gradient(line, below, batch, target, scaled, start, stop, alpha):
    """target = x^T delta, or target += alpha x^T delta, for rows start to stop of an (I, O) matrix at an address."""
    item = itemsize(alpha)
    row = line[OUTPUTS] * item
    multiply(
        target + start * row, row, below[OUT] + start * item, item, below[OUT_ROW], line[DELTA], line[DELTA_ROW], item,
        stop - start, line[OUTPUTS], batch, 0, 0, scaled, NOTHING, 0, 0, alpha,
    )  # fmt: skip


@inner
def bias_gradient(line, one_address, batch, target, scaled, start, stop, alpha):
    """target = 1^T delta, or target += alpha 1^T delta, for elements start to stop of a vector at an address."""
    item = itemsize(alpha)
    shift = start * item
    multiply(
        target + shift, 0, one_address, 0, 0, line[DELTA] + shift, line[DELTA_ROW], item,
        1, stop - start, batch, 0, 0, scaled, NOTHING, 0, 0, alpha,
    )  # fmt: skip


@shared("void(intp, intp, intp, intp, intp, real)", calls=[multiply])
def gradient(table_address, layers, batch, parts, part, one):
    """The gradients of weights and biases, for one share of each layer's inputs and outputs."""
    table = table_at(table_address, layers)
    for layer in range(1, layers + 1):
        line = table[layer]
        start, stop = share(line[INPUTS], parts, part)
        weight_gradient(line, table[layer - 1], batch, line[GRAD_WEIGHT], 0, start, stop, one)
        start, stop = share(line[OUTPUTS], parts, part)
        bias_gradient(line, table[0, ONE], batch, line[GRAD_BIAS], 0, start, stop, one)


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, real)", calls=[multiply])
def descend(table_address, layers, batch, optimizer, factor_address, scratch, parts, part, one):
    """The same with the optimizer's update in it: no gradient is written but to `scratch`, a few rows at a time.

    Gradient descent needs not even that: w -= eta g is a product added to the weight.
    scratch is the address of room for UPDATE_ROWS rows of the widest layer for each part
    """
    table = table_at(table_address, layers)
    factor = array_at(factor_address, FACTORS, one)
    for layer in range(1, layers + 1):
        line, below = table[layer], table[layer - 1]
        start, stop = share(line[INPUTS], parts, part)
        if optimizer == SGD:
            weight_gradient(line, below, batch, line[WEIGHT], 1, start, stop, -factor[0])
        else:
            row = line[OUTPUTS] * itemsize(one)
            for top in range(start, stop, UPDATE_ROWS):
                bottom = min(top + UPDATE_ROWS, stop)
                weight_gradient(line, below, batch, scratch - top * row, 0, top, bottom, one)
                shift, count = top * row, (bottom - top) * line[OUTPUTS]
                update_at(line[WEIGHT], line[FIRST], line[SECOND], shift, scratch, count, factor, optimizer)
        start, stop = share(line[OUTPUTS], parts, part)
        if optimizer == SGD:
            bias_gradient(line, table[0, ONE], batch, line[BIAS], 1, start, stop, -factor[0])
        else:
            bias_gradient(line, table[0, ONE], batch, line[BIAS_SUM], 0, start, stop, one)
            shift = start * itemsize(one)
            total = line[BIAS_SUM] + shift
            update_at(line[BIAS], line[FIRST_BIAS], line[SECOND_BIAS], shift, total, stop - start, factor, optimizer)


@inner
def update_at(param, first, second, shift, grad, count, factor, optimizer):
    """Update `count` parameters, `shift` bytes from the addresses of the parameters and of their state."""
    one = factor[0]
    update_row(
        array_at(param + shift, count, one), array_at(first + shift, count, one),
        array_at(second + shift, count, one), array_at(grad, count, one), factor, optimizer,
    )  # fmt: skip


@inner
def copy_row(out, x, i):
    """Row i of x, at the address out."""
    one = x.dtype.type(1)
    target = array_at(out, x.shape[1], one)
    if x.strides[1] == x.itemsize:
        source = array_at(x.ctypes.data + i * x.strides[0], x.shape[1], one)
        for j in range(x.shape[1]):
            target[j] = source[j]
    else:
        for j in range(x.shape[1]):
            target[j] = x[i, j]


@inner
def forward_blocks(out, params, x, sizes, activations, start, stop):
    """out[start:stop] = the network's output for x[start:stop], a block of rows at a time."""
    layers = sizes.shape[0] - 1
    one = params.dtype.type(1)
    outs = np.empty(buffer_size(sizes, BLOCK), params.dtype)
    table = layer_table(params, params, params, params, params, params, outs, outs, sizes, activations, BLOCK)
    last = table[layers]
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        for i in range(count):
            copy_row(table[0, OUT] + i * table[0, OUT_ROW], x, first + i)
        forward(table.ctypes.data, layers, 0, count, one)
        for i in range(count):
            result = array_at(last[OUT] + i * last[OUT_ROW], last[OUTPUTS], one)
            for k in range(last[OUTPUTS]):
                out[first + i, k] = result[k]
    return keep(outs) + keep(table)


@entry("void(real[:, :], real[::1], real[:, :], int64[::1], int64[::1], intp)", calls=[forward])
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


@entry(
    "float64(real[::1], real[::1], real[:, :], int64[::1], real[:, ::1], int64[::1], int64[::1], real[::1],"
    " intp, intp)",
    calls=[forward, backward, gradient],
)
def _network_gradient(grad_params, params, x, labels, rows, sizes, activations, room, loss, threads):
    batch, layers = x.shape[0], sizes.shape[0] - 1
    one = params.dtype.type(1)
    room_each = buffer_size(sizes, batch)
    outs, deltas = room[:room_each], room[room_each : 2 * room_each]
    losses = np.empty(batch, np.float64)
    ones = np.ones(1, params.dtype)
    table = layer_table(ones, params, grad_params, params, params, params, outs, deltas, sizes, activations, batch)
    if x.strides[1] == x.itemsize:  # then x need not be copied
        table[0, OUT], table[0, OUT_ROW] = x.ctypes.data, x.strides[0]
    lines, loss_out = table.ctypes.data, losses.ctypes.data
    label_in = labels.ctypes.data if labels.shape[0] > 0 else 0
    row_in, row_stride = rows.ctypes.data if rows.shape[0] > 0 else 0, rows.strides[0]
    if threads == 1:
        if x.strides[1] != x.itemsize:
            copy_all(table[0, OUT], table[0, OUT_ROW], x, 0, batch)
        forward(lines, layers, 0, batch, one)
        backward(lines, layers, loss, loss_out, label_in, row_in, row_stride, batch, 0, batch, one)
        gradient(lines, layers, batch, 1, 0, one)
    else:
        for part in prange(threads):
            start, stop = share(batch, threads, part)
            if x.strides[1] != x.itemsize:
                copy_all(table[0, OUT], table[0, OUT_ROW], x, start, stop)
            forward(lines, layers, start, stop, one)
            backward(lines, layers, loss, loss_out, label_in, row_in, row_stride, batch, start, stop, one)
        for part in prange(threads):
            gradient(lines, layers, batch, threads, part, one)
    return mean(losses) + keep(ones) + keep(table)


@inner
def copy_all(out, out_row, x, start, stop):
    """Rows start to stop of x, at the address out."""
    for i in range(start, stop):
        copy_row(out + i * out_row, x, i)


def network_gradient(
    grad_params: np.ndarray,
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss: int,
) -> float:
    """Back-propagation: the gradient of the mean loss over the rows of x with respect to every parameter.

    With u_l = x_{l-1} W_l + b_l, x_l = f_l(u_l) and delta_l = dE/du_l:
        delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T),   dE/dW_l = x_{l-1}^T delta_l,   dE/db_l = sum_b delta_l

    grad_params  (P,)      written; contiguous, laid out like params
    params       (P,)      read; contiguous
    x            (B, I)    read
    targets      (B,) int64 labels or (B, K) rows, as the loss takes them; read
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read; the last is the identity where the loss contains the output activation
    loss         an index into LOSSES

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    Source: section 5 of the notes, whose recursion has n + 1 where it must have l + 1.
    """
    labels, rows = contiguous_targets(targets, params.dtype)
    threads = threads_for(3 * x.shape[0] * params.size)
    room = buffers(sizes, len(x), params.dtype)
    return _network_gradient(grad_params, params, x, labels, rows, sizes, activations, room, loss, threads)


_kept = threading.local()


def buffers(sizes: np.ndarray, batch: int, dtype: np.dtype) -> np.ndarray:
    """Room for outputs and deltas of every layer, kept for the next call in the same Python thread.

    The system hands out fresh memory page by page, at a fault each: 2.7 ms for 10,000 samples of 4-32-16-4, where the
    arithmetic of a step takes 0.6.
    """
    padded_at_most = sum(-(-size // 16) * 16 + 16 for size in sizes.tolist())
    elements = 2 * batch * padded_at_most
    room: np.ndarray | None = getattr(_kept, dtype.name, None)
    if room is None or room.size < elements:
        room = np.empty(elements, dtype)
        if room.nbytes <= KEEP_BYTES:
            setattr(_kept, dtype.name, room)
    return room


def contiguous_targets(targets: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Labels and rows, of which one is empty, contiguous."""
    labels, rows = split_targets(targets, dtype)
    return np.ascontiguousarray(labels), np.ascontiguousarray(rows)


@entry(
    "intp(real[::1], real[::1], real[::1], float64[:], real[:, :], int64[::1], real[:, ::1], int64[:], int64[::1],"
    " int64[::1], float64[::1], real[::1], intp, intp, intp, intp, intp)",
    calls=[forward, backward, descend],
)
def _train_steps(
    params, first, second, step_losses, x, labels, rows, order, sizes, activations, settings, room, loss, optimizer,
    batch_size, steps_before, threads,
):  # fmt: skip
    layers = sizes.shape[0] - 1
    one = params.dtype.type(1)
    room_each = buffer_size(sizes, batch_size)
    outs, deltas = room[:room_each], room[room_each : 2 * room_each]
    bias_sums = np.empty(sizes.sum(), params.dtype)
    scratch_size = UPDATE_ROWS * sizes.max()
    scratch = np.empty(0 if optimizer == SGD else threads * scratch_size, params.dtype)
    factor = np.empty(FACTORS, params.dtype)
    losses = np.empty(batch_size, np.float64)
    ones = np.ones(1, params.dtype)
    batch_labels = np.empty(batch_size, np.int64)
    batch_rows = np.empty((batch_size, rows.shape[1]), params.dtype)
    table = layer_table(ones, params, params, bias_sums, first, second, outs, deltas, sizes, activations, batch_size)
    lines, loss_out = table.ctypes.data, losses.ctypes.data
    label_in = batch_labels.ctypes.data if labels.shape[0] > 0 else 0
    row_in, row_stride = batch_rows.ctypes.data if rows.shape[0] > 0 else 0, batch_rows.strides[0]
    for step in range(step_losses.shape[0]):
        samples = order[step * batch_size : (step + 1) * batch_size]  # the last batch may be smaller
        batch = samples.shape[0]
        factors(factor, settings, optimizer, steps_before + step + 1)
        if threads == 1:
            gather(table, batch_labels, row_in, row_stride, x, labels, rows, samples, 0, batch)
            forward(lines, layers, 0, batch, one)
            backward(lines, layers, loss, loss_out, label_in, row_in, row_stride, batch, 0, batch, one)
            descend(lines, layers, batch, optimizer, factor.ctypes.data, scratch.ctypes.data, 1, 0, one)
        else:
            for part in prange(threads):
                start, stop = share(batch, threads, part)
                gather(table, batch_labels, row_in, row_stride, x, labels, rows, samples, start, stop)
                forward(lines, layers, start, stop, one)
                backward(lines, layers, loss, loss_out, label_in, row_in, row_stride, batch, start, stop, one)
            for part in prange(threads):
                room = scratch.ctypes.data + np.int64(part) * scratch_size * params.itemsize
                descend(lines, layers, batch, optimizer, factor.ctypes.data, room, threads, part, one)
        step_losses[step] = mean(losses[:batch])
    held = keep(bias_sums) + keep(batch_labels) + keep(batch_rows) + keep(table)
    return held + keep(scratch) + keep(factor) + keep(ones)


@inner
def gather(table, batch_labels, batch_rows, batch_row, x, labels, rows, samples, start, stop):
    """Sample samples[i] of the data becomes row i of the batch, for i from start to stop."""
    for i in range(start, stop):
        copy_row(table[0, OUT] + i * table[0, OUT_ROW], x, samples[i])
        if batch_rows == 0:
            batch_labels[i] = labels[samples[i]]
        else:
            copy_row(batch_rows + i * batch_row, rows, samples[i])


def train_steps(
    params: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    step_losses: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    order: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    settings: np.ndarray,
    loss: int,
    optimizer: int,
    batch_size: int,
    steps_before: int,
) -> None:
    """Steps of minibatch gradient descent: the optimizer's rule on the gradient of the mean loss, once per batch.

    Batch s is samples order[s * batch_size : (s + 1) * batch_size]; the last may be smaller.

    params         (P,)          read and written; contiguous
    first, second  (P,) or (0,)  read and written; contiguous: the optimizer's state, laid out like params; empty where
                                 the rule has none
    step_losses    (S,)          float64, written: the mean loss of each batch before its update; S is
                                 ceil(M / batch_size)
    x              (N, I)        read
    targets        (N,) int64 labels or (N, K) rows, as the loss takes them; read
    order          (M,)          int64, read: indices of samples
    sizes          (L + 1,)      int64, read
    activations    (L,)          int64, read; as in network_gradient
    settings       (5,)          float64, read: learning_rate, beta1, beta2, epsilon, decay, see optimizers.py
    loss, optimizer              indices into LOSSES and OPTIMIZERS
    steps_before                 the number of steps already made with this state

    Source: section 4 of the notes: batch_size N is gradient descent, 1 is the stochastic form, else the minibatch form.
    """
    labels, rows = contiguous_targets(targets, params.dtype)
    batch_size = max(1, min(batch_size, order.size))
    threads = threads_for(3 * batch_size * params.size // 2)  # two regions a step share the work
    room = buffers(sizes, batch_size, params.dtype)
    _train_steps(
        params, first, second, step_losses, x, labels, rows, order, sizes, activations, settings, room, loss, optimizer,
        batch_size, steps_before, threads,
    )  # fmt: skip
