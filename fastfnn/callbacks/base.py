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

    A callback that keeps something from epoch to epoch forgets it in `begin`, and has `state` and `restore` for
    trainings that go on from a `Checkpoint`.

    Examples
    --------
    Stop once the training loss was below a goal in three epochs:

    >>> import fastfnn as fnn
    >>> class Goal(fnn.Callback):
    ...     def __init__(self, goal):
    ...         self.goal = goal
    ...     def begin(self, net, history):
    ...         self.count = 0
    ...     def epoch(self, net, history):
    ...         self.count += history.loss[-1] < self.goal
    ...         return self.count == 3
    ...     def end(self, net, history):
    ...         print(f"below {self.goal} in {self.count} of {history.epochs} epochs")
    ...     def state(self):
    ...         return {"count": self.count}
    ...     def restore(self, state):
    ...         self.count = state["count"]
    >>> net = fnn.FNN((1, 1), loss="squared_error", init=0.0)
    >>> history = net.fit([[0.0], [1.0]], [1.0, 3.0], epochs=100, callbacks=[Goal(0.5)])
    below 0.5 in 3 of 10 epochs
    """

    monitor: str | None = None

    _writes_files: ClassVar[bool] = False  # so that two networks must not share their paths
    _changes_rate: ClassVar[bool] = False  # sets the optimizer's learning rate, which then must be a number

    def begin(self, net: Any, history: History) -> None:
        """Called before the first epoch.

        Parameters
        ----------
        net : FNN
            The network, before it is trained.
        history : History
            Empty. The same object is given to all calls of this training.
        """

    def epoch(self, net: Any, history: History) -> Any:
        """Called after each epoch.

        Parameters
        ----------
        net : FNN
            The network, as it is after the epoch.
        history : History
            What was measured up to this epoch.

        Returns
        -------
        bool or None
            A true result ends the training, once all callbacks have been called. An array is an error.
        """

    def end(self, net: Any, history: History) -> None:
        """Called after the last epoch; not after an exception.

        Parameters
        ----------
        net : FNN
            The trained network.
        history : History
            What was measured in the training.
        """

    def state(self) -> dict[str, Any]:
        """Return what the callback has gathered since `begin`, for a checkpoint.

        Returns
        -------
        dict
            By name, what JSON can hold and arrays of NumPy; empty by default.
        """
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what a checkpoint held: called after `begin`.

        Parameters
        ----------
        state : dict
            What `state` has returned.
        """

    def _reads(self) -> list[tuple[str, str]]:
        """Return the names of the lists of `History` that the callback reads, each after the argument that has it."""
        return [] if self.monitor is None else [("monitor", self.monitor)]


class FunctionCallback(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Any, History], Any]) -> None:
        self.function = function

    def epoch(self, net: Any, history: History) -> Any:
        return self.function(net, history)
