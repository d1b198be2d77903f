"""The gradient of a network against the reference and against central differences."""

import math

import numpy as np
import pytest
from helpers import DIFFERENCE_TOL, LAYOUTS, NOJIT, arrange, central_difference, dtypes, seeds
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    DROPOUT,
    EVERY_LOSS,
    HIDDEN,
    assert_gradient_close,
    assert_training_close,
    batches,
    gradient,
    networks,
    problem_of,
)
from step_forms import every_dtype, every_extra

from fastfnn import kernels, reference


@given(networks(), batches, dtypes, st.booleans(), st.booleans(), st.sampled_from(LAYOUTS), seeds)
def test_gradient_matches_the_reference(network, batch, dtype, labels, drops, layout, seed):
    rng = np.random.default_rng(seed)
    problem = problem_of(rng, *network, batch, dtype, labels, exact=True)
    problem = problem._replace(targets=arrange(problem.targets, layout))
    assert_gradient_close(problem, seed % 7, **DROPOUT if drops else {})


def difference(problem, step=1, **settings):
    """The gradient by central differences. Without the compiler the reference's loss, which is the same, is faster."""
    module = reference if NOJIT else kernels
    return central_difference(
        lambda params: gradient(module, problem._replace(params=params), step, **settings)[0], problem.params
    )


def assert_gradient_is_the_difference(problem, step=1, **settings):
    _, got, _ = gradient(kernels, problem, step, **settings)
    want = difference(problem, step, **settings)
    np.testing.assert_allclose(got, want, atol=DIFFERENCE_TOL * max(1, np.abs(want).max()))


# The last layer is another for each hidden one: that what goes back from it is right does not depend on what it meets.
@pytest.mark.parametrize(("hidden", "last"), [*zip(HIDDEN, HIDDEN[::-1], strict=True), ("relu", "identity")])
@every_extra
def test_gradient_matches_central_differences(extra, hidden, last):
    rng = np.random.default_rng(7)
    names, normalized = (hidden, hidden, last), extra.normalized
    problem = problem_of(rng, (3, 5, 4, 2), names, "squared_error", 6, np.float64, normalized=normalized)
    assert_gradient_is_the_difference(problem._replace(x=rng.standard_normal((6, 3))), **extra.settings)


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.parametrize("labels", [True, False])
def test_gradient_of_every_loss_matches_central_differences(labels, loss):
    problem = problem_of(np.random.default_rng(7), (3, 5, 2), ("tanh", "identity"), loss, 4, np.float64, labels)
    assert_gradient_is_the_difference(problem)


@every_dtype
@every_extra
@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_an_empty_batch_has_loss_nan_and_gradient_zero(loss, extra, dtype):
    rng = np.random.default_rng(2)
    problem = problem_of(rng, (3, 5, 2), ("relu", "identity"), loss, 0, dtype, normalized=extra.normalized)
    value, grad, statistics = gradient(kernels, problem, **extra.settings)
    assert math.isnan(value)
    np.testing.assert_array_equal(grad, np.zeros_like(grad))
    assert np.all(np.isnan(statistics))


@every_dtype
@pytest.mark.parametrize("name", HIDDEN)
def test_a_nan_in_one_sample_reaches_the_whole_gradient(name, dtype):
    rng = np.random.default_rng(3)
    problem = problem_of(rng, (3, 5, 2), (name, "identity"), "softmax_cross_entropy", 150, dtype)
    problem.x[140, 1] = np.nan
    for settings in ({}, DROPOUT):  # 0 times NaN is NaN
        value, grad, _ = gradient(kernels, problem, **settings)
        assert math.isnan(value) and np.all(np.isnan(grad))


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("labels", [True, False])
def test_the_network_of_the_notes_matches_the_reference(labels, dtype):
    rng = np.random.default_rng(1)
    shape, names, loss = (784, 50, 10), ("sigmoid", "identity"), "softmax_cross_entropy"
    problem = problem_of(rng, shape, names, loss, 230, dtype, labels)
    assert_gradient_close(problem)
    assert_training_close(problem, 100, rng.permutation(230))
