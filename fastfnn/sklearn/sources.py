"""`fit` of the estimators on a source of `fastfnn.sources`: its checks, and the training window by window.

`estimator.BaseMLP` calls `prepared`; `training.Training` has what both kinds of training share.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.validation import column_or_1d

from fastfnn import DivergenceError, validation
from fastfnn.callbacks import checked_callbacks
from fastfnn.history import History
from fastfnn.sklearn import holder, unscaled, validation_data
from fastfnn.sklearn.data import Data
from fastfnn.sklearn.parameters import hidden_layer_sizes, new_optimizer, uses_lbfgs
from fastfnn.sklearn.training import Training
from fastfnn.sources import Source
from fastfnn.sources.base import as_chunk
from fastfnn.sources.loop import UNKNOWN, SourceLoop
from fastfnn.sources.reading import read
from fastfnn.sources.training import some_rows
from fastfnn.sources.windows import Prepare, Window

FIRST_ROWS = 1000  # of the first chunk, which tell the number of features, their dtype and the kind of targets


def check_arguments(estimator: Any, source: Source, wanted: Any, incremental: bool, **unused: Any) -> None:
    """Raise ValueError if parameters or arguments of `fit` cannot be had with a source."""
    if incremental:
        raise ValueError("X must be arrays for partial_fit, got a source: call fit, or partial_fit with each part")
    for name, value in unused.items():
        if value is not None:
            raise ValueError(f"{name} must be None with a source, which gives it itself; got {type(value).__name__}")
    if uses_lbfgs(estimator):
        raise ValueError("solver must be stochastic with a source, 'adam' or 'sgd', got 'lbfgs'")
    if estimator.n_estimators > 1:
        raise ValueError(f"n_estimators must be 1 with a source, got {estimator.n_estimators}: fit several estimators")
    if estimator.early_stopping:
        raise ValueError("early_stopping must be False with a source, which is not split: give eval_set=(X, y) to fit")
    if isinstance(getattr(estimator, "class_weight", None), str):
        raise ValueError("class_weight must be a dict with a source, whose classes are not counted; got 'balanced'")
    if wanted is not None:
        raise ValueError("checkpoint needs arrays, got a source: FNN.fit has checkpoints of trainings on sources")
    source._check_passes("max_iter", max(estimator.max_iter, 2))  # the first rows are read once more


def prepared(
    estimator: Any, source: Source, eval_set: Any, stop: threading.Event
) -> Callable[[], None]:  # fmt: skip
    """Check what training gets, as `BaseMLP._prepared` does for arrays; return the function that trains."""
    hidden = hidden_layer_sizes(estimator)
    first_pass = not hasattr(estimator, "coefs_") or not estimator.warm_start
    x, y = _first_rows(estimator, source, first_pass)
    estimator._learn_targets(_all_classes(source, y) if is_classifier(estimator) else y, False)
    targets = estimator._encoded(y)
    estimator._random_state = check_random_state(estimator.random_state)
    if first_pass:
        estimator._start_anew(x, targets, hidden)
    else:
        estimator._check_same_layers(targets, hidden)
    net = holder.current_network(estimator) if hasattr(estimator, "coefs_") else estimator._draw_network()
    net._targets("y", targets, len(x))
    training = _training(estimator, net, source, eval_set, stop)

    def train() -> None:
        try:
            estimator._descend(net, training, estimator.max_iter, False)
            finite = bool(np.isfinite(net._flat).all())
        except DivergenceError:
            finite = False
        if not finite:
            raise unscaled.diverged(estimator, *training.some[:2])
        if not stop.is_set():
            unscaled.warn(estimator, *training.some)

    return train


def _first_rows(estimator: Any, source: Source, first_pass: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return some rows from the beginning of a source, which scikit-learn has validated."""
    chunks = iter(source.chunks())
    for chunk in map(as_chunk, chunks):
        x, t = validation.as_array("X", chunk.x), validation.as_array("y", chunk.t)
        if len(x):
            if hasattr(chunks, "close"):
                chunks.close()
            some = x[:FIRST_ROWS].reshape(len(x[:FIRST_ROWS]), -1)
            with validation.explained("X", some):
                x, y = estimator._validated(some, t[:FIRST_ROWS], first_pass)
            if first_pass and hasattr(source, "features"):
                estimator.feature_names_in_ = np.array(source.features, object)
            return x, y
    raise ValueError("a source must have at least one row, got none")


