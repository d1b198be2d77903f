"""The distance to the targets: E = sum_o |y_o - t_o|, dE/dy_o = sign(y_o - t_o), which is 0 at 0."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, array_at, row_at
from ...compiler.signature import Doubles, Integers, Matrix2D, Real, WrittenMatrix
from ..primitives import where
from .contract import Targets, long_runs
from .run import mean_loss, run_loss


@shared
def absolute_error_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    """The loss and gradient of a block, see `call_loss`: a term for each element."""
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        y, wanted = row_at(out, i, length, one), row_at(targets.rows, i, length, one)
        for j in range(length):
            r = np.float64(y[j]) - np.float64(wanted[j])
            g[j] = scale * where(r > 0.0, 1.0, where(r < 0.0, -1.0, r))  # NaN stays
            losses[j] = abs(r)


@entry
def _loss(
    grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, parameters: Doubles, threads: int
) -> float:
    function = address_in_code(absolute_error_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, parameters, function, out.shape[1], threads)


def absolute_error(grad_out: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = sum_o |y_o - t_o|, and its gradient sign(y - t) / B, which is 0 where y = t.

    grad_out  (B, O)  written
    out       (B, O)  read
    targets   (B, O)  read

    Returns the mean loss, accumulated in float64; NaN for an empty batch.
    """
    return run_loss(_loss, grad_out, out, targets, 1)
