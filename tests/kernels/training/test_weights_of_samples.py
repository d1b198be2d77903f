"""Weights of samples in training steps and in gradients."""

import numpy as np
import pytest
from helpers import assert_chain_close, assert_same_bits
from networks import (
    EVERY_LOSS,
    assert_gradient_close,
    assert_losses_close,
    assert_training_close,
    gradient,
    lift,
    problem_of,
    train,
)
from step_forms import every_dtype, every_form, problem_in

from fastfnn import kernels, reference
from fastfnn.kernels.training.tall_step import _blocks_of


@every_dtype
@pytest.mark.parametrize("batch_size", [2, 8, pytest.param(1026, marks=pytest.mark.jit)])
def test_samples_of_weight_zero_do_not_count(batch_size, dtype):
    # half of them; the others have weight 2, so that the mean over a batch is that over half a batch
    rng = np.random.default_rng(28)
    problem = problem_of(rng, (5, 9, 4), ("tanh", "identity"), "softmax_cross_entropy", 2 * batch_size, dtype)
    assert (_blocks_of(batch_size, problem.params.nbytes).groups > 0) == (batch_size > 1000)
    got = train(kernels, problem._replace(weights=np.tile([0, 2], batch_size).astype(dtype)), batch_size)
    others = problem._replace(x=problem.x[1::2], targets=problem.targets[1::2])
    want = train(reference, lift(others), batch_size // 2)
    assert_losses_close(got.losses, want.losses, dtype)
    assert_chain_close(got.params, want.params)


@every_dtype
@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("batch", [1, 17, pytest.param(1026, marks=pytest.mark.jit)])
def test_the_gradient_of_weighted_samples_matches_the_reference(batch, loss, dtype):
    for normalized in (False, True):
        rng = np.random.default_rng(27)
        problem = problem_of(
            rng, (5, 9, 4), ("tanh", "identity"), loss, batch, dtype, weighted=True, normalized=normalized
        )
        assert_gradient_close(problem)
        none = problem._replace(weights=np.empty(0, dtype))
        assert_same_bits(gradient(kernels, problem._replace(weights=np.ones(batch, dtype))), gradient(kernels, none))


@every_dtype
@pytest.mark.parametrize("batch", [2, 8, pytest.param(1026, marks=pytest.mark.jit)])
def test_samples_of_weight_zero_do_not_count_in_a_gradient(batch, dtype):
    rng = np.random.default_rng(28)
    problem = problem_of(rng, (5, 9, 4), ("tanh", "identity"), "softmax_cross_entropy", 2 * batch, dtype)
    value, grad, _ = gradient(kernels, problem._replace(weights=np.tile([0, 2], batch).astype(dtype)))
    others = problem._replace(x=problem.x[1::2], targets=problem.targets[1::2])
    want, want_grad, _ = gradient(reference, lift(others))
    assert_losses_close(value, want, dtype)
    assert_chain_close(grad, want_grad)


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
@pytest.mark.parametrize("loss", EVERY_LOSS)
@every_form
def test_weights_of_one_are_none_and_of_two_a_rate_twice_as_large(form, loss, dtype):
    # all bit for bit: products with powers of two are exact
    rng = np.random.default_rng(29)
    problem, batch_size = problem_in(form, rng, (5, 9, 4), ("tanh", "identity"), loss, dtype)
    want = train(kernels, problem, batch_size)
    for weight in (1, 2):
        weighted = problem._replace(weights=np.full(len(problem.x), weight, dtype))
        got = train(kernels, weighted, batch_size, rates=0.125 / weight)
        assert (got.losses / weight).tobytes() == want.losses.tobytes()
        assert got.params.tobytes() == want.params.tobytes()


@every_dtype
@pytest.mark.parametrize("loss", EVERY_LOSS)
@every_form
def test_weights_go_with_their_samples(form, loss, dtype):
    rng = np.random.default_rng(30)
    problem, batch_size = problem_in(form, rng, (3, 9, 17), ("tanh", "identity"), loss, dtype, weighted=True)
    order = rng.integers(0, len(problem.x), len(problem.x))
    assert_training_close(problem, batch_size, order)
    chosen = problem._replace(x=problem.x[order], targets=problem.targets[order], weights=problem.weights[order])
    assert train(kernels, chosen, batch_size).bits == train(kernels, problem, batch_size, order).bits
