"""The kernel that applies a loss by its code: one of table.py, or the function at a user's address."""

import numpy as np

from ...compiler.decorators import entry
from ...compiler.memory import contiguous_rows
from ...compiler.signature import Doubles, Integers, Matrix2D, WrittenDoubles, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ...workers.threads import threads_for
from .contract import split_targets, total
from .run import write_terms
from .table import loss_function, terms_per_sample


@entry
def _losses(
    grad: WrittenMatrix, losses: WrittenDoubles, out: Matrix2D, labels: Integers, targets: Matrix2D,
    parameters: Doubles, function: int, per_sample: int, threads: int,
) -> float:  # fmt: skip
    batch = out.shape[0]
    terms = np.empty(batch * per_sample, np.float64)
    write_terms(terms, grad, out, labels, targets, parameters, function, per_sample, 1.0, threads)
    for i in range(batch):
        loss = 0.0
        for j in range(i * per_sample, (i + 1) * per_sample):
            loss += terms[j]
        losses[i] = loss
    return total(terms) / np.float64(batch)


def sample_losses(
    losses: np.ndarray,
    grad_out: np.ndarray,
    out: np.ndarray,
    targets: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
) -> float:
    """The loss E_i of each sample by the code of the loss, its gradient, and the mean of all.

    losses           (B,)    float64, written; contiguous: E_i
    grad_out         (B, O)  written: dE_i / dy_io, not divided by B
    out              (B, O)  read
    targets          (B,) int64 labels or (B, O) rows, as the loss takes them; read
    loss_parameters  (H,)    float64, read; contiguous: what the kernel of the loss takes after its targets, or (0,)
    loss             an index into LOSSES, or what `compile_loss` returned for the dtype

    Returns the mean loss, accumulated in float64, with the bits of the kernel of that name; NaN for an empty batch.
    """
    columns = out.shape[1]
    labels, rows = split_targets(targets, out.dtype)
    result, labels, rows = contiguous_rows(grad_out), np.ascontiguousarray(labels), contiguous_rows(rows)
    mean: float = _losses(
        result, losses, contiguous_rows(out), labels, rows, loss_parameters, loss_function(loss, out.dtype),
        terms_per_sample(loss, columns), threads_for(out.size * TRANSCENDENTAL_COST),
    )  # fmt: skip
    if result is not grad_out:
        grad_out[...] = result
    return mean
