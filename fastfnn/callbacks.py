"""Callbacks: what `FNN.fit` calls as it goes, to look on, to change the learning rate, to stop.

    net.fit(x, t, epochs=1000, validation_data=held_out, callbacks=[EarlyStopping(patience=20)])

A plain function (net, history) is called after each epoch, and training stops when it returns something true.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfnn import validation
from fastfnn.history import History

if TYPE_CHECKING:
    from fastfnn.network import FNN

LOSSES = ("loss", "val_loss")
ACCURACIES = ("accuracy", "val_accuracy")


class Callback:
    """Called by `fit` with the network and the history so far: override what is needed.

    monitor  name of the list of `History` that is looked at, or None; `fit` refuses to start if it would stay empty

    What one raises ends the training and leaves the network as it is by then.
    """

    monitor: str | None = None

    def begin(self, net: "FNN", history: History) -> None:
        """Before the first epoch; the history is empty."""

    def epoch(self, net: "FNN", history: History) -> Any:
        """After each epoch. Something true ends the training, once all callbacks have had their turn."""

    def end(self, net: "FNN", history: History) -> None:
        """After the last epoch, not after an exception."""


class EarlyStopping(Callback):
    """Stop when a quantity has not improved for some epochs, and go back to the weights of its best epoch.

    patience   epochs without an improvement after which training stops, at least 1
    min_delta  what is better by no more than this is no improvement: finite, not negative
    monitor    "val_loss", "loss", "val_accuracy" or "accuracy", see `History`

    best           the best value, None before there is one (NaN never is)
    best_epoch     the number of its epoch, from 1, or None
    stopped_epoch  the number of the epoch after which training was stopped, from 1; None where it was not

    The weights of the best epoch also return where training was not stopped. The optimizer's state is that of the last
    step.
    """

    best: float | None
    best_epoch: int | None
    stopped_epoch: int | None
    _weights: list[np.ndarray]

    def __init__(self, patience: int = 10, min_delta: float = 0.0, monitor: str = "val_loss") -> None:
        self.patience = validation.integer("patience", patience, 1)
        self.min_delta = validation.nonnegative("min_delta", min_delta)
        self.monitor: str = validation.choice("monitor", monitor, LOSSES + ACCURACIES)
        self._restart()

    def __repr__(self) -> str:
        return f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta}, monitor={self.monitor!r})"

    def begin(self, net: "FNN", history: History) -> None:
        """Forget an earlier training."""
        self._restart()

    def epoch(self, net: "FNN", history: History) -> bool:
        """Whether it is time to stop."""
        value: float = getattr(history, self.monitor)[-1]
        if self._improves(value):
            self.best, self.best_epoch = value, history.epochs
            self._weights = [array.copy() for array in _arrays(net)]
        if history.epochs - (self.best_epoch or 0) < self.patience:
            return False
        self.stopped_epoch = history.epochs
        return True

    def end(self, net: "FNN", history: History) -> None:
        """Bring back the weights of the best epoch."""
        if self.best_epoch is not None:
            for array, weights in zip(_arrays(net), self._weights, strict=True):
                array[...] = weights
        self._weights = []

    def _restart(self) -> None:
        self.best = self.best_epoch = self.stopped_epoch = None
        self._weights = []

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        gain = self.best - value if self.monitor in LOSSES else value - self.best
        return gain > self.min_delta


class _Function(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[["FNN", History], Any]) -> None:
        self.function = function

    def epoch(self, net: "FNN", history: History) -> Any:
        return self.function(net, history)


def checked_callbacks(callbacks: Any, validated: bool, with_accuracy: bool) -> list[Callback]:
    """What `fit` was given, all as `Callback`.

    validated      there is validation data, without which the history has no more than the loss
    with_accuracy  the network has an accuracy
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks must be a list, got {type(callbacks).__name__}")
    return [_checked(f"callbacks[{i}]", value, validated, with_accuracy) for i, value in enumerate(callbacks)]


def _checked(name: str, value: Any, validated: bool, with_accuracy: bool) -> Callback:
    if isinstance(value, type) or not (isinstance(value, Callback) or callable(value)):
        got = f"class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a Callback or a function of (net, history), got {got}")
    callback = value if isinstance(value, Callback) else _Function(value)
    if callback.monitor is not None:
        validation.choice(f"{name}.monitor", callback.monitor, LOSSES + ACCURACIES if with_accuracy else LOSSES)
        if callback.monitor != "loss" and not validated:
            raise ValueError(f"validation_data must be given for {name} to monitor {callback.monitor!r}, got None")
    return callback


def _arrays(net: "FNN") -> list[np.ndarray]:
    """What training changes in a network: the parameters and the running statistics."""
    return [net.params.flat, net._statistics]
