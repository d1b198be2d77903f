"""Codes: by what numbers the kernels know a network's activations and its loss. Both kinds of networks have one."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn.activation import Activation
from fastfnn.backend import ACTIVATIONS
from fastfnn.loss import LossBase


class Codes:
    """The codes of a network's activations and loss: of a user's functions, as they are when a code is first needed.

    A network goes on with these, whatever the functions refer to later; a copy of it looks anew.
    """

    def __init__(
        self, activation: tuple[str | Activation, ...], loss: LossBase, backend: str, dtype: np.dtype[Any]
    ) -> None:
        self._made_of = activation, loss, backend, dtype
        self._layers: dict[str, np.ndarray] = {}
        self._loss: int | None = None
        self._alive: list[int] = []  # the objects of which only the numbers are used

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs: codes of a user's functions are addresses in this process."""
        return type(self), self._made_of

    def layers(self, output_activation: str) -> np.ndarray:
        """Return the code of each layer's activation, (layers,) int64."""
        if output_activation not in self._layers:
            activation, _, backend, dtype = self._made_of
            codes = [
                item.code(backend, dtype) if isinstance(item, Activation) else ACTIVATIONS.index(item)
                for item in (*activation, output_activation)
            ]
            self._alive += codes
            self._layers[output_activation] = np.array(codes, np.int64)
        return self._layers[output_activation]

    @property
    def loss(self) -> int:
        """The code of the loss."""
        if self._loss is None:
            _, loss, backend, dtype = self._made_of
            self._alive.append(loss.code(backend, dtype))
            self._loss = int(self._alive[-1])
        return self._loss
