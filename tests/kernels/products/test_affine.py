"""affine_forward and affine_backward against the reference in float64."""

import numpy as np
import pytest
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    arrange,
    assert_sums_close,
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

from fastfnn import kernels, reference


def forward(module, x, weight, bias, layout="C"):
    out = poisoned((x.shape[0], weight.shape[1]), x.dtype, layout)
    module.affine_forward(out, x, weight, bias)
    return out


def backward(module, grad_out, x, weight, layout=("C", "C", "C")):
    grad_x = poisoned(x.shape, x.dtype, layout[0])
    grad_weight = poisoned(weight.shape, x.dtype, layout[1])
    grad_bias = poisoned(weight.shape[1], x.dtype, layout[2])
    module.affine_backward(grad_x, grad_weight, grad_bias, grad_out, x, weight)
    return grad_x, grad_weight, grad_bias


def assert_forward(x, weight, bias, layout="C"):
    with unchanged(x, weight, bias):
        got = forward(kernels, x, weight, bias, layout)
    x, weight, bias = up(x, weight, bias)
    want = forward(reference, x, weight, bias)
    magnitude = np.abs(x) @ np.abs(weight) + np.abs(bias)
    assert_sums_close(got, want, magnitude, terms=x.shape[1])


def assert_backward(grad_out, x, weight, layout=("C", "C", "C")):
    with unchanged(grad_out, x, weight):
        got = backward(kernels, grad_out, x, weight, layout)
    grad_out, x, weight = up(grad_out, x, weight)
    want = backward(reference, grad_out, x, weight)
    magnitude = backward(reference, np.abs(grad_out), np.abs(x), np.abs(weight))
    terms = (weight.shape[1], len(x), len(x))
    for g, w, m, n in zip(got, want, magnitude, terms, strict=True):
        assert_sums_close(g, w, m, n)


def problem(seed, batch, in_features, out_features, dtype):
    rng = np.random.default_rng(seed)
    x = normal(rng, (batch, in_features), dtype)
    weight = normal(rng, (in_features, out_features), dtype)
    return x, weight, normal(rng, out_features, dtype), normal(rng, (batch, out_features), dtype)


@given(sizes, sizes, sizes, dtypes, layouts(4), seeds)
def test_forward_matches_the_reference(batch, in_features, out_features, dtype, layout, seed):
    x, weight, bias, _ = problem(seed, batch, in_features, out_features, dtype)
    assert_forward(arrange(x, layout[0]), arrange(weight, layout[1]), arrange(bias, layout[2]), layout[3])


@given(sizes, sizes, sizes, dtypes, layouts(6), seeds)
def test_backward_matches_the_reference(batch, in_features, out_features, dtype, layout, seed):
    x, weight, _, grad_out = problem(seed, batch, in_features, out_features, dtype)
    assert_backward(arrange(grad_out, layout[0]), arrange(x, layout[1]), arrange(weight, layout[2]), layout[3:])


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("batch", "in_features", "out_features"),
    [
        (100, 784, 50),  # the first layer of the notes' network
        (3, 1500, 5),  # a long sum: several blocks of the inner dimension
        (1500, 3, 5),  # a deep batch, whose sum has parts
        (5, 3, 1500),  # a wide layer
        (259, 261, 263),  # primes past 256: every block has a remainder
    ],
)
def test_sizes_beyond_one_block(batch, in_features, out_features, dtype):
    x, weight, bias, grad_out = problem(0, batch, in_features, out_features, dtype)
    assert_forward(x, weight, bias)
    assert_backward(grad_out, x, weight)


@given(sizes, sizes, sizes, dtypes, seeds)
def test_products_of_small_integers_are_exact(batch, in_features, out_features, dtype, seed):
    rng = np.random.default_rng(seed)
    x, weight, bias, grad_out = (
        rng.integers(-8, 9, shape).astype(dtype)
        for shape in ((batch, in_features), (in_features, out_features), out_features, (batch, out_features))
    )
    np.testing.assert_array_equal(forward(kernels, x, weight, bias), forward(reference, *up(x, weight, bias)))
    got, want = backward(kernels, grad_out, x, weight), backward(reference, *up(grad_out, x, weight))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_array_equal(g, w)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_small_and_large_magnitudes_keep_the_bound(dtype):
    rng = np.random.default_rng(1)
    x, weight, bias, grad_out = problem(2, 9, 17, 15, dtype)
    for array in (x, weight, bias, grad_out):
        array *= (10.0 ** rng.integers(-12, 13, array.shape)).astype(dtype)
    assert_forward(x, weight, bias)
    assert_backward(grad_out, x, weight)


