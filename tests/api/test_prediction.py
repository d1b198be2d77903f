"""Predictions are the chain of layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_networks import ACTIVATIONS, DTYPES, LOSSES, NUMPY, network, samples

import fastfnn as fnn
from fastfnn import base

LAST = {"softmax_cross_entropy": "softmax", "sigmoid_cross_entropy": "sigmoid", "poisson": "exp"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predict_is_the_chain_of_layers(activation, loss, backend, dtype):
    net = network((4, 5, 6, 3), activation=activation, loss=loss, dtype=dtype, backend=backend)
    x, _ = samples()
    p = {name: param.astype(np.float64) for name, param in net.params.items()}
    f = NUMPY[activation]
    last = NUMPY[LAST.get(loss, "identity")]
    want = last(f(f(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]) @ p["W3"] + p["b3"])
    got = net.predict(x)
    assert (got.dtype, got.shape) == (np.dtype(dtype), (7, 3))
    np.testing.assert_allclose(got, want, rtol=1e-12 if dtype == "float64" else 2e-5, atol=1e-6 * (dtype == "float32"))


@pytest.mark.parametrize("loss", LOSSES)
def test_each_layer_has_its_own_activation(loss):
    net = network((4, 5, 6, 5, 3), activation=("tanh", "relu", "sigmoid"), loss=loss)
    x, _ = samples()
    p = net.params
    z = np.tanh(x @ p["W1"] + p["b1"])
    z = np.maximum(z @ p["W2"] + p["b2"], 0)
    z = NUMPY["sigmoid"](z @ p["W3"] + p["b3"]) @ p["W4"] + p["b4"]
    last = NUMPY[LAST.get(loss, "identity")]
    np.testing.assert_allclose(net.predict(x), last(z), rtol=1e-12)


def test_without_a_hidden_layer_the_network_is_affine():
    net = network((4, 3), loss="squared_error")
    x, _ = samples()
    np.testing.assert_allclose(net.predict(x), x @ net.params["W1"] + net.params["b1"], rtol=1e-12)
    assert fnn.FNN((4, 3), activation=()).activation == ()


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)), st.sampled_from(ACTIVATIONS))
def test_softmax_rows_are_probabilities_that_sum_to_one(x, activation):
    out = network(dtype="float32", activation=activation).predict(x)
    assert np.all((out >= 0) & (out <= 1))
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-6)


@given(arrays(np.float32, (3, 4), elements=st.floats(-1e4, 1e4, width=32)))
def test_sigmoid_outputs_lie_between_zero_and_one(x):
    out = network(dtype="float32", loss="sigmoid_cross_entropy").predict(x)
    assert np.all((out >= 0) & (out <= 1))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_single_sample_may_have_one_axis(loss):
    net = network(loss=loss)
    x, _ = samples()
    out = net.predict(x[2])
    assert out.shape == (3,)
    np.testing.assert_array_equal(out, net.predict(x[2:3])[0])


@given(st.integers(1, 300))
def test_the_prediction_of_a_row_does_not_depend_on_other_rows(count):
    net = network((2, 2, 2))
    x = np.random.default_rng(count).standard_normal((count, 2))
    np.testing.assert_allclose(net.predict(x)[-1], net.predict(x[-1]), rtol=1e-13)


def test_predict_returns_a_new_array():
    net = network()
    x, _ = samples()
    first = net.predict(x)
    kept = first.copy()
    net.predict(-x)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("calls", [1, 2, 3, 50])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_a_prediction_divided_into_calls_has_the_same_bits(monkeypatch, backend, dtype, calls):
    net = network((41, 33, 9), dtype=dtype, backend=backend)
    x, t = samples(count=150, inputs=41, outputs=9)
    want, measured, rows = net.predict(x), net.evaluate(x, t), []
    network_forward = net._kernels.network_forward

    def spy(out, params, part, *rest):
        rows.append(len(part))
        network_forward(out, params, part, *rest)

    monkeypatch.setattr(net._kernels, "network_forward", spy)
    monkeypatch.setattr(base, "WORK_PER_PREDICTION", -(-150 * net.params.flat.size // calls))
    got = net.predict(x)
    assert (sum(rows), len(rows)) == (150, calls)
    if backend == "kernels":
        assert got.tobytes() == want.tobytes()
        assert net.evaluate(x, t) == measured
    else:  # sums of BLAS depend on the number of rows
        np.testing.assert_allclose(got, want, rtol=1e-5)
