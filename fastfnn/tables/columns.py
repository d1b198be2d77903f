"""What the columns of a table are: numbers, categories, dates, or nothing to learn from.

`plan` looks at the rows for training; `numbers`, `texts` and `dates` give the values of a column, in which missing ones
are NaN, None and NaT. `preparation.py` and `tabular.py` call all of them.
"""

import datetime
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastfnn.names import did_you_mean, repeated
from fastfnn.tabular.reading import check_types, microseconds

MAX_CATEGORIES = 100  # of a column; each is an input of the network
ROWS_AT_ONCE = 1 << 14  # looked at or converted together: there is no copy of all rows in float64
SHOWN = 10  # names in a message
SMALL_TEXT = 20  # different texts that are categories in any table

# Dates of ISO 8601 as texts, such as 2020-01-31, 2020-01-31 17:30, 2020-01-31T17:30:05.25Z, 2020-01-31 17:30+09:00.
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")
MIXED = "dates with and without time zones"


class Plan(NamedTuple):
    """Which columns are used, and how."""

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: dict[str, str]  # name: reason
    dates: tuple[str, ...] = ()


def plan(
    frame: pd.DataFrame,
    categories: Collection[str] = (),
    ignored: Collection[str] = (),
    *,
    with_dates: bool = False,
) -> Plan:
    """Tell what the columns of a table are.

    Parameters
    ----------
    frame : DataFrame
        The features.
    categories, ignored : collection of str
        Columns that are categories even if they hold numbers, and columns that are not used.
    with_dates : bool, default False
        Whether dates are used; otherwise they are left out.

    Raises
    ------
    TypeError
        If a column that is not ignored holds lists or other values without a meaning.
    """
    found: dict[str, list[str]] = {"number": [], "category": [], "date": []}
    left_out: dict[str, str] = {}
    for name in frame.columns:
        if name not in ignored and frame[name].dtype.kind in "Oc":
            check_types(name, frame[name].dropna())
    constant = _constant(frame)
    for name in frame.columns:
        column = frame[name]
        reason = "ignored" if name in ignored else constant[name] if name in constant else _useless(column)
        kind = "category"
        if not reason and name not in categories:
            kind = "number" if _is_number(column) else "date" if _is_date(column) else "category"
            if kind == "category":
                reason = _no_categories(column)
            elif kind == "date":
                reason = MIXED if _has_mixed_zones(column) else "" if with_dates else "dates"
        if reason:
            left_out[name] = reason
        else:
            found[kind].append(name)
    return Plan(tuple(found["number"]), tuple(found["category"]), left_out, tuple(found["date"]))


