"""The two passes of back_propagation.py in training with batch normalization and dropout.

A hidden layer is x_l = m_l * f_l(gamma_l n(u_l) + beta_l): batch normalization n before the activation, the mask m_l of
dropout after it. The last layer has neither.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .activations import activation_backward, activation_forward
from .affine import affine_backward, affine_forward
from .batch_normalization import batch_norm_backward, batch_norm_forward
from .dropout import dropout_mask
from .parameters import Layer


class Kept(NamedTuple):
    """What the forward pass of a layer keeps for its backward pass."""

    x: np.ndarray  # (B, I), input of the layer
    u: np.ndarray  # (B, O), input of the activation
    mask: np.ndarray  # (B, O), factors of dropout; 1 without it
    normalized: np.ndarray  # (B, O), with batch normalization
    variance: np.ndarray  # (O,), with batch normalization


def forward(
    x: np.ndarray,
    statistics: np.ndarray,
    layers: Sequence[Layer],
    activations: np.ndarray,
    setting: dict[str, float],
    step: int,
) -> tuple[np.ndarray, list[Kept]]:
    """Return the outputs of the network and what each layer keeps; update the running statistics."""
    passes, start = [], 0
    for number, (layer, activation) in enumerate(zip(layers, activations, strict=True), 1):
        width = len(layer.bias)
        running = statistics[start:][:width], statistics[start + width :][:width]
        start += 2 * width
        kept, activated = _layer_forward(x, running, layer, activation, setting)
        if setting["dropout"] and number < len(layers):
            scale, seed = setting["dropout_scale"], int(setting["seed"])
            dropout_mask(kept.mask, number, step, setting["dropout"], scale, seed)
        passes.append(kept)
        x = activated * kept.mask
    return x, passes


def _layer_forward(
    x: np.ndarray, running: tuple[np.ndarray, np.ndarray], layer: Layer, activation: int, setting: dict[str, float]
) -> tuple[Kept, np.ndarray]:
    """Return what the layer keeps, with a mask of 1, and its output without dropout."""
    u = np.empty((len(x), len(layer.bias)), layer.weight.dtype)
    affine_forward(u, x, layer.weight, layer.bias)
    normalized, mean, variance = np.empty_like(u), np.empty_like(layer.bias), np.empty_like(layer.bias)
    if layer.gamma is not None and layer.beta is not None:
        batch_norm_forward(u, normalized, mean, variance, u.copy(), layer.gamma, layer.beta, setting["norm_epsilon"])
        momentum = setting["norm_momentum"]
        for old, new in zip(running, (mean, variance), strict=True):
            old[...] = momentum * old + (1 - momentum) * new
    activated = np.empty_like(u)
    activation_forward(activated, u, activation)
    return Kept(x, u, np.ones_like(u), normalized, variance), activated


def backward(
    grads: Sequence[Layer],
    grad_out: np.ndarray,
    passes: Sequence[Kept],
    layers: Sequence[Layer],
    activations: np.ndarray,
    setting: dict[str, float],
) -> None:
    """Write the gradients of all parameters into `grads`, from dE/dx_L = grad_out and what `forward` kept."""
    for layer, into, kept, activation in reversed(list(zip(layers, grads, passes, activations, strict=True))):
        delta, grad_x = np.empty_like(kept.u), np.empty_like(kept.x)
        activation_backward(delta, grad_out * kept.mask, kept.u, activation)
        if layer.gamma is not None and into.gamma is not None and into.beta is not None:
            batch_norm_backward(
                delta, into.gamma, into.beta, delta.copy(), kept.normalized, kept.variance, layer.gamma,
                setting["norm_epsilon"],
            )  # fmt: skip
        affine_backward(grad_x, into.weight, into.bias, delta, kept.x, layer.weight)
        grad_out = grad_x
