"""Training steps in their three forms: against the reference, in several calls and in several epochs."""

import itertools

import numpy as np
import pytest
from helpers import DTYPES, FLOAT64_RTOL, NOJIT, arrange, dtypes, framed, layouts, seeds
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    DROPOUT,
    EVERY,
    HIDDEN,
    SMOOTH,
    assert_training_close,
    batches,
    described,
    falling_rates,
    gradient,
    lift,
    networks,
    problem_of,
    train,
)
from step_forms import SGD, every_dtype, every_extra, every_form, orders_of, problem_in

from fastfnn import kernels, reference
from fastfnn.kernels.tuning import SAMPLES_PER_GROUP


@given(networks(), st.integers(1, 20), st.integers(1, 9), dtypes, st.booleans(), layouts(2), seeds)
def test_training_steps_match_the_reference(network, samples, batch_size, dtype, labels, layout, seed):
    rng = np.random.default_rng(seed)
    problem = problem_of(rng, *network, samples, dtype, labels, exact=True)
    problem = problem._replace(x=arrange(problem.x, layout[0]), targets=arrange(problem.targets, layout[1]))
    # up to three batches, the last one short: more steps would let rounding errors grow
    order = rng.integers(0, samples, 1 + 5 * batch_size // 2)
    if "relu" in problem.names:  # a second step would start from numbers of many bits
        batch_size = len(order)
    assert_training_close(problem, batch_size, order, 2.0**-9)


@given(networks(), batches, dtypes, st.booleans(), st.booleans(), seeds)
def test_nothing_outside_the_outputs_is_written(network, batch, dtype, normalized, drops, seed):
    rng = np.random.default_rng(seed)
    problem = problem_of(rng, *network, batch, dtype, weighted=True, normalized=normalized)
    description = described(kernels, problem, DROPOUT if drops else {})
    vectors = problem.params.shape, problem.statistics.shape
    with framed(*vectors, dtype=dtype) as (grad_params, statistics), np.errstate(divide="ignore", invalid="ignore"):
        statistics[...] = 0
        data = problem.params, problem.x, problem.targets, problem.weights
        kernels.network_gradient(grad_params, statistics, *data, *description, 1)
    order = np.arange(batch + 1) // 2 if batch else EVERY
    batch_size = max(1, len(order) - 1)
    rates, none = np.full(-(-len(order) // batch_size), 0.125), np.empty(0, dtype)
    of_steps = [rates.shape] * 2
    with (
        framed(*vectors, dtype=dtype) as (params, statistics),
        framed(*of_steps, dtype=np.float64) as (losses, squares),
    ):
        params[...], statistics[...] = problem.params, problem.statistics
        kernels.train_steps(
            params, none, none, statistics, losses, squares, problem.x, problem.targets, problem.weights, rates, order,
            rates, *description, SGD, batch_size, 0,
        )  # fmt: skip


@every_dtype
@pytest.mark.parametrize("batch_size", [1, 4])
def test_training_on_no_samples_changes_nothing(batch_size, dtype):
    rng = np.random.default_rng(5)
    problem = problem_of(rng, (3, 5, 2), ("tanh", "identity"), "squared_error", 0, dtype, normalized=True)
    problem.params[::3] = -0.0
    plain = problem._replace(statistics=np.empty(0, dtype), params=problem.params[: 5 * 4 + 2 * 6])
    for kind, options in ((plain, {"l2": 0.5}), (problem, {"clip_norm": 1.0, **DROPOUT})):
        got = train(kernels, kind, batch_size, **options)
        assert got.losses.size == 0
        assert got.params.tobytes() == kind.params.tobytes()
        assert got.statistics.tobytes() == kind.statistics.tobytes()


@pytest.mark.parametrize("batch_size", [1, 4, 9, 50])
def test_every_step_starts_from_the_last_update(batch_size):
    """A linear model in float64: the steps by hand, with gradient and update of the reference."""
    rng = np.random.default_rng(6)
    problem = problem_of(rng, (3, 2), ("identity",), "squared_error", 9, np.float64)
    order = rng.integers(0, 9, 21)
    rates = falling_rates(problem, batch_size, order)
    got = train(kernels, problem, batch_size, order, rates=rates)
    want = problem.params.copy()
    for step, start in enumerate(range(0, 21, batch_size)):
        samples = order[start : start + batch_size]
        part = problem._replace(params=want, x=problem.x[samples], targets=problem.targets[samples])
        value, grad, _ = gradient(reference, part)
        assert got.losses[step] == pytest.approx(value, rel=FLOAT64_RTOL)
        want = want - rates[step] * grad
    np.testing.assert_allclose(got.params, want, rtol=FLOAT64_RTOL, atol=FLOAT64_RTOL)


@every_extra
def test_training_learns(extra):
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, (120, 2))
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.int64)  # not linearly separable
    names, loss = ("tanh", "identity"), "softmax_cross_entropy"
    problem = problem_of(rng, (2, 16, 2), names, loss, 120, np.float64, normalized=extra.normalized)
    problem = problem._replace(x=x, targets=labels)
    order = np.concatenate([rng.permutation(120) for _ in range(5 if NOJIT else 60)])
    got = train(kernels, problem, 10, order, rates=0.25, **extra.settings)
    # of all units, which those that dropout leaves must learn to do without
    before, after = (gradient(kernels, problem._replace(params=params))[0] for params in (problem.params, got.params))
    assert after < (0.9 if NOJIT else 0.6 if "dropout" in extra.settings else 0.3) * before


@pytest.mark.parametrize("name", HIDDEN)
@every_form
def test_every_activation_in_every_form_matches_the_reference(form, name):
    # 19 columns: some vectors and a few over, and so many in the last layer that its rows are padded
    shape = (5, 19, 19)
    for dtype in DTYPES:
        rng = np.random.default_rng(15)
        exact = name not in SMOOTH and dtype == np.float32
        names = (name, "identity") if exact else (name, name)
        problem, batch_size = problem_in(form, rng, shape, names, "squared_error", dtype, exact=exact)
        if exact:  # one step: a second would start from numbers of many bits
            batch_size = 1 if form == "one sample" else len(problem.x)
            problem = problem._replace(x=problem.x[:batch_size], targets=problem.targets[:batch_size])
        assert_training_close(problem, batch_size, largest_rate=2.0**-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@every_form
def test_nan_and_infinity_go_where_they_go_in_the_reference(form, bad):
    networks = [((30, 2), ("identity",)), ((5, 9, 3), ("tanh", "identity")), ((5, 9, 3), ("silu", "identity"))]
    for (shape, names), which, dtype in itertools.product(networks, [0, 1, -1], DTYPES):
        rng = np.random.default_rng(12)
        problem, batch_size = problem_in(form, rng, shape, names, "squared_error", dtype)
        problem.x[which, 1] = bad
        with np.errstate(invalid="ignore"):
            got, want = train(kernels, problem, batch_size), train(reference, lift(problem), batch_size)
        assert not np.all(np.isfinite(want.params))
        assert not np.all(np.isfinite(want.losses)) or (bad == np.inf and "tanh" in names)  # tanh is 1 at infinity
        if form == "one sample":  # which makes NaN of infinity, before tanh makes 1 of it: see `sample_steps`
            for values, wanted in ((got.params, want.params), (got.losses, want.losses)):
                assert not np.any(np.isfinite(values) & ~np.isfinite(wanted))
            assert np.all(np.isfinite(got.losses[:which]))
            continue
        for values, wanted in ((got.params, want.params), (got.losses, want.losses)):
            np.testing.assert_array_equal(np.isnan(values), np.isnan(wanted))
            np.testing.assert_array_equal(np.isinf(values), np.isinf(wanted))


@every_extra
@every_form
def test_steps_may_be_taken_in_several_calls(form, extra):
    shape, names, loss = (7, 19, 3), ("silu", "identity"), "softmax_cross_entropy"
    for optimizer, dtype in itertools.product(["sgd", "momentum", "adam"], DTYPES):
        rng, options = np.random.default_rng(17), {"l2": 0.25, **extra.settings}
        problem, batch_size = problem_in(
            form, rng, shape, names, loss, dtype, weighted=True, normalized=extra.normalized
        )
        order = rng.permutation(len(problem.x))
        rates = falling_rates(problem, batch_size)
        want = train(kernels, problem, batch_size, order, optimizer, rates, **options)
        cut = SAMPLES_PER_GROUP if form == "one sample" else 1
        done, left = np.split(order, [cut * batch_size])
        first = train(kernels, problem, batch_size, done, optimizer, rates[:cut], **options)
        between = problem._replace(params=first.params, statistics=first.statistics)
        last = train(
            kernels, between, batch_size, left, optimizer, rates[cut:], first.state, steps_before=3 + cut, **options
        )
        assert np.concatenate([first.losses, last.losses]).tobytes() == want.losses.tobytes()
        assert last.bits[1:] == want.bits[1:]


@pytest.mark.parametrize("ordered", [True, False])
@every_form
def test_several_epochs_match_the_reference(form, ordered):
    for optimizer, labels in itertools.product(["sgd", "adam"], [True, False]):
        rng = np.random.default_rng(18)
        problem, batch_size = problem_in(
            form, rng, (5, 9, 7, 3), ("tanh", "silu", "identity"), "softmax_cross_entropy", np.dtype(np.float64),
            labels=labels, weighted=True,
        )  # fmt: skip
        orders = orders_of(rng, len(problem.x), 3, ordered)
        assert_training_close(problem, batch_size, orders, optimizer=optimizer, l2=0.25)


@pytest.mark.parametrize("ordered", [True, False])
@every_extra
@every_form
def test_a_call_for_several_epochs_is_a_call_for_each(form, extra, ordered):
    for optimizer, dtype in itertools.product(["sgd", "adam"], DTYPES[:1] if NOJIT else DTYPES):
        rng, options = np.random.default_rng(19), {"l2": 0.25, **extra.settings}
        problem, batch_size = problem_in(
            form, rng, (7, 19, 6, 3), ("silu", "tanh", "identity"), "softmax_cross_entropy", dtype, weighted=True,
            normalized=extra.normalized,
        )  # fmt: skip
        problem.params[rng.random(problem.params.shape) < 0.2] = -0.0
        orders = orders_of(rng, len(problem.x), 3, ordered)
        rates = falling_rates(problem, batch_size, orders).reshape(3, -1)
        got = train(kernels, problem, batch_size, orders, optimizer, rates.reshape(-1), **options)
        between, state, losses = problem, None, []
        for epoch, (order, epoch_rates) in enumerate(zip(orders, rates, strict=True)):
            want = train(
                kernels, between, batch_size, order, optimizer, epoch_rates, state,
                steps_before=3 + epoch * len(epoch_rates), **options,
            )  # fmt: skip
            between, state = between._replace(params=want.params, statistics=want.statistics), want.state
            losses.append(want.losses)
        assert got.losses.tobytes() == np.concatenate(losses).tobytes()
        assert got.bits[1:] == want.bits[1:]
