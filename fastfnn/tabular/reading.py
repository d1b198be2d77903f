"""Reading: frames and arrays as columns, which are numbers, dates or objects.

`columns.py` learns from them. Frames of pandas, polars and pyarrow are read by narwhals, which comes with scikit-learn
and imports none of them. What a column is, `fit` finds out from all of its values (`Raw.kind`); `predict` converts each
value to what the column was in `fit`, so that the other rows do not matter.
"""

from __future__ import annotations

import datetime
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
from sklearn.utils.validation import validate_data

from fastfnn.sklearn.data import feature_names

MISSING_TYPES = ("NAType", "NaTType")  # pandas' marks of missing values, which need not be imported
# By the type's name the method that makes an object of NumPy or `datetime` of one of pandas.
PANDAS_METHODS = {"Period": "to_timestamp", "Timedelta": "to_timedelta64"}
PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}
ZONES = {"naive": "without time zones", "aware": "with time zones"}


class Raw(NamedTuple):
    """A column as it came.

    name    of the column
    values  numbers, NaN where a value is missing; or objects, None where one is missing
    given   "naive" or "aware" if the numbers are dates, in seconds since 1970, without or with time zones, then in UTC;
            "category" if the frame says that the objects are categories; "texts" if the column is of an array of texts;
            else ""
    """

    name: str
    values: np.ndarray
    given: str = ""

    def kind(self) -> str:
        """Return what the column is in `fit`: "number", "naive" or "aware" dates, or "category".

        Objects are numbers if all of them are numbers, durations or times of day. Texts of an array are numbers if all
        of them can be: NumPy makes texts of numbers that stand beside texts.
        """
        if self.values.dtype != object:
            return "category" if np.isnan(self.values).all() else self.given or "number"
        if self.given == "category":
            return "category"
        kinds = {_kind(value) for value in self.values if value is not None}
        if kinds >= ZONES.keys():
            raise ValueError(f"column {self.name!r} must hold dates with time zones or without, got both")
        if self.given == "texts" and kinds == {"text"}:
            return "number" if _are_numbers(self.values) else "category"
        if len(kinds) != 1 or kinds == {"text"}:
            return "category"
        (kind,) = kinds
        return kind if kind in ZONES else "number"

    def as_numbers(self) -> np.ndarray:
        """Return the column as float64, NaN where a value is missing; durations and times of day are seconds."""
        if self.values.dtype == object:
            values = np.array([np.nan if value is None else self._number(value) for value in self.values], np.float64)
        else:
            values = self.values.astype(np.float64)
        if self.given in ZONES and not np.isnan(values).all():
            raise ValueError(f"column {self.name!r} must hold numbers, as in fit; got dates")
        if np.isinf(values).any():
            raise ValueError(
                f"Input X contains infinity in column {self.name!r}: numbers must be finite in float64, missing ones "
                "may be NaN"
            )
        return values

    def _number(self, value: Any) -> float:
        kind = _kind(value)
        try:
            if kind in ZONES:
                raise TypeError
            return _seconds(value) if kind in ("duration", "time") else float(value)
        except OverflowError:
            return math.inf
        except (TypeError, ValueError):
            raise ValueError(f"column {self.name!r} must hold numbers, as in fit; got {value!r}") from None

    def as_dates(self, dates: str) -> np.ndarray:
        """Return the column as seconds, NaN where a date is missing; `dates` is what they were in `fit`."""
        if self.given == dates:
            return self.values
        for value in self.values.tolist():
            if value is None or value != value:
                continue
            kind = self.given if self.given in ZONES else _kind(value)
            if kind not in ZONES:
                raise ValueError(f"column {self.name!r} must hold dates, as in fit; got {value!r}")
            if kind != dates:
                raise ValueError(
                    f"column {self.name!r} must hold dates {ZONES[dates]}, as in fit; got dates {ZONES[kind]}"
                )
        return _real(microseconds(self.values)) if self.values.dtype == object else np.full(len(self.values), np.nan)

    def as_texts(self) -> list[str | None]:
        """Return the column as texts, None where a value is missing; whole numbers have no decimal point."""
        if self.values.dtype == object:
            return [value if value is None or type(value) is str else _text(value) for value in self.values.tolist()]
        texts = [None if value != value else _text(value) for value in self.values.tolist()]
        if self.given in ZONES and any(text is not None for text in texts):
            raise ValueError(f"column {self.name!r} must hold categories, as in fit; got dates")
        return texts


def _text(value: Any) -> str:
    is_whole = isinstance(value, (float, np.floating)) and value == value // 1
    return str(int(value)) if is_whole else str(value)


def _kind(value: Any) -> str:
    """Return "number", "duration", "time", "naive" or "aware" of a date, or "text" of all else."""
    if isinstance(value, (str, bool)):
        return "text"
    if isinstance(value, (datetime.timedelta, np.timedelta64)):  # NumPy says that it is a whole number
        return "duration"
    if isinstance(value, numbers.Number):
        return "number"
    if isinstance(value, datetime.time):
        return "time"
    if isinstance(value, (datetime.date, np.datetime64)):
        return "naive" if getattr(value, "tzinfo", None) is None else "aware"
    return "text"


