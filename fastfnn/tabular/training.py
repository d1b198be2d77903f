"""Training: the epochs of one network on prepared samples, up to the best state on validation rows.

The estimators make a `Training` for each network, run it and take over what it has measured, also if an exception ends
it. It knows neither columns nor labels.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastfnn import streams
from fastfnn.callbacks import Callback, call_after_epoch
from fastfnn.divergence import DivergenceError
from fastfnn.fitting import Pace, epoch_losses
from fastfnn.history import History
from fastfnn.improvement import improves, never_finite
from fastfnn.optimizers import AdamW
from fastfnn.progress import Progress, progress_bar
from fastfnn.tabular.network import TabularNetwork
from fastfnn.tabular.recipe import Recipe
from fastfnn.tabular.target import Measured, Target

LEVEL_OF_USER = 4  # the `stacklevel` of the code that has called `fit`, in `Training.run`
LEAST_VALIDATION_ROWS = 10  # fewer tell nothing, and are trained on


class Rows(NamedTuple):
    """Prepared samples x (N, features), labels (N,) or numbers (N, K), and weights (N,)."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray

    def at(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        return Rows(*(np.ascontiguousarray(array[rows]) for array in self))


def split(rng: np.random.Generator, y: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows for training and of those for validation; the latter has each class's share.

    A row is left for training, of labels one of each class.
    """
    rows = rng.permutation(len(y))
    is_label = y.ndim == 1
    if is_label:
        rows = rows[np.argsort(y[rows], kind="stable")]
    count = min(round(fraction * len(y)), len(y) - 1)
    taken = rows[((np.arange(count) + 0.5) * len(y) / max(count, 1)).astype(np.int64)]
    if is_label:
        classes, first, counts = np.unique(y[taken], return_index=True, return_counts=True)
        taken = np.delete(taken, first[counts == np.bincount(y)[classes]])
    if len(taken) < LEAST_VALIDATION_ROWS:
        return np.arange(len(y)), np.empty(0, np.int64)
    return np.setdiff1d(np.arange(len(y)), taken), np.sort(taken)


class Training:
    """The training of one network.

    Parameters
    ----------
    network : TabularNetwork
        With initial parameters.
    target : Target
        What the outputs mean.
    rows, held_out : Rows
        For training and for validation; the latter may be none.
    recipe : Recipe
    rng : Generator
        Draws the order of the rows.
    settle : callable
        Called with the network and the samples for training before the network is measured and kept: sets the
        parameters that no row trains.
    end : float
        When all networks must be trained, by `time.perf_counter`; infinity for never.
    networks : int
        Networks that are not trained yet, this one included: they share the time that is left.
    least : float
        Seconds that this training may take even if less is left.

    Attributes
    ----------
    history : History
        What was measured.
    scores : list of float
        The validation score after each epoch, lower is better.
    best_epoch : int
        The epoch, from 1, whose parameters are kept; 0 before the first has ended. The last one if no score was finite.
    ended : bool
        Whether all epochs were taken, without an exception.

    Notes
    -----
    The schedule of the learning rate is followed by steps, as in a training without an end; or by time, where that
    passes faster: then it comes to its end when the time is over, or with the last epoch that fits. An epoch that takes
    longer ends with the compiled call in which the time is over. What is compiled or loaded first does not count.
    """

    def __init__(
        self, network: TabularNetwork, target: Target, rows: Rows, held_out: Rows, recipe: Recipe,
        rng: np.random.Generator, settle: Callable[[TabularNetwork, np.ndarray], None], end: float, networks: int,
        least: float,
    ) -> None:  # fmt: skip
        self.network: TabularNetwork = network
        self.target: Target = target
        self.rows: Rows = rows
        self.held_out: Rows = held_out
        self.recipe: Recipe = recipe
        self._rng = rng
        self._settle = settle
        self._end, self._networks, self._least = end, networks, least
        self._begin = 0.0  # of the schedule and the share of the time, by `time.perf_counter`
        self._deadline = math.inf
        self._step_seconds = 0.0  # of the latest steps; 0 before the first
        self.batch_size: int = recipe.batch(len(rows.x))
        self.steps: int = -(-len(rows.x) // self.batch_size)
        self.epochs: int = recipe.epochs(self.steps)
        self._patience = recipe.patience_of(self.epochs)
        self._targets = target.encode(rows.y, network.dtype)
        self._weights = None if (rows.weights == rows.weights[0]).all() else rows.weights / rows.weights.mean()
        self._optimizer = AdamW(
            1.0, beta2=recipe.beta2, weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm
        )  # its rate is not used
        sizes = network.layer_sizes
        work = sum(math.prod(pair) for pair in itertools.pairwise(sizes))
        self._pace = Pace(1, work * network.members * self.batch_size)
        self.history: History = History()
        self.scores: list[float] = []
        self.best_epoch: int = 0
        self._improved = 0  # the epoch of the best score; 0 before the first that is finite
        self.ended: bool = False
        self._best = network.params.copy()

    def run(self, show: bool | str, watchers: Sequence[Callback]) -> None:
        """Train; `release` then gives the network its best parameters."""
        for watcher in watchers:
            watcher.begin(self.network, self.history)
        with progress_bar(show, self.steps, self.epochs, len(self.rows.x)) as progress:
            self._load_kernels()
            self._begin = time.perf_counter()
            self._deadline = self._begin + max((self._end - self._begin) / self._networks, self._least)
            self._run_epochs(progress, watchers)
        for watcher in watchers:
            watcher.end(self.network, self.history)
        if not self._improved:
            streams.warn(never_finite("the validation score"), RuntimeWarning, stacklevel=LEVEL_OF_USER)
        self.ended = True

    def release(self) -> None:
        """Give the network its best parameters, and free the rows and the copies; what was measured stays."""
        self.network.params[...] = self._best
        del self.rows, self.held_out, self._targets, self._weights, self._optimizer, self._best

    def _load_kernels(self) -> None:
        """Have the kernels compiled or loaded, which may take long, before the time of the schedule begins."""
        self._train(np.empty((0, self.batch_size), np.int64), np.empty(0))
        if len(self.held_out.x):
            self.network.predict(self.held_out.x[:1])

    def _train(self, order: np.ndarray, rates: np.ndarray) -> np.ndarray:
        return self.network.train(
            self.rows.x, self._targets, order, rates, optimizer=self._optimizer, batch_size=self.batch_size,
            sample_weight=self._weights,
        )  # fmt: skip

    def _run_epochs(self, progress: Progress, watchers: Sequence[Callback]) -> None:
        planned = self.epochs
        while self.history.epochs < planned:
            start = time.perf_counter()
            step_losses, rate = self._take_steps(progress)
            self._record(step_losses, rate, time.perf_counter() - start)
            seconds = time.perf_counter() - start
            stops = call_after_epoch(watchers, self.network, self.history)
            if math.isfinite(self._deadline):
                possible = max(int((self._deadline - time.perf_counter()) / seconds), 0)
                planned = min(self.epochs, self.history.epochs + possible)
                progress.plan(planned)
            progress.report(self.history)
            if stops or self.history.epochs - self._improved >= self._patience:
                break

    def _schedule(self, first: int, last: int) -> np.ndarray:
        """Return the share of the schedule that is over before each of some steps of the epoch, below 1."""
        before = self.history.epochs * self.steps
        by_steps = np.arange(before + first, before + last) / (self.epochs * self.steps)
        if math.isinf(self._deadline) or not self._step_seconds:
            return by_steps
        now = time.perf_counter()
        end = now + (self.steps - first) * self._step_seconds  # of this epoch
        another_fits = end + self.steps * self._step_seconds <= self._deadline
        if another_fits or now < self._deadline < end:
            end = self._deadline
        by_time = (now - self._begin + np.arange(last - first) * self._step_seconds) / (end - self._begin)
        return np.maximum(by_steps, by_time)

    def _take_steps(self, progress: Progress) -> tuple[np.ndarray, float]:
        """Train for an epoch, or until the time is over; returns the loss of each step, and the last learning rate."""
        order = self._rng.permutation(len(self.rows.x))
        rates, step_losses = np.empty((2, self.steps))
        taken = 0
        for first, last in self._pace.slices(self.steps):
            if first and time.perf_counter() >= self._deadline:
                break
            start = time.perf_counter()
            rates[first:last] = self.recipe.rates(self._schedule(first, last))
            part = order[first * self.batch_size : last * self.batch_size]
            step_losses[first:last] = self._train(part[np.newaxis], rates[first:last])
            self._step_seconds = (time.perf_counter() - start) / (last - first)
            progress.advance(last - first)
            taken = last
        step_losses, rates = step_losses[:taken], rates[:taken]
        finite = np.isfinite(step_losses)
        if not finite.all() or not np.isfinite(self.network.params).all():
            step = taken - 1 if finite.all() else int(np.argmin(finite))  # the last has a loss, but no parameters
            raise DivergenceError(
                f"the training diverged in epoch {self.history.epochs + 1}, step {step + 1}: try a smaller "
                f"learning_rate than {self.recipe.learning_rate:g}",
                self.history.epochs + 1, step + 1, float(rates[step]),
            )  # fmt: skip
        return step_losses, float(rates[-1])

    def _record(self, step_losses: np.ndarray, rate: float, seconds: float) -> None:
        """Measure the network after an epoch, and keep its parameters if they are the best so far."""
        count = min(len(step_losses) * self.batch_size, len(self.rows.x))
        (loss,) = epoch_losses(step_losses[np.newaxis], self.batch_size, count)
        values = {"loss": [loss], "seconds": [seconds], "samples_per_second": [count / seconds]}
        self._settle(self.network, self.rows.x)
        improved = True
        if len(self.held_out.x):
            x, y, weights = self.held_out
            out = self.network.predict(x)
            with np.errstate(all="ignore"):
                measured = self.target.measure(out, y, weights)
            if not np.isfinite(out).all():  # an infinite output is clipped, and of NaN the first class is the largest
                nan = math.nan
                measured = Measured(nan, nan, None if measured.accuracy is None else nan)
            values["val_loss"] = [measured.loss]
            if measured.accuracy is not None:
                values["val_accuracy"] = [measured.accuracy]
            else:
                self.history.metrics.setdefault(f"val_{self.target.metric}", [])
                values[f"val_{self.target.metric}"] = [measured.score]
            best = self.scores[self._improved - 1] if self._improved else None
            improved = improves(measured.score, best, higher=False)
            self.scores.append(measured.score)
        self.history.step_loss = np.concatenate([self.history.step_loss, step_losses])
        self.history._last_rate = rate
        self.history._extend(**values)
        if improved:
            self._improved = self.history.epochs
        if improved or not self._improved:  # the last ones until a score tells which are better
            self._best, self.best_epoch = self.network.params.copy(), self.history.epochs
