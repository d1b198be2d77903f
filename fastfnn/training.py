"""`FNN.fit` and `FNN.partial_fit`: the checks of what they are given, and the loop over the epochs.

`fitting` holds the parts of the loop. This module does not import the network: `net` is an `FNN`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastfnn import held_out, scaling, validation
from fastfnn.backend import calls_are_atomic
from fastfnn.callbacks import Callback, call_after_epoch, checked_callbacks
from fastfnn.checkpoint import Checkpoint, checked_checkpoint
from fastfnn.continuation import described_generator
from fastfnn.digests import digest
from fastfnn.divergence import DivergenceError, warn_if_diverged
from fastfnn.fitting import TrainingLoop, draw_orders
from fastfnn.held_out import Part
from fastfnn.history import History
from fastfnn.keeper import Keeper
from fastfnn.metrics import Metric, checked_metrics
from fastfnn.optimizers import SGD, Optimizer, checked_optimizer
from fastfnn.progress import progress_bar
from fastfnn.resuming import asked_of
from fastfnn.same_training import described_arguments, described_defaults
from fastfnn.snapshot import TrainingState
from fastfnn.sources.batches import as_source
from fastfnn.sources.evaluation import SourcePart
from fastfnn.steps import CompiledSteps, Steps

# A context in which nothing happens.
ALONE = contextlib.nullcontext()


def name_of_weights(class_weight: Any) -> str:
    """Return what messages call the weights of samples."""
    return "sample_weight" if class_weight is None else "sample_weight times class_weight"


class Training:
    """One `fit`: everything is checked when it is made, and nothing is changed before `run`.

    Parameters
    ----------
    net : FNN
    x, t, epochs, batch_size, optimizer, sampling, validation_data, validation_split, metrics, sample_weight, \
