"""Early stopping: training ends when a quantity no longer improves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastfnn import streams, validation
from fastfnn.callbacks import states
from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.monitoring import LEVEL_OF_USER, checked_mode, checked_monitor, improves, last_value
from fastfnn.history import History
from fastfnn.improvement import never_finite


class EarlyStopping(Callback):
    """Stop when a quantity has stopped improving, and restore the weights of its best epoch.

    Parameters
    ----------
    patience : int, default 10
        Epochs without an improvement after which training stops, at least 1.
    min_delta : float, default 0
        A change counts as an improvement only if it exceeds this; finite, not negative.
    monitor : str, default "val_loss"
        The list of `History` to watch: "val_loss", "loss", "val_accuracy", "accuracy" or a metric of `FNN.fit`, as
        "val_mae".
    mode : {"auto", "min", "max"}, default "auto"
        Whether lower or higher values are better; a function of your own needs it, of other names it is known.

    Attributes
    ----------
    best : float or None
        The best value; None before the first one. A value that is not finite is never the best.
    best_epoch : int or None
        Number of the epoch of the best value, from 1.
    stopped_epoch : int or None
        Number of the epoch after which training was stopped, from 1; None if it was not stopped.

    Notes
    -----
    The weights of the best epoch are restored even if training ended by itself. The state of the optimizer is that of
    the last step. A value that is not finite counts as no improvement; if none was finite, the last weights stay, and a
    RuntimeWarning says so.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> (x, t), test = fnn.datasets.load_mnist()
    >>> net = fnn.FNN((784, 50, 10), seed=0)
    >>> stopper = fnn.EarlyStopping(patience=2)
    >>> history = net.fit(x, t, epochs=100, optimizer="adam", validation_data=test, callbacks=[stopper])
    >>> stopper.stopped_epoch == history.epochs < 100
    True
    >>> abs(net.loss(*test) - min(history.val_loss)) < 1e-12
    True
    """

    best: float | None
    best_epoch: int | None
    stopped_epoch: int | None
    _weights: list[np.ndarray]
    _kinds: list[tuple[Any, Any]]  # dtype and shape of each of them

    def __init__(
        self, patience: int = 10, min_delta: float = 0.0, monitor: str = "val_loss", mode: str = "auto"
    ) -> None:
        self.patience: int = validation.integer("patience", patience, 1)
        self.min_delta: float = validation.nonnegative("min_delta", min_delta)
        self.monitor: str = checked_monitor(monitor)
        self.mode: str = checked_mode(mode)
        self._restart()

    def __repr__(self) -> str:
        mode = "" if self.mode == "auto" else f", mode={self.mode!r}"
        return f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta}, monitor={self.monitor!r}{mode})"

    def begin(self, net: Any, history: History) -> None:
        """Forget an earlier training."""
        self._restart()
        self._kinds = [(array.dtype, array.shape) for array in _trained_arrays(net)]

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch and its weights."""
        weights = dict(zip(("params", "statistics"), self._weights, strict=False))
        return {"best": self.best, "best_epoch": self.best_epoch, "stopped_epoch": self.stopped_epoch} | weights

    def restore(self, state: dict[str, Any]) -> None:
        """Take them from a checkpoint."""
        epochs = state["best_epoch"], state["stopped_epoch"]
        for name, epoch in zip(("best_epoch", "stopped_epoch"), epochs, strict=True):
            if epoch is not None:
                states.count(name, epoch, 1)
        weights = [] if epochs[0] is None else [state["params"], state["statistics"]]
        if (state["best"] is None) != (epochs[0] is None) or len(state) != 3 + len(weights):
            raise ValueError("best, best_epoch and the weights must belong together")
        kinds = [(array.dtype, array.shape) if isinstance(array, np.ndarray) else None for array in weights]
        if weights and kinds != self._kinds:
            raise ValueError("params and statistics must be those of the network")
        best = states.number("best", state["best"])
        if best is None:  # an infinite value was the best in earlier versions
            epochs, weights = (None, epochs[1]), []
        self.best, (self.best_epoch, self.stopped_epoch), self._weights = best, epochs, weights

    def epoch(self, net: Any, history: History) -> bool:
        """Return whether training should stop."""
        value = last_value(history, self.monitor)
        if improves(value, self.best, self.monitor, self.mode, self.min_delta):
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
        elif history.epochs:
            streams.warn(never_finite(self.monitor), RuntimeWarning, stacklevel=LEVEL_OF_USER)
        self._weights = []

    def _restart(self) -> None:
        self.best = self.best_epoch = self.stopped_epoch = None
        self._weights = []


def _trained_arrays(net: Any) -> list[np.ndarray]:
    """Return the arrays that training changes: the parameters and the running statistics."""
    return [net.params.flat, net._statistics]


def _copy_arrays(to: list[np.ndarray], values: list[np.ndarray]) -> None:
    for array, value in zip(to, values, strict=True):
        array[...] = value
