"""The functions of the book: values, dtypes, shapes, and their differences from the book."""

import warnings

import numpy as np
import pytest
from helpers import ACTIVATION_ULPS, DIFFERENCE_TOL, DTYPES, ELEMENTWISE_EPS, TOLERANCES, assert_close, unchanged

import fastfnn as fnn
from fastfnn import functions

F32, F64 = DTYPES

# A derivative is computed from the activation, accurate to 4 ulp, with a few operations.
DERIVATIVE_EPS = 2 * ACTIVATION_ULPS + ELEMENTWISE_EPS

# Tolerances of central differences. The module states 1e-8 and 2e-5 for a function accurate to half an ulp; the
# functions here are sums of a few terms.
DIFFERENCE = {F32: 1e-4, F64: DIFFERENCE_TOL}

IN_NUMPY = {  # each in float64, with the magnitude to which its rounding error is relative
    "identity": (lambda x: x, np.abs),
    "identity_grad": (np.ones_like, np.ones_like),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + np.exp(-x))),
    "sigmoid_grad": (lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2, lambda x: 1 / (1 + np.exp(-x))),
    "tanh": (np.tanh, lambda x: np.abs(np.tanh(x))),
    "tanh_grad": (lambda x: 1 / np.cosh(x) ** 2, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), np.abs),
    "relu_grad": (lambda x: (x > 0) * 1.0, np.ones_like),
}


def drawn(shape, dtype=F64, seed=0):
    return np.asarray(2 * np.random.default_rng(seed).standard_normal(shape), dtype)


def probabilities(count, classes, dtype=F64, seed=0):
    power = np.exp(drawn((count, classes), F64, seed))
    return (power / power.sum(axis=1, keepdims=True)).astype(dtype)


# Names


def test_import_star_imports_the_functions_and_nothing_else():
    namespace = {}
    exec("from fastfnn.functions import *", namespace)
    del namespace["__builtins__"]
    assert set(namespace) == set(functions.__all__)
    assert all(callable(value) for value in namespace.values())
    assert fnn.functions is functions


def test_the_other_names_of_the_book_are_aliases():
    assert functions.identity_function is functions.identity
    assert functions.step_function is functions.step
    assert functions.mean_squared_error is functions.sum_squared_error


# Element by element


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("name", IN_NUMPY)
def test_functions_have_the_values_shapes_and_dtypes_of_numpy(name, shape, dtype):
    x = np.asarray(drawn(shape) if dtype != "uint8" else np.abs(drawn(shape)), dtype)
    function, magnitude = IN_NUMPY[name]
    want = function(x.astype(np.float64))
    with unchanged(x):
        got = getattr(functions, name)(x)
    assert got.dtype == (F32 if dtype == "float32" else F64) and got.shape == shape
    assert not np.shares_memory(got, x)
    assert_close(got, want, DERIVATIVE_EPS * TOLERANCES[got.dtype].eps * magnitude(x.astype(np.float64)))


@pytest.mark.parametrize("name", IN_NUMPY)
def test_numbers_and_lists_are_accepted(name):
    function = getattr(functions, name)
    assert isinstance(function(0.5), np.float64)
    assert isinstance(function(np.float32(0.5)), np.float32)
    assert isinstance(function(1), np.float64)
    np.testing.assert_array_equal(function([[0.5, -1]]), [[function(0.5), function(-1)]])


def test_extreme_values_neither_overflow_nor_warn():
    x = [-np.inf, -1e4, 0, 1e4, np.inf, np.nan]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(functions.sigmoid(x), [0, 0, 0.5, 1, 1, np.nan])
        np.testing.assert_array_equal(functions.sigmoid_grad(x), [0, 0, 0.25, 0, 0, np.nan])
        np.testing.assert_array_equal(functions.tanh(x), [-1, -1, 0, 1, 1, np.nan])
        np.testing.assert_array_equal(functions.tanh_grad(x), [0, 0, 1, 0, 0, np.nan])
        np.testing.assert_array_equal(functions.relu(x), [0, 0, 0, 1e4, np.inf, np.nan])
        np.testing.assert_array_equal(functions.identity(x), x)


