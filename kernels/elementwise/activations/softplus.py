"""Softplus. Its slope is stored: softplus'(x) = sigmoid(x)."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ...compiler.writer import widest_vectors
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import softplus, softplus_and_slope
from .run import backward, forward, run_backward, run_forward
from .slopes import multiply_by_slopes


@shared
def softplus_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = log(1 + e^x), in place; slopes to `other`, if it is not 0."""
    widest_vectors()
    for i in range(rows):
        y = row_at(target, i, columns, one)
        if other.address == 0:
            for j in range(columns):
                y[j] = softplus(y[j])
        else:
            slope = row_at(other, i, columns, one)
            for j in range(columns):
                y[j], slope[j] = softplus_and_slope(y[j])


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(softplus_block, out.dtype.type(1)), 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, x: Matrix2D, threads: int) -> int:
    one = grad_x.dtype.type(1)
    activate, differentiate = address_in_code(softplus_block, one), address_in_code(multiply_by_slopes, one)
    return backward(grad_x, grad_out, x, activate, differentiate, threads)


def softplus_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Softplus: out = log(1 + e^x).

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value; results below the smallest normal number may be 0.
    Source: Dugas et al. 2001.
    """
    run_forward(_forward, out, x, TRANSCENDENTAL_COST)


def softplus_backward(grad_x: np.ndarray, grad_out: np.ndarray, x: np.ndarray) -> None:
    """Gradient of softplus: grad_x = grad_out * sigmoid(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    x         (B, O)  read: the input
    """
    run_backward(_backward, grad_x, grad_out, x, TRANSCENDENTAL_COST)
