"""Huber's loss: the squared error of small differences r = y - t, the absolute one of large differences.

    E = sum_o 1/2 r^2                     where |r| <= delta        dE/dy_o = r
        sum_o delta (|r| - delta / 2)     elsewhere                 dE/dy_o = delta sign(r)

Its parameter is delta.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, array_at, row_at
from ...compiler.signature import Doubles, Integers, Matrix2D, Real, WrittenMatrix
from ..primitives import where
from .contract import Targets, long_runs
from .run import mean_loss, run_loss


@shared
def huber_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    """The loss and gradient of a block, see `call_loss`: a term for each element."""
    delta = array_at(parameters, 1, 1.0)[0]
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        y, wanted = row_at(out, i, length, one), row_at(targets.rows, i, length, one)
        for j in range(length):
            r = np.float64(y[j]) - np.float64(wanted[j])
            size = abs(r)
            g[j] = scale * where(r > delta, delta, where(r < -delta, -delta, r))  # NaN stays
            losses[j] = where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))


@entry
def _loss(
    grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, parameters: Doubles, threads: int
) -> float:
    function = address_in_code(huber_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, parameters, function, out.shape[1], threads)


def huber(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray, delta: float) -> float:
    """Mean over the batch of E_i = sum_o h(y_o - t_o), h(r) = r^2 / 2 or delta (|r| - delta / 2), and its gradient.

    grad_out  (B, O)  written: y - t, at least -delta and at most delta, / B
    out       (B, O)  read
    targets   (B, O)  read
    delta     > 0: h is the square where |r| <= delta

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    Source: Huber 1964.
    """
    return run_loss(_loss, grad_out, out, targets, 1, np.array([delta], np.float64))
