"""Early stopping: the validation data, and the score of the network on them."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from fastfnn import FNN, metrics, validation
from fastfnn.history import History
from fastfnn.sklearn.data import Data, outputs


class HeldOut(NamedTuple):
    """Validation data.

    data   as the kernels take them
    given  X, y and weights as the user gave them, for the scorer of `eval_metric`; None without one
    """

    data: Data
    given: tuple[Any, Any, Any] | None


def split(
    data: Data, given: tuple[Any, Any] | None, fraction: float, random_state: np.random.RandomState,
    stratify: np.ndarray | None,
) -> tuple[np.ndarray, HeldOut]:  # fmt: skip
    """Return the indices of the training samples, and the validation data, as scikit-learn divides them.

    `given` are X and y as the user gave them, where a scorer needs them.
    """
    indices = np.arange(data.samples)
    chosen, others = train_test_split(indices, random_state=random_state, test_size=fraction, stratify=stratify)
    if len(others) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    held_out = data.at(others)
    if held_out.weights is not None:
        check_weight(held_out.weights.sum(), fraction)
    if given is None:
        return chosen, HeldOut(held_out, None)
    x, y = (_safe_indexing(value, others) for value in given)
    return chosen, HeldOut(held_out, (x, y, held_out.weights))


def check_weight(total: float, fraction: float) -> None:
    """Raise ValueError if the samples that are held out have no weight together: they tell nothing."""
    if total == 0:
        raise ValueError(
            f"sample_weight (times class_weight) must not be 0 for all samples that validation_fraction={fraction} "
            "holds out: give other weights, another validation_fraction or random_state, or an eval_set"
        )


def scorer(estimator: Any, net: FNN, held_out: HeldOut) -> Callable[[], float]:
    """Return a function that measures the network: higher is better."""
    if held_out.given is None:
        return lambda: score_of(estimator, outputs(net, held_out.data.x, "identity"), held_out.data)
    metric = get_scorer(estimator.eval_metric) if isinstance(estimator.eval_metric, str) else estimator.eval_metric
    x, y, weights = held_out.given
    more = {"sample_weight": weights} if weights is not None and _takes_weights(metric) else {}

    def score() -> float:
        if not np.isfinite(net._flat).all():
            return np.nan
        try:
            value = metric(estimator, x, y, **more)
        except ValueError:  # also what metrics of scikit-learn say of predictions that are not finite
            if np.isfinite(outputs(net, held_out.data.x, "identity")).all():
                raise
            return np.nan
        return validation.returned_number("eval_metric", value)

    return score


def _takes_weights(metric: Callable[..., Any]) -> bool:
    """Whether a scorer, or a function of (estimator, X, y), has the argument `sample_weight`."""
    function = getattr(metric, "_score_func", metric)  # what a scorer of scikit-learn hands its arguments to
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # Python knows no signature
        return False


def score_of(estimator: Any, out: np.ndarray, data: Data) -> float:
    """Return the score of an estimator by the outputs (N, K) of its network, before the output activation."""
    if not np.isfinite(out).all():
        return np.nan
    return float(estimator._score_of_outputs(out, data))


def measure(net: FNN, held_out: HeldOut | None, trained_on: Data | None, history: History) -> None:
    """Append the loss and the accuracy on validation data to a history, for callbacks that read it.

    `trained_on` are the training samples if their accuracy is asked for, too.
    """
    if held_out is None:
        return
    if trained_on is not None:
        out = outputs(net, trained_on.x, "identity")
        history._extend(accuracy=[metrics.accuracy(net.loss_name, out, trained_on.targets)])
    data = held_out.data
    out = outputs(net, data.x, "identity")
    losses = net._loss_of_each(out, data.targets)
    history._extend(val_loss=[float(np.average(losses, weights=data.weights))])
    if net.loss_function.has_accuracy:
        history._extend(val_accuracy=[metrics.accuracy(net.loss_name, out, data.targets)])
