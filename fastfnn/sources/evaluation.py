"""Loss, accuracy and metrics on a source, one window after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastfnn.metrics import Metric
from fastfnn.sources.base import Source
from fastfnn.sources.reading import preparation, read


class SourcePart(NamedTuple):
    """A source on which a network is measured, in place of a `held_out.Part`."""

    source: Source

    def evaluate(self, net: Any, metrics: Sequence[Metric]) -> dict[str, float]:
        """Return loss, accuracy (for cross-entropies) and metrics of a network.

        Means over the rows are added up. Metrics need the outputs and targets of all rows in memory.
        """
        sums: dict[str, float] = {}
        kept: list[tuple[np.ndarray, np.ndarray]] = []
        rows, weighted, total = 0, False, 0.0
        with read(self.source, preparation(net), 1, net.dtype) as windows:
            for window in windows:
                out = net._forward(window.x, "identity")
                for name, value in net._evaluate(out, window.targets, (), window.weights).items():
                    sums[name] = sums.get(name, 0.0) + value * window.rows
                rows += window.rows
                if window.weights.size:
                    weighted, total = True, total + float(window.weights.sum())
                if metrics:
                    kept.append((out, window.targets.copy()))
        if not rows:
            raise ValueError("a source must have at least one row, got none")
        if weighted and not total:
            raise ValueError("the weights of a source to measure on must not be 0 for all of its rows")
        result = {name: value / rows for name, value in sums.items()}
        others = [metric for metric in metrics if metric.name not in result]
        if others:
            out, targets = (np.concatenate(arrays) for arrays in zip(*kept, strict=True))
            result |= net._measure(others, out, targets)
        return result

    def described(self, _dtype: np.dtype[Any]) -> Any:
        """Return what tells the samples from others: a checkpoint compares it."""
        return self.source._described()
