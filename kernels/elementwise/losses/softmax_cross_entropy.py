"""The cross-entropy of softmax(logits) and labels or rows of probabilities.

With s_k = e^(z_k - m), m = max z and S = sum_k s_k,

    log softmax(z)_k = (z_k - m) - log S
    E = -sum_k t_k log softmax(z)_k        dE/dz_k = softmax(z)_k sum_j t_j - t_k

Its parameter is the smoothing s of the targets, which become (1 - s) t_k + s / K.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, inner, shared
from ...compiler.memory import Rows, array_at, itemsize, row_at
from ...compiler.signature import Doubles, Integers, Matrix2D, Real, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import exp, log
from ..primitives import mul_add, where
from .contract import NO_SMOOTHING, Targets
from .run import mean_loss, run_loss


@shared
def softmax_cross_entropy_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    """The loss and gradient of a block, see `call_loss`: one term a row. In between, `grad` holds z - m and then s."""
    by_label = targets.rows.address == 0
    losses, labels = array_at(terms, rows, 1.0), array_at(targets.labels, rows if by_label else 0, np.int64(0))
    for i in range(rows):
        z, g = row_at(out, i, columns, one), row_at(grad, i, columns, one)
        largest = row_max(z)
        for k in range(columns):
            g[k] = z[k] - largest
        losses[i] = largest
    # Rows without gaps are one long run for the vector loop: a row of ten classes alone would be mostly remainder.
    runs, length = (1, rows * columns) if grad.stride == columns * itemsize(one) else (rows, columns)
    for i in range(runs):
        g = row_at(grad, i, length, one)
        for k in range(length):
            g[k] = exp(g[k])
    smoothing = array_at(parameters, 1, 1.0)[0]
    if smoothing != 0.0:
        smoothed_rows(grad, out, rows, columns, targets, smoothing, losses, scale, one)
        return
    for i in range(rows):
        z, g = row_at(out, i, columns, one), row_at(grad, i, columns, one)
        total = row_sum(g)
        log_total = log(total)
        if by_label:
            losses[i] = log_total + (losses[i] - np.float64(z[labels[i]]))
            label_gradient(g, labels[i], scale / total)
        else:
            t = row_at(targets.rows, i, columns, one)
            losses[i], mass = row_loss(z, t, log_total, losses[i])
            row_gradient(g, t, scale, scale * mass / total)


# Both reductions below have four accumulators, which hide the latency of one. See Experiments: softmax-four-sums.


@inner
def row_max(row):
    """The largest element of a row; any number if an element is NaN, as its power will then be NaN, too."""
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
    """Replace the powers of a row by (softmax - t) times the scale, where t is 1 for the label and else 0.

    softmax - 1 is computed as minus the sum of the others: no cancellation when the sample is all but learnt.
    """
    others = grad[label] * 0.0  # zero, or NaN if the row holds one
    for k in range(grad.shape[0]):
        grad[k] = grad[k] * weight
        if k != label:
            others += grad[k]
    grad[label] = -others


@inner
def row_loss(logits, targets, log_total, largest):
    """The loss of a row of targets, and their sum."""
    loss = 0.0 * log_total  # zero, or NaN if the row holds one
    mass = np.float64(0)
    for k in range(logits.shape[0]):
        mass += targets[k]
        part = targets[k] * (log_total + (largest - np.float64(logits[k])))
        loss += where(targets[k] == 0, 0.0, part)  # 0 log 0 is 0, also where a logit is -inf; free of branches
    return loss, mass


@inner
def row_gradient(grad, targets, scale, weight):
    """Replace the powers of a row by the gradient for a row of targets, where `weight` times a power is its softmax."""
    for k in range(grad.shape[0]):
        grad[k] = weight * grad[k] - scale * targets[k]


@inner
def smoothed_rows(grad, out, rows, columns, targets, smoothing, losses, scale, one):
    """The losses and gradients of rows with smoothed targets. `grad` holds the powers, `losses` the largest logits."""
    by_label = targets.rows.address == 0
    labels = array_at(targets.labels, rows if by_label else 0, np.int64(0))
    kept, added = 1.0 - smoothing, smoothing / np.float64(columns)
    for i in range(rows):
        z, g = row_at(out, i, columns, one), row_at(grad, i, columns, one)
        total = row_sum(g)
        log_total = log(total)
        if by_label:
            losses[i] = smoothed_label_loss(z, labels[i], kept, added, log_total, losses[i])
            smoothed_label_gradient(g, labels[i], kept, added, scale, scale / total)
        else:
            t = row_at(targets.rows, i, columns, one)
            losses[i], mass = smoothed_row_loss(z, t, kept, added, log_total, losses[i])
            smoothed_row_gradient(g, t, kept, added, scale, scale * mass / total)


@inner
def smoothed_label_loss(logits, label, kept, added, log_total, largest):
    """The loss of a row with a smoothed label."""
    all_classes = np.float64(0)
    for k in range(logits.shape[0]):
        all_classes += log_total + (largest - np.float64(logits[k]))
    return kept * (log_total + (largest - np.float64(logits[label]))) + added * all_classes


@inner
def smoothed_label_gradient(grad, label, kept, added, scale, weight):
    """Replace the powers of a row by the gradient for a smoothed label; `weight` times a power is its softmax."""
    of_label = weight * grad[label] - scale * (kept + added)
    for k in range(grad.shape[0]):
        grad[k] = weight * grad[k] - scale * added
    grad[label] = of_label


@inner
def smoothed_row_loss(logits, targets, kept, added, log_total, largest):
    """The loss of a row of targets that are smoothed, and the sum of these."""
    loss, mass = np.float64(0), np.float64(0)
    for k in range(logits.shape[0]):
        t = mul_add(kept, np.float64(targets[k]), added)
        mass += t
        loss += t * (log_total + (largest - np.float64(logits[k])))
    return loss, mass


@inner
def smoothed_row_gradient(grad, targets, kept, added, scale, weight):
    """Replace the powers of a row by the gradient for targets that are smoothed, see `row_gradient`."""
    for k in range(grad.shape[0]):
        grad[k] = weight * grad[k] - scale * mul_add(kept, np.float64(targets[k]), added)


@entry
def _loss(
    grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, parameters: Doubles, threads: int
) -> float:
    function = address_in_code(softmax_cross_entropy_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, parameters, function, 1, threads)


def softmax_cross_entropy(
    grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> float:
    """Mean over the batch of E_i = -sum_k t_ik log softmax(z_i)_k, and its gradient (softmax(z) - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B,) int64 labels, or (B, K) rows of the dtype of logits, one-hot or soft; read
    smoothing    s in [0, 1): t_k is (1 - s) of the target plus s / K

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Rows that do not sum to 1 get the exact gradient too: (softmax(z) sum_k t_k - t) / B.
    Source: section 3 of the notes, error function (2); smoothing: Szegedy et al. 2016.
    """
    parameters = np.array([smoothing], np.float64) if smoothing else NO_SMOOTHING
    return run_loss(_loss, grad_logits, logits, targets, TRANSCENDENTAL_COST, parameters)
