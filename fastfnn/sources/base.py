"""Source, the base class of what trainings read their samples from, and what counts as one.

`windows` divides what a source yields into windows, `training` trains on them. Nothing here knows of networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastfnn import validation

# Bytes of the samples of a window, where the user names no number of rows. See Experiments: source-windows
WINDOW_BYTES = 64 << 20

# Returns a random order of so many things.
Draw = Callable[[int], np.ndarray]


class Chunk(NamedTuple):
    """Some rows of a source, as it yields them.

    x, t, w   samples, targets, and weights of the samples or None
    row, of   number of the first row in what it was read from, and its name, for messages
    """

    x: Any
    t: Any
    w: Any = None
    row: int | None = None
    of: str = ""

    @property
    def name(self) -> str:
        """Where the chunk begins, to follow the name of an argument in a message."""
        if self.row is None:
            return " of the source"
        return f" from row {self.row}{f' of {self.of}' if self.of else ''} on"


class Source:
    """Base class of sources: samples that are read in parts, while the network trains on the parts before.

    `FNN.fit` and the estimators take a source in place of arrays. Derive your own class from it for data that the
    other sources do not read: `chunks` is all that it needs.

    Parameters
    ----------
    window : int, optional
        Rows that are shuffled together, rounded down to whole batches, but at least one batch. By default as many as
        fill 64 MiB in the dtype that they are read in.
    shuffle : bool, default True
        Whether the order of the rows is random, another one in each epoch: that of the parts of the source that can be
        read in any order, and that of the rows in each window. False keeps the order of the source.

    Attributes
    ----------
    samples : int or None
        Number of rows, or None if it is not known before the first epoch. Checkpoints need it.
    window : int or None
        The argument of this name.
    shuffle : bool
        The argument of this name.

    Raises
    ------
    TypeError, ValueError
        If an argument has a wrong type or value.

    Notes
    -----
    A thread prepares one window while the network trains on another: memory holds two, and the chunk that is being
    read. A window that is one piece of a memory map is no copy.

    The order is drawn from the random state of the network: with the same seed, data and window a training has the
    same bits. With one window for all rows it has those of `FNN.fit` on the arrays.

    Examples
    --------
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> class Squares(fnn.sources.Source):
    ...     samples = 1000
    ...
    ...     def chunks(self):
    ...         for start in range(0, 1000, 100):  # as many rows at a time as suits the data
    ...             x = np.arange(start, start + 100, dtype=np.float32)[:, np.newaxis] / 1000
    ...             yield x, x**2
    >>> net = fnn.FNN((1, 20, 1), loss="squared_error", seed=0)
    >>> history = net.fit(Squares(window=500), epochs=20, batch_size=10, optimizer="adam")
    >>> history.loss[-1] < history.loss[0]
    True
    """

    samples: int | None = None
    window: int | None = None
    shuffle: bool = True

    def __init__(self, *, window: int | None = None, shuffle: bool = True) -> None:
        self.window = None if window is None else validation.integer("window", window, 1)
        self.shuffle = validation.boolean("shuffle", shuffle)

    def chunks(self) -> Iterator[Any]:
        """Yield all rows once, in parts of any number of rows.

        Yields
        ------
        (x, t) or (x, t, w)
            Samples (n, I) and targets, as `FNN.fit` takes them, and weights of the samples (n,). Samples of more than
            two axes are flattened to rows. Arrays of other libraries are converted. What was yielded must not be
            changed later: a training may still read it.

        Raises
        ------
        NotImplementedError
            If a class does not define it.

        Notes
        -----
        A thread of the training calls it, once for each epoch. It must yield the same number of rows each time.
        """
        raise NotImplementedError(f"{type(self).__name__} must define chunks()")

    def __repr__(self) -> str:
        rows = "unknown" if self.samples is None else f"{self.samples:,}"
        window = f"{WINDOW_BYTES >> 20} MiB" if self.window is None else f"{self.window:,} rows"
        order = f"shuffled in windows of {window}" if self.shuffle else "in order"
        return f"{type(self).__name__}({rows} rows, {order})"

    # Whether `batch_size=None` may make a batch of each chunk
    _chunks_are_batches = True

    # What sources with parts that can be read in any order define

    def _epoch(self, draw: Draw | None, rows: int | None) -> Iterator[Any]:
        """Return the chunks of an epoch; what is random is drawn before this returns, not while they are read.

        Parameters
        ----------
        draw : callable, optional
            Draws a random order; None asks for the order of the source.
        rows : int or None
            Rows of a window, if `_row_bytes` told what a row takes.
        """
        return self.chunks()

    def _row_bytes(self) -> int | None:
        """Return the bytes of a row of samples, if they are known before it is read."""
        return None

    def _targets(self) -> Iterator[Any]:
        """Yield the targets of all rows once, in order."""
        for chunk in self.chunks():
            yield as_chunk(chunk).t

    def _check_passes(self, name: str, epochs: int) -> None:
        """Raise ValueError if the source cannot be read this often; `name` is the argument that asks for it."""

    def _described(self) -> dict[str, Any]:
        """Return what tells this source from others: a checkpoint compares it."""
        return {"kind": type(self).__name__, "window": self.window, "shuffle": self.shuffle}


def as_chunk(item: Any) -> Chunk:
    """Return what a source has yielded as a chunk."""
    if isinstance(item, Chunk):
        return item
    if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
        size = f" of {len(item)}" if isinstance(item, (tuple, list)) else ""
        raise TypeError(f"a source must yield pairs (x, t) or triples (x, t, w), got {type(item).__name__}{size}")
    return Chunk(*item)


def window_rows(window: int | None, row_bytes: int, batch_size: int) -> int:
    """Return the rows of a window: whole batches."""
    rows = WINDOW_BYTES // max(row_bytes, 1) if window is None else window
    return max(rows // batch_size, 1) * batch_size
