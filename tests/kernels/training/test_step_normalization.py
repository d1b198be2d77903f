"""Batch normalization in training steps."""

import numpy as np
import pytest
from helpers import FLOAT64_RTOL, assert_chain_close
from networks import DROPOUT, assert_gradient_close, assert_training_close, gradient, lift, problem_of, train
from step_forms import every_dtype, problem_in

from fastfnn import kernels, reference


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
