"""Steps of each rank by itself, after every few of which parameters and the optimizer's state are averaged.

For small networks, whose steps take less time than a message. `AveragedSteps` is a `steps.Steps`: `training` calls it,
or the trainer of an estimator. `chosen_every` measures how many steps should lie between two averages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastfnn.backend import SETTINGS, aligned_zeros
from fastfnn.base import NOTHING
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.ranks import Ranks
from fastfnn.snapshot import TrainingState

SEED = SETTINGS.index("seed")

# "auto" averages so often that messages take at most this share of the time of the steps between.
MESSAGE_SHARE = 0.25
MEASUREMENTS = 5


class AveragedSteps:
    """Steps of the compiled loop on this rank's share of each batch, and averages over the ranks.

    Parameters
    ----------
    net : FNN
    state : TrainingState
        What the steps change; the same on all ranks before and after each call.
    parts : Parts
        Of this rank.
    ranks : Ranks
    every : int
        Steps of an epoch between two averages; one more is taken at its end, and at the end of a call.
    batch_l2 : float
        L2 penalty, which is divided by the weight of a batch of all ranks.
    """

    net: Any
    state: TrainingState
    parts: Parts
    ranks: Ranks
    every: int
    batch_l2: float

    def __init__(
        self, net: Any, state: TrainingState, parts: Parts, ranks: Ranks, every: int, batch_l2: float = 0.0
    ) -> None:
        self.net, self.state, self.parts, self.ranks, self.every = net, state, parts, ranks, every
        self.batch_l2 = batch_l2
        self.codes: np.ndarray = net._codes("identity")
        self.counts: np.ndarray = parts.counts.sum(axis=0)
        self.weight: float = sum(parts.sizes) / parts.samples
        self.message: np.ndarray = aligned_zeros(sum(array.size for array in state.arrays), net.dtype)

    def __call__(
        self,
        losses: np.ndarray,
        x: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        orders: np.ndarray,
        rates: np.ndarray,
        half_squares: np.ndarray = NOTHING,
        batch_weights: np.ndarray = NOTHING,
        before: int = 0,
    ) -> None:
        """Take steps on this rank's samples, see `steps.Steps`; `batch_weights` are those of all ranks.

        Rows of `orders` are from `Parts.draw_orders`, of whole epochs or of the next steps of one.
        """
        parts, state = self.parts, self.state
        samples = x, targets, weights
        if not len(losses):
            self._take(losses, samples, np.zeros((1, 1), np.int64), rates, 1, 1.0, NOTHING, NOTHING, 0)
            return
        first = (state.taken + before) % parts.steps
        own_losses = np.zeros(len(losses))
        own_squares = np.zeros(len(half_squares))
        for i, j in self._runs(first, len(losses)):
            epoch, step = divmod(first + i, parts.steps)
            count = int(self.counts[step])
            if count:
                begin = parts.edges[step] - (parts.edges[first] if len(orders) == 1 else 0)
                order = orders[epoch : epoch + 1, begin : begin + count * (j - i)]
                share = count / int(parts.totals[step])
                divisors = batch_weights[i:j] * share if batch_weights.size else NOTHING
                self._take(
                    own_losses[i:j], samples, order, rates[i:j], count, share, own_squares[i:j], divisors, before + i
                )
                own_losses[i:j] *= share
                own_squares[i:j] *= share
            if (step + j - i) % self.every == 0 or step + j - i == parts.steps or j == len(losses):
                self._average()
        self.ranks.comm.Allreduce(own_losses, losses)
        if half_squares.size:
            self.ranks.comm.Allreduce(own_squares, half_squares)

    def _runs(self, first: int, count: int) -> Iterator[tuple[int, int]]:
        """Divide `count` steps, from step `first` of an epoch, where an average is due or the share of samples changes.

        Yields the first and the last of each run, counted from 0.
        """
        parts, i = self.parts, 0
        while i < count:
            step = (first + i) % parts.steps
            most = min(self.every - step % self.every, parts.steps - step, count - i)
            same = (self.counts[step : step + most] == self.counts[step]) & (
                parts.totals[step : step + most] == parts.totals[step]
            )
            length = most if same.all() else int(np.argmin(same))
            yield i, i + length
            i += length

    def _take(
        self, losses: np.ndarray, samples: tuple[np.ndarray, np.ndarray, np.ndarray], order: np.ndarray,
        rates: np.ndarray, batch: int, share: float, half_squares: np.ndarray, divisors: np.ndarray, before: int,
    ) -> None:  # fmt: skip
        net, optimizer, (first, second) = self.net, self.state.optimizer, self.state.moments
        # The kernel divides by the weight of this rank's share of the batch.
        settings = net._settings({**optimizer.flat_settings(), "batch_l2": self.batch_l2 * share})
        if net.dropout:
            settings = settings.copy()
            settings[SEED] = self.parts.seed(net._seed, 0)
        x, targets, weights = samples
        net._kernels.train_steps(
            self.state.params, first, second, self.state.statistics, losses, half_squares, x, targets, weights,
            divisors, order, rates, net._sizes, self.codes, settings, net._loss_parameters, net._loss_code,
            optimizer.code, batch, optimizer.steps + before,
        )  # fmt: skip

    def _average(self) -> None:
        """Give all ranks the mean of their states, weighted by the numbers of their samples."""
        from mpi4py import MPI

        np.concatenate(self.state.arrays, out=self.message)
        self.message *= self.message.dtype.type(self.weight)
        self.ranks.comm.Allreduce(MPI.IN_PLACE, self.message)
        begin = 0
        for array in self.state.arrays:
            array[...] = self.message[begin : begin + array.size]
            begin += array.size


class Choice(NamedTuple):
    """How many steps lie between two averages, and why."""

    every: int
    message_seconds: float
    step_seconds: float


def chosen_every(
    net: Any, state: TrainingState, parts: Parts, ranks: Ranks, samples: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> Choice:
    """Measure a message and a step, and return how many steps should lie between two averages: the same on all ranks.

    1 means that the gradients of all steps can be summed. Nothing is changed; the kernels are compiled.
    """
    from mpi4py import MPI

    copies = TrainingState(
        state.params.copy(), state.statistics.copy(),
        (state.moments[0].copy(), state.moments[1].copy()), state.optimizer,
    )  # fmt: skip
    steps = AveragedSteps(net, copies, parts, ranks, 1)
    count = min(max(int(steps.counts.max()), 1), len(samples[1]))
    order, rate = np.arange(count)[np.newaxis], np.zeros(1)

    def step() -> None:
        steps._take(np.empty(1), samples, order, rate, count, 1.0, NOTHING, NOTHING, 0)

    step()
    message = np.empty(state.params.size + state.statistics.size, net.dtype)
    own = np.array([_median_time(lambda: ranks.comm.Allreduce(MPI.IN_PLACE, message)), _median_time(step)])
    ranks.comm.Allreduce(MPI.IN_PLACE, own, MPI.MAX)
    message_seconds, step_seconds = own.tolist()
    every = max(math.ceil(message_seconds / (MESSAGE_SHARE * step_seconds)), 1)
    return Choice(ranks.from_first(min(every, parts.steps)), message_seconds, step_seconds)


def _median_time(action: Callable[[], object]) -> float:
    seconds = []
    for _ in range(MEASUREMENTS):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[MEASUREMENTS // 2]
