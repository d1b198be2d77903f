"""The update rules against exact arithmetic and the reference."""

import decimal
import itertools
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from helpers import (
    DTYPES,
    ELEMENTWISE_EPS,
    LAYOUTS,
    TOLERANCES,
    arrange,
    assert_close,
    dtypes,
    framed,
    layouts,
    normal,
    seeds,
    sizes,
    unchanged,
    up,
)
from hypothesis import given
from hypothesis import strategies as st
from networks import RULE, gradient, problem_of, train

from fastfnn import kernels, reference
from fastfnn.kernels.elementwise.update_rules import run

RATES = (0.1, 1.0, 3e-4)


class Rule(NamedTuple):
    states: int  # arrays of state; a rule with two of them is told the number of the step
    settings: tuple  # some of each kind, the usual ones first; the learning rate is the first of each


RULES = {
    "sgd": Rule(0, ((0.1,), (0.0,), (3e-4,))),
    "momentum": Rule(1, ((0.1, 0.9), (0.5, 0.0), (0.01, 0.999))),
    "nesterov": Rule(1, ((0.1, 0.9), (0.5, 0.0), (0.01, 0.999))),
    "adagrad": Rule(1, ((0.1, 1e-7), (3.0, 0.5))),
    "rmsprop": Rule(1, ((0.1, 0.99, 1e-7), (0.3, 0.0, 0.25), (0.01, 0.5, 1e-3))),
    "adam": Rule(2, ((0.1, 0.9, 0.999, 1e-8), (0.3, 0.0, 0.0, 0.25), (0.001, 0.99, 0.5, 1e-3))),
    "adamw": Rule(2, ((0.1, 0.9, 0.999, 1e-8, 0.01), (0.3, 0.0, 0.5, 0.25, 1.0), (0.001, 0.99, 0.0, 1e-3, 0.0))),
}
ADAPTIVE = ("adagrad", "rmsprop", "adam", "adamw")  # their last state is a mean or sum of squares: not negative

# The relative error of a step, where nothing cancels: the settings, beta v + (1 - beta) g^2, its root, the quotient and
# the new parameter are a dozen roundings of half an eps each; those of the state come in again at each later step.
STEP_EPS = 2 * ELEMENTWISE_EPS