def _all_classes(source: Source, y: np.ndarray) -> np.ndarray:
    """Return all labels that the targets of a source have; rows of several labels tell theirs by their number."""
    if y.ndim > 1:
        return y
    found: list[np.ndarray] = []
    for t in source._targets():
        found = [np.unique(np.concatenate([*found, np.unique(column_or_1d(validation.as_array("y", t)))]))]
    return found[0]


def _preparation(estimator: Any, net: Any) -> Prepare:
    """Return what checks the rows of a window."""

    def prepare(name: str, x: np.ndarray, t: Any, w: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = net._samples(f"X{name}", x)
        y = column_or_1d(t) if t.ndim == 2 and t.shape[1] == 1 else t
        targets = net._targets(f"y{name}", estimator._encoded(y), len(rows))
        weights = np.empty(0)
        if w is not None:
            weights = validation.sample_weight(f"sample_weight{name}", w, len(rows), np.float64)
        by_class = estimator._class_weights(y, False)
        if by_class is not None:
            weights = by_class * weights if len(weights) else by_class
        return rows, targets, weights

    return prepare


def _training(estimator: Any, net: Any, source: Source, eval_set: Any, stop: threading.Event) -> SourceTraining:
    """Return the training, on whose validation data it depends when it stops."""
    estimator._optimizer = new_optimizer(estimator)
    estimator._begin_curves(net, eval_set is not None)
    held_out = None if eval_set is None else estimator._evaluation_data(net, eval_set)
    watchers = checked_callbacks(
        estimator.callbacks, held_out is not None, net.loss_function.has_accuracy, None, estimator._optimizer, False
    )
    score = None if held_out is None else validation_data.scorer(estimator, net, held_out)
    samples = UNKNOWN if source.samples is None else source.samples
    nothing = Data(np.empty((0, net.layer_sizes[0])), np.empty(0, np.int64), None)
    training = SourceTraining(
        estimator, net, estimator._optimizer, nothing, np.empty(0, np.int64), estimator._batch_size(samples), score,
        watchers, lambda history: validation_data.measure(net, held_out, None, history), stop,
    )  # fmt: skip
    training.source = source
    return training


class SourceTraining(Training):
    """The epochs of one `fit` on a source; see `Training`."""

    source: Source
    order: np.ndarray
    data: Data
    weights: np.ndarray
    some: tuple[np.ndarray, np.ndarray, np.ndarray]  # rows of the first window, see `sources.training.some_rows`

    def _loop(self, history: History, epochs: int, atomic: bool) -> SourceLoop:
        return SourceLoop(
            self._take_window, self.state, history, self.source.samples, self.batch_size, epochs,
            raises=self.score is None, goes_back=False, atomic=atomic,
        )  # fmt: skip

    def _train(self, loop: Any, count: int, advance: Callable[[int], object]) -> None:
        shuffles = self.estimator.shuffle and self.source.shuffle
        with read(
            self.source, _preparation(self.estimator, self.net), self.batch_size, self.net.dtype,
            self.estimator._random_state.permutation if shuffles else None,
        ) as windows:  # fmt: skip
            loop.run_windows(windows, self._draw if shuffles else np.arange, advance)

    def _draw(self, rows: int) -> np.ndarray:
        """Return the order of the rows of a window: with a single one it is scikit-learn's, as of arrays."""
        if len(self.order) != rows:
            self.order = np.arange(rows)
        self.estimator._random_state.shuffle(self.order)
        return self.order

    def _take_window(self, window: Window, losses: np.ndarray, orders: np.ndarray, rates: np.ndarray) -> None:
        if not hasattr(self, "some"):
            self.some = some_rows(window)
        weights = window.weights if window.weights.size else None
        self.data = Data(window.x, window.targets, weights)
        self.weights = window.weights.astype(self.net.dtype)
        self._take_steps(losses, orders, rates)
