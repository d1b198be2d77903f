"""The book's `common.optimizer`, on the kernels.

As in the book, the state belongs to the names of the parameters: one optimizer that updates several networks with the
same names carries its velocities from one to the next. Those of `fastfnn.optimizers` start anew with other parameters.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastfnn import optimizers
from fastfnn.pairs import dtype_of

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]


class _ByName(optimizers.Optimizer):
    """An optimizer whose state belongs to names and shapes, whatever the arrays."""

    def _holds(self, params: Mapping[str, Any]) -> bool:
        kept = {name: place[1:3] for name, place in self._places.items()}
        return bool(params) and all(
            kept.get(name) == (np.shape(param), dtype_of(param)) for name, param in params.items()
        )


class SGD(_ByName, optimizers.SGD):
    """Gradient descent, see `fastfnn.SGD`."""

    def __init__(self, lr: optimizers.Rate = 0.01) -> None:
        super().__init__(lr)


class Momentum(_ByName, optimizers.Momentum):
    """Gradient descent with momentum, see `fastfnn.Momentum`."""

    def __init__(self, lr: optimizers.Rate = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr, momentum)


class Nesterov(_ByName, optimizers.Nesterov):
    """Nesterov's accelerated gradient, see `fastfnn.Nesterov`."""

    def __init__(self, lr: optimizers.Rate = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr, momentum)


class AdaGrad(_ByName, optimizers.AdaGrad):
    """AdaGrad, see `fastfnn.AdaGrad`."""

    def __init__(self, lr: optimizers.Rate = 0.01) -> None:
        super().__init__(lr)


class RMSprop(_ByName, optimizers.RMSprop):
    """RMSprop, see `fastfnn.RMSprop`."""

    def __init__(self, lr: optimizers.Rate = 0.01, decay_rate: float = 0.99) -> None:
        super().__init__(lr, decay_rate)


class Adam(_ByName, optimizers.Adam):
    """Adam with the book's epsilon, see `fastfnn.Adam`."""

    def __init__(self, lr: optimizers.Rate = 0.001, beta1: float = 0.9, beta2: float = 0.999) -> None:
        super().__init__(lr, beta1, beta2, book=True)
