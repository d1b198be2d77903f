"""Tables for the comparison: files, the kind of the target, and the split of a seed into training and test rows.

The runner, the workers and tools/tabular_study.py call it. Every learner gets the same frames and the same rows.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from fastfnn.tables import reading
from fastfnn.tables.target import infer

FOLDER_VARIABLE = "FASTFNN_TABLES"  # the folder where tables are looked up by name
SUFFIXES = (".csv.gz", ".csv", ".parquet")

TEST_SHARE = 0.2


class Table(NamedTuple):
    """A table in memory.

    name     its file's name without the suffix
    x        the columns but the target: numbers as they are, all else of pandas' dtype category
    y        (N,) float64 for a regression, else the number of each row's class
    classes  number of classes; 0 for a regression
    """

    name: str
    x: pd.DataFrame
    y: np.ndarray
    classes: int


class Split(NamedTuple):
    """The rows of a table for one seed."""

    x_train: pd.DataFrame
    y_train: np.ndarray
    x_test: pd.DataFrame
    y_test: np.ndarray
    classes: int


def find(name: str, folder: str | None) -> pathlib.Path:
    """Return the file of a table: a path, or a name that is looked up in `folder`, or in that of the environment."""
    path = pathlib.Path(name)
    if path.is_file():
        return path
    folder = folder or os.environ.get(FOLDER_VARIABLE)
    if folder:
        for suffix in SUFFIXES:
            if (path := pathlib.Path(folder, name + suffix)).is_file():
                return path
    where = f"in {folder}" if folder else f"and neither --data-folder nor {FOLDER_VARIABLE} names a folder of tables"
    raise ValueError(f"--data must name files or tables: {name!r} is no file, {where}")


def load(path: pathlib.Path, target: str | None = None) -> Table:
    """Return the table in a file, whose target is the last column by default."""
    frame = reading.read(os.fspath(path))
    target = frame.columns[-1] if target is None else target
    reading.find_column(frame, target, "--target")
    frame = frame[frame[target].notna()].reset_index(drop=True)
    x, y = frame.drop(columns=target), frame[target]
    texts = [name for name in x.columns if not pd.api.types.is_numeric_dtype(x[name]) or x[name].dtype == bool]
    x = x.astype(dict.fromkeys(texts, "category"))
    name = path.name.partition(".")[0]
    found, _ = infer(y)
    if found.labels is None:
        return Table(name, x, y.to_numpy(np.float64), 0)
    return Table(name, x, found.encode(y), len(found.labels))


def split(table: Table, seed: int) -> Split:
    """Return 80 % of the rows for training and 20 % for the test: a permutation for each seed, stratified by class.

    The only row of a class is for training.
    """
    return _divided(table.x, table.y, table.classes, seed)


def for_study(table: Table, seed: int) -> Split:
    """Return a split of the training rows of a seed alone: a choice that is made with it has not seen the test rows."""
    whole = split(table, seed)
    return _divided(whole.x_train, whole.y_train, table.classes, seed)


def _divided(x: pd.DataFrame, y: np.ndarray, classes: int, seed: int) -> Split:
    from sklearn.model_selection import train_test_split

    alone = np.bincount(y)[y] == 1 if classes else np.zeros(len(y), bool)
    rows = np.flatnonzero(~alone)
    train, test = train_test_split(rows, test_size=TEST_SHARE, random_state=seed, stratify=y[rows] if classes else None)
    train = np.append(train, np.flatnonzero(alone))
    return Split(x.iloc[train], y[train], x.iloc[test], y[test], classes)