def _are_numbers(texts: np.ndarray) -> bool:
    try:
        return not bool(np.isnan(texts.astype(np.float64)).all())
    except ValueError:
        return False


def _seconds(value: datetime.timedelta | np.timedelta64 | datetime.time) -> float:
    """Return a duration, or a time of day, in seconds."""
    if isinstance(value, datetime.time):
        return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 10**6
    return float(_real(np.array([value], "timedelta64"))[0])


def read(estimator: Any, X: Any, *, reset: bool) -> list[Raw]:
    """Return the columns of a frame or an array, after scikit-learn's checks of names and shape.

    Parameters
    ----------
    estimator : estimator
        It gets `n_features_in_` and `feature_names_in_` with `reset`, else X must agree with them.
    X : frame, array or sequence of rows
    reset : bool
    """
    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError(f"X must be a frame in memory, got {type(X).__name__}: collect it first")
    if not isinstance(frame, nw.DataFrame):
        return _columns_of_array(estimator, X, reset)
    names = list(map(str, frame.columns))
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"X must have columns of different names, got {repeated!r} twice")
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if not names:
        raise ValueError(f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if not len(frame):
        raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
    return [_column(name, series) for name, series in zip(names, frame.iter_columns(), strict=True)]


def _columns_of_array(estimator: Any, X: Any, reset: bool) -> list[Raw]:
    """Return the columns of an array; values of rows of lists keep their types, and masked ones are missing."""
    given = "texts" if getattr(getattr(X, "dtype", None), "kind", "") in ("U", "S", "T") else ""
    X = _without_mask(X) if isinstance(X, np.ma.MaskedArray) else X
    dtype = object if isinstance(X, (list, tuple)) else None
    X = validate_data(estimator, X, reset=reset, dtype=dtype, ensure_all_finite=False)
    given_names = feature_names(estimator)
    names = [f"x{number}" for number in range(X.shape[1])] if given_names is None else list(map(str, given_names))
    if X.dtype.kind in "iufmM":
        dates = "naive" if X.dtype.kind == "M" else ""
        return [Raw(name, _real(column), dates) for name, column in zip(names, X.T, strict=True)]
    return [_objects(name, column.tolist(), given) for name, column in zip(names, X.T, strict=True)]


def _without_mask(X: Any) -> Any:
    mask, values = np.ma.getmaskarray(X), X.data
    if X.dtype.kind in "mM":
        return np.where(mask, np.array("NaT", X.dtype), values)
    return np.where(mask, np.nan, values) if X.dtype.kind in "iuf" else np.where(mask, None, values.astype(object))


def _column(name: str, series: nw.Series[Any]) -> Raw:
    """Return a column of a frame: what NumPy has no dtype for are objects."""
    dtype = series.dtype
    if isinstance(dtype, (nw.Categorical, nw.Enum)):
        return _objects(name, series.to_list(), "category")
    if (dtype.is_numeric() or dtype.is_temporal()) and not isinstance(dtype, (nw.Int128, nw.UInt128)):
        values = series.to_numpy()
        if values.dtype.kind in "iufmM":
            zone = "aware" if getattr(dtype, "time_zone", None) else "naive"
            return Raw(name, _real(values), zone if values.dtype.kind == "M" else "")
    return _objects(name, series.to_list())


def _real(column: np.ndarray) -> np.ndarray:
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


def _objects(name: str, values: Sequence[Any], given: str = "") -> Raw:
    """Return a column of objects, None where a value is missing."""
    values = [None if _is_missing(value) else _of_standard_type(value) for value in values]
    check_types(name, values)
    column = np.empty(len(values), object)
    column[:] = values
    return Raw(name, column, given)


def check_types(name: str, values: Iterable[Any]) -> None:
    """Raise TypeError unless each value of a column is None or has a meaning."""
    for kind in dict.fromkeys(map(type, values)):
        if not _has_meaning(kind):
            raise TypeError(f"column {name!r} must hold numbers, dates or texts, got {kind.__name__}")


def _has_meaning(kind: type) -> bool:
    """Return whether an object of a type is a real number, or a single value whose type makes a text of it."""
    if issubclass(kind, numbers.Complex):
        return issubclass(kind, numbers.Real)
    if issubclass(kind, (str, type(None))):
        return True
    return kind.__str__ is not object.__str__ and not issubclass(kind, Iterable)


def _of_standard_type(value: Any) -> Any:
    """Return bytes as the text that they are in UTF-8, and objects of pandas as those of NumPy or `datetime`."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    method = PANDAS_METHODS.get(type(value).__name__)
    return getattr(value, method)() if method else value


def microseconds(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return dates, None where one is missing, as datetime64[us]; those with a time zone in UTC."""
    aware = [_kind(value) == "aware" for value in values]
    instants: np.ndarray = np.array(
        [
            value.astimezone(datetime.UTC).replace(tzinfo=None) if is_aware else value
            for value, is_aware in zip(values, aware, strict=True)
        ],
        "datetime64[us]",
    )
    return instants


def _is_missing(value: Any) -> bool:
    if value is None or type(value) is str:
        return value is None
    return (isinstance(value, (numbers.Number, np.datetime64)) and value != value) or (
        type(value).__name__ in MISSING_TYPES
    )
