"""What the columns of a table are: numbers, categories, dates, or nothing to learn from.

`plan` asks `fastfnn.tabular.kinds` about the rows for training; `cleaned` takes out texts that count as missing, and
`numbers` and `texts` give the values of a column, in which missing ones are NaN and None. `preparation.py` and
`tabular.py` call all of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastfnn.names import did_you_mean, repeated
from fastfnn.tabular import kinds, reading
from fastfnn.tabular.kinds import POINT, ZONES, Decision, Form
from fastfnn.tabular.reading import Raw

MAX_CATEGORIES = 100  # of a column; each is an input of the network
ROWS_AT_ONCE = 1 << 14  # looked at or converted together: there is no copy of all rows in float64
SHOWN = 10  # names in a message
NO_DATES = Decision("left out", "dates", "plain")  # of a plain network


class Plan(NamedTuple):
    """Which columns are used, and how.

    decisions  what `kinds.decide` says about each column
    texts      columns of numbers or dates that hold texts: those that are none count as missing
    """

    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    left_out: dict[str, str]  # name: reason
    dates: tuple[str, ...]
    texts: tuple[str, ...]
    decisions: dict[str, Decision]


def plan(
    frame: pd.DataFrame, wanted: Mapping[str, str] | None = None, *, with_dates: bool = False, form: Form = POINT
) -> Plan:  # fmt: skip
    """Tell what the columns of a table are.

    Parameters
    ----------
    frame : DataFrame
        The features.
    wanted : dict, optional
        Kinds that the user has chosen, see `kinds.decide`, by names of columns.
    with_dates : bool, default False
        Whether dates are used; otherwise they are left out.
    form : Form
        How numbers are written as texts.

    Raises
    ------
    TypeError
        If a column that is not ignored holds lists or other values without a meaning.
    ValueError
        If a column holds nothing of the kind that is chosen.
    """
    wanted = wanted or {}
    raws = [_raw(frame[name], wanted.get(name)) for name in frame.columns]
    decided = kinds.decide_all(raws, wanted, form, _extents(frame))
    decisions = dict(zip(frame.columns, decided, strict=True))
    if not with_dates:
        decisions = {name: NO_DATES if it.kind in ZONES else it for name, it in decisions.items()}
    numbers, categories, *dates = (
        tuple(name for name, decision in decisions.items() if decision.kind == kind)
        for kind in ("number", "category", *ZONES)
    )
    used = tuple(name for name in frame.columns if name in {*dates[0], *dates[1]})
    left_out = {name: decision.reason for name, decision in decisions.items() if decision.kind == "left out"}
    texts = tuple(name for name, decision in decisions.items() if decision.texts)
    return Plan(numbers, categories, left_out, used, texts, decisions)


def _raw(column: pd.Series, wanted: str | None) -> Raw:
    """Return a column for `kinds.decide`; one of NumPy's numbers may be a memory map, which is not copied."""
    name = str(column.name)
    if wanted == "ignore":
        return Raw(name, np.empty(0))
    if _is_plain(column.dtype):
        return Raw(name, column.to_numpy())
    return Raw(name, texts(column)) if wanted == "category" else reading.column(name, column)


