"""The logistic sigmoid. Its derivative comes from its output: sigmoid' = y (1 - y)."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ...compiler.writer import widest_vectors
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import sigmoid
from .run import backward, forward, run_backward, run_forward


@shared
def sigmoid_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = sigmoid(x), in place; slopes to `other`, if it is not 0."""
    widest_vectors()
    for i in range(rows):
        y = row_at(target, i, columns, one)
        for j in range(columns):
            y[j] = sigmoid(y[j])
    if other.address != 0:
        for i in range(rows):
            y, slope = row_at(target, i, columns, one), row_at(other, i, columns, one)
            for j in range(columns):
                slope[j] = y[j] * (one - y[j])


@shared
def sigmoid_derivative(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Multiply gradients by y (1 - y), with the outputs y in `other`."""
    for i in range(rows):
        grad, y = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            grad[j] = grad[j] * (y[j] * (one - y[j]))


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(sigmoid_block, out.dtype.type(1)), 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, out: Matrix2D, threads: int) -> int:
    return backward(grad_x, grad_out, out, 0, address_in_code(sigmoid_derivative, grad_x.dtype.type(1)), threads)


def sigmoid_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Logistic sigmoid: out = 1 / (1 + e^-x), computed from e^-|x| so that no x overflows.

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value; results below the smallest normal number may be 0.
    Source: section 2 of the notes, definition (1). Their code in example 2.1 reads 1/1+exp(-x), a slip.
    """
    run_forward(_forward, out, x, TRANSCENDENTAL_COST)


def sigmoid_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of the sigmoid: grad_x = grad_out * out * (1 - out), with out = sigmoid(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    run_backward(_backward, grad_x, grad_out, out, 1)
