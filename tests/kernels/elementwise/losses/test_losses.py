"""Losses: value and gradient against the reference, extremes, accumulation in float64."""

import math

import numpy as np
import pytest
from helpers import (
    DIFFERENCE_TOL,
    DTYPES,
    ELEMENTWISE_EPS,
    FLOAT64_RTOL,
    NOJIT,
    SUM_SLACK,
    TOLERANCES,
    arrange,
    assert_close,
    central_difference,
    dtypes,
    framed,
    layouts,
    normal,
    poisoned,
    positive_sizes,
    seeds,
    unchanged,
    up,
)
from hypothesis import given
from hypothesis import strategies as st

from fastfnn import kernels, reference

# Losses with their targets and parameters: three kinds of targets of the softmax, which may be smoothed; other losses.
SOFTMAX_KINDS = ("labels", "one-hot", "soft", "smooth labels", "smooth soft")
FUNCTIONS = dict.fromkeys(SOFTMAX_KINDS, "softmax_cross_entropy") | {
    "sigmoid": "sigmoid_cross_entropy",
    "smooth sigmoid": "sigmoid_cross_entropy",
    "squared": "squared_error",
    "poisson": "poisson",
    "huber": "huber",
    "absolute": "absolute_error",
    "quantile": "quantile",
}
KINDS = tuple(FUNCTIONS)
REAL = ("squared", "huber", "absolute", "quantile")  # with targets of either sign
SMOOTHING, DELTA = 0.1, 0.75


def targets_for(kind, rng, batch, classes, dtype):
    labels = rng.integers(0, classes, batch)
    if kind.endswith("labels"):
        return labels
    if kind == "one-hot":
        return np.eye(classes, dtype=dtype)[labels]
    if kind in REAL:
        return normal(rng, (batch, classes), dtype)
    if kind == "poisson":
        return (rng.integers(0, 9, (batch, classes)) / 2).astype(dtype)
    return rng.uniform(0, 1, (batch, classes)).astype(dtype)  # soft rows need not sum to 1


def logits_for(kind, rng, batch, classes, dtype, scale=1.0):
    return normal(rng, (batch, classes), dtype, min(scale, 1.0) if kind == "poisson" else scale)  # no huge powers


def arguments_of(kind, outputs):
    """What the kernel takes after the targets."""
    if kind.startswith("smooth "):
        return (SMOOTHING,)
    return {"huber": (DELTA,), "quantile": (np.linspace(0.1, 0.8, outputs),)}.get(kind, ())


def loss(module, kind, logits, targets, layout="C"):
    grad = poisoned(logits.shape, logits.dtype, layout)
    return getattr(module, FUNCTIONS[kind])(grad, logits, targets, *arguments_of(kind, logits.shape[1])), grad


def as_rows(targets, classes):
    return np.eye(classes)[targets] if targets.ndim == 1 else targets.astype(np.float64)


def bounds(kind, logits, targets):
    """The error allowed to the loss and to the gradient of a batch given in float64, in units of eps."""
    batch, classes = logits.shape
    t = as_rows(targets, classes)
    if kind in REAL:
        distance = np.abs(logits - t)
        size = distance if kind in ("squared", "huber") else np.ones_like(distance)  # of the gradient, at most
        return np.sum(distance * size) / batch, ELEMENTWISE_EPS * size / batch
    if kind == "poisson":
        power = np.exp(logits)
        return np.sum(power) / batch, SUM_SLACK * (power + t) / batch
    if kind.startswith("smooth"):
        t = (1 - SMOOTHING) * t + SMOOTHING / (2 if kind == "smooth sigmoid" else classes)
    if kind.endswith("sigmoid"):
        y = 1 / (1 + np.exp(-logits))
        magnitude = np.maximum(logits, 0) + np.abs(logits * t) + np.log1p(np.exp(-np.abs(logits)))
        return SUM_SLACK * np.sum(magnitude) / batch, SUM_SLACK * (y + t) / batch
    depth = logits.max(axis=1, keepdims=True) - logits  # the subtraction rounds, relative to its size
    power = np.exp(-depth)
    total = power.sum(axis=1, keepdims=True)
    mass = np.abs(t).sum(axis=1, keepdims=True)
    loss_bound = (SUM_SLACK + depth) * np.abs(t) * (np.log(total) + depth)
    grad_bound = (classes + SUM_SLACK + depth) * (power / total * mass + np.abs(t))
    return np.sum(loss_bound) / batch, grad_bound / batch


