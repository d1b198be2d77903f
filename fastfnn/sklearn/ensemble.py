"""Several networks side by side: each is trained by a thread of Python, on one thread of the kernels.

Kernels release Python's lock, and all networks read the same samples, so that nothing is copied. With `n_jobs=1` one
network after the other has all threads of the kernels.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.base import clone

from fastfnn.sklearn import holder
from fastfnn.sklearn.data import outputs

# What members take from the ensemble instead of finding it out from the data.
SHARED = ("classes_", "_label_binarizer", "n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_",
          "out_activation_", "_dtype", "_layer_sizes")  # fmt: skip


def fit(
    estimator: Any, X: Any, targets: np.ndarray, weights: np.ndarray | None, given: tuple[Any, Any], eval_set: Any,
    incremental: bool,
) -> None:  # fmt: skip
    """Train all networks of an ensemble, each from a seed of its own."""
    members = getattr(estimator, "estimators_", None)
    if members is None or len(members) != estimator.n_estimators:
        members = [_new_member(estimator) for _ in range(estimator.n_estimators)]
    arguments = X, targets, weights, given, eval_set, incremental
    trained = _side_by_side(estimator, _fit_member, [(member, *arguments) for member in members])
    if estimator.progress:
        from tqdm import tqdm

        trained = tqdm(trained, total=len(members), unit="network", dynamic_ncols=True)
    estimator.estimators_ = list(trained)
    estimator.n_iter_ = max(member.n_iter_ for member in members)
    estimator.loss_ = float(np.mean([member.loss_ for member in members]))


def mean_outputs(estimator: Any, X: Any, activation: str) -> np.ndarray:
    """Return the mean of the members' outputs, always summed in their order."""
    calls = [(member, X, activation) for member in estimator.estimators_]
    total: np.ndarray = sum(_side_by_side(estimator, _outputs_of_member, calls))
    return total / total.dtype.type(len(calls))


def _new_member(estimator: Any) -> Any:
    seed = int(estimator._random_state.randint(np.iinfo(np.int32).max))
    member = clone(estimator).set_params(n_estimators=1, n_jobs=None, random_state=seed, progress=False)
    for name in SHARED:
        if hasattr(estimator, name):
            setattr(member, name, getattr(estimator, name))
    member._random_state = np.random.RandomState(seed)
    return member


def _fit_member(member: Any, *arguments: Any) -> Any:
    with member._threads():
        member._fit_network(*arguments)
    return member


def _outputs_of_member(member: Any, X: Any, activation: str) -> np.ndarray:
    with member._threads():
        return outputs(holder.network_of(member), X, activation)


def _side_by_side(estimator: Any, function: Any, calls: list[tuple[Any, ...]]) -> Iterator[Any]:
    """Call a function with each tuple of arguments, in as many threads as `n_jobs` says; yield results in order."""
    jobs = min(effective_n_jobs(estimator.n_jobs), len(calls))
    parallel = Parallel(n_jobs=jobs, prefer="threads", require="sharedmem", return_as="generator")
    results: Iterator[Any] = parallel(delayed(function)(*arguments) for arguments in calls)
    return results
