"""Whether a value is better than the best one so far: one rule for callbacks, estimators, tables and histories."""

from __future__ import annotations

import math
from collections.abc import Iterable


def improves(value: float, best: float | None, *, higher: bool, min_delta: float = 0.0, strict: bool = True) -> bool:
    """Return whether a value is better than the best so far.

    Parameters
    ----------
    value : float
        One that is not finite is never better.
    best : float or None
        None, or a value that is not finite, where there is none yet: every finite value is better.
    higher : bool
        Whether higher values are better.
    min_delta : float
        By how much a value must be better.
    strict : bool
        Whether a value that is better by `min_delta` exactly is none; scikit-learn counts it.
    """
    if not math.isfinite(value):
        return False
    if best is None or not math.isfinite(best):
        return True
    if higher:
        value, best = -value, -best
    limit = best - min_delta
    return value < limit or (value == limit and not strict)


def best_place(values: Iterable[float], *, higher: bool) -> int | None:
    """Return the index of the first of the best values; None if none is finite."""
    best = place = None
    for i, value in enumerate(values):
        if improves(value, best, higher=higher):
            best, place = value, i
    return place


def never_finite(what: str) -> str:
    """Return the warning of a training that has kept its last weights, since no value told which are best."""
    return f"{what} was not finite after any epoch, and cannot tell the best weights: those of the last epoch are kept"
