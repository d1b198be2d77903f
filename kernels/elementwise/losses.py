"""Loss functions, each with its gradient in the same pass.

Every loss is a mean over the batch of E_i, the loss of sample i; the gradient is that of the mean. E_i is computed and
summed in float64 whatever the dtype of the arrays. K is at least 1.
"""

import numpy as np
from numba import prange

from ..compiler.jit import entry, inner, shared
from ..compiler.vectors import array_at, contiguous_rows, itemsize
from ..workers.threads import share, threads_for
from .activations import TRANSCENDENTAL
from .elementary import exp, log, log1p, mul_add, where

LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error")
SOFTMAX_CROSS_ENTROPY, SIGMOID_CROSS_ENTROPY, SQUARED_ERROR = range(len(LOSSES))

NO_LABELS = np.empty(0, np.int64)


def split_targets(targets: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Integer labels and rows of targets, one of them empty: compiled code takes both, so that one version serves."""
    if targets.ndim == 1:
        return targets, np.empty((0, 0), dtype)
    return NO_LABELS, targets


# The kernels below work on a block: rows of outputs, of their gradients and of targets at addresses, each with its
# distance in bytes and contiguous elements. Rows that follow one another without a gap are one long run, for which the
# compiler's vector code is made: a row of ten classes alone would be mostly remainder.


@inner
def loss_terms(code, rows, columns):
    """How many numbers a loss is the sum of."""
    return rows if code == SOFTMAX_CROSS_ENTROPY else rows * columns


@inner
def softmax_block(grad, grad_row, logits, logits_row, rows, columns, labels, targets, targets_row, scale, terms, one):
    # With s_k = e^(z_k - m), S = sum_k s_k and m = max z:  log softmax(z)_k = (z_k - m) - log S.
    # E = -sum_k t_k log softmax(z)_k  has  dE/dz_k = softmax(z)_k sum_j t_j - t_k.
    for i in range(rows):
        z, g = array_at(logits + i * logits_row, columns, one), array_at(grad + i * grad_row, columns, one)
        largest = row_max(z)
        for k in range(columns):
            g[k] = z[k] - largest
        terms[i] = largest
    runs, length = (1, rows * columns) if grad_row == columns * itemsize(one) else (rows, columns)
    for i in range(runs):
        g = array_at(grad + i * grad_row, length, one)
        for k in range(length):
            g[k] = exp(g[k])
    for i in range(rows):
        z, g = array_at(logits + i * logits_row, columns, one), array_at(grad + i * grad_row, columns, one)
        total = row_sum(g)
        if targets == 0:
            terms[i] = log(total) + (terms[i] - np.float64(z[labels[i]]))
            label_gradient(g, labels[i], scale / total)
        else:
            terms[i] = row_gradient(g, z, array_at(targets + i * targets_row, columns, one), scale, total, terms[i])


# Four side by side, since each waits for the one before: a loss over 100 classes takes 0.80 of the time (Xeon).
@inner
def row_max(row):
    """The largest element of a row; anything if one is NaN, as its e^z will then be."""
    whole = row.shape[0] // 4 * 4
    m0, m1, m2, m3 = row[0], row[0], row[0], row[0]
    for k in range(0, whole, 4):
        m0 = max(m0, row[k])
        m1 = max(m1, row[k + 1])
        m2 = max(m2, row[k + 2])
        m3 = max(m3, row[k + 3])
    for k in range(whole, row.shape[0]):
        m0 = max(m0, row[k])
    return max(max(m0, m1), max(m2, m3))


@inner
def row_sum(row):
    """The sum of a row, in float64."""
    s0, s1, s2, s3 = np.float64(0), np.float64(0), np.float64(0), np.float64(0)  # 0.0 is float32 in plain Python
    whole = row.shape[0] // 4 * 4
    for k in range(0, whole, 4):
        s0 += row[k]
        s1 += row[k + 1]
        s2 += row[k + 2]
        s3 += row[k + 3]
    for k in range(whole, row.shape[0]):
        s0 += row[k]
    return (s0 + s1) + (s2 + s3)


@inner
def label_gradient(grad, label, weight):
    # softmax - 1 as minus the sum of the others: no cancellation when the sample is all but learnt
    others = grad[label] * 0.0  # zero, or NaN if the row holds one
    for k in range(grad.shape[0]):
        grad[k] = grad[k] * weight
        if k != label:
            others += grad[k]
    grad[label] = -others


@inner
def row_gradient(grad, logits, row, scale, total, largest):
    log_total = log(total)
    loss = 0.0 * log_total  # zero, or NaN if the row holds one
    mass = 0.0
    for k in range(logits.shape[0]):
        mass += row[k]
        part = row[k] * (log_total + (largest - np.float64(logits[k])))
        loss += where(row[k] == 0, 0.0, part)  # 0 log 0 is 0, also where a logit is -inf; no branch to guess wrong
    weight = scale * mass / total
    for k in range(logits.shape[0]):
        grad[k] = weight * grad[k] - scale * row[k]
    return loss


@inner
def sigmoid_run(grad, logits, targets, scale, terms):
    # With y = sigmoid(z):  E = -sum_k t log y + (1 - t) log(1 - y) = sum_k max(z, 0) - z t + log(1 + e^-|z|)
    # and dE/dz_k = y_k - t_k.
    for j in range(logits.shape[0]):
        z, t = np.float64(logits[j]), np.float64(targets[j])
        e = exp(-abs(z))
        grad[j] = scale * (where(z < 0.0, e, 1.0) / (1.0 + e) - t)
        terms[j] = mul_add(-z, t, where(z < 0.0, 0.0, z)) + log1p(e)


@inner
def squared_error_run(grad, out, targets, scale, terms):
    # E = 1/2 sum_o (y_o - t_o)^2, dE/dy_o = y_o - t_o
    for j in range(out.shape[0]):
        difference = np.float64(out[j]) - np.float64(targets[j])
        grad[j] = scale * difference
        terms[j] = 0.5 * difference * difference


@shared("void(intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, intp, float64, real)")
def loss_block(
    grad, grad_row, out, out_row, rows, columns, labels_at, targets, targets_row, terms_at, code, scale, one
):  # fmt: skip
    """The gradient of a block's loss, times scale; and the terms that the loss is the sum of.

    labels_at, targets  the address of (rows,) int64 labels and 0, or anything and the address of (rows, columns)
    terms_at            the address of (loss_terms,) float64
    """
    labels = array_at(labels_at, 0 if targets != 0 else rows, np.int64(0))
    terms = array_at(terms_at, loss_terms(code, rows, columns), 1.0)
    if code == SOFTMAX_CROSS_ENTROPY:
        softmax_block(grad, grad_row, out, out_row, rows, columns, labels, targets, targets_row, scale, terms, one)
        return
    row = columns * itemsize(one)
    runs, length = rows, columns
    if grad_row == row and out_row == row and targets_row == row:
        runs, length = 1, rows * columns
    for i in range(runs):
        g, y = array_at(grad + i * grad_row, length, one), array_at(out + i * out_row, length, one)
        t = array_at(targets + i * targets_row, length, one)
        if code == SQUARED_ERROR:
            squared_error_run(g, y, t, scale, terms[i * length : (i + 1) * length])
        else:
            sigmoid_run(g, y, t, scale, terms[i * length : (i + 1) * length])


LANES = 8


@inner
def total(terms):
    """The sum of a float64 array: of every eighth element, then of these eight, which the compiler keeps in vectors."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = terms.shape[0] // LANES * LANES
    for j in range(0, whole, LANES):
        s0 += terms[j]
        s1 += terms[j + 1]
        s2 += terms[j + 2]
        s3 += terms[j + 3]
        s4 += terms[j + 4]
        s5 += terms[j + 5]
        s6 += terms[j + 6]
        s7 += terms[j + 7]
    rest = 0.0
    for j in range(whole, terms.shape[0]):
        rest += terms[j]
    return (((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))) + rest


@entry("float64(real[:, :], real[:, :], int64[::1], real[:, :], intp, intp)", calls=[loss_block])
def _loss(grad, out, labels, targets, code, threads):
    batch = out.shape[0]
    terms = np.empty(loss_terms(code, batch, out.shape[1]), np.float64)
    if threads == 1:
        loss_part(grad, out, labels, targets, terms, code, 1, 0)
    else:
        for part in prange(threads):
            loss_part(grad, out, labels, targets, terms, code, threads, part)
    return total(terms) / np.float64(batch)


@inner
def loss_part(grad, out, labels, targets, terms, code, parts, part):
    """The gradient, and the terms of the loss, for this part of the rows.

    grad (B, K), out (B, K); labels (B,) with targets (0, 0), or targets (B, K) with labels (0,)
    """
    batch, columns = out.shape
    start, stop = share(batch, parts, part)
    has_rows = targets.shape[0] > 0
    loss_block(
        grad.ctypes.data + start * grad.strides[0], grad.strides[0], out.ctypes.data + start * out.strides[0],
        out.strides[0], stop - start, columns, labels.ctypes.data + 8 * start,
        targets.ctypes.data + start * targets.strides[0] if has_rows else 0, targets.strides[0],
        terms.ctypes.data + 8 * loss_terms(code, start, columns), code, 1.0 / max(batch, 1), out.dtype.type(1),
    )  # fmt: skip


def _run(grad: np.ndarray, out: np.ndarray, targets: np.ndarray, code: int, cost: int) -> float:
    labels, rows = split_targets(targets, out.dtype)
    result = contiguous_rows(grad)
    threads = threads_for(out.size * cost)
    labels, rows = np.ascontiguousarray(labels), contiguous_rows(rows)
    loss = _loss(result, contiguous_rows(out), labels, rows, code, threads)
    if result is not grad:
        grad[...] = result
    return loss


def softmax_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = -sum_k t_ik log softmax(z_i)_k, and its gradient (softmax(z) - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B,) int64 labels, or (B, K) rows of the dtype of logits, one-hot or soft; read

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Rows that do not sum to 1 get the exact gradient too: (softmax(z) sum_k t_k - t) / B.
    Source: section 3 of the notes, error function (2).
    """
    return _run(grad_logits, logits, targets, SOFTMAX_CROSS_ENTROPY, TRANSCENDENTAL)


def sigmoid_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = -sum_k t log y + (1 - t) log(1 - y), y = sigmoid(z), and its gradient (y - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B, K)  read; each element in [0, 1], alone: several may be 1 (multi-label), K = 1 is binary

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Source: the cross-entropy of section 3 of the notes for K independent pairs of classes.
    """
    return _run(grad_logits, logits, targets, SIGMOID_CROSS_ENTROPY, TRANSCENDENTAL)


def squared_error(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = 1/2 ||y_i - t_i||^2, and its gradient (y - t) / B.

    grad_out  (B, O)  written
    out       (B, O)  read
    targets   (B, O)  read

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    Source: section 3 of the notes, error function (1).
    """
    return _run(grad_out, out, targets, SQUARED_ERROR, 1)
