"""Whole networks in one compiled call: the forward pass, the gradient, and any number of training steps.

A network is data, so that one compiled function serves them all:
    sizes        (L + 1,)  int64    sizes[0] inputs, sizes[l] outputs of layer l
    activations  (L,)      int64    the code of each layer's activation, see activations.ACTIVATIONS
    params       (P,)      real     W1 (I, O) row by row, b1 (O,), W2, b2, ... one after another
The outputs of all layers for B samples live in one flat buffer: (B, sizes[1]), (B, sizes[2]), ... one after another.

A training step is two parallel regions. In the first, each thread carries a share of the batch through the whole
network: gather, forward, loss, and the gradient with respect to each layer's input sum. Samples do not meet there. In
the second, each thread sums the weight gradient over the whole batch for a share of each layer's inputs and updates the
weights with it. So each element is summed by one thread, in the order of the batch, whatever the number of threads.
"""

import numpy as np
from numba import prange

from .activations import activation_backward_row, activation_forward_row
from .affine import affine_forward_rows
from .jit import entry, inner
from .losses import loss_rows, mean, split_targets
from .optimizers import sgd_update_row
from .products import column_sums, product_by_transpose, product_of_transpose
from .threads import share, threads_for

# Rows that the forward pass works on at a time, so that its memory does not grow with the data.
BLOCK = 128


@inner
def layer_rows(buffer, sizes, layer, batch):
    """The outputs of a layer, 1 to L, as (B, sizes[layer]): a view of the flat buffer."""
    start = 0
    for earlier in range(1, layer):
        start += batch * sizes[earlier]
    return buffer[start : start + batch * sizes[layer]].reshape((batch, sizes[layer]))


@inner
def layer_params(params, sizes, layer):
    """Weight (I, O) and bias (O,) of a layer, 1 to L: views of the flat vector."""
    start = 0
    for earlier in range(1, layer):
        start += (sizes[earlier - 1] + 1) * sizes[earlier]
    middle = start + sizes[layer - 1] * sizes[layer]
    weight = params[start:middle].reshape((sizes[layer - 1], sizes[layer]))
    return weight, params[middle : middle + sizes[layer]]


@inner
def buffer_size(sizes, batch):
    total = 0
    for layer in range(1, sizes.shape[0]):
        total += sizes[layer]
    return batch * total


@inner
def forward_rows(outs, params, x, sizes, activations, start, stop):
    # x (B, I); outs, the flat buffer for B samples, gets rows start to stop of every layer's output
    batch = x.shape[0]
    previous = x
    for layer in range(1, sizes.shape[0]):
        weight, bias = layer_params(params, sizes, layer)
        out = layer_rows(outs, sizes, layer, batch)
        affine_forward_rows(out, previous, weight, bias, start, stop)
        for i in range(start, stop):
            activation_forward_row(out[i], out[i], activations[layer - 1])
        previous = out


@inner
def backward_rows(grads, outs, params, sizes, activations, batch, start, stop):
    # grads, a flat buffer like outs, holds dE/dout of the last layer and gets, for rows start to stop,
    # delta = dE/du of every layer, with u = x W + b its input sum:  delta_l = f'(u_l) * (delta_{l+1} W_{l+1}^T)
    for layer in range(sizes.shape[0] - 1, 0, -1):
        grad = layer_rows(grads, sizes, layer, batch)
        out = layer_rows(outs, sizes, layer, batch)
        for i in range(start, stop):
            activation_backward_row(grad[i], grad[i], out[i], activations[layer - 1])
        if layer > 1:
            weight, _ = layer_params(params, sizes, layer)
            product_by_transpose(layer_rows(grads, sizes, layer - 1, batch), grad, weight, start, stop)


