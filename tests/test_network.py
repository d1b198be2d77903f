"""Whole networks: forward pass, gradient and training steps against the reference in float64."""

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
    TOLERANCES,
    arrange,
    assert_chain_close,
    central_difference,
    dtypes,
    framed,
    layouts,
    poisoned,
    seeds,
    sizes,
    unchanged,
    up,
)
from hypothesis import given
from hypothesis import strategies as st

from fastfnn import kernels, reference
from fastfnn.kernels import ACTIVATIONS, LOSSES, OPTIMIZERS, SETTINGS

SGD = OPTIMIZERS.index("sgd")

# What the last layer may be under each loss; the cross-entropies contain their output activation.
LAST = {
    "softmax_cross_entropy": ["identity"],
    "sigmoid_cross_entropy": ["identity"],
    "squared_error": ["identity", "sigmoid", "tanh", "relu"],
}
# Rounding can turn a ReLU on or off, and with it a whole path of the gradient. So ReLU comes with layers that are exact
# on numbers of few bits, and the smooth functions come without ReLU.
SMOOTH, EXACT = ["identity", "sigmoid", "tanh"], ["identity", "relu"]

widths = st.lists(st.sampled_from([1, 2, 3, 7, 8, 9, 16, 17] if NOJIT else [1, 2, 7, 8, 9, 17, 33, 50]), max_size=2)
small = st.sampled_from([1, 3, 8, 17])
layer_sizes = st.tuples(small, widths, small).map(lambda s: (s[0], *s[1], s[2]))
batches = sizes if not NOJIT else st.sampled_from([0, 1, 3, 8])


@st.composite
def networks(draw):
    """Sizes, activation names and the name of the loss."""
    shape, loss = draw(layer_sizes), draw(st.sampled_from(LOSSES))
    family = draw(st.sampled_from([SMOOTH, EXACT]))
    hidden = [draw(st.sampled_from(family)) for _ in shape[2:]]
    last = draw(st.sampled_from([name for name in LAST[loss] if name in family]))
    return shape, (*hidden, last), loss


def sgd_settings(learning_rate):
    return np.array([learning_rate] + [0.0] * (len(SETTINGS) - 1))


def codes(names):
    return np.array([ACTIVATIONS.index(name) for name in names], np.int64)


def few_bits(rng, shape, dtype):
    """Multiples of 1/8 in [-1, 1]: layers of identity and ReLU are exact on them in float32."""
    return (rng.integers(-8, 9, shape) / 8).astype(dtype)


def count_parameters(shape):
    return sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(shape))


def parameters(rng, shape, dtype):
    return few_bits(rng, count_parameters(shape), dtype)


def targets_for(rng, loss, batch, outputs, dtype, labels=True):
    if loss == "softmax_cross_entropy" and labels:
        return rng.integers(0, outputs, batch)
    return (rng.integers(0, 5, (batch, outputs)) / 4).astype(dtype)


def lift(targets):
    return targets if targets.ndim == 1 else targets.astype(np.float64)


def forward(module, params, x, shape, names, layout="C"):
    out = poisoned((len(x), shape[-1]), x.dtype, layout)
    module.network_forward(out, params, x, np.array(shape, np.int64), codes(names))
    return out


def gradient(module, params, x, targets, shape, names, loss):
    grad_params = poisoned(params.shape, params.dtype)
    description = np.array(shape, np.int64), codes(names), LOSSES.index(loss)
    return module.network_gradient(grad_params, params, x, targets, *description), grad_params


def train(module, params, x, targets, order, shape, names, loss, batch_size, learning_rate=0.125):
    """The losses of the steps and the new parameters."""
    params = params.copy()
    step_losses = np.full(-(-len(order) // batch_size), np.nan)
    description = np.array(shape, np.int64), codes(names), sgd_settings(learning_rate), LOSSES.index(loss)
    none = np.empty(0, params.dtype)
    module.train_steps(params, none, none, step_losses, x, targets, order, *description, SGD, batch_size, 0)
    return step_losses, params


def assert_losses_close(got, want, dtype):
    np.testing.assert_allclose(got, want, rtol=TOLERANCES[dtype].chain, atol=TOLERANCES[dtype].chain)


@given(networks(), batches, dtypes, st.sampled_from(LAYOUTS), st.booleans(), seeds)
def test_forward_matches_the_reference(network, batch, dtype, layout, probabilities, seed):
    shape, names, _ = network
    names = (*names[:-1], "softmax") if probabilities else names
    rng = np.random.default_rng(seed)
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, shape[0]), dtype)
    with unchanged(params, x):
        got = forward(kernels, params, x, shape, names, layout)
    assert_chain_close(got, forward(reference, *up(params, x), shape, names))


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
        losses, got = train(kernels, params, arranged_x, arranged_targets, *arguments)
    want_losses, want = train(reference, *up(params, x), lift(targets), *arguments)
    assert_losses_close(losses, want_losses, dtype)
    assert_chain_close(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [127, 128, 129, 300])