class_weight, callbacks, progress, on_divergence, checkpoint, resume
        See `FNN.fit`.
    partial : bool
        Whether this is `partial_fit`: a network that diverges stays as it is, and scales of the samples are not looked
        at, since a look or a copy would take long beside a few steps.
    given : mapping, optional
        The arguments of `FNN.fit` as they were given, which a checkpoint needs.
    """

    # The `stacklevel` of the user's code in what `run` calls, which `FNN.fit` or `FNN.partial_fit` has called.
    level_of_user: ClassVar[int] = 4

    net: Any
    partial: bool
    progress: bool | str
    trained_on: Part
    held_out: Part | SourcePart | None
    rows: np.ndarray
    samples: int

    def __init__(
        self,
        net: Any,
        x: ArrayLike,
        t: ArrayLike,
        *,
        epochs: int,
        batch_size: int | None,
        optimizer: Optimizer | str | None,
        on_divergence: str,
        sampling: str = "shuffle",
        validation_data: tuple[ArrayLike, ArrayLike] | None = None,
        validation_split: float | None = None,
        metrics: Sequence[str | Callable[..., float]] | None = None,
        sample_weight: ArrayLike | None = None,
        class_weight: Mapping[int, float] | str | None = None,
        callbacks: Sequence[Callback | Callable[[Any, History], Any]] | None = None,
        progress: bool | str = False,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        resume: bool = False,
        partial: bool = False,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.given: Mapping[str, Any] = given or {}
        self.net, self.partial, self.progress = net, partial, progress
        if t is None:
            raise TypeError("t must be given with an array x, got None; a source or an iterable of (x, t) has none")
        rows = net._samples("x", x)
        self.targets: np.ndarray = net._targets("t", t, len(rows))
        self.epochs: int = validation.integer("epochs", epochs, 1)
        self.rows = rows = validation.samples_for_epochs(rows, self.epochs, net.dtype)
        self.weights: np.ndarray = net._sample_weights(sample_weight, class_weight, self.targets)
        self.trained_on, self.held_out = self._parts(validation_data, validation_split, sample_weight, class_weight)
        self._check_held_out_weight(validation_split)
        self.samples = count = len(self.trained_on.targets)
        self.batch: int = count if batch_size is None else min(validation.integer("batch_size", batch_size, 1), count)
        self._check_total_weight(class_weight)
        self.sampling: str = validation.choice("sampling", sampling, ("shuffle", "replacement"))
        self._check_options(optimizer, metrics, callbacks, on_divergence, progress)
        self.keeper: Keeper | None = None
        self._open_checkpoint(checked_checkpoint(checkpoint, resume), resume)

    def _check_total_weight(self, class_weight: Any) -> None:
        """Raise ValueError if the samples to train on have no weight at all."""
        if self.weights.size and not self.partial:
            chosen = self.trained_on.indices
            weights = self.weights if chosen is None else self.weights[chosen]
            validation.check_total_weight(name_of_weights(class_weight), float(weights.sum(dtype=np.float64)))

    def _check_options(
        self, optimizer: Any, metrics: Any, callbacks: Any, on_divergence: Any, progress: Any, on_arrays: bool = True
    ) -> None:
        """Set what is not about samples; without `on_arrays`, nothing is measured on those to train on."""
        loss = self.net.loss_function
        self.optimizer: Optimizer = SGD(0.1) if optimizer is None else checked_optimizer(optimizer)
        self.optimizer_name: str | None = optimizer if isinstance(optimizer, str) else None
        self.metrics: list[Metric] = checked_metrics(metrics, loss)
        self.watchers: list[Callback] = checked_callbacks(
            callbacks, self.held_out is not None, loss.has_accuracy, self.metrics, self.optimizer, on_arrays
        )
        self.on_divergence: str = validation.choice("on_divergence", on_divergence, ("raise", "warn"))
        if isinstance(progress, str):
            validation.choice("progress", progress, ("line",))
        self.measures: bool = self.held_out is not None or bool(self.metrics)
        self.warns: bool = True

    def run(self) -> History:
        """Train, and return what was measured."""
        net, watchers, keeper = self.net, self.watchers, self.keeper
        history = self._new_history()
        with self._own_work():
            if keeper is not None:
                keeper.open_folder()
            net.history = history
            for watcher in watchers:
                watcher.begin(net, history)
            if keeper is not None:
                keeper.restore_callbacks()
        if self.optimizer is not net._optimizer:
            net._optimizer, net._optimizer_name = self.optimizer, self.optimizer_name
        state = TrainingState(net._flat, net._statistics, self.optimizer.flat_state(net.params), self.optimizer)
        loop = self._loop(state, history)
        stopped = False
        if keeper is not None:
            stopped = keeper.begin(loop, history, lambda: described_generator(net._rng), self._observed)
        stopped = self._share_beginning(loop, history, stopped)
        try:
            with progress_bar(self.progress, loop.known_steps, self.epochs, self.samples) as shown, self._guarded():
                self._compile(loop)
                shown.advance(state.taken)
                while not stopped and history.epochs < self.epochs:
                    count = 1 if self._observed or state.taken % loop.steps else loop.epochs_at_once()
                    if keeper is not None:
                        keeper.before_orders(count)
                    self._train(loop, count, shown.advance)
                    if self.measures:
                        self._measure(history)
                    shown.report(history)
                    with self._own_work():
                        stopped = call_after_epoch(watchers, net, history)
                        if keeper is not None:
                            keeper.after_epochs(stopped or history.epochs >= self.epochs, stopped)
                    stopped = self._share_epoch(stopped)
        except KeyboardInterrupt:
            if keeper is not None:
                loop.settle()
                keeper.interrupted()
            raise
        except DivergenceError as error:
            scaling.add_findings(error, self.rows, self.targets, net.loss_function)
            raise
        finally:
            loop.settle()
        with self._own_work():
            for watcher in watchers:
                watcher.end(net, history)
            if self.on_divergence == "warn" and self.warns:
                warn_if_diverged(history, state.finite(), level=self.level_of_user)
            if not self.partial and self.warns and len(self.rows):
                last, steps = history.loss[-1], history.step_loss.size
                level = self.level_of_user
                scaling.warn_if_unscaled(net, last, steps, self.rows, self.targets, self.weights, level=level)
        self._share_epoch(stopped)
        return history

    @property
    def _observed(self) -> bool:
        """Whether something happens after each epoch."""
        return bool(self.measures or self.watchers or self.progress)

    # What changes where several processes train together, see `parallel.training`

    def _own_work(self) -> contextlib.AbstractContextManager[None]:
        """Return a context for what one of the processes does alone, and what can fail there."""
        return ALONE

    def _guarded(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which an exception of one of the processes must not leave the others waiting."""
        return ALONE

    def _share_beginning(self, loop: TrainingLoop, history: History, stopped: bool) -> bool:
        """Give all processes what they begin with, and return whether the training had been stopped."""
        return stopped

    def _share_epoch(self, stopped: bool) -> bool:
        """Give all processes what callbacks have changed, and return whether the training is stopped."""
        return stopped

    def _open_checkpoint(self, checkpoint: Checkpoint | None, resume: bool) -> None:
        """Read the checkpoint to go on from, if there is one."""
        if checkpoint is not None:
            asked = asked_of(self.optimizer, **self._asked())
            self.keeper = Keeper(
                checkpoint, resume, self.net, self.optimizer, self.watchers, asked, self.optimizer_name,
                described_defaults(type(self.net)),
            )  # fmt: skip

    def _steps(self, state: TrainingState) -> Steps:
        """Return what takes the steps."""
        return CompiledSteps(self.net, state, self.batch)

    def _parts(
        self, validation_data: Any, validation_split: Any, sample_weight: Any, class_weight: Any
    ) -> tuple[Part, Part | SourcePart | None]:
        """Return the samples to train on and those that are held out; "balanced" weights become those of the former."""
        net, rows, targets = self.net, self.rows, self.targets
        if validation_split is None:
            return Part(rows, targets), self._held_out(validation_data)
        if validation_data is not None:
            raise ValueError("validation_split must be None beside validation_data, got both")
        chosen, others = held_out.split("validation_split", validation_split, len(rows))
        weights = net._sample_weights(sample_weight, None, targets)
        if isinstance(class_weight, str):  # "balanced": over the samples to train on
            given = weights[chosen] if weights.size else None
            self.weights[chosen] = net._sample_weights(given, class_weight, targets[chosen])
        if weights.size:
            weights = weights[others]
        return Part(rows, targets[chosen], chosen), Part(rows, targets[others], others, weights)

    def _check_held_out_weight(self, validation_split: Any) -> None:
        """Raise ValueError if the samples that are held out have no weight together: their loss tells nothing."""
        if validation_split is not None and not self._held_out_weight():
            raise ValueError(
                "sample_weight (times class_weight) must not be 0 for all samples that "
                f"validation_split={validation_split} holds out: give other weights, another share or validation_data"
            )

    def _held_out_weight(self) -> float:
        """Return the sum of the weights of the samples that validation_split holds out."""
        weights = self.held_out.weights if isinstance(self.held_out, Part) else np.empty(0)
        return float(weights.sum()) if weights.size else 1.0

    def _held_out(self, validation_data: Any) -> Part | SourcePart | None:
        """Return validation data as what measures a network on them."""
        source = as_source("validation_data", validation_data)
        if source is not None:
            source._check_passes("epochs", self.epochs)
            return SourcePart(source)
        pair = self.net._validation_data(validation_data)
        return None if pair is None else Part(*pair)

    def _new_history(self) -> History:
        """Return an empty history with the lists of the metrics."""
        names = [metric.name for metric in self.metrics if metric.name != "accuracy"]
        prefixes = ("",) if self.held_out is None else ("", "val_")
        return History(metrics={prefix + name: [] for name in names for prefix in prefixes})

    def _train(self, loop: Any, count: int, advance: Callable[[int], object]) -> None:
        """Train for this number of epochs."""
        loop.run(self._draw_orders(count), advance)

    def _draw_orders(self, epochs: int) -> np.ndarray:
        """Return the order of the samples in each of the next epochs, see `draw_orders`."""
        return draw_orders(self.net._rng, self.samples, self.batch, self.sampling, epochs, self.trained_on.indices)

    def _asked(self) -> dict[str, Any]:
        """Return what the user of a checkpoint must ask for again, besides optimizer and callbacks."""
        return described_arguments(self.net, self.given) | {
            "trained_by": "FNN", "batch_size": self.batch, "sampling": self.sampling,
            "on_divergence": self.on_divergence, "samples": self.samples,
            "metrics": [metric.name for metric in self.metrics],
        } | self._digests_of_data()  # fmt: skip

    def _digests_of_data(self) -> dict[str, Any]:
        """Return what tells the samples of this training from others."""
        held_out, dtype = self.held_out, self.net.dtype
        return {
            "x": digest(self.rows, dtype), "t": digest(self.targets), "sample_weight": digest(self.weights),
            "validation_data": None if held_out is None else held_out.described(dtype),
        }  # fmt: skip

    def _loop(self, state: TrainingState, history: History) -> TrainingLoop:
        """Return what takes the steps of this training."""
        steps = self._steps(state)

        def take_steps(losses: np.ndarray, orders: np.ndarray, rates: np.ndarray) -> None:
            steps(losses, self.rows, self.targets, self.weights, orders, rates)

        raises = self.on_divergence == "raise"
        return TrainingLoop(
            take_steps, state, history, self.samples, self.batch, self.epochs, raises=raises,
            goes_back=raises and not self.partial, keeps_copies=bool(self.watchers or self.keeper),
            atomic=calls_are_atomic(self.net.backend),
        )  # fmt: skip

    def _compile(self, loop: TrainingLoop) -> None:
        """Compile the kernels of this training, unless the network has used the same before."""
        rows, optimizer = self.rows, self.optimizer
        ordered = self.sampling == "replacement" or self.batch < len(rows)  # or a part of them
        kind = (
            self.batch, ordered, self.targets.ndim, self.weights.size > 0, optimizer.code, optimizer.clip_norm is None,
            rows.dtype, rows.flags.c_contiguous,
        )  # fmt: skip
        if kind != self.net._compiled_for:
            loop.compile(ordered)
            self.net._compiled_for = kind

    def _measure(self, history: History) -> None:
        """Append what is measured on the validation data, and accuracy and metrics on the training data."""
        net, metrics, values = self.net, self.metrics, {}
        if self.held_out is not None:
            result = self.held_out.evaluate(net, metrics)
            values = {f"val_{name}": [value] for name, value in result.items()}
            if "accuracy" in result and "accuracy" not in [metric.name for metric in metrics]:
                metrics = [Metric("accuracy"), *metrics]
        if metrics:
            measured = net._measure(metrics, self.trained_on.outputs(net), self.trained_on.targets)
            values |= {name: [value] for name, value in measured.items()}
        history._extend(**values)
