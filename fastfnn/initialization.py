"""Initial weights and biases: their distributions, and how they are drawn.

Called by the constructors of networks and estimators, each with a random source of its own.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from fastfnn import validation
from fastfnn.activation import Activation
from fastfnn.params import Params

# Normal weights of a layer with n inputs have the standard deviation sqrt(gain / n).
INIT_GAIN = {"he": 2.0, "xavier": 1.0}
INITS = (*INIT_GAIN, "glorot", "torch")


class RandomSource(Protocol):
    """What is drawn from: a `np.random.Generator`, a `np.random.RandomState` or the module `np.random` itself."""

    def standard_normal(self, size: tuple[int, ...], /) -> np.ndarray: ...

    def uniform(self, low: float, high: float, size: tuple[int, ...], /) -> np.ndarray: ...


def checked_init(init: float | str) -> float | str:
    """Return `init` as a name of `INITS` or as a finite float of at least 0."""
    return validation.choice("init", init, INITS) if isinstance(init, str) else validation.nonnegative("init", init)


def normal_std(init: float | str, in_features: int) -> float:
    """Return the standard deviation of the weights of a layer for "he", "xavier" or a number.

    Notes
    -----
    "he" is ``sqrt(2 / in_features)``, which keeps the variance of the activations from layer to layer with ReLU;
    "xavier" is ``sqrt(1 / in_features)``, which does so for sigmoid and tanh near 0.

    References
    ----------
    K. He et al., "Delving Deep into Rectifiers", ICCV 2015.
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """
    return math.sqrt(INIT_GAIN[init] / in_features) if isinstance(init, str) else init


def uniform_bound(init: str, in_features: int, out_features: int, activation: str | Activation) -> float:
    """Return the bound of the weights and biases of a layer for "glorot" or "torch".

    Parameters
    ----------
    init : {"glorot", "torch"}
    in_features, out_features : int
        Inputs and outputs of the layer.
    activation : str or Activation
        Activation of the layer; of the output layer, that of the hidden layer below it.

    Notes
    -----
    "torch" is ``sqrt(1 / in_features)``, as PyTorch's ``nn.Linear`` has it. "glorot" is
    ``sqrt(6 / (in_features + out_features))``, with 2 instead of 6 for the sigmoid, as scikit-learn's multilayer
    perceptrons have it: a compromise between the variance of the activations and that of the deltas.

    References
    ----------
    X. Glorot and Y. Bengio, as above.
    """
    if init == "torch":
        return math.sqrt(1 / in_features)
    return math.sqrt((2 if activation == "sigmoid" else 6) / (in_features + out_features))


def draw_weights(
    params: Params, init: float | str, activations: Sequence[str | Activation], random: RandomSource
) -> None:
    """Fill the weights and the biases of a network; gamma and beta stay as they are.

    Parameters
    ----------
    params : Params
    init : float or {"he", "xavier", "glorot", "torch"}
        Standard deviation of normal weights, or the rule that gives their distribution.
    activations : sequence of str or Activation
        Activations of the layers from the first one on; layers after the last of them count as having that one, so
        that those of the hidden layers, or a single one, are enough. May be empty.
    random : RandomSource
        Normal weights are drawn in the order W1, W2, ...; their biases are 0. Uniform weights and biases are drawn in
        the order W1, b1, W2, b2, ..., by ``uniform(-bound, bound, shape)``, as scikit-learn does.
    """
    rule = checked_init(init)
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(params.layer_sizes)):
        weight, bias = params[f"W{layer + 1}"], params[f"b{layer + 1}"]
        if rule == "glorot" or rule == "torch":
            activation = activations[min(layer, len(activations) - 1)] if activations else "identity"
            bound = uniform_bound(rule, inputs, outputs, activation)
            weight[...] = random.uniform(-bound, bound, weight.shape)
            bias[...] = random.uniform(-bound, bound, bias.shape)
        else:
            weight[...] = normal_std(rule, inputs) * random.standard_normal(weight.shape)
            bias[...] = 0