def test_forward_of_more_rows_than_a_block(batch, dtype):
    rng = np.random.default_rng(0)
    shape, names = (3, 4, 2), ("tanh", "softmax")
    params, x = parameters(rng, shape, dtype), few_bits(rng, (batch, 3), dtype)
    assert_chain_close(forward(kernels, params, x, shape, names), forward(reference, *up(params, x), shape, names))


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("labels", [True, False])
def test_the_network_of_the_notes(labels, dtype):
    rng = np.random.default_rng(1)
    shape, names, loss = (784, 50, 10), ("sigmoid", "identity"), "softmax_cross_entropy"
    params, x = parameters(rng, shape, dtype) / 16, few_bits(rng, (230, 784), dtype)
    targets = targets_for(rng, loss, 230, 10, dtype, labels)
    assert_chain_close(forward(kernels, params, x, shape, names), forward(reference, *up(params, x), shape, names))
    value, grad = gradient(kernels, params, x, targets, shape, names, loss)
    want_value, want_grad = gradient(reference, *up(params, x), lift(targets), shape, names, loss)
    assert_losses_close(value, want_value, dtype)
    assert_chain_close(grad, want_grad)
    order = rng.permutation(230)
    losses, got = train(kernels, params, x, targets, order, shape, names, loss, 100)
    want_losses, want = train(reference, *up(params, x), lift(targets), order, shape, names, loss, 100)
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
    with framed((batch, shape[-1]), dtype=dtype) as (out,):
        kernels.network_forward(out, params, x, *description)
    with framed(params.shape, dtype=dtype) as (grad_params,):
        kernels.network_gradient(grad_params, params, x, targets, *description, LOSSES.index(loss))
    with framed(params.shape, dtype=dtype) as (inner_params,), framed((2,), dtype=np.float64) as (step_losses,):
        inner_params[...] = params
        order = np.arange(batch + 1) // 2 if batch else np.empty(0, np.int64)
        batch_size = max(1, len(order) - 1)
        steps = -(-len(order) // batch_size)
        step_losses[...] = 0
        none = np.empty(0, params.dtype)
        kernels.train_steps(
            inner_params, none, none, step_losses[:steps], x, targets, order, *description, sgd_settings(0.125),
            LOSSES.index(loss), SGD, batch_size, 0,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh", "relu"])
def test_a_nan_in_one_sample_stays_in_its_row(name, dtype):
    rng = np.random.default_rng(3)
    shape = (3, 5, 2)
    params, x = parameters(rng, shape, dtype) + dtype.type(0.03), few_bits(rng, (150, 3), dtype)
    x[140, 1] = np.nan
    got = forward(kernels, params, x, shape, (name, "softmax"))
    assert np.all(np.isnan(got[140])) and np.sum(np.isnan(got)) == 2
    labels = np.zeros(150, np.int64)
    value, grad = gradient(kernels, params, x, labels, shape, (name, "identity"), "softmax_cross_entropy")
    assert math.isnan(value) and np.all(np.isnan(grad))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_training_reads_only_the_samples_in_order(dtype):
    rng = np.random.default_rng(4)
    shape, names, loss = (3, 5, 2), ("tanh", "identity"), "squared_error"
    params, x, targets = parameters(rng, shape, dtype), few_bits(rng, (9, 3), dtype), few_bits(rng, (9, 2), dtype)
    x[[2, 5]] = targets[[2, 5]] = np.nan
    losses, got = train(kernels, params, x, targets, np.array([8, 0, 0, 3, 1]), shape, names, loss, 2)
    assert np.all(np.isfinite(losses)) and np.all(np.isfinite(got))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_training_on_no_samples_changes_nothing(dtype):
    rng = np.random.default_rng(5)
    shape, names, loss = (3, 5, 2), ("tanh", "identity"), "squared_error"
    params, x, targets = parameters(rng, shape, dtype), few_bits(rng, (9, 3), dtype), few_bits(rng, (9, 2), dtype)
    losses, got = train(kernels, params, x, targets, np.empty(0, np.int64), shape, names, loss, 4)
    assert losses.size == 0
    assert got.tobytes() == params.tobytes()


@pytest.mark.parametrize("batch_size", [1, 4, 9, 50])
def test_every_step_starts_from_the_last_update(batch_size):
    """A linear model in float64: the steps by hand, with gradient and update of the reference."""
    rng = np.random.default_rng(6)
    shape, names, loss = (3, 2), ("identity",), "squared_error"
    params, x, targets = parameters(rng, shape, np.float64), rng.standard_normal((9, 3)), rng.standard_normal((9, 2))
    order = rng.integers(0, 9, 21)
    losses, got = train(kernels, params, x, targets, order, shape, names, loss, batch_size)
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
    losses, _ = train(kernels, params, x, labels, order, shape, names, loss, 10, 0.5)
    assert losses[-12:].mean() < (0.9 if NOJIT else 0.3) * losses[:12].mean()
