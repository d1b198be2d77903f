"""Metrics of networks whose targets are numbers, from predictions y and targets t, (N, K) each; see `named`.

They are computed in float64 and averaged over samples and outputs; targets that are NaN are missing, and left out.
"""

import numpy as np


def mse(y: np.ndarray, t: np.ndarray) -> float:
    """Return the mean of the squared differences, without a factor of 1/2."""
    return _mean(_squares(y, t), t)


def rmse(y: np.ndarray, t: np.ndarray) -> float:
    """Return the square root of the mean of the squared differences."""
    return float(np.sqrt(_mean(_squares(y, t), t)))


def mae(y: np.ndarray, t: np.ndarray) -> float:
    """Return the mean of the absolute differences."""
    return _mean(np.abs(y.astype(np.float64) - t), t)


def r2(y: np.ndarray, t: np.ndarray) -> float:
    """Return the coefficient of determination, ``1 - sum (t - y)^2 / sum (t - mean t)^2``, averaged over the outputs.

    Of an output whose targets are all equal it is 1 if all predictions are right, else 0.
    """
    if np.isnan(t).any():
        columns = [(y[there, k : k + 1], t[there, k : k + 1]) for k, there in enumerate(~np.isnan(t).T) if there.any()]
        return float(np.mean([r2(*column) for column in columns])) if columns else np.nan
    residual = _squares(y, t).sum(axis=0)
    total = _squares(t, t.mean(axis=0, dtype=np.float64)).sum(axis=0)
    constant = (t == t[0]).all(axis=0)
    share = np.divide(residual, total, out=np.where(residual == 0, 0.0, 1.0), where=~constant)
    return float(np.mean(1 - share))


def _mean(values: np.ndarray, t: np.ndarray) -> float:
    """Return the mean of the values whose targets are there; NaN if there is none."""
    missing = np.isnan(t)
    if not missing.any():
        return float(np.mean(values))
    return float(np.mean(values[~missing])) if not missing.all() else np.nan


def _squares(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.square(y.astype(np.float64) - t)  # type: ignore[no-any-return]
