"""Reading: frames and arrays as columns, which are numbers, dates or objects.

`columns.py` learns from them. Frames of pandas, polars and pyarrow are read by narwhals, which comes with scikit-learn
and imports none of them.
"""

from __future__ import annotations

import datetime
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
from sklearn.utils.validation import validate_data

MISSING_TYPES = ("NAType", "NaTType")  # pandas' marks of missing values, which need not be imported


class Raw(NamedTuple):
    """A column as it came.

    name    of the column
    values  float64, NaN where a value is missing; or objects, None where one is missing
    dates   "" unless the values are dates, in seconds since 1970: "naive", or "aware" of their time zones, then in UTC
    """

    name: str
    values: np.ndarray
    dates: str = ""

    def is_number(self) -> bool:
        """Return whether the column holds numbers or dates; one without any value does not."""
        if self.values.dtype != object:
            return not bool(np.isnan(self.values).all())
        present = [value for value in self.values if value is not None]
        return bool(present) and all(
            isinstance(value, numbers.Number) and not isinstance(value, (bool, np.bool_, complex)) for value in present
        )

    def as_numbers(self) -> np.ndarray:
        """Return the column as float64, NaN where a value is missing."""
        if self.values.dtype == object:
            values = np.array([np.nan if value is None else self._number(value) for value in self.values], np.float64)
        else:
            values = self.values
        if self.dates and not np.isnan(values).all():
            raise ValueError(f"column {self.name!r} must hold numbers, as in fit; got dates")
        if np.isinf(values).any():
            raise ValueError(
                f"Input X contains infinity in column {self.name!r}: numbers must be finite, missing ones may be NaN"
            )
        return values

    def as_dates(self, dates: str) -> np.ndarray:
        """Return the column as seconds, NaN where a date is missing; `dates` is what they were in `fit`."""
        if self.dates == dates:
            return self.values
        present = [value for value in self.values.tolist() if value is not None and value == value]
        if not present:
            return np.full(len(self.values), np.nan)
        if not self.dates:
            raise ValueError(f"column {self.name!r} must hold dates, as in fit; got {present[0]!r}")
        zones = {"naive": "without time zones", "aware": "with time zones"}
        raise ValueError(
            f"column {self.name!r} must hold dates {zones[dates]}, as in fit; got dates {zones[self.dates]}"
        )

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ValueError(f"column {self.name!r} must hold numbers, as in fit; got {value!r}") from None

    def as_texts(self) -> list[str | None]:
        """Return the column as texts, None where a value is missing; whole numbers have no decimal point."""
        if self.values.dtype != object:
            return [None if value != value else _text(value) for value in self.values.tolist()]
        return [value if value is None or type(value) is str else _text(value) for value in self.values.tolist()]


def _text(value: Any) -> str:
    is_whole = isinstance(value, (float, np.floating)) and value == value // 1
    return str(int(value)) if is_whole else str(value)


def read(estimator: Any, X: Any, *, reset: bool) -> list[Raw]:
    """Return the columns of a frame or an array, after scikit-learn's checks of names and shape.

    Parameters
    ----------
    estimator : estimator
        It gets `n_features_in_` and `feature_names_in_` with `reset`, else X must agree with them.
    X : frame, array or sequence of rows
    reset : bool
    """
    frame = nw.from_native(X, eager_only=True, pass_through=True)
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
    X = validate_data(estimator, X, reset=reset, dtype=None, ensure_all_finite=False)
    names = getattr(estimator, "feature_names_in_", [f"x{number}" for number in range(X.shape[1])])
    if X.dtype.kind in "biufmM":
        dates = "naive" if X.dtype.kind == "M" else ""
        return [Raw(str(name), _real(column), dates) for name, column in zip(names, X.T, strict=True)]
    return [_column_of_objects(str(name), column) for name, column in zip(names, X.T, strict=True)]


def _column_of_objects(name: str, column: np.ndarray) -> Raw:
    """Return a column of an array of texts or objects; texts that are all numbers become numbers.

    In a list of rows they were numbers, which NumPy made texts of.
    """
    if column.dtype.kind in "US":
        try:
            return Raw(name, column.astype(np.float64))
        except ValueError:
            pass
    return _dates_or_objects(name, column.tolist())


def _column(name: str, series: nw.Series[Any]) -> Raw:
    """Return a column of a frame; dates are seconds."""
    dtype, dates = series.dtype, ""
    if dtype == nw.Datetime or dtype == nw.Date:
        dates = "aware" if getattr(dtype, "time_zone", None) else "naive"
        series, unit = series.dt.timestamp("us").cast(nw.Float64), 1e-6
    elif dtype == nw.Duration:
        series, unit = series.dt.total_microseconds().cast(nw.Float64), 1e-6
    elif dtype.is_numeric():
        unit = 1.0
    elif dtype == nw.Time:
        return Raw(name, np.array([_seconds(value) for value in series.to_list()], np.float64))
    else:
        return _dates_or_objects(name, series.to_list())
    values = series.to_numpy()
    if values.dtype.kind not in "iuf":
        values = series.cast(nw.Float64).to_numpy()
    return Raw(name, values.astype(np.float64) * unit, dates)


def _seconds(value: datetime.time | None) -> float:
    if value is None:
        return np.nan
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond * 1e-6


def _real(column: np.ndarray) -> np.ndarray:
    """Return a column of an array as float64; dates are seconds."""
    if column.dtype.kind in "mM":
        seconds = column.astype(f"{column.dtype.kind}8[us]").astype(np.float64) * 1e-6
        return np.where(np.isnat(column), np.nan, seconds)
    return column.astype(np.float64)


def _dates_or_objects(name: str, values: Sequence[Any]) -> Raw:
    """Return a column of objects, None where a value is missing; objects that are all dates become dates."""
    column = np.empty(len(values), object)
    column[:] = [None if _is_missing(value) else value for value in values]
    kinds = {_kind_of_date(value) for value in column if value is not None}
    if len(kinds) != 1 or kinds == {""}:
        return Raw(name, column)
    return Raw(name, _real(microseconds(column)), kinds.pop())


def microseconds(values: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return dates, None where one is missing, as datetime64[us]; those with a time zone in UTC."""
    aware = [_kind_of_date(value) == "aware" for value in values]
    instants: np.ndarray = np.array(
        [
            value.astimezone(datetime.UTC).replace(tzinfo=None) if is_aware else value
            for value, is_aware in zip(values, aware, strict=True)
        ],
        "datetime64[us]",
    )
    return instants


def _kind_of_date(value: Any) -> str:
    """Return "naive" or "aware" for dates, "" for all else."""
    if not isinstance(value, (datetime.date, np.datetime64)):
        return ""
    return "aware" if getattr(value, "tzinfo", None) is not None else "naive"


def _is_missing(value: Any) -> bool:
    if value is None or type(value) is str:
        return value is None
    return (isinstance(value, (float, np.floating, np.datetime64)) and value != value) or (
        type(value).__name__ in MISSING_TYPES
    )
