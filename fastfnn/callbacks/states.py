"""Checks of what a callback gets back from a checkpoint: a file may have been damaged, or made by anybody."""

from __future__ import annotations

import math
from typing import Any


def number(name: str, value: Any) -> float | None:
    """Return a number, which is not NaN, or None; None also in place of an infinite one, which is never the best."""
    if value is None or (type(value) in (int, float) and not math.isnan(value)):
        return value if value is not None and math.isfinite(value) else None
    raise ValueError(f"{name} must be a number or null, got {type(value).__name__}")


def count(name: str, value: Any, least: int = 0) -> int:
    """Return a whole number of at least `least`."""
    if type(value) is not int or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {type(value).__name__}")
    return value


def text(name: str, value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {type(value).__name__}")
    return value


def items(name: str, value: Any) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list, got {type(value).__name__}")
    return value
