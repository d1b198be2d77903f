"""Kinds: what a column of a table is, and which numbers and dates its values are.

`decide` is the one function that tells numbers, dates, categories and columns that nothing can be learnt from apart:
`columns.py` calls it for the estimators, `fastfnn.tables.columns` for the command line. `reading.py` makes the columns
that it gets of frames, arrays and files. Nothing here knows frames, and nothing is printed; what should be said about
a column is in its `Decision`, and `warning` words it.
"""

from __future__ import annotations

import datetime
import functools
import math
import numbers
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastfnn import validation
from fastfnn.names import did_you_mean

if TYPE_CHECKING:
    from fastfnn.tabular.reading import Raw

KINDS = ("number", "category", "date", "ignore")  # that a user can choose
SMALL_TEXT = 20  # different texts that are categories in any table
# Of the texts that do not mark missing values, those that must be numbers, or dates: then the others count as missing.
LEAST_SHARE = 0.95
EXACT = 2**53  # whole numbers beyond it are not all different in float64
PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
ZONES = {"naive": "without time zones", "aware": "with time zones"}
MIXED = "dates with and without time zones"

# Texts that mark a missing value in a column of numbers or dates; elsewhere they are texts like others.
MARKS = frozenset(
    ("", "?", "-", "--", "---", ".", "..", "*", "na", "n/a", "n.a.", "n/k", "nan", "nat", "null", "none", "nil", "<na>",
     "#na", "#n/a", "#null!", "#value!", "#div/0!", "missing", "unknown", "not available")
)  # fmt: skip
BOOLEANS = {"false": 0, "true": 1}
INFINITE = {"inf", "infinity", "+inf", "-inf", "+infinity", "-infinity"}
SPACES = " '\u2019\u00a0\u2009\u202f"  # that separate thousands without being named: an apostrophe, spaces
MOST_DIGITS = 400  # of a whole number that float64 may hold

# Dates of ISO 8601 as texts, such as 2020-01-31, 2020-01-31 17:30, 2020-01-31T17:30:05.25Z, 2020-01-31 17:30+09:00.
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")
CODE = re.compile(r"[0-9]+")


class Form(NamedTuple):
    """How numbers are written as texts.

    decimal    the character before the fraction
    thousands  the character between groups of three digits; None for a comma (a point with a decimal comma), spaces and
               apostrophes
    """

    decimal: str = "."
    thousands: str | None = None


POINT = Form()  # what is expected unless somebody says otherwise


def checked_form(decimal: Any, thousands: Any, names: tuple[str, str] = ("decimal", "thousands")) -> Form:
    """Return a form, after a check of both characters, which `names` call in errors."""
    for name, value in zip(names, (decimal, thousands), strict=True):
        if value is None and name == names[1]:
            continue
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a character, got {type(value).__name__}")
        if len(value) != 1 or value.isalnum() or value in "+-":
            raise ValueError(f"{name} must be one character that is no letter, digit or sign, got {value!r}")
    if decimal == thousands:
        raise ValueError(f"{names[1]} must be another character than {names[0]}, got {decimal!r} for both")
    return Form(decimal, thousands)