@given(sizes, sizes, sizes, dtypes, seeds)
def test_nothing_outside_the_outputs_is_written(batch, in_features, out_features, dtype, seed):
    x, weight, bias, grad_out = problem(seed, batch, in_features, out_features, dtype)
    with framed((batch, out_features), dtype=dtype) as (out,):
        kernels.affine_forward(out, x, weight, bias)
    with framed(x.shape, weight.shape, bias.shape, dtype=dtype) as outputs:
        kernels.affine_backward(*outputs, grad_out, x, weight)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("wanted", range(3))
def test_gradients_without_rows_are_left_out(wanted, dtype):
    x, weight, bias, grad_out = problem(5, 33, 17, 50, dtype)
    for module in (kernels, reference):
        with framed(x.shape, weight.shape, bias.shape, dtype=dtype) as outputs:
            module.affine_backward(*outputs, grad_out, x, weight)
            before = [output.copy() for output in outputs]
            outputs[wanted][...] = 0
            some = [output if number == wanted else output[:0] for number, output in enumerate(outputs)]
            module.affine_backward(*some, grad_out, x, weight)
            for got, want in zip(outputs, before, strict=True):
                np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_forward_propagates_what_is_not_finite(dtype, poison):
    x, weight, bias, _ = problem(3, 9, 17, 15, dtype)
    weight[4, 5] = 0  # infinity times 0 is NaN
    for number, index in enumerate([(8, 4), (4, 5), (14,)]):
        arrays = [x.copy(), weight.copy(), bias.copy()]
        arrays[number][index] = poison
        with np.errstate(invalid="ignore"):
            want, got = forward(reference, *up(*arrays)), forward(kernels, *arrays)
        assert 0 < np.sum(~np.isfinite(want)) < want.size
        not_finite = ~np.isfinite(want)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(want))
        np.testing.assert_array_equal(got[not_finite], want[not_finite])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_backward_makes_nan_of_exactly_what_a_nan_enters(dtype):
    x, weight, _, grad_out = problem(4, 9, 17, 15, dtype)
    poisoned_grad_out, poisoned_x, poisoned_weight = grad_out.copy(), x.copy(), weight.copy()
    poisoned_grad_out[8, 14] = poisoned_x[7, 16] = poisoned_weight[3, 2] = np.nan

    grad_x, grad_weight, grad_bias = map(np.isnan, backward(kernels, poisoned_grad_out, x, weight))
    assert np.all(grad_x[8]) and np.sum(grad_x) == 17
    assert np.all(grad_weight[:, 14]) and np.sum(grad_weight) == 17
    assert grad_bias[14] and np.sum(grad_bias) == 1

    grad_x, grad_weight, grad_bias = map(np.isnan, backward(kernels, grad_out, poisoned_x, weight))
    assert np.all(grad_weight[16]) and np.sum(grad_weight) == 15
    assert not np.any(grad_x) and not np.any(grad_bias)

    grad_x, grad_weight, grad_bias = map(np.isnan, backward(kernels, grad_out, x, poisoned_weight))
    assert np.all(grad_x[:, 3]) and np.sum(grad_x) == 9
    assert not np.any(grad_weight) and not np.any(grad_bias)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_empty_sums_are_the_bias_and_zero(dtype):
    x, weight, bias, grad_out = problem(5, 3, 0, 5, dtype)
    np.testing.assert_array_equal(forward(kernels, x, weight, bias), np.broadcast_to(bias, (3, 5)))
    x, weight, _, grad_out = problem(5, 0, 3, 5, dtype)
    _, grad_weight, grad_bias = backward(kernels, grad_out, x, weight)
    assert np.all(grad_weight == 0) and np.all(grad_bias == 0)
    x, weight, _, grad_out = problem(5, 3, 5, 0, dtype)
    assert np.all(backward(kernels, grad_out, x, weight)[0] == 0)


def test_backward_matches_central_differences():
    x, weight, bias, grad_out = problem(6, 4, 3, 5, np.float64)

    def value(x, weight, bias):
        return np.sum(forward(kernels, x, weight, bias) * grad_out)

    grad_x, grad_weight, grad_bias = backward(kernels, grad_out, x, weight)
    want_x = central_difference(lambda x: value(x, weight, bias), x)
    want_weight = central_difference(lambda weight: value(x, weight, bias), weight)
    want_bias = central_difference(lambda bias: value(x, weight, bias), bias)
    np.testing.assert_allclose(grad_x, want_x, atol=DIFFERENCE_TOL)
    np.testing.assert_allclose(grad_weight, want_weight, atol=DIFFERENCE_TOL)
    np.testing.assert_allclose(grad_bias, want_bias, atol=DIFFERENCE_TOL)
