"""Back-propagation: the forward pass and the backward pass of a network.

With the samples x_0, layers l = 1 to L and their activations f_l, the passes compute

    u_l = x_{l-1} W_l + b_l,  x_l = f_l(u_l)             forward, from the first layer to the last;
    delta_l = dE/du_l = f_l'(u_l) * dE/dx_l,             backward, from the last layer to the first.
    dE/dW_l = x_{l-1}^T delta_l,
    dE/db_l = the sum of the rows of delta_l,
    dE/dx_{l-1} = delta_l W_l^T

E is the mean loss of the batch; dE/dx_L, with which the backward pass begins, is the gradient that losses.py computes.
Networks with batch normalization or dropout have passes of their own, in regularized.py.

Source: lecture notes, section 5; D. Rumelhart, G. Hinton and R. Williams, Nature 323, 1986.
"""

from collections.abc import Sequence

import numpy as np

from .activations import activation_backward, activation_forward
from .affine import affine_backward, affine_forward
from .parameters import Layer


def forward(
    x: np.ndarray, layers: Sequence[Layer], activations: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return x_0, ..., x_L and u_1, ..., u_L."""
    outputs, sums = [x], []
    for layer, activation in zip(layers, activations, strict=True):
        u = np.empty((len(x), len(layer.bias)), x.dtype)
        affine_forward(u, outputs[-1], layer.weight, layer.bias)
        out = np.empty_like(u)
        activation_forward(out, u, activation)
        sums.append(u)
        outputs.append(out)
    return outputs, sums


def backward(
    grads: Sequence[Layer],
    grad_out: np.ndarray,
    outputs: Sequence[np.ndarray],
    sums: Sequence[np.ndarray],
    layers: Sequence[Layer],
    activations: np.ndarray,
) -> None:
    """Write dE/dW_l and dE/db_l of each layer into `grads`, from dE/dx_L = grad_out and what `forward` returned."""
    for i in reversed(range(len(layers))):  # layer i + 1, whose input is outputs[i]
        delta, grad_x = np.empty_like(sums[i]), np.empty_like(outputs[i])
        activation_backward(delta, grad_out, sums[i], activations[i])
        affine_backward(grad_x, grads[i].weight, grads[i].bias, delta, outputs[i], layers[i].weight)
        grad_out = grad_x
