"""The end of a training whose loss is no longer a number."""

from __future__ import annotations

import math
from typing import Any

from fastfnn.callbacks.base import Callback
from fastfnn.history import History


class TerminateOnNaN(Callback):
    """Stop after an epoch whose training loss is NaN or infinite.

    Attributes
    ----------
    stopped_epoch : int or None
        Number of the epoch after which training was stopped, from 1; None if it was not stopped.

    Notes
    -----
    It is of use with ``on_divergence="warn"``, which otherwise trains on to the last epoch. By default `FNN.fit`, and
    an estimator always, ends at the first step that diverges by itself, with an error, before any callback is called.
    `FNN.fit` then restores the last good epoch; this callback leaves the network as it is.

    Examples
    --------
    >>> import warnings
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((1, 1), loss="squared_error", seed=0)
    >>> with warnings.catch_warnings(record=True):
    ...     history = net.fit([[1.0], [2.0]], [1.0, 2.0], epochs=100, optimizer=fnn.SGD(1e9), on_divergence="warn",
    ...                       callbacks=[fnn.callbacks.TerminateOnNaN()])
    >>> history.epochs
    6
    """

    stopped_epoch: int | None = None

    def __repr__(self) -> str:
        return "TerminateOnNaN()"

    def begin(self, net: Any, history: History) -> None:
        """Forget an earlier training."""
        self.stopped_epoch = None

    def epoch(self, net: Any, history: History) -> bool:
        """Return whether the loss of the epoch is not finite."""
        if math.isfinite(history.loss[-1]):
            return False
        self.stopped_epoch = history.epochs
        return True
