"""The exponential linear unit. Its derivative comes from its output: ELU' = 1, or y + 1 where y < 0."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ...compiler.writer import widest_vectors
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import expm1
from ..primitives import where
from .run import backward, forward, run_backward, run_forward


@shared
def elu_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = x, or e^x - 1 where x < 0, in place; slopes to `other`, if it is not 0."""
    widest_vectors()
    zero = one - one
    for i in range(rows):
        y = row_at(target, i, columns, one)
        for j in range(columns):
            y[j] = where(y[j] < zero, expm1(where(y[j] < zero, y[j], zero)), y[j])
    if other.address != 0:
        for i in range(rows):
            y, slope = row_at(target, i, columns, one), row_at(other, i, columns, one)
            for j in range(columns):
                slope[j] = where(y[j] < zero, y[j] + one, one)


@shared
def elu_derivative(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Multiply gradients by 1, or y + 1 where y < 0, with the outputs y in `other`."""
    zero = one - one
    for i in range(rows):
        grad, y = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            grad[j] = where(y[j] < zero, grad[j] * (y[j] + one), grad[j])


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(elu_block, out.dtype.type(1)), 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, out: Matrix2D, threads: int) -> int:
    return backward(grad_x, grad_out, out, 0, address_in_code(elu_derivative, grad_x.dtype.type(1)), threads)


def elu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Exponential linear unit: out = x, or e^x - 1 where x < 0.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value.
    Source: Clevert et al. 2016, with alpha 1.
    """
    run_forward(_forward, out, x, TRANSCENDENTAL_COST)


def elu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of ELU: grad_x = grad_out, or grad_out * (out + 1) where out < 0, as e^x = (e^x - 1) + 1.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    run_backward(_backward, grad_x, grad_out, out, 1)
