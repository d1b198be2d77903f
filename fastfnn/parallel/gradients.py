"""Steps with the gradient of all ranks: each rank computes its share, the shares are summed, each updates its network.

`ReducedSteps` sums as MPI does, `OrderedSteps` in an order that does not depend on the number of ranks. Both are
`steps.Steps`: `training` calls them, or the trainer of an estimator.

A step sends one message, after its gradient is complete. Experiments: reduction-overlap.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastfnn import streams
from fastfnn.backend import SETTINGS, aligned_zeros
from fastfnn.base import NOTHING
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.ranks import Ranks
from fastfnn.snapshot import TrainingState

SEED = SETTINGS.index("seed")

# Of the rows of an array: indices, or a slice where steps take all of them.
Rows = np.ndarray | slice


class GradientSteps:
    """Base class: takes steps one by one; those that derive from it sum the gradient.

    Parameters
    ----------
    net : FNN
    state : TrainingState
        What the steps change; the same on all ranks.
    parts : Parts
        Of this rank.
    ranks : Ranks
    more_settings : mapping of str to float, optional
        Settings of the kernels besides those of network and optimizer.
    """

    net: Any
    state: TrainingState
    parts: Parts
    ranks: Ranks
    samples: tuple[np.ndarray, np.ndarray, np.ndarray]
    settings: np.ndarray
    loss_columns: int  # losses that a rank adds to the loss of a step
    more_settings: Mapping[str, float] | None

    def __init__(
        self, net: Any, state: TrainingState, parts: Parts, ranks: Ranks,
        more_settings: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        self.net, self.state, self.parts, self.ranks, self.more_settings = net, state, parts, ranks, more_settings
        self.codes: np.ndarray = net._codes("identity")
        self.starts: np.ndarray = np.cumsum([0, *parts.sizes])
        self.summed: np.ndarray = self.new_message()

    def new_message(self) -> np.ndarray:
        """Return room for a gradient and the running statistics: what ranks send each other in a step."""
        return aligned_zeros(self.state.params.size + self.state.statistics.size, self.net.dtype)

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
        """Take steps on this rank's samples and all others', see `steps.Steps`; `batch_weights` are those of all ranks.

        Rows of `orders` are from `Parts.draw_orders`, of whole epochs or of the next steps of one.
        """
        parts, state = self.parts, self.state
        self.samples = x, targets, weights
        self.settings = self._settings()
        self.seeded: list[np.ndarray] = [self._seeded(part) for part in range(len(parts.sizes))]
        if not len(losses):
            self._compile()
            return
        first = (state.taken + before) % parts.steps
        own_losses = np.empty((self.loss_columns, len(losses)))
        for i in range(len(losses)):
            epoch, step = divmod(first + i, parts.steps)
            begin = parts.edges[step] - (parts.edges[first] if len(orders) == 1 else 0)
            order = orders[epoch][begin : begin + parts.counts[:, step].sum()]
            weight = batch_weights[i] if batch_weights.size else parts.totals[step]
            number = state.optimizer.steps + before + i + 1
            if half_squares.size:
                half_squares[i] = self._half_squares()
            self.sum_gradients(own_losses[:, i], order, step, weight, number)
            self._update(rates[i], weight, number)
        self.sum_losses(losses, own_losses)

    def sum_gradients(self, losses: np.ndarray, order: np.ndarray, step: int, weight: float, number: int) -> None:
        """Write the sum over all ranks into `summed`, and this rank's losses into `losses`.

        `order` are the samples that this rank gives to a step, the last argument the number of the step, from 1.
        """
        raise NotImplementedError

    def sum_losses(self, losses: np.ndarray, own_losses: np.ndarray) -> None:
        """Write the losses of steps of all ranks together."""
        raise NotImplementedError

    def gradient(
        self, message: np.ndarray, rows: Rows, count: int, step: int, weight: float, settings: np.ndarray, number: int
    ) -> float:
        """Write what `count` samples contribute to a step with samples of a `weight`; return their share of the loss.

        The running statistics are weighted by numbers of samples.
        """
        net, size = self.net, self.state.params.size
        if not count:
            message[...] = 0
            return 0.0
        x, targets, weights = self.samples
        statistics = message[size:]
        statistics[...] = self.state.statistics
        loss = net._kernels.network_gradient(
            message[:size], statistics, self.state.params, x[rows], targets[rows],
            weights[rows] if weights.size else weights, net._sizes, self.codes, settings, net._loss_parameters,
            net._loss_code, number,
        )  # fmt: skip
        if count != weight:
            message[:size] *= message.dtype.type(count / weight)
        if count != self.parts.totals[step]:
            statistics *= message.dtype.type(count / self.parts.totals[step])
        return float(loss) * (count / weight)

    def _seeded(self, part: int) -> np.ndarray:
        """Return the settings with the seed of dropout of a part."""
        settings = self.settings
        if self.net.dropout:
            settings = settings.copy()
            settings[SEED] = self.parts.seed(self.net._seed, part)
        return settings

    def _update(self, rate: float, weight: float, number: int) -> None:
        """Take the step with the gradient in `summed`."""
        state, net = self.state, self.net
        size = state.params.size
        state.statistics[...] = self.summed[size:]
        net._kernels.network_update(
            state.params, *state.moments, self.summed[:size], net._sizes, self.settings, state.optimizer.code,
            float(rate), float(weight), number,
        )  # fmt: skip

    def _compile(self) -> None:
        """Compile the kernels by a gradient and an update with copies."""
        state, net = self.state, self.net
        self.gradient(self.summed, slice(0, 1), 1, 0, 1.0, self.settings, 1)
        copies = [array.copy() for array in (state.params, *state.moments)]
        net._kernels.network_update(
            *copies, self.summed[: state.params.size], net._sizes, self.settings, state.optimizer.code, 0.0, 1.0, 1
        )

    def _settings(self) -> np.ndarray:
        more: Mapping[str, float] = self.more_settings or {}
        settings: np.ndarray = self.net._settings({**self.state.optimizer.flat_settings(), **more})
        return settings

    def _half_squares(self) -> float:
        weights = (values for name, values in self.net.params.items() if name.startswith("W"))
        with np.errstate(over="ignore"):  # where training diverges
            return 0.5 * sum(float(np.square(values, dtype=np.float64).sum()) for values in weights)


class ReducedSteps(GradientSteps):
    """Steps with one gradient of each rank, which MPI sums; see `GradientSteps`."""

    loss_columns: int
    message_seconds: float
    seconds: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_columns = 1
        self.message_seconds = self.seconds = 0.0

    @property
    def message_share(self) -> float:
        """The share of the time that was spent in messages, and in waiting for them."""
        return self.message_seconds / self.seconds if self.seconds else 0.0

    def hint(self) -> None:
        """Print what would help if messages take longer than the steps."""
        share = self.message_share
        if share > 0.5:
            streams.say(
                f'messages take {share:.0%} of the time of a step: DataParallel(comm, average_every="auto") sends fewer'
            )

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Take steps, see `GradientSteps`."""
        start = time.perf_counter()
        super().__call__(*args, **kwargs)
        self.seconds += time.perf_counter() - start

    def sum_gradients(self, losses: np.ndarray, order: np.ndarray, step: int, weight: float, number: int) -> None:
        """See `GradientSteps`."""
        from mpi4py import MPI

        count = int(self.parts.counts[:, step].sum())
        rows: Rows = order if order.size or not count else slice(None)
        losses[0] = self.gradient(self.summed, rows, count, step, weight, self.seeded[0], number)
        start = time.perf_counter()
        self.ranks.comm.Allreduce(MPI.IN_PLACE, self.summed)
        self.message_seconds += time.perf_counter() - start

    def sum_losses(self, losses: np.ndarray, own_losses: np.ndarray) -> None:
        """See `GradientSteps`."""
        self.ranks.comm.Allreduce(own_losses[0], losses)


