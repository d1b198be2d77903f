"""Metrics of networks whose targets are numbers, from predictions y and targets t, (N, K) each; see `named`.

They are computed in float64 and averaged over samples and outputs.
"""

import numpy as np


def mse(y: np.ndarray, t: np.ndarray) -> float:
    """Return the mean of the squared differences, without a factor of 1/2."""
    return float(np.mean(_squares(y, t)))


def rmse(y: np.ndarray, t: np.ndarray) -> float:
    """Return the square root of the mean of the squared differences."""
    return float(np.sqrt(np.mean(_squares(y, t))))


def mae(y: np.ndarray, t: np.ndarray) -> float:
    """Return the mean of the absolute differences."""
    return float(np.mean(np.abs(y.astype(np.float64) - t)))


def r2(y: np.ndarray, t: np.ndarray) -> float:
    """Return the coefficient of determination, ``1 - sum (t - y)^2 / sum (t - mean t)^2``, averaged over the outputs.

    Of an output whose targets are all equal it is 1 if all predictions are right, else 0.
    """
    residual = _squares(y, t).sum(axis=0)
    total = _squares(t, t.mean(axis=0, dtype=np.float64)).sum(axis=0)
    constant = (t == t[0]).all(axis=0)
    share = np.divide(residual, total, out=np.where(residual == 0, 0.0, 1.0), where=~constant)
    return float(np.mean(1 - share))


def _squares(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.square(y.astype(np.float64) - t)  # type: ignore[no-any-return]
