"""Networks for tables against the reference, central differences and plain networks."""

import math

import numpy as np
import pytest
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    NOJIT,
    TOLERANCES,
    assert_chain_close,
    assert_same_bits,
    central_difference,
    dtypes,
    seeds,
    up,
)
from hypothesis import given
from hypothesis import strategies as st
from tabular_problems import BINS, CATEGORIES, MIXED, NUMBERS, PLAIN, forward_of, gradient_of, random_tabular, steps_of
from user_codes import code_of, twin_of

from fastfnn import kernels, reference
from fastfnn.kernels.tuning import TABULAR_ROWS

DROPOUT = {"dropout": 0.5, "dropout_scale": 2.0, "seed": 7}
CLIP = {"clip_norm": 0.125}
SMOOTH = ("tanh", "silu", "softplus")
LOSSES = ("squared_error", "huber", "quantile", "sigmoid_cross_entropy")
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def in_float64(problem):
    """The problem as the reference computes it."""
    arrays = [array.astype(float) for array in (problem.params, problem.x, problem.weights)]
    targets = problem.targets if problem.targets.ndim == 1 else problem.targets.astype(float)
    codes = np.array([twin_of(code, problem.params.dtype) for code in problem.codes])
    return problem._replace(params=arrays[0], x=arrays[1], weights=arrays[2], targets=targets, codes=codes)


def assert_gradient_close(problem):
    (value, grad), (want_value, want) = gradient_of(kernels, problem), gradient_of(reference, in_float64(problem))
    assert_chain_close(grad, want)
    assert abs(value - want_value) <= TOLERANCES[grad.dtype].chain * (1 + abs(want_value))


sizes = st.integers(1, 9 if NOJIT else 40)
members = st.integers(1, 4) | st.just(17)
hidden_layers = st.lists(sizes, min_size=1, max_size=3)


@given(st.integers(1, 9 if NOJIT else 70), hidden_layers, members, st.booleans(), st.booleans(), dtypes, seeds)
def test_gradient_matches_the_reference(samples, hidden, count, scaled, drops, dtype, seed):
    rng = np.random.default_rng(seed)
    labels, loss = seed % 3 == 0, LOSSES[seed % 4]
    problem = random_tabular(
        rng, dtype, samples, hidden, 1 + seed % 5, count, scaled, names=SMOOTH, labels=labels, loss=loss,
        weighted=seed % 2 == 0, **DROPOUT if drops else {},
    )  # fmt: skip
    assert_gradient_close(problem)


@given(st.integers(0, 9 if NOJIT else 200), hidden_layers, members, st.booleans(), dtypes, seeds)
def test_predictions_match_the_reference(samples, hidden, count, scaled, dtype, seed):
    rng, last = np.random.default_rng(seed), ("identity", "softmax", "sigmoid", "exp")[seed % 4]
    problem = random_tabular(rng, dtype, samples, hidden, 1 + seed % 5, count, scaled, names=SMOOTH)
    codes = np.array([*problem.codes[:-1], code_of(last, dtype)])
    wide = in_float64(problem)
    assert_chain_close(
        forward_of(kernels, problem, codes), forward_of(reference, wide, np.array([*wide.codes[:-1], codes[-1]])), 1
    )


