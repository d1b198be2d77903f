"""Files to frames: CSV, Parquet and arrays of NumPy, as a whole or part by part.

The commands call `read` and `parts`. What is wrong with a file is a ValueError that names it. Nothing here knows what
the columns mean.
"""

import bz2
import contextlib
import csv
import gzip
import io
import itertools
import lzma
import math
import pathlib
import re
import warnings
from collections.abc import Collection, Iterator
from typing import IO, Any, NamedTuple

import numpy as np
import pandas as pd

from fastfnn import names, parquet, streams
from fastfnn.sources import files
from fastfnn.streams import DASH
from fastfnn.tables.columns import listed

PART_ROWS = 1 << 16  # rows of a part: large enough that the time of a call does not count

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SEPARATORS = {".tsv": "\t", ".tab": "\t"}
ARRAYS = (".npy", ".npz")


class Format(NamedTuple):
    """How a CSV file is written."""

    separator: str | None = None  # by default a comma, or a tab in a file .tsv
    encoding: str = "utf-8"


def read(path: str, form: Format | None = None, text: Collection[str] = ()) -> pd.DataFrame:
    """Return the table in a file.

    Parameters
    ----------
    path : str
        A file: .parquet, .npy, .npz, otherwise CSV, which may be compressed (.gz, .bz2, .xz); "-" is CSV from standard
        input. An array .npy stays on the disk as a memory map. Its columns are named 0, 1, 2, ...; the arrays x and t
        of a file .npz are such columns and the column t.
    form : Format, optional
        Of a CSV file.
    text : collection of str
        Columns of a CSV file whose values are kept as they are written, even if they look like numbers.
    """
    frames = list(_parts(path, form or Format(), text, None))
    return frames[0]


def parts(
    path: str, form: Format | None = None, text: Collection[str] = (), rows: int = PART_ROWS
) -> Iterator[pd.DataFrame]:
    """Yield a table in parts of at most `rows` rows, see `read`."""
    return _parts(path, form or Format(), text, rows)


