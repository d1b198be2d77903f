"""Whole networks: the forward pass, back-propagation, and what they leave for the weights.

A network is data, so that one compiled function serves them all:
    sizes        (L + 1,)  int64    sizes[0] inputs, sizes[l] outputs of layer l
    activations  (L,)      int64    the code of each layer's activation, see activations.ACTIVATIONS
    params       (P,)      real     W1 (I, O) row by row, b1 (O,), W2, b2, ... one after another
    statistics   (Q,)      real     (0,), or with batch normalization of the hidden layers, the running mean (O,) and
                                    variance (O,) of each; gamma (O,), beta (O,) then follow each hidden layer's b

In training a hidden layer is x_l = drop(f_l(norm(x_{l-1} W_l + b_l))). A prediction needs neither dropout nor batch
normalization, which is then affine and belongs into W and b.

This becomes a table with a line for each layer: its sizes, its activation, where its weights begin, and the addresses
of its buffers: outputs and deltas, in padded rows. The input is not copied to a buffer. Products take their left factor
by lists of addresses, see products.py: that of the input's rows, written anew for each batch, points at the samples.

The functions here are called by each thread of a team, see team.py. Samples do not meet in the forward pass and in
back-propagation: each thread carries a share of the batch from layer to layer. But some kinds of layer are divided in
other ways, for the whole batch, and the team meets there:

- Of a W that is large for the batch each thread takes a share of the columns: it then reads, packs or transposes no
  more than its share.
- In a first layer of moderate size each thread takes a share of the inputs: the share that it has in the update, so
  that neither W nor samples travel between cores, only sums: two for each output, however many threads there are.
- Of a layer that widens, with many more outputs than inputs, each thread takes a share of the outputs in all that it
  does: outputs, deltas and W then stay where they are, and the inputs travel.
"""

import numpy as np
from numba import prange

from ..compiler.jit import address_of, call_at, entry, inner, shared
from ..compiler.vectors import CACHE_LINE, array_at, contiguous_rows, itemsize, keep, line_from
from ..elementwise.activations import (
    IDENTITY,
    SLOPES,
    SOFTMAX,
    activate,
    by_slope,
    differentiate,
    softmax_rows,
    with_padding,
)
from ..elementwise.checks import finite
from ..elementwise.dropout import drop
from ..elementwise.elementary import mul_add
from ..elementwise.losses import loss_block, loss_part, loss_terms, split_targets, total
from ..elementwise.normalization import column_share, normalize, normalize_back
from ..elementwise.optimizers import DROPOUT, DROPOUT_SCALE, NORM_EPSILON, NORM_MOMENTUM, SETTINGS
from ..products.matvec import TOGETHER
from ..products.products import (
    BACKWARD,
    COLUMNS,
    DEEP,
    FORWARD,
    IN_PANELS,
    NEITHER,
    NOTHING,
    ROWS_OF_A,
    fill,
    finish,
    multiply,
    multiply_samples,
    pack_panels,
    room_bytes,
)
from ..products.sums import column_sums
from ..products.tile import AHEAD
from ..workers.team import meet
from ..workers.threads import share, threads_for

# Rows that a thread predicts at a time, so that memory does not grow with the data.
BLOCK = 128

# Predictions of so many rows a thread, with parameters between these sizes, begin with a copy of every W whose panels
# are contiguous: 0.91 to 0.94 of the time through 784-512-512-10 and 0.87 through 784-1024-1024-10 (Xeon). Where that
# would take too much memory, panels are packed block after block, and larger blocks pay: 0.93 through 784-2048-2048-10.
PACKED_ROWS = 384
PACKED_FROM = 32 << 10
PACKED_UP_TO = 8 << 20
LARGE_BLOCK = 256

# From this size on a W is divided by columns, if it has so many bytes for each sample of the batch: threads who divide
# columns read each other's outputs, who divide samples pack or transpose all of W. With samples divided 784-512-512-10
# takes 1.05 of the time on 128 samples, and 0.97 on 1024; 256-256-256-256-256-10 1.07 on 16 and 0.91 on 1024 (Xeon).
LARGE_WEIGHT = 256 << 10
BYTES_A_SAMPLE = 3 << 10

