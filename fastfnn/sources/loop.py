"""SourceLoop: the epochs of a training on a source, window by window.

`training.SourceTraining` gives it the windows; `fitting.TrainingLoop` holds what both kinds of training share.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable

import numpy as np

from fastfnn.divergence import DivergenceError
from fastfnn.fitting import TrainingLoop
from fastfnn.history import History
from fastfnn.snapshot import TrainingState
from fastfnn.sources.windows import Window

# In place of the number of samples, and of the batch size, where nobody knows it yet: larger than any.
UNKNOWN = sys.maxsize // 2


class SourceLoop(TrainingLoop):
    """The epochs of one training on a source; see `TrainingLoop` for what is not here.

    Parameters
    ----------
    samples : int or None
        Rows of the source, if they are known.
    batch_size : int or None
        None takes a step with each window.
    take_window : callable (window, losses, orders, rates) -> None
        Takes steps on a window.

    Notes
    -----
    If steps diverge, the network goes back to a copy from before the epoch: the source is not read again.
    """

    window: Window
    steps: int
    samples: int
    one_step: bool
    compiled: bool
    going_back: bool
    epoch_seconds: float
    seconds_before: float

    def __init__(
        self,
        take_window: Callable[[Window, np.ndarray, np.ndarray, np.ndarray], None],
        state: TrainingState,
        history: History,
        samples: int | None,
        batch_size: int | None,
        epochs: int,
        *,
        raises: bool,
        goes_back: bool,
        atomic: bool,
    ) -> None:
        super().__init__(
            lambda losses, orders, rates: take_window(self.window, losses, orders, rates), state, history,
            UNKNOWN if samples is None else samples, UNKNOWN if batch_size is None else batch_size, epochs,
            raises=raises, goes_back=goes_back, keeps_copies=True, atomic=atomic,
        )  # fmt: skip
        self.one_step = batch_size is None
        if self.one_step or samples is None:
            self.steps = UNKNOWN  # until the first epoch has counted them
        self.sizes: list[int] = []  # rows of each window of this epoch
        self.compiled = False

    @property
    def known_steps(self) -> int | None:
        """Steps of an epoch, or None before the first one has counted them."""
        return None if self.steps == UNKNOWN else self.steps

    def compile(self, ordered: bool) -> None:
        """Do nothing: the kernels are compiled, or loaded, once there is a window."""

    def epochs_at_once(self) -> int:
        """Return 1: epochs on a source share no call."""
        return 1

    def run_windows(
        self, windows: Iterable[Window], draw: Callable[[int], np.ndarray], advance: Callable[[int], object]
    ) -> None:
        """Train for one epoch, or for the rest of one, and append it to the history.

        Parameters
        ----------
        windows : iterable of Window
        draw : callable
            Returns the order of this number of rows.
        advance : callable
            Called with the number of steps of each compiled call.
        """
        done = self.state.taken % self.steps  # steps of an epoch that goes on from a checkpoint
        begin = self.state.taken - done
        if not done and self.last_good is not None:
            self._keep(self.last_good)
        self.epoch_seconds, self.sizes = math.nan, []
        start, step = time.perf_counter() - self.seconds_before, 0
        for self.window in windows:
            self.sizes.append(self.window.rows)
            count = 1 if self.one_step else math.ceil(self.window.rows / self.batch_size)
            self._check_count(step + count, at_end=False)
            order = draw(self.window.rows)[np.newaxis]
            if not self.compiled and self.window.x is not None:
                before = time.perf_counter()
                self.take_steps(self.step_losses[:0], order, self.step_losses[:0])
                self.compiled = True
                start += time.perf_counter() - before
            for first, last in self.pace.slices(count, max(done - step, 0)):
                rates = self.state.optimizer.rates(last - first)
                a, b = begin + step + first, begin + step + last
                self._reserve(b)
                self._take(a, b, self._part(order, first, last), rates)
                self.epoch_seconds = time.perf_counter() - start
                self._show(b)
                if self.raises:
                    if not self._good(a, b):
                        raise self._divergence_in(a, b, rates)
                    self.checked = b
                self.history._last_rate = float(rates[-1])
                advance(last - first)
                if self.between is not None and b % self.steps:
                    before = time.perf_counter()
                    self.between()
                    self.pace.paused = time.perf_counter() - before
                    start += self.pace.paused
            step += count
        self.window = Window(0)  # gives memory free
        self._check_count(step, at_end=True)
        self.samples, self.steps = sum(self.sizes), step
        self.epoch_seconds = time.perf_counter() - start
        self.seconds_before = 0.0
        self._record()

    def _check_count(self, steps: int, at_end: bool) -> None:
        """Raise unless the windows so far have as many rows and steps as the source promised or had before."""
        rows = sum(self.sizes)
        too_few = at_end and (rows < self.samples < UNKNOWN or steps < self.steps < UNKNOWN or not rows)
        if too_few or rows > self.samples or steps > self.steps:
            wanted = "at least one row" if self.samples == UNKNOWN else f"{self.samples} rows"
            got = f"{rows} rows" if at_end else f"{rows} rows or more"
            parts = (
                f" in {self.steps} parts, got {got} in {steps}"
                if self.one_step and self.steps < UNKNOWN
                else f", got {got}"
            )
            raise ValueError(f"a source must have {wanted} in each epoch{parts}")

    def _epoch_losses(self, losses: np.ndarray) -> list[float]:
        if not self.one_step:
            return super()._epoch_losses(losses)
        return [float(np.average(losses[0], weights=self.sizes))]

    def _divergence_in(self, first: int, last: int, rates: np.ndarray) -> DivergenceError:
        """Return the error for a call that diverged, after going back, if so asked: see `TrainingLoop`."""
        bad = np.flatnonzero(~np.isfinite(self.step_losses[first:last]))
        step = int(bad[0]) if len(bad) else last - first - 1
        good = self.last_good
        if good is None:
            return self._error(first + step, float(rates[step]), restored=False)
        self.going_back = True
        good.restore()
        error = self._error(first + step, float(rates[step]), restored=True)
        self._record()
        self._show(first + step + 1)
        self.going_back = False
        return error
