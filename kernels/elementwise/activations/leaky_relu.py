"""Leaky ReLU. Its derivative comes from its output: 1 where y > 0, else LEAK."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, as_type_of, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ..primitives import where
from .run import backward, forward, run_backward, run_forward

# The slope below 0.
LEAK = 0.01


@shared
def leaky_relu_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = x, or LEAK x where x < 0, in place; slopes to `other`, if it is not 0."""
    zero, leak = one - one, as_type_of(LEAK, one)
    for i in range(rows):
        y = row_at(target, i, columns, one)
        for j in range(columns):
            y[j] = where(y[j] < zero, leak * y[j], y[j])
    if other.address != 0:
        for i in range(rows):
            y, slope = row_at(target, i, columns, one), row_at(other, i, columns, one)
            for j in range(columns):
                slope[j] = where(y[j] <= zero, leak, one)


@shared
def leaky_relu_derivative(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Multiply gradients by LEAK where y <= 0, with the outputs y in `other`."""
    zero, leak = one - one, as_type_of(LEAK, one)
    for i in range(rows):
        grad, y = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            grad[j] = where(y[j] <= zero, leak * grad[j], grad[j])


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(leaky_relu_block, out.dtype.type(1)), 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, out: Matrix2D, threads: int) -> int:
    return backward(grad_x, grad_out, out, 0, address_in_code(leaky_relu_derivative, grad_x.dtype.type(1)), threads)


def leaky_relu_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Leaky ReLU: out = x, or x / 100 where x < 0.

    out  (B, O)  written; may be x
    x    (B, O)  read; NaN stays NaN

    Source: Maas et al. 2013.
    """
    run_forward(_forward, out, x, 1)


def leaky_relu_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of leaky ReLU: grad_x = grad_out where out > 0, else grad_out / 100; so is the derivative at 0.

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read; passed on where out is NaN
    out       (B, O)  read
    """
    run_backward(_backward, grad_x, grad_out, out, 1)
