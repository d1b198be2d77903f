"""Names by which activations, losses, optimizers and metrics are known elsewhere, and the names that they have here.

Constructors look names up here; networks, files and messages hold only the names of this package. Case does not count,
nor do the signs between words: "LeakyReLU", "leaky-relu" and "leaky_relu" are one name.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

# What Keras, PyTorch and scikit-learn call what we call otherwise. The losses of these names may differ from ours by a
# constant factor or term, see `fastfnn.losses`; their minima are the same.
ACTIVATIONS: Mapping[str, str] = {
    "linear": "identity",
    "logistic": "sigmoid",
    "swish": "silu",
}
LOSSES: Mapping[str, str] = {
    "cross_entropy": "softmax_cross_entropy",
    "categorical_crossentropy": "softmax_cross_entropy",
    "sparse_categorical_crossentropy": "softmax_cross_entropy",
    "log": "softmax_cross_entropy",
    "nll": "softmax_cross_entropy",
    "binary_cross_entropy": "sigmoid_cross_entropy",
    "binary_cross_entropy_with_logits": "sigmoid_cross_entropy",
    "bce": "sigmoid_cross_entropy",
    "bce_with_logits": "sigmoid_cross_entropy",
    "mse": "squared_error",
    "mean_squared_error": "squared_error",
    "l2": "squared_error",
    "mae": "absolute_error",
    "mean_absolute_error": "absolute_error",
    "l1": "absolute_error",
    "smooth_l1": "huber",
    "pinball": "quantile",
    "poisson_nll": "poisson",
    "poisson_deviance": "poisson",
}
OPTIMIZERS: Mapping[str, str] = {"nag": "Nesterov"}
METRICS: Mapping[str, str] = {
    "acc": "accuracy",
    "accuracy_score": "accuracy",
    "categorical_accuracy": "accuracy",
    "sparse_categorical_accuracy": "accuracy",
    "balanced_accuracy_score": "balanced_accuracy",
    "precision_score": "precision",
    "recall_score": "recall",
    "f1_score": "f1",
    "roc_auc": "auc",
    "roc_auc_score": "auc",
    "mean_squared_error": "mse",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "r2_score": "r2",
}


def canonical(value: str, names: Iterable[str], others: Mapping[str, str]) -> str:
    """Return the one of `names` that `value` is or, by `others`, stands for; `value` itself if there is none."""
    known = {_key(other): name for other, name in others.items()} | {_key(name): name for name in names}
    key = _key(value)
    return known.get(key) or known.get(key.removesuffix("loss"), value)


def did_you_mean(value: str, names: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Return the end of a message about a name that nobody knows: the most similar one, or nothing."""
    known = {_key(other): name for other, name in (others or {}).items()} | {_key(name): name for name in names}
    similar: list[Any] = difflib.get_close_matches(_key(value), known, n=1)
    return f"; did you mean {known[similar[0]]!r}?" if similar else ""


def repeated(names: Iterable[str]) -> str | None:
    """Return the first name that comes a second time, None if all differ."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _key(name: str) -> str:
    """Return a name without what does not count."""
    return re.sub(r"[-_\s]", "", name).lower()
