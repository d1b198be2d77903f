"""Gradient descent with momentum: v <- beta v - eta g, then w <- w + v.

With Nesterov's momentum w <- w + beta v - eta g, as if the gradient were taken ahead, at w + beta v.
"""

import numpy as np

from ...compiler.decorators import address_in_code, entry, shared
from ...compiler.memory import array_at, new_record
from ...compiler.signature import Matrix2D, Real, WrittenMatrix
from ..primitives import mul_add
from ..settings import RECORD, settings_at
from .contract import BETA1, FACTORS, LEARNING_RATE, Rule, write_factors
from .run import Arrays, as_rows, threads_to_update, update_arrays


@shared
def momentum_factors(factors: int, settings: int, rate: float, l2: float, step: int, one: Real) -> None:
    """The factors of a step with either momentum, see `call_factors`."""
    write_factors(factors, settings_at(settings), rate, l2, 1.0, one)


@shared
def momentum_block(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """The update of `count` parameters and velocities, see `call_update`."""
    factor = array_at(factors, FACTORS, one)
    eta, beta = factor[LEARNING_RATE], factor[BETA1]
    w, v, g = array_at(param, count, one), array_at(first, count, one), array_at(grad, count, one)
    for j in range(count):
        v[j] = mul_add(beta, v[j], -eta * g[j])
        w[j] += v[j]


@shared
def nesterov_block(param: int, first: int, second: int, grad: int, count: int, factors: int, one: Real) -> None:
    """The update of `count` parameters and velocities, see `call_update`."""
    factor = array_at(factors, FACTORS, one)
    eta, beta = factor[LEARNING_RATE], factor[BETA1]
    w, v, g = array_at(param, count, one), array_at(first, count, one), array_at(grad, count, one)
    for j in range(count):
        v[j] = mul_add(beta, v[j], -eta * g[j])
        w[j] += mul_add(beta, v[j], -eta * g[j])


@entry
def _update(
    param: WrittenMatrix, velocity: WrittenMatrix, grad: Matrix2D, learning_rate: float, momentum: float, threads: int
) -> int:
    one, setting = param.dtype.type(1), new_record(RECORD)
    setting.beta1 = momentum
    rule = Rule(address_in_code(momentum_factors, one), address_in_code(momentum_block, one))
    return update_arrays(Arrays(param, velocity, param, grad), rule, setting, learning_rate, 1, threads)


@entry
def _update_nesterov(
    param: WrittenMatrix, velocity: WrittenMatrix, grad: Matrix2D, learning_rate: float, momentum: float, threads: int
) -> int:
    one, setting = param.dtype.type(1), new_record(RECORD)
    setting.beta1 = momentum
    rule = Rule(address_in_code(momentum_factors, one), address_in_code(nesterov_block, one))
    return update_arrays(Arrays(param, velocity, param, grad), rule, setting, learning_rate, 1, threads)


def momentum_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """One step with momentum: v <- beta v - eta g, w <- w + v.

    param, velocity  (I, O) or (O,)  read and written
    grad             as param        read

    Source: Polyak 1964.
    """
    _update(as_rows(param), as_rows(velocity), as_rows(grad), learning_rate, momentum, threads_to_update(param))


def nesterov_update(
    param: np.ndarray, velocity: np.ndarray, grad: np.ndarray, learning_rate: float, momentum: float
) -> None:
    """One step with Nesterov's momentum: v <- beta v - eta g, w <- w + beta v - eta g.

    param, velocity  (I, O) or (O,)  read and written
    grad             as param        read

    Source: Nesterov 1983, in the form of Bengio et al. 2013.
    """
    _update_nesterov(
        as_rows(param), as_rows(velocity), as_rows(grad), learning_rate, momentum, threads_to_update(param)
    )  # fmt: skip