@inner
def gather(x_batch, label_batch, row_batch, x, labels, rows, order, start, stop):
    # sample order[i] of the data becomes row i of the batch, for i from start to stop
    for i in range(start, stop):
        sample = order[i]
        for j in range(x.shape[1]):
            x_batch[i, j] = x[sample, j]
        if rows.shape[0] == 0:
            label_batch[i] = labels[sample]
        else:
            for j in range(rows.shape[1]):
                row_batch[i, j] = rows[sample, j]


@inner
def deltas_part(losses, grads, outs, params, x, labels, rows, sizes, activations, loss, parts, part):
    """The first region: forward, loss and deltas for one share of the batch."""
    batch = x.shape[0]
    start, stop = share(batch, parts, part)
    last = sizes.shape[0] - 1
    forward_rows(outs, params, x, sizes, activations, start, stop)
    out = layer_rows(outs, sizes, last, batch)
    loss_rows(losses, layer_rows(grads, sizes, last, batch), out, labels, rows, loss, batch, start, stop)
    backward_rows(grads, outs, params, sizes, activations, batch, start, stop)


@inner
def gradient_part(grad_params, grads, outs, x, sizes, parts, part):
    """The second region: gradients of every weight and bias, for one share of each layer's inputs and outputs."""
    batch = x.shape[0]
    previous = x
    for layer in range(1, sizes.shape[0]):
        grad_weight, grad_bias = layer_params(grad_params, sizes, layer)
        grad = layer_rows(grads, sizes, layer, batch)
        start, stop = share(sizes[layer - 1], parts, part)
        product_of_transpose(grad_weight, previous, grad, start, stop)
        start, stop = share(sizes[layer], parts, part)
        column_sums(grad_bias, grad, start, stop)
        previous = layer_rows(outs, sizes, layer, batch)


@inner
def update_part(params, grad_params, sizes, learning_rate, parts, part):
    """The end of the second region: update what `gradient_part` of the same share has just summed."""
    for layer in range(1, sizes.shape[0]):
        weight, bias = layer_params(params, sizes, layer)
        grad_weight, grad_bias = layer_params(grad_params, sizes, layer)
        start, stop = share(sizes[layer - 1], parts, part)
        for i in range(start, stop):
            sgd_update_row(weight[i], grad_weight[i], learning_rate)
        start, stop = share(sizes[layer], parts, part)
        sgd_update_row(bias[start:stop], grad_bias[start:stop], learning_rate)


@inner
def forward_blocks(out, params, x, sizes, activations, start, stop):
    """out[start:stop] = the network's output for x[start:stop], a block of rows at a time."""
    last = sizes.shape[0] - 1
    outs = np.empty(buffer_size(sizes, BLOCK), params.dtype)
    for first in range(start, stop, BLOCK):
        count = min(BLOCK, stop - first)
        forward_rows(outs, params, x[first : first + count], sizes, activations, 0, count)
        block = layer_rows(outs, sizes, last, count)
        for i in range(count):
            for k in range(sizes[last]):
                out[first + i, k] = block[i, k]


@entry("void(real[:, :], real[::1], real[:, ::1], int64[::1], int64[::1], intp)")
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
    x            (N, I)    read; contiguous
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read: indices into ACTIVATIONS

    Source: section 1 of the notes, the multilayer network.
    """
    _network_forward(out, params, x, sizes, activations, threads_for(x.shape[0] * params.size))


@entry("float64(real[::1], real[::1], real[:, ::1], int64[:], real[:, :], int64[::1], int64[::1], intp, intp)")
def _network_gradient(grad_params, params, x, labels, rows, sizes, activations, loss, threads):
    batch = x.shape[0]
    outs = np.empty(buffer_size(sizes, batch), params.dtype)
    grads = np.empty(buffer_size(sizes, batch), params.dtype)
    losses = np.empty(batch, np.float64)
    if threads == 1:
        deltas_part(losses, grads, outs, params, x, labels, rows, sizes, activations, loss, 1, 0)
        gradient_part(grad_params, grads, outs, x, sizes, 1, 0)
    else:
        for part in prange(threads):
            deltas_part(losses, grads, outs, params, x, labels, rows, sizes, activations, loss, threads, part)
        for part in prange(threads):
            gradient_part(grad_params, grads, outs, x, sizes, threads, part)
    return mean(losses)


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
    x            (B, I)    read; contiguous
    targets      (B,) int64 labels or (B, K) rows, as the loss takes them; read
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read; the last is the identity where the loss contains the output activation
    loss         an index into LOSSES

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    Source: section 5 of the notes, whose recursion has n + 1 where it must have l + 1.
    """
    labels, rows = split_targets(targets, params.dtype)
    threads = threads_for(3 * x.shape[0] * params.size)
    return _network_gradient(grad_params, params, x, labels, rows, sizes, activations, loss, threads)