@every_dtype
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adamw"])
@pytest.mark.parametrize(("count", "scaled"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("settings", [{}, DROPOUT | CLIP], ids=["plain", "dropout and clipping"])
def test_steps_match_the_reference(settings, count, scaled, optimizer, dtype):
    problem = random_tabular(
        np.random.default_rng(2), dtype, 23, (9, 8), 2, count, scaled, names=SMOOTH, weighted=True, **settings
    )
    got = steps_of(kernels, problem, optimizer, 7, epochs=2)
    want = steps_of(reference, in_float64(problem), optimizer, 7, epochs=2)
    for array, twin in zip(got, want, strict=True):
        assert_chain_close(array.astype(dtype), twin, 1)


@pytest.mark.parametrize(("count", "scaled"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("labels", [False, True])
def test_gradient_matches_central_differences(labels, name, count, scaled):
    problem = random_tabular(
        np.random.default_rng(5), DTYPES[1], 6, (5, 4), 3, count, scaled, names=(name,), labels=labels, weighted=True
    )
    module = reference if NOJIT else kernels
    want = central_difference(lambda params: gradient_of(module, problem, params=params)[0], problem.params)
    np.testing.assert_allclose(gradient_of(kernels, problem)[1], want, atol=DIFFERENCE_TOL)


@every_dtype
def test_one_member_without_tables_is_a_plain_network(dtype):
    rng = np.random.default_rng(3)
    problem = random_tabular(rng, dtype, 50, (17, 9), 3, 1, True, features=NUMBERS, names=("silu",), weighted=True)
    want = np.full_like(problem.params, math.nan)
    value = kernels.network_gradient(
        want, np.empty(0, dtype), problem.params, problem.x, problem.targets, problem.weights, problem.sizes,
        problem.codes, problem.settings, problem.parameters, problem.loss, 3,
    )  # fmt: skip
    got_value, got = gradient_of(kernels, problem)
    assert_chain_close(got, up(want))
    assert got_value == pytest.approx(value, rel=TOLERANCES[dtype].chain)


@pytest.mark.skipif(NOJIT, reason="takes long without the compiler")
@every_dtype
@pytest.mark.parametrize("scaled", [False, True])
def test_a_batch_that_is_larger_than_the_buffers_has_the_gradient_of_its_parts(scaled, dtype):
    count = 5
    samples = 2 * (TABULAR_ROWS // count) + 3  # three parts, the last of a few samples
    assert_gradient_close(
        random_tabular(
            np.random.default_rng(4), dtype, samples, (9, 5), 2, count, scaled, names=SMOOTH, weighted=True, **DROPOUT
        )
    )


@every_dtype
@pytest.mark.parametrize("scaled", [False, True])
def test_an_empty_batch_has_loss_nan_and_gradient_zero(scaled, dtype):
    value, grad = gradient_of(kernels, random_tabular(np.random.default_rng(1), dtype, 0, (5,), 2, 3, scaled))
    assert math.isnan(value)
    np.testing.assert_array_equal(grad, 0)


@every_dtype
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("feature", range(len(MIXED)))
def test_what_is_not_finite_reaches_the_prediction_of_its_sample_alone(feature, value, dtype):
    problem = random_tabular(np.random.default_rng(1), dtype, 9, (5, 4), 2, 3, True, names=("softplus",))
    want = forward_of(kernels, problem)
    problem.x[4, feature] = value
    got = forward_of(kernels, problem)
    assert not np.isfinite(got[4]).any()
    assert_same_bits(np.delete(got, 4, axis=0), np.delete(want, 4, axis=0))


@every_dtype
def test_positions_beyond_the_bins_go_on_with_the_slope_of_the_last_bin(dtype):
    problem = random_tabular(np.random.default_rng(1), dtype, 4, (5,), 1, 1, False, features=((BINS, 3, 2),))
    problem.x[:, 0] = [2.0, 3.0, 4.0, 5.0]
    table = problem.params[:8].astype(float).reshape(4, 2)
    e = reference.tabular.embedded(problem.x.astype(float), [table], problem.features)
    np.testing.assert_allclose(np.diff(e, axis=0), np.broadcast_to(table[3], (3, 2)))
    assert_gradient_close(problem)


@every_dtype
def test_codes_beyond_the_categories_are_the_first_or_last_one(dtype):
    problem = random_tabular(np.random.default_rng(1), dtype, 4, (5,), 1, 2, False, features=((CATEGORIES, 3, 4),))
    problem.x[:, 0] = [-5, 0, 2, 9]
    out = forward_of(kernels, problem)
    assert_same_bits(out[[0, 2]], out[[1, 3]])
    assert (out[1] != out[2]).all()


@every_dtype
@pytest.mark.parametrize("kind", [PLAIN, BINS, CATEGORIES])
def test_rows_of_x_may_be_apart(kind, dtype):
    problem = random_tabular(np.random.default_rng(1), dtype, 12, (5,), 1, 2, False, features=((kind, 2, 1),) * 3)
    want = gradient_of(kernels, problem)[1]
    apart = np.zeros((24, 5), dtype)[::2, 1:4]
    apart[...] = problem.x
    assert_same_bits(gradient_of(kernels, problem, x=apart)[1], want)
    assert_same_bits(gradient_of(kernels, problem, x=np.asfortranarray(problem.x))[1], want)


@every_dtype
def test_steps_in_several_calls_have_the_bits_of_one(dtype):
    problem = random_tabular(np.random.default_rng(2), dtype, 21, (9, 8), 2, 3, True, **DROPOUT)
    together = steps_of(kernels, problem, "sgd", 7, epochs=1)
    order, params = np.random.default_rng(1).permutation(21), problem.params.copy()
    nothing, rates = np.empty(0, dtype), 0.125 * 0.75 ** np.arange(3)
    for step, samples in enumerate(order.reshape(3, 1, 7)):
        kernels.tabular_steps(
            params, nothing, nothing, np.empty(1), problem.x, problem.targets, problem.weights,
            samples, rates[step : step + 1], problem.features, problem.sizes, problem.codes,
            problem.settings, problem.parameters, problem.loss, kernels.OPTIMIZERS.index("sgd"), 7, 3 + step,
            problem.members, problem.scaled,
        )  # fmt: skip
    assert_same_bits(params, together[0])
