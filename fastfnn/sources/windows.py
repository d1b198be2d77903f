"""From the chunks of a source to windows: rows that a training shuffles together, checked, in the form of the kernels.

`reading.ReadAhead` calls `Windows.fill` in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastfnn import validation
from fastfnn.backend import is_convertible
from fastfnn.memory_maps import forget, touch
from fastfnn.sources.arrays import rows_of
from fastfnn.sources.base import Chunk, as_chunk, window_rows

# From the name of a place, samples, targets and weights (None if there are none) to what the kernels take, checked.
Prepare = Callable[[str, np.ndarray, Any, Any], tuple[np.ndarray, np.ndarray, np.ndarray]]


class Window(NamedTuple):
    """Rows that are shuffled together.

    rows                 how many
    x, targets, weights  as the kernels take them; None of a window that a resumed training has been through
    memory               what the samples were copied to, to be used again; None if they are where they were
    """

    rows: int
    x: Any = None
    targets: Any = None
    weights: Any = None
    memory: np.ndarray | None = None

    def release(self) -> np.ndarray | None:
        """Give pages of memory maps back; return the memory for another window."""
        for array in self[1:4]:
            if array is not None:
                forget(array)
        return self.memory


class Windows:
    """The windows of one epoch.

    Parameters
    ----------
    chunks : iterator
        From `Source._epoch`.
    prepare : callable
    window : int or None
        See `Source`.
    batch_size : int or None
        Of which a window holds a multiple, but for the last one. None makes a window of each chunk.
    dtype : dtype
        What samples that the kernels do not read are converted to.
    skipped : int
        Steps that a resumed training has taken in this epoch: windows that it has been through are not prepared.
    """

    chunks: Iterator[Any]
    prepare: Prepare
    window: int | None
    batch_size: int | None
    dtype: np.dtype[Any]
    skipped: int
    begun: int

    def __init__(
        self, chunks: Iterator[Any], prepare: Prepare, window: int | None, batch_size: int | None, dtype: np.dtype[Any],
        skipped: int = 0,
    ) -> None:  # fmt: skip
        self.chunks, self.prepare, self.window, self.batch_size = chunks, prepare, window, batch_size
        self.dtype, self.skipped = dtype, skipped
        self.rest: Chunk | None = None  # rows that no window has yet
        self.begun = 0

    def fill(self, memory: np.ndarray | None) -> Window | None:
        """Return the next window, in `memory` if it suits and the rows must be copied; None after the last one."""
        rest = self._more()
        if rest is None:
            return None
        rows = len(rest.x)
        if self.batch_size is not None:
            rows = window_rows(self.window, rest.x.shape[1] * rest.x.itemsize, self.batch_size)
            steps = rows // self.batch_size
            if self.begun + steps <= self.skipped:
                self.begun += steps
                return self._passed_over(rows)
        self.begun = self.skipped
        first = self._take(rows)
        count, targets, weights = len(first.x), [first.t], [first.w]
        x, dtype = first.x, self._readable(first.x.dtype)
        as_it_is = x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned
        if not as_it_is or (count < rows and self._more() is not None):
            memory = _suitable(memory, rows, x.shape[1], dtype)
            _copy(memory[:count], x)
            while count < rows and self._more() is not None:
                part = self._take(rows - count)
                self._check_same(first, part)
                _copy(memory[count : count + len(part.x)], part.x)
                count += len(part.x)
                targets.append(part.t)
                weights.append(part.w)
            x = memory[:count]
        else:
            memory = None
            touch(x)
        t = targets[0] if len(targets) == 1 else np.concatenate(targets)
        w = weights[0] if len(weights) == 1 or weights[0] is None else np.concatenate(weights)
        return Window(count, *self.prepare(first.name, x, t, w), memory)

    def close(self) -> None:
        """End the iterator of the source, so that it closes its files."""
        close = getattr(self.chunks, "close", None)
        if close is not None:
            close()

    def _passed_over(self, rows: int) -> Window:
        count = 0
        while count < rows and self._more() is not None:
            count += len(self._take(rows - count).x)
        return Window(count)

    def _more(self) -> Chunk | None:
        """Return the rows at hand, after reading a chunk if there are none; None at the end."""
        while self.rest is None or not len(self.rest.x):
            try:
                item = next(self.chunks)
            except StopIteration:
                self.rest = None
                return None
            chunk = as_chunk(item)
            x, t = (validation.as_array(f"{name}{chunk.name}", each) for name, each in (("x", chunk.x), ("t", chunk.t)))
            w = None if chunk.w is None else validation.as_array(f"sample_weight{chunk.name}", chunk.w)
            x = rows_of(f"x{chunk.name}", x)
            for name, each in (("t", t), ("sample_weight", w)):
                if each is not None and (not each.ndim or len(each) != len(x)):
                    raise ValueError(
                        f"{name}{chunk.name} must have one entry per row of x, {len(x)}, got shape {each.shape}"
                    )
            self.rest = chunk._replace(x=x, t=t, w=w)
        return self.rest

    def _take(self, rows: int) -> Chunk:
        """Return at most this number of the rows at hand."""
        rest = self.rest
        assert rest is not None
        x, t, w, row = rest.x, rest.t, rest.w, rest.row
        later = None if row is None else row + rows
        self.rest = Chunk(x[rows:], t[rows:], None if w is None else w[rows:], later, rest.of)
        return Chunk(x[:rows], t[:rows], None if w is None else w[:rows], row, rest.of)

    def _readable(self, dtype: np.dtype[Any]) -> np.dtype[Any]:
        """Return the dtype in which samples of a dtype are copied; `prepare` raises for what is no number."""
        return self.dtype if dtype.kind in "biuf" and not (is_convertible(dtype) or dtype == self.dtype) else dtype

    def _check_same(self, first: Chunk, part: Chunk) -> None:
        """Raise unless two chunks can be in one window."""
        if (part.x.dtype, part.x.shape[1]) != (first.x.dtype, first.x.shape[1]):
            raise ValueError(
                f"x{part.name} must have {first.x.shape[1]} columns of {first.x.dtype} like x{first.name}, "
                f"got {part.x.shape[1]} of {part.x.dtype}"
            )
        if part.t.shape[1:] != first.t.shape[1:]:
            raise ValueError(f"t{part.name} must have the shape of t{first.name}, {first.t.shape[1:]} for a sample, "
                             f"got {part.t.shape[1:]}")  # fmt: skip
        if (part.w is None) != (first.w is None):
            raise ValueError("sample_weight must be in all chunks of a source or in none, got some of both")


def _suitable(memory: np.ndarray | None, rows: int, columns: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the memory of an earlier window if it can hold this one, else a new one."""
    if memory is not None and memory.dtype == dtype and memory.shape[1] == columns and len(memory) >= rows:
        return memory
    return np.empty((rows, columns), dtype)


def _copy(target: np.ndarray, x: np.ndarray) -> None:
    """Copy rows, converted; numbers beyond the range of the target become infinite, which `prepare` finds."""
    with np.errstate(over="ignore"):
        np.copyto(target, x, casting="unsafe")
    forget(x)
