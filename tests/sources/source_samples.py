"""Samples, networks and sources that the tests of sources share."""

import numpy as np

import fastfnn as fnn
from fastfnn.sources import ArraySource, BatchSource, ShardSource, Source

COUNT, INPUTS, CLASSES = 137, 4, 3
_rng = np.random.default_rng(0)
X = _rng.standard_normal((COUNT, INPUTS)).astype(np.float32)
T = _rng.integers(0, CLASSES, COUNT)
W = _rng.random(COUNT).astype(np.float32)


def network(**options):
    return fnn.FNN((INPUTS, 5, CLASSES), **({"activation": "tanh", "seed": 1} | options))


def trained(source, *targets, seed=1, **options):
    """The parameters after a fit, and its history."""
    net = network(seed=seed)
    history = net.fit(source, *targets, **({"epochs": 3, "batch_size": 8} | options))
    return net._flat.copy(), history


def line():
    """A network that diverges as soon as its rate is large."""
    return fnn.FNN((INPUTS, 1), loss="squared_error", seed=1)


def parts(size, *arrays):
    """Consecutive parts of arrays, of so many rows."""
    return [tuple(array[i : i + size] for array in arrays) for i in range(0, len(arrays[0]), size)]


class Chunks(Source):
    """A source of a user, whose chunks are these; it does not know how many rows they have."""

    def __init__(self, chunks, **options):
        super().__init__(**options)
        self.given = chunks

    def chunks(self):
        yield from self.given


__all__ = [
    "CLASSES", "COUNT", "INPUTS", "ArraySource", "BatchSource", "Chunks", "ShardSource", "T", "W", "X", "line",
    "network", "parts", "trained",
]  # fmt: skip