def test_the_derivative_of_relu_at_0_is_0():
    np.testing.assert_array_equal(functions.relu_grad([-1, -0.0, 0.0, 2.3e-308]), [0, 0, 0, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_the_step_function_returns_integers(dtype):
    x = np.array([[-1, 0], [2, 1]], dtype)
    got = functions.step(x)
    np.testing.assert_array_equal(got, [[0, 0], [1, 1]])
    assert got.dtype.kind == "i"
    np.testing.assert_array_equal(functions.step([np.nan, np.inf, -np.inf]), [0, 1, 0])
    assert functions.step(0.1) == 1 and np.ndim(functions.step(0.1)) == 0


@pytest.mark.parametrize("name", [*IN_NUMPY, "step", "softmax"])
@pytest.mark.parametrize("value", ["text", 1j, None])
def test_values_that_are_not_real_numbers_are_rejected(name, value):
    with pytest.raises(TypeError, match=r"^x must hold real numbers, got dtype"):
        getattr(functions, name)(value)


# Softmax


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(4,), (1,), (3, 4), (2, 3, 4), (0, 3)])
def test_softmax_agrees_with_its_definition(shape, dtype):
    x = drawn(shape, dtype)
    power = np.exp(x.astype(np.float64))
    want = power / power.sum(axis=-1, keepdims=True)
    with unchanged(x):
        got = functions.softmax(x)
    assert got.shape == shape and got.dtype == dtype
    assert_close(got, want, (shape[-1] + 8) * TOLERANCES[dtype].eps * want)  # the bound in the kernel's docstring


def test_softmax_does_not_overflow():
    np.testing.assert_allclose(functions.softmax([1010, 1000, 990]), functions.softmax([10, 0, -10]), rtol=1e-14)
    np.testing.assert_array_equal(functions.softmax([[1e4, -1e4], [-np.inf, 0]]), [[1, 0], [0, 1]])
    assert functions.softmax(3.0) == 1  # a number is a single class


# Sum of squares


def test_sum_squared_error_agrees_with_the_example_of_the_book():
    y, t = np.array([0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0]), np.eye(10)[2]
    assert functions.sum_squared_error(y, t) == pytest.approx(0.0975, rel=1e-14)
    y = np.array([0.1, 0.05, 0.1, 0, 0.05, 0.1, 0, 0.6, 0, 0])
    assert functions.sum_squared_error(y, t) == pytest.approx(0.5975, rel=1e-14)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 3, 4)])
def test_sum_squared_error_is_half_the_sum_over_all_elements(shape, dtype):
    y, t = drawn(shape, dtype), drawn(shape, dtype, seed=1)
    with unchanged(y, t):
        got = functions.sum_squared_error(y, t)
    assert isinstance(got, float)
    np.testing.assert_allclose(got, 0.5 * np.sum((y.astype(F64) - t) ** 2), rtol=1e-14)


@pytest.mark.parametrize(("y", "t"), [((3, 1), (3,)), ((3,), (4,)), ((2, 3), (3,)), ((3,), ())])
def test_sum_squared_error_does_not_broadcast(y, t):
    with pytest.raises(ValueError, match=r"^t must have the shape of y, "):
        functions.sum_squared_error(np.ones(y), np.ones(t))


# Cross-entropy


def test_cross_entropy_error_agrees_with_the_example_of_the_book():
    y, t = np.array([0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0]), np.eye(10)[2]
    assert functions.cross_entropy_error(y, t) == pytest.approx(-np.log(0.6), rel=1e-15)
    assert functions.cross_entropy_error(y, t, epsilon=1e-7) == pytest.approx(0.510825457099338, rel=1e-14)
    y = np.array([0.1, 0.05, 0.1, 0, 0.05, 0.1, 0, 0.6, 0, 0])
    assert functions.cross_entropy_error(y, t, epsilon=1e-7) == pytest.approx(2.302584092994546, rel=1e-14)