@entry(
    "void(real[::1], float64[:], real[:, :], int64[:], real[:, :], int64[:], int64[::1], int64[::1],"
    " intp, intp, float64, intp)"
)
def _train_steps(
    params, step_losses, x, labels, rows, order, sizes, activations, loss, batch_size, learning_rate, threads
):
    last = sizes.shape[0] - 1
    grad_params = np.empty(params.shape[0], params.dtype)
    outs = np.empty(buffer_size(sizes, batch_size), params.dtype)
    grads = np.empty(buffer_size(sizes, batch_size), params.dtype)
    losses = np.empty(batch_size, np.float64)
    x_buffer = np.empty((batch_size, sizes[0]), params.dtype)
    label_buffer = np.empty(batch_size, np.int64)
    row_buffer = np.empty((0 if rows.shape[0] == 0 else batch_size, sizes[last]), params.dtype)
    for step in range(step_losses.shape[0]):
        samples = order[step * batch_size : (step + 1) * batch_size]  # the last batch may be smaller
        batch = samples.shape[0]
        xb, lb, rb = x_buffer[:batch], label_buffer[:batch], row_buffer[:batch]
        if threads == 1:
            gather(xb, lb, rb, x, labels, rows, samples, 0, batch)
            deltas_part(losses, grads, outs, params, xb, lb, rb, sizes, activations, loss, 1, 0)
            gradient_part(grad_params, grads, outs, xb, sizes, 1, 0)
            update_part(params, grad_params, sizes, learning_rate, 1, 0)
        else:
            for part in prange(threads):
                start, stop = share(batch, threads, part)
                gather(xb, lb, rb, x, labels, rows, samples, start, stop)
                deltas_part(losses, grads, outs, params, xb, lb, rb, sizes, activations, loss, threads, part)
            for part in prange(threads):
                gradient_part(grad_params, grads, outs, xb, sizes, threads, part)
                update_part(params, grad_params, sizes, learning_rate, threads, part)
        step_losses[step] = mean(losses[:batch])


def train_steps(
    params: np.ndarray,
    step_losses: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    order: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Steps of minibatch gradient descent: params <- params - learning_rate * gradient, once per batch.

    Batch s is samples order[s * batch_size : (s + 1) * batch_size]; the last may be smaller.

    params       (P,)      read and written; contiguous
    step_losses  (S,)      float64, written: the mean loss of each batch before its update; S = ceil(M / batch_size)
    x            (N, I)    read
    targets      (N,) int64 labels or (N, K) rows, as the loss takes them; read
    order        (M,)      int64, read: indices of samples
    sizes        (L + 1,)  int64, read
    activations  (L,)      int64, read; as in network_gradient
    loss         an index into LOSSES

    Source: section 4 of the notes: batch_size N is gradient descent, 1 is the stochastic form, else the minibatch form.
    """
    labels, rows = split_targets(targets, params.dtype)
    threads = threads_for(3 * min(batch_size, order.size) * params.size)
    _train_steps(
        params, step_losses, x, labels, rows, order, sizes, activations, loss, batch_size, learning_rate, threads
    )
