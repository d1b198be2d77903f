"""Callbacks: functions that `FNN.fit` calls during training, to observe, to change the learning rate or to stop.

    net.fit(x, t, epochs=1000, validation_data=held_out, callbacks=[EarlyStopping(patience=20)])

A plain function (net, history) is called after each epoch; training stops when it returns a true value. This module
does not import the network: `net` is an `FNN` in all signatures below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastfnn import validation
from fastfnn.history import History

LOSSES = ("loss", "val_loss")
ACCURACIES = ("accuracy", "val_accuracy")


class Callback:
    """Base class of callbacks; override the methods that are needed.

    Attributes
    ----------
    monitor : str or None
        Name of the list of `History` that the callback reads, or None. `fit` refuses to start if that list would stay
        empty.

    Notes
    -----
    An exception in a callback ends the training and leaves the network as it is at that moment.
    """

    monitor: str | None = None

    def begin(self, net: Any, history: History) -> None:
        """Called before the first epoch, with an empty history."""

    def epoch(self, net: Any, history: History) -> Any:
        """Called after each epoch. A true result ends the training once all callbacks have been called."""

    def end(self, net: Any, history: History) -> None:
        """Called after the last epoch; not after an exception."""

    def state(self) -> dict[str, Any]:
        """Return what the callback has gathered since `begin`, for a checkpoint: what JSON can hold, and arrays."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`, which a checkpoint held: called after `begin`."""


class EarlyStopping(Callback):
    """Stop when a quantity has stopped improving, and restore the weights of its best epoch.

    Parameters
    ----------
    patience : int, default 10
        Epochs without an improvement after which training stops, at least 1.
    min_delta : float, default 0
        A change counts as an improvement only if it exceeds this; finite, not negative.
    monitor : {"val_loss", "loss", "val_accuracy", "accuracy"}, default "val_loss"
        The list of `History` to watch. Losses improve downward, accuracies upward.

    Attributes
    ----------
    best : float or None
        The best value; None before the first one. NaN is never the best.
    best_epoch : int or None
        Number of the epoch of the best value, from 1.
    stopped_epoch : int or None
        Number of the epoch after which training was stopped, from 1; None if it was not stopped.

    Notes
    -----
    The weights of the best epoch are restored even if training ended by itself. The state of the optimizer is that of
    the last step.
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

    def begin(self, net: Any, history: History) -> None:
        """Forget an earlier training."""
        self._restart()

    def epoch(self, net: Any, history: History) -> bool:
        """Return whether training should stop."""
        value: float = getattr(history, self.monitor)[-1]
        if self._improves(value):
            self.best, self.best_epoch = value, history.epochs
            self._weights = [array.copy() for array in _trained_arrays(net)]
        if history.epochs - (self.best_epoch or 0) < self.patience:
            return False
        self.stopped_epoch = history.epochs
        return True

    def end(self, net: Any, history: History) -> None:
        """Restore the weights of the best epoch."""
        if self.best_epoch is not None:
            try:
                _copy_arrays(_trained_arrays(net), self._weights)
            except BaseException:  # a KeyboardInterrupt between two arrays
                _copy_arrays(_trained_arrays(net), self._weights)
                raise
        self._weights = []

    def _restart(self) -> None:
        self.best = self.best_epoch = self.stopped_epoch = None
        self._weights = []

    def _improves(self, value: float) -> bool:
        if self.best is None:
            return not math.isnan(value)
        gain = self.best - value if self.monitor in LOSSES else value - self.best
        return gain > self.min_delta


class _FunctionCallback(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Any, History], Any]) -> None:
        self.function = function

    def epoch(self, net: Any, history: History) -> Any:
        return self.function(net, history)


def checked_callbacks(callbacks: Any, validated: bool, with_accuracy: bool) -> list[Callback]:
    """Return the callbacks that `fit` was given as `Callback` objects.

    Parameters
    ----------
    callbacks : list of Callback or callable, or None
    validated : bool
        Whether there is validation data; without it the history holds only the loss.
    with_accuracy : bool
        Whether the network has an accuracy.
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
    callback = value if isinstance(value, Callback) else _FunctionCallback(value)
    if callback.monitor is not None:
        validation.choice(f"{name}.monitor", callback.monitor, LOSSES + ACCURACIES if with_accuracy else LOSSES)
        if callback.monitor != "loss" and not validated:
            raise ValueError(f"validation_data must be given for {name} to monitor {callback.monitor!r}, got None")
    return callback


def _trained_arrays(net: Any) -> list[np.ndarray]:
    """Return the arrays that training changes: the parameters and the running statistics."""
    return [net.params.flat, net._statistics]


def _copy_arrays(to: list[np.ndarray], values: list[np.ndarray]) -> None:
    for array, value in zip(to, values, strict=True):
        array[...] = value
