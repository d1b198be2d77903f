"""Frames and series of pandas, polars and the like as arrays, without importing those libraries.

`validation.as_array` calls this for what has a method `to_numpy`. Columns of several dtypes, nullable and Boolean ones
too, become one array of numbers; missing values and columns that hold no numbers are named in the error.
"""

from typing import Any

import numpy as np

# What to do with values that are no numbers.
ENCODE = "encode categories as one-hot columns, as by pandas.get_dummies or scikit-learn's OneHotEncoder"

MOST_NAMED = 5  # columns in a message


def is_frame(value: Any) -> bool:
    """Whether `value` is a table with named columns."""
    return hasattr(value, "to_numpy") and hasattr(value, "columns") and hasattr(value, "dtypes")


def is_series(value: Any) -> bool:
    """Whether `value` is a single column."""
    return hasattr(value, "to_numpy") and hasattr(value, "dtype") and not isinstance(value, np.ndarray)


def series_array(name: str, series: Any, missing: bool = False) -> np.ndarray:
    """Return a single column as an array of any dtype; it must have no missing values, or with `missing` as NaN."""
    count = _missing(series)
    if count and not missing:
        raise ValueError(f"{name} must have no missing values, got {count} of {len(series)}: drop these samples")
    return _column_array(series, count)


def frame_array(name: str, frame: Any, missing: bool = False) -> np.ndarray:
    """Return a table as an array (rows, columns) of numbers; with `missing` values may be missing, and become NaN.

    A single column of anything else is returned as it is: it may hold the labels of classes.
    """
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in frame.dtypes):
        array: np.ndarray = frame.to_numpy()
        if missing or not array.size or array.dtype.kind != "f" or not np.isnan(array.min()):
            return array
    columns = list(frame.items() if hasattr(frame, "items") else zip(frame.columns, frame.iter_columns(), strict=True))
    counts = {label: count for label, column in columns if (count := _missing(column))}
    if counts and not missing:
        found = _listed([f"{count} in column {label!r}" for label, count in counts.items()])
        raise ValueError(
            f"{name} must have no missing values, got {found}, of {len(frame)} rows: drop these rows (dropna or "
            "drop_nulls) or fill the values (fillna or fill_null, scikit-learn's SimpleImputer)"
        )
    arrays = [_column_array(column, counts.get(label, 0)) for label, column in columns]
    others = [
        f"{label!r} of dtype {column.dtype}"
        for (label, column), array in zip(columns, arrays, strict=True)
        if array.dtype.kind not in "biuf"
    ]
    if others and len(columns) > 1:
        raise TypeError(
            f"{name} must hold real numbers, got column {_listed(others)}: {ENCODE}, and convert numbers that are "
            "stored as text, as by pandas.to_numeric"
        )
    return np.stack(arrays, axis=1) if arrays else np.empty((len(frame), 0))


def _column_array(column: Any, missing: int) -> np.ndarray:
    """Return a column as an array; missing numbers of a nullable dtype are NaN."""
    array: np.ndarray = column.to_numpy()
    if missing and array.dtype == object and hasattr(column, "isna"):
        try:
            array = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            return array  # no numbers, which the caller says
    return array


def _missing(column: Any) -> int:
    """Return the number of missing values of a column."""
    if hasattr(column, "isna"):
        return int(column.isna().sum())
    return int(column.null_count()) if hasattr(column, "null_count") else 0


def _listed(items: list[str]) -> str:
    return ", ".join(items[:MOST_NAMED]) + (f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else "")
