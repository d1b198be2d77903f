"""Networks that are built by hand from layers and functions train as in plain NumPy: sections 4 and 5 of the notes."""

# ruff: noqa: F403, F405  (names come from `import *`, as in the programs of the book)

import inspect

import numpy as np
import pytest
from helpers import DIFFERENCE_TOL, assert_close
from plain_layers import CURVE, OURS, PLAIN, MultiLayerNet, TwoLayerNet, digits, small_data, train

import fastfnn as fnn
from fastfnn import functions, layers
from fastfnn.functions import *
from fastfnn.layers import *

pytestmark = pytest.mark.usefixtures("numpy_seed")


# The names


@pytest.mark.parametrize(
    "name",
    [
        "identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu", "relu_grad", "softmax",
        "sum_squared_error", "mean_squared_error", "cross_entropy_error", "softmax_loss", "numerical_gradient",
    ],
)  # fmt: skip
def test_the_functions_of_the_book_exist(name):
    assert name in functions.__all__
    assert callable(globals()[name])


ARGUMENTS = {  # of the constructor, forward and backward, with the names of the book
    "Affine": ("W b", "x", "dout"),
    "Relu": ("", "x", "dout"),
    "Sigmoid": ("", "x", "dout"),
    "SoftmaxWithLoss": ("", "x t", "dout=1"),
    "Dropout": ("dropout_ratio=0.5", "x train_flg=True", "dout"),
    "BatchNormalization": (
        "gamma beta momentum=0.9 running_mean=None running_var=None",
        "x train_flg=True",
        "dout",
    ),
}


def arguments(function):
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    return " ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in parameters)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_layers_of_the_book_exist(name):
    layer = globals()[name]
    assert name in layers.__all__
    got = arguments(layer), arguments(layer.forward).removeprefix("self "), arguments(layer.backward)[len("self ") :]
    assert got == ARGUMENTS[name]


# Section 4 of the notes: a network of two layers, from functions


class TwoLayerNetOfFunctions:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {}
        self.params["W1"] = weight_init_std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)

    def predict(self, x):
        z1 = sigmoid(np.dot(x, self.params["W1"]) + self.params["b1"])
        return softmax(np.dot(z1, self.params["W2"]) + self.params["b2"])

    def loss(self, x, t):
        return cross_entropy_error(self.predict(x), t)

    def accuracy(self, x, t):
        return np.sum(np.argmax(self.predict(x), axis=1) == np.argmax(t, axis=1)) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        def loss_W(W):
            return self.loss(x, t)

        return {name: numerical_gradient(loss_W, param) for name, param in self.params.items()}

    def gradient(self, x, t):
        grads = {}
        a1 = np.dot(x, self.params["W1"]) + self.params["b1"]
        z1 = sigmoid(a1)
        y = softmax(np.dot(z1, self.params["W2"]) + self.params["b2"])
        dy = (y - t) / x.shape[0]
        grads["W2"] = np.dot(z1.T, dy)
        grads["b2"] = np.sum(dy, axis=0)
        da1 = sigmoid_grad(a1) * np.dot(dy, self.params["W2"].T)
        grads["W1"] = np.dot(x.T, da1)
        grads["b1"] = np.sum(da1, axis=0)
        return grads


def test_the_network_of_section_4_equals_that_of_this_package():
    x, t = small_data()
    network = TwoLayerNetOfFunctions(6, 5, 3, weight_init_std=0.5)
    ours = fnn.TwoLayerNet(6, 5, 3, dtype="float64")
    for name, param in network.params.items():
        ours.params[name] = param
    np.testing.assert_allclose(train(network, x, t, 50, 10), train(ours, x, t, 50, 10), rtol=CURVE["float64"])
    np.testing.assert_allclose(network.predict(x), ours.predict(x), rtol=CURVE["float64"])
    assert network.accuracy(x, t) == ours.accuracy(x, t)


def test_the_gradients_of_section_4_agree():
    x, t = small_data()
    network = TwoLayerNetOfFunctions(6, 5, 3, weight_init_std=0.5)
    by_backpropagation, by_differences = network.gradient(x, t), network.numerical_gradient(x, t)
    for name, grad in by_backpropagation.items():
        assert_close(by_differences[name], grad, DIFFERENCE_TOL)


# Section 5: a network of two layers, from layers


def two_layer_nets(*sizes, **options):
    """Return the network on these layers and on the plain NumPy layers, with equal weights."""
    for made_of in (OURS, PLAIN):
        np.random.seed(0)
        yield TwoLayerNet(made_of, *sizes, **options)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_of_section_5_trains_as_in_plain_numpy(dtype):
    x, t = digits(dtype)
    ours, plain = two_layer_nets(784, 20, 10, weight_init_std=0.05, dtype=dtype)
    got, want = train(ours, x, t), train(plain, x, t)
    np.testing.assert_allclose(got, want, rtol=CURVE[dtype])
    assert got[-1] < got[0] / 2
    assert all(param.dtype == np.dtype(dtype) for param in ours.params.values())
    assert ours.accuracy(x, t) == plain.accuracy(x, t)