# Between these sizes the sum of the first layer is made of halves. Steps on a Xeon with two threads take, of what they
# took with samples or columns divided, 0.92 for 784-50-10 on 100 samples and 0.84 on 32, 0.87 for 784-100-10, 0.90 for
# 784-256-10 on 128, 0.96 for 784-512-512-10. But with more samples than inputs 30-500-1 takes 1.12, 100-400-10 1.03.
HALVED_WEIGHT = 32 << 10
HALVED_UP_TO = 2 << 20

# A layer of at least HALVED_WEIGHT with so many times more outputs than inputs widens, for batches of more samples than
# inputs. Steps on a Xeon with two threads take, of what they took with samples divided, 0.72 for 50-1000-1 on 128
# samples and 0.82 on 64, 0.92 for 30-500-1 on 256, 0.96 for 100-400-10 on 128 and 256. With twice as many outputs
# 100-200-10 on 256 took 1.14; smaller ones, like 20-100-100-100-2, 1.10.
WIDENING = 4

# Rows of the last layer shorter than this are not padded, so that losses are computed in long runs, see losses.py.
SHORT = 16

# The columns of the table; line 0 is the input, line l layer l. Addresses, and strides of rows in bytes.
FIELDS = 16
(
    INPUTS, OUTPUTS, CODE,  # sizes, activation
    OFFSET,                 # bytes from the beginning of params, or of whatever is laid out like it, to the layer's W
    OUT, OUT_ROW,           # the layer's output (B, O); all buffers of a layer have rows as far apart
    ROWS, ELEMENTS,         # lists for products: addresses of its rows, distances of the elements in a row
    DELTA, DELTA_ROWS,      # dE/du (B, O), u the input sum; addresses of its rows
    SLOPE,                  # f'(u) (B, O), or 0 if the output gives it
    NORM,                   # the normalized input sums (B, O), or 0
    RUNNING,                # with NORM: the running mean (O,), then variance (O,)
    NORMALIZE, NORMALIZE_BACK,  # with NORM: the addresses of two functions, see `normalizers`
    PACKED,                 # W in panels, see products.pack_panels, or 0
) = range(FIELDS)  # fmt: skip

# Buffers that fill a page begin with one. A processor takes a load for one of what it has just stored, and waits, where
# the last 12 bits of their addresses agree. Loads from one buffer then agree with stores to the same place of another,
# which come later, and not with those before. 30-64-64-1 takes 0.91 of the time that it took on 10,000 samples where
# the size of blocks was unlucky, 784-50-10 0.975 on 100, 64-64-64-10 0.97 on 128 (Xeon).
PAGE = 4096

# A layer's buffers, at most: outputs, deltas, slopes, normalized sums.
BUFFERS = 4

# Before a layer's normalized sums: vectors of the batch.
VECTORS = 5
MEAN, VARIANCE, INVERSE, GRAD_GAMMA, GRAD_BETA = range(VECTORS)


@inner
def padded(size):
    """The distance of rows of `size` elements: whole cache lines, and not a multiple of 512 bytes.

    Column-wise walks, as the weight gradient makes them, would else hit the same few sets of the cache again and again.
    """
    distance = (size + 15) // 16 * 16
    return distance + 16 if distance % 128 == 0 else distance


@inner
def begin_of(place, size):
    """Where a buffer of so many bytes begins, from an address on."""
    return (place + PAGE - 1) // PAGE * PAGE if size >= PAGE else place


@inner
def list_size(sizes, batch):
    """Elements of the array that holds the lists of `layer_table`."""
    return 2 * sizes.shape[0] * batch + sizes[0] + sizes.max() + AHEAD  # a tile reads so many more


