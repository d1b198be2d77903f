"""Targets: labels, numbers or quantiles as what a network learns, its outputs as predictions, and validation scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastfnn import losses
from fastfnn.loss import LossBase

LEAST_PROBABILITY = 1e-7  # in a log loss


class Measured(NamedTuple):
    """How good outputs are on validation data.

    loss      mean loss of the network, without label smoothing
    score     what the training keeps the best of, lower is better
    accuracy  share of rows whose label is right; None for numbers
    """

    loss: float
    score: float
    accuracy: float | None


@dataclass(frozen=True, eq=False)
class LabelTarget:
    """Labels of classes.

    Attributes
    ----------
    classes : array
        The labels, sorted.
    label_smoothing : float
        Of the loss in training.
    metric : {"log_loss", "error"}
        The validation score.
    """

    classes: np.ndarray
    label_smoothing: float
    metric: str

    @property
    def outputs(self) -> int:
        """Number of outputs of the network."""
        return len(self.classes)

    def loss(self) -> LossBase:
        """Return what training minimizes."""
        return losses.SoftmaxCrossEntropy(label_smoothing=self.label_smoothing)

    def encode(self, labels: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """Return what the network learns."""
        return labels

    def measure(self, out: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Measured:
        """Return how good outputs are."""
        right = out[np.arange(len(out)), labels].astype(np.float64)
        loss = float(np.average(-np.log(np.maximum(right, LEAST_PROBABILITY)), weights=weights))
        accuracy = float(np.average(out.argmax(axis=1) == labels, weights=weights))
        return Measured(loss, loss if self.metric == "log_loss" else 1 - accuracy, accuracy)


@dataclass(frozen=True, eq=False)
class NumberTarget:
    """Numbers, or quantiles of a number.

    Attributes
    ----------
    mean, scale : array (K,)
        Mean and standard deviation in the rows for training.
    low, high : array (K,)
        Range of these rows: predictions stay in it.
    quantiles : tuple of float
        Levels, one for each output; empty for means.
    """

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    quantiles: tuple[float, ...]

    @classmethod
    def fit(cls, y: np.ndarray, weights: np.ndarray, quantiles: tuple[float, ...]) -> NumberTarget:
        """Learn from the targets (N, K) of the rows for training."""
        # A power of 2 near the largest number: the squares of y may be out of range, those of y / unit are not.
        unit = np.ldexp(1.0, np.frexp(np.abs(y).max(axis=0))[1] - 1)
        mean = np.average(y / unit, axis=0, weights=weights)
        scale = unit * np.sqrt(np.average((y / unit - mean) ** 2, axis=0, weights=weights))
        return cls(unit * mean, np.where(scale > 0, scale, 1.0), y.min(axis=0), y.max(axis=0), quantiles)

    @property
    def metric(self) -> str:
        """The validation score."""
        return "pinball" if self.quantiles else "rmse"

    @property
    def outputs(self) -> int:
        """Number of outputs of the network."""
        return len(self.quantiles) or len(self.mean)

    def loss(self) -> LossBase:
        """Return what training minimizes."""
        return losses.Quantile(levels=self.quantiles) if self.quantiles else losses.SquaredError()

    def encode(self, y: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
        """Return what the network learns: standardized numbers, one column for each output."""
        standardized = ((y - self.mean) / self.scale).astype(dtype)
        return np.ascontiguousarray(np.broadcast_to(standardized, (len(y), self.outputs)))

    def decode(self, out: np.ndarray) -> np.ndarray:
        """Return predictions (N, K) in float64, quantiles in rising order."""
        values: np.ndarray = np.clip(out * self.scale + self.mean, self.low, self.high)
        return np.sort(values, axis=1) if self.quantiles else values

    def measure(self, out: np.ndarray, y: np.ndarray, weights: np.ndarray) -> Measured:
        """Return how good outputs are: in the unit of the target; of several targets, in standard deviations."""
        error = (self.decode(out) - y) / self.scale
        unit = float(self.scale[0]) if len(self.scale) == 1 else 1.0
        if self.quantiles:
            levels = np.array(self.quantiles)
            pinball = np.average(np.maximum(-levels * error, (1 - levels) * error), axis=0, weights=weights)
            return Measured(float(pinball.sum()), unit * float(pinball.mean()), None)
        squares = np.average(error**2, axis=0, weights=weights)
        return Measured(float(squares.sum() / 2), unit * float(np.sqrt(squares.mean())), None)


Target = LabelTarget | NumberTarget
