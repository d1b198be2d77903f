"""Small networks, samples for them and comparisons, for the tests of the API."""

import copy
import math

import numpy as np
import pytest

import fastfnn as fnn

ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu")
CROSS_ENTROPIES = ("softmax_cross_entropy", "sigmoid_cross_entropy")
LOSSES = (*CROSS_ENTROPIES, "squared_error", "poisson", "huber", "absolute_error", "quantile")
DTYPES = ("float32", "float64")
BACKENDS = pytest.mark.parametrize("backend", ["kernels", "reference"])

LOG_9 = math.log(9)
RARE, LIKELY = math.log(4), math.log(4 / 3)  # -log of the probabilities 1/4 and 3/4

# Activations in plain NumPy.
NUMPY = {
    "identity": lambda u: u,
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "tanh": np.tanh,
    "relu": lambda u: np.maximum(u, 0),
    "exp": np.exp,
    "softmax": lambda u: np.exp(u) / np.exp(u).sum(axis=1, keepdims=True),
}


def samples(loss="softmax_cross_entropy", count=7, inputs=4, outputs=3, seed=0):
    """Random x (count, inputs) in float64, and random targets for the loss."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, inputs))
    if loss == "softmax_cross_entropy":
        return x, rng.integers(outputs, size=count)
    if loss == "poisson":
        return x, rng.poisson(1.5, (count, outputs))
    return x, rng.random((count, outputs)) if loss == "sigmoid_cross_entropy" else rng.standard_normal((count, outputs))


def network(layer_sizes=(4, 5, 3), **options):
    """A network with random biases."""
    net = fnn.FNN(layer_sizes, **({"dtype": "float64", "seed": 1} | options))
    rng = np.random.default_rng(2)
    for name in net.params:
        if name.startswith("b"):
            net.params[name] = rng.standard_normal(net.params[name].shape)
    return net


def bits(parameters):
    """The bits of a network's parameters, or of a mapping of arrays, by name."""
    parameters = getattr(parameters, "params", parameters)
    return {name: param.tobytes() for name, param in parameters.items()}


def assert_same_params(got, want, rtol=1e-12):
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=rtol, atol=rtol, err_msg=name)


def orders(net, count, epochs):
    """The orders of samples that the next shuffled fit draws, one for each epoch."""
    rng = copy.deepcopy(net._rng)
    return [rng.permutation(count) for _ in range(epochs)]


def loop_by_hand(net, x, t, order, batch_size, rate):
    """Take the steps of one epoch with `loss` and `gradient`; return their losses."""
    losses = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        losses.append(net.loss(x[chosen], t[chosen]))
        grad = net.gradient(x[chosen], t[chosen])
        for name in net.params:
            net.params[name] -= rate * grad[name]
    return losses


def softmax_net(**options):
    """A network with probabilities 1/4 and 3/4 for x = 0, and 3/4 and 1/4 for x = log 9."""
    net = fnn.FNN((1, 2), **({"dtype": "float64"} | options))
    net.params["W1"] = [[1, 0]]
    net.params["b1"] = [0, math.log(3)]
    return net


def sigmoid_net(**options):
    """A network with outputs 1/4 and 3/4 for x = 0, and 3/4 and 3/4 for x = log 9."""
    net = fnn.FNN((1, 2), loss="sigmoid_cross_entropy", **({"dtype": "float64"} | options))
    net.params["W1"] = [[1, 0]]
    net.params["b1"] = [-math.log(3), math.log(3)]
    return net


def linear_net(**options):
    """The network y = (2 x, 1 - x)."""
    net = fnn.FNN((1, 2), loss="squared_error", **({"dtype": "float64"} | options))
    net.params["W1"] = [[2, -1]]
    net.params["b1"] = [0, 1]
    return net


def some_weights(count=7):
    """Random weights of samples between 0 and 2."""
    return np.random.default_rng(3).uniform(0, 2, count)


def spread(x):
    """A view with the values of x, among NaN in a larger array."""
    larger = np.full((2 * len(x), 3 * x.shape[1]), np.nan, x.dtype)
    larger[::2, ::3] = x
    return larger[::2, ::3]


def locked(x):
    """A read-only copy of x."""
    x = x.copy()
    x.flags.writeable = False
    return x