@inner
def layer_table(table, room, lists_at, x_column, sizes, activations, statistics, drops, norms, training, batch):
    """Fill the table of a network for `batch` samples, whose features are x_column bytes apart.

    table     (L + 1, FIELDS)  int64, all 0
    room      array, of which whole cache lines are used, see PAGE: the outputs; then, for training, the deltas, slopes
              and normalized sums. The input has TOGETHER rows of outputs and of deltas, for training on one sample
    lists_at  the address of (list_size,) int64; the first `batch` are the addresses of samples, to be filled in
    drops     whether hidden layers have dropout
    norms     (2,)  int64: what `normalizers` gives
    training  whether more than outputs is wanted
    """
    item = room.itemsize
    layers = sizes.shape[0] - 1
    normalized = statistics.shape[0] > 0
    place, offset, free = line_from(room.ctypes.data), 0, lists_at
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
            offset += (sizes[layer - 1] + (3 if normalized and layer < layers else 1)) * sizes[layer] * item
            if layer == layers and line[CODE] == IDENTITY and sizes[layer] < SHORT:
                distance = sizes[layer] * item
        size = (batch if layer > 0 else TOGETHER if training else 0) * distance
        place = begin_of(place, size)
        line[OUT], line[OUT_ROW], line[ROWS] = place, distance, free
        if layer > 0:
            fill(free, place, distance, batch)
        free += 8 * batch
        place += size
    if not training:
        return
    table[0, DELTA] = place
    place += TOGETHER * padded(TOGETHER) * item
    for layer in range(1, layers + 1):
        line = table[layer]
        place = begin_of(place, batch * line[OUT_ROW])
        line[DELTA], line[DELTA_ROWS] = place, free
        fill(free, place, line[OUT_ROW], batch)
        free += 8 * batch
        place += batch * line[OUT_ROW]
    running = statistics.ctypes.data
    for layer in range(1, layers + 1):
        line = table[layer]
        if by_slope(line[CODE]) or (drops and layer < layers):
            place = begin_of(place, batch * line[OUT_ROW])
            line[SLOPE] = place
            place += batch * line[OUT_ROW]
        if normalized and layer < layers:
            place = begin_of(place + VECTORS * line[OUT_ROW], batch * line[OUT_ROW]) - VECTORS * line[OUT_ROW]
            line[NORM], line[RUNNING] = place + VECTORS * line[OUT_ROW], running
            line[NORMALIZE], line[NORMALIZE_BACK] = norms[0], norms[1]
            place += (batch + VECTORS) * line[OUT_ROW]
            running += 2 * sizes[layer] * item


@inner
def vector_at(line, which):
    """The address of one of the vectors before a layer's normalized sums, padded as rows are."""
    return line[NORM] - (which + 1) * line[OUT_ROW]


@inner
def norm_params(line, params, one):
    """The addresses of a layer's gamma and beta, or of what is laid out like them."""
    gamma = params + line[OFFSET] + (line[INPUTS] + 1) * line[OUTPUTS] * itemsize(one)
    return gamma, gamma + line[OUTPUTS] * itemsize(one)


@inner
def table_at(table_address, layers):
    return array_at(table_address, (layers + 1) * FIELDS, np.int64(0)).reshape((layers + 1, FIELDS))


@inner
def contiguous(line, one):
    """Whether the elements of a layer's outputs lie side by side: those of samples may not."""
    elements = array_at(line[ELEMENTS], 2, np.int64(0))
    return line[OUTPUTS] < 2 or elements[1] == itemsize(one)


@inner
def divided_by_columns(line, members, batch, one):
    least = max(LARGE_WEIGHT, batch * BYTES_A_SAMPLE)
    large = line[INPUTS] * line[OUTPUTS] * itemsize(one) >= least
    return members > 1 and (large or widens(line, batch, one))


@inner
def widens(line, batch, one):
    """Whether threads divide a layer's outputs, if there are several."""
    size = line[INPUTS] * line[OUTPUTS] * itemsize(one)
    return batch > line[INPUTS] and line[OUTPUTS] >= WIDENING * line[INPUTS] and size >= HALVED_WEIGHT


