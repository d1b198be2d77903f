"""`FNN.fit` with `comm`: the trainer of a network on several ranks.

It is `training.Training` with other steps. All ranks run the same loop, with the same numbers of steps in each call, so
that they meet in the same messages; what depends on a clock, a callback or a file is decided by rank 0.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastfnn import validation
from fastfnn.checkpoint import Checkpoint
from fastfnn.fitting import TrainingLoop
from fastfnn.held_out import Part
from fastfnn.history import History
from fastfnn.labels import balanced_weights
from fastfnn.metrics import Metric
from fastfnn.options import activation_name
from fastfnn.parallel.gradients import ReducedSteps
from fastfnn.parallel.measuring import means, of_all, shared_digest
from fastfnn.parallel.options import DataParallel
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.ranks import Ranks
from fastfnn.parallel.shards import divided
from fastfnn.parallel.sharing import described_optimizer, new_steps, prepare, share_changes
from fastfnn.snapshot import TrainingState
from fastfnn.sources.evaluation import SourcePart
from fastfnn.steps import Steps
from fastfnn.training import Training, name_of_weights


def fit(net: Any, x: ArrayLike, t: ArrayLike, parallel: DataParallel, arguments: dict[str, Any]) -> History:
    """Train a network on this rank's samples and on those of all others; see `FNN.fit` for the arguments."""
    own = parallel.comm.Dup()  # so that no message of the user's is taken for one of ours
    try:
        ranks = Ranks(own, parallel._ends_interrupted)
        with ranks.guarded(), ranks.sharing_cores():
            with ranks.agreed():
                training = RankTraining(net, x, t, ranks=ranks, parallel=parallel, **arguments)
            training.join()
            return training.run()
    finally:
        if not isinstance(sys.exception(), KeyboardInterrupt):  # else the others are still in a message
            own.Free()


