"""Programs in the style of the book: on these layers and functions they train as in plain NumPy.

One program runs with both kinds of layers, which it gets as an argument. The plain NumPy layers are written below, in
float64, from the mathematics of the book.
"""

# ruff: noqa: F403, F405  (names come from `import *`, as in the programs of the book)

import inspect
import types
from collections import OrderedDict

import numpy as np
import pytest
from helpers import DIFFERENCE_TOL, assert_close

import fastfnn as fnn
from fastfnn import functions, layers
from fastfnn.functions import *
from fastfnn.layers import *

# Relative tolerance of losses; rounding errors grow from step to step.
CURVE = {"float32": 1e-4, "float64": 1e-9}


pytestmark = pytest.mark.usefixtures("numpy_seed")


# The layers in plain NumPy


class PlainAffine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class PlainRelu:
    def forward(self, x):
        self.positive = x > 0
        return np.maximum(x, 0)

    def backward(self, dout):
        return dout * self.positive


class PlainSigmoid:
    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1 - self.out)


class PlainTanh:
    def forward(self, x):
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out**2)


class PlainSoftmaxWithLoss:
    def forward(self, x, t):
        power = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = power / power.sum(axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y)) / len(t)

    def backward(self, dout=1):
        return dout * (self.y - self.t) / len(self.t)


class PlainIdentityWithLoss:
    def forward(self, x, t):
        self.difference = x - t
        return 0.5 * np.sum(self.difference**2) / len(t)

    def backward(self, dout=1):
        return dout * self.difference / len(self.difference)


class PlainDropout:
    """The book's dropout with book=True, else inverted dropout."""

    def __init__(self, ratio, book=False):
        self.ratio, self.book = ratio, book

    def forward(self, x, train_flg=True):
        if not train_flg:
            return x * (1 - self.ratio) if self.book else x
        kept = np.random.rand(*x.shape) > self.ratio
        self.factor = kept if self.book else kept / (1 - self.ratio)
        return x * self.factor

    def backward(self, dout):
        return dout * self.factor


class PlainBatchNormalization:
    """Batch normalization whose backward pass goes through the standard deviation, then the mean."""

    def __init__(self, gamma, beta, momentum=0.9, epsilon=1e-5):
        self.gamma, self.beta, self.momentum, self.epsilon = gamma, beta, momentum, epsilon
        self.running_mean = self.running_var = 0

    def forward(self, x, train_flg=True):
        mean, variance = self.running_mean, self.running_var
        if train_flg:
            mean, variance = x.mean(axis=0), x.var(axis=0)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * variance
        self.centred, self.deviation = x - mean, np.sqrt(variance + self.epsilon)
        return self.gamma * self.centred / self.deviation + self.beta

    def backward(self, dout):
        count = len(dout)
        self.dgamma, self.dbeta = np.sum(dout * self.centred / self.deviation, axis=0), dout.sum(axis=0)
        dnormalized = dout * self.gamma
        ddeviation = -np.sum(dnormalized * self.centred, axis=0) / self.deviation**2
        dcentred = dnormalized / self.deviation + self.centred * ddeviation / self.deviation / count
        return dcentred - dcentred.sum(axis=0) / count


OURS = types.SimpleNamespace(**{name: getattr(layers, name) for name in layers.__all__})
PLAIN = types.SimpleNamespace(**{name: globals()[f"Plain{name}"] for name in layers.__all__})


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


def small_data(dtype="float64", inputs=6, classes=3, count=30):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, inputs)).astype(dtype), np.eye(classes, dtype=dtype)[
        rng.integers(classes, size=count)
    ]


def digits(dtype="float64", count=500):
    (x, t), _ = fnn.datasets.load_mnist(normalize=True, one_hot_label=True)
    return x[:count].astype(dtype), t[:count].astype(dtype)


def train(network, x, t, steps=200, batch_size=50, learning_rate=0.1):
    """The training loop of the notes, with equal batches for every network."""
    np.random.seed(1)
    losses = []
    for _ in range(steps):
        batch_mask = np.random.choice(len(x), batch_size)
        x_batch, t_batch = x[batch_mask], t[batch_mask]
        grads = network.gradient(x_batch, t_batch)
        for key in network.params:
            network.params[key] -= learning_rate * grads[key]
        losses.append(network.loss(x_batch, t_batch))
    return losses


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


class TwoLayerNet:
    def __init__(self, made_of, input_size, hidden_size, output_size, weight_init_std=0.01, dtype="float64"):
        self.params = {}
        self.params["W1"] = (weight_init_std * np.random.randn(input_size, hidden_size)).astype(dtype)
        self.params["b1"] = np.zeros(hidden_size, dtype)
        self.params["W2"] = (weight_init_std * np.random.randn(hidden_size, output_size)).astype(dtype)
        self.params["b2"] = np.zeros(output_size, dtype)

        self.layers = OrderedDict()
        self.layers["Affine1"] = made_of.Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = made_of.Relu()
        self.layers["Affine2"] = made_of.Affine(self.params["W2"], self.params["b2"])
        self.lastLayer = made_of.SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def accuracy(self, x, t):
        return np.sum(np.argmax(self.predict(x), axis=1) == np.argmax(t, axis=1)) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        def loss_W(W):
            return self.loss(x, t)

        return {name: numerical_gradient(loss_W, param) for name, param in self.params.items()}

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        grads["W1"], grads["b1"] = self.layers["Affine1"].dW, self.layers["Affine1"].db
        grads["W2"], grads["b2"] = self.layers["Affine2"].dW, self.layers["Affine2"].db
        return grads


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


