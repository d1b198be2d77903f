"""Gradients and training steps against the reference in float64, in the three forms that a step may take."""

import concurrent.futures
import functools
import itertools
import math

import numpy as np
import pytest
from fastfnn.kernels.network.network import BYTES_A_SAMPLE, HALVED_UP_TO, HALVED_WEIGHT, LARGE_WEIGHT, SHORT, WIDENING
from fastfnn.kernels.products.matvec import TOGETHER
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    FLOAT64_RTOL,
    LAYOUTS,
    NOJIT,
    OTHER,
    TOLERANCES,
    arrange,
    assert_chain_close,
    central_difference,
    dtypes,
    framed,
    layouts,
    normal,
    seeds,
    unchanged,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import (
    DROPOUT,
    EVERY,
    HIDDEN,
    LAST,
    RULE,
    SMOOTH,
    Problem,
    assert_gradient_close,
    assert_losses_close,
    assert_training_close,
    batches,
    count_parameters,
    described,
    falling_rates,
    gradient,
    lift,
    loss_of,
    networks,
    problem_of,
    train,
)

from fastfnn import kernels, reference
from fastfnn.kernels import LOSSES, OPTIMIZERS
from fastfnn.kernels.training import training
from fastfnn.kernels.workers import threads

SGD = OPTIMIZERS.index("sgd")

# Samples and batch_size of each form; in the first two the last batch is smaller, in the second it is not tall. The
# third, whose last group of steps is smaller, is that of gradient descent without dropout, batch normalization and a
# limit; else one sample is a batch of one.
FORMS = {"batch": (20, 8), "tall batch": (1200, 1025), "one sample": (TOGETHER + 3, 1)}
every_form = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=pytest.mark.jit if form == "tall batch" else ()) for form in FORMS]
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# What a training step may have beside the rule, each alone and all together.
EXTRAS = {
    "nothing": {},
    "dropout": DROPOUT,
    "batch normalization": {"normalized": True},
    "both": {"normalized": True, **DROPOUT},
}


def problem_in(form, rng, shape, names, loss, dtype, **options):
    """A problem with the samples of a form, and its batch_size."""
    samples, batch_size = FORMS[form]
    return problem_of(rng, shape, names, loss, samples, dtype, **options), batch_size


def arranged(problem, layout):
    """The same with samples and targets in a memory layout."""
    return problem._replace(x=arrange(problem.x, layout), targets=arrange(problem.targets, layout))


# The gradient


@given(networks(), batches, dtypes, st.booleans(), st.booleans(), st.sampled_from(LAYOUTS), seeds)
def test_gradient_matches_the_reference(network, batch, dtype, labels, drops, layout, seed):
    rng = np.random.default_rng(seed)
    problem = problem_of(rng, *network, batch, dtype, labels, exact=True)
    problem = problem._replace(targets=arrange(problem.targets, layout))
    assert_gradient_close(problem, seed % 7, **DROPOUT if drops else {})


def difference(problem, step=1, **options):
    """The gradient by central differences. Without the compiler the reference's loss, which is the same, is faster."""
    module = reference if NOJIT else kernels
    return central_difference(
        lambda params: gradient(module, problem._replace(params=params), step, **options)[0], problem.params
    )


def assert_gradient_is_the_difference(problem, step=1, **options):
    _, got, _ = gradient(kernels, problem, step, **options)
    want = difference(problem, step, **options)
    np.testing.assert_allclose(got, want, atol=DIFFERENCE_TOL * max(1, np.abs(want).max()))


# The last layer is another for each hidden one: that what goes back from it is right does not depend on what it meets.
@pytest.mark.parametrize(("hidden", "last"), [*zip(HIDDEN, HIDDEN[::-1], strict=True), ("relu", "identity")])
@pytest.mark.parametrize("extra", EXTRAS)
def test_gradient_matches_central_differences(extra, hidden, last):
    rng = np.random.default_rng(7)
    options = dict(EXTRAS[extra])
    normalized = options.pop("normalized", False)
    problem = problem_of(
        rng, (3, 5, 4, 2), (hidden, hidden, last), "squared_error", 6, np.float64, normalized=normalized
    )
    assert_gradient_is_the_difference(problem._replace(x=rng.standard_normal((6, 3))), **options)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("labels", [True, False])
def test_gradient_of_every_loss_matches_central_differences(labels, loss):
    problem = problem_of(np.random.default_rng(7), (3, 5, 2), ("tanh", "identity"), loss, 4, np.float64, labels)
    assert_gradient_is_the_difference(problem)


@every_dtype
@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_batch_has_loss_nan_and_gradient_zero(loss, extra, dtype):
    rng, options = np.random.default_rng(2), dict(EXTRAS[extra])
    normalized = options.pop("normalized", False)
    problem = problem_of(rng, (3, 5, 2), ("relu", "identity"), loss, 0, dtype, normalized=normalized)
    value, grad, statistics = gradient(kernels, problem, **options)
    assert math.isnan(value)
    np.testing.assert_array_equal(grad, np.zeros_like(grad))
    assert np.all(np.isnan(statistics))


@every_dtype
@pytest.mark.parametrize("name", HIDDEN)
def test_a_nan_in_one_sample_reaches_the_whole_gradient(name, dtype):
    rng = np.random.default_rng(3)
    problem = problem_of(rng, (3, 5, 2), (name, "identity"), "softmax_cross_entropy", 150, dtype)
    problem.x[140, 1] = np.nan
    for extra in ({}, DROPOUT):  # 0 times NaN is NaN
        value, grad, _ = gradient(kernels, problem, **extra)
        assert math.isnan(value) and np.all(np.isnan(grad))


# How samples are taken in for a gradient: by rows; by inputs where the first layer is made of halves; by rows where a
# layer is divided by columns or widens; block by block in a tall batch and in a deep one.
TAKEN_IN = {
    "rows": ((5, 17, 3), 9),
    "halves": ((784, 50, 10), 40),
    "columns": ((260, 260, 3), 20),
    "widening": ((20, 450, 3), 90),
    "tall": ((4, 32, 16, 4), 2001),
    "deep": ((160, 99, 99, 5), training.DEEP + 1),
}
every_intake = pytest.mark.parametrize(
    "intake", ["rows", *(pytest.param(name, marks=pytest.mark.jit) for name in TAKEN_IN if name != "rows")]
)


