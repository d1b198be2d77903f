"""The cross-entropy of sigmoid(logits) and targets, each column by itself: binary and multi-label.

With y = sigmoid(z),

    E = -sum_k t log y + (1 - t) log(1 - y) = sum_k max(z, 0) - z t + log(1 + e^-|z|)        dE/dz_k = y_k - t_k
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, inner, shared
from ...compiler.memory import Rows, array_at, row_at
from ...compiler.signature import Integers, Matrix2D, Real, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import exp, log1p
from ..primitives import mul_add, where
from .contract import Targets, long_runs
from .run import mean_loss, run_loss


@shared
def sigmoid_cross_entropy_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, terms: int, scale: float, one: Real
) -> None:
    """The loss and gradient of a block, see `call_loss`: a term for each element."""
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        loss_of_run(g, row_at(out, i, length, one), row_at(targets.rows, i, length, one), scale, losses)


@inner
def loss_of_run(grad, logits, targets, scale, losses):
    """The loss and gradient of a run of elements."""
    for j in range(logits.shape[0]):
        z, t = np.float64(logits[j]), np.float64(targets[j])
        e = exp(-abs(z))
        grad[j] = scale * (where(z < 0.0, e, 1.0) / (1.0 + e) - t)
        losses[j] = mul_add(-z, t, where(z < 0.0, 0.0, z)) + log1p(e)


@entry
def _loss(grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, threads: int) -> float:
    function = address_in_code(sigmoid_cross_entropy_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, function, out.shape[1], threads)


def sigmoid_cross_entropy(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = -sum_k t log y + (1 - t) log(1 - y), y = sigmoid(z), and its gradient (y - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B, K)  read; each element in [0, 1], alone: several may be 1 (multi-label), K = 1 is binary

    Returns the mean loss in nats, accumulated in float64; NaN for an empty batch. Logits of any size are safe.
    Source: the cross-entropy of section 3 of the notes for K independent pairs of classes.
    """
    return run_loss(_loss, grad_logits, logits, targets, TRANSCENDENTAL_COST)
