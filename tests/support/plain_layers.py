"""The layers of the book in plain NumPy, in float64, and networks that are built from any such layers.

Tests train one program with both kinds of layers, which it gets as an argument, and compare.
"""

import functools
import types
from collections import OrderedDict

import numpy as np

from fastfnn import datasets, layers
from fastfnn.functions import numerical_gradient

# Relative tolerance of losses; rounding errors grow from step to step.
CURVE = {"float32": 1e-4, "float64": 1e-9}


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
    """Targets are one-hot rows. Epsilon is added to the probabilities in the loss, not in the gradient."""

    def __init__(self, epsilon=0):
        self.epsilon = epsilon

    def forward(self, x, t):
        power = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = power / power.sum(axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y + self.epsilon)) / len(t)

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
PLAIN_BOOK = types.SimpleNamespace(  # with the choices of the book
    Affine=PlainAffine,
    Relu=PlainRelu,
    Sigmoid=PlainSigmoid,
    SoftmaxWithLoss=functools.partial(PlainSoftmaxWithLoss, epsilon=1e-7),
    Dropout=functools.partial(PlainDropout, book=True),
    BatchNormalization=functools.partial(PlainBatchNormalization, epsilon=10e-7),
)


def small_data(dtype="float64", inputs=6, classes=3, count=30):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, inputs)).astype(dtype), np.eye(classes, dtype=dtype)[
        rng.integers(classes, size=count)
    ]


def digits(dtype="float64", count=500):
    (x, t), _ = datasets.load_mnist(normalize=True, one_hot_label=True)
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


class MultiLayerNet:
    def __init__(
        self,
        made_of,
        sizes,
        activation,
        dropout,
        normalization,
        weight_decay=0.0,
        dtype="float64",
        std=None,
        ratio=0.25,
    ):
        """Options of dropout and normalization are passed to these layers; None means no such layers.

        std: standard deviation of the weights; None for sqrt(2 / inputs)
        """
        self.params, self.layers, self.weight_decay = {}, OrderedDict(), weight_decay
        self.count = len(sizes) - 1
        for i in range(1, self.count + 1):
            inputs, outputs = sizes[i - 1], sizes[i]
            scale = np.sqrt(2 / inputs) if std is None else std
            self.params[f"W{i}"] = (np.random.randn(inputs, outputs) * scale).astype(dtype)
            self.params[f"b{i}"] = np.zeros(outputs, dtype)
            self.layers[f"Affine{i}"] = made_of.Affine(self.params[f"W{i}"], self.params[f"b{i}"])
            if i < self.count:
                if normalization is not None:
                    self.params[f"gamma{i}"] = np.ones(outputs, dtype)
                    self.params[f"beta{i}"] = np.zeros(outputs, dtype)
                    self.layers[f"BatchNorm{i}"] = made_of.BatchNormalization(
                        self.params[f"gamma{i}"], self.params[f"beta{i}"], **normalization
                    )
                self.layers[f"Activation{i}"] = getattr(made_of, activation)()
                if dropout is not None:
                    self.layers[f"Dropout{i}"] = made_of.Dropout(ratio, **dropout)
        self.last_layer = made_of.SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for key, layer in self.layers.items():
            x = layer.forward(x, train_flg) if "Dropout" in key or "BatchNorm" in key else layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        squares = sum(np.sum(self.params[f"W{i}"] ** 2) for i in range(1, self.count + 1))
        return self.last_layer.forward(self.predict(x, train_flg), t) + 0.5 * self.weight_decay * squares

    def accuracy(self, x, t):
        return np.sum(np.argmax(self.predict(x), axis=1) == np.argmax(t, axis=1)) / float(x.shape[0])

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward()
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {}
        for i in range(1, self.count + 1):
            affine = self.layers[f"Affine{i}"]
            grads[f"W{i}"], grads[f"b{i}"] = affine.dW + self.weight_decay * affine.W, affine.db
            if f"BatchNorm{i}" in self.layers:
                norm = self.layers[f"BatchNorm{i}"]
                grads[f"gamma{i}"], grads[f"beta{i}"] = norm.dgamma, norm.dbeta
        return grads
