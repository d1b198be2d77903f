"""The data sets on which sklearn_scores.py and sklearn_grid.py compare the estimators with scikit-learn's.

They come with scikit-learn and with fastfnn, or are tables in a folder: NAME.csv.gz with a header, the target in the
last column, and empty fields where a value is missing.
"""

import csv
import gzip
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import sklearn.datasets
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastfnn.datasets import load_mnist

WITH_SKLEARN = ("iris", "wine", "breast_cancer", "digits", "diabetes")
MNIST = "mnist10k"
SEED = 0


class Table(NamedTuple):
    """A data set. `categories` holds the columns that are not numbers, as strings; a missing number is NaN."""

    name: str
    numbers: np.ndarray
    categories: np.ndarray
    targets: np.ndarray
    regression: bool


class Fold(NamedTuple):
    """One division of a table, ready for an estimator."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def as_dtype(self, dtype: str) -> "Fold":
        """The same with samples of another dtype; targets stay."""
        return self._replace(x=self.x.astype(dtype), x_test=self.x_test.astype(dtype))


def names(folder: pathlib.Path | None) -> list[str]:
    """All data sets: those that are installed, then the tables of a folder."""
    tables = sorted(path.name.removesuffix(".csv.gz") for path in folder.glob("*.csv.gz")) if folder else []
    return [*WITH_SKLEARN, MNIST, *tables]


def load(name: str, folder: pathlib.Path | None = None) -> Table:
    """The data set of that name."""
    if name in WITH_SKLEARN:
        x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        return Table(name, x, np.empty((len(x), 0), object), y, name == "diabetes")
    if name == MNIST:
        parts = load_mnist()
        x, y = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return Table(name, x.astype(np.float64), np.empty((len(x), 0), object), y, False)
    if folder is None:
        raise ValueError(f"no data set {name!r} without a folder of tables; there are {', '.join(names(None))}")
    return _read(name, folder / f"{name}.csv.gz")


def _read(name: str, path: pathlib.Path) -> Table:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    columns = np.array(rows, object).T
    parsed = [_numbers(column) for column in columns]
    target = parsed.pop()
    # Classes may be numbers, as the digits of pendigits are.
    regression = target is not None and header[-1] != "class"
    numbers = [column for column in parsed if column is not None]
    categories = [column for column, number in zip(columns[:-1], parsed, strict=True) if number is None]
    rest = np.empty((len(rows), 0), object)
    return Table(
        name,
        np.stack(numbers, axis=1) if numbers else rest.astype(float),
        np.stack(categories, axis=1) if categories else rest,
        target if regression else columns[-1].astype(str),
        regression,
    )


def _numbers(column: np.ndarray) -> np.ndarray | None:
    """A column as numbers, NaN where it is empty; None if anything else is in it."""
    try:
        return np.array([float(value) if value else np.nan for value in column])
    except ValueError:
        return None


def folds(table: Table, count: int) -> Iterator[Fold]:
    """The folds of a cross-validation. What is learned from data to prepare them is learned from the training part."""
    splitter = (KFold if table.regression else StratifiedKFold)(count, shuffle=True, random_state=SEED)
    for train, test in splitter.split(table.numbers, table.targets):
        y, y_test = table.targets[train], table.targets[test]
        if table.regression:
            y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
        x, x_test = _samples(table, train, test)
        yield Fold(x, y, x_test, y_test)


def _samples(table: Table, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with the median for missing ones, standardized; categories as one column each."""
    steps = [
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), table.numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), table.categories),
    ]
    steps = [(step, columns) for step, columns in steps if columns.shape[1]]
    x = np.hstack([step.fit_transform(columns[train]) for step, columns in steps])
    x_test = np.hstack([step.transform(columns[test]) for step, columns in steps])
    return x, x_test
