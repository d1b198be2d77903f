"""Dropout in training steps."""

import numpy as np
import pytest
from helpers import FLOAT64_RTOL
from networks import DROPOUT, HIDDEN, Problem, assert_training_close, gradient, problem_of, train
from step_forms import every_dtype, every_form, problem_in

from fastfnn import kernels, reference


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
    problem, batch_size = problem_in(form, rng, (30, 2), ("tanh",), "squared_error", dtype)
    rule = {"optimizer": "momentum"}  # not gradient descent, whose step on one sample takes another form
    want = train(kernels, problem, batch_size, **rule)
    assert train(kernels, problem, batch_size, **rule, **DROPOUT).bits == want.bits
    off = {"dropout": 0.0, "dropout_scale": 7.0, "seed": 5}
    problem, batch_size = problem_in(form, rng, (5, 9, 4), ("relu", "identity"), "squared_error", dtype)
    assert train(kernels, problem, batch_size, **off).bits == train(kernels, problem, batch_size).bits


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("name", HIDDEN)
def test_dropout_after_every_activation_matches_the_reference(name, normalized):
    problem = problem_of(
        np.random.default_rng(21), (5, 19, 7, 3), (name, name, "identity"), "squared_error", 9, np.dtype("float64"),
        normalized=normalized,
    )  # fmt: skip
    assert_training_close(problem, 4, **DROPOUT)
