"""The column to predict: labels of classes, or a real number.

`infer` says which of both it is; a `Target` turns the column into targets of a network and outputs into predictions.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fastfnn.tables import columns
from fastfnn.tabular import kinds
from fastfnn.tabular.kinds import POINT, Form

MOST_CLASSES = 20  # different whole numbers that are classes unless --task says otherwise
ROWS_PER_CLASS = 5  # at least, on average, for whole numbers to be classes
SHOWN = 10  # classes in a line

Label = str | int | bool


class Target(NamedTuple):
    """What the outputs of the network mean."""

    name: str
    labels: tuple[Label, ...] | None  # None for real numbers
    mean: float = 0.0  # of real numbers in the rows for training
    scale: float = 1.0

    @property
    def task(self) -> str:
        return "regression" if self.labels is None else "classification"

    @property
    def outputs(self) -> int:
        return 1 if self.labels is None else len(self.labels)

    def encode(self, column: pd.Series, form: Form = POINT) -> np.ndarray:
        """Return the targets of the network: numbers of classes, or standardized numbers in float64."""
        if self.labels is None:
            standardized: np.ndarray = (self.numbers(column, form) - self.mean) / self.scale
            return standardized
        is_text = isinstance(self.labels[0], str)
        values = columns.texts(column) if is_text else self.numbers(column, form)
        number = {label if is_text else float(label): i for i, label in enumerate(self.labels)}
        codes = np.array([number.get(value, -1) for value in values.tolist()], np.int64)
        if (codes < 0).any():
            row = int(np.argmax(codes < 0))
            raise ValueError(
                f"{columns.place(column, codes < 0)} must be one of the classes {shown(self.labels)}; "
                f"got {column.iloc[row : row + 1].tolist()[0]!r}"
            )
        return codes

    def numbers(self, column: pd.Series, form: Form = POINT) -> np.ndarray:
        """Return a column without missing values as numbers; `form` is how they are written as texts."""
        values = columns.numbers(column, form)
        columns.check_present(column, np.isnan(values), "there is nothing to compare a prediction with")
        return values

    def predictions(self, out: np.ndarray) -> np.ndarray:
        """Return labels, or numbers in the dtype of the network, for its outputs (N, K)."""
        if self.labels is None:
            return (out[:, 0] * np.float64(self.scale) + self.mean).astype(out.dtype)
        kind = object if isinstance(self.labels[0], str) else None
        labels: np.ndarray = np.array(self.labels, kind)[out.argmax(axis=1)]
        return labels


def infer(column: pd.Series, task: str | None = None) -> tuple[Target, str]:
    """Return the target of a column without missing values, and a line that says why it is what it is.

    Mean and scale of real numbers are not known before `standardized`.
    """
    name = str(column.name)
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if not is_number:
        if task == "regression":
            columns.numbers(column)  # says which value is no number
        else:
            return _classes(name, column)
    values = columns.numbers(column)
    different = np.unique(values)
    whole = bool((np.trunc(values) == values).all())
    few = whole and len(different) <= min(MOST_CLASSES, max(2, len(values) // ROWS_PER_CLASS))
    if task == "regression" or (task is None and not few):
        kind = f"{len(different):,} different numbers"
        if len(different) < 2:
            raise ValueError(f"target {name!r} must have different values, got only {different[0]:g}")
        return Target(name, None), f"task: regression of {name!r}, {kind}{_override(task, 'classification')}"
    if not whole:
        raise ValueError(
            f"classes must be whole numbers or text, got {name!r} with the value {values[values % 1 != 0][0]}"
        )
    return _with_labels(name, tuple(int(value) for value in different), len(values), task)


def _classes(name: str, column: pd.Series) -> tuple[Target, str]:
    if pd.api.types.is_bool_dtype(column.dtype) or all(isinstance(value, bool) for value in column):
        return _with_labels(name, tuple(sorted({bool(value) for value in column})), len(column), "classification")
    return _with_labels(name, tuple(sorted(set(columns.texts(column)))), len(column), "classification")


def _with_labels(name: str, labels: tuple[Label, ...], rows: int, task: str | None) -> tuple[Target, str]:
    if len(labels) < 2:
        raise ValueError(f"target {name!r} must have at least two classes, got only {labels[0]!r}")
    if len(labels) > rows / 2:
        raise ValueError(
            f"target {name!r} must have several rows of a class, got {len(labels):,} classes in {rows:,} rows: "
            f"{_why_so_many(labels)}"
        )
    return Target(name, labels), (
        f"task: classification of {name!r}, {len(labels)} classes: {shown(labels)}{_override(task, 'regression')}"
    )


def _why_so_many(labels: tuple[Label, ...]) -> str:
    """Return what it may mean that nearly each row has a class of its own, and what to do."""
    if not isinstance(labels[0], str):
        return "--task regression predicts them as numbers"
    texts = [str(label) for label in labels]
    for decimal in (",", "."):
        numbers = [text for text in texts if kinds.number_of(text, Form(decimal)) is not None]
        if len(numbers) < len(texts) / 2:
            continue
        others = [text for text in texts if kinds.number_of(text, Form(decimal)) is None]
        if others:
            return f"they look like numbers, but for such as {others[0]!r}: --na-values '{others[0]}' makes it missing"
        return f"they look like numbers with {NAMES[decimal]}: --decimal '{decimal}' reads them"
    return "they look like texts or ids, which cannot be predicted; --target names another column"


NAMES = {",": "a decimal comma", ".": "a decimal point"}


def _override(task: str | None, other: str) -> str:
    return "" if task else f" (--task {other} if these are {'labels' if other == 'classification' else 'quantities'})"


def standardized(target: Target, column: pd.Series) -> Target:
    """Return a target with mean and scale of the rows for training, if it is a real number."""
    if target.labels is not None:
        return target
    values = columns.numbers(column)
    scale = float(values.std())
    return target._replace(mean=float(values.mean()), scale=scale if scale > 0 else 1.0)


def shown(labels: tuple[Label, ...]) -> str:
    """Return labels for a message."""
    text = ", ".join(map(str, labels[:SHOWN]))
    return text if len(labels) <= SHOWN else f"{text}, ..."