def checked_kinds(columns: Any) -> dict[str, str]:
    """Return the kinds that a user has chosen, by the name of the column."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise TypeError(f"columns must be a dict of names and kinds, got {type(columns).__name__}")
    for name, kind in columns.items():
        if not isinstance(name, str):
            raise TypeError(f"columns must have names of columns as keys, got {name!r}")
        validation.choice(f"columns[{name!r}]", kind, KINDS)
    return dict(columns)


def check_known(columns: Mapping[str, str], names: Sequence[str]) -> None:
    """Raise ValueError unless kinds are chosen of columns that are there."""
    for name in columns:
        if name not in names:
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ValueError(f"columns must name columns of X, {shown}; got {name!r}{did_you_mean(name, names)}")


# Values


def number_of(text: str, form: Form) -> int | float | None:
    """Return the number that a text is, whole ones exactly; None if it is none. Booleans are 0 and 1."""
    text = text.strip()
    found = _pattern(form).fullmatch(text)
    if found is None:
        lower = text.lower()
        return float(lower) if lower in INFINITE else BOOLEANS.get(lower)
    sign, whole, separator, fraction, exponent = found.group("sign", "whole", "separator", "fraction", "exponent")
    whole = (whole or "").replace(separator or form.decimal, "")
    if fraction is None and exponent is None and len(whole) <= MOST_DIGITS:
        return int(sign + whole)
    return float(f"{sign}{whole or 0}.{fraction or 0}e{exponent or 0}")


@functools.lru_cache
def _pattern(form: Form) -> re.Pattern[str]:
    point = re.escape(form.decimal)
    between = form.thousands or ("." if form.decimal == "," else ",") + SPACES
    groups = rf"[1-9][0-9]{{0,2}}(?P<separator>[{re.escape(between)}])[0-9]{{3}}(?:(?P=separator)[0-9]{{3}})*"
    number = rf"(?={point}?[0-9])(?P<whole>{groups}|[0-9]+)?(?:{point}(?P<fraction>[0-9]*))?"
    return re.compile(rf"(?P<sign>[+-]?){number}(?:[eE](?P<exponent>[+-]?[0-9]+))?")


def date_of(value: Any) -> Any:
    """Return a date, also of a text of ISO 8601; None for all else."""
    if isinstance(value, (datetime.date, np.datetime64)):
        return value
    if not isinstance(value, str) or not ISO_DATE.fullmatch(value.strip()):
        return None
    try:
        date = datetime.datetime.fromisoformat(value.strip())
        return date.astimezone(datetime.UTC) if date.tzinfo else date
    except (ValueError, OverflowError):  # such as February 30, or the year 0 in UTC
        return None


def type_of(value: Any) -> str:
    """Return "number", "duration", "time", "naive" or "aware" of a date, or "text" of all else."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, (datetime.timedelta, np.timedelta64)):  # NumPy says that it is a whole number
        return "duration"
    if isinstance(value, (numbers.Number, np.bool_)):
        return "number"
    if isinstance(value, datetime.time):
        return "time"
    if isinstance(value, (datetime.date, np.datetime64)):
        return "naive" if getattr(value, "tzinfo", None) is None else "aware"
    return "text"


def meaning_of(value: Any, form: Form) -> str:
    """Return what `type_of` does; of texts "number", "naive" or "aware" if they are such, "mark" or "text"."""
    if not isinstance(value, str):
        return type_of(value)
    if number_of(value, form) is not None:
        return "number"
    date = date_of(value)
    if date is not None:
        return type_of(date)
    return "mark" if value.strip().lower() in MARKS else "text"


