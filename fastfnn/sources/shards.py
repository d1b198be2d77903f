"""ShardSource: samples in many files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastfnn.digests import digest
from fastfnn.sources import files
from fastfnn.sources.arrays import checked_names
from fastfnn.sources.base import Chunk, Draw, Source

Shard = tuple[str, ...]  # one file that holds all arrays, or a file for each


class ShardSource(Source):
    """Samples in many files, which are visited in random order.

    Parameters
    ----------
    shards : path of a folder, or sequence
        Of a sequence each item is a shard: a .npz or .safetensors file, which holds samples and targets, or a tuple of
        .npy or raw IDX files: (x, t), or (x, t, w) with weights of the samples. Of a folder, all .npz and .safetensors
        files are shards, and the .npy files whose names begin with those of `names`: "x-00.npy" goes with "t-00.npy".
    names : sequence of str, default ("x", "t")
        Names of the arrays in a file, and beginnings of the names of .npy files in a folder: of samples, of targets
        and, if there is a third one, of weights.
    window : int, optional
        See `Source`. Rows of small shards are shuffled together, of large ones part by part.
    shuffle : bool, default True
        See `Source`. The order of the shards is random, too; else it is that of their names.

    Attributes
    ----------
    samples : int
        Number of rows.

    Raises
    ------
    OSError
        If a file or the folder cannot be read.
    TypeError, ValueError
        If an argument has a wrong type or value, a file is not what its name says, or shards do not fit together.

    Notes
    -----
    Only the .npz files are read as a whole, one at a time; the others are memory maps.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> (x, t), test = fnn.datasets.load_mnist()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for i in range(4):
    ...         part = slice(2000 * i, 2000 * (i + 1))
    ...         np.savez(os.path.join(folder, f"{i}.npz"), x=x[part], t=t[part])
    ...     source = fnn.sources.ShardSource(folder)
    ...     history = fnn.FNN((784, 50, 10), seed=0).fit(source, epochs=1, validation_data=test)
    >>> source.samples
    8000
    """

    samples: int
    _chunks_are_batches = False

    def __init__(
        self,
        shards: str | os.PathLike[str] | Sequence[Any],
        *,
        names: Sequence[str] = ("x", "t"),
        window: int | None = None,
        shuffle: bool = True,
    ) -> None:
        super().__init__(window=window, shuffle=shuffle)
        self._names = checked_names(names)
        self._shards = self._found(shards) if files.is_path(shards) else self._checked(shards)
        if not self._shards:
            raise ValueError(
                f"shards must be at least one shard, got none{f' in {shards}' if files.is_path(shards) else ''}"
            )
        self._counts = [self._count(shard) for shard in self._shards]
        self.samples = sum(self._counts)
        if not self.samples:
            raise ValueError("shards must hold at least one row, got none")

    def chunks(self) -> Iterator[Chunk]:
        """Yield the shards in order, see `Source.chunks`.

        :meta private:
        """
        return self._read(range(len(self._shards)))

    def _epoch(self, draw: Draw | None, rows: int | None) -> Iterator[Any]:
        return self.chunks() if draw is None else self._read(draw(len(self._shards)))

    def _read(self, order: Any) -> Iterator[Chunk]:
        for i in order:
            shard = self._shards[i]
            x, t, w = (*self._arrays(shard), None)[:3]
            yield Chunk(x, t, w, 0, shard[0])

    def _targets(self) -> Iterator[Any]:
        for shard in self._shards:
            yield files.together(shard[0], self._names[1:2])[0] if len(shard) == 1 else files.mapped(shard[1])

    def _described(self) -> dict[str, Any]:
        digests = [digest(array) for shard in self._shards for array in self._arrays(shard)]
        return super()._described() | {"rows of shards": self._counts, "arrays": digests}

    def _arrays(self, shard: Shard) -> list[np.ndarray]:
        return files.together(shard[0], self._names) if len(shard) == 1 else [files.mapped(path) for path in shard]

    def _count(self, shard: Shard) -> int:
        """Return the rows of a shard."""
        shapes = (
            files.shapes(shard[0], self._names) if len(shard) == 1 else [each.shape for each in self._arrays(shard)]
        )
        if any(not shape or shape[0] != shapes[0][0] for shape in shapes):
            raise ValueError(f"{' and '.join(shard)} must have one entry per row in each array, got shapes {shapes}")
        return shapes[0][0]

    def _found(self, folder: Any) -> list[Shard]:
        """Return the shards in a folder, in the order of their names."""
        folder, (first, *others) = os.fspath(folder), self._names
        present, found = sorted(os.listdir(folder)), list[Shard]()
        for name in present:
            if files.suffix(name) in files.TOGETHER:
                found.append((os.path.join(folder, name),))
            elif files.suffix(name) == ".npy" and name.startswith(first):
                beside = [other + name.removeprefix(first) for other in others]
                missing = [each for each in beside if each not in present]
                if missing:
                    raise ValueError(f"{folder} must have {missing[0]} beside {name}, got none")
                found.append(tuple(os.path.join(folder, each) for each in (name, *beside)))
        return found

    @staticmethod
    def _checked(shards: Any) -> list[Shard]:
        if not isinstance(shards, Sequence):
            raise TypeError(f"shards must be a folder or a sequence of files, got {type(shards).__name__}")
        found = list[Shard]()
        for i, item in enumerate(shards):
            paths = (item,) if files.is_path(item) else item
            if not isinstance(paths, (tuple, list)) or not all(files.is_path(path) for path in paths):
                raise TypeError(f"shards[{i}] must be a file or a tuple of files, got {item!r}")
            whole = [files.suffix(path) in files.TOGETHER for path in paths]
            if whole != [True] and (any(whole) or len(paths) not in (2, 3)):
                wanted = "one .npz or .safetensors file, or a tuple (x, t) or (x, t, w) of .npy or IDX files"
                raise ValueError(f"shards[{i}] must be {wanted}, got {item!r}")
            found.append(tuple(map(os.fspath, paths)))
        return found
