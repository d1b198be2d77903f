"""The parts of the training loop `FNN.fit`: order of the samples, compiled calls and their length, records.

`FNN.fit` holds the algorithm and calls these parts; they know neither the network nor its callbacks.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator

import numpy as np

from fastfnn.backend import SAMPLES_PER_GROUP
from fastfnn.divergence import DivergenceError, divergence_error
from fastfnn.history import History
from fastfnn.snapshot import Snapshot, TrainingState

# Writes the losses of the steps into its first argument and takes the samples in the orders of the second, (E, N), at
# the learning rates of the third.
TakeSteps = Callable[[np.ndarray, np.ndarray, np.ndarray], None]

# A copy of an array of the state takes as long as training on this many samples does, or less than a hundredth of it.
SAMPLES_PER_COPY = 4096

# In place of the loss of a step that a call has yet to take: no loss has this value.
NOT_TAKEN = -math.inf


def draw_orders(
    rng: np.random.Generator, samples: int, batch_size: int, sampling: str, epochs: int,
    chosen: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the order of the samples in each epoch: (epochs, samples) int64.

    `chosen` are the indices of the samples to train on; None if these are 0, 1, 2, ... They do not affect what is
    drawn. Full-batch training on all samples needs no order: the rows are empty, which the kernels read as 0, 1, 2, ...
    """
    if chosen is not None:
        orders = draw_orders(rng, samples, batch_size, sampling, epochs)
        return chosen[orders] if orders.size else np.tile(chosen, (epochs, 1))
    if sampling == "replacement":
        return np.stack([rng.integers(samples, size=samples) for _ in range(epochs)])
    if batch_size == samples:
        return np.empty((epochs, 0), np.int64)
    return np.stack([rng.permutation(samples) for _ in range(epochs)])


def epoch_losses(step_losses: np.ndarray, batch_size: int, samples: int) -> list[float]:
    """Return the mean loss per sample of each epoch, from the mean losses of its batches (epochs, steps).

    The last batch of an epoch may be smaller than the others and weighs less.
    """
    last_batch = samples - batch_size * (step_losses.shape[1] - 1)
    sums = batch_size * step_losses[:, :-1].sum(axis=1) + last_batch * step_losses[:, -1]
    losses: list[float] = (sums / samples).tolist()
    return losses