@shared(f"intp({13 * 'intp, '}real)", calls=[multiply, activate, drop])
def forward(
    table_address, layers, params, start, stop, batch, team, members, rank, room, setting_at, step_key, first, one
):  # fmt: skip
    """Every layer's output: x_l = f_l(x_{l-1} W_l + b_l), for rows start to stop, this thread's, of the batch.

    team        0 where a thread works on these rows by itself, though the batch has more
    room        the address of room for products over a layer's inputs or outputs
    setting_at  the address of a training step's settings; 0 in a prediction
    step_key    for dropout, see `key_of_step`; row `start` is then number `first` of the batch

    Returns 1 if an input of these rows may not be finite, else 0; but where the first layer is not made of halves
    always 0.
    """
    table, item, doubt = table_at(table_address, layers), itemsize(one), 0
    met = False  # since the last output was written
    for layer in range(1, layers + 1):
        line, below = table[layer], table[layer - 1]
        halves = layer == 1 and team != 0 and in_halves(line, batch, one)
        columns = not halves and divided_by_columns(line, members, batch, one)
        epilogue = NOTHING if line[CODE] == SOFTMAX or line[NORM] != 0 else FORWARD
        if halves:
            doubt = first_layer(line, below, params, start, stop, batch, team, members, rank, epilogue, room, one)
        else:
            if columns and not met:
                meet(team, members)
            top, rows = (0, batch) if columns else (start, stop - start)
            parts, part = (members, rank) if columns else (1, 0)
            weight, row, column = params + line[OFFSET], line[OUTPUTS] * item, item
            bias = weight + line[INPUTS] * row
            if line[PACKED] != 0:
                weight, column = line[PACKED], IN_PANELS
            slope = line[SLOPE] + top * line[OUT_ROW] if line[SLOPE] != 0 else 0
            multiply(
                line[OUT] + top * line[OUT_ROW], line[OUT_ROW], below[ROWS] + 8 * top, below[ELEMENTS],
                COLUMNS if contiguous(below, one) else NEITHER, weight, row, column, rows, line[OUTPUTS], line[INPUTS],
                bias, 0, 0, epilogue, line[CODE], slope, line[OUT_ROW], parts, part, room, one, one,
            )  # fmt: skip
        met = columns or line[NORM] != 0
        if met:
            meet(team, members)
        if line[NORM] != 0:
            call_at(line[NORMALIZE], (line.ctypes.data, params, batch, members, rank, setting_at), one)
            meet(team, members)
        if line[CODE] == SOFTMAX:  # it needs whole rows
            softmax_rows(line[OUT] + start * line[OUT_ROW], line[OUT_ROW], stop - start, line[OUTPUTS], one)
        if setting_at != 0 and layer < layers:
            setting = array_at(setting_at, len(SETTINGS), 1.0)
            if setting[DROPOUT] > 0:
                shift = start * line[OUT_ROW]
                drop(
                    line[OUT] + shift, line[SLOPE] + shift, line[OUT_ROW], stop - start, line[OUTPUTS], first, layer,
                    step_key, setting[DROPOUT], setting[DROPOUT_SCALE], one,
                )  # fmt: skip
                met = False
    return doubt


@inner
def in_halves(line, batch, one):
    """Whether the first layer's sum is made of two, over halves of the inputs; the shapes alone decide."""
    size = line[INPUTS] * line[OUTPUTS] * itemsize(one)
    return batch <= min(line[INPUTS], DEEP) and HALVED_WEIGHT <= size < HALVED_UP_TO


