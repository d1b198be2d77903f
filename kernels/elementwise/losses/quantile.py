"""The pinball loss, which a quantile of the targets minimizes: with r = y - t and the level q of an output,

    E = sum_o max(-q r, (1 - q) r)        dE/dy_o = 1 - q where r > 0, -q where r < 0, 0 where r = 0

Its parameters are the levels, one for each output.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, inner, shared
from ...compiler.memory import Rows, array_at, row_at
from ...compiler.signature import Doubles, Integers, Matrix2D, Real, WrittenMatrix
from ..primitives import where
from .contract import Targets, long_runs
from .run import mean_loss, run_loss


@shared
def quantile_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    """The loss and gradient of a block, see `call_loss`: a term for each element."""
    levels = array_at(parameters, columns, 1.0)
    # The rows of one output are one long run, whose level is the same for all.
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one) if columns == 1 else (rows, columns)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        y, wanted = row_at(out, i, length, one), row_at(targets.rows, i, length, one)
        if columns == 1:
            for j in range(length):
                g[j], losses[j] = loss_of_element(y[j], wanted[j], levels[0], scale)
        else:
            for j in range(length):
                g[j], losses[j] = loss_of_element(y[j], wanted[j], levels[j], scale)


@inner
def loss_of_element(y, t, level, scale):
    """The gradient and the loss of an element."""
    r = np.float64(y) - np.float64(t)
    slope = where(r > 0.0, 1.0 - level, where(r < 0.0, -level, r))  # NaN stays
    return scale * slope, slope * r


@entry
def _loss(
    grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, parameters: Doubles, threads: int
) -> float:
    function = address_in_code(quantile_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, parameters, function, out.shape[1], threads)


def quantile(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray, levels: np.ndarray) -> float:
    """Mean over the batch of E_i = sum_o max(q_o (t_o - y_o), (q_o - 1) (t_o - y_o)), and its gradient.

    grad_out  (B, O)  written: 1 - q where y > t, -q where y < t, 0 where y = t, / B
    out       (B, O)  read
    targets   (B, O)  read
    levels    (O,)    float64, read: q, in (0, 1)

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    Source: Koenker and Bassett 1978.
    """
    return run_loss(_loss, grad_out, out, targets, 1, np.ascontiguousarray(levels))
