"""Optimizers: how parameters follow their gradients."""

from collections.abc import Mapping

import numpy as np

from fastfnn import backend, validation


class SGD:
    """Gradient descent: param <- param - learning_rate * grad.

    learning_rate  finite, not negative

    `FNN.fit` runs the rule inside its compiled loop; `update` is for loops written by hand.
    Source: section 4 of the notes.
    """

    def __init__(self, learning_rate: float = 0.01) -> None:
        self.learning_rate = validation.nonnegative("learning_rate", learning_rate)

    def __repr__(self) -> str:
        return f"SGD({self.learning_rate:g})"

    def update(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Change every array of `params` in place by the array of the same name in `grads`, of the same shape."""
        for param, grad in _pairs(params, grads):
            backend.BACKENDS["kernels"].sgd_update(param, grad, self.learning_rate)


def _pairs(params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each parameter with its gradient, all checked before the first is changed."""
    pairs = []
    for name, param in params.items():
        if name not in grads:
            raise ValueError(f"grads must have an entry for each of params, got none for {name!r}")
        grad = validation.real_array(f"grads[{name!r}]", grads[name], param.dtype)
        if grad.shape != param.shape:
            raise ValueError(f"grads[{name!r}] must have shape {param.shape}, got {grad.shape}")
        pairs.append((param, grad))
    return pairs
