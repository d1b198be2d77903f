"""Batch normalization, forward and backward, against the reference in float64."""

import numpy as np
import pytest
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    NOJIT,
    SUM_SLACK,
    TOLERANCES,
    arrange,
    assert_close,
    central_difference,
    dtypes,
    framed,
    from_python,
    layouts,
    normal,
    poisoned,
    positive_sizes,
    seeds,
    sizes,
    unchanged,
    up,
)
from hypothesis import given
from hypothesis import strategies as st

from fastfnn import kernels, reference
from fastfnn.kernels.elementwise import normalization

EPSILON = 2.0**-17  # about 1e-5, and the same number in every type
ROUNDING = 8  # of the operations on one element, in eps: a handful, each right to half of it

epsilons = st.sampled_from([1.0, EPSILON, 2.0**-40])


def forward(module, x, gamma, beta, epsilon=EPSILON, layout=("C", "C", "C", "C")):
    """out, normalized, mean, variance"""
    shapes = (x.shape, x.shape, gamma.shape, gamma.shape)
    outputs = [poisoned(shape, x.dtype, each) for shape, each in zip(shapes, layout, strict=True)]
    module.batch_norm_forward(*outputs, x, gamma, beta, epsilon)
    return outputs


def backward(module, grad_out, normalized, variance, gamma, epsilon=EPSILON, layout=("C", "C", "C")):
    """grad_x, grad_gamma, grad_beta"""
    shapes = (grad_out.shape, gamma.shape, gamma.shape)
    outputs = [poisoned(shape, gamma.dtype, each) for shape, each in zip(shapes, layout, strict=True)]
    module.batch_norm_backward(*outputs, grad_out, normalized, variance, gamma, epsilon)
    return outputs


def problem(seed, batch, features, dtype, scale=1.0, offset=0.0):
    """x, gamma, beta, grad_out"""
    rng = np.random.default_rng(seed)
    x = (offset + scale * rng.standard_normal((batch, features))).astype(dtype)
    return x, normal(rng, features, dtype), normal(rng, features, dtype), normal(rng, (batch, features), dtype)


def assert_forward(x, gamma, beta, epsilon=EPSILON, layout=("C", "C", "C", "C")):
    """Within what rounding leaves of sums over the batch: of x, of the distances from the mean, of their squares."""
    with unchanged(x, gamma, beta):
        got = forward(kernels, x, gamma, beta, epsilon, layout)
    eps = TOLERANCES[x.dtype].eps
    x, gamma, beta = up(x, gamma, beta)
    want = forward(reference, x, gamma, beta, epsilon)
    _, n, mean, variance = want
    of_sum = (len(x) + SUM_SLACK) * eps
    of_first = of_sum * np.abs(x).mean(axis=0)  # before the distances, each off by so much at most, correct it
    of_mean = eps * np.abs(mean) + (of_sum + eps) * (np.abs(x - mean).mean(axis=0) + of_first)
    of_variance = of_sum * (variance + of_first**2)
    of_scale = of_variance / (variance + epsilon) + ROUNDING * eps
    of_n = (of_mean + eps * np.abs(x - mean)) / np.sqrt(variance + epsilon) * (1 + of_scale) + of_scale * np.abs(n)
    of_out = np.abs(gamma) * of_n + ROUNDING * eps * (np.abs(gamma * n) + np.abs(beta))
    for result, exact, bound in zip(got, want, (of_out, of_n, of_mean, of_variance), strict=True):
        assert_close(result, exact, bound)


