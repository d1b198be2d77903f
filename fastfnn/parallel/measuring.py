"""What is measured on the samples of all ranks together, each of which has some: losses, metrics, digests.

All ranks call these functions at the same time, and get the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastfnn.held_out import Part
from fastfnn.metrics import Metric
from fastfnn.parallel.ranks import Ranks
from fastfnn.resuming import ROWS_OF_DIGEST, digest

NO_OUTPUTS = np.empty(0)


def means(ranks: Ranks, net: Any, part: Part | None) -> dict[str, float]:
    """Return loss and accuracy of a network; `part` is None where a rank has no such samples."""
    own = None
    if part is not None:
        own = len(part.targets), net._evaluate(part.outputs(net), part.targets, [], part.weights)
    told = [pair for pair in ranks.comm.allgather(own) if pair is not None]
    total = sum(count for count, _ in told)
    return {name: sum(count * result[name] for count, result in told) / total for name in told[0][1]}


def of_all(ranks: Ranks, net: Any, part: Part | None, metrics: Sequence[Metric]) -> dict[str, float]:
    """Return metrics of a network by name: they need not be means, so rank 0 measures the outputs of all."""
    if not metrics:
        return {}
    gathered = ranks.comm.gather((NO_OUTPUTS, NO_OUTPUTS) if part is None else (part.outputs(net), part.targets))
    result: dict[str, float] = {}
    with ranks.agreed():
        if gathered is not None:
            out, targets = (np.concatenate([each for each in arrays if each.size])
                            for arrays in zip(*gathered, strict=True))  # fmt: skip
            result = net._measure(metrics, out, targets)
    measured: dict[str, float] = ranks.from_first(result)
    return measured


def shared_digest(ranks: Ranks, rows: Any, dtype: np.dtype[Any] | None = None) -> str | None:
    """Return the `digest` of an array that the ranks share, or of one that all have; it is the same for any sharing."""
    own = digest(rows, dtype)
    told = ranks.gathered((0 if rows is None else rows.shape[0], own))
    if len({text for _, text in told}) == 1:
        return own
    counts = [count for count, _ in told]
    first = sum(counts[: ranks.rank])
    wanted = np.linspace(0, sum(counts) - 1, min(sum(counts), ROWS_OF_DIGEST)).astype(np.int64) - first
    mine = None
    if rows is not None:
        mine = rows[wanted[(wanted >= 0) & (wanted < rows.shape[0])]]
        mine = mine if isinstance(mine, np.ndarray) else mine.toarray()
    some = [part for part in ranks.gathered(mine) if part is not None and len(part)]
    return digest(np.concatenate([part if dtype is None else part.astype(dtype) for part in some]))