@inner
def first_layer(line, below, params, start, stop, batch, team, members, rank, epilogue, room, one):
    """The first layer's output for rows start to stop, from sums over a share of the inputs for all rows.

    The sum over the first half of the inputs goes to the outputs, that over the second to the deltas, which have no
    other use yet. Each half has as many parts as there are threads for it, or if that is not a whole number, twice as
    many.

    Returns 1 if a sum is not finite, else 0. None is if an input is not: inf * 0 is NaN. So who wants to know need not
    look at all inputs.
    """
    item = itemsize(one)
    weight, row = params + line[OFFSET], line[OUTPUTS] * item
    meet(team, members)  # all rows of the batch are in the list
    each = 1 if members % 2 == 0 else 2
    parts = each * members // 2
    for number in range(each * rank, each * (rank + 1)):
        half, part = number // parts, number % parts
        first, after = share(line[INPUTS], 2, half)
        multiply(
            line[DELTA] if half else line[OUT], line[OUT_ROW], below[ROWS], below[ELEMENTS] + 8 * first,
            COLUMNS if contiguous(below, one) else NEITHER, weight + first * row, row, item, batch, line[OUTPUTS],
            after - first, 0 if half else weight + line[INPUTS] * row, 0, 0, NOTHING, 0, 0, 0, parts, part, room, one,
            one,
        )  # fmt: skip
    meet(team, members)
    shift, count = start * line[OUT_ROW], (stop - start) * line[OUT_ROW] // item
    out, other = array_at(line[OUT] + shift, count, one), array_at(line[DELTA] + shift, count, one)
    largest, doubt = np.finfo(out.dtype).max, False
    for j in range(count):
        out[j] += other[j]
        doubt |= not (abs(out[j]) <= largest)
    width = line[OUTPUTS]
    finish(
        epilogue, line[CODE], line[OUT], line[OUT_ROW], line[SLOPE], line[OUT_ROW], start, stop, width, 0, width, one
    )  # fmt: skip
    return 1 if doubt else 0


def normalizers(dtype: np.dtype, wanted: bool) -> np.ndarray:
    """The addresses of `normalize_columns` and `normalize_columns_back`, which are compiled only for who wants them."""
    functions = (normalize_columns, normalize_columns_back) if wanted else ()
    return np.array([address_of(function, dtype) for function in functions] or [0, 0])


@inner
def line_at(address):
    """A line of the table, at an address."""
    return array_at(address, FIELDS, np.int64(0))


@shared("void(intp, intp, intp, intp, intp, intp, real)", calls=[normalize, activate])
def normalize_columns(line_address, params, batch, members, rank, setting_at, one):
    """Batch normalization and activation of a layer's sums, for this thread's columns of the whole batch."""
    line = line_at(line_address)
    setting = array_at(setting_at, len(SETTINGS), 1.0)
    start, stop = column_share(line[OUTPUTS], members, rank)
    count, shift = stop - start, start * itemsize(one)
    gamma, beta = norm_params(line, params, one)
    mean_at, variance_at = vector_at(line, MEAN) + shift, vector_at(line, VARIANCE) + shift
    out, slope = line[OUT] + shift, line[SLOPE] + shift if line[SLOPE] != 0 else 0
    normalize(
        out, line[OUT_ROW], line[NORM] + shift, line[OUT_ROW], mean_at, variance_at, vector_at(line, INVERSE) + shift,
        out, line[OUT_ROW], gamma + shift, beta + shift, batch, count, setting[NORM_EPSILON], one,
    )  # fmt: skip
    activate(out, line[OUT_ROW], slope, line[OUT_ROW], batch, with_padding(count), line[CODE], one)
    keeps = array_at(0, 0, one).dtype.type(setting[NORM_MOMENTUM])
    running = line[RUNNING] + shift
    for new_at in (mean_at, variance_at):
        new, old = array_at(new_at, count, one), array_at(running, count, one)
        for j in range(count):
            old[j] = mul_add(keeps, old[j], (one - keeps) * new[j])
        running += line[OUTPUTS] * itemsize(one)


