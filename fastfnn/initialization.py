"""Initial weights: their standard deviation, and how they are drawn."""

import math
from collections.abc import Callable

import numpy as np

from fastfnn import validation
from fastfnn.params import Params

# Weights of a layer with n inputs have the standard deviation sqrt(gain / n).
INIT_GAIN = {"he": 2.0, "xavier": 1.0}


def init_std(init: float | str, in_features: int) -> float:
    """Return the standard deviation of the initial weights of a layer.

    Parameters
    ----------
    init : float or {"he", "xavier"}
        The standard deviation itself, or the rule that gives it.
    in_features : int
        Number of inputs of the layer.

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
    if isinstance(init, str):
        return math.sqrt(INIT_GAIN[validation.choice("init", init, tuple(INIT_GAIN))] / in_features)
    return validation.nonnegative("init", init)


def draw_weights(params: Params, init: float | str, standard_normal: Callable[[tuple[int, ...]], np.ndarray]) -> None:
    """Fill the weight matrices W1, W2, ... in this order with normal numbers; `standard_normal` takes a shape."""
    for layer, in_features in enumerate(params.layer_sizes[:-1], 1):
        weight = params[f"W{layer}"]
        weight[...] = init_std(init, in_features) * standard_normal(weight.shape)
