"""Gradient descent as scikit-learn's multilayer perceptrons do it: solver="sgd", "adam", or an optimizer of ours.

The compiled loop takes the steps. This module draws the order of the samples, from the same random stream as
scikit-learn, and decides after each epoch whether to go on. Some definitions are scikit-learn's, not `FNN.fit`'s:

- The loss of a batch and its penalty ``alpha / 2 ||W||^2`` are divided by the sum of its samples' weights.
- The reported loss contains the penalty.
- The reported squared error is the mean over the outputs, but its gradient is that of the sum.
"""

import contextlib
import functools
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning

from fastfnn import FNN, streams
from fastfnn.backend import SAMPLES_PER_GROUP, calls_are_atomic
from fastfnn.callbacks import Callback, call_after_epoch
from fastfnn.fitting import TrainingLoop
from fastfnn.history import History
from fastfnn.improvement import improves
from fastfnn.keeper import Keeper
from fastfnn.optimizers import Optimizer
from fastfnn.progress import progress_bar
from fastfnn.sklearn import going_on
from fastfnn.sklearn.data import Data, dense_rows
from fastfnn.sklearn.parameters import scales_rate
from fastfnn.snapshot import TrainingState
from fastfnn.steps import CompiledSteps, Steps

# solver="sgd", learning_rate="adaptive": the rate is divided by this, and training stops once it is below the least.
ADAPTIVE_DIVISOR, ADAPTIVE_LEAST_RATE = 5.0, 1e-6


@functools.lru_cache
def batch_sizes(epochs: int, samples: int, batch_size: int) -> np.ndarray:
    """Return the number of samples in each batch of so many epochs, float64; cached since each call needs it."""
    sizes = np.diff(np.arange(0, samples, batch_size), append=samples).astype(np.float64)
    result = np.tile(sizes, epochs)
    result.flags.writeable = False  # calls share it
    return result


