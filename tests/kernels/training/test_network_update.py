"""A step with a gradient that is given: against the reference, and against the steps that compute their gradient."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, TOLERANCES, assert_chain_close, in_a_thread, normal
from memory_regions import assert_apart, records_at
from networks import (
    DROPOUT,
    NORM,
    RULE,
    STATES,
    count_parameters,
    few_bits,
    gradient,
    places,
    problem_of,
    random_parameters,
    settings_of,
    train,
)
from step_forms import every_dtype, every_form, problem_in

from fastfnn import kernels, reference
from fastfnn.kernels import OPTIMIZERS
from fastfnn.kernels.network.kept import this_thread
from fastfnn.kernels.network.layers import LAYER, NETWORK
from fastfnn.kernels.training.job import JOB
from fastfnn.kernels.training.update import FACTORS_BYTES
from fastfnn.kernels.training.update_step import UpdateShape, new_update_workspace
from fastfnn.kernels.tuning import DEEP_BATCH, NORM_PIECE
from fastfnn.kernels.workers.pace import PACE
from fastfnn.kernels.workers.state import TEAM_BYTES

every_rule = pytest.mark.parametrize("optimizer", OPTIMIZERS)
# More than two pieces, over which a norm is summed; the last is smaller.
SHAPE = (11, 19, 7, 3)
LIMITED = {"l2": 0.25, "batch_l2": 2.0, "clip_norm": 0.5}


def state_of(optimizer, params):
    """A state that earlier steps may have left, as that of `train`."""
    rng = np.random.default_rng(9)
    return [few_bits(rng, params.shape, params.dtype) ** 2 for _ in range(STATES.get(optimizer, 1))]


def update(module, params, grad, shape, optimizer, step=4, rate=0.125, batch_weight=8.0, **settings):
    """New parameters, state and gradient."""
    params, grad, state = params.copy(), grad.copy(), state_of(optimizer, params)
    first, second = (*state, *[np.empty(0, params.dtype)] * 2)[:2]
    module.network_update(
        params, first, second, grad, np.array(shape, np.int64), settings_of(**NORM | RULE | settings),
        OPTIMIZERS.index(optimizer), rate, batch_weight, step,
    )  # fmt: skip
    return [params, *state, grad]


def step_apart(problem, optimizer, **settings):
    """A step as `train` takes on all samples, in two calls: new parameters and state."""
    _, grad, _ = gradient(kernels, problem, step=4, **settings)
    weight = float(len(problem.x))
    *vectors, _ = update(kernels, problem.params, grad, problem.shape, optimizer, batch_weight=weight, **settings)
    return vectors


def random_case(dtype, shape=SHAPE, normalized=False, seed=40):
    rng = np.random.default_rng(seed)
    params = random_parameters(rng, shape, dtype, normalized)
    return params, normal(rng, params.shape, dtype)


def assert_same_bits(got, want):
    for values, wanted in zip(got, want, strict=True):
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("settings", [{}, {"l2": 0.25}, {"clip_norm": 0.5, "book": 1.0}, LIMITED], ids=str)
@every_rule
def test_every_rule_matches_the_reference(optimizer, settings, normalized):
    for dtype in DTYPES:
        params, grad = random_case(dtype, normalized=normalized)
        assert params.size > 2 * NORM_PIECE and params.size % NORM_PIECE
        got = update(kernels, params, grad, SHAPE, optimizer, **settings)
        want = update(reference, *(array.astype(np.float64) for array in (params, grad)), SHAPE, optimizer, **settings)
        for values, wanted in zip(got, want, strict=True):
            assert_chain_close(values, wanted)


# Gradient descent rounds otherwise where it writes no gradient: the next test but one.
@every_rule
@every_form
def test_gradient_and_update_have_the_bits_of_a_step(form, optimizer):
    rng = np.random.default_rng(41)
    cases = [LIMITED, LIMITED | DROPOUT]
    if optimizer != "sgd" or form != "one sample":
        cases.append(DROPOUT)
    if optimizer != "sgd" or form == "tall batch":
        cases.append({"l2": 0.25, "batch_l2": 2.0})
    for number, settings in enumerate(cases):
        dtype, normalized = DTYPES[number % 2], form == "batch" and number % 2 == 0
        options = {"normalized": normalized, "weighted": number % 2 == 1}
        problem, size = problem_in(form, rng, (20, 40, 3), ("tanh", "identity"), "squared_error", dtype, **options)
        problem = problem._replace(**{name: getattr(problem, name)[:size] for name in ("x", "targets", "weights")})
        got = train(kernels, problem, size, optimizer=optimizer, **settings)
        assert_same_bits(step_apart(problem, optimizer, **settings), (got.params, *got.state))


@pytest.mark.jit
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gradient_and_update_have_the_bits_of_a_step_on_a_deep_batch(optimizer):
    rng = np.random.default_rng(42)
    problem = problem_of(
        rng, (300, 200, 200, 3), ("tanh", "tanh", "identity"), "squared_error", DEEP_BATCH + 1, DTYPES[0]
    )
    got = train(kernels, problem, len(problem.x), optimizer=optimizer, l2=0.25, batch_l2=2.0)
    assert_same_bits(step_apart(problem, optimizer, l2=0.25, batch_l2=2.0), (got.params, *got.state))


@every_dtype
@pytest.mark.parametrize(("samples", "l2"), [(1, 0.0), (1, 0.25), (8, 0.25)])
def test_gradient_descent_that_writes_no_gradient_is_equal_to_rounding(samples, l2, dtype):
    rng = np.random.default_rng(43)
    problem = problem_of(rng, SHAPE, ("tanh", "tanh", "identity"), "squared_error", samples, dtype)
    (got,) = step_apart(problem, "sgd", l2=l2)
    want = train(kernels, problem, samples, l2=l2).params
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * TOLERANCES[dtype].eps)  # of parameters below 4


@every_dtype
def test_the_gradient_is_left_as_it_was_or_as_the_rule_takes_it(dtype):
    params, grad = random_case(dtype)
    for settings in ({}, {"clip_norm": 1e3}):
        np.testing.assert_array_equal(update(kernels, params, grad, SHAPE, "adam", **settings)[-1], grad)
    want = grad.astype(np.float64)
    for weight, _ in places(SHAPE):
        want[weight] += (0.25 + 2.0 / 8) * params[weight]
    eps = TOLERANCES[dtype].eps
    got = update(kernels, params, grad, SHAPE, "sgd", l2=0.25, batch_l2=2.0)[-1]
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * eps)
    got = update(kernels, params, grad, SHAPE, "sgd", **LIMITED)[-1]
    np.testing.assert_allclose(got, want * (0.5 / np.linalg.norm(want)), rtol=0, atol=8 * eps)


@every_dtype
def test_a_batch_of_infinite_weight_has_no_penalty_of_its_own(dtype):
    params, grad = random_case(dtype)
    got = update(kernels, params, grad, SHAPE, "adam", batch_weight=np.inf, l2=0.25, batch_l2=2.0)
    assert_same_bits(got, update(kernels, params, grad, SHAPE, "adam", l2=0.25))


@every_dtype
@every_rule
def test_networks_of_few_parameters_and_of_none(optimizer, dtype):
    for shape, settings in itertools.product(((1, 1), (0, 1), (0, 3, 2), (3,)), ({}, LIMITED)):
        params, grad = normal(np.random.default_rng(44), (2, count_parameters(shape) if len(shape) > 1 else 0), dtype)
        got = update(kernels, params, grad, shape, optimizer, **settings)
        for values, wanted in zip(got, update(reference, params, grad, shape, optimizer, **settings), strict=True):
            assert_chain_close(values, wanted)


@every_dtype
def test_nan_and_infinity_reach_the_parameters(dtype):
    params, grad = random_case(dtype)
    for bad in (np.nan, np.inf):
        grad[5] = bad
        alone = update(kernels, params, grad, SHAPE, "adam")[0]
        assert np.flatnonzero(~np.isfinite(alone)).tolist() == [5]
        with np.errstate(invalid="ignore"):  # infinity over infinity
            limited = update(kernels, params, grad, SHAPE, "sgd", clip_norm=1.0)[0]
        assert not np.isfinite(limited[5])


def test_calls_of_a_shape_share_a_workspace_whatever_their_settings():
    params, grad = random_case(DTYPES[0])

    def calls():
        one = [update(kernels, params, grad, SHAPE, "adam", **settings) for settings in (LIMITED, {}, LIMITED)]
        assert len(this_thread.workspaces) == 1
        other = update(kernels, params, grad, SHAPE, "adam", step=5, rate=0.25, batch_weight=4.0)
        assert len(this_thread.workspaces) == 1
        return one, other

    (limited, plain, again), other = in_a_thread(calls)
    assert_same_bits(again, limited)
    assert np.any(plain[0] != limited[0]) and np.any(plain[0] != other[0])
    assert_same_bits(plain, update(kernels, params, grad, SHAPE, "adam"))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("normalized", [False, True])
def test_the_memory_of_an_update_does_not_overlap_and_stays_inside(normalized, threads):
    count = count_parameters(SHAPE, normalized)
    shape = UpdateShape(np.array(SHAPE, np.int64).tobytes(), 4, count, OPTIMIZERS.index("adam"), threads)
    memory, address, _ = in_a_thread(lambda: new_update_workspace(shape))  # in one that keeps nothing for others
    (job,) = records_at(address, JOB)
    (network,) = records_at(int(job["network"]), NETWORK)
    sizes = {
        "network": NETWORK.itemsize, "rates": 8, "divisors": 8, "squares": 8 * (-(-count // NORM_PIECE)),
        "team": TEAM_BYTES, "pace": PACE.itemsize, "scratch": threads * FACTORS_BYTES,
    }  # fmt: skip
    regions = {name: (int(job[name]), size) for name, size in sizes.items()}
    regions |= {"job": (address, JOB.itemsize), "layers": (int(network["table"]), len(SHAPE) * LAYER.itemsize)}
    assert_apart(regions, memory)
    layers = records_at(int(network["table"]), LAYER, len(SHAPE))
    assert layers["end"][-1] == 4 * count and job["scratch_bytes"] >= FACTORS_BYTES


@every_dtype
def test_gradients_of_parts_add_up_if_their_samples_weigh_their_share(dtype):
    rng = np.random.default_rng(45)
    problem = problem_of(rng, SHAPE, ("tanh", "tanh", "identity"), "squared_error", 20, dtype)
    value, want, _ = gradient(kernels, problem)
    parts = []
    for rows in (slice(0, 13), slice(13, 20)):
        x, targets = problem.x[rows], problem.targets[rows]
        part = problem._replace(x=x, targets=targets, weights=np.full(len(x), len(x) / 20, dtype))
        parts.append(gradient(kernels, part))
    np.testing.assert_allclose(sum(part[0] for part in parts), value, rtol=TOLERANCES[dtype].chain)
    assert_chain_close(sum(part[1] for part in parts), want)
