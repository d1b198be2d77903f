"""Activations: accuracy over the whole range, gradients, layouts, softmax. Special numbers: test_special_values.py."""

import functools

import numpy as np
import pytest
from exact_activations import exact
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    ELEMENTWISE_EPS,
    NOJIT,
    SUM_SLACK,
    TOLERANCES,
    arrange,
    assert_close,
    assert_within_ulps,
    central_difference,
    dtypes,
    framed,
    layouts,
    normal,
    poisoned,
    seeds,
    sizes,
    unchanged,
    up,
)
from hypothesis import given
from hypothesis import strategies as st
from user_codes import BUILT_IN, by_input

from fastfnn import kernels, reference


def forward_of(module, name):
    return getattr(module, name if name == "softmax" else f"{name}_forward")


def forward(module, name, x, layout="C"):
    out = poisoned(x.shape, x.dtype, layout)
    forward_of(module, name)(out, x)
    return out


def backward(module, name, grad_out, given, layout="C"):
    grad_x = poisoned(given.shape, given.dtype, layout)
    getattr(module, f"{name}_backward")(grad_x, grad_out, given)
    return grad_x


def given_to_backward(name, x):
    return x if by_input(name) else forward(kernels, name, x)


def powers_of_two(dtype):
    """Some hundred numbers: every binary order of magnitude down to the subnormals, both signs."""
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp, 1 if dtype == np.float32 else 8)
    magnitudes = np.concatenate([np.ldexp(1.0, exponents), np.ldexp(1.6180339887, exponents[:-1])]).astype(dtype)
    return np.concatenate([magnitudes, -magnitudes])


def thresholds(dtype):
    """Where the functions saturate, underflow, or an argument reduction has its seams."""
    points = [9.01, 9.02, 16.6, 17.4, 19.06, 36.7, 37.5, 87.3, 88.7, 88.8, 103.9, 104.0, 708.3, 709.8, 745.1, 745.2]
    seams = np.log(2) * np.arange(0.5, 130, 8)
    grid = np.concatenate([points, seams, np.linspace(0.01, 12, 120)]).astype(dtype)
    grid = np.concatenate([grid, np.nextafter(grid, dtype.type(0)), np.nextafter(grid, dtype.type(1000))])
    return np.concatenate([grid, -grid])


@functools.cache
def exact_table(name, dtype):
    x = np.concatenate([powers_of_two(dtype), thresholds(dtype)])
    return x, np.array([exact(name, value) for value in x.tolist()]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_order_of_magnitude_is_right_to_4_ulp(name, dtype):
    x, want = exact_table(name, dtype)
    assert_within_ulps(forward(kernels, name, x[np.newaxis])[0], want, x)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_sweep_of_float32_is_right_to_4_ulp(name):
    count = 4_000 if NOJIT else 100_000
    over_all = np.linspace(0, 2**32 - 1, count, dtype=np.uint64).astype(np.uint32)
    start, stop = (int(np.float32(value).view(np.uint32)) for value in (2.0**-14, 128))
    over_the_bend = np.linspace(start, stop, count, dtype=np.uint64).astype(np.uint32)
    x = np.concatenate([over_all, over_the_bend, over_the_bend | np.uint32(1 << 31)]).view(np.float32)
    with np.errstate(all="ignore"):
        want = forward(reference, name, x[np.newaxis].astype(np.float64))[0].astype(np.float32)
        got = forward(kernels, name, x[np.newaxis])[0]
    assert_within_ulps(got, want, x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["identity", "relu"])
def test_identity_and_relu_are_exact(name, dtype):
    x = powers_of_two(dtype)[np.newaxis]
    x = x[:, np.abs(x[0]) >= TOLERANCES[dtype].tiny]  # smaller ones may count as zero
    np.testing.assert_array_equal(forward(kernels, name, x), forward(reference, name, x))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", BUILT_IN)
def test_one_nan_makes_one_nan(name, dtype):
    x, grad_out = np.full((9, 17), 0.5, dtype), np.ones((9, 17), dtype)
    x[7, 16] = np.nan
    only_there = np.isnan(x)
    np.testing.assert_array_equal(np.isnan(forward(kernels, name, x)), only_there)
    np.testing.assert_array_equal(np.isnan(backward(kernels, name, x, grad_out)), only_there)


@pytest.mark.parametrize("name", [*BUILT_IN, "exp"])
@given(sizes, sizes, dtypes, layouts(2), seeds)
def test_forward_fills_every_shape_and_layout(name, batch, features, dtype, layout, seed):
    x = arrange(normal(np.random.default_rng(seed), (batch, features), dtype, scale=3), layout[0])
    with unchanged(x):
        got = forward(kernels, name, x, layout[1])
    (x,) = up(x)
    want = forward(reference, name, x)
    if name == "gelu":  # the reference rounds x / sqrt(2), which costs its error function x^2 eps
        assert_close(got, want, (ELEMENTWISE_EPS + x * x) * TOLERANCES[dtype].eps * np.abs(want))
    elif got.size:
        assert_within_ulps(got, want.astype(dtype), x)


@pytest.mark.parametrize("name", BUILT_IN)
@given(sizes, sizes, dtypes, layouts(3), seeds)
def test_backward_matches_the_reference(name, batch, features, dtype, layout, seed):
    rng = np.random.default_rng(seed)
    grad_out = arrange(normal(rng, (batch, features), dtype), layout[0])
    x = normal(rng, (batch, features), dtype, scale=3)
    given = arrange(x if by_input(name) else forward(reference, name, x), layout[1])
    with unchanged(grad_out, given):
        got = backward(kernels, name, grad_out, given, layout[2])
    grad_out, given = up(grad_out, given)
    want = backward(reference, name, grad_out, given)
    size = np.abs(grad_out) if by_input(name) else np.abs(want)  # slopes that cross 0 are right to eps
    assert_close(got, want, (ELEMENTWISE_EPS + 1) * TOLERANCES[dtype].eps * size)


@pytest.mark.parametrize("name", BUILT_IN)
def test_backward_matches_central_differences(name):
    rng = np.random.default_rng(0)
    x, grad_out = normal(rng, (5, 9), np.float64, scale=2), normal(rng, (5, 9), np.float64)
    x[np.abs(x) < 0.01] = 0.5  # away from the kink of ReLU
    got = backward(kernels, name, grad_out, given_to_backward(name, x))
    want = central_difference(lambda x: np.sum(grad_out * forward(kernels, name, x)), x)
    np.testing.assert_allclose(got, want, atol=DIFFERENCE_TOL)


def test_the_derivative_of_relu_at_zero_is_zero():
    out, grad_out = np.array([[0.0, -0.0, 1e-300]]), np.array([[3.0, 3.0, 3.0]])
    np.testing.assert_array_equal(backward(kernels, "relu", grad_out, out), [[0.0, 0.0, 3.0]])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "strided"])