class Training:
    """The epochs of one `fit` of an estimator.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Holds the parameters, and gets the fitted attributes.
    net : FNN
    optimizer : Optimizer
    data : Data
    chosen : (M,) int64 array
        Indices of the samples to train on; `shuffle` changes their order.
    batch_size : int
        At most the number of samples to train on.
    score : callable () -> float, or None
        Measures the network on the validation data after each epoch; None without early stopping.
    watchers : list of Callback
    measure : callable (history) -> None
        Appends to the history what is measured on the validation data for the callbacks.
    stop : threading.Event
        Ends the training after the next compiled call; set after Ctrl-C.
    keeper : Keeper or None
        Of the checkpoints, if there are to be some.
    before_split : dict or None
        The random state before the validation data were chosen, for checkpoints.
    """

    state: TrainingState
    estimator: Any
    net: FNN
    optimizer: Optimizer
    data: Data
    score: Callable[[], float] | None
    watchers: list[Callback]
    measure: Callable[[History], None]
    stop: threading.Event
    keeper: Keeper | None
    before_split: dict[str, Any] | None
    steps: Steps
    order: np.ndarray
    samples: int
    batch_size: int

    def __init__(
        self,
        estimator: Any,
        net: FNN,
        optimizer: Optimizer,
        data: Data,
        chosen: np.ndarray,
        batch_size: int,
        score: Callable[[], float] | None,
        watchers: list[Callback],
        measure: Callable[[History], None],
        stop: threading.Event,
        keeper: Keeper | None = None,
        before_split: dict[str, Any] | None = None,
    ) -> None:
        self.estimator, self.net, self.optimizer, self.data = estimator, net, optimizer, data
        self.score, self.watchers, self.measure, self.stop = score, watchers, measure, stop
        self.keeper, self.before_split = keeper, before_split
        self.order, self.samples = chosen, len(chosen)
        self.batch_size = batch_size
        self.state = TrainingState(net._flat, net._statistics, optimizer.flat_state(net.params), optimizer)
        self.weights: np.ndarray = np.empty(0, net.dtype) if data.weights is None else data.weights.astype(net.dtype)
        self.sparse: bool = scipy.sparse.issparse(data.x)
        self.divisor: int = estimator._loss_divisor()
        self.verbose: bool = bool(estimator.verbose)
        self.progress: bool = estimator.progress
        self.warns: bool = True
        self.measures: bool = bool(watchers)
        self.observed: bool = bool(
            estimator.verbose or estimator.progress or watchers or score is not None
            or (estimator.learning_rate == "invscaling" and scales_rate(estimator))
        )  # fmt: skip

    def run(self, epochs: int, incremental: bool) -> None:
        """Train until the criterion of the estimator is met, for at most `epochs` epochs."""
        keeper = self.keeper
        estimator, history = self.estimator, History()
        self.steps = self._new_steps()
        loop = self._loop(history, epochs, calls_are_atomic(self.net.backend))
        self.net._optimizer = self.optimizer  # for callbacks
        estimator.n_iter_ = 0
        stops = False
        with self._own_work():
            if keeper is not None:
                keeper.open_folder()
            for watcher in self.watchers:
                watcher.begin(self.net, history)
            if keeper is not None:
                stops = self._begin_keeping(keeper, loop, history)
        stops = self._share_beginning(loop, history, stops)
        try:
            with progress_bar(self.progress, loop.known_steps, epochs, loop.samples) as shown, self._guarded():
                self._compile(loop)
                shown.advance(self.state.taken)
                while not stops and estimator.n_iter_ < epochs and not self.stop.is_set():
                    count = self._epochs_at_once(loop)
                    if keeper is not None:
                        keeper.before_orders(count)
                    self._train(loop, count, shown.advance)
                    for loss in history.loss[estimator.n_iter_ :]:
                        stops = self._after_epoch(loss, loop.samples)
                    if self.measures:
                        self.measure(history)
                    shown.report(history)
                    with self._own_work():
                        stops = call_after_epoch(self.watchers, self.net, history) or stops
                        if keeper is not None:
                            keeper.after_epochs(stops or estimator.n_iter_ >= epochs, stops)
                    stops = self._share_epoch(stops)
                with self._own_work():
                    if not stops and not incremental and not self.stop.is_set() and self.warns:
                        streams.warn(
                            f"Stochastic Optimizer: Maximum iterations ({epochs}) "
                            "reached and the optimization hasn't converged yet.",
                            ConvergenceWarning,
                            stacklevel=2,
                        )
        except KeyboardInterrupt:
            self.stop.set()
            if keeper is not None:
                loop.settle()
                keeper.interrupted()
            streams.warn("Training interrupted by user.", stacklevel=2)
        finally:
            loop.settle()
        with self._own_work():
            for watcher in self.watchers:
                watcher.end(self.net, history)

    def _loop(self, history: History, epochs: int, atomic: bool) -> TrainingLoop:
        """Return what takes the steps of this training."""
        return TrainingLoop(
            self._take_steps, self.state, history, self.samples, self.batch_size, epochs,
            raises=self.score is None, goes_back=False, keeps_copies=False, atomic=atomic,
        )  # fmt: skip

    def _train(self, loop: Any, count: int, advance: Callable[[int], object]) -> None:
        """Train for this number of epochs."""
        loop.run(self._draw_orders(count), advance)

    def _epochs_at_once(self, loop: TrainingLoop) -> int:
        """Return how many epochs can be trained before there is anything to decide or to show.

        Training stops after `n_iter_no_change` epochs without improvement, so it cannot stop before that many more.
        """
        if self.observed or self.state.taken % loop.steps:  # the rest of an epoch that goes on from a checkpoint
            return 1
        until_stop = self.estimator.n_iter_no_change + 1 - self.estimator._no_improvement_count
        return int(max(1, min(until_stop, loop.epochs_at_once())))

    def _draw_orders(self, count: int) -> np.ndarray:
        """Return the order of the samples in each epoch, (count, samples) int64, from scikit-learn's random stream."""
        orders = np.empty((count, len(self.order)), np.int64)
        for row in orders:
            if self.estimator.shuffle:  # in place: the swaps are those of scikit-learn, which permutes the last order
                self.estimator._random_state.shuffle(self.order)
            row[:] = self.order
        return orders

    # What changes where several processes train together, see `parallel`

    def _new_steps(self) -> Steps:
        """Return what takes the steps."""
        return CompiledSteps(self.net, self.state, self.batch_size, {"batch_l2": self.estimator.alpha})

    def _compile(self, loop: TrainingLoop) -> None:
        """Compile the kernels, or load them."""
        loop.compile(ordered=True)

    def _own_work(self) -> contextlib.AbstractContextManager[None]:
        """Return a context for what one of the processes does alone, and what can fail there."""
        return contextlib.nullcontext()

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which an exception of one of the processes must not leave the others waiting."""
        return contextlib.nullcontext()

    def _share_beginning(self, loop: TrainingLoop, history: History, stops: bool) -> bool:
        """Give all processes what they begin with; return whether the training had been stopped."""
        return stops

    def _share_epoch(self, stops: bool) -> bool:
        """Give all processes what callbacks have changed; return whether the training is stopped."""
        return stops

    # Checkpoints

    def _begin_keeping(self, keeper: Keeper, loop: TrainingLoop, history: History) -> bool:
        """Go on from the checkpoint that was found, if there was one; return whether it is that of a training's end."""
        estimator, found = self.estimator, keeper.found
        keeper.restore_callbacks()
        stopped = keeper.begin(loop, history, self._drawn_from, observed=True, estimator_state=self._noted)
        if found is not None:
            going_on.restore(estimator, found.estimator)
            going_on.set_random(estimator._random_state, found.estimator["drawn"]["random"])
            self._restore_order(found.estimator["drawn"]["order"])
            estimator.n_iter_ = history.epochs
            if history.loss:
                estimator.loss_ = np.float64(history.loss[-1])
        return stopped

    def _restore_order(self, order: Any) -> None:
        self.order[...] = order

    def _noted(self) -> dict[str, Any]:
        return going_on.noted(self.estimator) | {"before_split": self.before_split}

    def _drawn_from(self) -> dict[str, Any]:
        """Return what the order of the samples in the next epoch depends on."""
        return {"random": going_on.random_of(self.estimator._random_state), "order": self.order.astype(np.uint32)}

    # Steps

    def _take_steps(self, losses: np.ndarray, orders: np.ndarray, rates: np.ndarray) -> None:
        """Take ``len(losses)`` compiled steps on samples in these orders, see `TrainingLoop`."""
        sizes = self._batch_weights(orders, len(losses))
        half_squares = np.empty(len(losses) if self.estimator.alpha else 0)
        if self.sparse:
            self._take_sparse_steps(losses, half_squares, sizes, orders, rates)
        else:
            batch_weights = sizes if self.data.weights is not None else sizes[:0]
            self._train_steps(losses, half_squares, batch_weights, self.data, orders, rates, 0)
        losses /= self.divisor
        if self.estimator.alpha:
            losses += self.estimator.alpha * half_squares / sizes

    def _batch_weights(self, orders: np.ndarray, count: int) -> np.ndarray:
        """Return what the loss of each of the first `count` batches is divided by.

        It is the sum of the weights of their samples, infinite if that is 0.
        """
        if self.data.weights is None:
            return batch_sizes(*orders.shape, self.batch_size)[:count]
        edges = np.arange(0, orders.shape[1], self.batch_size)
        sums = np.add.reduceat(self.data.weights[orders], edges, axis=1).ravel()
        return np.where(sums == 0, np.inf, sums)[:count]

    def _take_sparse_steps(
        self, losses: np.ndarray, half_squares: np.ndarray, sizes: np.ndarray, orders: np.ndarray, rates: np.ndarray
    ) -> None:
        """Take steps on sparse samples, of which as many batches are dense at a time as fit."""
        # Steps on single samples are computed in groups, which must not be divided.
        multiple = self.batch_size * (SAMPLES_PER_GROUP if self.batch_size == 1 else 1)
        at_once = max(dense_rows(self.data.x, self.net.dtype) // multiple, 1) * multiple
        step = 0
        for order in orders:
            for first in range(0, len(order), at_once):
                if step == len(losses):
                    return
                part = self.data.at(order[first : first + at_once])
                steps = slice(step, step + math.ceil(part.samples / self.batch_size))
                weights = sizes[steps] if self.data.weights is not None else sizes[:0]
                rows = part._replace(x=part.x.toarray())
                whole = np.arange(part.samples)[np.newaxis]
                self._train_steps(losses[steps], half_squares[steps], weights, rows, whole, rates[steps], step)
                step = steps.stop

    def _train_steps(
        self, losses: np.ndarray, half_squares: np.ndarray, batch_weights: np.ndarray, data: Data, orders: np.ndarray,
        rates: np.ndarray, before: int,
    ) -> None:  # fmt: skip
        """Call the compiled loop; `before` are the steps since those that the optimizer has counted."""
        weights = self.weights if data is self.data or data.weights is None else data.weights.astype(self.net.dtype)
        self.steps(losses, data.x, data.targets, weights, orders, rates, half_squares, batch_weights, before)

    # Epochs

    def _after_epoch(self, loss: float, samples: int) -> bool:
        """Note an epoch in the estimator's attributes; return whether training stops."""
        estimator, loss = self.estimator, np.float64(loss)  # the type of scikit-learn's attributes
        estimator.n_iter_ += 1
        estimator.loss_ = loss
        estimator.t_ += samples
        estimator.loss_curve_.append(loss)
        if self.verbose:
            streams.say(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if self.score is None:
            self._note_loss(loss)
        else:
            self._note_score(self.score())
        if estimator.learning_rate == "invscaling" and scales_rate(estimator):
            self.optimizer.learning_rate = estimator.learning_rate_init / (estimator.t_ + 1) ** estimator.power_t
        if estimator._no_improvement_count <= estimator.n_iter_no_change:
            return False
        what = "Training loss" if self.score is None else "Validation score"
        message = f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive"
        return self._stops(f"{message} epochs.")

    def _note_loss(self, loss: float) -> None:
        estimator = self.estimator
        self._count(improves(loss, estimator.best_loss_, higher=False, min_delta=estimator.tol, strict=False))
        if improves(loss, estimator.best_loss_, higher=False):
            estimator.best_loss_ = loss

    def _note_score(self, score: float) -> None:
        estimator = self.estimator
        estimator.validation_scores_.append(score)
        if self.verbose:
            streams.say(f"Validation score: {score:f}")
        best = estimator.best_validation_score_
        self._count(improves(score, best, higher=True, min_delta=estimator.tol, strict=False))
        if improves(score, best, higher=True):
            estimator.best_validation_score_ = score
            estimator._best = self.net._flat.copy(), self.net._statistics.copy()

    def _count(self, improved: bool) -> None:
        self.estimator._no_improvement_count = 0 if improved else self.estimator._no_improvement_count + 1

    def _stops(self, message: str) -> bool:
        """Return whether training stops where it no longer improves; else the learning rate falls."""
        estimator = self.estimator
        rate: Any = self.optimizer.learning_rate
        adaptive = estimator.learning_rate == "adaptive" and scales_rate(estimator)
        if adaptive and rate > ADAPTIVE_LEAST_RATE:
            rate = self.optimizer.learning_rate = rate / ADAPTIVE_DIVISOR
            estimator._no_improvement_count = 0
            ending = f"Setting learning rate to {rate:f}"
        else:
            ending = "Learning rate too small. Stopping." if adaptive else "Stopping."
        if self.verbose:
            streams.say(f"{message} {ending}")
        return not ending.startswith("Setting")
