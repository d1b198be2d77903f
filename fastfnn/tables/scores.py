"""How good predictions are; scikit-learn computes it."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn import metrics

from fastfnn.tables.base import BaseModel


class Classified(NamedTuple):
    """Predicted classes, N rows and K classes."""

    labels: list[str]
    truth: np.ndarray  # (N,) numbers of classes
    probabilities: np.ndarray  # (N, K)

    @property
    def predicted(self) -> np.ndarray:
        codes: np.ndarray = self.probabilities.argmax(axis=1)
        return codes

    def summary(self) -> dict[str, float]:
        numbers = range(len(self.labels))
        # Probabilities of float32 that are not quite 1 together are no reason for a warning.
        p = self.probabilities.astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        return {
            "accuracy": float(metrics.accuracy_score(self.truth, self.predicted)),
            "log_loss": float(metrics.log_loss(self.truth, p, labels=numbers)),
        }

    def confusion(self) -> np.ndarray:
        """Return how many rows of a class (row) are predicted as a class (column)."""
        matrix: np.ndarray = metrics.confusion_matrix(self.truth, self.predicted, labels=range(len(self.labels)))
        return matrix

    def per_class(self) -> dict[str, dict[str, float]]:
        """Return precision, recall, F1 and number of rows of each class."""
        values = metrics.precision_recall_fscore_support(
            self.truth, self.predicted, labels=range(len(self.labels)), zero_division=0.0
        )
        return {
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
            for label, p, r, f, n in zip(self.labels, *values, strict=True)
        }


class Regressed(NamedTuple):
    """Predicted numbers."""

    name: str
    truth: np.ndarray
    predicted: np.ndarray
    levels: tuple[float, ...] = ()
    quantiles: np.ndarray | None = None  # (N, levels)

    def below(self) -> dict[str, float]:
        """Return the share of the rows that are below each quantile, which should be its level."""
        shares = [] if self.quantiles is None else (self.truth[:, np.newaxis] < self.quantiles).mean(axis=0).tolist()
        return dict(zip(map(str, self.levels), shares, strict=True))

    def summary(self) -> dict[str, float]:
        errors = {
            "rmse": float(metrics.root_mean_squared_error(self.truth, self.predicted)),
            "mae": float(metrics.mean_absolute_error(self.truth, self.predicted)),
        }
        return errors | ({"r2": float(metrics.r2_score(self.truth, self.predicted))} if len(self.truth) > 1 else {})


NAMES = {"accuracy": "accuracy", "log_loss": "log loss", "rmse": "RMSE", "mae": "MAE", "r2": "R2"}


def line(summary: dict[str, float]) -> str:
    """Return scores as a text."""
    exact = ("accuracy", "log_loss", "r2")
    return ", ".join(
        f"{NAMES[name]} {value:.4f}" if name in exact else f"{NAMES[name]} {value:.5g}"
        for name, value in summary.items()
    )


def measured(model: BaseModel, parts: Iterable[pd.DataFrame]) -> Classified | Regressed:
    """Return the predictions of a model for a table that holds its target, beside the truth."""
    truth, out, quantiles = [], [], []
    for part in parts:
        if model.target not in part.columns:
            raise ValueError(f"the table must have the column {model.target!r}, the target, to compare with")
        truth.append(model.truth(part))
        out.append(model.predict(part) if model.labels is None else model.predict_proba(part))
        if model.quantiles:
            quantiles.append(model.predict_quantiles(part))
    if not sum(map(len, truth)):
        raise ValueError("there are no rows to evaluate")
    if model.labels is not None:
        return Classified([str(label) for label in model.labels], np.concatenate(truth), np.concatenate(out))
    predicted = np.concatenate(quantiles) if quantiles else None
    return Regressed(model.target, np.concatenate(truth), np.concatenate(out), model.quantiles, predicted)
