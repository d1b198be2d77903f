"""The gradient of a network, against numbers by hand and central differences."""

import math

import numpy as np
import pytest
from small_networks import ACTIVATIONS, BACKENDS, LOSSES, assert_same_params, bits, linear_net, network, samples


@pytest.mark.parametrize("backend", ["kernels", "reference"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, ("tanh", "sigmoid"), ("relu", "identity")])
def test_gradient_agrees_with_the_numerical_gradient(activation, loss, backend):
    net = network((3, 4, 5, 3), activation=activation, loss=loss, backend=backend)
    x, t = samples(loss, inputs=3)
    want = net.numerical_gradient(x, t)
    got = net.gradient(x, t)
    assert list(got) == list(net.params)
    assert_same_params(got, want, rtol=3e-7 if loss == "poisson" else 3e-8)  # the powers have large third derivatives


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_gradient_agrees_with_the_numerical_gradient(activation, loss):
    net = network((3, 4, 3), activation=activation, loss=loss, dtype="float32")
    x, t = samples(loss, inputs=3)
    got, want = net.gradient(x, t), net.numerical_gradient(x, t)
    assert got["W1"].dtype == np.float32
    assert want["W1"].dtype == np.float64
    assert_same_params(got, want, rtol=2e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_agrees_with_the_numerical_gradient_without_a_hidden_layer(loss):
    net = network((4, 3), loss=loss)
    x, t = samples(loss)
    assert_same_params(net.gradient(x, t), net.numerical_gradient(x, t), rtol=1e-8)


def test_gradient_agrees_with_the_numerical_gradient_for_soft_targets():
    net = network()
    x, _ = samples()
    t = np.random.default_rng(0).dirichlet(np.ones(3), len(x))
    assert_same_params(net.gradient(x, t), net.numerical_gradient(x, t), rtol=1e-8)


def test_gradient_agrees_with_numbers_by_hand():
    grad = linear_net().gradient([[1], [3]], [[1, 2], [6, 1]])
    # y - t is (1, -2) for x = 1 and (0, -3) for x = 3; the gradient is their mean
    np.testing.assert_allclose(grad["b1"], [0.5, -2.5])
    np.testing.assert_allclose(grad["W1"], [[0.5, -5.5]])


def test_gradients_change_neither_the_network_nor_each_other():
    net = network(dtype="float32")
    x, t = samples()
    before, kept = bits(net), (x.copy(), t.copy())
    first = net.gradient(x, t)
    copies = {name: grad.copy() for name, grad in first.items()}
    for grad in net.gradient(-x, t).values():
        grad[...] = 9
    net.numerical_gradient(x, t)
    assert bits(net) == before
    for name in first:
        np.testing.assert_array_equal(first[name], copies[name])
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(t, kept[1])


@BACKENDS
@pytest.mark.parametrize("given", ["float32", "float64", "int16", "bool"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_and_gradient_convert_samples(dtype, given, backend):
    net = network(dtype=dtype, backend=backend)
    x, t = samples()
    x = np.round(x).astype(given)  # exact in every dtype
    same = np.array(x, dtype)
    assert net.loss(x, t) == net.loss(same, t)
    got, want = net.gradient(x, t), net.gradient(same, t)
    for name in want:
        assert got[name].dtype == np.dtype(dtype) and got[name].tobytes() == want[name].tobytes()


@BACKENDS
@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"batch_norm": True}], ids=str)
def test_a_rejected_gradient_leaves_no_trace(options, backend):
    net, twin = (network(seed=3, backend=backend, **options) for _ in range(2))
    x, t = samples()
    bad = x.copy()
    bad[-1, -1] = np.inf
    with pytest.raises(ValueError, match=r"^x must be finite"):
        net.gradient(bad, t)
    for _ in range(2):
        got, want = net.gradient(x, t), twin.gradient(x, t)
        assert all(got[name].tobytes() == want[name].tobytes() for name in want)
    assert net.loss(x, t) == twin.loss(x, t)


@BACKENDS
def test_loss_and_gradient_of_a_diverged_network_are_nan(backend):
    net = network(backend=backend)
    net.params["W1"][...] = np.nan
    x, t = samples()
    assert math.isnan(net.loss(x, t))
    assert np.all(np.isnan(net.gradient(x, t)["W1"]))