@pytest.mark.parametrize("epsilon", [{}, {"epsilon": 1e-7}])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cross_entropy_error_is_equal_for_labels_and_rows(dtype, epsilon):
    y, labels = probabilities(6, 4, dtype), np.array([3, 0, 0, 1, 2, 3])
    rows = np.eye(4, dtype=dtype)[labels]
    want = np.mean([-np.log(float(y[i, k]) + sum(epsilon.values())) for i, k in enumerate(labels)])
    for t in (labels, labels.astype(np.uint8), labels.tolist(), rows, rows.astype(int), rows.astype(bool)):
        with unchanged(y):
            got = functions.cross_entropy_error(y, t, **epsilon)
        assert isinstance(got, float)
        np.testing.assert_allclose(got, want, rtol=1e-14)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cross_entropy_error_accepts_soft_targets(dtype):
    y, t = probabilities(5, 3, dtype), probabilities(5, 3, dtype, seed=1)
    want = -np.sum(t.astype(F64) * np.log(y.astype(F64))) / 5
    np.testing.assert_allclose(functions.cross_entropy_error(y, t), want, rtol=1e-14)


@pytest.mark.parametrize("t", [1, [1], [0, 1, 0], [[0, 1, 0]], np.array(1)])
def test_cross_entropy_error_accepts_a_single_sample(t):
    y = [0.25, 0.5, 0.25]
    np.testing.assert_allclose(functions.cross_entropy_error(y, t), np.log(2), rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_cross_entropy_error_is_finite_where_y_is_0(dtype):
    y = np.array([[0, 1], [1, 0]], dtype)
    np.testing.assert_allclose(functions.cross_entropy_error(y, [0, 0]), 708.3964185322641 / 2, rtol=1e-14)
    np.testing.assert_allclose(functions.cross_entropy_error(y, np.eye(2)[[0, 0]]), 708.3964185322641 / 2, rtol=1e-14)
    assert functions.cross_entropy_error(y, [1, 0]) == 0
    assert functions.cross_entropy_error(y, np.eye(2)) == pytest.approx(708.3964185322641)
    smallest = np.array([np.finfo(dtype).tiny, 1], dtype) if dtype == F32 else [1e-290, 1]
    np.testing.assert_allclose(functions.cross_entropy_error(smallest, 0), -np.log(float(smallest[0])), rtol=1e-14)
    with np.errstate(divide="ignore"):
        assert functions.cross_entropy_error(y, [0, 0], epsilon=0) == np.inf
        assert functions.cross_entropy_error(y, np.eye(2)[[1, 0]], epsilon=0) == 0  # 0 log 0 is 0


@pytest.mark.parametrize("t", [[0, 1], np.eye(2)])
def test_cross_entropy_error_propagates_nan(t):
    assert np.isnan(functions.cross_entropy_error([[np.nan, np.nan], [0.5, 0.5]], t))


@pytest.mark.parametrize(
    ("y", "t", "options", "error", "message"),
    [
        ([[0.5, -0.5]], [0], {}, ValueError, "^y must hold probabilities, got -0.5: softmax_loss takes logits"),
        ([[0.5, 0.5]], [2], {}, ValueError, "^t must hold labels from 0 to 1, got 2"),
        ([[0.5, 0.5]], [[2, 0]], {}, ValueError, "^t must hold numbers from 0 to 1, got 2"),
        ([[0.5, 0.5]], [0, 1], {}, ValueError, "^t must have one entry per row of x, 1, got 2"),
        ([], [], {}, ValueError, r"^y must have shape \(outputs,\) or \(samples, outputs\)"),
        ([[0.5, 0.5]], [0], {"epsilon": -1.0}, ValueError, "^epsilon must be finite and not negative, got -1.0"),
        ([[0.5, 0.5]], [0], {"epsilon": "1"}, TypeError, "^epsilon must be a number, got str"),
        ("y", [0], {}, TypeError, "^y must hold real numbers"),
    ],
)
def test_invalid_arguments_of_cross_entropy_error_are_rejected(y, t, options, error, message):
    with pytest.raises(error, match=message):
        functions.cross_entropy_error(y, t, **options)


# Cross-entropy of softmax


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_softmax_loss_is_the_cross_entropy_of_softmax(dtype):
    x, labels = drawn((6, 4), dtype), np.array([3, 0, 0, 1, 2, 3])
    want = functions.cross_entropy_error(functions.softmax(x.astype(F64)), labels)
    for t in (labels, np.eye(4)[labels]):
        with unchanged(x):
            got = functions.softmax_loss(x, t)
        np.testing.assert_allclose(got, want, rtol=20 * TOLERANCES[dtype].eps)  # exponentials are computed in the dtype
    one = functions.softmax_loss(x[0], labels[0])
    np.testing.assert_allclose(one, functions.softmax_loss(x[:1], labels[:1]), rtol=1e-15)


def test_softmax_loss_of_large_logits_is_correct():
    assert functions.softmax_loss([[1e4, 0.0], [0.0, -1e4]], [1, 0]) == 5000
    with pytest.raises(ValueError, match=r"^X must have shape \(outputs,\) or \(samples, outputs\)"):
        functions.softmax_loss(1.0, 0)


# Numerical gradient


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (4,), (2, 3), (2, 2, 2)])
def test_numerical_gradient_works_on_any_rank(shape, dtype):
    x, factor = drawn(shape, dtype), drawn(shape, seed=1)
    with unchanged(x):
        got = functions.numerical_gradient(lambda z: np.sum(factor * np.sin(z.astype(F64))), x)
    assert got.shape == shape and got.dtype == dtype
    assert_close(got, factor * np.cos(x.astype(F64)), DIFFERENCE[dtype] * np.abs(factor))


