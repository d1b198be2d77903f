"""Layers of another library become a network: what maps, and what the errors say. Needs none of the libraries."""

import re

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn.interop import chain
from fastfnn.interop.chain import Affine, Drop, Function, Norm
from fastfnn.options import HIDDEN_ACTIVATIONS
from fastfnn.reference.activations import TABLE

RNG = np.random.default_rng(0)


def affine(inputs, outputs, place="layer", dtype="float64"):
    return Affine(place, RNG.normal(size=(inputs, outputs)).astype(dtype), RNG.normal(size=outputs).astype(dtype))


def norm(width, place="norm", epsilon=1e-5, variance=None):
    gamma, beta, mean = RNG.normal(size=(3, width))
    return Norm(place, gamma, beta, mean, RNG.uniform(0.5, 2, width) if variance is None else variance, epsilon)


def network(*layers, loss=None, dropout=None, fold_batch_norm=False, seed=0):
    return chain.network(layers, loss=loss, dropout=dropout, fold_batch_norm=fold_batch_norm, seed=seed)


def outputs(layers, x):
    """What layers compute in predictions, one after the other."""
    for layer in layers:
        if isinstance(layer, Affine):
            x = x @ layer.weight + layer.bias
        elif isinstance(layer, Norm):
            x = layer.gamma * (x - layer.mean) / np.sqrt(layer.variance + layer.epsilon) + layer.beta
        elif isinstance(layer, Function):
            out = np.empty_like(x)
            forward = TABLE[layer.name].forward
            forward(out, x)
            x = out
    return x


def assert_equal_predictions(net, layers):
    x = RNG.normal(size=(20, net.layer_sizes[0]))
    want = outputs(layers, x)
    np.testing.assert_allclose(net.predict(x), want, rtol=1e-12, atol=1e-12 * np.abs(want).max())


@pytest.mark.parametrize("name", HIDDEN_ACTIVATIONS)
def test_each_activation_maps(name):
    layers = [affine(3, 4), Function("f", name), affine(4, 5), Function("g", name), affine(5, 2)]
    net = network(*layers)
    assert net.activation == (name, name) and net.loss_name == "squared_error"
    assert_equal_predictions(net, layers)


@pytest.mark.parametrize(
    "output, loss",
    [("softmax", "softmax_cross_entropy"), ("sigmoid", "sigmoid_cross_entropy"), ("exp", "poisson")],
)
def test_the_last_function_decides_about_the_loss(output, loss):
    layers = [affine(3, 4), Function("f", "tanh"), affine(4, 2), Function("g", output)]
    assert network(*layers).loss_name == loss
    assert_equal_predictions(network(*layers), layers)
    assert_equal_predictions(network(*layers[:-1], loss=loss), layers)  # the loss adds its function


@pytest.mark.parametrize("epsilon", [1e-5, 1e-3, 1e-7, 0.0])
def test_another_epsilon_gives_the_same_predictions(epsilon):
    for variance in (None, np.array([1e-12, 1e-6, 1.0, 1e6])):
        layers = [affine(3, 4), norm(4, epsilon=epsilon, variance=variance), Function("f", "relu"), affine(4, 2)]
        net = network(*layers)
        assert net.batch_norm and (net._running()["variance1"] >= 0).all()
        assert_equal_predictions(net, layers)
        if variance is None:  # training uses the variances of batches, so gamma is that of the model
            np.testing.assert_allclose(net.params["gamma1"], layers[1].gamma, rtol=1e-12)


def test_batch_normalization_is_folded_wherever_it_stands():
    layers = [
        *(norm(3), affine(3, 4), norm(4), norm(4), Function("f", "tanh"), norm(4), Drop("d", 0.2), norm(4)),
        *(affine(4, 5), Function("g", "relu"), affine(5, 2), norm(2, epsilon=1e-3), Function("h", "softmax")),
    ]
    net = network(*layers, fold_batch_norm=True, dropout=0.0)
    assert not net.batch_norm
    assert_equal_predictions(net, layers)


def test_dropout_of_all_hidden_layers_maps():
    layers = [affine(3, 4), Function("f", "relu"), Drop("d", 0.25), affine(4, 4), Drop("e", 0.25), affine(4, 2)]
    net = network(*layers)
    assert net.dropout == 0.25 and net.activation == ("relu", "identity")
    assert_equal_predictions(net, layers)


