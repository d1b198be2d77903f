"""The derivative of activations whose slopes the forward pass stores: softplus, SiLU, GELU, and a user's.

Their derivative needs the input, which is overwritten by the output, and shares most of its arithmetic with the
activation itself.
"""

from ...compiler.decorators import shared
from ...compiler.memory import Rows, row_at
from ...compiler.signature import Real


@shared
def multiply_by_slopes(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """Multiply a block of gradients by a block of slopes."""
    for i in range(rows):
        grad, slope = row_at(target, i, columns, one), row_at(other, i, columns, one)
        for j in range(columns):
            grad[j] *= slope[j]


@shared
def unit_slopes(target: Rows, other: Rows, rows: int, columns: int, one: Real) -> None:
    """The identity where its slopes are wanted, for dropout to multiply: leave the block alone, and write ones."""
    for i in range(rows):
        slope = row_at(other, i, columns, one)
        for j in range(columns):
            slope[j] = one
