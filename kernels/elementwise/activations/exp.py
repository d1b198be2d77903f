"""The exponential function, for output layers whose loss is that of its logarithm: forward only, as softmax is."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ...compiler.writer import widest_vectors
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import exp
from .run import forward, run_forward


@shared
def exp_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = e^x, in place. `other` is not used; it is there for the prototype."""
    widest_vectors()
    for i in range(rows):
        y = row_at(target, i, columns, one)
        for j in range(columns):
            y[j] = exp(y[j])


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(exp_block, out.dtype.type(1)), 0, threads)


def exp_forward(out: np.ndarray, x: np.ndarray) -> None:
    """The exponential function: out = e^x.

    out  (B, O)  written; may be x; infinite where e^x is above the largest number
    x    (B, O)  read

    Error: 2 ulp of the exact value; results below the smallest normal number are 0.
    Source: McCullagh and Nelder 1989, section 2.2: the inverse of the logarithm as the link of counts.
    """
    run_forward(_forward, out, x, TRANSCENDENTAL_COST)
