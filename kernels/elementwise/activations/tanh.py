"""The hyperbolic tangent. Its derivative comes from its output: tanh' = 1 - y^2 = (1 - y) (1 + y)."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import Rows, itemsize, row_at
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ...tuning import TRANSCENDENTAL_COST
from ..elementary import tanh
from ..tanh_table import HAS_TABLE, tanh_by_table
from .run import backward, forward, run_backward, run_forward


@shared
def tanh_block(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """y = tanh(x), in place; slopes to `other`, if it is not 0."""
    if HAS_TABLE and itemsize(one) == 4:
        tanh_by_table(target, rows, columns, one)
    else:
        for i in range(rows):
            y = row_at(target, i, columns, one)
            for j in range(columns):
                y[j] = tanh(y[j])
    if other.address != 0:
        for i in range(rows):
            y, slope = row_at(target, i, columns, one), row_at(other, i, columns, one)
            for j in range(columns):
                slope[j] = (one - y[j]) * (one + y[j])


@shared
def tanh_derivative(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Multiply gradients by (1 - y) (1 + y), with the outputs y in `other`."""
    for i in range(rows):
        grad, y = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            grad[j] = grad[j] * ((one - y[j]) * (one + y[j]))


@entry
def _forward(out: WrittenMatrix, x: Matrix2D, threads: int) -> None:
    forward(out, x, address_in_code(tanh_block, out.dtype.type(1)), 0, threads)


@entry
def _backward(grad_x: WrittenMatrix, grad_out: Matrix2D, out: Matrix2D, threads: int) -> int:
    return backward(grad_x, grad_out, out, 0, address_in_code(tanh_derivative, grad_x.dtype.type(1)), threads)


def tanh_forward(out: np.ndarray, x: np.ndarray) -> None:
    """Hyperbolic tangent: out = tanh(x).

    out  (B, O)  written; may be x
    x    (B, O)  read

    Error: 4 ulp of the exact value.
    Source: section 2 of the notes, definition (2).
    """
    run_forward(_forward, out, x, TRANSCENDENTAL_COST)


def tanh_backward(grad_x: np.ndarray, grad_out: np.ndarray, out: np.ndarray) -> None:
    """Gradient of tanh: grad_x = grad_out * (1 - out) * (1 + out), with out = tanh(x).

    grad_x    (B, O)  written; may be grad_out
    grad_out  (B, O)  read
    out       (B, O)  read
    """
    run_backward(_backward, grad_x, grad_out, out, 1)