def assert_backward(grad_out, normalized, variance, gamma, epsilon=EPSILON, layout=("C", "C", "C")):
    with unchanged(grad_out, normalized, variance, gamma):
        got = backward(kernels, grad_out, normalized, variance, gamma, epsilon, layout)
    eps = TOLERANCES[gamma.dtype].eps
    g, n, variance, gamma = up(grad_out, normalized, variance, gamma)
    want = backward(reference, g, n, variance, gamma, epsilon)
    by_gamma, by_beta = np.abs(g * n).sum(axis=0), np.abs(g).sum(axis=0)
    batch = max(len(g), 1)
    by_x = np.abs(gamma) / np.sqrt(variance + epsilon) * (np.abs(g) + by_beta / batch + np.abs(n) * by_gamma / batch)
    for result, exact, magnitude in zip(got, want, (by_x, by_gamma, by_beta), strict=True):
        assert_close(result, exact, (len(g) + SUM_SLACK + ROUNDING) * eps * magnitude)


@given(positive_sizes, sizes, dtypes, layouts(7), epsilons, seeds)
def test_forward_matches_the_reference(batch, features, dtype, layout, epsilon, seed):
    x, gamma, beta, _ = problem(seed, batch, features, dtype)
    inputs = (arrange(array, each) for array, each in zip((x, gamma, beta), layout, strict=False))
    assert_forward(*inputs, epsilon, layout[3:])


@given(sizes, sizes, dtypes, layouts(7), epsilons, seeds)
def test_backward_matches_the_reference(batch, features, dtype, layout, epsilon, seed):
    normalized, gamma, variance, grad_out = problem(seed, batch, features, dtype)
    inputs = (grad_out, normalized, np.abs(variance), gamma)
    assert_backward(*(arrange(array, each) for array, each in zip(inputs, layout, strict=False)), epsilon, layout[4:])


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("batch", "features"),
    [
        (100, 50),  # the hidden layer of the notes
        (7, 4099),  # a prime past a page: most threads get whole cache lines, the last a part of one
        (2003, 33),  # a long sum
        (1, 100_001),  # one sample for several threads
    ],
)
def test_sizes_for_several_threads(batch, features, dtype):
    x, gamma, beta, grad_out = problem(0, batch, features, dtype)
    assert_forward(x, gamma, beta)
    _, normalized, _, variance = forward(kernels, x, gamma, beta)
    assert_backward(grad_out, normalized, variance, gamma)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_mean_becomes_0_and_the_variance_1(dtype):
    batch = 40 if NOJIT else 400
    x, gamma, beta, _ = problem(1, batch, 17, dtype, scale=3, offset=-5)
    out, n, _, variance = up(*forward(kernels, x, gamma, beta))
    rounding = (batch + SUM_SLACK) * TOLERANCES[dtype].eps
    np.testing.assert_allclose(n.mean(axis=0), 0, atol=5 * rounding)
    np.testing.assert_allclose(n.var(axis=0), variance / (variance + EPSILON), rtol=2 * rounding)
    np.testing.assert_allclose(out.mean(axis=0), beta, atol=5 * rounding)
    np.testing.assert_allclose(out.std(axis=0), np.abs(gamma), rtol=EPSILON)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_a_large_offset_with_a_small_spread(dtype, offset):
    """The mean of the squares less the square of the mean would leave nothing of the variance in float32."""
    x, gamma, beta, _ = problem(2, 128, 17, dtype, offset=offset)
    assert_forward(x, gamma, beta)
    _, n, _, variance = forward(kernels, x, gamma, beta)
    np.testing.assert_allclose(variance, up(x)[0].var(axis=0), rtol=1e-3)
    np.testing.assert_allclose(n.var(axis=0), 1, rtol=1e-3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 100.0])
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_constant_column_becomes_beta(batch, value, dtype):
    """The batches are powers of two: the mean is exact, and the square root is that of epsilon alone."""
    _, gamma, beta, grad_out = problem(3, batch, 17, dtype)
    out, n, mean, variance = forward(kernels, np.full((batch, 17), value, dtype), gamma, beta)
    np.testing.assert_array_equal(mean, value)
    np.testing.assert_array_equal(variance, 0)
    np.testing.assert_array_equal(n, 0)
    np.testing.assert_array_equal(out, np.broadcast_to(beta, out.shape))
    assert_backward(grad_out, n, variance, gamma)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("batch", [3, 100, 129])