@shared(f"void({10 * 'intp, '}real)", calls=[multiply, differentiate])
def backward(table_address, layers, params, start, stop, batch, team, members, rank, room, one):
    """delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T), from dE/dy in the last layer's delta down to the first layer's."""
    table, item = table_at(table_address, layers), itemsize(one)
    last_delta(table[layers], start, stop, one)
    met = False
    for layer in range(layers, 1, -1):
        line, below = table[layer], table[layer - 1]
        columns = divided_by_columns(line, members, batch, one) or (members > 1 and widens(below, batch, one))
        if columns and not met:
            meet(team, members)
        top, rows = (0, batch) if columns else (start, stop - start)
        parts, part = (members, rank) if columns else (1, 0)
        code, given = derivative_of(below)
        multiply(
            below[DELTA] + top * below[OUT_ROW], below[OUT_ROW], line[DELTA_ROWS] + 8 * top, line[ELEMENTS],
            COLUMNS, params + line[OFFSET], item, line[OUTPUTS] * item, rows, line[INPUTS], line[OUTPUTS], 0, 0, 0,
            BACKWARD, code, given + top * below[OUT_ROW], below[OUT_ROW], parts, part, room, one, one,
        )  # fmt: skip
        met = columns or below[NORM] != 0
        if met:
            meet(team, members)
        if below[NORM] != 0:
            call_at(below[NORMALIZE_BACK], (below.ctypes.data, params, batch, members, rank), one)
            meet(team, members)


@inner
def derivative_of(line):
    """What `differentiate` takes for a layer: a code, and the address of outputs or slopes."""
    return (SLOPES, line[SLOPE]) if line[SLOPE] != 0 else (line[CODE], line[OUT])


@shared("void(intp, intp, intp, intp, intp, real)", calls=[normalize_back])
def normalize_columns_back(line_address, params, batch, members, rank, one):
    """Back through batch normalization, in place of the layer's delta; the gradients of gamma and beta."""
    line = line_at(line_address)
    start, stop = column_share(line[OUTPUTS], members, rank)
    shift = start * itemsize(one)
    gamma_at, _ = norm_params(line, params, one)
    count, scale_at = stop - start, vector_at(line, INVERSE) + shift
    gamma, scale = array_at(gamma_at + shift, count, one), array_at(scale_at, count, one)
    for j in range(count):
        scale[j] *= gamma[j]
    normalize_back(
        line[DELTA] + shift, line[OUT_ROW], vector_at(line, GRAD_GAMMA) + shift, vector_at(line, GRAD_BETA) + shift,
        line[DELTA] + shift, line[OUT_ROW], line[NORM] + shift, line[OUT_ROW], scale_at, batch, count, one,
    )  # fmt: skip


@inner
def last_delta(line, start, stop, one):
    """delta = f'(u) * dE/dy in place, for rows of the last layer."""
    if line[CODE] != IDENTITY:
        code, given = derivative_of(line)
        shift = start * line[OUT_ROW]
        differentiate(
            line[DELTA] + shift, line[OUT_ROW], given + shift, line[OUT_ROW], stop - start, line[OUTPUTS], code, one
        )


@inner
def weight_gradient(line, below, target, start, stop, left, right, top, batch, scaled, room, shrink, alpha):
    """target = x^T delta, or target = shrink target + alpha x^T delta, for a part of an (I, O) matrix at an address:

    rows start to stop, columns left to right. The sum is over `batch` samples from row `top` of the buffers; room is as
    in `multiply`.
    """
    item = itemsize(alpha)
    row, shift = line[OUTPUTS] * item, left * item
    multiply_samples(
        target + start * row + shift, row, below[ELEMENTS] + 8 * start, below[ROWS] + 8 * top,
        ROWS_OF_A if contiguous(below, alpha) else NEITHER, line[DELTA] + top * line[OUT_ROW] + shift, line[OUT_ROW],
        stop - start, right - left, batch, scaled, room, shrink, alpha,
    )  # fmt: skip


@inner
def bias_gradient(line, target, start, stop, top, batch, add, one):
    """target = sum of delta over the same samples, or target += that, for elements start to stop of an (O,) vector."""
    shift = start * itemsize(one)
    delta = line[DELTA] + top * line[OUT_ROW] + shift
    column_sums(target + shift, delta, line[OUT_ROW], batch, stop - start, add, one)


