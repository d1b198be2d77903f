"""The data sets of tools/init_study.py: read, cut into parts and scaled."""

import csv
import gzip
import pathlib
from typing import NamedTuple

import numpy as np

import fastfnn as fnn

# Tables in the folder that the command is given, NAME.csv.gz with the target in the last column.
REGRESSION_TABLES = ("california", "cpu_act", "kin8nm", "abalone")
CLASS_TABLES = ("letter", "pendigits", "spambase", "credit_g")
TABLES = REGRESSION_TABLES + CLASS_TABLES
SHIPPED = ("mnist10k",)
SKLEARN = {
    "digits": "load_digits",
    "breast_cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
    "wine": "load_wine",
}
NAMES = (*TABLES, *SHIPPED, *SKLEARN)

TEST, VALIDATION = 0.2, 0.16  # shares of the rows


class Table(NamedTuple):
    """Rows (N, I) in float64 with NaN for missing values; targets (N,), float64 or, for classes, int64."""

    rows: np.ndarray
    targets: np.ndarray
    standardize: bool = True  # False for images, whose pixels are in [0, 1]

    @property
    def classes(self) -> int:
        """Number of classes; 0 for regression."""
        return 0 if self.targets.dtype.kind == "f" else int(self.targets.max()) + 1


class Parts(NamedTuple):
    """Training, validation and test data in float32; `scale`: the standard deviation of the targets, 1 for classes."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    scale: float


def load(name: str, folder: pathlib.Path | None) -> Table:
    """Return a data set; only those of TABLES need the folder."""
    if name in SHIPPED:
        (x, t), (x_test, t_test) = fnn.datasets.load_mnist()
        return Table(np.concatenate([x, x_test]).astype(np.float64), np.concatenate([t, t_test]), standardize=False)
    if name in SKLEARN:
        import sklearn.datasets  # only here: tables can be read without it

        rows, targets = getattr(sklearn.datasets, SKLEARN[name])(return_X_y=True)
        return Table(rows, targets.astype(np.float64 if name == "diabetes" else np.int64))
    if folder is None:
        raise ValueError(f"{name} needs the folder of tables")
    with gzip.open(folder / f"{name}.csv.gz", "rt", newline="") as file:
        _, *lines = csv.reader(file)
    *columns, target = zip(*lines, strict=True)
    rows = np.concatenate([_features(column) for column in columns], axis=1)
    if name in REGRESSION_TABLES:
        return Table(rows, np.array(target, np.float64))
    return Table(rows, np.unique(target, return_inverse=True)[1].astype(np.int64))


def _features(column: tuple[str, ...]) -> np.ndarray:
    """Return numbers as one feature, (N, 1), and categories one-hot, (N, categories)."""
    try:
        return np.array([float(text) if text else np.nan for text in column])[:, np.newaxis]
    except ValueError:
        categories, codes = np.unique(column, return_inverse=True)
        return np.eye(len(categories))[codes]


def split(table: Table, seed: int) -> Parts:
    """Cut a table at random and scale it by the means and the standard deviations of the training part."""
    count = len(table.rows)
    order = np.random.default_rng(seed).permutation(count)
    sizes = round(TEST * count), round(VALIDATION * count)
    test, validation, train = np.split(order, np.cumsum(sizes))
    rows = np.where(np.isnan(table.rows), np.nanmedian(table.rows[train], axis=0), table.rows)
    if table.standardize:
        rows = _standardized(rows, rows[train])
    targets, scale = table.targets, 1.0
    if not table.classes:
        scale = float(targets[train].std())
        targets = _standardized(targets, targets[train]).astype(np.float32)
    rows = rows.astype(np.float32)
    return Parts(*((rows[part], targets[part]) for part in (train, validation, test)), scale)


def _standardized(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    std = train.std(axis=0)
    return (values - train.mean(axis=0)) / np.where(std > 0, std, 1)
