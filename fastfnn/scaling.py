"""Training that makes no progress because the data are not scaled: noticed after a `fit`, with the cure.

`FNN.fit` and the estimators call `warn_if_unscaled` once training has ended, and ask for `findings` where it diverged.
A training that goes well costs a look at the losses of some targets; samples are looked at only if it does not. Neither
draws random numbers or changes anything.
"""

from typing import Any, NamedTuple

import numpy as np

from fastfnn import metrics, streams
from fastfnn.base import NetworkBase
from fastfnn.loss import LossBase

MOST_ROWS, MOST_NUMBERS = 1000, 1 << 20  # of the samples that are looked at, evenly spread
FIRST_ROWS = 32  # of features, in a first look: it settles most trainings that stall on scaled data
LEAST_STEPS = 10  # fewer steps are not a training yet
PROGRESS = 0.9  # of the loss of the best constant prediction: what is below is progress
LEAST_RATIO = 100.0  # of the scales of two features
LEAST_SCALE = 30.0  # of a feature or target by itself: initial weights suit values of about 1
LEAST_SHARE = 0.01  # of the samples: a feature that is 0 in all others is too rare to compare
LEAST_VALUES = 10  # that are not 0: fewer tell no scale either, unless there are few samples

REAL_TARGETS = ("squared_error", "huber", "absolute_error", "quantile")


class UnscaledDataWarning(UserWarning):
    """Training made no progress on features or targets that are not scaled.

    Notes
    -----
    `FNN.fit` says when it warns. The message names columns and shows how to standardize them.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> x = np.random.default_rng(0).normal(size=(1000, 2)) * [1, 5000]
    >>> net = fnn.FNN((2, 8, 2), activation="tanh", seed=0)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     history = net.fit(x, x[:, 0] > 0, optimizer=fnn.SGD(0.001))
    >>> [item.category.__name__ for item in caught]
    ['UnscaledDataWarning']
    """


class Cures(NamedTuple):
    """What a message says to do about features, about features of which some are constant, and about real targets."""

    features: str
    with_constants: str
    targets: str


WITH_NUMPY = Cures(
    "mean, std = x.mean(axis=0), x.std(axis=0); x = (x - mean) / std, and later samples by the same mean and std",
    "mean, std = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-8); x = (x - mean) / std, and later samples by the same",
    "mean, std = t.mean(axis=0), t.std(axis=0); t = (t - mean) / std, and predictions back by y * std + mean",
)


def warn_if_unscaled(
    net: NetworkBase,
    last: float,
    steps: int,
    x: Any,
    targets: np.ndarray,
    weights: np.ndarray | None,
    *,
    cures: Cures = WITH_NUMPY,
    level: int,
) -> None:
    """Warn if a training made no progress and the data are not scaled.

    Parameters
    ----------
    net : FNN
        The trained network.
    last : float
        Loss of the last epoch; a penalty in it does no harm.
    steps : int
        Steps of the training.
    x : (N, I) array or sparse array
        Samples, as `validation.samples` returns them.
    targets : (N,) int64 array of labels, or (N, K) array
        Targets of the samples.
    weights : (N,) array or None
        Weights of the samples; None or an empty array if all are 1.
    cures : Cures
    level : int
        The `stacklevel` of the warning, seen from here.
    """
    count, columns = x.shape
    loss, some = net.loss_function, some_rows(count, columns)
    if steps < LEAST_STEPS or not loss.built_in:
        return
    targets, weights = targets[some], None if weights is None or not weights.size else weights[some]
    if weights is not None and not weights.any():
        return
    constant = constant_loss(loss, targets, net.layer_sizes[-1], weights)
    if last < PROGRESS * constant or (targets == targets[0]).all():
        return
    real = targets if loss.name in REAL_TARGETS else None
    if not findings(dense(x[some_rows(count, columns, FIRST_ROWS)]), real, cures):
        return
    rows = dense(x[some])
    found = findings(rows, real, cures)
    if not found:
        return
    out = net._forward(np.ascontiguousarray(rows, net.dtype), "identity")
    with np.errstate(all="ignore"):  # the loss of predictions: that of training may contain dropout and a penalty
        now = _mean(metrics.loss_of_each(loss, out, targets), weights)
    if now < PROGRESS * constant:
        return
    message = (
        f"training made little or no progress: the loss is {now:.4g}, that of the best constant prediction is "
        f"{constant:.4g}; {found}"
    )
    streams.warn(message, UnscaledDataWarning, stacklevel=level)


