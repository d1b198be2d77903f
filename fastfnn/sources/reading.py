"""The thread that prepares the next window while the network trains on another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np

from fastfnn import validation
from fastfnn.backend import thread_limit
from fastfnn.sources.base import Draw, Source, window_rows
from fastfnn.sources.windows import Prepare, Window, Windows

AT_ONCE = 2  # windows in memory
PATIENCE = 1.0  # seconds that the end of a training waits for a read that it no longer needs


class ReadAhead:
    """The windows of an epoch, prepared by a thread; a context, at whose end the thread ends.

    Parameters
    ----------
    windows : Windows

    Notes
    -----
    The thread prepares a window for each entry of `free`, which holds the memory of earlier ones. An exception in it is
    raised in the training. If the source does not return from a read when the training ends, for example after Ctrl-C,
    the thread ends when it does.
    """

    windows: Windows

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.free: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        self.ready: queue.SimpleQueue[Window | BaseException | None] = queue.SimpleQueue()
        self.ending: threading.Event = threading.Event()
        self.thread: threading.Thread = threading.Thread(target=self._run, name="fastfnn-source", daemon=True)
        for _ in range(AT_ONCE):
            self.free.put(None)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ending.set()
        self.free.put(None)
        self.thread.join(PATIENCE if error is not None else None)

    def __iter__(self) -> Iterator[Window]:
        while (item := self.ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            self.free.put(item.release())
            del item

    def _run(self) -> None:
        result: BaseException | None = None
        try:
            with thread_limit(1):  # the others train
                while True:
                    memory = self.free.get()
                    if self.ending.is_set() or (window := self.windows.fill(memory)) is None:
                        break
                    self.ready.put(window)
                    del window, memory
        except BaseException as error:  # whatever it is, the training must hear of it
            result = error
        try:
            self.windows.close()
        except BaseException as error:
            result = result or error
        self.ready.put(result)


def read(
    source: Source, prepare: Prepare, batch_size: int | None, dtype: np.dtype[Any], draw: Draw | None = None,
    skipped: int = 0,
) -> ReadAhead:  # fmt: skip
    """Return one pass over a source, in windows; see `Windows` for the arguments, and `Source._epoch` for `draw`."""
    row_bytes, rows = source._row_bytes(), None
    if row_bytes is not None and batch_size is not None:
        rows = window_rows(source.window, row_bytes, batch_size)
    return ReadAhead(Windows(source._epoch(draw, rows), prepare, source.window, batch_size, dtype, skipped))


def preparation(net: Any, class_weight: Any = None) -> Prepare:
    """Return what checks the rows of a window for a network, as `FNN.fit` checks arrays."""

    def prepare(name: str, x: np.ndarray, t: Any, w: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = net._samples(f"x{name}", x)
        targets = net._targets(f"t{name}", t, len(rows))
        weights = w if w is None else validation.sample_weight(f"sample_weight{name}", w, len(rows), net.dtype)
        return rows, targets, net._sample_weights(weights, class_weight, targets)

    return prepare