def test_a_constant_column_whose_mean_is_rounded(batch, dtype):
    """What rounding leaves is divided by no more than the square root of epsilon."""
    x = np.tile(np.array([0.1, 1 / 3, -0.7, 1e-3, 123.4], dtype), (batch, 1))
    assert_forward(x, np.ones(5, dtype), np.zeros(5, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_sample_becomes_beta_and_sends_no_gradient_back(dtype):
    x, gamma, beta, grad_out = problem(4, 1, 33, dtype, scale=100)
    out, n, mean, variance = forward(kernels, x, gamma, beta)
    np.testing.assert_array_equal(out, [beta])
    np.testing.assert_array_equal(mean, x[0])
    grad_x, grad_gamma, grad_beta = backward(kernels, grad_out, n, variance, gamma)
    np.testing.assert_array_equal(grad_x, np.zeros((1, 33)))
    np.testing.assert_array_equal(grad_gamma, np.zeros(33))
    np.testing.assert_array_equal(grad_beta, grad_out[0])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_empty_batch(dtype):
    x, gamma, beta, grad_out = problem(5, 0, 17, dtype)
    with np.errstate(all="ignore"):  # 0 / 0
        got, want = forward(kernels, x, gamma, beta), forward(reference, *up(x, gamma, beta))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)
    assert np.all(np.isnan(got[2])) and np.all(np.isnan(got[3]))
    _, grad_gamma, grad_beta = backward(kernels, grad_out, x, np.ones(17, dtype), gamma)
    np.testing.assert_array_equal(grad_gamma, np.zeros(17))
    np.testing.assert_array_equal(grad_beta, np.zeros(17))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**10])
def test_a_power_of_two_changes_no_bit(scale, dtype):
    """x and the square root of epsilon times the same: every step is exact in it."""
    x, gamma, beta, _ = problem(6, 33, 17, dtype)
    out, n, mean, variance = forward(kernels, x, gamma, beta)
    scaled = forward(kernels, x * dtype.type(scale), gamma, beta, EPSILON * scale**2)
    for got, want in zip(scaled, (out, n, mean * scale, variance * scale**2), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_column(poison, dtype):
    x, gamma, beta, grad_out = problem(7, 9, 17, dtype)
    column = 16  # past a vector of any width
    good, (_, n, _, variance) = np.arange(17) != column, forward(kernels, x, gamma, beta)
    for number, index in enumerate([(4, column), (column,), (column,)]):
        arrays = [x.copy(), gamma.copy(), beta.copy()]
        arrays[number][index] = poison
        with np.errstate(invalid="ignore"):
            want, got = forward(reference, *up(*arrays)), forward(kernels, *arrays)
        assert not np.all(np.isfinite(want[0]))
        for w, g in zip(want, got, strict=True):
            assert np.all(np.isfinite(g[..., good]))
            np.testing.assert_array_equal(np.isnan(g), np.isnan(w))
    for number, index in enumerate([(4, column), (4, column), (column,), (column,)]):
        arrays = [grad_out.copy(), n.copy(), variance.copy(), gamma.copy()]
        arrays[number][index] = abs(poison)  # of a negative variance there is no root
        with np.errstate(invalid="ignore"):
            got = backward(kernels, *arrays)
            want = backward(reference, *up(*arrays))
        for w, g in zip(want, got, strict=True):
            assert np.all(np.isfinite(g[..., good]))
            np.testing.assert_array_equal(np.isfinite(g), np.isfinite(w))


def test_backward_matches_central_differences():
    x, gamma, beta, grad_out = problem(8, 6, 5, np.dtype("float64"))
    epsilon = 0.1  # large enough to be noticed

    def value(x, gamma, beta):
        return np.sum(grad_out * forward(kernels, x, gamma, beta, epsilon)[0])

    _, n, _, variance = forward(kernels, x, gamma, beta, epsilon)
    grad_x, grad_gamma, grad_beta = backward(kernels, grad_out, n, variance, gamma, epsilon)
    for got, want in [
        (grad_x, central_difference(lambda x: value(x, gamma, beta), x)),
        (grad_gamma, central_difference(lambda gamma: value(x, gamma, beta), gamma)),
        (grad_beta, central_difference(lambda beta: value(x, gamma, beta), beta)),
    ]:
        np.testing.assert_allclose(got, want, atol=DIFFERENCE_TOL)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "F", "strided", "reversed"])