def matrix(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    """Return columns whose dtypes are those of NumPy's numbers as float64, at once; None if one has another dtype."""
    selected = frame[list(names)]
    if not all(_is_plain(dtype) for dtype in selected.dtypes):
        return None
    values: np.ndarray = selected.to_numpy(np.float64)
    return values


def _is_plain(dtype: object) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _constant(frame: pd.DataFrame) -> dict[str, str]:
    """Return why nothing can be learned from a column, "" if that is not so, for all columns of NumPy's numbers.

    They are looked at together, some rows at a time: a table may be a memory map whose columns do not lie side by side.
    """
    names = [name for name, dtype in zip(frame.columns, frame.dtypes, strict=True) if _is_plain(dtype)]
    if not names:
        return {}
    low, high = np.full(len(names), np.nan), np.full(len(names), np.nan)
    complete = np.ones(len(names), bool)
    for first in range(0, len(frame), ROWS_AT_ONCE):
        values = matrix(frame.iloc[first : first + ROWS_AT_ONCE], names)
        assert values is not None
        low, high = np.fmin(low, np.fmin.reduce(values)), np.fmax(high, np.fmax.reduce(values))
        complete &= ~np.isnan(values).any(axis=0)
    reasons = {}
    for name, least, greatest, whole in zip(names, low, high, complete, strict=True):
        if np.isnan(least):
            reasons[name] = "no values"
        elif least == greatest and whole:
            reasons[name] = "a single value"
        else:  # row numbers have this range
            reasons[name] = _row_numbers(frame[name]) if greatest - least == len(frame) - 1 else ""
    return reasons


def _useless(column: pd.Series) -> str:
    """Return why nothing can be learned from a column, "" if that is not so."""
    values = column.dropna()
    if not len(values):
        return "no values"
    if (values == values.iloc[0]).all():
        return "a single value" if len(values) == len(column) else ""
    return _row_numbers(column) if len(column) == len(values) else ""


def _row_numbers(column: pd.Series) -> str:
    if column.dtype.kind in "iu" and len(column) > 2:
        differences = np.diff(column.to_numpy(np.int64))
        if (differences == 1).all() or (differences == -1).all():
            return "row numbers"
    return ""


def _no_categories(column: pd.Series) -> str:
    different, count = column.nunique(), column.count()
    most = count - 1 if isinstance(column.dtype, pd.CategoricalDtype) else count / 2
    return f"text, {different:,} different ones in {count:,} rows" if different > max(SMALL_TEXT, most) else ""


def _is_number(column: pd.Series) -> bool:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    if column.dtype.kind == "m":  # durations
        return True
    if pd.api.types.is_numeric_dtype(column.dtype):  # Boolean too
        return not pd.api.types.is_complex_dtype(column.dtype)
    return column.dtype == object and all(isinstance(value, bool | np.bool_) for value in column.dropna())


def _is_date(column: pd.Series) -> bool:
    if column.dtype.kind == "M":
        return True
    if isinstance(column.dtype, pd.CategoricalDtype):
        return False
    return all(_parsed(value) is not None for value in column.dropna())


def _has_mixed_zones(column: pd.Series) -> bool:
    """Return whether some of the dates of a column have a time zone, and others have none."""
    return column.dtype.kind != "M" and len({_is_aware(_parsed(value)) for value in column.dropna()}) > 1


def _parsed(value: Any) -> datetime.date | None:
    """Return a date, also of a text of ISO 8601; None for all else."""
    if isinstance(value, datetime.date):
        return value
    if not isinstance(value, str) or not ISO_DATE.fullmatch(value.strip()):
        return None
    try:
        date = datetime.datetime.fromisoformat(value.strip())
        return date.astimezone(datetime.UTC) if date.tzinfo else date
    except (ValueError, OverflowError):  # such as February 30, or the year 0 in UTC
        return None


def _is_aware(date: datetime.date | None) -> bool:
    return getattr(date, "tzinfo", None) is not None


def dates(column: pd.Series) -> pd.Series:
    """Return a column as dates in microseconds, NaT where one is missing; those with a time zone in UTC."""
    if column.dtype.kind == "M":
        return column.astype("datetime64[us]" if column.dt.tz is None else "datetime64[us, UTC]")
    missing = column.isna().to_numpy()
    values = [None if absent else _parsed(value) for value, absent in zip(column, missing, strict=True)]
    wrong = np.array([value is None for value in values], bool) & ~missing
    if wrong.any():
        value = column.tolist()[int(np.argmax(wrong))]
        raise ValueError(f"{place(column, wrong)} must be a date such as 2020-01-31 or 2020-01-31T17:30, got {value!r}")
    aware = np.array([_is_aware(value) for value in values], bool)
    if aware.any() and not aware[~missing].all():
        without = ~aware & ~missing
        value = column.iloc[int(np.argmax(without))]
        raise ValueError(f"{place(column, without)} must have a time zone, as others in this column; got {value!r}")
    instants = pd.Series(microseconds(values), column.index, name=column.name)
    return instants.dt.tz_localize("UTC") if aware.any() else instants


def numbers(column: pd.Series) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing; durations are seconds."""
    if column.dtype.kind == "m":
        column = column.dt.total_seconds()
    if pd.api.types.is_numeric_dtype(column.dtype):
        values: np.ndarray = column.to_numpy(np.float64, na_value=np.nan)
    else:
        missing = column.isna()
        text = column.astype(str).str.strip()
        booleans = text.str.lower().map({"true": 1.0, "false": 0.0})
        series = pd.to_numeric(text.where(~missing), errors="coerce").fillna(booleans)
        values = series.to_numpy(np.float64, na_value=np.nan)
        wrong = np.isnan(values) & ~missing.to_numpy()
        if wrong.any():
            raise ValueError(f"{place(column, wrong)} must be a number, got {column.iloc[int(np.argmax(wrong))]!r}")
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(f"{place(column, infinite)} must be finite, got {values[int(np.argmax(infinite))]}")
    return values


def texts(column: pd.Series) -> np.ndarray:
    """Return a column as an array of str, None where a value is missing."""
    missing = column.isna().to_numpy()
    items = column.to_numpy(object)
    if column.dtype.kind == "f":  # what pandas makes of integers if one is missing
        items = [int(value) if value == value // 1 else value for value in items]
    values = np.array([str(value) for value in items], object)
    values[missing] = None
    return values


def finite(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return columns as float64 (rows, columns), NaN where a value is missing; others must be finite."""
    values = matrix(frame, names)
    if values is None:
        return np.stack([numbers(frame[name]) for name in names], axis=1)
    check_finite(frame, names, values)
    return values


def check_finite(frame: pd.DataFrame, names: Sequence[str], values: np.ndarray) -> None:
    """Raise ValueError, with the column and the row, if one of the values of these columns is infinite."""
    if np.isinf(values).any():
        for name in names:
            numbers(frame[name])


def check_names(frame: pd.DataFrame, wanted: Sequence[str]) -> None:
    """Raise ValueError unless a table has all columns that are wanted, each once."""
    present = [str(name) for name in frame.columns]
    absent = [name for name in wanted if name not in present]
    if absent:
        others = [name for name in present if name not in wanted]
        hint = did_you_mean(absent[0], others).replace("did you mean", "is it the column")
        raise ValueError(f"the table must have the column {', '.join(map(repr, absent[:5]))}{hint}")
    if twice := repeated(name for name in present if name in wanted):
        raise ValueError(f"the table must have the column {twice!r} once")


def check_complete(frame: pd.DataFrame, used: Sequence[str], hint: str) -> None:
    """Raise ValueError, with all columns that miss values, if there are some."""
    counts = missing_values(frame, used)
    found = [f"{name} ({count:,})" for name, count in counts.items() if count]
    if found:
        raise ValueError(f"values are missing in {len(frame):,} rows of {listed(found)}: {hint}")


def missing_values(frame: pd.DataFrame, used: Sequence[str]) -> dict[str, int]:
    """Return how many values of each column are missing."""
    counts = np.zeros(len(used), np.int64)
    for first in range(0, len(frame), ROWS_AT_ONCE):
        counts += frame.iloc[first : first + ROWS_AT_ONCE][list(used)].isna().sum().to_numpy()
    return dict(zip(used, counts.tolist(), strict=True))


def listed(items: Sequence[str]) -> str:
    """Return names for a message."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return (", ".join(items[:SHOWN]) or "none") + more


def check_present(column: pd.Series, missing: np.ndarray, hint: str) -> None:
    """Raise ValueError if a value is missing."""
    count = int(np.count_nonzero(missing))
    if count:
        more = f" ({count:,} of {len(column):,} are missing)" if count > 1 else ""
        raise ValueError(f"{place(column, missing)} has no value{more}: {hint}")


def place(column: pd.Series, where: np.ndarray) -> str:
    """Name the column and the row, from 1, of the first element for which `where` is true."""
    row = column.index[int(np.argmax(where))]
    number = f"row {row + 1}" if isinstance(row, int | np.integer) else f"row {row!r}"
    return f"column {column.name!r}, {number},"