@inner
def packed_bytes(sizes, layer, item):
    """The room for a layer's W in panels."""
    return line_from(sizes[layer - 1] * sizes[layer] * item)


@inner
def pack_weights(packed, params, x, sizes, parts, part):
    """Every layer's W in panels, for a prediction of x, from an address on: this part of them."""
    item, weight = params.itemsize, params.ctypes.data
    for layer in range(1, sizes.shape[0]):
        inputs, outputs = sizes[layer - 1], sizes[layer]
        order = COLUMNS if layer > 1 or inputs < 2 or x.strides[1] == item else NEITHER
        pack_panels(packed, weight, outputs * item, outputs, inputs, order, parts, part, params.dtype.type(1))
        packed += packed_bytes(sizes, layer, item)
        weight += (inputs + 1) * outputs * item


@shared(f"intp({12 * 'intp, '}real)", calls=[forward])
def predict(
    out, out_row, out_column, params, packed, x, x_row, x_column, samples, sizes_at, activations_at, layers, one
):  # fmt: skip
    """The network's output for `samples` rows of x, a block at a time: addresses, and strides in bytes.

    packed  the address of what `pack_weights` wrote, or 0
    """
    sizes, activations = array_at(sizes_at, layers + 1, samples), array_at(activations_at, layers, samples)
    item, elements, weights = itemsize(one), 0, 0
    for layer in range(1, layers + 1):
        elements += padded(sizes[layer])
        weights += sizes[layer - 1] * sizes[layer]
    block = max(1, min(samples, BLOCK if weights * item <= PACKED_UP_TO else LARGE_BLOCK))
    spare = (layers + 1) * PAGE if block * elements * item >= PAGE else CACHE_LINE
    elements = block * elements + spare // item
    # For the outputs: `forward` touches no delta. Activations are applied to the padding of rows, too, and numbers that
    # are not normal, as others leave them behind, take a hundred times as long: 40 us for 100 rows of 50 sigmoids.
    room = np.zeros(elements, array_at(out, 0, one).dtype)
    lists = np.empty(list_size(sizes, block), np.int64)
    packing = np.empty(room_bytes(sizes.max()) + CACHE_LINE, np.uint8)
    packing_at = line_from(packing.ctypes.data)
    none, no_norms = np.empty(0, room.dtype), np.empty(0, np.int64)
    table = np.zeros((layers + 1, FIELDS), np.int64)
    layer_table(table, room, lists.ctypes.data, x_column, sizes, activations, none, False, no_norms, False, block)
    if packed != 0:
        for layer in range(1, layers + 1):
            table[layer, PACKED] = packed
            packed += packed_bytes(sizes, layer, item)
    last = table[layers]
    for top in range(0, samples, block):
        count = min(block, samples - top)
        fill(table[0, ROWS], x + top * x_row, x_row, count)
        forward(table.ctypes.data, layers, params, 0, count, count, 0, 1, 0, packing_at, 0, 0, 0, one)
        for i in range(count):
            result = array_at(last[OUT] + i * last[OUT_ROW], last[OUTPUTS], one)
            for k in range(last[OUTPUTS]):
                array_at(out + (top + i) * out_row + k * out_column, 1, one)[0] = result[k]
    return keep(room) + keep(lists) + keep(packing) + keep(table)


@entry("void(real[::1], real[:, :], uint8[::1], int64[::1], intp)")
def _pack(params, x, copy, sizes, threads):
    if threads == 1:
        pack_weights(line_from(copy.ctypes.data), params, x, sizes, 1, 0)
    else:
        for part in prange(threads):
            pack_weights(line_from(copy.ctypes.data), params, x, sizes, threads, part)


@entry("void(real[:, :], real[::1], uint8[::1], real[:, :], int64[::1], int64[::1], intp)", calls=[predict])
def _network_forward(out, params, copy, x, sizes, activations, threads):
    if threads == 1:
        predict_share(out, params, copy, x, sizes, activations, 1, 0)
    else:
        for part in prange(threads):
            predict_share(out, params, copy, x, sizes, activations, threads, part)


