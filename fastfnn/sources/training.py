"""`FNN.fit` on a source: the checks of what it is given; `loop.SourceLoop` has the epochs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastfnn import scaling, validation
from fastfnn.backend import calls_are_atomic
from fastfnn.callbacks import Callback
from fastfnn.checkpoint import Checkpoint, checked_checkpoint
from fastfnn.fitting import TrainingLoop
from fastfnn.held_out import Part
from fastfnn.history import History
from fastfnn.keeper import Keeper
from fastfnn.optimizers import Optimizer
from fastfnn.same_training import described_arguments
from fastfnn.snapshot import TrainingState
from fastfnn.sources.base import Source
from fastfnn.sources.evaluation import SourcePart
from fastfnn.sources.loop import UNKNOWN, SourceLoop
from fastfnn.sources.reading import preparation, read
from fastfnn.sources.windows import Window
from fastfnn.training import Training


class SourceTraining(Training):
    """One `fit` on a source: everything but the rows is checked when it is made, and nothing is changed before `run`.

    Parameters
    ----------
    net : FNN
    x : Source
    t, epochs, batch_size, optimizer, sampling, validation_data, validation_split, metrics, sample_weight, \
class_weight, callbacks, progress, on_divergence, checkpoint, resume, given
        See `FNN.fit` and `training.Training`.

    Attributes
    ----------
    rows, targets, weights : array
        Some rows of the first window, in which a training that fails looks for reasons.
    """

    net: Any
    partial: bool
    progress: bool | str
    source: Source
    sampling: str
    epochs: int
    samples: Any  # None where the source does not know
    batch: int
    batch_size: int | None
    class_weight: Any
    held_out: Part | SourcePart | None
    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def __init__(
        self,
        net: Any,
        x: Source,
        t: Any,
        *,
        epochs: int,
        batch_size: int | None,
        optimizer: Optimizer | str | None,
        on_divergence: str,
        sampling: str = "shuffle",
        validation_data: Any = None,
        validation_split: float | None = None,
        metrics: Sequence[str | Callable[..., float]] | None = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | str | None = None,
        callbacks: Sequence[Callback | Callable[[Any, History], Any]] | None = None,
        progress: bool | str = False,
        checkpoint: Checkpoint | str | os.PathLike[str] | None = None,
        resume: bool = False,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        self.given: Mapping[str, Any] = given or {}
        self.net, self.partial, self.progress, self.source = net, False, progress, x
        check_unused(t=t, sample_weight=sample_weight, validation_split=validation_split)
        if validation.choice("sampling", sampling, ("shuffle", "replacement")) == "replacement":
            raise ValueError("sampling must be 'shuffle' with a source, which is read from its start to its end; "
                             "got 'replacement'")  # fmt: skip
        self.sampling = sampling
        self.epochs = validation.integer("epochs", epochs, 1)
        x._check_passes("epochs", self.epochs)
        self.samples = x.samples
        self.batch_size = checked_batch_size(x, batch_size)
        self.batch = UNKNOWN if self.batch_size is None else self.batch_size
        if isinstance(class_weight, str):
            raise ValueError(
                "class_weight must be a dict {label: weight} with a source, whose classes are not counted before the "
                f"training, got {class_weight!r}"
            )
        self.weights = net._sample_weights(None, class_weight, np.empty(0, np.int64))
        self.class_weight = class_weight
        self.rows, self.targets = np.empty((0, net.layer_sizes[0]), net.dtype), np.empty(0, np.int64)
        self.held_out = self._held_out(validation_data)
        if metrics and self.held_out is None:
            raise ValueError("metrics need validation_data with a source, on which alone they are measured; got None")
        self._check_options(optimizer, metrics, callbacks, on_divergence, progress, on_arrays=False)
        if checkpoint is not None and (self.samples is None or self.batch_size is None):
            missing = "batch_size with a source" if batch_size is None else "samples, the number of rows of the source"
            raise ValueError(f"checkpoint needs {missing}, got None")
        self.keeper: Keeper | None = None
        self._open_checkpoint(checked_checkpoint(checkpoint, resume), resume)

    def _new_history(self) -> History:
        names = [metric.name for metric in self.metrics if metric.name != "accuracy"]
        return History(metrics={f"val_{name}": [] for name in names})

    def _loop(self, state: TrainingState, history: History) -> SourceLoop:
        steps = self._steps(state)

        def take_window(window: Window, losses: np.ndarray, orders: np.ndarray, rates: np.ndarray) -> None:
            if not len(self.rows):
                self.rows, self.targets, self.weights = some_rows(window)
            steps(losses, window.x, window.targets, window.weights, orders, rates)

        raises = self.on_divergence == "raise"
        return SourceLoop(
            take_window, state, history, self.samples, self.batch_size, self.epochs, raises=raises, goes_back=raises,
            atomic=calls_are_atomic(self.net.backend),
        )  # fmt: skip

    def _compile(self, loop: TrainingLoop) -> None:
        """Do nothing: the loop does it once it has a window."""

    def _train(self, loop: Any, count: int, advance: Callable[[int], object]) -> None:
        rng = self.net._rng
        # Full-batch training draws nothing, see `fitting.draw_orders`.
        draws = self.source.shuffle and self.batch_size is not None and self.batch_size != self.samples
        with read(
            self.source, preparation(self.net, self.class_weight), self.batch_size, self.net.dtype,
            rng.permutation if draws else None, loop.state.taken % loop.steps,
        ) as windows:  # fmt: skip
            loop.run_windows(windows, rng.permutation if draws else np.arange, advance)

    def _measure(self, history: History) -> None:
        """Append what is measured on the validation data; that on the training data would take another pass."""
        if self.held_out is not None:
            result = self.held_out.evaluate(self.net, self.metrics)
            history._extend(**{f"val_{name}": [value] for name, value in result.items()})

    def _asked(self) -> dict[str, Any]:
        return described_arguments(self.net, self.given) | {
            "trained_by": "FNN", "batch_size": self.batch, "sampling": self.sampling,
            "on_divergence": self.on_divergence, "samples": self.samples,
            "metrics": [metric.name for metric in self.metrics], "source": self.source._described(),
            "validation_data": None if self.held_out is None else self.held_out.described(self.net.dtype),
        }  # fmt: skip


def some_rows(window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return copies of some rows of a window, of their targets and weights: the window has not long to live."""
    some = scaling.some_rows(*window.x.shape)
    weights = window.weights[some] if window.weights.size else window.weights
    return np.array(window.x[some]), np.array(window.targets[some]), np.array(weights)


def check_unused(**arguments: Any) -> None:
    """Raise unless arguments that a source takes the place of are None."""
    cures = {
        "t": "the source gives the targets",
        "sample_weight": "the source gives the weights",
        "validation_split": "give validation_data, a pair of arrays or another source",
    }
    for name, value in arguments.items():
        if value is not None:
            kind = TypeError if name == "t" else ValueError
            raise kind(f"{name} must be None with a source: {cures[name]}; got {type(value).__name__}")


def checked_batch_size(source: Source, batch_size: Any) -> int | None:
    """Return the samples of a step, at most those of the source; None where each chunk is a batch."""
    if batch_size is None:
        if not source._chunks_are_batches:
            kind = type(source).__name__
            raise ValueError(f"batch_size must be an int with {kind}, whose rows are in no batches yet, got None")
        return None
    size = validation.integer("batch_size", batch_size, 1)
    return size if source.samples is None else min(size, source.samples)
