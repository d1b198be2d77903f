"""What callbacks share that watch a quantity: its direction, its last value, and whether it has improved."""

from __future__ import annotations

import math

from fastfnn import validation
from fastfnn.history import History
from fastfnn.metrics import higher_is_better


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
    """Return whether a value is better than the best so far, None at first, by more than `min_delta`; NaN never is."""
    if best is None:
        return not math.isnan(value)
    upward = mode == "max" or (mode == "auto" and bool(higher_is_better(monitor)))
    return (value - best if upward else best - value) > min_delta
