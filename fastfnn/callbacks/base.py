"""The base class of callbacks, and plain functions as callbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from fastfnn.history import History


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

    _writes_files: ClassVar[bool] = False  # so that two networks must not share their paths
    _changes_rate: ClassVar[bool] = False  # sets the optimizer's learning rate, which then must be a number

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

    def _reads(self) -> list[tuple[str, str]]:
        """Return the names of the lists of `History` that the callback reads, each after the argument that has it."""
        return [] if self.monitor is None else [("monitor", self.monitor)]


class FunctionCallback(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Any, History], Any]) -> None:
        self.function = function

    def epoch(self, net: Any, history: History) -> Any:
        return self.function(net, history)
