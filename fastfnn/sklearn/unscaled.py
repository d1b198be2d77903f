"""Data that are not scaled, see `fastfnn.scaling`: what the estimators say of them, with scikit-learn's cures."""

from typing import Any

import numpy as np

from fastfnn import scaling
from fastfnn.sklearn import holder


def cures(estimator: Any) -> scaling.Cures:
    """Return what to do, in the words of scikit-learn."""
    name = type(estimator).__name__
    features = f"make_pipeline(StandardScaler(), {name}(...))"
    return scaling.Cures(
        features, features, f"TransformedTargetRegressor({name}(...), transformer=StandardScaler())"
    )  # fmt: skip


def warn(estimator: Any, x: Any, targets: np.ndarray, weights: np.ndarray | None) -> None:
    """Warn if the `fit` that has ended made no progress for that reason; the warning points to the caller of `fit`."""
    members = getattr(estimator, "estimators_", [estimator])
    loss = estimator.loss_ * estimator._loss_divisor()
    scaling.warn_if_unscaled(
        holder.network_of(members[0]), loss, estimator.n_iter_, x, targets, weights, cures=cures(estimator), level=7
    )


def diverged(estimator: Any, x: Any, targets: np.ndarray) -> ValueError:
    """Return the error of a training that diverged, with a note about the data if they may be the reason."""
    error = ValueError(
        "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
        "preprocessed."
    )
    some = scaling.some_rows(*x.shape)
    real = estimator._network_loss().name in scaling.REAL_TARGETS
    found = scaling.findings(scaling.dense(x[some]), targets[some] if real else None, cures(estimator))
    if found:
        error.add_note(f"The data may be the reason: {found}")
    return error
