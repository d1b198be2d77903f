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
from fastfnn.tabular import kinds
from fastfnn.tabular.kinds import EXACT, POINT, Form
from fastfnn.tabular.reading import column as column_of

PART_ROWS = 1 << 16  # rows of a part: large enough that the time of a call does not count

OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SEPARATORS = {".tsv": "\t", ".tab": "\t"}
ARRAYS = (".npy", ".npz")


class Format(NamedTuple):
    """How a file is written: separator and encoding of CSV; numbers as texts; and missing values."""

    separator: str | None = None  # by default a comma, or a tab in a file .tsv
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str | None = None  # by default a comma (a point with a decimal comma), spaces and apostrophes
    na_values: tuple[str, ...] = ()  # that mark missing values, beside those of pandas
    keep_na: bool = False  # whether NA, None, null and the like are texts: only what is empty is missing

    @property
    def form(self) -> Form:
        """How numbers are written as texts."""
        return Form(self.decimal, self.thousands)


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
    form = form or Format()
    (frame,) = _parts(path, form, text, None)
    # Standard input and pipes cannot be read again.
    large = _rounded(frame) if _is_csv(path) and path != DASH and pathlib.Path(path).is_file() else []
    if large:
        (frame,) = _parts(path, form, (*text, *large), None)
    return frame


def _rounded(frame: pd.DataFrame) -> list[str]:
    """Return the columns of whole numbers that pandas has made float64 of, which does not hold all of them."""
    names = [name for name in frame.columns if frame[name].dtype == np.float64 and frame[name].isna().any()]
    largest = frame[names].abs().max()
    return [name for name in names if EXACT < largest[name] < np.inf and (frame[name].dropna() % 1 == 0).all()]


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


def _is_csv(path: str) -> bool:
    return pathlib.Path(path).suffix.lower() not in (*ARRAYS, *parquet.SUFFIXES)


def _parts(path: str, form: Format, text: Collection[str], rows: int | None) -> Iterator[pd.DataFrame]:
    suffix = pathlib.Path(path).suffix.lower() if path != DASH else ""
    if path != DASH and pathlib.Path(path).is_dir():
        raise ValueError(f"{path} is a folder: expected a file")
    if suffix in ARRAYS:
        frame = _arrays(path, suffix)
        step = rows or max(len(frame), 1)
        yield from (frame.iloc[first : first + step] for first in range(0, max(len(frame), 1), step))
    elif suffix in parquet.SUFFIXES:
        for part in _parquet(path, rows):
            yield _without_marks(part, form.na_values)
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
        all_texts = form.form != POINT  # pandas would take 31.12.2020 for a number with thousands
        # Names are given here because pandas would rename those that occur twice.
        options: dict[str, Any] = {
            "sep": separator, "header": None, "names": header, "index_col": False, "low_memory": False,
            "dtype": {column: str for column in header if all_texts or column in text}, "chunksize": rows,
            "keep_default_na": not form.keep_na, "na_values": [*form.na_values, *([""] if form.keep_na else [])],
        }  # fmt: skip
        result = pd.read_csv(stream, **options)
        for part in result if rows else [result]:
            if all_texts:
                part = _with_numbers(part, [column for column in header if column not in text], form.form)
            part.index = pd.RangeIndex(lines.rows, lines.rows + len(part))
            lines.rows += len(part)
            yield part


def _with_numbers(frame: pd.DataFrame, names: Collection[str], form: Form) -> pd.DataFrame:
    """Return a table of texts with numbers in the columns that are numbers but for missing values."""
    return frame.assign(**{name: as_numbers(frame[name], form) for name in names})


def as_numbers(column: pd.Series, form: Form, marks: bool = False) -> pd.Series:
    """Return a column of texts as numbers if all of them are, or with `marks` mark missing values; else as it is.

    Codes such as 007 stay texts, and so do large whole numbers, unless it is a target, which may have marks.
    """
    raw = column_of(str(column.name), column)
    if raw.values.dtype != object or raw.given or not any(isinstance(value, str) for value in raw.values):
        return column
    values, wrong = kinds.numbers_of(raw.values, form)
    strange = [value for value in raw.values[wrong].tolist() if not (marks and kinds.meaning_of(value, form) == "mark")]
    present = ~np.isnan(values)
    is_large = bool(present.any()) and np.abs(values[present]).max() > EXACT
    if strange or not present.any() or (is_large and not marks):
        return column
    if kinds.decide(raw, form=form).kind == "category":  # codes
        return column
    is_whole = present.all() and not is_large and kinds.are_whole(raw.values.tolist(), form)
    return pd.Series(values.astype(np.int64) if is_whole else values, column.index, name=column.name)


def _without_marks(frame: pd.DataFrame, marks: Collection[str]) -> pd.DataFrame:
    """Return a table in which the values that mark missing ones are missing."""
    if not marks:
        return frame
    numbers = [float(mark) for mark in marks if kinds.number_of(mark, POINT) is not None]
    for name in frame.columns:
        is_number = pd.api.types.is_numeric_dtype(frame[name].dtype)
        marked = frame[name].isin(numbers if is_number else list(marks))
        if marked.any():
            frame = frame.assign(**{name: frame[name].mask(marked)})
    return frame


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
            part = _exact(table)
            part.columns = [str(column) for column in part.columns]
            part.index = pd.RangeIndex(first, first + len(part))
            first += len(part)
            yield part


def _exact(table: Any) -> pd.DataFrame:
    """Return a table of pyarrow whose large whole numbers are objects where pandas would make float64 of them."""
    frame: pd.DataFrame = table.to_pandas()
    for place, column in enumerate(table.columns):
        is_float = column.null_count and frame.dtypes.iloc[place] == np.float64
        if is_float and str(column.type).removeprefix("u").startswith("int"):
            values = column.to_pylist()
            if max((abs(value) for value in values if value is not None), default=0) > EXACT:
                frame.isetitem(place, pd.Series(values, dtype=object))
    return frame


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
