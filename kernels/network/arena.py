"""Memory of a call, laid out by one function from which its size follows.

The function takes what it needs from an arena, piece by piece. It runs twice: on an arena without memory, which only
counts, and on one with the memory that was counted. So no size is computed apart from the places that it is for.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from ..compiler.decorators import functions_listed, prepare
from ..tuning import BYTES_PER_CACHE_LINE, PAGE_BYTES

T = TypeVar("T")


class Arena:
    """A piece of memory from which a layout takes addresses one after another; without memory it only counts."""

    def __init__(self, memory: np.ndarray | None = None) -> None:
        self.memory = memory
        self.size: int = 0
        begin = 0 if memory is None else memory.__array_interface__["data"][0]
        self.base: int = -(-begin // PAGE_BYTES) * PAGE_BYTES
        self.skipped: int = self.base - begin

    def take(self, size: int, alignment: int = BYTES_PER_CACHE_LINE) -> int:
        """The address of `size` bytes of zeros, a multiple of the alignment."""
        start = -(-self.size // alignment) * alignment
        self.size = start + size
        return self.base + start

    def buffer(self, size: int) -> int:
        """The address of a buffer. One that fills a page begins with a page.

        A processor delays a load while an earlier store to an address with the same last 12 bits is on its way. With
        buffers that begin alike these are stores to the same place of another buffer, which come later.
        See Experiments: page-alignment.
        """
        return self.take(size, PAGE_BYTES if size >= PAGE_BYTES else BYTES_PER_CACHE_LINE)

    def records(self, dtype: np.dtype, count: int = 1) -> tuple[int, np.ndarray]:
        """The address of `count` records, and the records to be filled in."""
        address = self.take(dtype.itemsize * count)
        if self.memory is None:
            return address, np.zeros(count, dtype)
        start = address - self.base + self.skipped
        return address, self.memory[start : start + dtype.itemsize * count].view(dtype)

    def numbers(self, first: int, step: int, count: int, more: int = 0) -> int:
        """The address of a list of int64: first, first + step, ...; `more` numbers behind it can be read."""
        address, numbers = self.records(np.dtype(np.int64), count + more)
        if self.memory is not None:
            numbers[:count] = first + step * np.arange(count)
        return address


def allocate(lay_out: Callable[[Arena], T], entries: Iterable[tuple[Any, np.dtype]] = ()) -> tuple[np.ndarray, T]:
    """New memory for a layout, and what the layout function returns for it.

    The first run also lists the compiled functions that the layout refers to. They are made ready before the second
    one, with `entries`, so that whoever waits for the compiler can be told how far it is.
    """
    counted = Arena()
    with functions_listed() as functions:
        lay_out(counted)
    prepare([*functions, *entries])
    memory = np.zeros(counted.size + PAGE_BYTES, np.uint8)
    return memory, lay_out(Arena(memory))
