"""Reading: frames and arrays as columns, which are numbers, dates or objects.

`columns.py` learns from them. Frames of pandas, polars and pyarrow are read by narwhals, which comes with scikit-learn
and imports none of them. What a column is, `fit` finds out from all of its values (`kinds.decide`); `predict` converts
each value to what the column was in `fit`, so that the other rows do not matter.
"""

from __future__ import annotations

import importlib.util
import numbers
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np
from sklearn.utils.validation import validate_data

from fastfnn import streams
from fastfnn.sklearn.data import feature_names
from fastfnn.tabular.kinds import EXACT, MARKS, POINT, ZONES, Form, as_real, dates_of, less_offset, numbers_of

MISSING_TYPES = ("NAType", "NaTType")  # pandas' marks of missing values, which need not be imported
# By the type's name the method that makes an object of NumPy or `datetime` of one of pandas.
PANDAS_METHODS = {"Period": "to_timestamp", "Timedelta": "to_timedelta64"}


class Raw(NamedTuple):
    """A column as it came.

    name    of the column
    values  numbers, NaN where a value is missing; or objects, None where one is missing
    given   "naive" or "aware" if the numbers are dates, in seconds since 1970, without or with time zones, then in UTC;
            "category" if the frame says that the objects are categories; else ""
    """

    name: str
    values: np.ndarray
    given: str = ""

    def as_numbers(
        self, form: Form = POINT, offset: int = 0, *, texts_may_miss: bool = False, quiet: bool = False
    ) -> np.ndarray:
        """Return the column less an offset as float64, NaN where a value is missing.

        Texts are numbers of the form; one that is none is missing with `texts_may_miss`, of which a warning tells
        unless it marks missing values or the call is quiet.
        """
        if self.values.dtype == object:
            values, wrong = numbers_of(self.values, form, offset)
            self._refuse(wrong, "numbers", texts_may_miss, quiet)
        else:
            values = less_offset(self.values, offset)
        if self.given in ZONES and not np.isnan(values).all():
            raise ValueError(f"column {self.name!r} must hold numbers, as in fit; got dates")
        if np.isinf(values).any():
            raise ValueError(
                f"Input X contains infinity in column {self.name!r}: numbers must be finite in float64, missing ones "
                "may be NaN"
            )
        return values

    def as_dates(self, dates: str, *, texts_may_miss: bool = False, quiet: bool = False) -> np.ndarray:
        """Return the column as seconds, NaN where a date is missing; `dates` is what they were in `fit`."""
        if self.given == dates:
            return self.values
        if self.values.dtype == object:
            seconds, aware, wrong = dates_of(self.values)
            self._refuse(wrong, "dates", texts_may_miss, quiet)
            kinds = set(np.where(aware, "aware", "naive")[~np.isnan(seconds)].tolist())
        else:
            present = self.values[~np.isnan(self.values)]
            if len(present) and self.given not in ZONES:
                raise ValueError(f"column {self.name!r} must hold dates, as in fit; got {present[0].item()!r}")
            seconds, kinds = np.full(len(self.values), np.nan), {self.given} if len(present) else set()
        for kind in kinds - {dates}:
            raise ValueError(f"column {self.name!r} must hold dates {ZONES[dates]}, as in fit; got dates {ZONES[kind]}")
        return seconds

    def _refuse(self, wrong: np.ndarray, what: str, texts_may_miss: bool, quiet: bool) -> None:
        """Raise ValueError if values are not what they must be, but warn of texts that may count as missing."""
        found = self.values[wrong].tolist()
        strange = [value for value in found if not (texts_may_miss and isinstance(value, str))]
        if strange:
            raise ValueError(f"column {self.name!r} must hold {what}, as in fit; got {strange[0]!r}")
        if not quiet:
            warn_of_texts(self.name, found, what)

    def as_texts(self) -> list[str | None]:
        """Return the column as texts, None where a value is missing; whole numbers have no decimal point."""
        if self.values.dtype == object:
            return [value if value is None or type(value) is str else _text(value) for value in self.values.tolist()]
        texts = [None if value != value else _text(value) for value in self.values.tolist()]
        if self.given in ZONES and any(text is not None for text in texts):
            raise ValueError(f"column {self.name!r} must hold categories, as in fit; got dates")
        return texts


def warn_of_texts(name: str, texts: Sequence[str], what: str) -> None:
    """Warn of texts that count as missing in a column of numbers or dates, unless all of them mark missing values."""
    told = [text for text in texts if text.strip().lower() not in MARKS]
    if told:
        streams.warn(
            f"column {name!r} has {len(told):,} texts that are no {what}, such as {told[0]!r}: they count as missing",
            stacklevel=2,
        )


def _text(value: Any) -> str:
    is_whole = isinstance(value, (float, np.floating)) and value == value // 1
    return str(int(value)) if is_whole else str(value)


