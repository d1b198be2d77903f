"""Loss functions, each with its gradient in the same pass.

Every loss is a mean over the batch of E_i, the loss of sample i; the gradient is that of the mean. E_i is computed and
summed in float64 whatever the dtype of the arrays. K is at least 1.
"""

import numpy as np
from numba import prange

from .activations import TRANSCENDENTAL
from .elementary import exp
from .jit import entry, inner
from .threads import share, threads_for

LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error")
SOFTMAX_CROSS_ENTROPY, SIGMOID_CROSS_ENTROPY, SQUARED_ERROR = range(len(LOSSES))

NO_LABELS = np.empty(0, np.int64)


def split_targets(targets: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Integer labels and rows of targets, one of them empty: compiled code takes both, so that one version serves."""
    if targets.ndim == 1:
        return targets, np.empty((0, 0), dtype)
    return NO_LABELS, targets


@inner
def mean(losses):
    """The mean of a float64 array, summed from first to last; NaN if it is empty."""
    total = 0.0
    for i in range(losses.shape[0]):
        total += losses[i]
    return total / np.float64(losses.shape[0])


@inner
def softmax_cross_entropy_row(grad, logits, label, row, scale):
    # grad (K,), logits (K,), row (K,) or empty: then the target is one-hot at label. Returns E_i.
    #
    # With s_k = e^(z_k - m), S = sum_k s_k and m = max z:  log softmax(z)_k = (z_k - m) - log S.
    # E = -sum_k t_k log softmax(z)_k  has  dE/dz_k = softmax(z)_k sum_j t_j - t_k.
    largest = logits[0]
    for k in range(logits.shape[0]):
        largest = max(largest, logits[k])
    for k in range(logits.shape[0]):
        grad[k] = exp(logits[k] - largest)
    total = np.float64(0)  # not 0.0, which adopts float32 in plain Python
    for k in range(logits.shape[0]):
        total += grad[k]
    log_total = np.log(total)
    if row.shape[0] == 0:
        weight = scale / total
        for k in range(logits.shape[0]):
            grad[k] = grad[k] * weight
        loss = log_total + (np.float64(largest) - np.float64(logits[label]))
        # softmax - 1 as minus the sum of the others: no cancellation when the sample is all but learnt
        others = grad[label] * 0.0  # zero, or NaN if the row holds one
        for k in range(logits.shape[0]):
            if k != label:
                others += grad[k]
        grad[label] = -others
        return loss
    loss = 0.0 * log_total  # zero, or NaN if the row holds one
    mass = 0.0
    for k in range(logits.shape[0]):
        mass += row[k]
        if row[k] != 0:  # 0 log 0 is 0, also where a logit is -inf
            loss += row[k] * (log_total + (np.float64(largest) - np.float64(logits[k])))
    for k in range(logits.shape[0]):
        grad[k] = scale * (grad[k] / total * mass - row[k])
    return loss


@inner
def sigmoid_cross_entropy_row(grad, logits, row, scale):
    # all (K,). With y = sigmoid(z):  E = -sum_k t log y + (1 - t) log(1 - y) = sum_k max(z, 0) - z t + log(1 + e^-|z|)
    # and dE/dz_k = y_k - t_k.
    loss = 0.0
    for k in range(logits.shape[0]):
        z = np.float64(logits[k])
        t = np.float64(row[k])
        e = np.exp(-abs(z))
        numerator = e if z < 0 else 1.0
        grad[k] = scale * (numerator / (1.0 + e) - t)
        positive = 0.0 if z < 0 else z
        loss += positive - z * t + np.log1p(e)
    return loss


@inner
def squared_error_row(grad, out, row, scale):
    # all (O,). E = 1/2 sum_o (y_o - t_o)^2, dE/dy_o = y_o - t_o
    loss = 0.0
    for o in range(out.shape[0]):
        difference = np.float64(out[o]) - np.float64(row[o])
        grad[o] = scale * difference
        loss += 0.5 * difference * difference
    return loss


@inner
def loss_row(grad, out, label, row, code, batch):
    """E_i, and the gradient of the mean over `batch` samples.

    grad (K,), out (K,): logits, or outputs for the squared error; row (K,) the targets, or empty where label is one
    """
    scale = 1.0 / max(batch, 1)
    if code == SQUARED_ERROR:
        return squared_error_row(grad, out, row, scale)
    if code == SIGMOID_CROSS_ENTROPY:
        return sigmoid_cross_entropy_row(grad, out, row, scale)
    return softmax_cross_entropy_row(grad, out, label, row, scale)


@inner
def loss_rows(losses, grad, out, labels, rows, code, start, stop):
    # losses (B,), grad (B, K), out (B, K); labels (B,) with rows (0, 0), or rows (B, K) with labels (0,)
    for i in range(start, stop):
        if rows.shape[0] == 0:
            losses[i] = loss_row(grad[i], out[i], labels[i], grad[i, :0], code, out.shape[0])
        else:
            losses[i] = loss_row(grad[i], out[i], 0, rows[i], code, out.shape[0])


@entry("float64(real[:, :], real[:, :], int64[:], real[:, :], intp, intp)")
def _loss(grad, out, labels, rows, code, threads):
    batch = out.shape[0]
    losses = np.empty(batch, np.float64)
    if threads == 1:
        loss_rows(losses, grad, out, labels, rows, code, 0, batch)
    else:
        for part in prange(threads):
            start, stop = share(batch, threads, part)
            loss_rows(losses, grad, out, labels, rows, code, start, stop)
    return mean(losses)


def softmax_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = -sum_k t_ik log softmax(z_i)_k, and its gradient (softmax(z) - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B,) int64 labels, or (B, K) rows of the dtype of logits, one-hot or soft; read

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Rows that do not sum to 1 get the exact gradient too: (softmax(z) sum_k t_k - t) / B.
    Source: section 3 of the notes, error function (2).
    """
    labels, rows = split_targets(targets, logits.dtype)
    return _loss(grad_logits, logits, labels, rows, SOFTMAX_CROSS_ENTROPY, threads_for(logits.size * TRANSCENDENTAL))


def sigmoid_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = -sum_k t log y + (1 - t) log(1 - y), y = sigmoid(z), and its gradient (y - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B, K)  read; each element in [0, 1], alone: several may be 1 (multi-label), K = 1 is binary

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Source: the cross-entropy of section 3 of the notes for K independent pairs of classes.
    """
    code = SIGMOID_CROSS_ENTROPY
    return _loss(grad_logits, logits, NO_LABELS, targets, code, threads_for(logits.size * TRANSCENDENTAL))


def squared_error(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = 1/2 ||y_i - t_i||^2, and its gradient (y - t) / B.

    grad_out  (B, O)  written
    out       (B, O)  read
    targets   (B, O)  read

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    Source: section 3 of the notes, error function (1).
    """
    return _loss(grad_out, out, NO_LABELS, targets, SQUARED_ERROR, threads_for(out.size))
