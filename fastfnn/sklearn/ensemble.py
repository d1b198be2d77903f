"""Several networks side by side: each is trained by a thread of Python, on one thread of the kernels.

Kernels release Python's lock, and all networks read the same samples, so that nothing is copied. With `n_jobs=1` one
network after the other has all threads of the kernels.
"""

import collections
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from sklearn.base import clone

from fastfnn import streams
from fastfnn.backend import thread_limit
from fastfnn.sklearn import holder
from fastfnn.sklearn.data import outputs
from fastfnn.sklearn.parameters import uses_lbfgs
from fastfnn.sklearn.workers import jobs_here

# What members take from the ensemble instead of finding it out from the data.
SHARED = ("classes_", "_label_binarizer", "n_features_in_", "feature_names_in_", "n_outputs_", "n_layers_",
          "out_activation_", "_dtype", "_layer_sizes")  # fmt: skip


def prepared(estimator: Any, *arguments: Any) -> Callable[[], None]:
    """Return the function that trains all networks of an ensemble, each from a seed of its own.

    `arguments` are those of `_prepared_network`; the last ones are the checkpoint, of which each network gets a part,
    and the event that ends training.
    """
    members = getattr(estimator, "estimators_", None)
    if members is None:
        members = [_new_member(estimator) for _ in range(estimator.n_estimators)]
    *data, wanted, stop = arguments

    def prepared_member(number: int) -> Callable[[], None]:
        own = None if wanted is None else wanted.of_network(number)
        train: Callable[[], None] = members[number]._prepared_network(*data, own, stop)
        return train

    first = prepared_member(0)  # raises what is wrong for all

    def train_member(number: int) -> None:
        if not stop.is_set():
            train = first if number == 0 else prepared_member(number)
            train()

    def train() -> None:
        done: Iterable[None] = _side_by_side(estimator, train_member, range(len(members)), stop)
        if estimator.progress:
            from tqdm import tqdm

            done = tqdm(done, total=len(members), unit="network", dynamic_ncols=True, file=streams.errors())
        try:
            collections.deque(done, maxlen=0)
        except KeyboardInterrupt:
            if uses_lbfgs(estimator):
                raise
            streams.warn("Training interrupted by user.", stacklevel=2)
        trained = [member for member in members if hasattr(member, "loss_")]  # after Ctrl-C perhaps not all
        if not trained:
            raise KeyboardInterrupt
        estimator.estimators_ = trained
        estimator.n_iter_ = max(member.n_iter_ for member in trained)
        estimator.loss_ = np.mean([member.loss_ for member in trained])

    return train


def mean_outputs(estimator: Any, X: Any, activation: str) -> np.ndarray:
    """Return the mean of the members' outputs, always summed in their order."""
    members = estimator.estimators_

    def outputs_of(member: Any) -> np.ndarray:
        return outputs(holder.network_of(member), X, activation)

    total: np.ndarray = sum(_side_by_side(estimator, outputs_of, members, threading.Event()))
    return total / total.dtype.type(len(members))


def _new_member(estimator: Any) -> Any:
    seed = int(estimator._random_state.randint(np.iinfo(np.int32).max))
    member = clone(estimator).set_params(n_estimators=1, n_jobs=None, random_state=seed, progress=False)
    for name in SHARED:
        if hasattr(estimator, name):
            setattr(member, name, getattr(estimator, name))
    member._random_state = np.random.RandomState(seed)
    return member


def _side_by_side(
    estimator: Any, function: Callable[[Any], Any], items: Sequence[Any], stop: threading.Event
) -> Iterator[Any]:
    """Call a function with each item, in as many threads as `n_jobs` says; yield results in order.

    If one call fails, or after Ctrl-C, `stop` is set, and nothing runs any more once the exception is raised.
    """
    jobs = min(jobs_here(estimator.n_jobs), len(items))
    if jobs == 1:
        yield from map(function, items)
        return

    running = [threading.Lock() for _ in items]

    def limited(number: int) -> Any:
        with running[number], thread_limit(estimator.n_threads or 1):
            return function(items[number])

    with ThreadPoolExecutor(jobs, "fastfnn-network") as pool:
        try:
            futures = [pool.submit(limited, number) for number in range(len(items))]  # the first ones begin now
            for future in futures:
                yield future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for lock in running:  # Ctrl-C may have come before the pool took note of a thread that it started
                with lock:
                    pass
            raise