def test_training_goes_on():
    layers = [affine(3, 4), norm(4), Function("f", "relu"), Drop("d", 0.25), affine(4, 2), Function("g", "softmax")]
    nets = [network(*layers, seed=3) for _ in range(2)]
    x, t = RNG.normal(size=(50, 3)), RNG.integers(2, size=50)
    losses = [net.fit(x, t, epochs=20, optimizer=fnn.SGD(0.1)).loss for net in nets]
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0]


RELU = Function("relu at 1", "relu")
TWO = (affine(3, 4, "first"), RELU, affine(4, 4, "second"), RELU)


@pytest.mark.parametrize(
    "layers, options, message",
    [
        ([], {}, "must have a layer with weights"),
        ([RELU, affine(3, 2)], {}, "relu at 1 must come after a layer with weights"),
        ([affine(3, 2), RELU, RELU, affine(2, 2)], {}, "relu at 1 must come right after the sums"),
        ([affine(3, 4), affine(3, 2, "second")], {}, "second must take 4 inputs, got 3"),
        ([affine(3, 4), affine(4, 2, "second", "float32")], {}, "second must have weights of float64, as before"),
        ([affine(3, 4, "half", "float16")], {}, "half must have weights of float32 or float64, got float16"),
        ([affine(3, 4), RELU], {}, "relu at 1 must not be the output's activation, got relu"),
        ([affine(3, 4), Function("s", "softmax"), affine(4, 2)], {}, "s must be the last layer, or one of identity"),
        ([affine(3, 4), Function("s", "log_softmax")], {}, "s gives logarithms.*softmax in its place"),
        ([affine(3, 4), Function("s", "log_softmax")], {"loss": "mse"}, "s gives logarithms"),
        (
            [affine(3, 4), Function("s", "sigmoid")],
            {"loss": "mse"},
            "loss must have the output activation.*sigmoid at s",
        ),
        ([*TWO, Drop("d", 0.5), affine(4, 2)], {}, "d must drop with the probability 0.0.*got 0.5.*give dropout="),
        ([*TWO[:2], Drop("d", 0.5), *TWO[2:], affine(4, 2)], {}, "what follows relu at 1.*0.5.*got 0.0"),
        ([Drop("d", 0.5), affine(3, 2)], {}, "d drops inputs.*give dropout=0.0"),
        ([affine(3, 2), Drop("d", 0.5)], {}, "d drops outputs"),
        ([affine(3, 4), Drop("d", 0.5), RELU, affine(4, 2)], {}, "d must come after the activation"),
        ([affine(3, 4), Drop("d", 0.5), Drop("e", 0.5), affine(4, 2)], {}, "e must not follow another dropout"),
        ([affine(3, 4), RELU, norm(4, "n"), affine(4, 2)], {}, "n must stand between.*fold_batch_norm=True"),
        ([norm(3, "n"), affine(3, 2)], {}, "n must stand between.*fold_batch_norm=True"),
        ([affine(3, 2), norm(2, "n")], {}, "n must stand between.*fold_batch_norm=True"),
        ([TWO[0], norm(4), *TWO[1:], affine(4, 2)], {}, "second must be followed by batch normalization.*fold_batch"),
        (
            [affine(3, 2), Function("s", "softmax"), norm(2, "n")],
            {"fold_batch_norm": True},
            "n must not be the last layer",
        ),
        ([affine(3, 2)], {"loss": "hinge"}, "loss must be one of"),
        ([affine(3, 2)], {"dropout": 1.0}, "dropout must be"),
    ],
)
def test_what_does_not_map_is_named(layers, options, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        network(*layers, **options)


def test_log_softmax_maps_to_probabilities_if_the_loss_is_given():
    layers = [affine(3, 2), Function("s", "log_softmax")]
    net = network(*layers, loss="softmax_cross_entropy")
    assert_equal_predictions(net, [layers[0], Function("s", "softmax")])


def test_dropout_that_is_given_takes_the_place_of_any_other():
    layers = [Drop("d", 0.5), affine(3, 4), Drop("d", 0.1), RELU, affine(4, 2), Drop("d", 0.3)]
    assert network(*layers, dropout=0.2).dropout == 0.2
    assert_equal_predictions(network(*layers, dropout=0.2), layers)
