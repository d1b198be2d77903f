"""TwoLayerNet, compared with a plain NumPy network in the training loop of the lecture notes."""

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn.datasets import load_mnist

DTYPES = ("float32", "float64")
CURVE = {"float64": 1e-9, "float32": 1e-4}  # relative difference between two implementations after training
HIDDEN = ("sigmoid", "relu")  # sections 4 and 5 of the notes


class PlainNet:
    """A two-layer network in plain NumPy, from the mathematics of the notes, with the parameters of another one."""

    def __init__(self, network, activation):
        self.params = {name: param.copy() for name, param in network.params.items()}
        self.relu = activation == "relu"

    def forward(self, x):
        u = x @ self.params["W1"] + self.params["b1"]
        z = np.maximum(u, 0) if self.relu else 1 / (1 + np.exp(-u))
        v = z @ self.params["W2"] + self.params["b2"]
        power = np.exp(v - v.max(axis=1, keepdims=True))
        return u, z, power / power.sum(axis=1, keepdims=True)

    def loss(self, x, t):
        *_, y = self.forward(x)
        return -np.sum(t * np.log(y)) / len(x)

    def gradient(self, x, t):
        u, z, y = self.forward(x)
        delta2 = (y - t) / len(x)
        delta1 = delta2 @ self.params["W2"].T * ((u > 0) if self.relu else z * (1 - z))
        return {"W1": x.T @ delta1, "b1": delta1.sum(axis=0), "W2": z.T @ delta2, "b2": delta2.sum(axis=0)}


def train_as_in_the_notes(network, x_train, t_train, iters_num, batch_size=100, learning_rate=0.1):
    train_loss_list = []
    for _ in range(iters_num):
        batch_mask = np.random.choice(len(x_train), batch_size)
        x_batch = x_train[batch_mask]
        t_batch = t_train[batch_mask]

        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= learning_rate * grad[key]

        train_loss_list.append(network.loss(x_batch, t_batch))
    return train_loss_list


pytestmark = pytest.mark.usefixtures("numpy_seed")


def small_data(dtype="float64"):
    rng = np.random.default_rng(0)
    return rng.standard_normal((30, 6)).astype(dtype), np.eye(3, dtype=dtype)[rng.integers(3, size=30)]


# The class


def test_two_layer_net_has_the_arguments_and_shapes_of_the_notes():
    network = fnn.TwoLayerNet(input_size=6, hidden_size=5, output_size=3, weight_init_std=0.5)
    assert {name: param.shape for name, param in network.params.items()} == {
        "W1": (6, 5),
        "b1": (5,),
        "W2": (5, 3),
        "b2": (3,),
    }
    x, t = small_data()
    assert network.predict(x).shape == (30, 3)
    assert np.ndim(network.loss(x, t)) == 0
    assert 0 <= network.accuracy(x, t) <= 1
    for grads in (network.gradient(x, t), network.numerical_gradient(x, t)):
        assert {name: grad.shape for name, grad in grads.items()} == {
            name: param.shape for name, param in network.params.items()
        }


def test_two_layer_net_is_the_network_of_section_4_by_default():
    net = fnn.TwoLayerNet(6, 5, 3, seed=0)
    same = fnn.FNN((6, 5, 3), activation="sigmoid", loss="softmax_cross_entropy", init=0.01, dtype="float32", seed=0)
    assert isinstance(net, fnn.FNN)
    assert repr(net) == repr(same)
    for name, param in same.params.items():
        np.testing.assert_array_equal(net.params[name], param)


def test_weight_init_std_is_the_fourth_argument():
    narrow, wide = fnn.TwoLayerNet(6, 5, 3, 0.01, seed=0), fnn.TwoLayerNet(6, 5, 3, 1, seed=0)
    np.testing.assert_allclose(wide.params["W1"], 100 * narrow.params["W1"], rtol=1e-6)


