"""Loss and accuracy of given outputs: what `FNN.loss`, `FNN.accuracy` and `FNN.evaluate` compute after prediction."""

import functools
import math
from collections.abc import Callable

import numpy as np

from fastfnn.loss import LossBase

OfClasses = Callable[[str, np.ndarray, np.ndarray], float]


def loss_of_each(loss: LossBase, out: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the loss E_i of each sample, in float64, for a built-in loss.

    Parameters
    ----------
    loss : LossBase
        With its parameters.
    out : (N, K) array
        Logits of the last layer, before the output activation.
    targets : (N,) int64 array of labels, or (N, K) array

    Returns
    -------
    (N,) float64 array
    """
    z, parameters = out.astype(np.float64), loss.parameters(out.shape[1])
    t = np.eye(z.shape[1])[targets] if targets.ndim == 1 else targets.astype(np.float64)
    match loss.name:
        case "softmax_cross_entropy":
            t = (1 - parameters[0]) * t + parameters[0] / z.shape[1]
            minus_log = np.logaddexp.reduce(z, axis=1, keepdims=True) - z  # -log softmax(z)
            terms = np.multiply(t, minus_log, out=np.zeros_like(z), where=t != 0)  # 0 log 0 is 0
        case "sigmoid_cross_entropy":
            terms = np.logaddexp(0, z) - z * ((1 - parameters[0]) * t + parameters[0] / 2)
        case "squared_error":
            terms = 0.5 * np.square(z - t)
        case "poisson":
            with np.errstate(over="ignore"):
                terms = np.exp(z) - t * z + t * np.log(np.where(t == 0, 1, t)) - t
        case "huber":
            distance = np.abs(z - t)
            square = np.minimum(distance, parameters[0])
            terms = 0.5 * np.square(square) + parameters[0] * (distance - square)
        case "absolute_error":
            terms = np.abs(z - t)
        case _:  # "quantile"
            terms = np.maximum(parameters * (t - z), (parameters - 1) * (t - z))
    return terms.sum(axis=1)  # type: ignore[no-any-return]


def nan_of_nan(metric: OfClasses) -> OfClasses:
    """Let a metric of classes be NaN where a logit is: the first such class would be taken for the largest."""

    @functools.wraps(metric)
    def measured(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
        return math.nan if np.isnan(out).any() else metric(loss, out, targets)

    return measured


@nan_of_nan
def accuracy(loss: str, out: np.ndarray, targets: np.ndarray) -> float:
    """Return the fraction of samples whose logits `out` (N, K) predict `targets`; `loss` is a cross-entropy."""
    if loss == "sigmoid_cross_entropy":
        return float(np.mean(np.all((out > 0) == (targets > 0.5), axis=1)))
    labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
    return float(np.mean(out.argmax(axis=1) == labels))
