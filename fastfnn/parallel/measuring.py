"""What is measured on the samples of all ranks together, each of which has some: losses, metrics, digests.

All ranks call these functions at the same time, and get the same result.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastfnn import digests
from fastfnn.held_out import Part
from fastfnn.metrics import Metric
from fastfnn.parallel.ranks import Ranks

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
    if any(ranks.gathered(rows is not None and not isinstance(rows, np.ndarray))) and isinstance(rows, np.ndarray):
        import scipy.sparse

        rows = scipy.sparse.csr_array(rows)  # as those of other ranks
    own = digests.digest(rows, dtype)
    told = ranks.gathered((0 if rows is None else rows.shape[0], own))
    if len({text for _, text in told}) == 1:
        return own
    counts = [count for count, _ in told]
    pieces = (
        [] if rows is None or not rows.shape[0] else _pieces(digests.by_rows(rows), sum(counts[: ranks.rank]), dtype)
    )
    return digests.of_blocks(_whole_blocks(ranks.gathered(pieces), dtype), sum(counts))


def _pieces(rows: Any, first: int, dtype: np.dtype[Any] | None) -> list[Any]:
    """Return the digests of the blocks that a rank has whole, and the rows of those that it has some of.

    `first` is the number of its first row among those of all ranks.
    """
    size, count = digests.block_rows(rows, dtype), rows.shape[0]
    begin = min(-first % size, count)
    end = begin + (count - begin) // size * size
    whole = [digests.block_digest(rows[at : at + size], dtype) for at in range(begin, end, size)]
    some = [(size, part if dtype is None else part.astype(dtype)) for part in (rows[:begin], rows[end:])]
    return [some[0], *whole, some[1]]


def _whole_blocks(pieces: list[list[Any]], dtype: np.dtype[Any] | None) -> Iterator[bytes]:
    """Yield the digest of each block of the rows of all ranks."""
    parts: list[Any] = []
    for piece in itertools.chain.from_iterable(pieces):
        if isinstance(piece, bytes):
            yield piece
            continue
        size, rows = piece
        if rows.shape[0]:
            parts.append(rows)
        if sum(part.shape[0] for part in parts) == size:
            yield digests.block_digest(_joined(parts), dtype)
            parts = []
    if parts:
        yield digests.block_digest(_joined(parts), dtype)


def _joined(parts: list[Any]) -> Any:
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    import scipy.sparse

    return scipy.sparse.vstack(parts, "csr")
