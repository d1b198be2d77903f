"""TabularModel: an estimator of `fastfnn.tabular` with what it needs to read the rows of a file.

The estimator encodes columns and targets by itself. Here is what it cannot know: the name of the target, and which
columns are numbers, texts and dates, however the values of a part of a file look.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fastfnn import files
from fastfnn.tables import columns, stored
from fastfnn.tables.base import BaseModel
from fastfnn.tables.columns import Plan
from fastfnn.tables.target import Target
from fastfnn.tabular import TabularClassifier, TabularRegressor, kinds
from fastfnn.tabular import files as tabular_files
from fastfnn.tabular.columns import CategoryColumn, Column, DateColumn, LeftOut
from fastfnn.tabular.network import TabularNetwork

Estimator = TabularClassifier | TabularRegressor


class TabularModel(BaseModel):
    """A tabular network that predicts one column of a table: `fastfnn train` makes it, `load` reads it.

    Attributes
    ----------
    estimator : TabularClassifier or TabularRegressor
        What was trained, on frames with the columns of `columns`: numbers, NaN where a value is missing, categories
        that are texts, and dates, NaT where one is missing.
    origin : dict
        The version of fastfnn that made the model, and the time.

    Examples
    --------
    The command ``fastfnn train flats.csv --target price --quantiles 0.1,0.9 --out flats.safetensors`` makes a model,
    which is then asked for the prices of two flats:

    >>> import os, subprocess, sys, tempfile
    >>> import numpy as np
    >>> import pandas as pd
    >>> import fastfnn.tables
    >>> area = np.linspace(20, 120, 200)
    >>> flats = pd.DataFrame({"area": area, "city": ["Kyoto", "Tokyo"] * 100, "price": 3 * area + [0, 50] * 100})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table, path = os.path.join(folder, "flats.csv"), os.path.join(folder, "flats.safetensors")
    ...     flats.to_csv(table, index=False)
    ...     train = ["train", table, "--target", "price", "--quantiles", "0.1,0.9", "--preset", "fast", "--out", path]
    ...     done = subprocess.run([sys.executable, "-m", "fastfnn", *train], capture_output=True, check=True)
    ...     model = fastfnn.tables.load(path)
    >>> model.columns, model.target
    (['area', 'city'], 'price')
    >>> two = pd.DataFrame({"area": [30, None], "city": ["Tokyo", "Nara"]})
    >>> model.predict(two).shape, model.quantiles, model.predict_quantiles(two).shape
    ((2,), (0.1, 0.9), (2, 2))
    """

    def __init__(
        self,
        estimator: Estimator,
        target: Target,
        numbers: Sequence[str],
        categories: Sequence[str],
        dates: Sequence[str] = (),
        origin: Mapping[str, str] | None = None,
        written: stored.Written | None = None,
    ) -> None:
        super().__init__(target, origin, written)
        self.estimator: Estimator = estimator
        self.numbers: list[str] = list(numbers)
        self.categories: list[str] = list(categories)
        self.dates: list[str] = list(dates)

    def __repr__(self) -> str:
        return f"TabularModel({self.task} of {self.target!r} from {len(self.columns)} columns; {self.network!r})"

    @property
    def network(self) -> TabularNetwork:
        """The network of the estimator."""
        return self.estimator.network_

    @property
    def columns(self) -> list[str]:
        """Names of the columns that the network uses."""
        return [*self.numbers, *self.categories, *self.dates]

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles of a number that are predicted besides it; none without ``--quantiles``."""
        return tuple(getattr(self.estimator, "quantiles", None) or ())

    @property
    def text_columns(self) -> list[str]:
        """Names of the columns of categories, and of large whole numbers.

        :meta private:
        """
        large = [column.name for column in self.estimator.columns_ if getattr(column, "offset", 0)]
        return [*self.categories, *large]

    def described_columns(self) -> list[dict[str, Any]]:
        """Return what the network knows about each column, as objects of JSON.

        :meta private:
        """
        return [_described(column) for column in self.estimator.columns_]

    def unknown(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Return, by column, the categories of a table that the model does not know.

        :meta private:
        """
        found = {}
        for column in self.estimator.columns_:
            if isinstance(column, CategoryColumn):
                values, known = frame[column.name], frozenset(column.values)
                strange = [value for value in columns.texts(values[values.notna()]) if value not in known]
                if strange:
                    found[column.name] = strange
        return found

    def prepared(self, frame: pd.DataFrame, rows: np.ndarray | None = None) -> pd.DataFrame:
        """Return the columns for the estimator.

        :meta private:

        Parameters
        ----------
        frame : DataFrame
            Its columns are found by name; it may be a memory map.
        rows : array of int, optional
            Numbers of the rows that are wanted; all by default.

        Raises
        ------
        ValueError
            If a column is missing, or a value of the wrong kind.
        """
        columns.check_names(frame, self.columns)
        rows = np.arange(len(frame)) if rows is None else rows
        form = self.written.format.form
        exact = {name: frame[name].iloc[rows].array for name in self.numbers if self._is_read_by_estimator(frame[name])}
        numbers = [name for name in self.numbers if name not in exact]
        kept = [dtype for dtype in frame[numbers].dtypes if isinstance(dtype, np.dtype) and dtype.kind in "biuf"]
        wide = len(kept) < len(numbers) or np.result_type(*kept, np.float32) == np.float64
        matrix = np.empty((len(rows), len(numbers)), np.float64 if wide else np.float32)
        for first in range(0, len(rows) if numbers else 0, columns.ROWS_AT_ONCE):
            part = slice(first, first + columns.ROWS_AT_ONCE)
            matrix[part] = columns.finite(frame.iloc[rows[part]], numbers, form)
        for name in exact:
            columns.numbers(frame[name].iloc[rows], form)  # says in which row a value is no number
        # Declared as categories, so that the estimator does not decide again, from the rows for training alone.
        texts = {name: pd.Categorical(columns.texts(frame[name].iloc[rows])) for name in self.categories}
        dates = {name: frame[name].iloc[rows].array for name in self.dates}
        for name in self.dates:
            columns.check_dates(frame[name].iloc[rows])
        made = pd.DataFrame(matrix, columns=numbers, copy=False).assign(**exact, **texts, **dates)
        return made if not exact else made[self.columns]

    def chosen_kinds(self, plan: Plan) -> dict[str, str] | None:
        """Return the parameter `columns` for the estimator, which looks at the rows for training alone.

        :meta private:
        """
        by_kind = {
            "number": [name for name in plan.texts if name in self.numbers],
            "category": self.categories, "date": self.dates,
        }  # fmt: skip
        return {name: kind for kind, names in by_kind.items() for name in names} or None

    def _is_read_by_estimator(self, column: pd.Series) -> bool:
        """Return whether a column of numbers is not converted here: texts, and large whole numbers, to stay exact."""
        if column.name in self.written.texts and not pd.api.types.is_numeric_dtype(column.dtype):
            return True
        if column.dtype == object:
            whole = [int(value) for value in column.tolist() if isinstance(value, int)]
            return max(map(abs, whole), default=0) > kinds.EXACT
        if not pd.api.types.is_integer_dtype(column.dtype) or not len(column):
            return False
        return bool(max(-int(column.min()), int(column.max())) > kinds.EXACT) if column.notna().any() else False

    @property
    def _dates(self) -> Sequence[str]:
        return self.dates

    @property
    def _dtype(self) -> npt.DTypeLike:
        return self.network.dtype

    def _computed(self, frame: pd.DataFrame) -> np.ndarray:
        prepared = self.prepared(frame)
        if isinstance(self.estimator, TabularClassifier):
            return self.estimator.predict_proba(prepared).astype(self._dtype)
        return self.estimator.predict(prepared).astype(self._dtype)[:, np.newaxis]

    def _computed_quantiles(self, frame: pd.DataFrame) -> np.ndarray:
        assert isinstance(self.estimator, TabularRegressor)
        return self.estimator.predict_quantiles(self.prepared(frame)).astype(self._dtype)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write estimator and columns to a safetensors file; `fastfnn.tabular.load` reads the estimator of it.

        Parameters
        ----------
        path : str or path-like
            The file; an existing file is replaced in one step.

        Raises
        ------
        OSError
            If the file cannot be written: an existing file is as it was.
        """
        self.estimator._write(path, {"table": self.described()})

    def described(self) -> dict[str, Any]:
        """Return what a file holds about the table, as an object of JSON.

        :meta private:
        """
        return stored.described_columns(
            self.target, self.numbers, self.categories, self.dates, self.origin, self.written
        )


def load(path: str | os.PathLike[str]) -> TabularModel:
    """Return the model in a file of an estimator that was trained on a table."""
    estimator, sections = tabular_files.read(path)
    if "table" not in sections:
        raise ValueError(f"{os.fspath(path)} holds an estimator: fastfnn.tabular.load reads it, in Python")
    with files.damage_reported(path):
        told = stored.checked_columns(sections["table"], estimator.feature_names_in_)
        labels = stored.checked_labels(estimator.classes_.tolist()) if hasattr(estimator, "classes_") else None
    target, numbers, categories, dates, origin, written = told
    return TabularModel(estimator, Target(target, labels), numbers, categories, dates, origin, written)


def described(net: TabularNetwork) -> str:
    """Return a line about a network."""
    sizes = "-".join(map(str, net.layer_sizes))
    members = f", {net.members} members" if net.members > 1 else ""
    return f"{sizes} {net.activation[0]}{members}, {net.params.size:,} parameters"


def _described(column: Column) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": column.kind, "name": column.name}
    if isinstance(column, LeftOut):
        return told | {"reason": column.reason}
    if isinstance(column, CategoryColumn):
        return told | {"values": list(column.values), "missing": column.missing}
    if isinstance(column, DateColumn):
        time, *cycles = column.parts
        told["range"] = [_date(seconds, column.dates) for seconds in (time.edges[0], time.edges[-1])]
        return told | {"bins": time.bins, "cycles": [cycle.name for cycle in cycles], "missing": time.missing}
    ends = [float(column.edges[0]) + column.offset, float(column.edges[-1]) + column.offset]
    return told | {"range": ends, "bins": column.bins, "missing": column.missing}


def _date(seconds: float, dates: str) -> str:
    """Return a date in ISO 8601, without the time of day if that is midnight."""
    text = str(np.datetime64(round(seconds), "s"))
    return text.removesuffix("T00:00:00") if dates == "naive" else f"{text}Z"
