"""Samples on which a training is measured, and the choice of those that are held out for it.

`training` calls both. Nothing here knows of callbacks or of the history; `net` is an `FNN`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastfnn import validation
from fastfnn.backend import CONVERT_ONCE_BYTES
from fastfnn.base import NOTHING, NetworkBase
from fastfnn.digests import digest
from fastfnn.metrics import Metric

SPLIT_SEED = 2024  # any number, always the same: see `split`


class Part(NamedTuple):
    """Samples on which a network is measured: some rows of an array, or all.

    rows     (M, I) array, which may be a memory map
    targets  (N,) int64 labels or (N, K) rows
    indices  (N,) int64: which of the rows these are; None for all
    weights  (N,) array of the samples' weights in the loss, or (0,) if all are 1
    """

    rows: np.ndarray
    targets: np.ndarray
    indices: np.ndarray | None = None
    weights: np.ndarray = NOTHING

    def evaluate(self, net: NetworkBase, metrics: Sequence[Metric]) -> dict[str, float]:
        """Return loss, accuracy (for cross-entropies) and metrics of a network."""
        return net._evaluate(self.outputs(net), self.targets, metrics, self.weights)

    def described(self, dtype: np.dtype[Any]) -> Any:
        """Return what tells the samples from others: a checkpoint compares it."""
        return [digest(self.rows, dtype), digest(self.targets)]

    def outputs(self, net: NetworkBase) -> np.ndarray:
        """Return the outputs (N, K) before the output activation; of indices, rows are copied some at a time."""
        if self.indices is None:
            return net._forward(self.rows, "identity")
        out = np.empty((len(self.indices), net.layer_sizes[-1]), net.dtype)
        at_once = max(CONVERT_ONCE_BYTES // (self.rows.shape[1] * self.rows.itemsize), 1)
        for first in range(0, len(out), at_once):
            part = slice(first, first + at_once)
            out[part] = net._forward(self.rows[self.indices[part]], "identity")
        return out


def split(name: str, fraction: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the samples to train on, and of those that are held out; both ascend.

    The draw depends on `count` alone. Drawn from the random stream of the network, the samples would be others in a
    second `fit`, or after a resumed training was read from its file: samples that have been trained on.
    """
    held_out = round(validation.fraction(name, fraction) * count)
    if not 0 < held_out < count:
        raise ValueError(f"{name} must hold out some samples of {count} and leave some to train on, got {fraction}")
    drawn = np.random.default_rng(SPLIT_SEED).permutation(count)
    return np.sort(drawn[held_out:]), np.sort(drawn[:held_out])
