"""A learning rate that falls when a quantity no longer improves."""

from __future__ import annotations

from typing import Any, ClassVar

from fastfnn import validation
from fastfnn.callbacks import states
from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.monitoring import checked_mode, checked_monitor, improves, last_value
from fastfnn.history import History


class ReduceLROnPlateau(Callback):
    """Reduce the learning rate when a quantity has stopped improving.

    Parameters
    ----------
    monitor : str, default "val_loss"
        The list of `History` to watch: "val_loss", "loss", "val_accuracy", "accuracy" or a metric of `FNN.fit`, as
        "val_mae".
    factor : float, default 0.1
        What the learning rate is multiplied by, between 0 and 1.
    patience : int, default 10
        Epochs without an improvement after which the rate falls, at least 1.
    min_delta : float, default 1e-4
        A change counts as an improvement only if it exceeds this; finite, not negative.
    cooldown : int, default 0
        Epochs after a reduction that do not count towards `patience`.
    min_lr : float, default 0
        The learning rate does not fall below this.
    mode : {"auto", "min", "max"}, default "auto"
        Whether lower or higher values are better; a function of your own needs it, of other names it is known.

    Attributes
    ----------
    best : float or None
        The best value; None before the first one. A value that is not finite is never the best.
    reductions : list of int
        Numbers of the epochs, from 1, after which the rate fell.

    Notes
    -----
    The `learning_rate` of the network's optimizer must be a number: a schedule would set it as well. It stays reduced
    after the training, for a further `fit` with the same optimizer.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net, optimizer = fnn.FNN((1, 1), loss="squared_error", seed=0), fnn.SGD(0.5)
    >>> plateau = fnn.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=5)
    >>> history = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=40, optimizer=optimizer, callbacks=[plateau])
    >>> optimizer.learning_rate == 0.5 * 0.5 ** len(plateau.reductions) < 0.5
    True
    """

    _changes_rate: ClassVar[bool] = True

    best: float | None
    reductions: list[int]
    _waited: int  # epochs without an improvement
    _cooldown_left: int

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: str = "auto",
    ) -> None:
        self.monitor: str = checked_monitor(monitor)
        self.factor: float = validation.fraction("factor", validation.positive("factor", factor))
        self.patience: int = validation.integer("patience", patience, 1)
        self.min_delta: float = validation.nonnegative("min_delta", min_delta)
        self.cooldown: int = validation.integer("cooldown", cooldown, 0)
        self.min_lr: float = validation.nonnegative("min_lr", min_lr)
        self.mode: str = checked_mode(mode)
        self._restart()

    def __repr__(self) -> str:
        mode = "" if self.mode == "auto" else f", mode={self.mode!r}"
        return (
            f"ReduceLROnPlateau(monitor={self.monitor!r}, factor={self.factor}, patience={self.patience}, "
            f"min_delta={self.min_delta}, cooldown={self.cooldown}, min_lr={self.min_lr}{mode})"
        )

    def begin(self, net: Any, history: History) -> None:
        """Forget an earlier training."""
        self._restart()

    def epoch(self, net: Any, history: History) -> None:
        """Reduce the learning rate if `monitor` has not improved for `patience` epochs."""
        resting = self._cooldown_left > 0
        if resting:
            self._cooldown_left -= 1
            self._waited = 0
        value = last_value(history, self.monitor)
        if improves(value, self.best, self.monitor, self.mode, self.min_delta):
            self.best, self._waited = value, 0
        elif not resting:
            self._waited += 1
            if self._waited >= self.patience:
                self._reduce(net.optimizer, history.epochs)

    def state(self) -> dict[str, Any]:
        """Return what was best, how long ago, and the reductions."""
        return {
            "best": self.best,
            "waited": self._waited,
            "cooldown_left": self._cooldown_left,
            "reductions": list(self.reductions),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on counting; the learning rate itself belongs to the optimizer."""
        best, reductions = states.number("best", state["best"]), states.items("reductions", state["reductions"])
        waited, left = (states.count(name, state[name]) for name in ("waited", "cooldown_left"))
        self.reductions = [states.count("reductions", epoch, 1) for epoch in reductions]
        self.best, self._waited, self._cooldown_left = best, waited, left

    def _restart(self) -> None:
        self.best, self.reductions = None, []
        self._waited = self._cooldown_left = 0

    def _reduce(self, optimizer: Any, epoch: int) -> None:
        reduced = max(optimizer.learning_rate * self.factor, self.min_lr)
        if reduced < optimizer.learning_rate:
            optimizer.learning_rate = reduced
            self.reductions.append(epoch)
            self._waited, self._cooldown_left = 0, self.cooldown
