"""The rectified linear unit. Its derivative comes from its output: ReLU' = 1 where y > 0, else 0."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ..primitives import where
from .run import backward, forward, run_backward, run_forward


@shared
def relu_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = max(x, 0), in place; slopes to `other`, if it is not 0."""
    zero = one - one
    for i in range(rows):
        y = row_at(target, i, columns, one)
        for j in range(columns):
            y[j] = where(y[j] < zero, zero, y[j])
    if other.address != 0:
        for i in range(rows):
            y, slope = row_at(target, i, columns, one), row_at(other, i, columns, one)
            for j in range(columns):
                slope[j] = where(y[j] <= zero, zero, one)


@shared
def relu_derivative(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Set gradients to 0 where y <= 0, with the outputs y in `other`."""
    zero = one - one
    for i in range(rows):
        grad, y = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            grad[j] = where(y[j] <= zero, zero, grad[j])


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(relu_block, out.dtype.type(1)), 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, out: Matrix2D, threads: int) -> int:
    return backward(grad_x, grad_out, out, 0, address_in_code(relu_derivative, grad_x.dtype.type(1)), threads)


def relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Rectified linear unit: out = max(x, 0).

    out  (B, O)  written; may be x
    x    (B, O)  read; NaN stays NaN

    Source: section 2 of the notes, definition (3).
    """
    run_forward(_forward, out, x, 1)


def relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of ReLU: grad_x = grad_out where out > 0, else 0; the derivative at 0 is taken as 0.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read; passed on where out is NaN
    out       (B, O)  read

    Source: section 5 of the notes, whose code overwrites the caller's grad_out: here that is the caller's choice.
    """
    run_backward(_backward, grad_x, grad_out, out, 1)