def test_the_network_of_section_5_trains_as_in_plain_numpy_on_small_data():
    x, t = small_data()
    ours, plain = two_layer_nets(6, 5, 3, weight_init_std=0.5)
    np.testing.assert_allclose(train(ours, x, t, 50, 10), train(plain, x, t, 50, 10), rtol=CURVE["float64"])


def test_the_network_of_section_5_equals_that_of_this_package():
    x, t = small_data()
    network, _ = two_layer_nets(6, 5, 3, weight_init_std=0.5)
    same = fnn.TwoLayerNet(6, 5, 3, activation="relu", dtype="float64")
    for name, param in network.params.items():
        same.params[name] = param
    np.testing.assert_allclose(train(network, x, t, 50, 10), train(same, x, t, 50, 10), rtol=CURVE["float64"])


def test_the_gradients_of_section_5_agree():
    x, t = small_data()
    network, _ = two_layer_nets(6, 5, 3, weight_init_std=0.5)
    by_backpropagation, by_differences = network.gradient(x, t), network.numerical_gradient(x, t)
    for name, grad in by_backpropagation.items():
        assert_close(by_differences[name], grad, DIFFERENCE_TOL)


def test_relu_does_not_change_the_array_that_another_layer_kept():
    x, t = small_data()
    network, _ = two_layer_nets(6, 5, 3, weight_init_std=0.5)
    first = network.gradient(x, t)
    second = network.gradient(x, t)
    for name, grad in first.items():
        np.testing.assert_array_equal(grad, second[name])


# A network of several layers with batch normalization, dropout and weight decay


KINDS = {  # options of dropout and of batch normalization
    "ours": ({}, {}),
    "the book's": ({"book": True}, {"epsilon": 10e-7}),
}


def multi_layer_nets(kind, *arguments, **options):
    dropout, normalization = KINDS[kind]
    for made_of in (OURS, PLAIN):
        np.random.seed(0)
        yield MultiLayerNet(made_of, *arguments, dropout, normalization, **options)


@pytest.mark.jit
@pytest.mark.parametrize("activation", ["Relu", "Sigmoid", "Tanh"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_all_layers_trains_as_in_plain_numpy(kind, activation):
    x, t = digits()
    ours, plain = multi_layer_nets(kind, (784, 20, 15, 10), activation, weight_decay=0.01)
    got, want = train(ours, x, t), train(plain, x, t)
    np.testing.assert_allclose(got, want, rtol=CURVE["float64"])
    assert got[-1] < got[0]
    np.testing.assert_allclose(ours.predict(x), plain.predict(x), rtol=1e-7, atol=1e-7)
    assert np.mean(ours.predict(x).argmax(axis=1) == t.argmax(axis=1)) > 0.4  # guessing has 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_with_all_layers_trains_as_in_plain_numpy_on_small_data(kind):
    x, t = small_data()
    ours, plain = multi_layer_nets(kind, (6, 5, 4, 3), "Tanh", weight_decay=0.1)
    np.testing.assert_allclose(train(ours, x, t, 50, 10), train(plain, x, t, 50, 10), rtol=CURVE["float64"])


def test_the_two_kinds_of_network_differ():
    x, t = small_data()
    (ours, _), (book, _) = (multi_layer_nets(kind, (6, 5, 4, 3), "Tanh") for kind in KINDS)
    assert not np.allclose(train(ours, x, t, 5, 10), train(book, x, t, 5, 10), rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_normalization_equals_that_of_fnn(kind):
    x, t = small_data()
    _, normalization = KINDS[kind]
    np.random.seed(0)
    network = MultiLayerNet(OURS, (6, 5, 4, 3), "Relu", None, normalization, weight_decay=0.1)
    np.random.seed(0)
    same = fnn.MultiLayerNet(
        6, [5, 4], 3, weight_decay_lambda=0.1, use_batchnorm=True, book=kind != "ours", dtype="float64"
    )
    assert network.params.keys() == same.params.keys()
    train(network, x, t, 50, 10)
    train(same, x, t, 50, 10)
    for name, param in same.params.items():
        np.testing.assert_allclose(network.params[name], param, rtol=CURVE["float64"], atol=CURVE["float64"])


@pytest.mark.parametrize("name", ["SGD", "Momentum", "Adam"])
def test_an_optimizer_changes_the_layers_through_their_parameters(name):
    x, t = small_data()
    network, plain = multi_layer_nets("ours", (6, 5, 4, 3), "Tanh")
    losses = []
    for each in (network, plain):
        np.random.seed(1)
        optimizer, history = getattr(fnn, name)(0.05), []
        for _ in range(20):
            optimizer.update(each.params, each.gradient(x, t))
            history.append(each.loss(x, t))
        losses.append(history)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-7)  # Adam divides by small numbers
    assert losses[0][-1] < losses[0][0]
