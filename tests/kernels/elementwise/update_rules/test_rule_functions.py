"""The functions of update rules that training calls by address: factors of a step, updates of vectors, the penalty."""

import numba
import numpy as np
import pytest
from helpers import DTYPES, TOLERANCES, normal, unchanged

from fastfnn import kernels
from fastfnn.kernels.elementwise.settings import SETTINGS
from fastfnn.kernels.elementwise.update_rules.contract import (
    BETA1,
    BETA2,
    EPSILON,
    FACTORS,
    L2,
    LEARNING_RATE,
    ONE_MINUS_BETA1,
    ONE_MINUS_BETA2,
    SHRINK,
    add_penalty,
    call_factors,
    call_update,
)
from fastfnn.kernels.elementwise.update_rules.table import OPTIMIZERS, SGD, rule_of

RATE, BETAS, SMALL, DECAY, PENALTY, STEP = 0.1, (0.9, 0.99), 1e-7, 0.25, 0.5, 3
# What the public kernel of each rule takes behind the learning rate.
ARGUMENTS = {
    "sgd": (),
    "momentum": BETAS[:1],
    "nesterov": BETAS[:1],
    "adagrad": (SMALL,),
    "rmsprop": (BETAS[0], SMALL),
    "adam": (*BETAS, SMALL, STEP),
    "adamw": (*BETAS, SMALL, DECAY, STEP),
}
STATES = {"sgd": 0, "adam": 2, "adamw": 2}
every_rule = pytest.mark.parametrize("name", OPTIMIZERS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@numba.njit
def compiled_factors(function, factors, settings, rate, l2, step, one):
    call_factors(function, factors, settings, rate, l2, step, one)


@numba.njit
def compiled_update(function, param, first, second, grad, count, factors, one):
    call_update(function, param, first, second, grad, count, factors, one)


@numba.njit
def compiled_penalty(grad, param, count, factors, one):
    add_penalty(grad, param, count, factors, one)


def factors_of(name, dtype, l2=PENALTY, **settings):
    vector = np.array([settings.get(setting, 0.0) for setting in SETTINGS])
    factors = np.full(FACTORS + 1, np.nan, dtype)
    rule = rule_of(OPTIMIZERS.index(name), dtype)
    compiled_factors(rule.factors, factors.ctypes.data, vector.ctypes.data, RATE, l2, STEP, dtype.type(1))
    assert np.all(np.isfinite(factors[:-1])) and np.isnan(factors[-1])
    return factors[:-1]


def settings_of(**more):
    return {"beta1": BETAS[0], "beta2": BETAS[1], "epsilon": SMALL, "decay": DECAY} | more


@every_rule
@every_dtype
def test_the_factors_of_a_rule(dtype, name):
    got = factors_of(name, dtype, **settings_of())
    adam = name in ("adam", "adamw")
    correction = np.sqrt(1 - BETAS[1] ** STEP) if adam else 1.0
    want = np.empty(FACTORS)
    want[LEARNING_RATE] = RATE / (1 - BETAS[0] ** STEP) * correction if adam else RATE
    want[[BETA1, BETA2]], want[[ONE_MINUS_BETA1, ONE_MINUS_BETA2]] = BETAS, 1 - np.array(BETAS)
    want[EPSILON], want[L2] = SMALL * correction, PENALTY
    want[SHRINK] = 1 - RATE * {"sgd": PENALTY, "adamw": DECAY}.get(name, 0.0)
    of_powers = 1e-13 if adam else 0.0  # 1 - beta^t is computed in float64, where it cancels
    np.testing.assert_allclose(got, want, rtol=TOLERANCES[dtype].eps / 2 + of_powers)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@every_dtype
def test_the_epsilon_of_the_book_is_not_corrected_and_none_is_rounded_to_0(dtype, name):
    assert factors_of(name, dtype, **settings_of(book=1.0))[EPSILON] == dtype.type(SMALL)
    smallest = float(np.finfo(dtype).smallest_subnormal)
    assert factors_of(name, dtype, **settings_of(epsilon=smallest))[EPSILON] == smallest


@every_rule
@every_dtype
def test_an_update_of_a_vector_has_the_bits_of_the_public_kernel(dtype, name):
    rng = np.random.default_rng(1)
    param, *state = (np.abs(normal(rng, 50, dtype)) for _ in range(1 + STATES.get(name, 1)))
    grad, factors = normal(rng, 50, dtype), factors_of(name, dtype, 0.0, **settings_of())
    want = [values.copy() for values in (param, *state)]
    getattr(kernels, f"{name}_update")(want[0], *want[1:], grad, RATE, *ARGUMENTS[name])
    got = [values.copy() for values in (param, *state)]
    addresses = [values.ctypes.data for values in got] + [0, 0]
    with unchanged(grad, factors):
        compiled_update(
            rule_of(OPTIMIZERS.index(name), dtype).update, *addresses[:3], grad.ctypes.data, 49, factors.ctypes.data,
            dtype.type(1),
        )  # fmt: skip
    for values, wanted, before in zip(got, want, (param, *state), strict=True):
        assert values[:-1].tobytes() == wanted[:-1].tobytes()
        assert values[-1] == before[-1]  # behind the vector


@every_dtype
def test_the_penalty_is_added_to_the_gradient(dtype):
    rng = np.random.default_rng(2)
    for penalty in (0.5, 0.0):
        factors = factors_of("momentum", dtype, penalty, **settings_of())
        param, grad = normal(rng, 33, dtype), normal(rng, 33, dtype)
        want = grad + dtype.type(penalty) * param  # the product is exact
        want[-1] = grad[-1]
        with unchanged(param, factors):
            compiled_penalty(grad.ctypes.data, param.ctypes.data, 32, factors.ctypes.data, dtype.type(1))
        np.testing.assert_array_equal(grad, want)


def test_gradient_descent_is_the_first_rule():
    assert OPTIMIZERS[SGD] == "sgd" and SGD == 0