class MultiLayerNet:
    def __init__(self, made_of, sizes, activation, dropout, normalization, weight_decay=0.0, dtype="float64"):
        """Options of dropout and normalization are passed to these layers; None means no dropout."""
        self.params, self.layers, self.weight_decay = {}, OrderedDict(), weight_decay
        self.count = len(sizes) - 1
        for i in range(1, self.count + 1):
            inputs, outputs = sizes[i - 1], sizes[i]
            self.params[f"W{i}"] = (np.random.randn(inputs, outputs) * np.sqrt(2 / inputs)).astype(dtype)
            self.params[f"b{i}"] = np.zeros(outputs, dtype)
            self.layers[f"Affine{i}"] = made_of.Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            if i < self.count:
                self.params[f"gamma{i}"] = np.ones(outputs, dtype)
                self.params[f"beta{i}"] = np.zeros(outputs, dtype)
                self.layers[f"BatchNorm{i}"] = made_of.BatchNormalization(
                    self.params[f"gamma{i}"], self.params[f"beta{i}"], **normalization
                )
                self.layers[f"Activation{i}"] = getattr(made_of, activation)()
                if dropout is not None:
                    self.layers[f"Dropout{i}"] = made_of.Dropout(0.25, **dropout)
        self.last_layer = made_of.SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for key, layer in self.layers.items():
            x = layer.forward(x, train_flg) if "Dropout" in key or "BatchNorm" in key else layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        squares = sum(np.sum(self.params[f"W{i}"] ** 2) for i in range(1, self.count + 1))
        return self.last_layer.forward(self.predict(x, train_flg), t) + 0.5 * self.weight_decay * squares

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        for i in range(1, self.count + 1):
            affine = self.layers[f"Affine{i}"]
            grads[f"W{i}"], grads[f"b{i}"] = affine.dW + self.weight_decay * affine.W, affine.db
            if i < self.count:
                norm = self.layers[f"BatchNorm{i}"]
                grads[f"gamma{i}"], grads[f"beta{i}"] = norm.dgamma, norm.dbeta
        return grads


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


# Each layer against central differences

AWAY_FROM_0 = 0.05  # distance from the kinks of functions


def drawn(shape, seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    return x + np.copysign(AWAY_FROM_0, x)


def assert_gradients_agree(forward, backward, arrays):
    """Check that `backward(r)`, which returns one gradient per array, returns the gradients of sum(r out)."""
    r = drawn(np.shape(forward()), seed=9)

    def weighted_sum(_):
        return float(np.sum(r * forward()))

    forward()
    for array, got in zip(arrays, backward(r), strict=True):
        want = numerical_gradient(weighted_sum, array)
        assert_close(got, want, 10 * DIFFERENCE_TOL)  # sums of a dozen terms


@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), (4, 1, 2, 3)])
def test_the_gradients_of_affine_agree_with_central_differences(shape):
    x, W, b = drawn(shape), drawn((6, 3), 1), drawn(3, 2)
    layer = Affine(W, b)
    assert_gradients_agree(lambda: layer.forward(x), lambda dout: (layer.backward(dout), layer.dW, layer.db), (x, W, b))


@pytest.mark.parametrize("shape", [(4, 6), (4, 1, 2, 3)])
@pytest.mark.parametrize("layer_type", [Relu, Sigmoid, Tanh])
def test_the_gradients_of_activations_agree_with_central_differences(layer_type, shape):
    x, layer = drawn(shape), layer_type()
    assert_gradients_agree(lambda: layer.forward(x), lambda dout: (layer.backward(dout),), (x,))


@pytest.mark.parametrize(
    ("layer_type", "t"),
    [
        (SoftmaxWithLoss, np.array([0, 2, 1, 1])),
        (SoftmaxWithLoss, np.eye(3)[[0, 2, 1, 1]]),
        (SoftmaxWithLoss, np.array([[0.5, 0.5, 0], [0, 1, 0], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])),
        (IdentityWithLoss, drawn((4, 3), seed=1)),
    ],
)
def test_the_gradients_of_losses_agree_with_central_differences(layer_type, t):
    x, layer = drawn((4, 3)), layer_type()
    assert_gradients_agree(lambda: layer.forward(x, t), lambda dout: (layer.backward(dout),), (x,))


@pytest.mark.parametrize("train_flg", [True, False])
@pytest.mark.parametrize("book", [False, True])
def test_the_gradient_of_dropout_agrees_with_central_differences(book, train_flg):
    x, layer = drawn((4, 6)), Dropout(0.4, book=book)

    def forward():
        np.random.seed(5)  # equal masks in all calls
        return layer.forward(x, train_flg)

    assert_gradients_agree(forward, lambda dout: (layer.backward(dout),), (x,))


@pytest.mark.parametrize("epsilon", [1e-5, 10e-7])
@pytest.mark.parametrize("shape", [(5, 6), (5, 1, 2, 3)])
def test_the_gradients_of_batch_normalization_agree_with_central_differences(shape, epsilon):
    # A wide spread, because the error of the central difference grows with 1 / deviation^3.
    x, gamma, beta = 3 * drawn(shape), drawn(6, 1), drawn(6, 2)
    layer = BatchNormalization(gamma, beta, epsilon=epsilon)
    assert_gradients_agree(
        lambda: layer.forward(x), lambda dout: (layer.backward(dout), layer.dgamma, layer.dbeta), (x, gamma, beta)
    )
