"""Gradients and training steps against the reference in float64, in the three forms that a step may take."""

import itertools
import math

import numpy as np
import pytest
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    FLOAT64_RTOL,
    LAYOUTS,
    NOJIT,
    arrange,
    assert_chain_close,
    central_difference,
    dtypes,
    framed,
    layouts,
    normal,
    seeds,
    unchanged,
    up,
)
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    LAST,
    assert_losses_close,
    batches,
    codes,
    count_parameters,
    few_bits,
    gradient,
    lift,
    networks,
    parameters,
    targets_for,
)

from fastfnn import kernels, reference
from fastfnn.kernels import LOSSES, OPTIMIZERS, training
from fastfnn.kernels.network import SHORT

SGD = OPTIMIZERS.index("sgd")
STATES = {"sgd": 0, "adam": 2, "adamw": 2}  # vectors of state; of the others, one
EVERY = np.empty(0, np.int64)  # the order of all samples as they come

# Samples and batch_size of each form; in the first two the last batch is smaller, in the second it is not tall.
FORMS = {"batch": (20, 8), "tall batch": (1400, 1025), "one sample": (4, 1)}
every_form = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=pytest.mark.jit if form == "tall batch" else ()) for form in FORMS]
)


def train(
    module, params, x, targets, order, shape, names, loss, batch_size, learning_rate=0.125, optimizer="sgd", l2=0.0
):  # fmt: skip
    """The losses of the steps, the new parameters, and the new state, which begins as that of earlier steps."""
    params = params.copy()
    rng = np.random.default_rng(9)
    state = [few_bits(rng, params.shape, params.dtype) ** 2 for _ in range(STATES.get(optimizer, 1))]
    first, second = (*state, *[np.empty(0, params.dtype)] * 2)[:2]
    step_losses = np.full(-(-(len(order) or len(x)) // batch_size), np.nan)
    # an epsilon of 1/4 keeps a step from following the sign of what rounding left of a gradient
    settings = np.array([learning_rate, 0.75, 0.875, 0.25, 0.5, l2])
    code = OPTIMIZERS.index(optimizer)
    module.train_steps(
        params, first, second, step_losses, x, targets, order, np.array(shape, np.int64), codes(names), settings,
        LOSSES.index(loss), code, batch_size, 3,
    )  # fmt: skip
    return step_losses, params, state


def assert_training_close(params, x, targets, order, shape, names, loss, batch_size, *rest):
    """Training leads to the losses, parameters and state of the reference."""
    arguments = order, shape, names, loss, batch_size, *rest
    with unchanged(x, targets, order):
        losses, got, state = train(kernels, params, x, targets, *arguments)
    want_losses, want, want_state = train(reference, *up(params, x), lift(targets), *arguments)
    assert_losses_close(losses, want_losses, params.dtype)
    assert_chain_close(got, want)
    for vector, want_vector in zip(state, want_state, strict=True):
        assert_chain_close(vector, want_vector)


def random_parameters(rng, shape, dtype):
    """Weights that keep the size of what passes through them, so that several steps do not blow up."""
    parts = []
    for inputs, outputs in itertools.pairwise(shape):
        parts += [normal(rng, inputs * outputs, dtype, inputs**-0.5), normal(rng, outputs, dtype, 0.5)]
    return np.concatenate(parts)


def everything(result):
    """The bytes of all that `train` returns."""
    losses, params, state = result
    return [array.tobytes() for array in (losses, params, *state)]


@given(networks(), batches, dtypes, st.booleans(), st.sampled_from(LAYOUTS), seeds)
def test_gradient_matches_the_reference(network, batch, dtype, labels, layout, seed):
    shape, names, loss = network
    rng = np.random.default_rng(seed)
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, shape[0]), dtype)
    targets = arrange(targets_for(rng, loss, batch, shape[-1], dtype, labels), layout)
    with unchanged(params, x, targets):
        value, got = gradient(kernels, params, x, targets, shape, names, loss)
    want_value, want = gradient(reference, *up(params, x), lift(targets), shape, names, loss)
    assert_losses_close(value, want_value, dtype)
    assert_chain_close(got, want)