@entry(
    "float64(real[::1], uint8[::1], real[:, :], int64[::1], real[:, :], int64[::1], int64[::1], intp, intp)",
    calls=[predict, loss_block],
)
def _network_loss(params, copy, x, labels, targets, sizes, activations, loss, threads):
    batch, outputs = x.shape[0], sizes[sizes.shape[0] - 1]
    out, grad = np.empty((batch, outputs), params.dtype), np.empty((batch, outputs), params.dtype)
    terms = np.empty(loss_terms(loss, batch, outputs), np.float64)
    fit = np.ones(threads, np.bool_)
    if threads == 1:
        fit[0] = finite_share(x, 1, 0)
        predict_share(out, params, copy, x, sizes, activations, 1, 0)
        loss_part(grad, out, labels, targets, terms, loss, 1, 0)
    else:
        for part in prange(threads):
            fit[part] = finite_share(x, threads, part)
            predict_share(out, params, copy, x, sizes, activations, threads, part)
            loss_part(grad, out, labels, targets, terms, loss, threads, part)
    held = keep(out) + keep(grad)
    return total(terms) / np.float64(batch) + held if fit.all() else np.nan


@inner
def finite_share(x, parts, part):
    """Whether the samples of this part are finite."""
    start, stop = share(x.shape[0], parts, part)
    fit = True
    for i in range(start, stop):
        fit &= finite(array_at(x.ctypes.data + i * x.strides[0], x.shape[1], x.dtype.type(1)))
    return fit


@inner
def predict_share(out, params, copy, x, sizes, activations, parts, part):
    start, stop = share(out.shape[0], parts, part)
    predict(
        out.ctypes.data + start * out.strides[0], out.strides[0], out.strides[1], params.ctypes.data,
        line_from(copy.ctypes.data) if copy.shape[0] > 0 else 0, x.ctypes.data + start * x.strides[0], x.strides[0],
        x.strides[1], stop - start, sizes.ctypes.data, activations.ctypes.data, activations.shape[0],
        params.dtype.type(1),
    )  # fmt: skip


NO_COPY = np.empty(0, np.uint8)


def _packed(params: np.ndarray, x: np.ndarray, sizes: np.ndarray, threads: int) -> np.ndarray:
    """A copy of every W in panels, see `pack_weights`; or none, where it would not pay."""
    if len(x) < threads * PACKED_ROWS or not PACKED_FROM <= params.nbytes <= PACKED_UP_TO:
        return NO_COPY
    copy = np.empty(params.nbytes + len(sizes) * CACHE_LINE, np.uint8)  # each W begins with a cache line
    _pack(params, x, copy, sizes, threads)
    return copy


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> None:
    """Carry every row of x through the network: x_l = f_l(x_{l-1} W_l + b_l) for l = 1 to L.

    out          (N, K)    written: the last layer's output
    params       (P,)      read; contiguous: W1 (I, O) row by row, b1, W2, b2, ...
    x            (N, I)    read
    sizes        (L + 1,)  int64, read; contiguous
    activations  (L,)      int64, read; contiguous: indices into ACTIVATIONS

    Source: section 1 of the notes, the multilayer network.
    """
    threads = threads_for(x.shape[0] * params.size)
    _network_forward(out, params, _packed(params, x, sizes, threads), x, sizes, activations, threads)


def loss_in_blocks(
    params: np.ndarray, x: np.ndarray, targets: np.ndarray, sizes: np.ndarray, activations: np.ndarray, loss: int
) -> float:
    """As training.network_loss, of predictions made as network_forward makes them."""
    labels, rows = split_targets(targets, params.dtype)
    labels, rows = np.ascontiguousarray(labels), contiguous_rows(rows)
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is seen
        x = contiguous_rows(x.astype(params.dtype, copy=False))
    threads = threads_for(x.shape[0] * params.size)
    copy = _packed(params, x, sizes, threads)
    return float(_network_loss(params, copy, x, labels, rows, sizes, activations, loss, threads))