def test_numerical_gradient_agrees_with_the_example_of_the_book():
    def function_2(x):
        return x[0] ** 2 + x[1] ** 2

    for point, want in (([3.0, 4.0], [6, 8]), ([0.0, 2.0], [0, 4]), ([3.0, 0.0], [6, 0])):
        np.testing.assert_allclose(functions.numerical_gradient(function_2, np.array(point)), want, atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["identity", "sigmoid", "tanh"])
def test_derivatives_agree_with_numerical_gradient(name, dtype):
    x = drawn((3, 4), dtype)
    got = getattr(functions, f"{name}_grad")(x)
    want = functions.numerical_gradient(lambda z: float(np.sum(getattr(functions, name)(z), dtype=F64)), x)
    assert_close(got, want.astype(F64), 20 * DIFFERENCE[dtype])  # the sum has 12 terms, each accurate to 4 ulp


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numerical_gradient_of_softmax_loss_is_the_analytic_one(dtype):
    x, t = drawn((3, 4), dtype), np.array([1, 3, 0])
    want = (functions.softmax(x.astype(F64)) - np.eye(4)[t]) / 3
    got = functions.numerical_gradient(lambda z: functions.softmax_loss(z, t), x)
    assert_close(got, want, DIFFERENCE[dtype])


def test_numerical_gradient_of_cross_entropy_error_is_the_analytic_one():
    y, t = probabilities(3, 4), np.array([1, 3, 0])
    got = functions.numerical_gradient(lambda z: functions.cross_entropy_error(z, t), y)
    assert_close(got, -np.eye(4)[t] / y / 3, 1e-4)  # the error is h^2 / 3 y^3, and y is above 0.03


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1.9999, 1000.1])
def test_numerical_gradient_divides_by_the_rounded_step(value, dtype):
    assert functions.numerical_gradient(lambda z: float(z[0]), np.array([value], dtype))[0] == 1