@given(networks(), st.integers(1, 20), st.integers(1, 9), dtypes, st.booleans(), layouts(2), seeds)
def test_training_steps_match_the_reference(network, samples, batch_size, dtype, labels, layout, seed):
    shape, names, loss = network
    rng = np.random.default_rng(seed)
    params, x = parameters(rng, shape, dtype), few_bits(rng, (samples, shape[0]), dtype)
    targets = targets_for(rng, loss, samples, shape[-1], dtype, labels)
    # up to three batches, the last one short: more steps would let rounding errors grow
    order = rng.integers(0, samples, 1 + 5 * batch_size // 2)
    if "relu" in names:  # a second step would start from numbers of many bits
        batch_size = len(order)
    arranged_x, arranged_targets = arrange(x, layout[0]), arrange(targets, layout[1])
    arguments = order, shape, names, loss, batch_size, 2.0**-9
    with unchanged(arranged_x, arranged_targets, order):
        losses, got, _ = train(kernels, params, arranged_x, arranged_targets, *arguments)
    want_losses, want, _ = train(reference, *up(params, x), lift(targets), *arguments)
    assert_losses_close(losses, want_losses, dtype)
    assert_chain_close(got, want)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("labels", [True, False])
def test_the_network_of_the_notes(labels, dtype):
    rng = np.random.default_rng(1)
    shape, names, loss = (784, 50, 10), ("sigmoid", "identity"), "softmax_cross_entropy"
    params, x = parameters(rng, shape, dtype) / 16, few_bits(rng, (230, 784), dtype)
    targets = targets_for(rng, loss, 230, 10, dtype, labels)
    value, grad = gradient(kernels, params, x, targets, shape, names, loss)
    want_value, want_grad = gradient(reference, *up(params, x), lift(targets), shape, names, loss)
    assert_losses_close(value, want_value, dtype)
    assert_chain_close(grad, want_grad)
    order = rng.permutation(230)
    losses, got, _ = train(kernels, params, x, targets, order, shape, names, loss, 100)
    want_losses, want, _ = train(reference, *up(params, x), lift(targets), order, shape, names, loss, 100)
    assert_losses_close(losses, want_losses, dtype)
    assert_chain_close(got, want)


@pytest.mark.parametrize("hidden", ["identity", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize(("loss", "last"), [(loss, last) for loss, names in LAST.items() for last in names])
@pytest.mark.parametrize("labels", [True, False])
def test_gradient_matches_central_differences(hidden, loss, last, labels):
    rng = np.random.default_rng(7)
    shape, names = (3, 5, 4, 2), (hidden, hidden, last)
    params = rng.standard_normal(count_parameters(shape))
    x, targets = rng.standard_normal((4, 3)), targets_for(rng, loss, 4, 2, np.float64, labels)
    _, got = gradient(kernels, params, x, targets, shape, names, loss)
    want = central_difference(lambda params: gradient(kernels, params, x, targets, shape, names, loss)[0], params)
    np.testing.assert_allclose(got, want, atol=DIFFERENCE_TOL * max(1, np.abs(want).max()))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_batch_has_loss_nan_and_gradient_zero(loss, dtype):
    rng = np.random.default_rng(2)
    shape, names = (3, 5, 2), ("relu", "identity")
    params, x = parameters(rng, shape, dtype), np.empty((0, 3), dtype)
    value, grad = gradient(kernels, params, x, targets_for(rng, loss, 0, 2, dtype), shape, names, loss)
    assert math.isnan(value)
    np.testing.assert_array_equal(grad, np.zeros_like(grad))


@given(networks(), batches, dtypes, seeds)
def test_nothing_outside_the_outputs_is_written(network, batch, dtype, seed):
    shape, names, loss = network
    rng = np.random.default_rng(seed)
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, shape[0]), dtype)
    targets = targets_for(rng, loss, batch, shape[-1], dtype)
    description = np.array(shape, np.int64), codes(names)
    with framed(params.shape, dtype=dtype) as (grad_params,):
        kernels.network_gradient(grad_params, params, x, targets, *description, LOSSES.index(loss))
    with framed(params.shape, dtype=dtype) as (inner_params,), framed((2,), dtype=np.float64) as (step_losses,):
        inner_params[...] = params
        order = np.arange(batch + 1) // 2 if batch else EVERY
        batch_size = max(1, len(order) - 1)
        steps = -(-len(order) // batch_size)
        step_losses[...] = 0
        none, settings = np.empty(0, params.dtype), np.array([0.125, 0, 0, 0, 0, 0])
        kernels.train_steps(
            inner_params, none, none, step_losses[:steps], x, targets, order, *description, settings,
            LOSSES.index(loss), SGD, batch_size, 0,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "relu"])
def test_a_nan_in_one_sample_reaches_the_whole_gradient(name, dtype):
    rng = np.random.default_rng(3)
    shape = (3, 5, 2)
    params, x = parameters(rng, shape, dtype) + dtype.type(0.03), few_bits(rng, (150, 3), dtype)
    x[140, 1] = np.nan
    labels = np.zeros(150, np.int64)
    value, grad = gradient(kernels, params, x, labels, shape, (name, "identity"), "softmax_cross_entropy")
    assert math.isnan(value) and np.all(np.isnan(grad))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_training_reads_only_the_samples_in_order(dtype):
    rng = np.random.default_rng(4)
    shape, names, loss = (3, 5, 2), ("tanh", "identity"), "squared_error"
    params, x, targets = parameters(rng, shape, dtype), few_bits(rng, (9, 3), dtype), few_bits(rng, (9, 2), dtype)
    x[[2, 5]] = targets[[2, 5]] = np.nan
    losses, got, _ = train(kernels, params, x, targets, np.array([8, 0, 0, 3, 1]), shape, names, loss, 2)
    assert np.all(np.isfinite(losses)) and np.all(np.isfinite(got))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_training_on_no_samples_changes_nothing(batch_size, dtype):
    rng = np.random.default_rng(5)
    shape, names, loss = (3, 5, 2), ("tanh", "identity"), "squared_error"
    params, x, targets = parameters(rng, shape, dtype), np.empty((0, 3), dtype), np.empty((0, 2), dtype)
    params[::3] = -0.0
    losses, got, _ = train(kernels, params, x, targets, EVERY, shape, names, loss, batch_size, l2=0.5)
    assert losses.size == 0
    assert got.tobytes() == params.tobytes()


@pytest.mark.parametrize("batch_size", [1, 4, 9, 50])
def test_every_step_starts_from_the_last_update(batch_size):
    """A linear model in float64: the steps by hand, with gradient and update of the reference."""
    rng = np.random.default_rng(6)
    shape, names, loss = (3, 2), ("identity",), "squared_error"
    params, x, targets = parameters(rng, shape, np.float64), rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    order = rng.integers(0, 9, 21)
    losses, got, _ = train(kernels, params, x, targets, order, shape, names, loss, batch_size)
    want = params.copy()
    for step, start in enumerate(range(0, 21, batch_size)):
        samples = order[start : start + batch_size]
        value, grad = gradient(reference, want, x[samples], targets[samples], shape, names, loss)
        assert losses[step] == pytest.approx(value, rel=FLOAT64_RTOL)
        want -= 0.125 * grad
    np.testing.assert_allclose(got, want, rtol=FLOAT64_RTOL, atol=FLOAT64_RTOL)


def test_training_learns():
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, (120, 2))
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.int64)  # not linearly separable
    shape, names, loss = (2, 8, 2), ("tanh", "identity"), "softmax_cross_entropy"
    params = rng.standard_normal((2 + 1) * 8 + (8 + 1) * 2)
    order = np.concatenate([rng.permutation(120) for _ in range(5 if NOJIT else 60)])
    losses, _, _ = train(kernels, params, x, labels, order, shape, names, loss, 10, 0.5)
    assert losses[-12:].mean() < (0.9 if NOJIT else 0.3) * losses[:12].mean()


