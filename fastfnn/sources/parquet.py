"""ParquetSource: columns of Parquet files, a row group at a time. It imports pyarrow when it is made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastfnn import parquet
from fastfnn.digests import file_digest
from fastfnn.names import repeated
from fastfnn.sources import files
from fastfnn.sources.base import Chunk, Draw, Source

FLOATS = ("halffloat", "float", "double")  # names of types in Parquet files


class ParquetSource(Source):
    """Columns of Parquet files, read a row group at a time.

    Parameters
    ----------
    paths : path or sequence of paths
        Files with the same columns; of a folder all its files .parquet and .pq.
    target : str or sequence of str
        The column of the targets, or several: rows (N, K).
    features : sequence of str, optional
        The columns of the samples, numbers without missing values; by default all others of the first file.
    sample_weight : str, optional
        The column of the weights of the samples.
    window : int, optional
        See `Source`. Rows of small row groups are shuffled together, of large ones part by part.
    shuffle : bool, default True
        See `Source`. The order of the row groups is random, too.

    Attributes
    ----------
    samples : int
        Number of rows.
    features : list of str
        The columns of the samples.

    Raises
    ------
    ImportError
        If pyarrow is missing: the extra ``fastfnn[tables]`` has it.
    OSError
        If a file cannot be read.
    TypeError, ValueError
        If an argument has a wrong type or value, there are no files, or one is no Parquet file, lacks a column or has
        two of its name.

    Notes
    -----
    A row group is decoded as a whole. Write files with row groups that memory holds a few times, as with
    ``row_group_size=100_000`` of ``pyarrow.parquet.write_table``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> import fastfnn as fnn
    >>> rng = np.random.default_rng(0)
    >>> table = pa.table({"a": rng.normal(size=1000), "b": rng.normal(size=1000)})
    >>> table = table.append_column("t", pa.array(table["a"].to_numpy() > 0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "table.parquet")
    ...     pq.write_table(table, path, row_group_size=200)
    ...     source = fnn.sources.ParquetSource(path, target="t")
    ...     history = fnn.FNN((2, 8, 2), seed=0).fit(source, epochs=2)
    >>> source.features, source.samples
    (['a', 'b'], 1000)
    """

    samples: int
    features: list[str]
    _chunks_are_batches = False

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        target: str | Sequence[str],
        features: Sequence[str] | None = None,
        *,
        sample_weight: str | None = None,
        window: int | None = None,
        shuffle: bool = True,
    ) -> None:
        super().__init__(window=window, shuffle=shuffle)
        self._paths = _files(paths)
        if not self._paths:
            where = f" in the folder {paths}" if files.is_path(paths) else ""
            raise ValueError(f"paths must be at least one file {' or '.join(parquet.SUFFIXES)}, got none{where}")
        self._targets_of = [target] if isinstance(target, str) else _names("target", target)
        self._one_target = isinstance(target, str)
        self._weight = sample_weight
        others = [*self._targets_of, *([] if sample_weight is None else [sample_weight])]
        wanted = None if features is None else _names("features", features)
        self._groups: list[tuple[str, int, int]] = []  # path, number and first row of each row group
        self.samples = 0
        for path in self._paths:
            metadata, columns = _metadata(path)
            if wanted is None:
                wanted = [name for name in columns if name not in others]
            missing = [name for name in (*wanted, *others) if name not in columns]
            if missing:
                raise ValueError(f"{path} must have the column {missing[0]!r}, got {', '.join(columns)}")
            if twice := repeated(name for name in columns if name in wanted or name in others):
                raise ValueError(f"{path} has more than one column {twice!r}: the names of its columns must differ")
            first = 0
            for group in range(metadata.num_row_groups):
                self._groups.append((path, group, first))
                first += metadata.row_group(group).num_rows
            self.samples += first
        self.features = wanted or []
        if not self.samples or not self.features:
            found = f"got {self.samples} rows of {self.features}"
            where = ", ".join(self._paths[:3])
            raise ValueError(f"paths must hold at least one row of one feature, {found} in {where}")

    def chunks(self) -> Iterator[Chunk]:
        """Yield the row groups in order, see `Source.chunks`.

        :meta private:
        """
        return self._read(range(len(self._groups)))

    def _epoch(self, draw: Draw | None, rows: int | None) -> Iterator[Any]:
        return self.chunks() if draw is None else self._read(draw(len(self._groups)))

    def _read(self, order: Any) -> Iterator[Chunk]:
        weights = [] if self._weight is None else [self._weight]
        for path, group, first in (self._groups[i] for i in order):
            table = _row_group(path, group, [*self.features, *self._targets_of, *weights])
            columns = [_column(table, name, path, first) for name in self.features]
            x = np.empty((table.num_rows, len(columns)), np.result_type(*(column.dtype for column in columns)))
            for j, column in enumerate(columns):
                x[:, j] = column
            w = None if self._weight is None else _column(table, self._weight, path, first)
            yield Chunk(x, self._target(table, path, first), w, first, path)

    def _targets(self) -> Iterator[Any]:
        for path, group, first in self._groups:
            yield self._target(_row_group(path, group, self._targets_of), path, first)

    def _target(self, table: Any, path: str, first: int) -> np.ndarray:
        columns = [_column(table, name, path, first, numbers=False) for name in self._targets_of]
        return columns[0] if self._one_target else np.stack(columns, axis=1)

    def _described(self) -> dict[str, Any]:
        return super()._described() | {
            "row groups": len(self._groups), "features": self.features, "target": self._targets_of,
            "sample_weight": self._weight, "files": [file_digest(path) for path in self._paths],
        }  # fmt: skip


def _names(argument: str, value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{argument} must be a sequence of str, got {value!r}")
    if twice := repeated(value):
        raise ValueError(f"{argument} must name each column once, got {twice!r} twice")
    return list(value)


def _files(paths: Any) -> list[str]:
    if not files.is_path(paths):
        if not isinstance(paths, Sequence) or not all(files.is_path(path) for path in paths):
            raise TypeError(f"paths must be a path or a sequence of paths, got {type(paths).__name__}")
        return [os.fspath(path) for path in paths]
    path = os.fspath(paths)
    if not os.path.isdir(path):
        return [path]
    return [os.path.join(path, name) for name in sorted(os.listdir(path)) if files.suffix(name) in parquet.SUFFIXES]


def _metadata(path: str) -> tuple[Any, list[str]]:
    with parquet.opened(path) as file:
        return file.metadata, file.schema_arrow.names


def _row_group(path: str, group: int, columns: list[str]) -> Any:
    with parquet.opened(path) as file:
        return file.read_row_group(group, columns=columns, use_threads=False)  # the other threads train


def _column(table: Any, name: str, path: str, first: int, numbers: bool = True) -> np.ndarray:
    column = table.column(name)
    where = f"the row group that begins with row {first} of {path}"
    is_target = not numbers
    # A missing number among targets is NaN: some losses take it, and the others' check tells where it is.
    if column.null_count and not (is_target and str(column.type) in FLOATS):
        raise ValueError(f"column {name!r} must have no missing values, got {column.null_count} in {where}")
    with parquet.explained(path):
        values: np.ndarray = column.to_numpy()
    if numbers and values.dtype.kind not in "biuf":
        raise TypeError(f"column {name!r} must hold real numbers, got {column.type} in {where}")
    return values
