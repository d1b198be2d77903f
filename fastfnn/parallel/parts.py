"""Parts: which samples of which part each step takes, and in what order.

All ranks know the sizes of all parts, and work out for themselves what those that they hold give to each step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def taken_from(part: int, sizes: Sequence[int], taken: np.ndarray) -> np.ndarray:
    """Return how many of the samples of a part are among the first ones that steps take from all parts.

    Parameters
    ----------
    part : int
        Number of the part.
    sizes : sequence of int
        Samples of each part.
    taken : (S,) int64 array
        Numbers of samples that are taken from all parts together, from 0 to the sum of `sizes`, not descending.

    Returns
    -------
    (S,) int64 array
        Not descending either; those of all parts have the sum `taken`.

    Notes
    -----
    Each half of the parts gets its share of the samples that are taken, and divides it again. A share that rises by
    rounding down leaves one that rises, too, so no part ever has to give back a sample.
    """
    while len(sizes) > 1:
        half = len(sizes) // 2
        lower, all_samples = sum(sizes[:half]), max(sum(sizes), 1)
        taken_lower = taken * lower // all_samples
        if part < half:
            sizes, taken = sizes[:half], taken_lower
        else:
            part, sizes, taken = part - half, sizes[half:], taken - taken_lower
    return taken


class Parts:
    """The parts that a rank holds.

    Parameters
    ----------
    sizes : sequence of int
        Samples of each part of all ranks, in the order of the ranks.
    first, count : int
        Number of the first part that this rank holds, and how many it holds.
    batch_size : int
        Samples of a step over all parts; the last step of an epoch may take fewer.
    sampling : str
        See `FNN.fit`; "in order" takes the samples of each part as they come.

    Attributes
    ----------
    samples, steps : int
        Samples of all parts, and steps of an epoch.
    counts : (count, steps) int64 array
        How many samples each part of this rank gives to each step.
    edges : (steps + 1,) int64 array
        Where the samples of each step begin in the orders of this rank.
    """

    first: int
    batch_size: int
    sampling: str
    samples: int
    steps: int
    counts: np.ndarray
    edges: np.ndarray

    def __init__(self, sizes: Sequence[int], first: int, count: int, batch_size: int, sampling: str) -> None:
        self.first, self.batch_size, self.sampling = first, batch_size, sampling
        self.sizes: list[int] = list(sizes[first : first + count])
        self.samples = sum(sizes)
        self.steps = math.ceil(self.samples / batch_size)
        taken = np.minimum(np.arange(self.steps + 1, dtype=np.int64) * batch_size, self.samples)
        self.totals: np.ndarray = np.diff(taken)  # samples of each step over all parts
        cumulative = np.array([taken_from(first + part, sizes, taken) for part in range(count)])
        self.counts, self.edges = np.diff(cumulative), cumulative.sum(axis=0)
        self._places: np.ndarray | None = None  # in the orders of the parts, one after another, of those of the steps
        if count > 1:
            self._places = np.argsort(np.concatenate([np.repeat(np.arange(self.steps), row) for row in self.counts]),
                                      kind="stable")  # fmt: skip

    @property
    def whole(self) -> bool:
        """Whether each step takes all samples, which then need no order."""
        return self.steps == 1 and self.sampling == "shuffle"

    def draw_orders(self, rng: np.random.Generator, epochs: int, chosen: np.ndarray | None = None) -> np.ndarray:
        """Return the order of this rank's samples in each epoch, (epochs, samples of this rank) int64.

        Each epoch takes one number from `rng`, which is in the same state on all ranks; the orders of parts are drawn
        from generators of their own. `chosen` are the indices of the samples to train on; None if these are
        0, 1, 2, ...
        """
        if self.whole and chosen is None:
            return np.empty((epochs, 0), np.int64)
        orders = np.empty((epochs, sum(self.sizes)), np.int64)
        for order in orders:
            key = int(rng.integers(2**63))
            place = 0
            for part, size in enumerate(self.sizes, self.first):
                of_part = np.random.default_rng([key, part])
                if self.whole or self.sampling == "in order":
                    drawn = np.arange(size)
                else:
                    drawn = of_part.integers(size, size=size) if self.sampling == "replacement" and size else (
                        of_part.permutation(size))  # fmt: skip
                order[place : place + size] = drawn + place
                place += size
            if self._places is not None:
                order[...] = order[self._places]
        return orders if chosen is None else chosen[orders]

    def seed(self, seed: int, part: int) -> int:
        """Return the seed of dropout of a part that this rank holds, from that of the network."""
        return int(np.random.SeedSequence([seed, self.first + part]).generate_state(1)[0])