class OrderedSteps(GradientSteps):
    """Steps with a gradient of each part, which are summed in pairs, and the pairs in pairs; see `GradientSteps`.

    The number of parts is a power of two, and so is that of the ranks. A rank adds up its parts, then it exchanges sums
    with the one whose parts are the other half of a pair; both add the same two numbers.
    """

    loss_columns: int
    summed: np.ndarray

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_columns = len(self.parts.sizes)
        depth = self.loss_columns.bit_length()
        self.free: list[np.ndarray] = [self.new_message() for _ in range(depth)]
        self.received: np.ndarray = self.new_message()

    def sum_gradients(self, losses: np.ndarray, order: np.ndarray, step: int, weight: float, number: int) -> None:
        """See `GradientSteps`."""
        counts = self.parts.counts[:, step]
        edges = np.cumsum([0, *counts])

        def sum_of(first: int, count: int) -> np.ndarray:
            if count == 1:
                message = self.free.pop()
                part = slice(edges[first], edges[first + 1])
                rows: Rows = order[part] if order.size else part
                of_part, seeded = int(counts[first]), self.seeded[first]
                losses[first] = self.gradient(message, rows, of_part, step, weight, seeded, number)
                return message
            message, other = sum_of(first, count // 2), sum_of(first + count // 2, count // 2)
            message += other
            self.free.append(other)
            return message

        message = sum_of(0, len(counts))
        self.sum_over_ranks(message, self.received)
        self.free.append(message)
        self.summed = message

    def sum_over_ranks(self, own: np.ndarray, received: np.ndarray) -> None:
        """Add to an array those of all other ranks."""
        ranks, distance = self.ranks, 1
        while distance < ranks.size:
            partner = ranks.rank ^ distance
            ranks.comm.Sendrecv(own, partner, recvbuf=received, source=partner)
            own += received
            distance *= 2

    def sum_losses(self, losses: np.ndarray, own_losses: np.ndarray) -> None:
        """See `GradientSteps`."""
        while len(own_losses) > 1:
            own_losses = own_losses[::2] + own_losses[1::2]
        losses[...] = own_losses[0]
        self.sum_over_ranks(losses, np.empty_like(losses))