@pytest.mark.parametrize("name", [*BUILT_IN, "softmax", "exp"])
def test_forward_may_overwrite_its_input(name, layout, dtype):
    x = arrange(normal(np.random.default_rng(1), (9, 33), dtype, scale=3), layout)
    want = forward(kernels, name, x)
    forward_of(kernels, name)(x, x)
    np.testing.assert_allclose(x, want, rtol=ELEMENTWISE_EPS * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "strided"])
@pytest.mark.parametrize("name", BUILT_IN)
def test_backward_may_overwrite_the_gradient(name, layout, dtype):
    rng = np.random.default_rng(2)
    grad, x = arrange(normal(rng, (9, 33), dtype), layout), normal(rng, (9, 33), dtype)
    out = forward(kernels, name, x)
    want = backward(kernels, name, grad, out)
    with unchanged(out):
        getattr(kernels, f"{name}_backward")(grad, grad, out)
    np.testing.assert_allclose(grad, want, rtol=ELEMENTWISE_EPS * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("name", [*BUILT_IN, "softmax", "exp"])
@given(sizes, sizes, dtypes, seeds)
def test_nothing_outside_the_output_is_written(name, batch, features, dtype, seed):
    x = normal(np.random.default_rng(seed), (batch, features), dtype)
    with framed(x.shape, dtype=dtype) as (out,):
        forward_of(kernels, name)(out, x)
    if name in BUILT_IN:
        with framed(x.shape, dtype=dtype) as (grad_x,):
            getattr(kernels, f"{name}_backward")(grad_x, x, x)


@given(sizes, sizes, dtypes, layouts(2), seeds, st.sampled_from([0.1, 3.0, 100.0]))
def test_softmax_matches_the_reference(batch, classes, dtype, layout, seed, scale):
    x = arrange(normal(np.random.default_rng(seed), (batch, classes), dtype, scale), layout[0])
    with unchanged(x):
        got = forward(kernels, "softmax", x, layout[1])
    (x,) = up(x)
    want = forward(reference, "softmax", x)
    rounding_of_the_shift = np.abs(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    assert_close(got, want, (classes + SUM_SLACK + rounding_of_the_shift) * TOLERANCES[dtype].eps * want)
    if classes:
        np.testing.assert_allclose(got.sum(axis=1), 1, rtol=(classes + SUM_SLACK) * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shift", [-1e4, -100.0, 64.0, 1e4])
def test_softmax_does_not_change_under_a_shift(dtype, shift):
    x = np.random.default_rng(3).integers(-9, 10, (9, 17)).astype(dtype)  # integers: x + shift is exact
    got, want = forward(kernels, "softmax", x + dtype.type(shift)), forward(kernels, "softmax", x)
    np.testing.assert_allclose(got, want, rtol=(17 + SUM_SLACK) * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_softmax_of_extreme_values(dtype):
    largest = np.finfo(dtype).max
    x = np.array([[1e4, -1e4, -1e4], [-1e4, -1e4, -1e4], [0, -np.inf, 0], [largest, 0, largest]], dtype)
    want = [[1, 0, 0], [1 / 3] * 3, [0.5, 0, 0.5], [0.5, 0, 0.5]]
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(forward(kernels, "softmax", x), want, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("column", [0, 8, 16])
def test_softmax_makes_nan_of_exactly_the_poisoned_row(dtype, poison, column):
    x = normal(np.random.default_rng(4), (9, 17), dtype)
    x[5, column] = poison  # infinity over infinity is NaN, in the reference too
    with np.errstate(invalid="ignore"):
        got, want = forward(kernels, "softmax", x), forward(reference, "softmax", *up(x))
    assert np.all(np.isnan(got[5])) and np.sum(np.isnan(got)) == 17
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_exp_of_special_values(dtype):
    x = np.array([[0, -0.0, -np.inf, np.inf, np.nan, 1000, -1000]], dtype)
    with np.errstate(all="ignore"):
        got = forward(kernels, "exp", x)
        want = forward(reference, "exp", x)
    np.testing.assert_array_equal(got, [[1, 1, 0, np.inf, np.nan, np.inf, 0]])
    np.testing.assert_array_equal(got, want)
