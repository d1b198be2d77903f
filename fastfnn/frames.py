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


def series_array(name: str, series: Any) -> np.ndarray:
    """Return a single column, which must have no missing values, as an array of any dtype."""
    missing = _missing(series)
    if missing:
        raise ValueError(f"{name} must have no missing values, got {missing} of {len(series)}: drop these samples")
    array: np.ndarray = series.to_numpy()
    return array


def frame_array(name: str, frame: Any) -> np.ndarray:
    """Return a table, which must have no missing values, as an array (rows, columns) of numbers.

    A single column of anything else is returned as it is: it may hold the labels of classes.
    """
    if all(isinstance(dtype, np.dtype) and dtype.kind in "iuf" for dtype in frame.dtypes):
        array: np.ndarray = frame.to_numpy()
        if not array.size or array.dtype.kind != "f" or not np.isnan(array.min()):
            return array
    columns = list(frame.items() if hasattr(frame, "items") else zip(frame.columns, frame.iter_columns(), strict=True))
    counts = {label: missing for label, column in columns if (missing := _missing(column))}
    if counts:
        found = _listed([f"{count} in column {label!r}" for label, count in counts.items()])
        raise ValueError(
            f"{name} must have no missing values, got {found}, of {len(frame)} rows: drop these rows (dropna or "
            "drop_nulls) or fill the values (fillna or fill_null, scikit-learn's SimpleImputer)"
        )
    arrays: list[np.ndarray] = [column.to_numpy() for _, column in columns]
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


def explain(error: Exception, name: str, value: Any) -> None:
    """Add a note to an error of another library's check of a frame: which columns are the reason, and what to do."""
    if is_frame(value):
        try:
            frame_array(name, value)
        except (TypeError, ValueError) as reason:
            error.add_note(str(reason))


def _missing(column: Any) -> int:
    """Return the number of missing values of a column."""
    if hasattr(column, "isna"):
        return int(column.isna().sum())
    return int(column.null_count()) if hasattr(column, "null_count") else 0


def _listed(items: list[str]) -> str:
    return ", ".join(items[:MOST_NAMED]) + (f" and {len(items) - MOST_NAMED} more" if len(items) > MOST_NAMED else "")