def test_outputs_may_overwrite_inputs(layout, dtype):
    x, gamma, beta, grad_out = problem(9, 33, 17, dtype)
    want = forward(kernels, x, gamma, beta)
    out, (_, *others) = arrange(x, layout), (poisoned(array.shape, dtype) for array in want)
    kernels.batch_norm_forward(out, *others, out, gamma, beta, EPSILON)
    for got, w in zip((out, *others), want, strict=True):
        np.testing.assert_array_equal(got, w)

    _, n, _, variance = want
    want = backward(kernels, grad_out, n, variance, gamma)
    grad_x, (_, *others) = arrange(grad_out, layout), (poisoned(array.shape, dtype) for array in want)
    kernels.batch_norm_backward(grad_x, *others, grad_x, n, variance, gamma, EPSILON)
    for got, w in zip((grad_x, *others), want, strict=True):
        np.testing.assert_array_equal(got, w)


@given(sizes, sizes, dtypes, seeds)
def test_nothing_outside_the_outputs_is_written(batch, features, dtype, seed):
    x, gamma, beta, grad_out = problem(seed, batch, features, dtype)
    with framed(x.shape, x.shape, gamma.shape, gamma.shape, dtype=dtype) as outputs, np.errstate(all="ignore"):
        kernels.batch_norm_forward(*outputs, x, gamma, beta, EPSILON)
    with framed(x.shape, gamma.shape, gamma.shape, dtype=dtype) as outputs:
        kernels.batch_norm_backward(*outputs, grad_out, x, np.abs(beta), gamma, EPSILON)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("features", [1, 17, 50, 130])  # whole cache lines and parts of one
def test_a_column_has_the_same_bits_alone_and_for_any_number_of_threads(features, dtype):
    x, gamma, beta, grad_out = problem(10, 33, features, dtype)
    want = forward(kernels, x, gamma, beta)
    _, n, _, variance = want
    want_back = backward(kernels, grad_out, n, variance, gamma)
    for j in range(0, features, 5):
        one = slice(j, j + 1)  # too narrow for a vector
        got = forward(kernels, x[:, one], gamma[one], beta[one])
        got_back = backward(kernels, grad_out[:, one], n[:, one], variance[one], gamma[one])
        for g, w in zip((*got, *got_back), (*want, *want_back), strict=True):
            np.testing.assert_array_equal(g, w[..., one])
    for threads in (1, 2, 3, 5, 16):
        got = [poisoned(array.shape, dtype) for array in want]
        normalization._forward(*got, x, gamma, beta, EPSILON, threads)
        got_back = [poisoned(array.shape, dtype) for array in want_back]
        normalization._backward(*got_back, grad_out, n, variance, gamma, EPSILON, threads)
        for g, w in zip((*got, *got_back), (*want, *want_back), strict=True):
            np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("columns", [0, 1, 15, 16, 17, 130, 640])  # around a cache line of float32, and several
def test_the_shares_of_columns_are_whole_cache_lines(columns, parts):
    column_share = from_python(normalization.column_share)
    shares = [column_share(columns, parts, part) for part in range(parts)]
    assert [column for start, stop in shares for column in range(start, stop)] == list(range(columns))
    assert all(start % 16 == 0 and start <= stop for start, stop in shares)