class Pace:
    """The number of steps per compiled call: as many as take about SECONDS, so that Python regularly has its turn.

    Between calls the progress bar moves and Ctrl-C takes effect. A single step is never divided.

    Parameters
    ----------
    group : int
        A call takes a multiple of this number of steps. Steps on single samples are computed in such groups;
        if the clock could divide a group, it would decide about rounding.
    work : int
        Multiply-adds of a step, from which the length of the first call is estimated.
    """

    SECONDS = 0.2
    MOST_SAMPLES = 1 << 17  # limits the memory of the orders of several epochs, 8 bytes per sample
    FIRST_WORK = 50_000_000  # a few milliseconds
    count: int
    paused: float

    def __init__(self, group: int, work: int) -> None:
        self.group = group
        self.agreed: Callable[[int], int] = int  # what several processes that train together make of the count
        self.count = max(self.FIRST_WORK // max(work, 1) // group, 1) * group

    def epochs(self, steps: int, samples: int) -> int:
        """Return how many epochs of `steps` steps on `samples` samples may share one call, at least 1."""
        return max(1, min(self.count // steps, self.MOST_SAMPLES // samples))

    def slices(self, steps: int, first: int = 0) -> Iterator[tuple[int, int]]:
        """Divide steps from `first` up to `steps` into calls: yield (first, last) of each, and time the caller's work.

        What the caller sets `paused` to, in seconds, is not counted.
        """
        while first < steps:
            last = min(first + self.count, steps)
            start, self.paused = time.perf_counter(), 0.0
            yield first, last
            seconds = max(time.perf_counter() - start - self.paused, 1e-6)
            # The first call may be slower than the others: grow step by step, at most tenfold.
            possible = int(min((last - first) * self.SECONDS / seconds, 10 * self.count))
            self.count = self.agreed(max(possible // self.group, 1) * self.group)
            first = last


class TrainingLoop:
    """The epochs of one `fit`: takes their steps in compiled calls, records losses, goes back if they diverge.

    Parameters
    ----------
    take_steps : callable (losses, orders, rates) -> None
        Takes ``len(losses)`` steps of training.
    state : TrainingState
        What the steps change.
    history : History
        Gets the losses of steps after each call, the losses and times of epochs after `run`.
    samples, batch_size, epochs : int
        Samples per epoch, samples per step, and the number of epochs.
    raises : bool
        Whether steps that diverge raise DivergenceError.
    goes_back : bool
        Whether such steps are undone, too, up to the last good epoch.
    keeps_copies : bool
        Whether somebody else, such as a callback, may change the network between two epochs.
    atomic : bool
        Whether no exception can come between the steps of a call.

    Attributes
    ----------
    between : callable () -> object, or None
        Called between two compiled calls of an epoch, if a checkpoint may be due. It needs `keeps_copies`.
    edges : (steps + 1,) int64 array, or None
        Where the samples of each step begin in an order that holds but some of an epoch's samples, as other processes
        train on the others.

    Notes
    -----
    KeyboardInterrupt can be raised between any two bytecodes, also where a call has returned and is not yet counted.
    `settle` finds out what was done and makes state and history agree.
    """

    take_steps: TakeSteps
    state: TrainingState
    history: History
    samples: int
    batch_size: int
    epochs: int
    raises: bool
    keeps_copies: bool
    step_losses: np.ndarray
    shown: int
    checked: int
    epoch_seconds: float
    seconds_before: float
    going_back: bool

    def __init__(
        self,
        take_steps: TakeSteps,
        state: TrainingState,
        history: History,
        samples: int,
        batch_size: int,
        epochs: int,
        *,
        raises: bool,
        goes_back: bool,
        keeps_copies: bool,
        atomic: bool,
    ) -> None:
        self.take_steps, self.state, self.history = take_steps, state, history
        self.samples, self.batch_size, self.epochs = samples, batch_size, epochs
        self.steps: int = math.ceil(samples / batch_size)  # per epoch
        self.pace: Pace = Pace(SAMPLES_PER_GROUP if batch_size == 1 else 1, 3 * batch_size * state.params.size)
        self.step_losses = np.empty(0)  # with room for more steps
        self.shown = self.checked = 0  # of them, in the history; found to be finite
        self.epoch_seconds = math.nan  # of the epochs that the history does not have yet
        self.raises, self.keeps_copies = raises, keeps_copies
        self.last_good: Snapshot | None = Snapshot(state) if goes_back else None
        self.since: list[tuple[int, np.ndarray, np.ndarray]] = []  # first step, orders, rates: good runs since the copy
        self.before_call: Snapshot | None = None if atomic else Snapshot(state)
        self.call: tuple[int, int, int] | None = None  # from step, to step and optimizer's steps of a call in progress
        self.going_back = False
        self.between: Callable[[], object] | None = None
        self.edges: np.ndarray | None = None
        self.seconds_before = 0.0  # that an epoch, which goes on from a checkpoint, has taken

    @property
    def known_steps(self) -> int | None:
        """Steps of an epoch, or None if nobody knows them yet."""
        return self.steps

    def compile(self, ordered: bool) -> None:
        """Compile the kernels of this training, or load them from the cache, by a call of no steps.

        `ordered` says whether the steps will get orders of samples: what a call of the same kind prepares is kept.
        """
        orders = np.zeros((1, self.samples if ordered else 0), np.int64)
        self.take_steps(self.step_losses[:0], orders, self.step_losses[:0])

    def epochs_at_once(self) -> int:
        """Return how many epochs may share the next call."""
        return min(self.pace.epochs(self.steps, self.samples), self.epochs - self.history.epochs)

    def run(self, orders: np.ndarray, advance: Callable[[int], object]) -> None:
        """Train on the epochs whose orders are the rows of `orders`, and append them to the history.

        `advance` is called with the number of steps of each compiled call.
        """
        count, done = len(orders), self.state.taken % self.steps  # steps of an epoch that goes on from a checkpoint
        begin = self.state.taken - done
        self._reserve(begin + count * self.steps)
        rates = np.empty(count * self.steps)
        if done:
            optimizer = self.state.optimizer
            rates[:done] = optimizer._rates(optimizer.steps - done, done)
        elif self.last_good is not None:
            self._keep(self.last_good)
        self.epoch_seconds = math.nan
        start = time.perf_counter() - self.seconds_before
        for first, last in self.pace.slices(count * self.steps, done):
            # Several epochs always fit into one call; a single epoch may need several.
            rows = orders if count > 1 else self._part(orders, first, last)
            rates[first:last] = self.state.optimizer.rates(last - first)
            self._take(begin + first, begin + last, rows, rates[first:last])
            self.epoch_seconds = (time.perf_counter() - start) / count
            self._show(begin + last)
            if self.raises:
                if not self._good(begin + first, begin + last):
                    raise self._divergence(begin, orders, rates, first, last)
                self.checked = begin + last
            advance(last - first)
            if self.between is not None and last < count * self.steps:
                before = time.perf_counter()
                self.between()
                self.pace.paused = time.perf_counter() - before
                start += self.pace.paused
        if self.last_good is not None and not self.keeps_copies:
            self.since.append((begin, orders, rates))
        self.history._last_rate = float(rates[-1])
        self.seconds_before = 0.0
        self._record()

    def resume(self, step_losses: np.ndarray, seconds: float, good: list[np.ndarray] | None) -> None:
        """Go on from a checkpoint, whose state the state is now.

        Parameters
        ----------
        step_losses : (S,) float64 array
            Loss of each step that was taken.
        seconds : float
            What the unfinished epoch has taken.
        good : list of array or None
            The arrays of the state before the unfinished epoch; None if there is none.
        """
        taken = len(step_losses)
        done = taken % self.steps
        self.step_losses, self.seconds_before = step_losses, seconds
        self.state.taken = self.checked = taken
        self._show(taken)
        if good is not None and self.last_good is not None:
            self.last_good.put(good, self.state.optimizer.steps - done, taken - done)

    def settle(self) -> None:
        """Make state and history agree after the last step, or after an exception, and free memory."""
        if self.call is not None:
            first, last, steps_before = self.call
            if self.before_call is not None:
                self.before_call.restore()
            elif self.step_losses[last - 1] != NOT_TAKEN:
                self.state.taken, self.state.optimizer.steps = last, steps_before + last - first
            self.call = None
        if self.last_good is not None:
            unchecked = self.checked < self.state.taken
            if self.going_back or (unchecked and not self._good(self.checked, self.state.taken)):
                self._restore(self.last_good)
                self.shown, self.going_back = self.state.taken, False
        self._record()
        self.shown = max(self.shown, self.state.taken)
        if self.shown < len(self.step_losses):
            self.step_losses = self.step_losses[: self.shown].copy()
        self.history.step_loss = self.step_losses

    def _part(self, orders: np.ndarray, first: int, last: int) -> np.ndarray:
        """Return the order of the samples in steps `first` to `last` of a single epoch."""
        if self.edges is not None:
            return orders[:, self.edges[first] : self.edges[last]]
        return orders[:, first * self.batch_size : last * self.batch_size]

    def _reserve(self, steps: int) -> None:
        """Make room for the losses of this number of steps; double it, so that all copies together cost little."""
        if steps > len(self.step_losses):
            losses = np.empty(max(steps, min(2 * len(self.step_losses), self.epochs * self.steps)))
            losses[: self.state.taken] = self.step_losses[: self.state.taken]
            self.step_losses = losses

    def _take(self, first: int, last: int, orders: np.ndarray, rates: np.ndarray) -> None:
        """Take the steps `first` to `last` of this training in one call."""
        if self.before_call is not None:
            self.before_call.take()
        self.step_losses[last - 1] = NOT_TAKEN
        self.call = first, last, self.state.optimizer.steps
        self.take_steps(self.step_losses[first:last], orders, rates)
        self.state.optimizer.steps += last - first
        self.state.taken = last
        self.call = None

    def _show(self, steps: int) -> None:
        """Let the history show the losses of this number of steps."""
        self.shown = steps
        self.history.step_loss = self.step_losses[:steps]

    def _record(self) -> None:
        """Append the finished epochs that the history does not have yet."""
        done = self.history.epochs
        count = self.state.taken // self.steps - done
        if count > 0:
            losses = self.step_losses[done * self.steps : (done + count) * self.steps].reshape(count, self.steps)
            self.history._extend(
                loss=self._epoch_losses(losses),
                seconds=[self.epoch_seconds] * count,
                samples_per_second=[self.samples / self.epoch_seconds] * count,
            )

    def _epoch_losses(self, losses: np.ndarray) -> list[float]:
        return epoch_losses(losses, self.batch_size, self.samples)

    def _good(self, first: int, last: int) -> bool:
        """Return whether the losses of the steps `first` to `last` and the state after them are finite."""
        return math.isfinite(np.maximum.reduce(self.step_losses[first:last])) and self.state.finite()

    def _keep(self, good: Snapshot) -> None:
        """Copy the state, unless the copy there is is so recent that it is cheaper to take the steps since then again.

        Training is deterministic: steps that are taken again have the same results.
        """
        if good.complete and not self.keeps_copies:
            samples = (self.state.taken - good.taken) * self.batch_size
            if samples < SAMPLES_PER_COPY * len(self.state.arrays):
                return
        good.take()
        self.since = []

    def _restore(self, good: Snapshot) -> None:
        """Restore the state after the last good epoch, which is the present one if a copy of it was interrupted."""
        if good.complete:
            good.restore()
            for begin, orders, rates in self.since:
                if begin >= good.taken:
                    self._take(begin, begin + len(rates), orders, rates)
            good.take()

    def _divergence(self, begin: int, orders: np.ndarray, rates: np.ndarray, first: int, last: int) -> DivergenceError:
        """Return the error for the first bad step of a run that began with step `begin`, after going back, if so asked.

        `orders` and `rates` are those of `run`; `first` and `last` are the steps of the call that diverged.
        """
        if self.last_good is not None:
            return self._go_back(self.last_good, orders, rates, first, last)
        bad = np.flatnonzero(~np.isfinite(self.step_losses[begin + first : begin + last]))
        step = first + int(bad[0]) if len(bad) else last - 1
        return self._error(begin + step, float(rates[step]), restored=False)

    def _error(self, step: int, rate: float, restored: bool) -> DivergenceError:
        finite = self.state.finite() if restored else None
        loss, epoch = float(self.step_losses[step]), step // self.steps + 1
        return divergence_error(loss, epoch, step + 1, rate, self.state.optimizer, finite)

    def _go_back(self, good: Snapshot, orders: np.ndarray, rates: np.ndarray, first: int, last: int) -> DivergenceError:
        """Restore the state after the last good epoch; return the error for the first bad step. See `_divergence`."""
        self.going_back = True
        if self.since:
            self._restore(good)
        begin, steps = good.taken, self.steps
        if len(orders) > 1:
            good.restore()
            for epoch in range(len(orders)):
                first, last = epoch * steps, (epoch + 1) * steps
                self._take(begin + first, begin + last, orders[epoch : epoch + 1], rates[first:last])
                if epoch + 1 == len(orders) or not self._good(begin + first, begin + last):
                    break
                good.take()
            first, last, begin = 0, steps, good.taken
            orders, rates = orders[epoch : epoch + 1], rates[epoch * steps :]
        bad = np.flatnonzero(~np.isfinite(self.step_losses[begin + first : begin + last]))
        again = first == 0 or len(bad) == 0  # a long epoch is not taken again where a loss tells the step
        step = self._first_bad_step(good, orders, rates, first, last) if again else first + int(bad[0])
        good.restore()
        error = self._error(begin + step, float(rates[step]), restored=True)
        self._record()
        self._show(begin + step + 1)
        self.going_back = False
        return error

    def _first_bad_step(self, good: Snapshot, orders: np.ndarray, rates: np.ndarray, first: int, last: int) -> int:
        """Return the first of an epoch's steps `first` to `last` whose loss, or the state after it, is not finite.

        `good` is the state before the epoch. Of a group of steps with finite losses, the last counts.
        """
        begin = good.taken
        good.restore()
        edges = [*range(0, first, self.pace.count), *range(first, last, self.pace.group), last]
        for a, b in itertools.pairwise(edges):
            self._take(begin + a, begin + b, self._part(orders, a, b), rates[a:b])
            if a >= first and not self._good(begin + a, begin + b):
                break
        bad = np.flatnonzero(~np.isfinite(self.step_losses[begin + a : begin + b]))
        return int(a + bad[0] if len(bad) else b - 1)