# The three forms


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("l2", [0.0, 0.5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_rule_in_every_form(form, optimizer, l2, dtype):
    rng = np.random.default_rng(10)
    samples, batch_size = FORMS[form]
    # more inputs than rows of a gradient that exist at a time
    shape, names, loss = (training.UPDATE_ROWS + 1, 9, 3), ("tanh", "identity"), "squared_error"
    params, x = random_parameters(rng, shape, dtype), few_bits(rng, (samples, shape[0]), dtype)
    targets = targets_for(rng, loss, samples, 3, dtype)
    order = rng.permutation(samples)
    assert_training_close(params, x, targets, order, shape, names, loss, batch_size, 0.125, optimizer, l2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_form
def test_no_order_is_the_order_of_the_samples(form, optimizer, labels, layout, dtype):
    rng = np.random.default_rng(11)
    samples, batch_size = FORMS[form]
    shape, names, loss = (5, 9, 3), ("tanh", "identity"), "softmax_cross_entropy"
    params, x = random_parameters(rng, shape, dtype), arrange(few_bits(rng, (samples, 5), dtype), layout)
    targets = arrange(targets_for(rng, loss, samples, 3, dtype, labels), layout)
    got, want = (
        train(kernels, params, x, targets, order, shape, names, loss, batch_size, 0.125, optimizer, 0.5)
        for order in (EVERY, np.arange(samples))
    )
    assert everything(got) == everything(want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize(("shape", "names"), [((3, 2), ("identity",)), ((3, 5, 2), ("tanh", "identity"))])
@pytest.mark.parametrize("which", [0, 1, -1])
@every_form
def test_nan_and_infinity_go_where_they_go_in_the_reference(form, which, shape, names, bad, dtype):
    rng = np.random.default_rng(12)
    samples, batch_size = FORMS[form]
    params, x = random_parameters(rng, shape, dtype), normal(rng, (samples, 3), dtype)
    targets = normal(rng, (samples, 2), dtype)
    x[which, 1] = bad
    arguments = EVERY, shape, names, "squared_error", batch_size
    losses, got, _ = train(kernels, params, x, targets, *arguments)
    with np.errstate(invalid="ignore"):
        want_losses, want, _ = train(reference, *up(params, x), lift(targets), *arguments)
    assert not np.all(np.isfinite(want))
    assert not np.all(np.isfinite(want_losses)) or (bad == np.inf and len(shape) == 3)  # tanh is 1 at infinity
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    np.testing.assert_array_equal(np.isnan(losses), np.isnan(want_losses))
    np.testing.assert_array_equal(np.isinf(losses), np.isinf(want_losses))


# Tall batches

# The fewest samples that are tall, and one less; the last sample of a block and the first of the next; several blocks.
TALL = [768, 769, 1023, 1024, 1025, 1026, 1280, 3000]


def test_the_tall_batches_are_tall():
    assert [training._tall_groups(batch, 10_000) for batch in TALL] == [0, 4, 4, 4, 5, 5, 5, 12]
    for form, (_, batch_size) in FORMS.items():
        assert (training._tall_groups(batch_size, 10_000) > 0) == (form == "tall batch")
    assert training._tall_groups(FORMS["tall batch"][0] - FORMS["tall batch"][1], 10_000) == 0


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [3, SHORT + 1])
def test_tall_batches_match_the_reference(outputs, loss, labels, layout, dtype):
    shape, names = (6, 9, outputs), ("sigmoid", "identity")
    for batch in TALL:
        rng = np.random.default_rng(batch)
        params, x = random_parameters(rng, shape, dtype), arrange(few_bits(rng, (batch, 6), dtype), layout)
        targets = arrange(targets_for(rng, loss, batch, outputs, dtype, labels), layout)
        with unchanged(params, x, targets):
            value, got = gradient(kernels, params, x, targets, shape, names, loss)
        want_value, want = gradient(reference, *up(params, x), lift(targets), shape, names, loss)
        assert_losses_close(value, want_value, dtype)
        assert_chain_close(got, want)
        assert_training_close(params, x, targets, EVERY, shape, names, loss, batch)
        assert_training_close(params, x, targets, rng.integers(0, batch, batch), shape, names, loss, batch)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("last", [1, 255, 257, 768, 769, 1024])
def test_the_last_of_tall_batches_may_be_smaller(last, labels, dtype):
    rng = np.random.default_rng(last)
    shape, names, loss = (4, 7, 3), ("tanh", "identity"), "softmax_cross_entropy"
    samples = 1025 + last
    params, x = random_parameters(rng, shape, dtype), few_bits(rng, (samples, 4), dtype)
    targets = targets_for(rng, loss, samples, 3, dtype, labels)
    for order in (EVERY, rng.permutation(samples)):
        assert_training_close(params, x, targets, order, shape, names, loss, 1025, 0.125, "adam", 0.5)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("wide", "batch"),
    [
        (False, 33 * training.TALL_BLOCK + 1),  # one block more than there are groups, and one sample
        (False, 100 * training.TALL_BLOCK - 1),
        (True, 7 * training.TALL_BLOCK + 5),  # as many groups as fit into the cache
    ],
)
def test_several_blocks_of_a_tall_batch_in_a_group(wide, batch, optimizer, dtype):
    rng = np.random.default_rng(13)
    shape = (400, 1600 // dtype.itemsize + 3, 3) if wide else (4, 7, 3)
    names, loss = ("tanh", "identity"), "softmax_cross_entropy"
    params = random_parameters(rng, shape, dtype)
    groups, blocks = training._tall_groups(batch, params.nbytes), -(-batch // training.TALL_BLOCK)
    assert training.TALL_BLOCKS <= groups < blocks
    x, targets = few_bits(rng, (batch, shape[0]), dtype), rng.integers(0, 3, batch)
    value, got = gradient(kernels, params, x, targets, shape, names, loss)
    want_value, want = gradient(reference, *up(params, x), targets, shape, names, loss)
    assert_losses_close(value, want_value, dtype)
    assert_chain_close(got, want)
    assert_training_close(params, x, targets, EVERY, shape, names, loss, batch, 0.125, optimizer, 0.5)


# Steps on one sample

# Around whole vectors of 2 to 16, pieces of 16 columns, panels of 16 to 64 columns, eights of rows
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 50, 64, 65, 130) if not NOJIT else (1, 2, 9, 17)


def one_sample_network(rng, number, shape, dtype):
    """Sizes, activations and loss, each in turn; and parameters, samples, targets."""
    loss = LOSSES[number % len(LOSSES)]
    hidden = ("identity", "sigmoid", "tanh", "relu")[number // 3 % 4]
    last = LAST[loss][number // 12 % len(LAST[loss])]
    names = (*[hidden] * (len(shape) - 2), last)
    x = arrange(normal(rng, (7, shape[0]), dtype), LAYOUTS[number % len(LAYOUTS)])
    targets = targets_for(rng, loss, 7, shape[-1], dtype, number % 2 == 0)
    return random_parameters(rng, shape, dtype), x, targets, names, loss


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("inputs", WIDTHS)
def test_steps_on_one_sample_match_the_reference(inputs, dtype):
    for number, hidden in enumerate(WIDTHS):
        rng = np.random.default_rng(inputs + number)
        outputs = WIDTHS[(inputs + number) % len(WIDTHS)]
        for turn, shape in enumerate([(inputs, hidden, outputs), (inputs, hidden), (inputs, hidden, outputs, hidden)]):
            params, x, targets, names, loss = one_sample_network(rng, 5 * number + turn + inputs, shape, dtype)
            order, l2 = (EVERY, np.array([3, 3, 0, 6]))[number % 2], (0.0, 0.25)[number // 2 % 2]
            arguments = params, x, targets, order, shape, names, loss, 1
            assert_training_close(*arguments, 2.0**-7, "sgd", l2)
            assert_training_close(*arguments, 2.0**-7, "adam", l2)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("l2", [0.0, 0.25])
@pytest.mark.parametrize("width", WIDTHS)
def test_steps_on_one_sample_may_be_taken_in_several_calls(width, l2, dtype):
    shape = (width, 9, width)
    for number in range(12):
        rng = np.random.default_rng(number)
        params, x, targets, names, loss = one_sample_network(rng, number, shape, dtype)
        params[rng.random(params.shape) < 0.2] = -0.0
        x[2:4] = 0  # which leaves the first weights as they are, but for the sign of 0
        order = np.array([2, 0, 3, 1, 1, 6])

        def steps(params, order):
            return train(kernels, params, x, targets, order, shape, names, loss, 1, 2.0**-7, "sgd", l2)[:2]  # noqa: B023

        want_losses, want = steps(params, order)
        for cut in range(1, len(order)):
            losses, between = steps(params, order[:cut])
            losses_after, got = steps(between, order[cut:])
            assert np.concatenate([losses, losses_after]).tobytes() == want_losses.tobytes()
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("target", [1.0, -1.0])
def test_the_sign_of_a_weight_of_zero(target, dtype):
    # w - eta x delta at w = -0, x = 0: -0 - 0 is -0, -0 - (-0) is 0; delta is minus the target
    params, x, targets = np.array([-0.0, -0.0], dtype), np.zeros((1, 1), dtype), np.full((1, 1), target, dtype)
    _, got, _ = train(kernels, params, x, targets, EVERY, (1, 1), ("identity",), "squared_error", 1, 0.5)
    np.testing.assert_array_equal(got, [0, 0.5 * target])
    assert np.signbit(got[0]) == (target < 0)
