"""What is measured: the networks, their data, their operation counts and the losses that they must reach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastfnn import validation
from fastfnn.network import FNN, INIT_GAIN
from fastfnn.optimizers import SGD, Adam, Optimizer

# Those that every library in the comparison has.
ACTIVATIONS = ("identity", "sigmoid", "tanh", "relu")
LOSSES = ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error")
OPTIMIZERS: dict[str, type[SGD] | type[Adam]] = {"sgd": SGD, "adam": Adam}
LEARNING_RATE = {"sgd": 0.01, "adam": 0.001}

# Limits on the steps, samples and operations of a pass over the data, so that the slowest library takes about a second
# for it, and the fastest much longer than reading the clock.
MOST_STEPS = 2_000
MOST_SAMPLES = 8_192
MOST_OPERATIONS = 7e10

# Before a library is timed, it trains CHECKED_STEPS steps on the first batch, or predicts. The losses, or the first
# CHECKED_ROWS rows, must agree with the reference to the tolerance of the dtype. Rounding errors are far smaller, the
# effects of another learning rate, loss or initial weight far larger.
CHECKED_STEPS = 5
CHECKED_ROWS = 10
TOLERANCE = {"float32": 1e-3, "float64": 1e-6}


@dataclass(frozen=True)
class Case:
    """A network and what it does: train on batches of `batch_size` samples, or predict `batch_size` rows."""

    name: str
    layers: tuple[int, ...]
    batch_size: int
    activation: str = "relu"
    loss: str = "softmax_cross_entropy"
    optimizer: str = "sgd"
    learning_rate: float = LEARNING_RATE["sgd"]
    init: float | str = "he"
    predict: bool = False
    dtype: str = "float32"

    @property
    def steps(self) -> int:
        """Training steps in a pass over the data; 1 for predictions."""
        if self.predict or self.batch_size >= MOST_SAMPLES:
            return 1
        return max(2, min(MOST_STEPS, MOST_SAMPLES // self.batch_size, int(MOST_OPERATIONS / self.operations)))

    @property
    def samples(self) -> int:
        """Number of samples: whole batches."""
        return self.steps * self.batch_size

    @property
    def operations(self) -> int:
        """Floating-point operations in the products of a step, 2 per multiply-add.

        A layer has three products, x W, G W^T and x^T G; the first layer has no G W^T, since nobody needs the gradient
        with respect to the input. Predictions have one product per layer.
        """
        weights = [inputs * outputs for inputs, outputs in pairwise(self.layers)]
        return 2 * self.batch_size * (sum(weights) if self.predict else 3 * sum(weights) - weights[0])

    @property
    def description(self) -> str:
        """A line such as "784-50-10 sigmoid, softmax cross-entropy, batch 100, SGD"."""
        net = f"{'-'.join(map(str, self.layers))} {self.activation}"
        if self.predict:
            return f"{net}, prediction of {self.batch_size:,} rows"
        loss = self.loss.replace("_cross", " cross").replace("_", "-" if "cross" in self.loss else " ")
        return f"{net}, {loss}, batch {self.batch_size:,}, {OPTIMIZERS[self.optimizer].__name__}"

    def make_optimizer(self) -> Optimizer:
        """This package's optimizer for the case, in its initial state."""
        return OPTIMIZERS[self.optimizer](self.learning_rate)


_NOTES = Case("notes", (784, 50, 10), 100, activation="sigmoid", learning_rate=0.1, init=0.01)
_TABULAR = Case("tabular", (30, 64, 64, 1), 32, "relu", "squared_error", "adam", LEARNING_RATE["adam"])

CASES = {
    case.name: case
    for case in (
        _NOTES,
        replace(_NOTES, name="online", batch_size=1),
        Case("medium", (784, 512, 512, 10), 128),
        Case("large", (784, 2048, 2048, 10), 512),
        _TABULAR,
        replace(_TABULAR, name="tiny", layers=(4, 32, 16, 4), batch_size=10_000, activation="tanh"),
        Case("predict", (784, 512, 512, 10), 10_000, predict=True),
    )
}


def chosen(names: Sequence[str], dtype: str) -> list[Case]:
    """The cases with these names, in the order of the table; all cases if there are no names."""
    for name in names:
        validation.choice("--case", name, tuple(CASES))
    _check_dtype(dtype)
    return [replace(case, dtype=dtype) for name, case in CASES.items() if name in names or not names]