def matrix(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray | None:
    """Return columns whose dtypes are those of NumPy's numbers as float64, at once; None if one has another dtype."""
    selected = frame[list(names)]
    if not all(_is_plain(dtype) for dtype in selected.dtypes):
        return None
    values: np.ndarray = selected.to_numpy(np.float64)
    return values


def _is_plain(dtype: object) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind in "biuf"


def _extents(frame: pd.DataFrame) -> dict[str, kinds.Extent]:
    """Return the extents of all columns of NumPy's numbers.

    They are looked at together, some rows at a time: a table may be a memory map whose columns do not lie side by side.
    """
    by_kind: dict[str, list[str]] = {}  # whole numbers are not compared as float64
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if _is_plain(dtype):
            by_kind.setdefault(dtype.kind, []).append(name)
    found: dict[str, kinds.Extent] = {}
    for first in range(0, len(frame), ROWS_AT_ONCE):
        part = frame.iloc[first : first + ROWS_AT_ONCE]
        for names in by_kind.values():
            for name, extent in zip(names, kinds.extents(part[names].to_numpy()), strict=True):
                found[name] = extent.joined(found[name]) if name in found else extent
    return found


def cleaned(frame: pd.DataFrame, names: Sequence[str], dates: Sequence[str], form: Form) -> pd.DataFrame:
    """Return a table without the texts that count as missing in columns of numbers, or of `dates`, that hold texts.

    A warning tells of those that do not mark missing values.
    """
    for name in names:
        if name not in frame.columns or not _may_hold_texts(frame[name].dtype):
            continue
        column = frame[name]
        raw = reading.column(name, column)
        what, wrong = (
            ("dates", kinds.dates_of(raw.values)[2]) if name in dates
            else ("numbers", kinds.numbers_of(raw.values, form)[1])
        )  # fmt: skip
        wrong &= np.array([isinstance(value, str) for value in raw.values.tolist()], bool)
        if wrong.any():
            reading.warn_of_texts(name, raw.values[wrong].tolist(), what)
            frame = frame.assign(**{name: column.astype(object).mask(wrong, None)})
    return frame


def _may_hold_texts(dtype: Any) -> bool:
    return dtype.kind == "O" or isinstance(dtype, pd.StringDtype | pd.CategoricalDtype | pd.ArrowDtype)


def numbers(column: pd.Series, form: Form = POINT) -> np.ndarray:
    """Return a column as float64, NaN where a value is missing; durations are seconds."""
    if column.dtype.kind == "m":
        column = column.dt.total_seconds()
    if pd.api.types.is_numeric_dtype(column.dtype):
        values: np.ndarray = column.to_numpy(np.float64, na_value=np.nan)
    else:
        raw = reading.column(str(column.name), column)
        if raw.given in ZONES:
            raise ValueError(f"column {column.name!r} must hold numbers, got dates")
        wrong = np.zeros(len(column), bool)
        values = raw.values
        if values.dtype == object:
            values, wrong = kinds.numbers_of(raw.values, form)
        if wrong.any():
            got = column.iloc[int(np.argmax(wrong))]
            raise ValueError(f"{place(column, wrong)} must be a number, got {got!r}{_decimal_hint(got, form)}")
    infinite = np.isinf(values)
    if infinite.any():
        raise ValueError(f"{place(column, infinite)} must be finite, got {values[int(np.argmax(infinite))]}")
    return values


def _decimal_hint(value: Any, form: Form) -> str:
    other = kinds.other_form(form)
    is_other = isinstance(value, str) and kinds.number_of(value, other) is not None
    return f"; --decimal '{other.decimal}' reads numbers that are written like this" if is_other else ""


def check_dates(column: pd.Series) -> None:
    """Raise ValueError, with the row, unless a column holds dates, all of them with time zones or all without."""
    if column.dtype.kind == "M":
        return
    raw = reading.column(str(column.name), column)
    if raw.values.dtype != object:
        aware, wrong = np.zeros(len(column), bool), ~np.isnan(raw.values.astype(np.float64)) & (raw.given not in ZONES)
    else:
        _, aware, wrong = kinds.dates_of(raw.values)
    if wrong.any():
        got = column.tolist()[int(np.argmax(wrong))]
        raise ValueError(f"{place(column, wrong)} must be a date such as 2020-01-31 or 2020-01-31T17:30, got {got!r}")
    without = ~aware & column.notna().to_numpy()
    if aware.any() and without.any():
        got = column.tolist()[int(np.argmax(without))]
        raise ValueError(f"{place(column, without)} must have a time zone, as others in this column; got {got!r}")


def texts(column: pd.Series) -> np.ndarray:
    """Return a column as an array of str, None where a value is missing."""
    missing = column.isna().to_numpy()
    items = column.to_numpy(object)
    if column.dtype.kind == "f":  # what pandas makes of integers if one is missing
        items = [int(value) if value == value // 1 else value for value in items]
    values = np.array([str(value) for value in items], object)
    values[missing] = None
    return values


def finite(frame: pd.DataFrame, names: Sequence[str], form: Form = POINT) -> np.ndarray:
    """Return columns as float64 (rows, columns), NaN where a value is missing; others must be finite."""
    values = matrix(frame, names)
    if values is None:
        return np.stack([numbers(frame[name], form) for name in names], axis=1)
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
