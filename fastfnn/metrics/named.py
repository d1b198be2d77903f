"""The metrics of `FNN.fit` and `FNN.evaluate`: those that have a name, and functions of a user.

`training` and `network` call `checked_metrics` with what the user gave, and `Metric.measure` with outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastfnn import names, validation
from fastfnn.loss import LossBase
from fastfnn.metrics import classification, regression
from fastfnn.metrics.outputs import accuracy

# Functions of (name of the loss, logits, targets).
OF_CLASSES: dict[str, Callable[[str, np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": classification.balanced_accuracy,
    "precision": classification.precision,
    "recall": classification.recall,
    "f1": classification.f1,
    "auc": classification.auc,
}

# Functions of (predictions, targets).
OF_NUMBERS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mse": regression.mse,
    "rmse": regression.rmse,
    "mae": regression.mae,
    "r2": regression.r2,
}

HIGHER_IS_BETTER = frozenset((*OF_CLASSES, "r2"))

# Names in a history that a function cannot have.
TAKEN = ("epoch", "loss", "accuracy", "seconds", "samples_per_second", "learning_rate", "step_loss")


def higher_is_better(name: str) -> bool | None:
    """Return the direction in which a list of the history improves; None if that of a user's metric is asked for."""
    name = name.removeprefix("val_")
    if name == "loss" or name in OF_NUMBERS or name in OF_CLASSES:
        return name in HIGHER_IS_BETTER
    return None


class Metric(NamedTuple):
    """A metric that has been checked.

    name      what the history calls it, after "val_" for the validation data
    argument  what messages call it
    function  of a user, of targets and predictions; None for a metric of `OF_CLASSES` or `OF_NUMBERS`
    """

    name: str
    argument: str = ""
    function: Callable[[np.ndarray, np.ndarray], Any] | None = None

    def measure(
        self, loss: LossBase, out: np.ndarray, targets: np.ndarray, predictions: Callable[[], np.ndarray]
    ) -> float:
        """Return the metric of logits `out` (N, K) and targets; `predictions` returns what `FNN.predict` would."""
        if self.function is None:
            if self.name in OF_CLASSES:
                return OF_CLASSES[self.name](loss.name, out, targets)
            return OF_NUMBERS[self.name](predictions(), targets)
        return validation.returned_number(f"{self.argument}, {self.name},", self.function(targets, predictions()))


def checked_metrics(values: Any, loss: LossBase) -> list[Metric]:
    """Return the argument `metrics` of `FNN.fit` as metrics for a network with this loss."""
    if values is None:
        return []
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"metrics must be a list of names and functions, got {type(values).__name__}")
    found: list[Metric] = []
    for i, value in enumerate(values):
        metric = _checked(f"metrics[{i}]", value, loss)
        if metric.name in [other.name for other in found]:
            raise ValueError(f"metrics must have different names, got two with the name {metric.name!r}")
        found.append(metric)
    return found


def _checked(argument: str, value: Any, loss: LossBase) -> Metric:
    if isinstance(value, str):
        return Metric(_known_name(argument, value, loss), argument)
    if isinstance(value, type) or not callable(value):
        got = f"class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{argument} must be a name or a function of (t, y), got {got}")
    name = getattr(value, "__name__", None)
    if not isinstance(name, str) or not name.isidentifier():
        what = "a lambda" if name == "<lambda>" else f"a {type(value).__name__} without one"
        raise ValueError(f"{argument} must be a function with a name, for the history, got {what}: write it with def")
    if name in TAKEN or name.startswith("val_"):
        raise ValueError(f"{argument} must have another name than those that a history has already, got {name!r}")
    return Metric(name, argument, value)


def _known_name(argument: str, value: str, loss: LossBase) -> str:
    known = tuple(OF_CLASSES if loss.has_accuracy else OF_NUMBERS)
    try:
        return validation.choice(argument, value, known, names.METRICS)
    except ValueError as error:
        other = OF_NUMBERS if loss.has_accuracy else OF_CLASSES
        if names.canonical(value, other, names.METRICS) not in other:
            raise
        message = f"{argument} must suit the loss {loss.name}: one of {', '.join(known)}; got {value!r}"
        raise ValueError(message) from error
