"""What callbacks share that watch a quantity: its direction, its last value, and whether it has improved."""

from __future__ import annotations

from fastfnn import improvement, validation
from fastfnn.history import History
from fastfnn.metrics import higher_is_better

LEVEL_OF_USER = 4  # the `stacklevel` of the user's code in `Callback.end`, which `FNN.fit` has called


def checked_mode(mode: str) -> str:
    """Return the argument `mode`."""
    return validation.choice("mode", mode, ("auto", "min", "max"))


def checked_monitor(monitor: str) -> str:
    """Return the argument `monitor`; a `fit`, which knows what is measured, checks its value."""
    if not isinstance(monitor, str):
        raise TypeError(f"monitor must be a str, the name of what to monitor, got {type(monitor).__name__}")
    return monitor


def last_value(history: History, monitor: str) -> float:
    """Return the value of the last epoch."""
    return history._values(monitor)[-1]


def improves(value: float, best: float | None, monitor: str, mode: str, min_delta: float = 0.0) -> bool:
    """Return whether a value is better than the best so far, None at first, by more than `min_delta`."""
    higher = mode == "max" or (mode == "auto" and bool(higher_is_better(monitor)))
    return improvement.improves(value, best, higher=higher, min_delta=min_delta)