def custom(
    layers: Sequence[int],
    *,
    batch_size: int = 100,
    activation: str = "relu",
    loss: str = "softmax_cross_entropy",
    optimizer: str = "sgd",
    predict: bool = False,
    dtype: str = "float32",
) -> Case:
    """A case described by the options of the command; TypeError or ValueError names an option with a wrong value."""
    if len(layers) < 2:
        raise ValueError(f"--layers must have at least two entries, input and output, got {len(layers)}")
    sizes = tuple(validation.integer("--layers", size, 1) for size in layers)
    validation.integer("--batch-size", batch_size, 1)
    validation.choice("--activation", activation, ACTIVATIONS)
    validation.choice("--loss", loss, LOSSES)
    validation.choice("--optimizer", optimizer, tuple(OPTIMIZERS))
    _check_dtype(dtype)
    init = "he" if activation == "relu" else "xavier"
    return Case(
        "custom", sizes, batch_size, activation, loss, optimizer, LEARNING_RATE[optimizer], init, predict, dtype
    )


def _check_dtype(dtype: str) -> None:
    validation.choice("--dtype", dtype, tuple(TOLERANCE))


class Data(NamedTuple):
    """The input of every library.

    x        (N, I)  standard normal, of the case's dtype
    targets  (N,) int64 labels for softmax cross-entropy, else rows (N, K) of the case's dtype
    weights  (I, O) and (O,) of each layer, of the case's dtype: the initial weight and bias
    """

    x: np.ndarray
    targets: np.ndarray
    weights: list[tuple[np.ndarray, np.ndarray]]


def make_data(case: Case) -> Data:
    """The data of a case: random, but the same in every process."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((case.samples, case.layers[0])).astype(case.dtype)
    weights = []
    for inputs, outputs in pairwise(case.layers):
        std = (INIT_GAIN[case.init] / inputs) ** 0.5 if isinstance(case.init, str) else case.init
        weight = std * rng.standard_normal((inputs, outputs))
        weights.append((weight.astype(case.dtype), np.zeros(outputs, case.dtype)))
    return Data(x, _targets(case, rng), weights)


def _targets(case: Case, rng: np.random.Generator) -> np.ndarray:
    # Unbalanced, so that a few steps change the loss by much more than the tolerance of the check.
    shape = case.samples, case.layers[-1]
    if case.loss == "squared_error":
        return (1 + rng.standard_normal(shape)).astype(case.dtype)
    if case.loss == "sigmoid_cross_entropy":
        return (rng.random(shape) < 0.2).astype(case.dtype)
    odds = 1 / np.arange(1, shape[1] + 1)
    labels = rng.choice(shape[1], shape[0], p=odds / odds.sum())
    labels[::-1][: shape[1]] = np.arange(shape[1])[: shape[0]]  # scikit-learn needs a sample of every class
    return labels


def reference(case: Case, data: Data) -> list[float]:
    """What `Peer.check` must return, computed by this package's reference backend in float64.

    These are the losses of the first CHECKED_STEPS steps on the first batch, or the first CHECKED_ROWS predictions,
    flattened.
    """
    net = build(case, data, backend="reference", dtype="float64")
    x, targets = data.x[: case.batch_size], data.targets[: case.batch_size]
    if case.predict:
        return [float(value) for value in net.predict(x[:CHECKED_ROWS]).ravel()]
    history = net.fit(x, targets, epochs=CHECKED_STEPS, batch_size=None, optimizer=case.make_optimizer())
    return [float(value) for value in history.step_loss]


def agree(case: Case, got: Sequence[float], want: Sequence[float]) -> bool:
    """Whether the numbers of a check agree with those of the reference."""
    limit = TOLERANCE[case.dtype] * float(np.abs(want).max())
    return len(got) == len(want) and bool((np.abs(np.subtract(got, want)) <= limit).all())


def build(case: Case, data: Data, **options: str) -> FNN:
    """This package's network for a case, with the initial weights of the data."""
    settings: dict[str, Any] = {"activation": case.activation, "loss": case.loss, "dtype": case.dtype, **options}
    net = FNN(case.layers, seed=0, **settings)
    set_weights(net, data)
    return net


def set_weights(net: FNN, data: Data) -> None:
    """Set the parameters of a network to the initial weights of the data."""
    for layer, (weight, bias) in enumerate(data.weights, 1):
        net.params[f"W{layer}"], net.params[f"b{layer}"] = weight, bias
