"""Paths of the files that callbacks write."""

from __future__ import annotations

import os
from typing import Any


def checked_path(name: str, value: Any) -> str:
    """Return `value` as the text of a path."""
    try:
        path = os.fsdecode(value)
    except TypeError:
        path = ""
    if not path:
        got = repr(value) if isinstance(value, (str, bytes)) else type(value).__name__
        raise TypeError(f"{name} must be a path, got {got}")
    return path


def make_folder(path: str) -> None:
    """Create the folder of a file if it is missing."""
    folder = os.path.dirname(path)
    if folder:
        os.makedirs(folder, exist_ok=True)
