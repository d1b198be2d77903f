"""Gradient descent: w <- w - eta g."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import array_at, new_record
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ..primitives import mul_add
from ..settings import RECORD, settings_at
from .contract import FACTORS, LEARNING_RATE, Rule, write_factors
from .run import Arrays, as_rows, threads_to_update, update_arrays

# Here and in the other rules mul_add decides which product is fused with which sum. Left to the compiler, the vector
# loop and its scalar remainder could differ, and bits with the number of threads.


@shared
def sgd_factors(factors: int, settings: int, rate: float, l2: float, step: int, one: Real) -> None:
    """The factors of a step, see `call_factors`."""
    write_factors(factors, settings_at(settings), rate, l2, 1.0 - rate * l2, one)


@shared
def sgd_block(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """The update of `count` parameters, see `call_update`."""
    eta = array_at(factors, FACTORS, one)[LEARNING_RATE]
    w, g = array_at(param, count, one), array_at(grad, count, one)
    for j in range(count):
        w[j] = mul_add(-eta, g[j], w[j])


@entry
def _update(param: WrittenMatrix, grad: Matrix2D, learning_rate: float, threads: int) -> int:
    one = param.dtype.type(1)
    rule = Rule(address_in_code(sgd_factors, one), address_in_code(sgd_block, one))
    return update_arrays(Arrays(param, param, param, grad), rule, new_record(RECORD), learning_rate, 1, threads)


def sgd_update(param: np.ndarray, grad: np.ndarray, learning_rate: float) -> None:
    """One step of gradient descent: w <- w - eta g.

    param  (I, O) or (O,)  read and written
    grad   as param        read

    Error: 1 ulp of the exact result, or 1 ulp of learning_rate * grad where the two cancel.
    Source: section 4 of the notes, step (4) of gradient descent.
    """
    _update(as_rows(param), as_rows(grad), learning_rate, threads_to_update(param))