class RankTraining(Training):
    """One rank's share of a `fit`.

    Parameters
    ----------
    net, x, t, **arguments
        See `training.Training`.
    ranks : Ranks
    parallel : DataParallel
    """

    level_of_user: ClassVar[int] = Training.level_of_user + 1  # `fit` above lies between

    ranks: Ranks
    parallel: DataParallel
    parts: Parts
    batch_size: int | None  # as it was given
    samples: int
    batch: int
    weights: np.ndarray
    measures: bool
    progress: bool | str
    warns: bool
    _digests: dict[str, Any]
    _reduced: ReducedSteps | None = None  # until `_hint` has looked at it
    _first_observes: bool
    _first_keeps: bool
    _resume_from: tuple[Checkpoint | None, bool]

    def __init__(
        self, net: Any, x: ArrayLike, t: ArrayLike, *, ranks: Ranks, parallel: DataParallel, batch_size: int | None,
        sample_weight: ArrayLike | None = None, class_weight: Mapping[int, float] | str | None = None, **arguments: Any,
    ) -> None:  # fmt: skip
        self.ranks, self.parallel = ranks, parallel
        self.batch_size = batch_size
        self._weights_given = sample_weight, class_weight
        if not ranks.first:
            arguments |= {"callbacks": None, "checkpoint": None, "resume": False}
        super().__init__(
            net, x, t, batch_size=batch_size, sample_weight=sample_weight, class_weight=class_weight, **arguments
        )
        self._split = arguments.get("validation_split")
        if isinstance(self.held_out, SourcePart):
            raise ValueError("validation_data must be arrays with comm, of each rank its share, got a source")
        self._own_part: Part | None = self.held_out

    def _check_total_weight(self, class_weight: Any) -> None:
        """Leave it to `join`, which knows the weights of all ranks."""

    def join(self) -> None:
        """Check that all ranks ask for the same, and find out what all of them have."""
        ranks, net, parallel = self.ranks, self.net, self.parallel
        others = {name: value for name, value in net._options().items() if name not in ("activation", "loss")}
        ranks.check_equal({
            "layer_sizes": net.layer_sizes, "activation": tuple(map(activation_name, net.activation)),
            "loss": str(net.loss_function), **others, "backend": net.backend, "epochs": self.epochs,
            "batch_size": self.batch_size, "optimizer": described_optimizer(self.optimizer), "sampling": self.sampling,
            "metrics": tuple(metric.name for metric in self.metrics), "on_divergence": self.on_divergence,
            "validation_split": self._split, "labels in t": self.targets.ndim == 1,
            "class_weight": str(self._weights_given[1]), "average_every": parallel.average_every,
            "fixed_order": parallel.fixed_order, "parts": parallel.parts,
        })  # fmt: skip
        own = parallel.parts // ranks.size
        sizes = [size for count in ranks.comm.allgather(self.samples) for size in divided(count, own)]
        self.samples = sum(sizes)
        self.batch = self.samples if self.batch_size is None else min(int(self.batch_size), self.samples)
        self.parts = Parts(sizes, ranks.rank * own, own, self.batch, self.sampling)
        self._balance_classes()
        own_weight = float(self.weights.sum(dtype=np.float64)) if self.weights.size else float(len(self.targets))
        total_weight = sum(ranks.comm.allgather(own_weight))
        with ranks.agreed():
            validation.check_total_weight(name_of_weights(self._weights_given[1]), total_weight)
        with ranks.agreed():
            self._check_held_out_weight(self._split)
        held_out = ranks.comm.allgather(self.held_out is not None)
        with ranks.agreed():
            if any(held_out) and not held_out[0]:
                rank = held_out.index(True)
                raise ValueError(f"validation_data must be given on rank 0 if they are on others, got some on {rank}")
        self.measures = held_out[0] or bool(self.metrics)
        if not ranks.first:
            self.progress = self.warns = False
        self._first_observes, self._first_keeps = ranks.from_first(
            (super()._observed, bool(self.watchers or self._resume_from[0]))
        )
        if self._first_keeps:
            self._digests = self._shared_digests()
        with ranks.agreed():
            if ranks.first:
                super()._open_checkpoint(*self._resume_from)

    def _balance_classes(self) -> None:
        """Compute the weights of balanced classes from the samples of all ranks."""
        sample_weight, class_weight = self._weights_given
        if not isinstance(class_weight, str):
            return
        ranks, net, targets = self.ranks, self.net, self.trained_on.targets
        labels = targets if targets.ndim == 1 else targets.argmax(axis=1)
        counts = sum(ranks.comm.allgather(np.bincount(labels, minlength=net.layer_sizes[-1])))
        weights = dict(enumerate(balanced_weights(np.asarray(counts)).tolist()))
        self.weights = net._sample_weights(sample_weight, weights, self.targets)

    def _shared_digests(self) -> dict[str, Any]:
        """Return the digests of what all ranks have together, which do not depend on how they share it."""
        ranks, dtype, held_out = self.ranks, self.net.dtype, self._own_part
        validation_data = None
        if ranks.from_first(held_out is not None):
            rows, targets = (None, None) if held_out is None else (held_out.rows, held_out.targets)
            validation_data = [shared_digest(ranks, rows, dtype), shared_digest(ranks, targets)]
        return {
            "x": shared_digest(ranks, self.rows, dtype), "t": shared_digest(ranks, self.targets),
            "sample_weight": shared_digest(ranks, self.weights), "validation_data": validation_data,
        }  # fmt: skip

    # What `training.Training` leaves to this class

    @property
    def _observed(self) -> bool:
        return self._first_observes

    def _own_work(self) -> contextlib.AbstractContextManager[None]:
        return self.ranks.agreed()

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        return self.ranks.guarded()

    def _held_out_weight(self) -> float:
        # Of all ranks: `join` asks for it, where they can exchange it.
        own = super()._held_out_weight()
        return float(sum(self.ranks.comm.allgather(own))) if hasattr(self, "parts") else 1.0

    def _open_checkpoint(self, checkpoint: Checkpoint | None, resume: bool) -> None:
        self._resume_from = checkpoint, resume  # opened in `join`

    def _digests_of_data(self) -> dict[str, Any]:
        return self._digests

    def _steps(self, state: TrainingState) -> Steps:
        samples = self.rows, self.targets, self.weights
        steps = new_steps(self.parallel, self.net, state, self.parts, self.ranks, samples, shows=bool(self.progress))
        self._reduced = steps if isinstance(steps, ReducedSteps) else None
        return steps

    def _loop(self, state: TrainingState, history: History) -> TrainingLoop:
        loop = super()._loop(state, history)
        loop.edges = None if self.parts.whole and self.trained_on.indices is None else self.parts.edges
        loop.keeps_copies = self._first_keeps
        prepare(loop, state, self.parallel, self.ranks, self.batch)
        return loop

    def _draw_orders(self, epochs: int) -> np.ndarray:
        return self.parts.draw_orders(self.net._rng, epochs, self.trained_on.indices)

    def _compile(self, loop: TrainingLoop) -> None:
        loop.compile(ordered=False)

    def _share_beginning(self, loop: TrainingLoop, history: History, stopped: bool) -> bool:
        """Give all ranks the network, the optimizer's state and how far a training has come that goes on."""
        ranks, net, state = self.ranks, self.net, loop.state
        ranks.broadcast(*state.arrays)
        good = loop.last_good if loop.last_good is not None and loop.last_good.complete else None
        lists = {name: history._values(name) for name in history._columns()}
        told = (
            stopped, state.optimizer.steps, net._rng.bit_generator.state, net._seed, net._steps, lists,
            loop.step_losses[: state.taken], loop.seconds_before, None if good is None else good.copies,
            self.optimizer.learning_rate if not callable(self.optimizer.learning_rate) else None,
        )  # fmt: skip
        told = ranks.from_first(told if ranks.first else None)
        stopped, state.optimizer.steps, net._rng.bit_generator.state, net._seed, net._steps, *rest = told
        lists, step_losses, seconds, copies, rate = rest
        if not ranks.first:
            if rate is not None:
                self.optimizer.learning_rate = rate
            if len(step_losses):
                history._extend(**lists)
                loop.resume(step_losses, seconds, copies)
        between = loop.between
        if ranks.from_first(between is not None):
            loop.between = lambda: self._between(between)
        return bool(stopped)

    def _between(self, own: Any) -> None:
        with self.ranks.agreed():
            if own is not None:
                own()

    def _share_epoch(self, stopped: bool) -> bool:
        """Give all ranks what the callbacks of rank 0 may have changed."""
        ranks, optimizer, net = self.ranks, self.optimizer, self.net
        self._hint()
        if not self._first_keeps:
            return stopped
        return share_changes(ranks, net, optimizer, stopped)

    def _hint(self) -> None:
        if self._reduced is not None and self.progress is True:
            self._reduced.hint()
        self._reduced = None

    def _measure(self, history: History) -> None:
        """Append what is measured on all ranks' samples."""
        ranks, net, metrics = self.ranks, self.net, self.metrics
        others = [metric for metric in metrics if metric.name != "accuracy"]
        values: dict[str, float] = {}
        if ranks.from_first(self.held_out is not None):
            result = means(ranks, net, self._own_part) | of_all(ranks, net, self._own_part, others)
            if "accuracy" in result and len(others) == len(metrics):
                metrics = [Metric("accuracy"), *metrics]
            values = {f"val_{name}": value for name, value in result.items()}
        values |= of_all(ranks, net, self.trained_on, metrics)
        history._extend(**{name: [value] for name, value in values.items()})
