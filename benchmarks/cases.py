"""The networks of the speed table, and some whose steps take other paths through the kernels, all quick to time.

They are repeated from fastfnn.bench.cases, because old versions do not have that package.
"""

import importlib
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

import fastfnn as fnn

from .common import normal

# So small that the thousandth call does the same work as the first: nothing converges, diverges or becomes denormal.
LEARNING_RATE = 1e-9


@dataclass(frozen=True)
class Case:
    """A network, and a fit of `epochs` passes over `batches` batches of `batch_size` samples."""

    layers: tuple[int, ...]
    batch_size: int
    batches: int
    epochs: int = 1
    activation: str = "relu"
    loss: str = "softmax_cross_entropy"
    optimizer: str = "SGD"
    init: float | str = "he"

    @property
    def operations(self):
        """Floating-point operations in the products of a step, 2 per multiply-add, as in fastfnn.bench.cases."""
        return self.batch_size * (3 * self.operations_of_prediction - 2 * self.layers[0] * self.layers[1])

    @property
    def operations_of_prediction(self):
        """Floating-point operations in the prediction of one row."""
        return 2 * sum(inputs * outputs for inputs, outputs in pairwise(self.layers))

    def samples(self, dtype, count):
        """Inputs (count, I)."""
        return normal(count, self.layers[0], dtype=dtype)

    def targets(self, dtype, count):
        """Labels (count,) or rows (count, K), depending on the loss."""
        if self.loss == "softmax_cross_entropy":
            return np.arange(count) % self.layers[-1]
        return normal(count, self.layers[-1], dtype=dtype, seed=1)

    def data(self, dtype, count):
        """Inputs and targets."""
        return self.samples(dtype, count), self.targets(dtype, count)

    def network(self, dtype, backend="kernels"):
        """The network with its initial weights."""
        return fnn.FNN(
            self.layers, activation=self.activation, loss=self.loss, init=self.init, dtype=dtype, seed=0,
            backend=backend,
        )  # fmt: skip

    def fitter(self, dtype, backend="kernels"):
        """A function that calls `FNN.fit` for all steps of the case."""
        if not hasattr(fnn, self.optimizer):
            raise NotImplementedError(f"fastfnn has no {self.optimizer}")
        count = self.batch_size * self.batches
        (x, t), net = self.data(dtype, count), self.network(dtype, backend)
        optimizer = getattr(fnn, self.optimizer)(LEARNING_RATE)
        return lambda: net.fit(x, t, epochs=self.epochs, batch_size=self.batch_size, optimizer=optimizer)


_MEDIUM = Case((784, 512, 512, 10), 128, 4)
_NOTES = Case((784, 50, 10), 100, 40, activation="sigmoid", init=0.01)

CASES = {
    "notes": _NOTES,
    "online": replace(_NOTES, batch_size=1, batches=1000),
    "medium": _MEDIUM,
    "large": Case((784, 2048, 2048, 10), 512, 2),
    "tabular": Case((30, 64, 64, 1), 32, 200, loss="squared_error", optimizer="Adam"),
    "tiny": Case((4, 32, 16, 4), 10_000, 1, 8, "tanh", "squared_error", "Adam"),
    "all samples": replace(_MEDIUM, batch_size=8192, batches=1),
    "small data": Case((4, 16, 3), 30, 5, 100, "tanh", optimizer="Adam"),
    "widening": Case((50, 1000, 1), 128, 20, loss="squared_error"),
    "blocks": Case((20, 100, 100, 100, 2), 512, 8),
}


@dataclass(frozen=True)
class TableCase:
    """A network for tables, whose features are numbers in bins, and an epoch of `batches` batches."""

    members: int
    scaled: bool
    hidden: tuple[int, ...]
    batch_size: int
    batches: int
    features: int = 8
    bins: int = 48
    width: int = 16

    @property
    def count(self):
        """Samples of an epoch."""
        return self.batch_size * self.batches

    @property
    def sizes(self):
        """Embedded inputs, hidden units, the output."""
        return self.features * self.width, *self.hidden, 1

    @property
    def operations(self):
        """Operations in the products of an epoch; embeddings need the gradient of the first layer's input, too."""
        return 6 * self.count * self.members * sum(inputs * outputs for inputs, outputs in pairwise(self.sizes))

    def samples(self, dtype):
        """Positions in bins (N, features)."""
        return np.random.default_rng(0).uniform(0, self.bins, (self.count, self.features)).astype(dtype)

    def targets(self, dtype):
        """Rows (N, 1)."""
        return normal(self.count, 1, dtype=dtype, seed=1)

    def network(self, dtype, backend="kernels"):
        """The network with its initial weights; NotImplementedError where this version has none."""
        try:
            module = importlib.import_module("fastfnn.tabular.network")
        except ImportError as error:
            raise NotImplementedError("no fastfnn.tabular") from error
        features = [module.Feature("bins", self.bins, self.width)] * self.features
        return module.TabularNetwork(
            features, self.hidden, 1, members=self.members, scaled=self.scaled, dtype=dtype, seed=0, backend=backend,
        )  # fmt: skip


TABLE_CASES = {
    "TabM-mini": TableCase(16, False, (256, 256, 256), 256, 2),
    "TabM": TableCase(16, True, (256, 256, 256), 256, 2),
    "one member": TableCase(1, False, (256, 256, 256), 256, 16),
    "small": TableCase(4, False, (32, 32), 64, 8, bins=8, width=4),
}
