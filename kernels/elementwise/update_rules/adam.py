"""Adam and, with decoupled weight decay, AdamW. At step t, from 1:

    m <- beta1 m + (1 - beta1) g,  v <- beta2 v + (1 - beta2) g^2
    w <- (1 - eta decay) w - eta (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

A common variant, the book's, puts eps under the correction of v: ... / ((sqrt v + eps) / sqrt(1 - beta2^t)).
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, inner, shared
from ...compiler.memory import new_record
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ..settings import RECORD, settings_at
from .adaptive import update_by_both_means
from .contract import EPSILON, LEARNING_RATE, Rule, write_factors
from .run import Arrays, as_rows, threads_to_update, update_arrays


@inner
def corrected_factors(factors, setting, rate, l2, step, shrink, one):
    """Write the factors of a step, with the corrections c1 = 1 - beta1^t and c2 = 1 - beta2^t in eta and eps:

    eta (m / c1) / (sqrt(v / c2) + eps) = (eta sqrt c2 / c1) m / (sqrt v + eps sqrt c2)
    """
    factor = write_factors(factors, setting, rate, l2, shrink, one)
    correction = np.sqrt(1.0 - setting.beta2**step)
    factor[LEARNING_RATE] = rate / (1.0 - setting.beta1**step) * correction
    if setting.book == 0:
        factor[EPSILON] = setting.epsilon * correction
        if factor[EPSILON] == 0:  # rounded to 0
            factor[EPSILON] = setting.epsilon


@shared
def adam_factors(factors: int, settings: int, rate: float, l2: float, step: int, one: Real) -> None:
    """The factors of a step of Adam, see `call_factors`."""
    corrected_factors(factors, settings_at(settings), rate, l2, step, 1.0, one)


@shared
def adamw_factors(factors: int, settings: int, rate: float, l2: float, step: int, one: Real) -> None:
    """The factors of a step of AdamW, see `call_factors`."""
    setting = settings_at(settings)
    corrected_factors(factors, setting, rate, l2, step, 1.0 - rate * setting.decay, one)


@shared
def adam_block(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """The update of `count` parameters, means and squares, see `call_update`: also that of AdamW."""
    update_by_both_means(param, first, second, grad, count, factors, one)


@entry
def _update(
    param: WrittenMatrix, mean: WrittenMatrix, square: WrittenMatrix, grad: Matrix2D, learning_rate: float,
    beta1: float, beta2: float, epsilon: float, decay: float, step: int, threads: int,
) -> int:  # fmt: skip
    one, setting = param.dtype.type(1), new_record(RECORD)
    setting.beta1, setting.beta2, setting.epsilon, setting.decay = beta1, beta2, epsilon, decay
    # AdamW with decay 0 is Adam: one compiled function serves both
    rule = Rule(address_in_code(adamw_factors, one), address_in_code(adam_block, one))
    return update_arrays(Arrays(param, mean, square, grad), rule, setting, learning_rate, step, threads)


def adam_update(
    param: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    step: int,
) -> None:
    """One step of Adam, number `step` from 1; see the equations at the top of this file.

    param, mean, square  (I, O) or (O,)  read and written
    grad                 as param        read

    Source: Kingma and Ba 2015, algorithm 1, epsilon outside the root of the corrected square.
    """
    _update(
        as_rows(param), as_rows(mean), as_rows(square), as_rows(grad), learning_rate,
        beta1, beta2, epsilon, 0.0, step, threads_to_update(param),
    )  # fmt: skip


def adamw_update(
    param: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    grad: np.ndarray,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    decay: float,
    step: int,
) -> None:
    """One step of Adam with decoupled weight decay: w <- (1 - eta decay) w, then as `adam_update`.

    param, mean, square  (I, O) or (O,)  read and written
    grad                 as param        read

    Source: Loshchilov and Hutter 2019.
    """
    _update(
        as_rows(param), as_rows(mean), as_rows(square), as_rows(grad), learning_rate,
        beta1, beta2, epsilon, decay, step, threads_to_update(param),
    )  # fmt: skip