def add_findings(error: Exception, x: np.ndarray, targets: np.ndarray, loss: LossBase) -> None:
    """Add to the message of a DivergenceError which features or targets are not scaled."""
    some = some_rows(*x.shape)
    found = findings(x[some], targets[some] if loss.name in REAL_TARGETS else None)
    if found:
        error.args = (f"{error.args[0]}. The data may be the reason: {found}", *error.args[1:])


def findings(x: np.ndarray, targets: np.ndarray | None, cures: Cures = WITH_NUMPY) -> str:
    """Return what is not scaled in some samples and real targets, and what to do; nothing if all is well."""
    found = []
    values = x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)
    present = np.count_nonzero(values, axis=0)
    with np.errstate(over="ignore"):  # the scale of a feature is that in the samples where it is not 0
        squares = np.einsum("ij,ij->j", values, values)  # without another array, which would take longest
        scales = np.sqrt(squares / np.maximum(present, 1))
    constant = values.min(axis=0) == values.max(axis=0)
    if constant.all():
        return ""  # nothing can be learned from them
    rare = present < min(max(LEAST_SHARE * len(values), LEAST_VALUES), len(values) / 2)
    compared = np.where(constant | rare, np.inf, scales)
    large, small = int(scales.argmax()), int(compared.argmin())
    cure = cures.with_constants if constant.any() else cures.features
    if scales[large] > LEAST_RATIO * compared[small]:
        found.append(
            f"values of column {large} are about {scales[large]:.3g}, of column {small} about "
            f"{compared[small]:.3g}. Standardize the columns: {cure}"
        )
    elif scales[large] > LEAST_SCALE:
        found.append(f"values of column {large} are about {scales[large]:.3g}. Standardize the columns: {cure}")
    if targets is not None:
        with np.errstate(over="ignore"):
            scale = float(np.sqrt(np.square(targets.astype(np.float64)).mean(axis=0)).max())
        if scale > LEAST_SCALE:
            found.append(f"targets are about {scale:.3g}. Standardize them: {cures.targets}")
    return "; ".join(found)


def constant_loss(loss: LossBase, targets: np.ndarray, outputs: int, weights: np.ndarray | None = None) -> float:
    """Return the mean loss of about the best prediction that is the same for all samples."""
    if targets.ndim == 1 and weights is None:  # the entropy of the classes, without a row for each sample
        (smoothing,) = loss.parameters(outputs)
        shares = np.bincount(targets, minlength=outputs) * ((1 - smoothing) / len(targets)) + smoothing / outputs
        return -float((shares * np.log(np.maximum(shares, 1e-30))).sum())
    rows = np.eye(outputs)[targets] if targets.ndim == 1 else targets.astype(np.float64)
    mean = np.average(rows, axis=0, weights=weights)
    match loss.name:
        case "softmax_cross_entropy":
            (smoothing,) = loss.parameters(outputs)
            best = np.log(np.maximum((1 - smoothing) * mean + smoothing / outputs, 1e-30))
        case "poisson":
            best = np.log(np.maximum(mean, 1e-30))
        case "sigmoid_cross_entropy":
            (smoothing,) = loss.parameters(outputs)
            mean = np.clip((1 - smoothing) * mean + smoothing / 2, 1e-15, 1 - 1e-15)
            best = np.log(mean / (1 - mean))
        case "huber" | "absolute_error":
            best = np.median(rows, axis=0)
        case "quantile":
            levels = loss.parameters(outputs)
            best = np.array([np.quantile(column, level) for column, level in zip(rows.T, levels, strict=True)])
        case _:
            best = mean
    return _mean(metrics.loss_of_each(loss, np.broadcast_to(best, rows.shape), rows), weights)


def _mean(losses: np.ndarray, weights: np.ndarray | None) -> float:
    return float((losses if weights is None else losses * weights).mean())


def some_rows(rows: int, columns: int, most: int = MOST_ROWS) -> Any:
    """Return the index of the rows of an array that are looked at."""
    count = max(1, min(most, MOST_NUMBERS // columns))
    if rows <= count:
        return slice(None)
    # Multiples of a prime modulo the rows: equal distances would be in step with periodic samples.
    return (np.arange(count, dtype=np.uint64) * np.uint64(2654435761) % np.uint64(rows)).astype(np.int64)


def dense(rows: Any) -> np.ndarray:
    array: np.ndarray = rows.toarray() if hasattr(rows, "toarray") else rows
    return array
