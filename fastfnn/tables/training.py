"""Which rows are for training, and the network for a table: `make_network` is the one place that chooses it."""

import math
import tempfile
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import train_test_split

from fastfnn.network import FNN
from fastfnn.tables.target import Target

IN_MEMORY = 2 << 30  # bytes of prepared rows


def make_network(inputs: int, target: Target, hidden: tuple[int, ...], **options: Any) -> FNN:
    """Return the untrained network for a table; `options` are arguments of `FNN`."""
    loss = "squared_error" if target.labels is None else "softmax_cross_entropy"
    return FNN((inputs, *hidden, target.outputs), loss=loss, **options)


def split(column: pd.Series, target: Target, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows for training and of those held out, each in order.

    Rows are drawn at random; of each class in proportion where it has enough of them.
    """
    count = round(len(column) * fraction)
    if not 0 < count < len(column):
        raise ValueError(f"--valid {fraction:g} of {len(column):,} rows leaves none for training or none to hold out")
    labels = None if target.labels is None else target.encode(column)
    if labels is not None and (np.bincount(labels).min() < 2 or min(count, len(column) - count) < target.outputs):
        labels = None
    parts = train_test_split(np.arange(len(column)), test_size=count, random_state=seed, stratify=labels)
    return np.sort(parts[0]), np.sort(parts[1])


def storage(shape: tuple[int, int], dtype: npt.DTypeLike) -> np.ndarray:
    """Return an array for prepared rows; a large one is a memory map of a temporary file, which vanishes with it."""
    if math.prod(shape) * np.dtype(dtype).itemsize <= IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="fastfnn-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)
