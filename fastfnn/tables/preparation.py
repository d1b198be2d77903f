"""Preparation: from the columns of a table to the inputs of a network.

scikit-learn does the work: `SimpleImputer` of numbers, `StandardScaler` and `OneHotEncoder`. `fit` learns from the rows
for training; what it learned is a few numbers and texts for each column, from which the transformers are made again.
"""

import collections
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastfnn.interop.columns import CategoryColumn, NumberColumn
from fastfnn.tables import columns
from fastfnn.tables.columns import MAX_CATEGORIES, ROWS_AT_ONCE, Plan
from fastfnn.tabular.kinds import POINT, Form

MISSING = ("refuse", "median", "mean")

FILL = (
    "--missing median or --missing mean fills in numbers, and the most frequent categories; --ignore leaves out columns"
)
NOT_FILLED = "the model was trained without --missing, so that it has no value to fill in"


class Preparation:
    """Turns frames into arrays of standardized numbers and one-hot categories.

    Parameters
    ----------
    prepared : sequence of NumberColumn and CategoryColumn
        Numbers come first.
    form : Form
        How numbers are written as texts.

    Attributes
    ----------
    columns : tuple of NumberColumn and CategoryColumn
        In the order of the inputs of the network; a category column has an input for each of its values.
    width : int
        Number of inputs.
    """

    def __init__(self, prepared: Sequence[NumberColumn | CategoryColumn], form: Form = POINT) -> None:
        self._form = form
        self.columns: tuple[NumberColumn | CategoryColumn, ...] = tuple(prepared)
        self._numbers = [column for column in prepared if isinstance(column, NumberColumn)]
        self._categories = [column for column in prepared if isinstance(column, CategoryColumn)]
        self.width: int = len(self._numbers) + sum(len(column.values) for column in self._categories)
        if self._numbers:
            self._scaler = StandardScaler()
            self._scaler.n_features_in_ = len(self._numbers)
            self._scaler.mean_ = np.array([column.mean for column in self._numbers])
            self._scaler.scale_ = np.array([column.scale for column in self._numbers])
        if self._categories:
            values = [np.array(column.values, object) for column in self._categories]
            self._encoder = OneHotEncoder(categories=values, handle_unknown="ignore", sparse_output=False, dtype="f4")
            self._encoder.fit(np.array([[column.values[0] for column in self._categories]], object))

    @classmethod
    def fit(
        cls, frame: pd.DataFrame, plan: Plan, missing: str = "refuse", rows: np.ndarray | None = None,
        form: Form = POINT,
    ) -> "Preparation":  # fmt: skip
        """Learn means, categories and what to fill in from the rows for training.

        Parameters
        ----------
        frame : DataFrame
        plan : Plan
            Which columns are used.
        missing : {"refuse", "median", "mean"}
            What is filled in for missing numbers; "refuse" raises ValueError if a value is missing. Missing categories
            become the most frequent one.
        rows : array of int, optional
            Numbers of the rows for training, in order; all by default.
        form : Form
            How numbers are written as texts.
        """
        rows = np.arange(len(frame)) if rows is None else rows
        if missing == "refuse":
            columns.check_complete(frame, (*plan.numbers, *plan.categories), FILL)
        prepared: list[NumberColumn | CategoryColumn] = []
        together = missing == "refuse" and plan.numbers and columns.matrix(frame.iloc[:1], plan.numbers) is not None
        if together:  # they may be a memory map
            scaler = StandardScaler()
            for first in range(0, len(rows), ROWS_AT_ONCE):
                part = frame.iloc[rows[first : first + ROWS_AT_ONCE]]
                values = columns.matrix(part, plan.numbers)
                assert values is not None
                columns.check_finite(part, plan.numbers, values)
                scaler.partial_fit(values)
            prepared += [
                NumberColumn(name, None, float(mean), float(scale))
                for name, mean, scale in zip(plan.numbers, scaler.mean_, scaler.scale_, strict=True)
            ]
        for name in () if together else plan.numbers:
            values = columns.numbers(frame[name].iloc[rows], form)
            fill = None
            if missing != "refuse":
                imputer = SimpleImputer(strategy=missing, keep_empty_features=True)
                values = imputer.fit_transform(values[:, np.newaxis])[:, 0]
                fill = float(imputer.statistics_[0])
            scaler = StandardScaler().fit(values[:, np.newaxis])
            prepared.append(NumberColumn(name, fill, float(scaler.mean_[0]), float(scaler.scale_[0])))
        for name in plan.categories:
            text = columns.texts(frame[name].iloc[rows])
            counts = collections.Counter(text[~pd.isna(text)])
            if counts:  # not all rows that have a value are for validation
                frequent = sorted(counts, key=lambda value: (-counts[value], value))
                used = tuple(sorted(frequent[:MAX_CATEGORIES]))
                prepared.append(CategoryColumn(name, used, None if missing == "refuse" else frequent[0]))
        return cls(prepared, form)

    def transform(
        self,
        frame: pd.DataFrame,
        dtype: npt.DTypeLike = "float32",
        rows: np.ndarray | None = None,
        empty: Callable[[tuple[int, int], npt.DTypeLike], np.ndarray] = np.empty,
    ) -> np.ndarray:
        """Return the inputs (rows, width) for a table, whose columns are found by name.

        Parameters
        ----------
        frame : DataFrame
        dtype : dtype
        rows : array of int, optional
            Numbers of the rows that are wanted; all by default.
        empty : function of (shape, dtype)
            Makes the array.

        Raises
        ------
        ValueError
            If a column is missing, or a value that cannot be used.
        """
        columns.check_names(frame, [column.name for column in self.columns])
        count = len(frame) if rows is None else len(rows)
        out = empty((count, self.width), dtype)
        for first in range(0, count, ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            self._transform(frame.iloc[part if rows is None else rows[part]], out[part])
        return out

    def unknown(self, frame: pd.DataFrame) -> dict[str, list[str]]:
        """Return, by column, the values of a table that are none of the column's categories; none that are missing."""
        found = {}
        for column in self._categories:
            values, known = frame[column.name], frozenset(column.values)
            strange = [value for value in columns.texts(values[values.notna()]) if value not in known]
            if strange:
                found[column.name] = strange
        return found

    def _transform(self, frame: pd.DataFrame, out: np.ndarray) -> None:
        if self._numbers:
            values = self._matrix(frame, self._numbers, lambda column: columns.numbers(column, self._form), np.float64)
            out[:, : len(self._numbers)] = self._scaler.transform(values)
        if self._categories:
            text = self._matrix(frame, self._categories, columns.texts, object)
            out[:, len(self._numbers) :] = self._encoder.transform(text)

    @staticmethod
    def _matrix(
        frame: pd.DataFrame,
        wanted: Sequence[NumberColumn | CategoryColumn],
        convert: Callable[[pd.Series], np.ndarray],
        dtype: npt.DTypeLike,
    ) -> np.ndarray:
        """Return columns as a matrix, without missing values."""
        if dtype == np.float64:
            names = [column.name for column in wanted]
            together = columns.matrix(frame, names)
            if together is not None and not np.isnan(together).any():
                columns.check_finite(frame, names, together)
                return together
        matrix = np.empty((len(frame), len(wanted)), dtype)
        for i, column in enumerate(wanted):
            values = convert(frame[column.name])
            missing = pd.isna(values)
            if column.fill is None:
                columns.check_present(frame[column.name], missing, NOT_FILLED)
            matrix[:, i] = values
            if column.fill is not None:
                matrix[missing, i] = column.fill
        return matrix