def read_with_target(
    path: str, target: str | None, form: Format | None = None, text: Collection[str] = ()
) -> tuple[pd.DataFrame, str]:
    """Return the table in a file and the name of its column `target`.

    For an array .npy the target may be a file .npy; for .npz it is t by default.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix == ".npz" and target is None:
        target = "t"
    frame = read(path, form, text)
    if not len(frame):
        raise ValueError(f"{name_of(path)} has no rows")
    if target is None:
        raise ValueError(f"--target must name the column to predict: {listed(list(frame.columns))}")
    if suffix == ".npy" and target.lower().endswith(".npy"):
        return _with_targets(path, frame, target)
    if suffix == ".npy" and target.startswith("-") and target[1:].isdigit() and int(target[1:]) <= len(frame.columns):
        target = frame.columns[int(target)]
    find_column(frame, target, "--target")
    return frame, target


def _with_targets(path: str, frame: pd.DataFrame, target: str) -> tuple[pd.DataFrame, str]:
    """Return a frame with the array in the file `target` as another column, and its name."""
    array = load_array(target)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (len(frame),):
        raise ValueError(
            f"{target} must have shape ({len(frame)},), a target for each row of {path}; got {array.shape}"
        )
    name = pathlib.Path(target).stem
    if name in frame.columns:
        raise ValueError(f"{target} must not have the name of a column of {path}")
    return frame.assign(**{name: array}), name


def find_column(frame: pd.DataFrame, name: str, option: str) -> None:
    """Raise ValueError, with the most similar name, unless an option names a column."""
    if name not in frame.columns:
        hint = names.did_you_mean(name, frame.columns)
        raise ValueError(f"{option} must name a column, {listed(list(frame.columns))}; got {name!r}{hint}")


def name_of(path: str) -> str:
    """Return what messages call a file."""
    return "standard input" if path == DASH else path


def _parts(path: str, form: Format, text: Collection[str], rows: int | None) -> Iterator[pd.DataFrame]:
    suffix = pathlib.Path(path).suffix.lower() if path != DASH else ""
    if path != DASH and pathlib.Path(path).is_dir():
        raise ValueError(f"{path} is a folder: expected a file")
    if suffix in ARRAYS:
        frame = _arrays(path, suffix)
        step = rows or max(len(frame), 1)
        yield from (frame.iloc[first : first + step] for first in range(0, max(len(frame), 1), step))
    elif suffix in parquet.SUFFIXES:
        yield from _parquet(path, rows)
    else:
        yield from _csv(path, form, text, rows)


# CSV


def _csv(path: str, form: Format, text: Collection[str], rows: int | None) -> Iterator[pd.DataFrame]:
    name = name_of(path)
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    separator = form.separator or next((SEPARATORS[suffix] for suffix in suffixes if suffix in SEPARATORS), ",")
    with _opened(path, form.encoding) as stream, _explained(name, form.encoding) as lines:
        reader = csv.reader(stream, delimiter=separator)
        header = next((cells for cells in reader if cells), None)
        if header is None:
            raise ValueError(f"{name} is empty")
        lines.before = reader.line_num
        _check_header(name, header, separator)
        # Names are given here because pandas would rename those that occur twice.
        options: dict[str, Any] = {
            "sep": separator, "header": None, "names": header, "index_col": False, "low_memory": False,
            "dtype": {column: str for column in header if column in text}, "chunksize": rows,
        }  # fmt: skip
        result = pd.read_csv(stream, **options)
        for part in result if rows else [result]:
            part.index = pd.RangeIndex(lines.rows, lines.rows + len(part))
            lines.rows += len(part)
            yield part


def _check_header(name: str, header: list[str], separator: str) -> None:
    if twice := names.repeated(header):
        raise ValueError(f"{name} has more than one column {twice!r}: the names in its first line must differ")
    if len(header) == 1:
        for other, spelled in ((";", "';'"), ("\t", r"$'\t'")):
            if other in header[0] and other != separator:
                raise ValueError(f"{name} has one column, {header[0]!r}: is it separated by {other!r}? --sep {spelled}")


class _Lines:
    """Where the reader is."""

    before = 0  # lines of the header
    rows = 0


@contextlib.contextmanager
def _explained(name: str, encoding: str) -> Iterator[_Lines]:
    """Turn errors of reading into a ValueError that names the file and the line."""
    lines = _Lines()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            yield lines
        except pd.errors.ParserError as error:
            found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
            if found is None:
                raise ValueError(f"{name} cannot be read: {error}") from error
            line = int(found[2]) + lines.before
            raise ValueError(f"{name}, line {line}: expected {found[1]} values, got {found[3]}") from error
        except pd.errors.ParserWarning as error:
            raise ValueError(f"{name}: a row has more values than the first line has names") from error
        except UnicodeError as error:
            raise ValueError(f"{name} is not encoded in {encoding} ({error}): name another by --encoding") from error
        except LookupError as error:
            if "unknown encoding" not in str(error):
                raise
            raise ValueError(f"--encoding must be known to Python, got {encoding!r}") from error
        except (gzip.BadGzipFile, EOFError, lzma.LZMAError) as error:
            raise ValueError(f"{name} does not decompress: {error}") from error
        except csv.Error as error:
            raise ValueError(f"{name} cannot be read: {error}") from error


@contextlib.contextmanager
def _opened(path: str, encoding: str) -> Iterator[IO[str]]:
    encoding = "utf-8-sig" if encoding.lower().replace("-", "") == "utf8" else encoding  # without the mark of Excel
    if path == DASH:
        entry = streams.entry()
        if streams.is_terminal(entry):
            raise ValueError("standard input is a terminal: name a table, or let a program write one to it")
        # detached, so that standard input stays open
        stream = io.TextIOWrapper(entry.buffer, encoding, newline="")
        try:
            yield stream
        finally:
            stream.detach()
        return
    opener = OPENERS.get(pathlib.Path(path).suffix.lower(), open)
    try:
        file: IO[str] = opener(path, "rt", encoding=encoding, newline="")
    except LookupError as error:
        raise ValueError(f"--encoding must be known to Python, got {encoding!r}") from error
    with file:
        yield file


# Parquet


def _parquet(path: str, rows: int | None) -> Iterator[pd.DataFrame]:
    with parquet.opened(path) as source:
        if twice := names.repeated(map(str, source.schema_arrow.names)):
            raise ValueError(f"{path} has more than one column {twice!r}: the names of its columns must differ")
        empty = [] if source.metadata.num_rows else [source.schema_arrow.empty_table()]
        first = 0
        for table in itertools.chain(empty, source.iter_batches(rows or max(source.metadata.num_rows, 1))):
            part = table.to_pandas()
            part.columns = [str(column) for column in part.columns]
            part.index = pd.RangeIndex(first, first + len(part))
            first += len(part)
            yield part


# Arrays


def _arrays(path: str, suffix: str) -> pd.DataFrame:
    if suffix == ".npy":
        return array_frame(path, load_array(path))
    held = files.members(path)
    if "x" not in held:
        raise ValueError(f"{path} must hold the arrays x, of samples, and t, of targets; got {listed(held)}")
    x, *others = files.archived(path, [name for name in ("x", "t") if name in held])
    frame = array_frame(f"x of {path}", x)
    for t in others:
        column = t[:, 0] if t.ndim == 2 and t.shape[1] == 1 else t
        if column.shape != (len(frame),):
            raise ValueError(f"t of {path} must have shape ({len(frame)},), got {t.shape}")
        frame["t"] = column
    return frame


def load_array(path: str) -> np.ndarray:
    """Return the array of a file .npy as a memory map."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no array of numbers that NumPy can read") from error
    return array


def array_frame(name: str, array: np.ndarray) -> pd.DataFrame:
    """Return an array of numbers with at least two axes as a frame, without a copy."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    width = math.prod(array.shape[1:])
    if array.ndim < 2 or not width:
        raise ValueError(f"{name} must have shape (rows, columns), got {array.shape}")
    rows = array.reshape(len(array), width)
    return pd.DataFrame(rows, columns=[str(i) for i in range(rows.shape[1])], copy=False)
