"""The learning rate of each epoch in the history."""

from __future__ import annotations

import math
from typing import Any

from fastfnn.callbacks.base import Callback
from fastfnn.history import History


class LearningRateLogger(Callback):
    """Record the learning rate of each epoch in ``history.learning_rate``.

    Notes
    -----
    It is the rate of the last step of the epoch, of a schedule too, whatever callbacks before or after this one change
    for the next epoch. `History.to_frame` and `History.to_json` have it, too. `CSVLogger` and `TensorBoard` write the
    learning rate without this callback.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net, rate = fnn.FNN((1, 1), loss="squared_error", seed=0), fnn.schedules.Step(0.5, every=2, factor=0.5)
    >>> logger = fnn.callbacks.LearningRateLogger()
    >>> history = net.fit([[0.0], [1.0]], [1.0, 3.0], epochs=4, optimizer=fnn.SGD(rate), callbacks=[logger])
    >>> history.learning_rate
    [0.5, 0.5, 0.25, 0.25]
    """

    def __repr__(self) -> str:
        return "LearningRateLogger()"

    def epoch(self, net: Any, history: History) -> None:
        """Append the rate."""
        missing = history.epochs - len(history.learning_rate)  # 0 after another logger
        if missing > 0:
            history._extend(learning_rate=[math.nan] * (missing - 1) + [history._last_rate])
