"""The optimizer as an object: `update` for loops written by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import fastfnn as fnn

DTYPES = ("float32", "float64")


def two_entries(dtype="float64"):
    params = {"W": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.ones(3, dtype)}
    grads = {"W": np.full((2, 3), 2, dtype), "b": np.array([1, 2, 4], dtype)}
    return params, grads


def assert_unchanged(params):
    np.testing.assert_array_equal(params["W"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(params["b"], np.ones(3))


@pytest.mark.parametrize("dtype", DTYPES)
def test_update_by_hand(dtype):
    params, grads = two_entries(dtype)
    weight, bias = params["W"], params["b"]
    fnn.SGD(0.5).update(params, grads)
    assert params["W"] is weight  # in place
    assert params["b"] is bias
    np.testing.assert_array_equal(weight, [[-1, 0, 1], [2, 3, 4]])
    np.testing.assert_array_equal(bias, [0.5, 0, -1])
    np.testing.assert_array_equal(grads["W"], np.full((2, 3), 2))


finite = st.floats(-1e6, 1e6)


@given(st.data(), array_shapes(min_dims=1, max_dims=2, max_side=5), st.sampled_from(DTYPES), st.floats(0, 10))
def test_update_is_param_minus_rate_times_grad(data, shape, dtype, rate):
    param, grad = (data.draw(arrays(np.float64, shape, elements=finite)).astype(dtype) for _ in range(2))
    want = param.astype(np.float64) - rate * grad.astype(np.float64)
    size = np.abs(param.astype(np.float64)) + rate * np.abs(grad.astype(np.float64))
    fnn.SGD(rate).update({"p": param}, {"p": grad})
    tiny = float(np.finfo(dtype).tiny)
    assert np.all(np.abs(param - want) <= 2 * np.finfo(dtype).eps * size + 2 * tiny)


@pytest.mark.parametrize("dtype", DTYPES)
def test_update_of_a_network_is_a_step_of_fit(dtype):
    x, t = np.random.default_rng(0).standard_normal((8, 3)), np.arange(8) % 2
    by_hand, fitted = (fnn.FNN((3, 4, 2), dtype=dtype, seed=0) for _ in range(2))
    optimizer = fnn.SGD(0.3)
    optimizer.update(by_hand.params, by_hand.gradient(x, t))
    fitted.fit(x, t, epochs=1, batch_size=None, optimizer=optimizer)
    for name, param in fitted.params.items():
        np.testing.assert_allclose(by_hand.params[name], param, rtol=1e-6 if dtype == "float32" else 1e-14)


def test_a_changed_rate_takes_effect():
    params, grads = two_entries()
    optimizer = fnn.SGD(0)
    optimizer.update(params, grads)
    assert_unchanged(params)
    optimizer.learning_rate = 1.0
    optimizer.update(params, grads)
    np.testing.assert_array_equal(params["b"], [0, -1, -3])


def test_gradients_of_another_dtype_are_converted():
    params, grads = two_entries("float32")
    fnn.SGD(0.5).update(params, {"W": grads["W"].astype(np.float64), "b": [1, 2, 4]})
    np.testing.assert_array_equal(params["b"], np.array([0.5, 0, -1], np.float32))
    assert params["W"].dtype == np.float32


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::2, ::-1], lambda a: a[:, 1], lambda a: a[:0]])
def test_views_are_updated_where_they_lie(view):
    larger = np.arange(24.0).reshape(4, 6)
    want = larger.copy()
    view(want)[...] -= 0.5
    fnn.SGD(0.25).update({"p": view(larger)}, {"p": np.full(view(larger).shape, 2.0)})
    np.testing.assert_array_equal(larger, want)


def test_nothing_to_update():
    fnn.SGD(0.1).update({}, {})


BAD_GRADS = {
    "missing": ({"W": np.ones((2, 3))}, ValueError, "an entry for each of params, got none for 'b'"),
    "shape": ({"W": np.ones((2, 3)), "b": np.ones(4)}, ValueError, r"grads\['b'\] must have shape \(3,\), got \(4,\)"),
    "rank": ({"W": np.ones((2, 3)), "b": np.ones((1, 3))}, ValueError, r"must have shape \(3,\), got \(1, 3\)"),
    "scalar": ({"W": np.ones((2, 3)), "b": 1.0}, ValueError, r"must have shape \(3,\), got \(\)"),
    "first": (
        {"W": np.ones((3, 2)), "b": np.ones(3)},
        ValueError,
        r"grads\['W'\] must have shape \(2, 3\), got \(3, 2\)",
    ),
    "NaN": ({"W": np.ones((2, 3)), "b": [0, math.nan, 0]}, ValueError, r"grads\['b'\] must be finite .* nan at \[1\]"),
    "infinity": ({"W": np.ones((2, 3)), "b": [0, 0, math.inf]}, ValueError, r"grads\['b'\] .* got inf at \[2\]"),
    "text": (
        {"W": np.ones((2, 3)), "b": list("abc")},
        TypeError,
        r"grads\['b'\] must hold real numbers, got dtype <U1",
    ),
    "complex": ({"W": np.ones((2, 3)), "b": np.ones(3) + 0j}, TypeError, r"grads\['b'\] .* got dtype complex128"),
    "None": ({"W": np.ones((2, 3)), "b": None}, TypeError, r"grads\['b'\] must hold real numbers, got dtype object"),
}


@pytest.mark.parametrize("case", BAD_GRADS)
def test_bad_gradients_change_nothing_not_even_earlier_entries(case):
    grads, error, message = BAD_GRADS[case]
    params, _ = two_entries()
    with pytest.raises(error, match=message):
        fnn.SGD(0.1).update(params, grads)
    assert_unchanged(params)


def read_only(array):
    array.flags.writeable = False
    return array


BAD_PARAMS = {
    "read-only": (read_only(np.ones(3)), ValueError),
    "integers": (np.ones(3, int), TypeError),
    "float16": (np.ones(3, np.float16), TypeError),
    "complex": (np.ones(3, complex), TypeError),
    "list": ([1.0, 1.0, 1.0], TypeError),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_parameters_that_cannot_be_updated_are_rejected_before_any_other_changes(case):
    param, error = BAD_PARAMS[case]
    params, grads = two_entries()
    params["b"] = param
    with pytest.raises(error, match=r"params\['b'\]"):
        fnn.SGD(0.1).update(params, grads)
    assert_unchanged(params)


def test_default_learning_rate():
    assert fnn.SGD().learning_rate == 0.01


def test_repr():
    assert repr(fnn.SGD(0.1)) == "SGD(0.1)"
    assert repr(fnn.SGD(1)) == "SGD(1)"
    assert eval(repr(fnn.SGD(1e-4)), {"SGD": fnn.SGD}).learning_rate == 1e-4


def test_it_is_the_same_class_at_the_top():
    assert fnn.SGD is fnn.optimizers.SGD
