"""What calls of the same shapes have in common is kept for the next one, by each Python thread for itself.

The system hands out fresh memory page by page, at the price of a fault each; and laying a call out takes longer than a
small network's step.
"""

import threading
from collections.abc import Hashable
from typing import Any

from ..tuning import KEEP_MOST_BYTES, KEEP_MOST_WORKSPACES


class _Kept(threading.local):
    """What a Python thread has kept: workspaces by what they depend on, and their bytes."""

    def __init__(self) -> None:
        self.workspaces: dict[Hashable, Any] = {}
        self.bytes = 0


this_thread: _Kept = _Kept()


def keep_workspace(key: Hashable, workspace: Any, size: int) -> None:
    """Keep a workspace of `size` bytes for the next call; if there are too many, or too large ones, drop the others."""
    if len(this_thread.workspaces) >= KEEP_MOST_WORKSPACES or this_thread.bytes + size > KEEP_MOST_BYTES:
        this_thread.workspaces.clear()
        this_thread.bytes = 0
    if size <= KEEP_MOST_BYTES:
        this_thread.workspaces[key] = workspace
        this_thread.bytes += size
