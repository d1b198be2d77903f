"""The update rules against exact arithmetic and the reference."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import DTYPES, arrange, dtypes, framed, layouts, normal, seeds, sizes, unchanged, up
from hypothesis import given

from fastfnn import kernels, reference

RATES = (0.1, 1.0, 3e-4)


def assert_sgd_error(got, param, grad, learning_rate):
    """1 ulp of the exact result, or of learning_rate * grad where the two cancel."""
    dtype = got.dtype
    rate = Fraction(float(dtype.type(learning_rate)))  # an update is computed in the dtype of the parameters
    for g, p, d in zip(got.ravel().tolist(), param.ravel().tolist(), grad.ravel().tolist(), strict=True):
        step = rate * Fraction(d)
        exact = Fraction(p) - step
        ulp = np.spacing(dtype.type(max(abs(float(exact)), abs(float(step)))))
        assert abs(Fraction(g) - exact) <= Fraction(float(ulp)), (p, d, g)


@given(sizes, sizes, dtypes, layouts(2), seeds)
def test_sgd_matches_the_reference(rows, columns, dtype, layout, seed):
    rng = np.random.default_rng(seed)
    param, grad = (arrange(normal(rng, (rows, columns), dtype), order) for order in layout)
    want, want_grad = up(param, grad)
    rate = float(dtype.type(0.1))
    reference.sgd_update(want, want_grad, rate)
    with unchanged(grad):
        kernels.sgd_update(param, grad, rate)
    np.testing.assert_allclose(param, want, rtol=0, atol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("learning_rate", RATES)
def test_sgd_is_right_to_one_ulp(dtype, learning_rate):
    rng = np.random.default_rng(0)
    param, grad = normal(rng, (20, 33), dtype), normal(rng, (20, 33), dtype)
    grad[3] = param[3] / dtype.type(learning_rate)  # the two cancel
    grad *= (10.0 ** rng.integers(-3, 4, grad.shape)).astype(dtype)
    got = param.copy()
    kernels.sgd_update(got, grad, learning_rate)
    assert_sgd_error(got, param, grad, learning_rate)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "strided", "reversed"])
@pytest.mark.parametrize("size", [0, 1, 7, 17, 50])
def test_sgd_updates_vectors_in_place(dtype, layout, size):
    rng = np.random.default_rng(size)
    start, grad = normal(rng, size, dtype), arrange(normal(rng, size, dtype), layout)
    param = arrange(start, layout)
    with unchanged(grad):
        kernels.sgd_update(param, grad, 0.1)
    assert_sgd_error(param, start, grad, 0.1)


@given(sizes, sizes, dtypes, seeds)
def test_sgd_writes_nothing_else(rows, columns, dtype, seed):
    grad = normal(np.random.default_rng(seed), (rows, columns), dtype)
    with framed(grad.shape, grad.shape[:1], dtype=dtype) as (matrix, vector):
        matrix[...], vector[...] = 1, 1
        kernels.sgd_update(matrix, grad, 0.1)
        kernels.sgd_update(vector, grad[:, 0] if columns else np.zeros(rows, dtype), 0.1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sgd_with_rate_zero_changes_nothing(dtype):
    rng = np.random.default_rng(1)
    param, grad = normal(rng, (9, 17), dtype), normal(rng, (9, 17), dtype)
    got = param.copy()
    kernels.sgd_update(got, grad, 0.0)
    np.testing.assert_array_equal(got, param)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_sgd_propagates_what_is_not_finite(dtype, poison):
    param, grad = np.ones((9, 17), dtype), np.ones((9, 17), dtype)
    param[2, 3], grad[8, 16], param[5, 5], grad[5, 5] = poison, poison, poison, poison
    (want, want_grad), rate = up(param, grad), 0.5
    with np.errstate(invalid="ignore"):
        reference.sgd_update(want, want_grad, rate)
        kernels.sgd_update(param, grad, rate)
    assert np.sum(np.isfinite(want)) == want.size - 3
    np.testing.assert_array_equal(param, want)