def test_the_step_for_float32_keeps_enough_digits():
    x = np.linspace(-3, 3, 101, dtype=F32)
    got = [functions.numerical_gradient(lambda z: np.cos(z)[0], x[i : i + 1])[0] for i in range(101)]
    assert_close(
        np.array(got), -np.sin(x.astype(F64)), 5e-5
    )  # the module states 2e-5 for an exact function; NumPy's cosine is not exact


def test_the_function_may_read_x_from_where_it_is_stored():
    weight = drawn((2, 3))
    view = weight.T[::2]
    got = functions.numerical_gradient(lambda _: float(np.sum(weight**3)), view)
    assert_close(got, 3 * view**2, DIFFERENCE_TOL * 3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scale", [1e-3, 1e3, 1e6])
def test_numerical_gradient_works_at_numbers_far_from_1(scale, dtype):
    x = scale * np.array([1, -1.5], dtype)
    x = x.astype(dtype)
    got = functions.numerical_gradient(lambda z: float(np.sum(z.astype(F64) ** 2)), x)
    np.testing.assert_allclose(
        got, 2 * x.astype(F64), rtol=1e-6
    )  # only the result is rounded to float32; the step is exact


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("calls", [1, 2, 3, 6])
def test_x_is_restored_if_the_function_raises(calls, dtype):
    x, count = drawn((3,), dtype), 0

    def fails(_):
        nonlocal count
        count += 1
        if count == calls:
            raise ArithmeticError
        return 0.0

    with unchanged(x), pytest.raises(ArithmeticError):
        functions.numerical_gradient(fails, x)
    assert count == calls


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_numerical_gradient_takes_a_step_for_all_elements(dtype):
    x, seen = np.array([-300.0, 0.0, 0.5], dtype), []

    def f(z):
        seen.append(np.abs(z - kept).max())
        return float(np.sum(z.astype(F64) ** 3))

    kept = x.copy()
    got = functions.numerical_gradient(f, x, step=0.25)
    np.testing.assert_array_equal(seen, [0.25] * 6)
    np.testing.assert_allclose(got, 3 * kept.astype(F64) ** 2 + 0.25**2, rtol=1e-6)  # the difference errs by h^2


@pytest.mark.parametrize("step", [0, -1e-4, np.nan, np.inf, "1e-4", True])
def test_invalid_steps_of_numerical_gradient_are_rejected(step):
    x = np.ones(2)
    with pytest.raises((TypeError, ValueError), match=r"^step must be"):
        functions.numerical_gradient(np.sum, x, step=step)
    np.testing.assert_array_equal(x, 1)


def read_only(x):
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("f", "x", "error", "message"),
    [
        (np.sum, [1.0, 2.0], TypeError, "^x must be an array, whose elements are changed in place, got list"),
        (np.sum, 1.0, TypeError, "^x must be an array, whose elements are changed in place, got float"),
        (np.sum, np.array([1, 2]), TypeError, "^x must be an array of float32 or float64, got int64"),
        (np.sum, np.ones(2, np.float16), TypeError, "^x must be an array of float32 or float64, got float16"),
        (np.sum, read_only(np.ones(2)), ValueError, "^x must be writable, got a read-only array"),
        (None, np.ones(2), TypeError, "^f must be a function, got NoneType"),
        (np.sin, np.ones(2), TypeError, r"^f must return a real number, got ndarray of shape \(2,\)"),
        (lambda x: None, np.ones(2), TypeError, r"^f must return a real number, got NoneType of shape \(\)"),
    ],
)
def test_invalid_arguments_of_numerical_gradient_are_rejected(f, x, error, message):
    with pytest.raises(error, match=message):
        functions.numerical_gradient(f, x)
    np.testing.assert_array_equal(x, np.rint(x))  # the elements, which were integers, are restored