def _once_for_texts(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that looks at equal texts once."""
    known: dict[str, Any] = {}

    def remembered(value: Any) -> Any:
        if type(value) is not str:
            return function(value)
        if value not in known:
            known[value] = function(value)
        return known[value]

    return remembered


def numbers_of(values: np.ndarray, form: Form, offset: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return objects as float64, less an offset, and which of them are there and no numbers; these are NaN.

    Missing values, None, are NaN, too. Durations and times of day are seconds.
    """
    convert = _once_for_texts(lambda value: _as_float(value, form, offset))
    items = values.tolist()
    converted = np.array([np.nan if value is None else convert(value) for value in items], np.float64)
    present = np.array([value is not None and value == value for value in items], bool)
    return converted, np.isnan(converted) & present


def _as_float(value: Any, form: Form, offset: int) -> float:
    kind = type_of(value)
    if kind in ("duration", "time"):
        return _seconds(value)
    number = number_of(value, form) if isinstance(value, str) else value if kind == "number" else None
    if number is None:
        return math.nan
    try:
        return float(number - offset if offset else number)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def _seconds(value: datetime.timedelta | np.timedelta64 | datetime.time) -> float:
    """Return a duration, or a time of day, in seconds."""
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 10**6
    return float(as_real(np.array([value], "timedelta64"))[0])


def dates_of(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return objects as seconds since 1970, which of them have time zones, and which are there and no dates."""
    convert = _once_for_texts(date_of)
    items = values.tolist()
    found = [None if value is None else convert(value) for value in items]
    aware = np.array([date is not None and type_of(date) == "aware" for date in found], bool)
    wrong = np.array(
        [date is None and value is not None and value == value for date, value in zip(found, items, strict=True)], bool
    )
    return as_real(_microseconds(found, aware)), aware, wrong


def _microseconds(dates: Sequence[Any], aware: np.ndarray) -> np.ndarray:
    """Return dates, None where one is missing, as datetime64[us]; those with a time zone in UTC."""
    instants: np.ndarray = np.array(
        [
            date.astimezone(datetime.UTC).replace(tzinfo=None) if is_aware else date
            for date, is_aware in zip(dates, aware.tolist(), strict=True)
        ],
        "datetime64[us]",
    )
    return instants


def as_real(column: np.ndarray) -> np.ndarray:
    """Return numbers of NumPy as float64, whole ones as they are; dates and durations are seconds."""
    if column.dtype.kind in "iu":
        return column
    if column.dtype.kind == "f":
        with np.errstate(over="ignore"):  # of numbers that are longer than float64
            return column.astype(np.float64)
    unit = np.datetime_data(column.dtype)[0]
    unit = unit if unit in PER_SECOND else "s"
    per_second = PER_SECOND.get(unit, 1)
    ticks = column.astype(f"{column.dtype.kind}8[{unit}]").astype(np.int64)
    # Whole seconds and the rest, so that a time is the same number in each unit.
    return np.where(np.isnat(column), np.nan, ticks // per_second + ticks % per_second / per_second)


# Whole numbers that float64 does not tell apart


def less_offset(values: np.ndarray, offset: int) -> np.ndarray:
    """Return numbers of NumPy, less an offset, as float64: the difference of whole numbers is that of integers."""
    if not offset or values.dtype.kind not in "iu":
        return values.astype(np.float64) - float(offset)
    rough = values.astype(np.float64) - float(offset)
    modulus = 2**64
    bits = values.astype(np.uint64) if values.dtype.kind == "u" else values.astype(np.int64).view(np.uint64)
    exact = (bits - np.uint64(offset % modulus)).view(np.int64)  # right unless it takes more than 64 bits
    return np.where(np.abs(rough) < 2.0**62, exact, rough)


def offset_of(values: np.ndarray, form: Form) -> int:
    """Return what is subtracted from whole numbers before they become float64: 0, or the least of large ones."""
    if values.dtype.kind in "iu":
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        return low if max(-low, high) > EXACT else 0
    if values.dtype != object:
        return 0
    exact = _once_for_texts(lambda value: _whole(value, form))
    whole = [exact(value) for value in values.tolist() if value is not None]
    whole = [number for number in whole if number is not None]
    return min(whole) if whole and max(map(abs, whole)) > EXACT else 0


def _whole(value: Any, form: Form) -> int | None:
    """Return the whole number that a value is; None if it is none, or not exactly one."""
    number = number_of(value, form) if isinstance(value, str) else value
    if isinstance(number, (int, np.integer)) and not isinstance(number, np.timedelta64):
        return int(number)
    if isinstance(number, Decimal) and number.is_finite() and number == number.to_integral_value():
        return int(number)
    return None


# Columns


class Extent(NamedTuple):
    """The least and the greatest number of a column, None without any, and whether none is missing."""

    low: Any
    high: Any
    complete: bool

    def joined(self, other: Extent) -> Extent:
        """Return the extent of the rows of both."""
        lows = [low for low in (self.low, other.low) if low is not None]
        highs = [high for high in (self.high, other.high) if high is not None]
        return Extent(min(lows, default=None), max(highs, default=None), self.complete and other.complete)


def extents(values: np.ndarray) -> list[Extent]:
    """Return the extent of each column of an array (rows, columns) of numbers; whole ones are exact."""
    if not len(values):
        return [Extent(None, None, True)] * values.shape[1]
    if values.dtype.kind in "biu":
        low, high = values.min(axis=0).tolist(), values.max(axis=0).tolist()
        return [Extent(*ends, True) for ends in zip(low, high, strict=True)]
    low, high = np.fmin.reduce(values).tolist(), np.fmax.reduce(values).tolist()
    complete = (~np.isnan(values).any(axis=0)).tolist()
    return [
        Extent(None, None, whole) if least != least else Extent(least, most, whole)
        for least, most, whole in zip(low, high, complete, strict=True)
    ]


class Decision(NamedTuple):
    """What a column is.

    kind    "number", "naive" or "aware" dates, "category" or "left out"
    reason  why it is left out, or why it may be something else
    cure    what a user may do about that: a kind, "decimal" or "zones"; "" if nothing needs to be said
    texts   whether some of its values are texts that are read as numbers or dates: others count as missing, then
    """

    kind: str
    reason: str = ""
    cure: str = ""
    texts: bool = False


NO_VALUES, SINGLE = Decision("left out", "no values"), Decision("left out", "a single value")
ROW_NUMBERS = Decision("left out", "row numbers", "number")


def decide_all(
    raws: Sequence[Raw], wanted: Mapping[str, str], form: Form, known: Mapping[str, Extent] | None = None
) -> list[Decision]:
    """Return what each column of a table is, see `decide`.

    Row numbers are used if the table has no other column: somebody means them.
    """
    decisions = [decide(raw, wanted.get(raw.name), form, (known or {}).get(raw.name)) for raw in raws]
    if len(decisions) == 1 and decisions[0].reason == ROW_NUMBERS.reason:
        decisions = [decide(raws[0], "number", form)]
    return decisions


def decide(raw: Raw, wanted: str | None = None, form: Form = POINT, extent: Extent | None = None) -> Decision:
    """Return what a column is.

    Texts are numbers, or dates of ISO 8601, if all of them are that do not mark a missing value; or nearly all of them,
    if they are too many for categories in any table. Objects are numbers if all of them are numbers or Booleans, or
    durations, or times of day.

    Parameters
    ----------
    raw : Raw
        All rows for training.
    wanted : {"number", "category", "date", "ignore"}, optional
        The kind that a user has chosen.
    form : Form
        How numbers are written as texts.
    extent : Extent, optional
        Of a column of NumPy's numbers, if it is known.

    Raises
    ------
    ValueError
        If none of the values is what is wanted, or dates are wanted and only some have time zones.
    """
    if wanted == "ignore":
        return Decision("left out", "ignored")
    values = raw.values
    if values.dtype != object:
        extent = extent or extents(values[:, np.newaxis])[0]
        if extent.low is None:
            return NO_VALUES
        if wanted == "category":
            return _of_categories(raw, form, chosen=True)
        kind = raw.given if raw.given in ZONES else "number"
        if wanted is not None and (wanted == "date") != (kind in ZONES):
            raise _no_such_values(raw.name, wanted, "dates" if kind in ZONES else "numbers")
        return _of_extent(kind, values, extent, wanted, texts=False)
    present = [value for value in values.tolist() if value is not None and value == value]
    if not present:
        return NO_VALUES
    if wanted == "category" or (wanted is None and raw.given == "category"):
        return _of_categories(raw, form, chosen=wanted is not None)
    counts = Counter(map(_once_for_texts(lambda value: meaning_of(value, form)), present))
    is_text = any(isinstance(value, str) for value in present)
    kind = wanted or _most(counts, present)
    if kind == "number" and wanted is None and is_text and _are_codes(present, form):
        kind = "category"
    if kind == "category":
        return _of_categories(raw, form, chosen=False)
    if kind == "date":
        if counts["naive"] and counts["aware"]:
            if wanted:
                raise ValueError(f"column {raw.name!r} must hold dates with time zones or without, got both")
            return Decision("left out", MIXED, "zones")
        seconds, _, _ = dates_of(values)
        zone = "aware" if counts["aware"] else "naive"
        return _with_values(raw.name, zone, seconds, wanted, present, is_text)
    converted, _ = numbers_of(values, form, offset_of(values, form))
    if wanted is None and len(present) == len(values) and are_whole(present, form):
        converted = _as_integers(converted)
    return _with_values(raw.name, "number", converted, wanted, present, is_text)


def _most(counts: Counter[str], present: Sequence[Any]) -> str:
    """Return what all values are, or nearly all of them: "number", "date" or "category"."""
    total = counts.total() - counts["mark"]
    for kind, meanings in (
        ("number", ("number",)), ("number", ("duration",)), ("number", ("time",)), ("date", ("naive", "aware"))
    ):  # fmt: skip
        count = sum(counts[meaning] for meaning in meanings)
        if count == total > 0:
            return kind
        others_are_texts = total - count == counts["text"]
        if count >= LEAST_SHARE * total > 0 and others_are_texts and len(set(present)) > SMALL_TEXT:
            return kind
    return "category"


def _with_values(
    name: str, kind: str, values: np.ndarray, wanted: str | None, present: Sequence[Any], is_text: bool
) -> Decision:  # fmt: skip
    (extent,) = extents(values[:, np.newaxis])
    if extent.low is None:  # no value is what is wanted
        raise _no_such_values(name, str(wanted), repr(present[0]))
    return _of_extent(kind, values, extent, wanted, texts=is_text)


def _no_such_values(name: str, wanted: str, got: str) -> ValueError:
    return ValueError(f"column {name!r} must hold {wanted}s to be read as such, got {got}")


def _of_extent(kind: str, values: np.ndarray, extent: Extent, wanted: str | None, *, texts: bool) -> Decision:
    """Return the decision about numbers and dates: one value tells nothing, nor do row numbers."""
    if extent.low == extent.high and extent.complete:
        return SINGLE
    if wanted is None and kind == "number" and values.dtype.kind in "iu":
        rows = len(values)
        if rows > 2 and extent.high - extent.low == rows - 1:
            differences = np.diff(values.astype(np.uint64).view(np.int64) if values.dtype.kind == "u" else values)
            if (differences == 1).all() or (differences == -1).all():
                return ROW_NUMBERS
    return Decision(kind, texts=texts)


def _as_integers(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers of float64 as integers, if they are small enough."""
    return numbers.astype(np.int64) if np.abs(numbers).max() <= EXACT else numbers


def are_whole(present: Iterable[Any], form: Form) -> bool:
    """Return whether all values are whole numbers, and none a Boolean."""
    whole = _once_for_texts(lambda value: not isinstance(value, (bool, np.bool_)) and _whole(value, form) is not None)
    return all(map(whole, present))


def _are_codes(present: Sequence[Any], form: Form) -> bool:
    """Return whether texts are codes of digits, such as 007: all of one length, and some begin with a zero."""
    texts = {value.strip() for value in present if isinstance(value, str) and number_of(value, form) is not None}
    return (
        len({len(text) for text in texts}) == 1
        and all(map(CODE.fullmatch, texts))
        and any(len(text) > 1 and text[0] == "0" for text in texts)
    )


def _of_categories(raw: Raw, form: Form, *, chosen: bool) -> Decision:
    """Return the decision about categories: texts of which most are in one row tell nothing.

    So do those that a frame declares as categories if all of them differ, but none that a user has chosen.
    """
    counts = Counter(text for text in raw.as_texts() if text is not None)
    rows, different = counts.total(), len(counts)
    if not different:
        return NO_VALUES
    if different == 1 and rows == len(raw.values):
        return SINGLE
    if chosen or different <= SMALL_TEXT:
        return Decision("category")
    most = rows - 1 if raw.given == "category" else rows / 2
    cure, looks_like = ("", "") if raw.given == "category" else _look(raw, form)
    if different > most:
        reason = f"text, {different:,} different ones in {rows:,} rows"
        return Decision("left out", reason + (f" that {looks_like}" if looks_like else ""), cure or "category")
    return Decision("category", looks_like, cure)


def _look(raw: Raw, form: Form) -> tuple[str, str]:
    """Return the cure for texts that look like numbers, and what they look like; texts "" if they do not."""
    present = [value for value in raw.values.tolist() if isinstance(value, str)]
    if not present:
        return "", ""
    for cure, other in (("number", form), ("decimal", other_form(form))):
        meaning = functools.partial(meaning_of, form=other)
        counts = Counter(map(_once_for_texts(meaning), present))
        total = counts.total() - counts["mark"]
        if cure == "number" and counts["number"] > total / 2:
            if _are_codes(present, form):
                return "", ""
            text = next(value for value in present if meaning_of(value, form) == "text") if counts["text"] else ""
            return cure, f"look like numbers, but for such as {text!r}" if text else "look like numbers"
        if cure == "decimal" and counts["number"] >= LEAST_SHARE * total > 0:
            return cure, f"look like numbers with a decimal {'comma' if other.decimal == ',' else 'point'}"
    return "", ""


def commas_hint(values: Any) -> str:
    """Return the end of an error about targets that are no numbers: what to do if they have a decimal comma."""
    texts = [value for value in np.asarray(values, object).ravel().tolist() if isinstance(value, str)]
    texts = [text for text in texts if number_of(text, POINT) is None]
    if not texts or any(number_of(text, Form(",")) is None for text in texts):
        return ""
    return "; they look like numbers with a decimal comma, which pandas.read_csv(..., decimal=',') reads"


def other_form(form: Form) -> Form:
    """Return the form with a comma in place of a decimal point, or the other way round."""
    return Form("." if form.decimal == "," else ",")


# Words


def warning(decisions: Iterable[tuple[str, Decision]], cures: Mapping[str, str], silence: str) -> str | None:
    """Return what is to be said about columns that vary and are left out, or may be something else; None if nothing.

    Parameters
    ----------
    decisions : iterable of (str, Decision)
        By the name of the column.
    cures : mapping of str
        By the `cure` of a decision what a user can do, with {} in place of the name.
    silence : str
        What leaves out a column without a warning, also with {}.
    """
    told = [(name, decision) for name, decision in decisions if decision.cure]
    left_out = [_told(name, decision, cures) for name, decision in told if decision.kind == "left out"]
    others = [_told(name, decision, cures) for name, decision in told if decision.kind != "left out"]
    parts = []
    if left_out:
        named = next(name for name, decision in told if decision.kind == "left out")
        end = f"{silence.format(named)} leaves it out without this warning"
        parts.append(f"left out although values differ: {', '.join(left_out)}; {end}")
    if others:
        parts.append(f"used as categories: {', '.join(others)}")
    return "; ".join(parts) or None


def _told(name: str, decision: Decision, cures: Mapping[str, str]) -> str:
    return f"{name!r} ({decision.reason}: {cures[decision.cure].format(name)})"
