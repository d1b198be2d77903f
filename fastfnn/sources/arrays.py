"""ArraySource: samples in arrays, memory maps and files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastfnn import validation
from fastfnn.digests import digest
from fastfnn.sources import files
from fastfnn.sources.base import Chunk, Draw, Source

# Rows of a chunk where nobody asks for windows.
CHUNK_BYTES = 16 << 20


class ArraySource(Source):
    """Samples in arrays or files, in windows that are visited in random order.

    Parameters
    ----------
    x : (N, I) array, or path of a file
        Samples: an array, usually a memory map, or a file that becomes one: .npy, raw IDX (the format of MNIST, not
        compressed), .safetensors, or .npz, which is read as a whole. More than two axes are flattened to rows.
    t : array or path, optional
        Targets, see `FNN.loss`. None if x is a .safetensors or .npz file, which holds both.
    sample_weight : (N,) array or path, optional
        Weights of the samples.
    names : sequence of str, default ("x", "t")
        Names of the arrays in a .safetensors or .npz file: of samples, of targets and, if there is a third one, of
        weights.
    window : int, optional
        See `Source`.
    shuffle : bool, default True
        See `Source`. The windows of an epoch are visited in random order. If the last one is not whole, it is from
        another place of the arrays in each epoch.

    Attributes
    ----------
    samples : int
        Number of rows.

    Raises
    ------
    OSError
        If a file cannot be read.
    TypeError, ValueError
        If an argument has a wrong type or value, or a file is not what its name says.

    Notes
    -----
    Rows that are contiguous and of a dtype that the kernels read are not copied: float32, float64, float16 and
    integers, also uint8. Pages of a memory map leave the memory of the process once the network has trained on them.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> (x, t), test = fnn.datasets.load_mnist(normalize=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "x.npy")
    ...     np.save(path, x)
    ...     source = fnn.sources.ArraySource(path, t, window=2000)
    ...     history = fnn.FNN((784, 50, 10), init=1e-4, seed=0).fit(source, epochs=1, optimizer="adam")
    >>> source
    ArraySource(8,000 rows, shuffled in windows of 2,000 rows)
    """

    samples: int
    _chunks_are_batches = False

    def __init__(
        self,
        x: ArrayLike | os.PathLike[str],
        t: ArrayLike | os.PathLike[str] | None = None,
        sample_weight: ArrayLike | os.PathLike[str] | None = None,
        *,
        names: Sequence[str] = ("x", "t"),
        window: int | None = None,
        shuffle: bool = True,
    ) -> None:
        super().__init__(window=window, shuffle=shuffle)
        given: tuple[Any, ...] = (x, t, sample_weight)
        if files.is_path(x) and files.suffix(x) in files.TOGETHER:
            if t is not None or sample_weight is not None:
                raise ValueError(f"t and sample_weight must be arrays in {x!r}, named by names, got them beside it")
            given = (*files.together(x, checked_names(names)), None)
        elif t is None:
            raise TypeError("t must be given, unless x is a .safetensors or .npz file that holds it; got None")
        self._x = rows_of("x", _array("x", given[0]))
        self._t = _array("t", given[1])
        self._w = None if given[2] is None else _array("sample_weight", given[2])
        self.samples = len(self._x)
        for name, array in (("t", self._t), ("sample_weight", self._w)):
            if array is not None and (not array.ndim or len(array) != self.samples):
                raise ValueError(f"{name} must have one entry per row of x, {self.samples}, got shape {array.shape}")

    def chunks(self) -> Iterator[Chunk]:
        """Yield the rows in order, see `Source.chunks`.

        :meta private:
        """
        return self._read([(0, self.samples)], max(CHUNK_BYTES // max(self._row_bytes(), 1), 1))

    def _epoch(self, draw: Draw | None, rows: int | None) -> Iterator[Any]:
        if rows is None:
            return self.chunks()
        if draw is None:
            return self._read([(0, self.samples)], rows)
        count, rest = divmod(self.samples, rows)
        gap = 0 if not count else int(draw(count + 1)[0]) if rest else count  # whole windows before those of the rest
        starts = [(i * rows + (rest if i >= gap else 0), rows) for i in (draw(count) if count > 1 else range(count))]
        return self._read([(start, start + size) for start, size in [*starts, (gap * rows, rest)]], rows)

    def _read(self, ranges: list[tuple[int, int]], rows: int) -> Iterator[Chunk]:
        for first, last in ranges:
            for start in range(first, last, rows):
                part = slice(start, min(start + rows, last))
                yield Chunk(self._x[part], self._t[part], None if self._w is None else self._w[part], start)

    def _row_bytes(self) -> int:
        return int(self._x.shape[1]) * self._x.itemsize

    def _targets(self) -> Iterator[Any]:
        yield self._t

    def _described(self) -> dict[str, Any]:
        digests = {"x": digest(self._x), "t": digest(self._t), "sample_weight": digest(self._w)}
        return super()._described() | digests


def checked_names(names: Any) -> tuple[str, ...]:
    """Return the names of samples, targets and perhaps weights in a file that holds them together."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names must be a sequence of str, got {names!r}")
    if len(names) not in (2, 3):
        raise ValueError(f"names must be those of samples, targets and perhaps weights, got {len(names)} names")
    return tuple(names)


def rows_of(name: str, array: np.ndarray) -> np.ndarray:
    """Return samples with two or more axes as rows."""
    if array.ndim < 2:
        raise ValueError(f"{name} must have shape (samples, features), got shape {array.shape}")
    return array if array.ndim == 2 else array.reshape(len(array), -1)


def _array(name: str, value: Any) -> np.ndarray:
    if not files.is_path(value):
        return validation.as_array(name, value)
    if files.suffix(value) in files.TOGETHER:
        raise ValueError(f"{name} must be an array, or a .npy or IDX file, got {value}")
    return files.mapped(value)
