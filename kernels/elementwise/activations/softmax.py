"""Softmax, for output layers: no function of single elements, and forward only.

The losses that belong to it compute its gradient together with their own.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, inner, shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import exp
from .run import forward, run_forward


@shared
def softmax_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Softmax of each row in place. `other` is not used; it is there for the prototype."""
    for i in range(rows):
        x = row_at(target, i, columns, one)
        if columns > 0:
            softmax_row(x)


@inner
def softmax_row(x):
    """y_k = e^(x_k - m) / sum_j e^(x_j - m). Subtracting m = max x keeps every power in (0, 1]."""
    largest = x[0]
    for k in range(x.shape[0]):
        largest = max(largest, x[k])
    for k in range(x.shape[0]):
        x[k] = exp(x[k] - largest)
    total = np.float64(0)
    for k in range(x.shape[0]):
        total += x[k]
    scale = x.dtype.type(1.0 / total)
    for k in range(x.shape[0]):
        x[k] *= scale


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(softmax_block, out.dtype.type(1)), 1, threads)


def softmax(out: np.ndarray, x: np.ndarray) -> None:
    """Softmax of each row: out_k = e^(x_k) / sum_j e^(x_j), shifted by the row's maximum so that no x overflows.

    out  (B, K)  written; may be x; rows sum to 1
    x    (B, K)  read

    Error: (K + 8) eps relative to each element, and the rounding of x_k - max(x), which is relative to |x_k - max(x)|.
    Source: section 3 of the notes, output layer (2).
    """
    run_forward(_forward, out, x, TRANSCENDENTAL_COST)