@pytest.mark.parametrize("activation", HIDDEN)
def test_methods_agree_with_the_mathematics_of_the_notes(activation):
    network = fnn.TwoLayerNet(6, 5, 3, 0.5, activation=activation, dtype="float64", seed=0)
    network.params["b1"] = np.linspace(-1, 1, 5)
    plain = PlainNet(network, activation)
    x, t = small_data()
    y = plain.forward(x)[-1]
    np.testing.assert_allclose(network.predict(x), y, rtol=1e-12)
    np.testing.assert_allclose(network.loss(x, t), plain.loss(x, t), rtol=1e-12)
    assert network.accuracy(x, t) == np.sum(y.argmax(axis=1) == t.argmax(axis=1)) / 30
    want = plain.gradient(x, t)
    for grads, rtol in ((network.gradient(x, t), 1e-12), (network.numerical_gradient(x, t), 1e-8)):
        for name, grad in grads.items():
            np.testing.assert_allclose(grad, want[name], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_one_hot_and_label_targets_agree(activation, dtype):
    network = fnn.TwoLayerNet(6, 5, 3, 0.5, activation=activation, dtype=dtype, seed=0)
    x, t = small_data(dtype)
    labels = t.argmax(axis=1)
    rtol = 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(network.loss(x, labels), network.loss(x, t), rtol=rtol)
    assert network.accuracy(x, labels) == network.accuracy(x, t)
    by_labels, by_rows = network.gradient(x, labels), network.gradient(x, t)
    for name in by_rows:
        np.testing.assert_allclose(by_labels[name], by_rows[name], rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_options_of_fnn_are_passed_on(backend, dtype):
    network = fnn.TwoLayerNet(6, 5, 3, dtype=dtype, backend=backend, seed=4)
    x, t = small_data()
    assert network.predict(x).dtype == np.dtype(dtype)
    assert network.backend == backend
    assert network.fit(x, t, epochs=1).epochs == 1


# The loop


@pytest.mark.parametrize("name", ["dropout_ratio", "dropout_ration"])
def test_a_wrong_dropout_ratio_is_named_as_it_was_spelled(name):
    with pytest.raises(ValueError, match=f"^{name} must be less than 1, got 1"):
        fnn.MultiLayerNet(3, [4], 2, **{name: 1})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_the_loop_of_the_notes_gives_the_curve_of_plain_numpy(activation, dtype):
    x, t = small_data(dtype)
    network = fnn.TwoLayerNet(6, 5, 3, 0.5, activation=activation, dtype=dtype, seed=0)
    plain = PlainNet(network, activation)
    curves = []
    for each in (network, plain):
        np.random.seed(1)
        curves.append(train_as_in_the_notes(each, x, t, 50, batch_size=4))
    np.testing.assert_allclose(curves[0], curves[1], rtol=CURVE[dtype])
    for name, param in plain.params.items():
        np.testing.assert_allclose(network.params[name], param, rtol=CURVE[dtype], atol=CURVE[dtype])


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", HIDDEN)
def test_the_loop_of_the_notes_gives_the_curve_of_plain_numpy_on_digits(activation, dtype):
    (x_train, t_train), _ = load_mnist(normalize=True, one_hot_label=True)
    x_train, t_train = x_train.astype(dtype), t_train.astype(dtype)
    network = fnn.TwoLayerNet(784, 50, 10, activation=activation, dtype=dtype, seed=0)
    curves = []
    for each in (PlainNet(network, activation), network):
        np.random.seed(1)
        curves.append(train_as_in_the_notes(each, x_train, t_train, 50))
    np.testing.assert_allclose(curves[1], curves[0], rtol=CURVE[dtype])


@pytest.mark.jit
@pytest.mark.parametrize(
    ("activation", "loss", "accuracy"),
    # the bounds hold with a margin for ten seeds
    [("sigmoid", 2.0, 0.4), ("relu", 0.5, 0.84)],
)
def test_the_loop_of_the_notes_learns_digits(activation, loss, accuracy):
    (x_train, t_train), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
    network = fnn.TwoLayerNet(input_size=784, hidden_size=50, output_size=10, activation=activation, seed=0)
    train_loss_list = train_as_in_the_notes(network, x_train, t_train, iters_num=300)
    assert train_loss_list[0] == pytest.approx(np.log(10), rel=0.02)  # the loss of equal probabilities
    assert np.mean(train_loss_list[-20:]) < loss
    assert network.accuracy(x_test, t_test) > accuracy
