"""AdaGrad: h <- h + g^2, then w <- w - eta g / (sqrt h + eps)."""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import new_record
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ..settings import RECORD, settings_at
from .adaptive import update_by_sum
from .contract import Rule, write_factors
from .run import Arrays, as_rows, threads_to_update, update_arrays


@shared
def adagrad_factors(factors: int, settings: int, rate: float, l2: float, step: int, one: Real) -> None:
    """The factors of a step, see `call_factors`."""
    write_factors(factors, settings_at(settings), rate, l2, 1.0, one)


@shared
def adagrad_block(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """The update of `count` parameters and squares, see `call_update`."""
    update_by_sum(param, first, second, grad, count, factors, one)


@entry
def _update(
    param: WrittenMatrix, squares: WrittenMatrix, grad: Matrix2D, learning_rate: float, epsilon: float, threads: int
) -> int:
    one, setting = param.dtype.type(1), new_record(RECORD)
    setting.epsilon = epsilon
    rule = Rule(address_in_code(adagrad_factors, one), address_in_code(adagrad_block, one))
    return update_arrays(Arrays(param, squares, param, grad), rule, setting, learning_rate, 1, threads)


def adagrad_update(
    param: np.ndarray, squares: np.ndarray, grad: np.ndarray, learning_rate: float, epsilon: float
) -> None:
    """One step of AdaGrad: h <- h + g^2, w <- w - eta g / (sqrt h + eps).

    param, squares  (I, O) or (O,)  read and written
    grad            as param        read

    Source: Duchi et al. 2011.
    """
    _update(as_rows(param), as_rows(squares), as_rows(grad), learning_rate, epsilon, threads_to_update(param))
