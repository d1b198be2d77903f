"""The cross-entropy of sigmoid(logits) and targets, each column by itself: binary and multi-label.

With y = sigmoid(z),

    E = -sum_k t log y + (1 - t) log(1 - y) = sum_k max(z, 0) - z t + log(1 + e^-|z|)        dE/dz_k = y_k - t_k

Its parameter is the smoothing s of the targets, which become (1 - s) t + s / 2.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, inner, shared
from ...compiler.memory import Rows, array_at, row_at
from ...compiler.signature import Doubles, Integers, Matrix2D, Real, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import exp, log1p
from ..primitives import mul_add, where
from .contract import NO_SMOOTHING, Targets, long_runs
from .run import mean_loss, run_loss


@shared
def sigmoid_cross_entropy_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    """The loss and gradient of a block, see `call_loss`: a term for each element."""
    smoothing = array_at(parameters, 1, 1.0)[0]
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        z, t = row_at(out, i, length, one), row_at(targets.rows, i, length, one)
        if smoothing == 0.0:
            loss_of_run(g, z, t, scale, losses)
        else:
            smoothed_loss_of_run(g, z, t, smoothing, scale, losses)


@inner
def loss_of_run(grad, logits, targets, scale, losses):
    """The loss and gradient of a run of elements."""
    for j in range(logits.shape[0]):
        gradient, losses[j] = loss_of_element(np.float64(logits[j]), np.float64(targets[j]))
        grad[j] = scale * gradient


@inner
def smoothed_loss_of_run(grad, logits, targets, smoothing, scale, losses):
    """The loss and gradient of a run of elements, whose targets are smoothed."""
    kept, added = 1.0 - smoothing, 0.5 * smoothing
    for j in range(logits.shape[0]):
        gradient, losses[j] = loss_of_element(np.float64(logits[j]), mul_add(kept, np.float64(targets[j]), added))
        grad[j] = scale * gradient


@inner
def loss_of_element(z, t):
    """The gradient and the loss of an element."""
    e = exp(-abs(z))
    return where(z < 0.0, e, 1.0) / (1.0 + e) - t, mul_add(-z, t, where(z < 0.0, 0.0, z)) + log1p(e)


@entry
def _loss(
    grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, parameters: Doubles, threads: int
) -> float:
    function = address_in_code(sigmoid_cross_entropy_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, parameters, function, out.shape[1], threads)


def sigmoid_cross_entropy(
    grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray, smoothing: float = 0.0
) -> float:
    """Mean over the batch of E_i = -sum_k t log y + (1 - t) log(1 - y), y = sigmoid(z), and its gradient (y - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B, K)  read; each element in [0, 1], alone: several may be 1 (multi-label), K = 1 is binary
    smoothing    s in [0, 1): t is (1 - s) of the target plus s / 2

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Source: the cross-entropy of section 3 of the notes for K independent pairs of classes.
    """
    parameters = np.array([smoothing], np.float64) if smoothing else NO_SMOOTHING
    return run_loss(_loss, grad_logits, logits, targets, TRANSCENDENTAL_COST, parameters)
