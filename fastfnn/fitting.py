"""The parts of the training loop `FNN.fit`: order of the samples, compiled calls and their length, progress.

`FNN.fit` holds the algorithm and calls these parts; they know neither the network nor its callbacks.
"""

import contextlib
import itertools
import math
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from fastfnn.backend import SAMPLES_PER_GROUP, CompileProgress, cache_folder, on_compilation
from fastfnn.history import History

# Writes the losses of the steps into its first argument and takes the samples in the orders of the second, (E, N).
TakeSteps = Callable[[np.ndarray, np.ndarray], None]


def draw_orders(rng: np.random.Generator, samples: int, batch_size: int, sampling: str, epochs: int) -> np.ndarray:
    """Return the order of the samples in each epoch: (epochs, samples) int64.

    Full-batch training needs no order: the rows are empty, which the kernels read as 0, 1, 2, ...
    """
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
    """

    SECONDS = 0.2
    MOST_SAMPLES = 1 << 17  # limits the memory of the orders of several epochs, 8 bytes per sample

    def __init__(self, group: int) -> None:
        self.group = self.count = group

    def epochs(self, steps: int, samples: int) -> int:
        """Return how many epochs of `steps` steps on `samples` samples may share one call, at least 1."""
        return max(1, min(self.count // steps, self.MOST_SAMPLES // samples))

    def slices(self, steps: int) -> Iterator[tuple[int, int]]:
        """Divide `steps` steps into calls: yield (first, last) of each, and time the caller's work on it."""
        first = 0
        while first < steps:
            last = min(first + self.count, steps)
            start = time.perf_counter()
            yield first, last
            seconds = max(time.perf_counter() - start, 1e-6)
            # The first call may be slower than the others: grow step by step, at most tenfold.
            possible = int(min((last - first) * self.SECONDS / seconds, 10 * self.count))
            self.count = max(possible // self.group, 1) * self.group
            first = last


class TrainingLoop:
    """The epochs of one `fit`: takes their steps in compiled calls and records losses and times.

    Parameters
    ----------
    take_steps : callable (losses, orders) -> None
        Takes ``len(losses)`` steps of training.
    samples, batch_size, epochs : int
        Samples per epoch, samples per step, and the number of epochs to reserve memory for.
    """

    def __init__(self, take_steps: TakeSteps, samples: int, batch_size: int, epochs: int) -> None:
        self.take_steps, self.samples, self.batch_size, self.epochs = take_steps, samples, batch_size, epochs
        self.steps = math.ceil(samples / batch_size)  # per epoch
        self.step_losses = np.empty(epochs * self.steps)
        self.pace = Pace(SAMPLES_PER_GROUP if batch_size == 1 else 1)

    def compile(self, ordered: bool) -> None:
        """Compile the kernels of this training, or load them from the cache, by a call of no steps.

        `ordered` says whether the steps will get orders of samples: what a call of the same kind prepares is kept.
        """
        self.take_steps(self.step_losses[:0], np.zeros((1, self.samples if ordered else 0), np.int64))

    def epochs_at_once(self, done: int) -> int:
        """Return how many epochs may share the next call after `done` epochs."""
        return min(self.pace.epochs(self.steps, self.samples), self.epochs - done)

    def run(self, orders: np.ndarray, history: History, advance: Callable[[int], object]) -> None:
        """Train on the epochs whose orders are the rows of `orders`, and append them to `history`.

        `advance` is called with the number of steps of each compiled call.
        """
        done, count = history.epochs, len(orders)
        losses = self.step_losses[done * self.steps : (done + count) * self.steps]
        start = time.perf_counter()
        for first, last in self.pace.slices(count * self.steps):
            # Several epochs always fit into one call; a single epoch may need several.
            rows = orders if count > 1 else orders[:, first * self.batch_size : last * self.batch_size]
            self.take_steps(losses[first:last], rows)
            advance(last - first)
        seconds = (time.perf_counter() - start) / count
        history.seconds += [seconds] * count
        history.samples_per_second += [self.samples / seconds] * count
        history.loss += epoch_losses(losses.reshape(count, self.steps), self.batch_size, self.samples)
        history.step_loss = self.step_losses[: (done + count) * self.steps]

    def release(self, history: History) -> None:
        """After an early stop, free the memory that was reserved for the remaining epochs."""
        if history.epochs < self.epochs:
            history.step_loss = history.step_loss.copy()


class Progress(NamedTuple):
    """What shows the progress of a training."""

    advance: Callable[[int], object]  # after each compiled call, with its number of steps
    report: Callable[[History], object]  # after each epoch


NO_PROGRESS = contextlib.nullcontext(Progress(lambda count: None, lambda history: None))


def progress_bar(show: bool, steps: int, epochs: int) -> contextlib.AbstractContextManager[Progress]:
    """Return a context that shows a bar over `steps` steps and a line for each epoch; nothing unless `show`."""
    return _shown_progress(steps, epochs) if show else NO_PROGRESS


@contextlib.contextmanager
def _shown_progress(steps: int, epochs: int) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:

        def compiling(kernel: CompileProgress) -> None:
            how_often = "once for this machine" if cache_folder() else "in every process: set NUMBA_CACHE_DIR"
            bar.set_description_str(f"compiling kernel {kernel.number} of {kernel.total}, {how_often}")

        def advance(count: int) -> None:
            bar.set_description_str("", refresh=False)
            bar.update(count)

        def report(history: History) -> None:
            bar.set_description_str("", refresh=False)  # the kernels that measure may have been compiled
            tqdm.write(_epoch_line(history, epochs))

        with on_compilation(compiling):
            yield Progress(advance, report)


def _epoch_line(history: History, epochs: int) -> str:
    parts = [f"epoch {history.epochs:>{len(str(epochs))}}/{epochs}", f"loss {history.loss[-1]:.4f}"]
    if history.accuracy:
        parts.append(f"accuracy {history.accuracy[-1]:.4f}")
    if history.val_loss:
        parts.append(f"test loss {history.val_loss[-1]:.4f}")
    if history.val_accuracy:
        parts.append(f"test accuracy {history.val_accuracy[-1]:.4f}")
    return "  ".join([*parts, f"{history.samples_per_second[-1]:,.0f} samples/s"])


def warn_if_diverged(history: History) -> None:
    """Warn if the last training loss is not finite; the warning points to the code that called the network."""
    if math.isfinite(history.loss[-1]):
        return
    caller = sys._getframe(1)  # FNN.fit, which FNN.partial_fit may have called: frames of one module
    frames = (frame for frame, _ in traceback.walk_stack(caller))
    inside = itertools.takewhile(lambda frame: frame.f_globals is caller.f_globals, frames)
    message = "the training loss is not finite: try a smaller learning rate"
    warnings.warn(message, RuntimeWarning, stacklevel=2 + sum(1 for _ in inside))