def assert_loss(kind, logits, targets, layout="C"):
    with unchanged(logits, targets):
        got, got_grad = loss(kernels, kind, logits, targets, layout)
    eps = TOLERANCES[logits.dtype].eps
    (logits,) = up(logits)
    targets = targets if targets.ndim == 1 else up(targets)[0]
    want, want_grad = loss(reference, kind, logits, targets)
    loss_bound, grad_bound = bounds(kind, logits, targets)
    assert abs(got - want) <= eps * loss_bound + FLOAT64_RTOL * abs(want) + 1e-15, (got, want)
    assert_close(got_grad, want_grad, eps * grad_bound)


@given(st.sampled_from(KINDS), positive_sizes, positive_sizes, dtypes, layouts(3), seeds, st.sampled_from([1.0, 30.0]))
def test_loss_and_gradient_match_the_reference(kind, batch, classes, dtype, layout, seed, scale):
    rng = np.random.default_rng(seed)
    logits = arrange(logits_for(kind, rng, batch, classes, dtype, scale), layout[0])
    targets = arrange(targets_for(kind, rng, batch, classes, dtype), layout[1])
    assert_loss(kind, logits, targets, layout[2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_large_batch_matches_the_reference(kind, dtype):
    rng = np.random.default_rng(0)
    batch = 50 if NOJIT else 3000  # enough for several threads
    assert_loss(kind, logits_for(kind, rng, batch, 10, dtype, 4), targets_for(kind, rng, batch, 10, dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_has_loss_nan_and_no_gradient(kind, dtype):
    logits = np.empty((0, 5), dtype)
    value, grad = loss(kernels, kind, logits, targets_for(kind, np.random.default_rng(0), 0, 5, dtype))
    assert math.isnan(value)
    assert grad.shape == (0, 5)


@given(st.sampled_from(KINDS), positive_sizes, positive_sizes, dtypes, seeds)
def test_nothing_outside_the_gradient_is_written(kind, batch, classes, dtype, seed):
    rng = np.random.default_rng(seed)
    logits, targets = normal(rng, (batch, classes), dtype), targets_for(kind, rng, batch, classes, dtype)
    with framed(logits.shape, dtype=dtype) as (grad,):
        getattr(kernels, FUNCTIONS[kind])(grad, logits, targets, *arguments_of(kind, classes))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_matches_central_differences(kind):
    rng = np.random.default_rng(1)
    logits, targets = logits_for(kind, rng, 4, 5, np.float64, 2), targets_for(kind, rng, 4, 5, np.float64)
    want = central_difference(lambda logits: loss(kernels, kind, logits, targets)[0], logits)
    np.testing.assert_allclose(loss(kernels, kind, logits, targets)[1], want, atol=DIFFERENCE_TOL)


@given(positive_sizes, positive_sizes, dtypes, seeds)
def test_labels_and_one_hot_rows_are_the_same(batch, classes, dtype, seed):
    rng = np.random.default_rng(seed)
    logits, labels = normal(rng, (batch, classes), dtype, 3), rng.integers(0, classes, batch)
    value, grad = loss(kernels, "labels", logits, labels)
    row_value, row_grad = loss(kernels, "one-hot", logits, np.eye(classes, dtype=dtype)[labels])
    assert value == pytest.approx(row_value, rel=FLOAT64_RTOL, abs=FLOAT64_RTOL)
    np.testing.assert_allclose(grad, row_grad, atol=(classes + SUM_SLACK) * TOLERANCES[dtype].eps)


@given(st.sampled_from(SOFTMAX_KINDS), positive_sizes, positive_sizes, dtypes, seeds)
def test_rows_of_the_softmax_gradient_sum_to_zero(kind, batch, classes, dtype, seed):
    rng = np.random.default_rng(seed)
    targets = targets_for(kind, rng, batch, classes, dtype)
    _, grad = loss(kernels, kind, normal(rng, (batch, classes), dtype, 5), targets)
    mass = as_rows(targets, classes).sum(axis=1) + (SMOOTHING if kind.startswith("smooth") else 0)
    bound = 2 * (classes + SUM_SLACK + 40) * TOLERANCES[dtype].eps * mass / batch  # 40: depth of the logits
    assert np.all(np.abs(grad.sum(axis=1, dtype=np.float64)) <= bound)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", SOFTMAX_KINDS)
@pytest.mark.parametrize("shift", [-1e4, 64.0, 1e4])
def test_softmax_cross_entropy_does_not_change_under_a_shift(kind, shift, dtype):
    rng = np.random.default_rng(2)
    logits, targets = rng.integers(-9, 10, (9, 17)).astype(dtype), targets_for(kind, rng, 9, 17, dtype)
    want, want_grad = loss(kernels, kind, logits, targets)
    got, got_grad = loss(kernels, kind, logits + dtype.type(shift), targets)
    assert got == pytest.approx(want, rel=FLOAT64_RTOL)
    np.testing.assert_allclose(got_grad, want_grad, atol=(17 + SUM_SLACK) * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_softmax_cross_entropy_of_extreme_logits(dtype):
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype)
    with np.errstate(all="raise", under="ignore"):
        wrong, wrong_grad = loss(kernels, "labels", logits, np.array([1, 0]))
        right, right_grad = loss(kernels, "labels", logits, np.array([0, 1]))
        row_wrong, row_grad = loss(kernels, "one-hot", logits, np.array([[0, 1], [1, 0]], dtype))
    assert wrong == row_wrong == 2e4 and right == 0
    np.testing.assert_array_equal(wrong_grad, [[0.5, -0.5], [-0.5, 0.5]])
    np.testing.assert_array_equal(row_grad, wrong_grad)
    np.testing.assert_array_equal(right_grad, np.zeros((2, 2)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("classes", range(1, 10))
def test_softmax_cross_entropy_finds_the_largest_logit_wherever_it_is(classes, dtype):
    logits = np.where(np.eye(classes, dtype=bool), dtype.type(1e4), dtype.type(0))  # whose power is infinite
    for targets in (np.arange(classes), np.eye(classes, dtype=dtype)):
        grad = np.empty_like(logits)
        assert kernels.softmax_cross_entropy(grad, logits, targets) == 0
        np.testing.assert_array_equal(grad, np.zeros_like(grad))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_sigmoid_cross_entropy_of_extreme_logits(dtype):
    logits, ones = np.array([[1e4, -1e4]], dtype), np.array([[1, 0]], dtype)
    with np.errstate(all="raise", under="ignore"):
        wrong, wrong_grad = loss(kernels, "sigmoid", logits, 1 - ones)
        right, right_grad = loss(kernels, "sigmoid", logits, ones)
    assert wrong == 2e4 and right == 0
    np.testing.assert_array_equal(wrong_grad, [[1, -1]])
    np.testing.assert_array_equal(right_grad, [[0, 0]])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_label_of_probability_zero_costs_infinity(dtype):
    logits = np.array([[0, -np.inf]], dtype)
    with np.errstate(all="ignore"):
        assert loss(kernels, "labels", logits, np.array([1]))[0] == math.inf
        assert loss(kernels, "one-hot", logits, np.array([[0, 1]], dtype))[0] == math.inf
        assert loss(kernels, "labels", logits, np.array([0]))[0] == 0
        assert loss(kernels, "one-hot", logits, np.array([[1, 0]], dtype))[0] == 0  # 0 log 0 is 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_sample_that_is_all_but_learnt_keeps_its_gradient(dtype):
    depth = 20.0 if dtype == np.float32 else 40.0  # 1 - e^-depth rounds to 1
    logits = np.array([[0, -depth, -depth]], dtype)
    _, grad = loss(kernels, "labels", logits, np.array([0]))
    rest = math.exp(-depth)
    np.testing.assert_allclose(grad, [[-2 * rest, rest, rest]], rtol=2 * depth * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("classes", "column"), [(17, 0), (17, 8), (17, 16), (1, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_reaches_the_loss_and_exactly_its_gradients(kind, classes, column, dtype):
    rng = np.random.default_rng(3)
    logits, targets = normal(rng, (9, classes), dtype), targets_for(kind, rng, 9, classes, dtype)
    logits[5, column] = np.nan
    with np.errstate(invalid="ignore"):
        value, grad = loss(kernels, kind, logits, targets)
    want = np.zeros(grad.shape, bool)
    want[5, :] = FUNCTIONS[kind] == "softmax_cross_entropy"  # the sum over the row is NaN
    want[5, column] = True
    assert math.isnan(value)
    np.testing.assert_array_equal(np.isnan(grad), want)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith("labels")])
def test_a_nan_among_the_targets_reaches_the_loss(kind, dtype):
    rng = np.random.default_rng(4)
    logits, targets = normal(rng, (9, 17), dtype), targets_for(kind, rng, 9, 17, dtype)
    targets[8, 16] = np.nan
    value, grad = loss(kernels, kind, logits, targets)
    assert math.isnan(value) and np.isnan(grad[8, 16])
    assert not np.any(np.isnan(grad[:8]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_nan_reaches_the_loss_of_a_row_without_targets(dtype):
    logits, targets = np.array([[0, np.nan]], dtype), np.zeros((1, 2), dtype)
    with np.errstate(invalid="ignore"):
        value, grad = loss(kernels, "soft", logits, targets)
    assert np.all(np.isnan(grad))
    assert math.isnan(value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_over_the_batch_is_summed_in_float64(kind):
    rng = np.random.default_rng(5)
    logits, targets = normal(rng, (1, 3), np.float32, 2), targets_for(kind, rng, 1, 3, np.float32)
    one, _ = loss(kernels, kind, logits, targets)
    batch = 1_000 if NOJIT else 30_000
    many, _ = loss(kernels, kind, np.repeat(logits, batch, axis=0), np.repeat(targets, batch, axis=0))
    assert many == pytest.approx(one, rel=FLOAT64_RTOL)


def test_the_squares_of_a_row_are_summed_in_float64():
    out = np.ones((1, 65), np.float32)
    out[0, 0] = 2**12  # its square is the first number that float32 cannot add 1 to
    assert loss(kernels, "squared", out, np.zeros_like(out))[0] == 0.5 * (2**24 + 64)


def test_the_sigmoid_terms_of_a_row_are_summed_in_float64():
    logits = np.ones((1, 65), np.float32)
    logits[0, 0] = 2**24
    want = 2**24 + 64 * (1 + math.log1p(math.exp(-1)))
    assert loss(kernels, "sigmoid", logits, np.zeros_like(logits))[0] == pytest.approx(want, rel=1e-11)


def test_the_powers_of_a_row_are_summed_in_float64():
    logits = np.full((1, 10_001), -17, np.float32)  # e^-17 is less than half an eps of float32
    logits[0, 0] = 0
    want = math.log1p(10_000 * math.exp(-17))
    assert loss(kernels, "labels", logits, np.array([0]))[0] == pytest.approx(want, rel=1e-6)


# Numbers worked out by hand, which both dtypes hold


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("module", [kernels, reference])
def test_the_losses_by_hand(module, dtype):
    y, t = np.array([[1, 2.5], [3, -2]], dtype), np.array([[1, 2], [1, 4]], dtype)  # y - t: 0, 1/2; 2, -6
    for name, arguments, want, want_grad in (
        ("huber", (1.0,), (0.125 + (2 - 0.5) + (6 - 0.5)) / 2, [[0, 0.25], [0.5, -0.5]]),
        ("huber", (2.0,), (0.125 + 2 + 2 * (6 - 1)) / 2, [[0, 0.25], [1, -1]]),
        ("absolute_error", (), (0.5 + 2 + 6) / 2, [[0, 0.5], [0.5, -0.5]]),
        ("quantile", (np.array([0.25, 0.75]),), (0.125 + 1.5 + 4.5) / 2, [[0, 0.125], [0.375, -0.375]]),
    ):
        grad = poisoned(y.shape, dtype)
        assert getattr(module, name)(grad, y, t, *arguments) == want, name
        np.testing.assert_array_equal(grad, want_grad)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("module", [kernels, reference])
def test_the_poisson_deviance_by_hand(module, dtype):
    logits, targets = np.array([[0, 0], [-np.inf, 1]], dtype), np.array([[2, 0], [0, 1]], dtype)
    value, grad = loss(module, "poisson", logits, targets)
    # 1 + 2 log 2 - 2, 1; 0 where the power is 0 and so is the target, e - 1 - 1
    assert value == pytest.approx((2 * math.log(2) - 1 + 1 + math.e - 2) / 2, rel=1e-15)
    np.testing.assert_allclose(grad, [[-0.5, 0.5], [0, (math.e - 1) / 2]], rtol=2 * TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("module", [kernels, reference])
@pytest.mark.parametrize("labels", [True, False])
def test_smoothed_cross_entropies_by_hand(labels, module, dtype):
    # probabilities 1/4 and 3/4, targets 0.875 and 0.125
    logits = np.array([[0, math.log(3)]], dtype)
    targets = np.array([0]) if labels else np.array([[1, 0]], dtype)
    grad = poisoned(logits.shape, dtype)
    value = module.softmax_cross_entropy(grad, logits, targets, 0.25)
    rounding = {"rtol": 4 * TOLERANCES[dtype].eps}
    np.testing.assert_allclose(value, 0.875 * math.log(4) + 0.125 * math.log(4 / 3), **rounding)
    np.testing.assert_allclose(grad, [[-0.625, 0.625]], **rounding)
    # sigmoid(0) = 1/2, targets 0.875 and 0.125
    value = module.sigmoid_cross_entropy(grad, np.zeros_like(logits), np.array([[1, 0]], dtype), 0.25)
    np.testing.assert_allclose(value, 2 * math.log(2), rtol=1e-15)
    np.testing.assert_array_equal(grad, [[-0.375, 0.375]])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["labels", "soft", "sigmoid"])
def test_a_smoothing_of_0_has_the_bits_of_none(kind, dtype):
    rng = np.random.default_rng(6)
    logits, targets = normal(rng, (9, 7), dtype), targets_for(kind, rng, 9, 7, dtype)
    want, want_grad = loss(kernels, kind, logits, targets)
    grad = poisoned(logits.shape, dtype)
    assert getattr(kernels, FUNCTIONS[kind])(grad, logits, targets, 0.0) == want
    assert grad.tobytes() == want_grad.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["smooth labels", "smooth soft"])
def test_a_class_of_probability_zero_costs_infinity_where_targets_are_smoothed(kind, dtype):
    logits = np.array([[0, -np.inf]], dtype)
    targets = np.array([0]) if kind == "smooth labels" else np.array([[1, 0]], dtype)
    with np.errstate(all="ignore"):
        assert loss(kernels, kind, logits, targets)[0] == math.inf


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("kind", "slopes"), [("huber", (DELTA, DELTA)), ("absolute", (1, 1)), ("quantile", (0.9, 0.1))]
)
def test_infinite_outputs_cost_infinity_and_have_a_finite_gradient(kind, slopes, dtype):
    for sign, slope in zip((1, -1), slopes, strict=True):
        value, grad = loss(kernels, kind, np.array([[sign * np.inf]], dtype), np.zeros((1, 1), dtype))
        assert value == math.inf
        np.testing.assert_allclose(grad, [[sign * slope]], rtol=TOLERANCES[dtype].eps)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_powers_that_overflow_are_infinite_in_the_poisson_deviance(dtype):
    with np.errstate(over="ignore"):
        value, grad = loss(kernels, "poisson", np.full((1, 1), 1e4, dtype), np.ones((1, 1), dtype))
    assert value == grad[0, 0] == math.inf
