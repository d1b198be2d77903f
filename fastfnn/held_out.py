"""Samples on which a training is measured. `training` calls it; nothing here knows of callbacks or of the history."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastfnn.base import NOTHING, NetworkBase


class Part(NamedTuple):
    """Samples on which a network is measured.

    rows     (N, I) array, which may be a memory map
    targets  (N,) int64 labels or (N, K) rows
    weights  (N,) array of the samples' weights in the loss, or (0,) if all are 1
    """

    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray = NOTHING

    def outputs(self, net: NetworkBase) -> np.ndarray:
        """Return the outputs (N, K) before the output activation."""
        return net._forward(self.rows, "identity")
