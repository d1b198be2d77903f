"""Half the Poisson deviance of counts, whose logarithm the network computes.

    E = sum_k e^z - t z + (t log t - t)        dE/dz_k = e^(z_k) - t_k

with 0 log 0 = 0. It is 0 where e^z = t.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, array_at, row_at
from ...compiler.signature import Doubles, Integers, Matrix2D, Real, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import exp, log
from ..primitives import where
from .contract import Targets, long_runs
from .run import mean_loss, run_loss


@shared
def poisson_block(
    grad: Rows, out: Rows, rows: int, columns: int, targets: Targets, parameters: int, terms: int, scale: float,
    one: Real,
) -> None:  # fmt: skip
    """The loss and gradient of a block, see `call_loss`: a term for each element."""
    runs, length = long_runs(grad, out, targets.rows, rows, columns, one)
    for i in range(runs):
        losses, g = array_at(terms + 8 * i * length, length, 1.0), row_at(grad, i, length, one)
        z, wanted = row_at(out, i, length, one), row_at(targets.rows, i, length, one)
        for j in range(length):
            logit, t = np.float64(z[j]), np.float64(wanted[j])
            power, zero = exp(logit), t == 0.0
            g[j] = scale * (power - t)
            # 0 log 0 is 0, also where a logit is -inf; free of branches
            losses[j] = power - t * where(zero, 0.0, logit) + (t * log(where(zero, 1.0, t)) - t)


@entry
def _loss(
    grad: WrittenMatrix, out: Matrix2D, labels: Integers, targets: Matrix2D, parameters: Doubles, threads: int
) -> float:
    function = address_in_code(poisson_block, out.dtype.type(1))
    return mean_loss(grad, out, labels, targets, parameters, function, out.shape[1], threads)


def poisson(grad_logits: np.ndarray, logits: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the batch of E_i = sum_k y - t + t log(t / y), y = e^z, and its gradient (y - t) / B.

    grad_logits  (B, K)  written
    logits       (B, K)  read
    targets      (B, K)  read; not negative

    Returns the mean loss, accumulated in float64; NaN for an empty batch. It is half the Poisson deviance.
    Source: McCullagh and Nelder 1989, section 2.3.
    """
    return run_loss(_loss, grad_logits, logits, targets, TRANSCENDENTAL_COST)
