"""Arrays in memory maps: reading their pages at a chosen time, and giving them up."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def _map_of(array: np.ndarray) -> tuple[mmap.mmap, np.ndarray] | None:
    """Return the map of a file that holds an array, and all its bytes, if the file and the map agree."""
    owner: Any = array
    while owner is not None and getattr(owner, "_mmap", None) is None:
        owner = getattr(owner, "base", None)
    if owner is None or owner.mode == "c":  # what a private copy holds is nowhere else
        return None
    return owner._mmap, np.frombuffer(owner._mmap, np.uint8)


def touch(array: np.ndarray) -> None:
    """Read a byte of each page of a memory map, so that the file is read now and by this thread."""
    if _map_of(array) is not None:
        array.reshape(-1).view(np.uint8)[:: mmap.PAGESIZE].max(initial=0)


def forget(array: np.ndarray) -> None:
    """Let the process give up the pages of an array in a memory map: they stay in the cache of the system."""
    if (found := _map_of(array)) is None:
        return
    mapping, content = found
    first, size = 0, content.size
    if array.flags.c_contiguous and array.size:
        first = (array.ctypes.data - content.ctypes.data) // mmap.PAGESIZE * mmap.PAGESIZE
        size = array.ctypes.data + array.nbytes - content.ctypes.data - first
    del content  # a map that something looks at cannot be closed
    mapping.madvise(mmap.MADV_DONTNEED, first, size)
