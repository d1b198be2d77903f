"""The update of a training step: every rule, learning rates, limited gradients, and the penalty."""

import numpy as np
import pytest
from helpers import DTYPES, TOLERANCES
from networks import assert_training_close, gradient, lift, problem_of, train
from step_forms import FORMS, every_dtype, every_form, problem_in

from fastfnn import kernels, reference
from fastfnn.kernels import OPTIMIZERS
from fastfnn.kernels.tuning import NORM_PIECE, UPDATE_ROWS

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
def test_every_rule_in_every_form_matches_the_reference(form, optimizer, l2, dtype):
    rng = np.random.default_rng(10)
    # more inputs than rows of a gradient that exist at a time
    shape, names = (UPDATE_ROWS + 1, 9, 3), ("tanh", "identity")
    problem, batch_size = problem_in(form, rng, shape, names, "squared_error", dtype)
    assert_training_close(problem, batch_size, rng.permutation(len(problem.x)), optimizer=optimizer, l2=l2)


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@every_form
def test_a_step_with_rate_zero_changes_no_parameter(form, optimizer, dtype):
    rng = np.random.default_rng(18)
    problem, batch_size = problem_in(form, rng, (5, 9, 4), ("tanh", "identity"), "squared_error", dtype)
    order = np.concatenate([np.arange(batch_size)] * 3)
    rates = np.array([0.0, 0.125, 0.0])
    got = train(kernels, problem, batch_size, order, optimizer, rates, l2=0.5)
    if optimizer == "sgd":  # which has no state
        want = train(kernels, problem, batch_size, order[:batch_size], optimizer, rates[1:2], l2=0.5)
        np.testing.assert_array_equal(got.params, want.params)
    assert got.losses[0] == got.losses[1] != got.losses[2]
    still = train(kernels, problem, batch_size, order, optimizer, np.zeros(3), l2=0.5)
    np.testing.assert_array_equal(still.params, problem.params)


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
    assert problem.params.size > 2 * NORM_PIECE and problem.params.size % NORM_PIECE
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
    shape, names = (UPDATE_ROWS + 1, 9, 3), ("tanh", "identity")
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