def read(estimator: Any, X: Any, *, reset: bool) -> list[Raw]:
    """Return the columns of a frame or an array, after scikit-learn's checks of names and shape.

    Parameters
    ----------
    estimator : estimator
        It gets `n_features_in_` and `feature_names_in_` with `reset`, else X must agree with them.
    X : frame, dict of columns, array or sequence of rows
    reset : bool
    """
    X = _frame_of(X) if type(X) is dict else X  # not a sparse matrix that is a dict
    ignored = {name for name, kind in (getattr(estimator, "columns", None) or {}).items() if kind == "ignore"}
    frame = nw.from_native(X, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        raise TypeError(f"X must be a frame in memory, got {type(X).__name__}: collect it first")
    if not isinstance(frame, nw.DataFrame):
        return _columns_of_array(estimator, X, reset, ignored)
    names = list(map(str, frame.columns))
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"X must have columns of different names, got {repeated!r} twice")
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if not names:
        raise ValueError(f"Found array with 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
    if not len(frame):
        raise ValueError(f"Found array with 0 sample(s) (shape={frame.shape}) while a minimum of 1 is required.")
    return [
        _nothing(name, len(frame)) if name in ignored else column(name, series)
        for name, series in zip(names, frame.iter_columns(), strict=True)
    ]


def _frame_of(columns: dict[Any, Any]) -> Any:
    """Return a dict of columns as a frame of the first library that is there."""
    named = {str(name): values for name, values in columns.items()}
    for library in ("pandas", "polars", "pyarrow"):
        if importlib.util.find_spec(library):
            if library == "pandas":  # it makes float64 of lists of integers if one is missing
                named = {name: _array_of(values) for name, values in named.items()}
            return nw.from_dict(named, backend=library).to_native()
    raise ImportError("a dict of columns needs pandas, polars or pyarrow: pip install 'fastfnn[tables]'")


def _array_of(values: Any) -> Any:
    """Return a list as an array of objects, all else as it is."""
    if not isinstance(values, (list, tuple)):
        return values
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _nothing(name: str, rows: int) -> Raw:
    """Return a column that nobody looks at."""
    return Raw(name, np.full(rows, None, object))


def _columns_of_array(estimator: Any, X: Any, reset: bool, ignored: Collection[str]) -> list[Raw]:
    """Return the columns of an array; values of rows of lists keep their types, and masked ones are missing."""
    X = _without_mask(X) if isinstance(X, np.ma.MaskedArray) else X
    dtype = object if isinstance(X, (list, tuple)) else None
    X = validate_data(estimator, X, reset=reset, dtype=dtype, ensure_all_finite=False)
    given_names = feature_names(estimator)
    names = [f"x{number}" for number in range(X.shape[1])] if given_names is None else list(map(str, given_names))
    if X.dtype.kind in "iufmM":
        dates = "naive" if X.dtype.kind == "M" else ""
        return [Raw(name, as_real(values), dates) for name, values in zip(names, X.T, strict=True)]
    return [
        _nothing(name, len(X)) if name in ignored else _objects(name, values.tolist())
        for name, values in zip(names, X.T, strict=True)
    ]


def _without_mask(X: Any) -> Any:
    mask, values = np.ma.getmaskarray(X), X.data
    if X.dtype.kind in "mM":
        return np.where(mask, np.array("NaT", X.dtype), values)
    is_exact = X.dtype.kind == "f" or (
        X.dtype.kind in "iu" and np.abs(values.astype(np.float64)).max(initial=0) < EXACT
    )
    return np.where(mask, np.nan, values) if is_exact else np.where(mask, None, values.astype(object))


def column(name: str, series: Any) -> Raw:
    """Return a series of a library as a column: what NumPy has no dtype for are objects."""
    series = nw.from_native(series, series_only=True)
    dtype = series.dtype
    if isinstance(dtype, (nw.Categorical, nw.Enum)):
        return _objects(name, series.to_list(), "category")
    if (dtype.is_numeric() or dtype.is_temporal()) and not isinstance(dtype, (nw.Int128, nw.UInt128)):
        if dtype.is_integer() and series.null_count() and _has_large(series):  # NumPy would make float64 of them
            return _objects(name, series.to_list())
        values = series.to_numpy()
        if values.dtype.kind in "iufmM":
            zone = "aware" if getattr(dtype, "time_zone", None) else "naive"
            return Raw(name, as_real(values), zone if values.dtype.kind == "M" else "")
    return _objects(name, series.to_list())


def _has_large(series: nw.Series[Any]) -> bool:
    """Return whether float64 does not hold all of the whole numbers of a series."""
    values = series.drop_nulls()
    return bool(len(values)) and max(-int(values.min()), int(values.max())) > EXACT


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


def _is_missing(value: Any) -> bool:
    if value is None or type(value) is str:
        return value is None
    return (isinstance(value, (numbers.Number, np.datetime64)) and value != value) or (
        type(value).__name__ in MISSING_TYPES
    )