shapes = st.one_of(st.tuples(sizes, sizes), st.tuples(sizes))
rules = st.sampled_from([(name, settings) for name, rule in RULES.items() for settings in rule.settings])
every_rule = pytest.mark.parametrize("name", RULES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def update(module, name, param, state, grad, settings, step=1):
    number = (step,) if RULES[name].states == 2 else ()
    getattr(module, f"{name}_update")(param, *state, grad, *settings, *number)


def random_state(rng, name, shape, dtype):
    """State as earlier steps may have left it."""
    state = [normal(rng, shape, dtype) for _ in range(RULES[name].states)]
    if name in ADAPTIVE:
        state[-1] = np.abs(state[-1])
    return state


def zero_state(name, param):
    return [np.zeros_like(param) for _ in range(RULES[name].states)]


def magnitudes(name, param, state):
    """What the twin starts from to give the size of what is summed: with gradients |g|, no two terms cancel."""
    signs = [1 if name in ADAPTIVE else -1] * len(state)  # a velocity is made of -g, and so is a change of a parameter
    return [-np.abs(param), *[sign * np.abs(values) for sign, values in zip(signs, state, strict=True)]]


def updated(name, param, state, grad, settings=None, step=1):
    """The bytes of parameter and state after a step of the kernel on copies."""
    arrays = [array.copy() for array in (param, *state)]
    update(kernels, name, arrays[0], arrays[1:], grad, settings or RULES[name].settings[0], step)
    return [array.tobytes() for array in arrays]


# All rules


@given(rules, shapes, dtypes, layouts(4), st.sampled_from([1, 2, 10, 100_000]), st.integers(1, 4), seeds)
def test_steps_match_the_reference(rule, shape, dtype, layout, first_step, steps, seed):
    name, settings = rule
    rng = np.random.default_rng(seed)
    param, *state = (
        arrange(values, order)
        for values, order in zip(
            (normal(rng, shape, dtype), *random_state(rng, name, shape, dtype)), layout, strict=False
        )
    )
    want, *want_state = up(param, *state)
    size, *size_state = magnitudes(name, want, want_state)
    for done in range(steps):
        # gradients of very different size: where they are small, epsilon counts
        grad = arrange(normal(rng, shape, dtype) * (10.0 ** rng.integers(-8, 3, shape)).astype(dtype), layout[3])
        (want_grad,) = up(grad)
        update(reference, name, want, want_state, want_grad, settings, first_step + done)
        update(reference, name, size, size_state, np.abs(want_grad), settings, first_step + done)
        with unchanged(grad):
            update(kernels, name, param, state, grad, settings, first_step + done)
        bound = STEP_EPS * (done + 1) * TOLERANCES[dtype].eps
        assert_close(param, want, bound * np.abs(size))
        for got, wanted, largest in zip(state, want_state, size_state, strict=True):
            assert_close(got, wanted, bound * np.abs(largest))


@given(rules, sizes, sizes, dtypes, seeds)
def test_nothing_else_is_written(rule, rows, columns, dtype, seed):
    name, settings = rule
    rng = np.random.default_rng(seed)
    grad = normal(rng, (rows, columns), dtype)
    for values in (grad, grad[:, 0] if columns else np.zeros(rows, dtype)):
        count = 1 + RULES[name].states
        with framed(*[values.shape] * count, dtype=dtype) as (param, *state):
            for array in (param, *state):
                array[...] = 1
            update(kernels, name, param, state, values, settings)


@every_rule
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bits_do_not_depend_on_the_memory_layout(layout, name):
    # nothing, one element, less than a vector, one more than some vectors of each width, the columns of the notes
    for size, dtype in itertools.product([0, 1, 7, 17, 50], DTYPES):
        rng = np.random.default_rng(size)
        shape = (3, size)
        param, grad, state = normal(rng, shape, dtype), normal(rng, shape, dtype), random_state(rng, name, shape, dtype)
        want = updated(name, param, state, grad)
        got = [arrange(values, layout) for values in (param, *state)]
        update(kernels, name, got[0], got[1:], arrange(grad, layout), RULES[name].settings[0])
        assert [array.tobytes() for array in got] == want
        for which in range(len(got)):  # one array in this layout, the others contiguous
            got = [values.copy() for values in (param, *state)]
            got[which] = arrange(got[which], layout)
            update(kernels, name, got[0], got[1:], grad, RULES[name].settings[0])
            assert [array.tobytes() for array in got] == want


@every_rule
@every_dtype
def test_bits_do_not_depend_on_the_position_in_the_array(dtype, name):
    # 33 elements are several vectors and one over; alone, each is that one
    rng = np.random.default_rng(0)
    shape = (4, 33)
    param, grad, state = normal(rng, shape, dtype), normal(rng, shape, dtype), random_state(rng, name, shape, dtype)
    whole = updated(name, param, state, grad, step=3)
    rows = [updated(name, param[i], [s[i] for s in state], grad[i], step=3) for i in range(4)]
    assert [b"".join(parts) for parts in zip(*rows, strict=True)] == whole
    elements = [
        updated(name, param[i, j : j + 1], [s[i, j : j + 1] for s in state], grad[i, j : j + 1], step=3)
        for i, j in np.ndindex(shape)
    ]
    assert [b"".join(parts) for parts in zip(*elements, strict=True)] == whole


@every_rule
@every_dtype
def test_bits_do_not_depend_on_the_number_of_threads(monkeypatch, dtype, name):
    for shape in ((23, 37), (1, 50), (50, 1), (50,)):
        rng = np.random.default_rng(1)
        param, grad, state = normal(rng, shape, dtype), normal(rng, shape, dtype), random_state(rng, name, shape, dtype)
        results = []
        for count in (1, 2, 3, 7):
            monkeypatch.setattr(run, "threads_for", lambda operations, count=count: count)
            results.append(updated(name, param, state, grad))
        assert all(result == results[0] for result in results)


@pytest.mark.jit
@every_rule
@every_dtype
def test_as_many_elements_as_are_worth_threads(dtype, name):
    rng = np.random.default_rng(2)
    shape = (203, 301)
    param, grad, state = normal(rng, shape, dtype), normal(rng, shape, dtype), random_state(rng, name, shape, dtype)
    whole = updated(name, param, state, grad)
    rows = [updated(name, param[i], [s[i] for s in state], grad[i]) for i in range(shape[0])]
    assert [b"".join(parts) for parts in zip(*rows, strict=True)] == whole


@every_rule
@every_dtype
def test_with_rate_zero_parameters_do_not_change(dtype, name):
    rng = np.random.default_rng(3)
    param, grad = normal(rng, (9, 17), dtype), normal(rng, (9, 17), dtype)
    got, settings = param.copy(), (0.0, *RULES[name].settings[0][1:])
    for step in (1, 2, 3):
        update(kernels, name, got, zero_state(name, param), grad, settings, step)
    np.testing.assert_array_equal(got, param)


@every_rule
@every_dtype
def test_without_a_gradient_only_the_decay_changes_parameters(dtype, name):
    param = normal(np.random.default_rng(4), (9, 17), dtype)
    got, state = param.copy(), zero_state(name, param)
    update(kernels, name, got, state, np.zeros_like(param), RULES[name].settings[0])
    assert not np.any(state)
    shrink = 1 - 0.1 * 0.01 if name == "adamw" else 1
    np.testing.assert_array_equal(got, dtype.type(shrink) * param)


@every_rule
@every_dtype
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_propagates(poison, dtype, name):
    shape = (9, 17)
    param, grad = np.ones(shape, dtype), np.ones(shape, dtype)
    param[2, 3], grad[8, 16], param[5, 5], grad[5, 5] = poison, poison, poison, poison
    state = [np.ones(shape, dtype) for _ in range(RULES[name].states)]
    for number, array in enumerate(state):
        array[number, 0] = poison
    want, *want_state = up(param, *state)
    with np.errstate(invalid="ignore"):
        update(reference, name, want, want_state, *up(grad), RULES[name].settings[0])
        update(kernels, name, param, state, grad, RULES[name].settings[0])
    assert not np.isfinite(want[2, 3]) and np.isfinite(want).sum() >= want.size - 3 - len(state)
    for got, wanted in zip((param, *state), (want, *want_state), strict=True):
        finite = np.isfinite(wanted)
        np.testing.assert_array_equal(got[~finite], wanted[~finite])
        np.testing.assert_allclose(got[finite], wanted[finite], rtol=STEP_EPS * TOLERANCES[dtype].eps)


@every_rule
@every_dtype
def test_integers_serve_as_settings(dtype, name):
    rng = np.random.default_rng(5)
    param, grad = normal(rng, (3, 5), dtype), normal(rng, (3, 5), dtype)
    state = random_state(rng, name, (3, 5), dtype)
    settings = (1, *[0 for _ in RULES[name].settings[0][1:]])
    assert updated(name, param, state, grad, settings) == updated(name, param, state, grad, tuple(map(float, settings)))


@every_dtype
@pytest.mark.parametrize("epsilon", [0.0, 1e-30, 1e-8, 1.0])
def test_a_step_is_divided_by_roots_of_any_size(epsilon, dtype):
    # RMSprop that keeps its mean of squares, twenty to a power of two
    info, rng = np.finfo(dtype), np.random.default_rng(12)
    exponents = np.arange(info.minexp, info.maxexp - 1)
    squares = np.ldexp(1 + rng.random((20, exponents.size)), exponents).astype(dtype)
    param, mean = np.zeros_like(squares), squares.copy()
    kernels.rmsprop_update(param, mean, np.ones_like(param), 1.0, 1.0, epsilon)
    assert mean.tobytes() == squares.tobytes()
    beside_others = np.zeros_like(squares)
    kernels.rmsprop_update(beside_others, squares[:, ::-1].copy(), np.ones_like(param), 1.0, 1.0, epsilon)
    assert beside_others[:, ::-1].tobytes() == param.tobytes()
    with decimal.localcontext(prec=40):
        added = Decimal(float(dtype.type(epsilon)))
        for got, square in zip(param.ravel().tolist(), squares.ravel().tolist(), strict=True):
            want = -1 / (Decimal(square).sqrt() + added)
            assert abs(Decimal(got) - want) <= 4 * Decimal(float(np.spacing(dtype.type(abs(want))))), square


@every_dtype
def test_division_by_zero_is_that_of_numpy(dtype):
    param, grad = np.zeros(4, dtype), np.array([1, -1, 0, np.nan], dtype)
    kernels.rmsprop_update(param, np.zeros(4, dtype), grad, 0.5, 1.0, 0.0)
    np.testing.assert_array_equal(param, [-np.inf, np.inf, np.nan, np.nan])


# In the training loop


# The settings of a training step that a rule reads, in the order of its own.
KEYS = {
    "momentum": ("beta1",),
    "nesterov": ("beta1",),
    "adagrad": ("epsilon",),
    "rmsprop": ("beta1", "epsilon"),
    "adam": ("beta1", "beta2", "epsilon"),
    "adamw": ("beta1", "beta2", "epsilon", "decay"),
}


def step_of_training(name, dtype, settings, **options):
    """Parameters, state and gradient before a training step, all of them after it: the third with this state.

    They are as earlier steps may have left them, so that weights' state is not taken for biases'.
    """
    rng = np.random.default_rng(11)
    problem = problem_of(rng, (4, 5, 3), ("tanh", "identity"), "squared_error", 6, dtype)
    state = random_state(rng, name, problem.params.shape, dtype)
    named = dict(zip(KEYS.get(name, ()), settings[1:], strict=True))
    got = train(
        kernels, problem, 6, np.arange(6), name, settings[0], state, steps_before=2,
        **dict.fromkeys(RULE, 0.0) | named | options,
    )  # fmt: skip
    return (problem.params, state, gradient(kernels, problem)[1]), (got.params, *got.state)


@every_rule
@every_dtype
def test_a_training_step_updates_parameters_and_state_by_the_gradient(dtype, name):
    settings = RULES[name].settings[0]
    (params, state, grad), got = step_of_training(name, dtype, settings)
    assert [array.tobytes() for array in got] == updated(name, params, state, grad, settings, 3)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@every_dtype
def test_the_epsilon_of_the_book_is_under_the_correction(dtype, name):
    # w -= eta sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt v + eps), with an epsilon that counts
    settings = (0.125, 0.75, 0.875, 0.25, 0.5)[: len(RULES[name].settings[0])]
    (params, state, grad), (got, *got_state) = step_of_training(name, dtype, settings, book=1.0)
    want, mean, square, grad = up(params, *state, grad)
    mean, square = 0.75 * mean + 0.25 * grad, 0.875 * square + 0.125 * grad**2
    step = 0.125 * np.sqrt(1 - 0.875**3) / (1 - 0.75**3) * mean / (np.sqrt(square) + 0.25)
    want = want * (1 - 0.125 * 0.5 if name == "adamw" else 1) - step
    bound = STEP_EPS * TOLERANCES[dtype].eps * (1 + np.abs(params) + np.abs(step))
    assert_close(got, want, bound)
    for values, wanted in zip(got_state, (mean, square), strict=True):
        assert_close(values, wanted, STEP_EPS * TOLERANCES[dtype].eps * (1 + np.abs(wanted)))


# Gradient descent, which is right to one ulp


def assert_sgd_error(got, param, grad, learning_rate):
    """1 ulp of the exact result, or of learning_rate * grad where the two cancel."""
    dtype = got.dtype
    rate = Fraction(float(dtype.type(learning_rate)))  # an update is computed in the dtype of the parameters
    for g, p, d in zip(got.ravel().tolist(), param.ravel().tolist(), grad.ravel().tolist(), strict=True):
        step = rate * Fraction(d)
        exact = Fraction(p) - step
        ulp = np.spacing(dtype.type(max(abs(float(exact)), abs(float(step)))))
        assert abs(Fraction(g) - exact) <= Fraction(float(ulp)), (p, d, g)


@every_dtype
@pytest.mark.parametrize("learning_rate", RATES)
def test_sgd_is_right_to_one_ulp(dtype, learning_rate):
    rng = np.random.default_rng(0)
    param, grad = normal(rng, (20, 33), dtype), normal(rng, (20, 33), dtype)
    grad[3] = param[3] / dtype.type(learning_rate)  # the two cancel
    grad *= (10.0 ** rng.integers(-3, 4, grad.shape)).astype(dtype)
    got = param.copy()
    kernels.sgd_update(got, grad, learning_rate)
    assert_sgd_error(got, param, grad, learning_rate)


@every_dtype
@pytest.mark.parametrize("layout", ["C", "strided", "reversed"])
def test_sgd_updates_vectors_in_place(dtype, layout):
    for size in (0, 1, 7, 17, 50):
        rng = np.random.default_rng(size)
        start, grad = normal(rng, size, dtype), arrange(normal(rng, size, dtype), layout)
        param = arrange(start, layout)
        with unchanged(grad):
            kernels.sgd_update(param, grad, 0.1)
        assert_sgd_error(param, start, grad, 0.1)


# What the rules have in common, and their first steps


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
@every_dtype
def test_momentum_zero_is_gradient_descent(dtype, name):
    rng = np.random.default_rng(6)
    want, velocity = normal(rng, (9, 17), dtype), normal(rng, (9, 17), dtype)  # the velocity is forgotten at once
    got = want.copy()
    for _ in range(3):
        grad = normal(rng, (9, 17), dtype)
        kernels.sgd_update(want, grad, 0.125)
        update(kernels, name, got, [velocity], grad, (0.125, 0.0))
        np.testing.assert_array_equal(velocity, -0.125 * grad)  # exact, as 1/8 is a power of two: so the bits agree
    assert got.tobytes() == want.tobytes()


@every_dtype
def test_nesterov_looks_one_step_ahead_of_momentum(dtype):
    # with s = w + beta v: momentum from s with the gradient at w makes w of Nesterov, which is its own s
    rng = np.random.default_rng(7)
    rate, beta = 0.25, 0.5  # powers of two, and the numbers have few bits: every step is exact
    ahead = rng.integers(-8, 9, (5, 6)).astype(dtype)
    behind, velocity = ahead.copy(), np.zeros_like(ahead)
    velocity_ahead = velocity.copy()
    for _ in range(4):
        grad = rng.integers(-8, 9, (5, 6)).astype(dtype)
        kernels.momentum_update(behind, velocity, grad, rate, beta)
        kernels.nesterov_update(ahead, velocity_ahead, grad, rate, beta)
        np.testing.assert_array_equal(velocity_ahead, velocity)
        np.testing.assert_array_equal(ahead, behind + dtype.type(beta) * velocity)


@every_dtype
def test_the_first_step_of_adagrad_is_that_of_rmsprop_without_memory(dtype):
    rng = np.random.default_rng(8)
    param, grad, zeros = normal(rng, (9, 17), dtype), normal(rng, (9, 17), dtype), np.zeros((9, 17), dtype)
    rmsprop = updated("rmsprop", param, [normal(rng, (9, 17), dtype)], grad, (0.1, 0.0, 1e-7))
    assert updated("adagrad", param, [zeros], grad, (0.1, 1e-7)) == rmsprop


@pytest.mark.parametrize("settings", [(0.1, 0.9, 0.999, 1e-8), (0.1, 0.0, 0.999, 1e-8), (0.01, 0.999, 0.0, 1e-8)])
@pytest.mark.parametrize("name", ["adam", "adamw"])
@every_dtype
def test_the_first_step_of_adam_is_the_learning_rate(dtype, name, settings):
    # both means, corrected for their start, are of one value: the quotient is g / (|g| + eps), whatever the betas
    rng = np.random.default_rng(9)
    grad = normal(rng, (9, 17), dtype) * (10.0 ** rng.integers(-3, 4, (9, 17))).astype(dtype)
    grad[0] = 0
    param = np.zeros_like(grad)
    update(kernels, name, param, zero_state(name, param), grad, (*settings, 0.01) if name == "adamw" else settings)
    rate, epsilon = settings[0], settings[3]
    size = np.abs(grad.astype(np.float64))
    bound = rate * (epsilon / np.where(size, size, 1) + STEP_EPS * TOLERANCES[dtype].eps) * (size > 0)
    assert_close(param, -rate * np.sign(grad), bound)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@every_dtype
def test_adam_follows_a_constant_gradient_at_the_learning_rate(dtype, name):
    # a mean of equal numbers is that number, once corrected, at every step: an error in the step's number would show
    grad, param = np.full((3, 5), -0.5, dtype), np.zeros((3, 5), dtype)
    state = zero_state(name, param)
    settings = (0.1, 0.9, 0.999, 0.0, 0.0)[: len(RULES[name].settings[0])]
    for step in range(1, 21):
        update(kernels, name, param, state, grad, settings, step)
        # 1 - beta2^t is computed in float64 from a power that was rounded near 1, and is at least 1 - beta2
        rtol = STEP_EPS * step * TOLERANCES[dtype].eps + 2.0**-52 / (1 - 0.999)
        np.testing.assert_allclose(param, 0.1 * step, rtol=rtol)


@given(shapes, dtypes, layouts(4), seeds)
def test_adamw_without_decay_is_adam_bit_for_bit(shape, dtype, layout, seed):
    rng = np.random.default_rng(seed)
    values = normal(rng, shape, dtype), *random_state(rng, "adam", shape, dtype)
    adam, adamw = ([arrange(v, order) for v, order in zip(values, layout, strict=False)] for _ in range(2))
    for step in (1, 2, 3):
        grad = arrange(normal(rng, shape, dtype), layout[3])
        update(kernels, "adam", adam[0], adam[1:], grad, (0.1, 0.9, 0.999, 1e-8), step)
        update(kernels, "adamw", adamw[0], adamw[1:], grad, (0.1, 0.9, 0.999, 1e-8, 0.0), step)
    assert [array.tobytes() for array in adamw] == [array.tobytes() for array in adam]


@every_dtype
def test_the_decay_of_adamw_is_apart_from_the_gradient(dtype):
    rng = np.random.default_rng(10)
    param, grad = normal(rng, (9, 17), dtype), normal(rng, (9, 17), dtype)
    decayed, state = param.copy(), zero_state("adamw", param)
    without, state_without = param.copy(), zero_state("adam", param)
    kernels.adamw_update(decayed, *state, grad, 0.1, 0.9, 0.999, 1e-8, 2.5, 1)
    kernels.adam_update(without, *state_without, grad, 0.1, 0.9, 0.999, 1e-8, 1)
    assert [array.tobytes() for array in state] == [array.tobytes() for array in state_without]
    bound = STEP_EPS * TOLERANCES[dtype].eps * (np.abs(param) + 0.1)
    assert_close(decayed - without, -0.25 * param.astype(np.float64), bound)