def problem_to_take_in(intake, name, dtype):
    shape, batch = TAKEN_IN[intake]
    names = *(name for _ in shape[2:]), "identity"
    return problem_of(np.random.default_rng(3), shape, names, "squared_error", batch, dtype)


def assert_same(got, want):
    assert [np.asarray(part).tobytes() for part in got] == [np.asarray(part).tobytes() for part in want]


@every_dtype
@every_intake
def test_gradient_of_samples_that_are_not_finite_has_loss_nan(intake, dtype):
    problem = problem_to_take_in(intake, "sigmoid", dtype)  # which makes 0 or 1 of infinity: the loss would not show it
    batch, inputs = problem.x.shape
    good = gradient(kernels, problem)
    assert math.isfinite(good[0])
    for row, column in itertools.product((0, batch // 2, batch - 1), (0, inputs // 2, inputs - 1)):
        for bad, given_dtype in itertools.product((np.nan, np.inf, -np.inf), DTYPES):
            x = problem.x.astype(given_dtype)
            x[row, column] = bad
            assert math.isnan(gradient(kernels, problem._replace(x=x))[0])
    assert math.isnan(gradient(reference, problem._replace(x=x))[0])
    assert_same(gradient(kernels, problem), good)  # the others left nothing behind


@pytest.mark.parametrize("shape", [(5, 7, 3), pytest.param((784, 50, 10), marks=pytest.mark.jit)])
def test_samples_that_become_infinite_are_not_finite(shape):
    problem = problem_of(np.random.default_rng(3), shape, ("sigmoid", "identity"), "squared_error", 9, DTYPES[0])
    x = problem.x.astype(np.float64)
    x[4, 2] = 1e300
    for module in (kernels, reference):
        assert math.isnan(gradient(module, problem._replace(x=x))[0])
        assert math.isnan(loss_of(module, problem._replace(x=x)))


@pytest.mark.jit
@every_dtype
def test_sums_that_are_not_finite_are_not_put_down_to_the_samples(dtype):
    # In halves the sums are looked at, not the samples. Here a weight is infinite, and the loss is finite all the same.
    problem = problem_of(np.random.default_rng(3), (784, 50, 10), ("sigmoid", "identity"), "squared_error", 9, dtype)
    problem.params[5], problem.x[:, 0] = np.inf, 1
    assert_losses_close(loss_of(kernels, problem), loss_of(reference, lift(problem)), dtype)
    got, want = gradient(kernels, problem)[0], gradient(reference, lift(problem))[0]
    assert math.isfinite(want)
    assert_losses_close(got, want, dtype)


@every_dtype
@every_intake
def test_gradient_of_samples_in_the_other_dtype(intake, dtype):
    problem = problem_to_take_in(intake, "tanh", dtype)
    want = gradient(kernels, problem)
    x = problem.x.astype(OTHER[dtype])
    for same in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        with unchanged(same):
            assert_same(gradient(kernels, problem._replace(x=same)), want)


def in_a_thread(function):
    """What a function gives in a Python thread of its own, to which no call has left anything."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.parametrize("most", [training.MOST_PASSES, 1000])
def test_what_calls_keep_for_the_next_does_not_show(most, monkeypatch):
    monkeypatch.setattr(training, "MOST_PASSES", most)
    monkeypatch.setattr(training, "LOSS_BYTES", 0)
    rng, calls = np.random.default_rng(5), []
    for index, shape in enumerate([(5, 4, 3), (5, 4, 3), (6, 30, 3), (3, 9, 9, 3), (40, 33, 3)]):  # buffers grow
        names = *(("tanh", "relu")[index // 2 % 2] for _ in shape[2:]), "identity"
        for dtype, loss, batch in itertools.product(DTYPES, ("softmax_cross_entropy", "squared_error"), (3, 7)):
            problem = problem_of(rng, shape, names, loss, batch, dtype, labels=index % 3 == 0)
            calls.append(functools.partial(gradient, kernels, problem))
            calls.append(functools.partial(gradient, kernels, problem, **DROPOUT))
            calls.append(lambda problem=problem: [loss_of(kernels, problem)])
            problem = problem_of(rng, shape, names, loss, batch, dtype, normalized=True)
            calls.append(functools.partial(gradient, kernels, problem))
    want = [in_a_thread(call) for call in calls]
    for number in [*rng.permutation(len(calls)), *rng.permutation(len(calls))]:
        for _ in range(2):
            assert_same(calls[number](), want[number])
        assert 0 < len(training._passes()) <= most


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("labels", [True, False])
def test_the_network_of_the_notes(labels, dtype):
    rng = np.random.default_rng(1)
    shape, names, loss = (784, 50, 10), ("sigmoid", "identity"), "softmax_cross_entropy"
    problem = problem_of(rng, shape, names, loss, 230, dtype, labels)
    assert_gradient_close(problem)
    assert_training_close(problem, 100, rng.permutation(230))


# Steps


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
        kernels.network_gradient(grad_params, statistics, problem.params, problem.x, problem.targets, *description, 1)
    order = np.arange(batch + 1) // 2 if batch else EVERY
    batch_size = max(1, len(order) - 1)
    rates, none = np.full(-(-len(order) // batch_size), 0.125), np.empty(0, dtype)
    with framed(*vectors, dtype=dtype) as (params, statistics), framed(rates.shape, dtype=np.float64) as (losses,):
        params[...], statistics[...] = problem.params, problem.statistics
        kernels.train_steps(
            params, none, none, statistics, losses, problem.x, problem.targets, problem.weights, order, rates,
            *description, SGD, batch_size, 0,
        )  # fmt: skip


@every_dtype
def test_training_reads_only_the_samples_in_order(dtype):
    rng = np.random.default_rng(4)
    problem = problem_of(rng, (3, 5, 2), ("tanh", "identity"), "squared_error", 9, dtype, weighted=True)
    problem.x[[2, 5]], problem.targets[[2, 5]], problem.weights[[2, 5]] = np.nan, np.nan, np.nan
    for batch_size in (1, 2):
        got = train(kernels, problem, batch_size, np.array([8, 0, 0, 3, 1]))
        assert np.all(np.isfinite(got.losses)) and np.all(np.isfinite(got.params))


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


@pytest.mark.parametrize("extra", EXTRAS)
def test_training_learns(extra):
    rng, options = np.random.default_rng(8), dict(EXTRAS[extra])
    shape, normalized = (2, 16, 2), options.pop("normalized", False)
    x = rng.uniform(-1, 1, (120, 2))
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.int64)  # not linearly separable
    problem = problem_of(
        rng, shape, ("tanh", "identity"), "softmax_cross_entropy", 120, np.float64, normalized=normalized
    )._replace(x=x, targets=labels)
    order = np.concatenate([rng.permutation(120) for _ in range(5 if NOJIT else 60)])
    got = train(kernels, problem, 10, order, rates=0.25, **options)
    # of all units, which those that dropout leaves must learn to do without
    before, after = (gradient(kernels, problem._replace(params=params))[0] for params in (problem.params, got.params))
    assert after < (0.9 if NOJIT else 0.6 if "dropout" in options else 0.3) * before


# The three forms


# Without the compiler a tall batch takes seconds: two rules, with and without state.
every_rule_and_form = pytest.mark.parametrize(
    ("form", "optimizer"),
    [
        pytest.param(form, rule, marks=pytest.mark.jit if form == "tall batch" and rule not in ("sgd", "adam") else ())
        for form in FORMS
        for rule in OPTIMIZERS
    ],
)


# Penalty and dtype in turn: the code for either does not ask for the other.
@pytest.mark.parametrize(("dtype", "l2"), [*zip(DTYPES, (0.5, 0.0), strict=True)], ids=str)
@every_rule_and_form
def test_every_rule_in_every_form(form, optimizer, l2, dtype):
    rng = np.random.default_rng(10)
    # more inputs than rows of a gradient that exist at a time
    shape, names = (training.UPDATE_ROWS + 1, 9, 3), ("tanh", "identity")
    problem, batch_size = problem_in(form, rng, shape, names, "squared_error", dtype)
    assert_training_close(problem, batch_size, rng.permutation(len(problem.x)), optimizer=optimizer, l2=l2)


@pytest.mark.parametrize("name", HIDDEN)
@every_form
def test_every_activation_in_every_form(form, name):
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


@pytest.mark.parametrize("layout", LAYOUTS)
@every_form
def test_no_order_is_the_order_of_the_samples(form, layout):
    # By labels or rows, weighted or not, by the rule of the form for one sample and another. The layout hangs on the
    # dtype by the size of an item only: one of them shows that.
    for labels, optimizer, weighted, dtype in itertools.product(
        [True, False], ["sgd", "adam"], [True, False], DTYPES if layout == "strided" else DTYPES[:1]
    ):
        rng = np.random.default_rng(11)
        problem, batch_size = problem_in(
            form, rng, (5, 9, 3), ("tanh", "identity"), "softmax_cross_entropy", dtype, labels=labels, weighted=weighted
        )
        order = np.arange(len(problem.x))
        want = train(kernels, problem, batch_size, order, optimizer, l2=0.5)
        for samples in (EVERY, order):
            got = train(kernels, arranged(problem, layout), batch_size, samples, optimizer, l2=0.5)
            assert got.bits == want.bits


@pytest.mark.parametrize("layout", ["strided", "reversed"])
@every_form
def test_vectors_of_any_stride(form, layout):
    rng = np.random.default_rng(16)
    problem, batch_size = problem_in(
        form, rng, (5, 9, 3), ("tanh", "identity"), "squared_error", DTYPES[0], weighted=True
    )
    order, rates = rng.permutation(len(problem.x)), falling_rates(problem, batch_size)
    want = train(kernels, problem, batch_size, order, rates=rates)
    losses, params = arrange(np.full(want.losses.shape, np.nan), layout), problem.params.copy()
    none = np.empty(0, problem.dtype)
    vectors = [arrange(vector, layout) for vector in (problem.weights, order, rates)]
    with unchanged(*vectors):
        kernels.train_steps(
            params, none, none, none, losses, problem.x, problem.targets, *vectors,
            *described(kernels, problem, RULE), SGD, batch_size, 3,
        )  # fmt: skip
    assert [losses.tobytes(), params.tobytes()] == [want.losses.tobytes(), want.params.tobytes()]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@every_form
def test_nan_and_infinity_go_where_they_go_in_the_reference(form, bad):
    networks = [((3, 2), ("identity",)), ((3, 5, 2), ("tanh", "identity")), ((3, 5, 2), ("silu", "identity"))]
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


@pytest.mark.parametrize("extra", EXTRAS)
@every_form
def test_steps_may_be_taken_in_several_calls(form, extra):
    shape, names, loss = (7, 19, 3), ("silu", "identity"), "softmax_cross_entropy"
    for optimizer, dtype in itertools.product(["sgd", "momentum", "adam"], DTYPES):
        rng, options = np.random.default_rng(17), {"l2": 0.25, **EXTRAS[extra]}
        normalized = options.pop("normalized", False)
        problem, batch_size = problem_in(form, rng, shape, names, loss, dtype, weighted=True, normalized=normalized)
        order = rng.permutation(len(problem.x))
        rates = falling_rates(problem, batch_size)
        want = train(kernels, problem, batch_size, order, optimizer, rates, **options)
        cut = TOGETHER if form == "one sample" else 1
        done, left = np.split(order, [cut * batch_size])
        first = train(kernels, problem, batch_size, done, optimizer, rates[:cut], **options)
        between = problem._replace(params=first.params, statistics=first.statistics)
        last = train(
            kernels, between, batch_size, left, optimizer, rates[cut:], first.state, steps_before=3 + cut, **options
        )
        assert np.concatenate([first.losses, last.losses]).tobytes() == want.losses.tobytes()
        assert last.bits[1:] == want.bits[1:]


def orders_of(rng, samples, epochs, ordered):
    """A random order for each epoch, or none."""
    return np.stack([rng.permutation(samples) if ordered else EVERY for _ in range(epochs)])


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
@pytest.mark.parametrize("extra", EXTRAS)
@every_form
def test_a_call_for_several_epochs_is_a_call_for_each(form, extra, ordered):
    for optimizer, dtype in itertools.product(["sgd", "adam"], DTYPES[:1] if NOJIT else DTYPES):
        rng, options = np.random.default_rng(19), {"l2": 0.25, **EXTRAS[extra]}
        problem, batch_size = problem_in(
            form, rng, (7, 19, 6, 3), ("silu", "tanh", "identity"), "softmax_cross_entropy", dtype, weighted=True,
            normalized=options.pop("normalized", False),
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


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("extra", EXTRAS)
def test_weights_that_threads_divide_by_columns(extra, dtype):
    # the first two are large, the last is not; 41 samples are shared unevenly
    rng, options = np.random.default_rng(36), dict(EXTRAS[extra])
    shape = (300, 2 * LARGE_WEIGHT // 300 // dtype.itemsize + 1, 200, 5)
    assert shape[1] * shape[2] * dtype.itemsize >= max(LARGE_WEIGHT, 41 * BYTES_A_SAMPLE)
    problem = problem_of(
        rng, shape, ("silu", "tanh", "identity"), "softmax_cross_entropy", 82, dtype, weighted=True,
        normalized=options.pop("normalized", False),
    )  # fmt: skip
    assert_training_close(problem, 41, optimizer="momentum", **options)
    assert_training_close(problem, 41, optimizer="momentum", clip_norm=0.25, **options)


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("extra", EXTRAS)
def test_layers_that_widen(extra, dtype):
    # two of them, whose outputs are no multiple of what a thread takes; the second batch is smaller
    rng, options = np.random.default_rng(39), dict(EXTRAS[extra])
    shape = (21, 403, 20, 450, 3)
    for size, outputs in ((21, 403), (20, 450)):
        assert size < 41 and outputs >= WIDENING * size and size * outputs * dtype.itemsize >= HALVED_WEIGHT
    problem = problem_of(
        rng, shape, ("silu", "tanh", "silu", "identity"), "softmax_cross_entropy", 67, dtype, weighted=True,
        normalized=options.pop("normalized", False),
    )  # fmt: skip
    assert_gradient_close(problem, **options)
    for optimizer in ("sgd", "adam"):
        assert_training_close(problem, 41, rng.permutation(67), optimizer=optimizer, l2=0.25, **options)


@every_dtype
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("extra", EXTRAS)
def test_a_first_layer_whose_sum_is_made_of_halves(extra, layout, dtype):
    rng, options = np.random.default_rng(38), dict(EXTRAS[extra])
    shape = (301, 37, 5)  # the halves are not equal
    assert HALVED_WEIGHT <= 301 * 37 * dtype.itemsize < HALVED_UP_TO
    problem = problem_of(
        rng, shape, ("silu", "identity"), "softmax_cross_entropy", 14, dtype, weighted=True,
        normalized=options.pop("normalized", False),
    )  # fmt: skip
    problem = arranged(problem, layout)
    assert_gradient_close(problem, **options)
    for optimizer in ("sgd", "adam"):
        assert_training_close(problem, 9, rng.permutation(14), optimizer=optimizer, **options)


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("limits", [False, True])
@pytest.mark.parametrize("extra", EXTRAS)
def test_deep_batches_match_the_reference(extra, limits, dtype):
    # too many parameters for a tall batch; the last batch is not deep
    rng, options = np.random.default_rng(37), dict(EXTRAS[extra])
    width = training.GROUPS_BYTES // training.TALL_BLOCKS // 600 // dtype.itemsize + 1
    shape, batch = (600, width, 20, 5), training.DEEP + 1
    problem = problem_of(
        rng, shape, ("silu", "tanh", "identity"), "softmax_cross_entropy", batch + 70, dtype, weighted=True,
        normalized=options.pop("normalized", False),
    )  # fmt: skip
    assert training._tall_form(batch, problem.params.nbytes)[-1] == 0
    if not limits:
        assert_gradient_close(problem, **options)
    for optimizer in ("sgd", "adamw"):
        assert_training_close(problem, batch, optimizer=optimizer, l2=0.5, clip_norm=0.25 if limits else 0.0, **options)


# Learning rates


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_form
def test_a_step_with_rate_zero_changes_no_parameter(form, optimizer, dtype):
    rng = np.random.default_rng(18)
    problem, batch_size = problem_in(form, rng, (3, 5, 2), ("tanh", "identity"), "squared_error", dtype)
    order = np.concatenate([np.arange(batch_size)] * 3)
    rates = np.array([0.0, 0.125, 0.0])
    got = train(kernels, problem, batch_size, order, optimizer, rates, l2=0.5)
    if optimizer == "sgd":  # which has no state
        want = train(kernels, problem, batch_size, order[:batch_size], optimizer, rates[1:2], l2=0.5)
        np.testing.assert_array_equal(got.params, want.params)
    assert got.losses[0] == got.losses[1] != got.losses[2]
    still = train(kernels, problem, batch_size, order, optimizer, np.zeros(3), l2=0.5)
    np.testing.assert_array_equal(still.params, problem.params)


# Dropout


@every_dtype
@pytest.mark.parametrize("batch", [1, 8, 150, pytest.param(1025, marks=pytest.mark.jit)])
@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_is_by_the_mask_of_the_reference(layers, batch, dtype):
    """Samples of a single 1 each: row i of dE/dW1 is what the hidden outputs of sample i are multiplied by.

    All weights behind W1 hand on what goes back, the outputs are 0 and the targets such that dE/dy is 1.
    """
    width = 17 if batch < 1000 else 3  # a vector and one over; 1025 x 3 is small enough for a tall batch
    shape, names = (batch, *[width] * layers, 1), ("identity",) * (layers + 1)
    hand_on = [np.zeros(batch * width), *[np.zeros(width), np.eye(width).ravel()] * (layers - 1), np.zeros(width)]
    params = np.concatenate([*hand_on, np.ones(width), np.zeros(1)]).astype(dtype)
    x, targets, none = np.eye(batch, dtype=dtype), np.full((batch, 1), -batch, dtype), np.empty(0, dtype)
    problem = Problem(shape, names, "squared_error", params, x, targets, none, none)
    for step, scale, seed in ((1, 2.0, 0), (2**32 + 7, 4.0, 2**32 - 1)):  # powers of two: their product is exact
        _, grad, _ = gradient(kernels, problem, step, dropout=0.75, dropout_scale=scale, seed=seed)
        want = np.ones((batch, width), dtype)
        for layer in range(1, layers + 1):
            mask = np.empty_like(want)
            reference.dropout_mask(mask, layer, step, 0.75, scale, seed)
            want *= mask
        np.testing.assert_array_equal(grad[: batch * width].reshape(batch, width), want)


@every_form
def test_every_step_has_a_mask_of_its_own(form):
    rng = np.random.default_rng(19)
    problem, batch_size = problem_in(form, rng, (3, 9, 2), ("tanh", "identity"), "squared_error", np.dtype("float64"))
    batch = problem._replace(x=problem.x[:batch_size], targets=problem.targets[:batch_size])
    order = np.concatenate([np.arange(batch_size)] * 3)
    got = train(kernels, batch, batch_size, order, rates=0.0, steps_before=2**31, **DROPOUT).losses
    want = [gradient(kernels, batch, 2**31 + step, **DROPOUT)[0] for step in (1, 2, 3)]
    np.testing.assert_allclose(got, want, rtol=FLOAT64_RTOL)
    assert len(set(got)) == 3


@every_dtype
@every_form
def test_dropout_leaves_outputs_and_networks_without_hidden_layers_alone(form, dtype):
    rng = np.random.default_rng(20)
    problem, batch_size = problem_in(form, rng, (3, 2), ("tanh",), "squared_error", dtype)
    rule = {"optimizer": "momentum"}  # not gradient descent, whose step on one sample takes another form
    want = train(kernels, problem, batch_size, **rule)
    assert train(kernels, problem, batch_size, **rule, **DROPOUT).bits == want.bits
    off = {"dropout": 0.0, "dropout_scale": 7.0, "seed": 5}
    problem, batch_size = problem_in(form, rng, (3, 5, 2), ("relu", "identity"), "squared_error", dtype)
    assert train(kernels, problem, batch_size, **off).bits == train(kernels, problem, batch_size).bits


@pytest.mark.parametrize("extra", ["dropout", "both"])
@pytest.mark.parametrize("name", HIDDEN)
def test_dropout_after_every_activation(name, extra):
    options = dict(EXTRAS[extra])
    normalized = options.pop("normalized", False)
    problem = problem_of(
        np.random.default_rng(21), (5, 19, 7, 3), (name, name, "identity"), "squared_error", 9, np.dtype("float64"),
        normalized=normalized,
    )  # fmt: skip
    assert_training_close(problem, 4, **options)


# Batch normalization


def test_running_statistics_follow_those_of_the_batches():
    rng = np.random.default_rng(22)
    shape, names, loss = (3, 17, 2), ("tanh", "identity"), "squared_error"
    problem = problem_of(rng, shape, names, loss, 20, np.float64, normalized=True)
    weight, bias, *_ = (problem.params[place] for place in problem.places[0])
    want = problem.statistics.reshape(2, 17).copy()
    for first in (0, 8, 16):
        u = problem.x[first : first + 8] @ weight.reshape(3, 17) + bias
        want = 0.75 * want + 0.25 * np.stack([u.mean(axis=0), u.var(axis=0)])  # the variance with the divisor B
    got = train(kernels, problem, 8, rates=0.0, norm_momentum=0.75).statistics
    np.testing.assert_allclose(got.reshape(2, 17), want, rtol=FLOAT64_RTOL, atol=FLOAT64_RTOL)
    _, _, last = gradient(kernels, problem, norm_momentum=0.0)
    u = problem.x @ weight.reshape(3, 17) + bias
    np.testing.assert_allclose(last, [*u.mean(axis=0), *u.var(axis=0)], rtol=FLOAT64_RTOL, atol=FLOAT64_RTOL)


def test_the_running_statistics_of_every_layer_have_their_place():
    # a weight of 0 leaves b as the only value of each sum: its mean, with variance 0; gamma 0 and beta 1 hand on 1
    shape, names = (2, 3, 1, 4, 2), ("identity",) * 4
    rng = np.random.default_rng(23)
    problem = problem_of(rng, shape, names, "squared_error", 5, np.float64, normalized=True)
    for weight, _, *norm in problem.places:
        for place in (weight, *norm[:1]):
            problem.params[place] = 0
    means = [problem.params[bias] for _, bias, *_ in problem.places[:-1]]
    want = np.concatenate([part for mean in means for part in (mean, np.zeros_like(mean))])
    _, _, got = gradient(kernels, problem, norm_momentum=0.0)
    np.testing.assert_allclose(got, want, atol=FLOAT64_RTOL)


@every_dtype
def test_gamma_and_beta_follow_their_gradient_without_a_penalty(dtype):
    rng = np.random.default_rng(24)
    shape, names = (3, 17, 5, 2), ("tanh", "sigmoid", "identity")
    problem = problem_of(rng, shape, names, "squared_error", 8, dtype, normalized=True)
    _, grad, _ = gradient(reference, lift(problem))
    got = train(kernels, problem, 8, l2=0.5).params
    for _, *vectors in problem.places:
        for place in vectors:  # b, gamma and beta
            assert_chain_close(got[place], problem.params[place] - 0.125 * grad[place])
    assert not np.any(got[problem.places[0][2]] == problem.params[problem.places[0][2]])


def test_normalization_undoes_a_bias_and_the_scale_of_weights():
    rng = np.random.default_rng(25)
    problem = problem_of(
        rng, (3, 5, 4, 2), ("tanh", "tanh", "identity"), "squared_error", 9, np.float64, normalized=True
    )
    want, grad, _ = gradient(kernels, problem, norm_epsilon=0.0)
    for weight, bias, *_ in problem.places[:-1]:
        np.testing.assert_allclose(grad[bias], 0, atol=FLOAT64_RTOL)
        problem.params[bias] += 3
        problem.params[weight] *= 5
    value, _, _ = gradient(kernels, problem, norm_epsilon=0.0)
    assert value == pytest.approx(want, rel=FLOAT64_RTOL)


@every_dtype
def test_batch_normalization_of_a_batch_of_one_leaves_beta(dtype):
    rng = np.random.default_rng(26)
    problem = problem_of(rng, (3, 5, 2), ("tanh", "identity"), "squared_error", 4, dtype, normalized=True)
    assert_training_close(problem, 1)
    one = problem._replace(x=problem.x[:1], targets=problem.targets[:1])
    _, grad, _ = gradient(kernels, one)
    *others, beta = problem.places[0]
    for place in others:
        np.testing.assert_array_equal(grad[place], 0)
    assert np.all(grad[beta] != 0)
    other = one._replace(x=one.x + dtype.type(1))
    assert gradient(kernels, other)[0] == gradient(kernels, one)[0]


@pytest.mark.jit
@every_dtype
def test_batch_normalization_is_over_all_of_a_tall_batch(dtype):
    rng = np.random.default_rng(27)
    problem, batch_size = problem_in(
        "tall batch", rng, (5, 19, 7, 3), ("tanh", "softplus", "identity"), "squared_error", dtype, normalized=True
    )
    assert_gradient_close(problem)
    assert_training_close(problem, batch_size, optimizer="adam", **DROPOUT)


# Sample weights


@every_dtype
@pytest.mark.parametrize("batch_size", [2, 8, pytest.param(1026, marks=pytest.mark.jit)])
def test_samples_of_weight_zero_do_not_count(batch_size, dtype):
    # half of them; the others have weight 2, so that the mean over a batch is that over half a batch
    rng = np.random.default_rng(28)
    problem = problem_of(rng, (3, 5, 2), ("tanh", "identity"), "softmax_cross_entropy", 2 * batch_size, dtype)
    got = train(kernels, problem._replace(weights=np.tile([0, 2], batch_size).astype(dtype)), batch_size)
    others = problem._replace(x=problem.x[1::2], targets=problem.targets[1::2])
    want = train(reference, lift(others), batch_size // 2)
    assert_losses_close(got.losses, want.losses, dtype)
    assert_chain_close(got.params, want.params)


@every_dtype
def test_a_step_on_one_sample_of_weight_zero_changes_nothing(dtype):
    rng = np.random.default_rng(28)
    problem = problem_of(rng, (3, 5, 2), ("tanh", "identity"), "softmax_cross_entropy", 4, dtype)
    got = train(kernels, problem._replace(weights=np.array([0, 2, 0, 2], dtype)), 1)
    others = problem._replace(x=problem.x[1::2], targets=problem.targets[1::2], weights=np.full(2, 2, dtype))
    want = train(kernels, others, 1)
    np.testing.assert_array_equal(got.losses, [0, want.losses[0], 0, want.losses[1]])
    np.testing.assert_array_equal(got.params, want.params)


@every_dtype
@pytest.mark.parametrize("loss", LOSSES)
@every_form
def test_weights_of_one_are_none_and_of_two_a_rate_twice_as_large(form, loss, dtype):
    # all bit for bit: products with powers of two are exact
    rng = np.random.default_rng(29)
    problem, batch_size = problem_in(form, rng, (3, 5, 2), ("tanh", "identity"), loss, dtype)
    want = train(kernels, problem, batch_size)
    for weight in (1, 2):
        weighted = problem._replace(weights=np.full(len(problem.x), weight, dtype))
        got = train(kernels, weighted, batch_size, rates=0.125 / weight)
        assert (got.losses / weight).tobytes() == want.losses.tobytes()
        assert got.params.tobytes() == want.params.tobytes()


@every_dtype
@pytest.mark.parametrize("loss", LOSSES)
@every_form
def test_weights_go_with_their_samples(form, loss, dtype):
    rng = np.random.default_rng(30)
    problem, batch_size = problem_in(form, rng, (3, 9, SHORT + 1), ("tanh", "identity"), loss, dtype, weighted=True)
    order = rng.integers(0, len(problem.x), len(problem.x))
    assert_training_close(problem, batch_size, order)
    chosen = problem._replace(x=problem.x[order], targets=problem.targets[order], weights=problem.weights[order])
    assert train(kernels, chosen, batch_size).bits == train(kernels, problem, batch_size, order).bits


# Limited gradients


def steepest(problem, clip_norm, batch_size, l2):
    """The gradient that the first step of gradient descent used, penalty included: at rate 1 the change."""
    got = train(kernels, problem, batch_size, np.arange(batch_size), rates=1.0, clip_norm=clip_norm, l2=l2)
    return problem.params.astype(np.float64) - got.params


@every_dtype
@pytest.mark.parametrize("l2", [0.0, 0.5])
@every_form
def test_the_norm_of_the_gradient_is_limited(form, l2, dtype):
    rng = np.random.default_rng(31)
    # several pieces, over which the norm is summed, and a part of one; a tall batch is none with normalization
    problem, batch_size = problem_in(
        form, rng, (11, 19, 7, 3), ("tanh", "tanh", "identity"), "squared_error", dtype, normalized=form != "tall batch"
    )
    assert problem.params.size > 2 * training.PIECE and problem.params.size % training.PIECE
    batch = problem._replace(x=problem.x[:batch_size], targets=problem.targets[:batch_size])
    _, want, _ = gradient(reference, lift(batch))
    for weight, *_ in problem.places:
        want[weight] += l2 * problem.params[weight]
    norm = np.linalg.norm(want)
    rounding = 4 * TOLERANCES[dtype].chain  # of the gradient, and of parameters below 4 that it is taken from
    for limit in (norm / 1000, 0.5 * norm, 0.999 * norm):
        got = steepest(problem, limit, batch_size, l2)
        assert np.linalg.norm(got) == pytest.approx(limit, abs=rounding)
        np.testing.assert_allclose(got, want * (limit / norm), atol=rounding)
    for limit in (1.001 * norm, 1e30):  # not limited: never made longer
        np.testing.assert_allclose(steepest(problem, limit, batch_size, l2), want, atol=rounding)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@every_form
def test_every_rule_takes_the_limited_gradient(form, optimizer):
    rng = np.random.default_rng(32)
    shape, names = (training.UPDATE_ROWS + 1, 9, 3), ("tanh", "identity")
    for dtype, l2 in zip(DTYPES, (0.5, 0.0), strict=True):
        problem, batch_size = problem_in(form, rng, shape, names, "squared_error", dtype, weighted=True)
        order = rng.permutation(len(problem.x))
        assert_training_close(problem, batch_size, order, optimizer=optimizer, l2=l2, clip_norm=0.25)


@every_dtype
def test_a_limit_does_not_hide_nan_and_infinity(dtype):
    rng = np.random.default_rng(33)
    problem = problem_of(rng, (3, 5, 2), ("identity", "identity"), "squared_error", 4, dtype)
    for bad in (np.nan, np.inf):
        problem.x[2, 1] = bad
        with np.errstate(invalid="ignore"):
            got, want = (train(module, problem, 4, clip_norm=1.0).params for module in (kernels, reference))
        assert np.any(np.isnan(want))
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


# The penalty


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])  # whose step is a multiple of the gradient
@every_form
def test_the_penalty_is_on_the_weights_of_every_layer_alone(form, optimizer, dtype):
    rng = np.random.default_rng(34)
    problem, batch_size = problem_in(
        form, rng, (5, 17, 4, 3), ("tanh", "tanh", "identity"), "squared_error", dtype,
        normalized=form == "batch" or optimizer != "sgd",
    )  # fmt: skip
    without, penalized = (
        train(kernels, problem, batch_size, np.arange(batch_size), optimizer, l2=l2).params.astype(np.float64)
        for l2 in (0.0, 0.5)
    )
    want = np.zeros_like(without)
    for weight, *_ in problem.places:
        want[weight] = 0.125 * 0.5 * problem.params[weight]
    np.testing.assert_allclose(without - penalized, want, atol=4 * TOLERANCES[dtype].eps)  # of parameters below 4


# Everything together


@st.composite
def cases(draw, families, samples, batch_sizes, dtypes=dtypes):
    """A problem, its batch_size and order, and the optimizer and settings of a call."""
    network, rng, batch_size = draw(networks(families)), np.random.default_rng(draw(seeds)), draw(batch_sizes)
    flags = {name: draw(st.booleans()) for name in ("labels", "weighted", "normalized")}
    problem = arranged(problem_of(rng, *network, draw(samples), draw(dtypes), **flags), draw(st.sampled_from(LAYOUTS)))
    order = rng.integers(0, len(problem.x), 1 + 5 * batch_size // 2) if draw(st.booleans()) else EVERY
    dropout = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    options = {
        "optimizer": draw(st.sampled_from(OPTIMIZERS)),
        "steps_before": draw(st.sampled_from([0, 1, 100_000])),
        "l2": draw(st.sampled_from([0.0, 0.25])),
        "clip_norm": draw(st.sampled_from([0.0, 0.25, 4.0])),
        "book": draw(st.sampled_from([0.0, 1.0])),
        "dropout": dropout,
        "dropout_scale": 1 / (1 - dropout),
        "seed": draw(seeds),
    }
    return problem, batch_size, order, options


def assert_case_is_close(problem, batch_size, order, options):
    gradient_options = {name: options[name] for name in ("dropout", "dropout_scale", "seed")}
    assert_gradient_close(problem, options["steps_before"] + 1, **gradient_options)
    # a small rate: in float32 the errors of a step grow in those that follow
    assert_training_close(problem, batch_size, order, 2.0**-5, **options)


@settings(max_examples=100 if NOJIT else 500)
@given(cases([SMOOTH], st.integers(1, 20), st.sampled_from([1, 2, 8, 20])))
def test_any_combination(case):
    assert_case_is_close(*case)


@settings(max_examples=50 if NOJIT else 200)
@given(cases([HIDDEN], st.integers(1, 20), st.sampled_from([1, 8]), st.just(np.dtype("float64"))))
def test_any_combination_with_kinks(case):
    assert_case_is_close(*case)


@pytest.mark.jit
@settings(max_examples=30)
@given(cases([SMOOTH], st.sampled_from([1024, 1200]), st.sampled_from([769, 1025])))
def test_any_combination_in_tall_batches(case):
    assert_case_is_close(*case)


# Tall batches

# The fewest samples that are tall, and one less; the last sample of a block and the first of the next; several blocks;
# two blocks at a time through the network, and one.
TALL = [255, 256, 257, 511, 513, 1023, 1024, 1025, 1280, 3000, 5000]
TALL_NETWORK = (20, 40, 3)


def test_the_tall_batches_are_tall():
    size = 4 * count_parameters(TALL_NETWORK)
    rows, together, groups = zip(*(training._tall_form(batch, size) for batch in TALL), strict=True)
    assert rows == (64, 64, 65, 128, 129, 256, 256, 256, 256, 256, 312)
    assert together == (2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1)
    assert groups == (0, 2, 2, 2, 2, 2, 2, 3, 3, 6, 9)
    for form, (_, batch_size) in FORMS.items():
        assert (training._tall_form(batch_size, 1000)[-1] > 0) == (form == "tall batch")
    assert training._tall_form(FORMS["tall batch"][0] - FORMS["tall batch"][1], 10_000)[-1] == 0


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        (training.TINY_BYTES, training.SMALL_ROWS, training.MOST_ROWS),
        (training.SMALL_BYTES, training.SMALL_ROWS, training.TALL_ROWS),
        (training.SMALL_BYTES + 1, training.TALL_ROWS, training.TALL_ROWS),
    ],
)
def test_blocks_of_tall_batches_suit_the_network(size, least, most):
    rows, together, groups = zip(*(training._tall_form(batch, size) for batch in range(70_000)), strict=True)
    first = training.TALL_BLOCKS * least
    assert not any(groups[:first]) and min(groups[first:]) == 2
    assert max(groups) == min(training.GROUPS, training.GROUPS_BYTES // size)
    assert (rows[first], rows[-1], together[-1]) == (least, most, 1)
    # the last batch of an epoch, which may be smaller, fits into the buffers of the others: what is not tall, too
    at_once = np.multiply(rows, together)
    assert np.all(np.maximum.accumulate(at_once) <= np.maximum(at_once, training.TALL_ROWS))
    assert first <= training.TALL_BLOCKS * training.TALL_ROWS


@pytest.mark.parametrize("count", [1, 2, 64])
def test_buffers_have_room_for_every_thread_and_for_any_last_batch(count, monkeypatch):
    monkeypatch.setattr(training, "max_threads", lambda: count)
    params = np.zeros(count_parameters(TALL_NETWORK), np.float32)
    most = 0
    for batch in range(1, 5001):
        rows, together, groups = training._tall_form(batch, params.nbytes)
        most = max(most, count * together * rows if groups > 0 else batch)
        if batch % 97 == 0 or batch in TALL:
            plan = training._new_plan(np.array(TALL_NETWORK), params, batch, optimizer=0, one_sample=False, norm=False)
            assert plan.capacity >= most and plan.groups == groups


def test_a_tall_batch_is_work_for_two_threads():
    size = 500
    least = training.TALL_WORK // size
    assert [training._tall_form(batch, size)[-1] > 0 for batch in (least - 1, least)] == [False, True]
    assert 3 * least * size // 4 == 2 * threads.GRAIN


# Short rows of outputs and padded ones, by labels and by rows; the layout says how either is read, whatever the loss.
@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize(
    ("loss", "labels", "outputs", "layout"),
    [
        ("softmax_cross_entropy", True, 3, "C"),
        ("softmax_cross_entropy", True, SHORT + 1, "strided"),
        ("softmax_cross_entropy", False, 3, "strided"),
        ("softmax_cross_entropy", False, SHORT + 1, "F"),
        ("sigmoid_cross_entropy", False, 3, "F"),
        ("sigmoid_cross_entropy", False, SHORT + 1, "C"),
        ("squared_error", False, 3, "C"),
        ("squared_error", False, SHORT + 1, "F"),
    ],
)
def test_tall_batches_match_the_reference(loss, labels, outputs, layout, dtype):
    for batch in TALL:
        rng = np.random.default_rng(batch)
        problem = problem_of(rng, (20, 40, outputs), ("sigmoid", "identity"), loss, batch, dtype, labels)
        problem = arranged(problem, layout)
        assert_gradient_close(problem)
        assert_training_close(problem, batch)
        assert_training_close(problem, batch, rng.integers(0, batch, batch))


@pytest.mark.jit
@pytest.mark.parametrize("extra", ["nothing", "dropout"])
@pytest.mark.parametrize("batch", TALL)
def test_the_gradient_of_tall_batches_matches_a_central_difference(batch, extra):
    rng = np.random.default_rng(35)
    problem = problem_of(rng, TALL_NETWORK, ("gelu", "identity"), "softmax_cross_entropy", batch, np.float64)
    _, grad, _ = gradient(kernels, problem, **EXTRAS[extra])
    direction = rng.standard_normal(grad.shape)  # one, not one for each parameter
    direction *= 1e-5 / np.linalg.norm(direction)
    ahead, behind = (
        gradient(kernels, problem._replace(params=problem.params + change), **EXTRAS[extra])[0]
        for change in (direction, -direction)
    )
    assert grad @ direction / 1e-5 == pytest.approx((ahead - behind) / 2e-5, abs=DIFFERENCE_TOL)


@pytest.mark.jit
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("last", [1, 255, 256, 257, 768, 1024])
def test_the_last_of_tall_batches_may_be_smaller(last, labels):
    for dtype in DTYPES:
        rng = np.random.default_rng(last)
        samples = 1025 + last
        problem = problem_of(
            rng, TALL_NETWORK, ("tanh", "identity"), "softmax_cross_entropy", samples, dtype, labels, weighted=labels
        )
        for order in (EVERY, rng.permutation(samples)):
            assert_training_close(problem, 1025, order, optimizer="adam", l2=0.5, **DROPOUT)


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("wide", "batch"),
    [
        (False, 2 * training.GROUPS * training.MOST_ROWS + 1),  # the last group has three, one of them of one sample
        (False, 130 * training.MOST_ROWS - 1),
        (True, 13 * training.TALL_ROWS + 5),  # as many groups as fit into the cache
    ],
)
def test_several_blocks_of_a_tall_batch_in_a_group(wide, batch, optimizer, dtype):
    rng = np.random.default_rng(13)
    shape = (400, 1600 // dtype.itemsize + 3, 3) if wide else (4, 7, 3)
    problem = problem_of(rng, shape, ("tanh", "identity"), "softmax_cross_entropy", batch, dtype)
    rows, _, groups = training._tall_form(batch, problem.params.nbytes)
    assert 2 <= groups < batch / rows / 2
    if optimizer == "sgd":  # once is enough
        assert_gradient_close(problem)
    assert_training_close(problem, batch, optimizer=optimizer, l2=0.5)


# Steps on one sample

# Around whole vectors of 2 to 16, pieces of 16 columns, panels of 16 to 64 columns, eights of rows
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 50, 64, 65, 130) if not NOJIT else (1, 2, 9, 17)


def one_sample_problem(rng, number, shape, dtype):
    """Activations, loss, layout and weights, each in turn."""
    loss = LOSSES[number % len(LOSSES)]
    hidden = HIDDEN[number // 3 % len(HIDDEN)]
    last = LAST[loss][number // 12 % len(LAST[loss])]
    names = (*[hidden] * (len(shape) - 2), last)
    problem = problem_of(rng, shape, names, loss, 2 * TOGETHER + 3, dtype, number % 2 == 0, weighted=number % 5 == 0)
    x = normal(rng, problem.x.shape, dtype)
    return problem._replace(x=arrange(x, LAYOUTS[number % len(LAYOUTS)]))


@every_dtype
@pytest.mark.parametrize("inputs", WIDTHS)
def test_steps_on_one_sample_match_the_reference(inputs, dtype):
    for number, hidden in enumerate(WIDTHS):
        rng = np.random.default_rng(inputs + number)
        outputs = WIDTHS[(inputs + number) % len(WIDTHS)]
        for turn, shape in enumerate([(inputs, hidden, outputs), (inputs, hidden), (inputs, hidden, outputs, hidden)]):
            problem = one_sample_problem(rng, 5 * number + turn + inputs, shape, dtype)
            order, l2 = (EVERY, np.array([3, 3, 0, 6]))[number % 2], (0.0, 0.25)[number // 2 % 2]
            assert_training_close(problem, 1, order, 2.0**-7, l2=l2)
            assert_training_close(problem, 1, order, 2.0**-7, optimizer="adam", l2=l2)


@pytest.mark.parametrize("width", WIDTHS)
def test_steps_on_one_sample_may_be_taken_in_several_calls(width):
    order = np.random.default_rng(0).integers(0, 7, 2 * TOGETHER + 5)
    rates = 2.0**-7 / (1 + np.arange(len(order)) / 4)
    hidden = range(0, len(HIDDEN), 3 if NOJIT else 1)
    for number, l2, dtype in itertools.product(hidden, [0.0, 0.25], DTYPES):
        rng = np.random.default_rng(number)
        problem = one_sample_problem(rng, 3 * number, (width, 9, width), dtype)
        problem.params[rng.random(problem.params.shape) < 0.2] = -0.0
        problem.x[2:4] = 0  # which leaves the first weights as they are, but for the sign of 0
        want = train(kernels, problem, 1, order, rates=rates, l2=l2)
        for cut in (TOGETHER, 2 * TOGETHER):
            first = train(kernels, problem, 1, order[:cut], rates=rates[:cut], l2=l2)
            between = problem._replace(params=first.params)
            last = train(kernels, between, 1, order[cut:], rates=rates[cut:], l2=l2)
            assert np.concatenate([first.losses, last.losses]).tobytes() == want.losses.tobytes()
            assert last.params.tobytes() == want.params.tobytes()
