"""The L2 penalty of weight decay, ``weight_decay / 2 sum_l ||W_l||^2``, and its gradient, ``weight_decay W_l``.

Biases, gamma and beta are not penalized. The training kernels add the gradient themselves (the setting "l2").
"""

from collections.abc import Mapping

import numpy as np


def l2_penalty(params: Mapping[str, np.ndarray], weight_decay: float) -> float:
    """Return ``weight_decay / 2`` times the sum of the squares of all weights, in float64."""
    if not weight_decay:
        return 0.0
    weights = [weight.astype(np.float64, copy=False) for weight in _weights(params)]
    return 0.5 * weight_decay * sum(float((weight * weight).sum()) for weight in weights)


def add_l2_gradient(grads: Mapping[str, np.ndarray], params: Mapping[str, np.ndarray], weight_decay: float) -> None:
    """Add the gradient of the penalty to `grads` in place: ``weight_decay * W`` for each weight matrix."""
    if not weight_decay:
        return
    for grad, weight in zip(_weights(grads), _weights(params), strict=True):
        grad += grad.dtype.type(weight_decay) * weight


def _weights(arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    return [array for name, array in arrays.items() if name.startswith("W")]
