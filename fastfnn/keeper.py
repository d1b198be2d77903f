"""The keeper of a training's checkpoints: writes them when they are due, and goes on from one.

`FNN.fit` and the estimators call it between compiled calls and after epochs; `continuation.py` and `resuming.py` say
what is in the file. This module does not import the network: `net` is an `FNN` in all signatures below.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastfnn import atomic, continuation, files, resuming, stored
from fastfnn.callbacks import Callback
from fastfnn.checkpoint import FILE, Checkpoint
from fastfnn.continuation import Continuation, described_rate
from fastfnn.fitting import TrainingLoop
from fastfnn.history import History
from fastfnn.optimizers import Optimizer
from fastfnn.params import Params
from fastfnn.resuming import Fit, state_names

# Without `every`: seconds from one checkpoint to the next, and the largest share of the time that writing may take.
SECONDS, SHARE = 10.0, 0.02

# A process that is killed while it writes leaves a file of this kind. One that is younger may still be written.
TEMPORARY_PREFIX, TEMPORARY_SUFFIX, TEMPORARY_SECONDS = ".fastfnn-", ".tmp", 60.0


def checked_training(saved: files.SavedNetwork) -> Continuation:
    """Return what the file of a network holds for its training, all of it checked; `fit` of a checkpoint is a `Fit`."""
    told = saved.description
    sizes, dtype, batch_norm = told["layer_sizes"], told["dtype"], told["batch_norm"]
    count, statistics = Params.count(sizes, batch_norm), 2 * sum(sizes[1:-1]) if batch_norm else 0
    read = continuation.checked(saved, dtype, count)
    if read.fit is None:
        return read
    states = 0 if read.optimizer is None else read.optimizer.states
    return read._replace(fit=resuming.checked(read.fit, dtype, count, statistics, states))


class Keeper:
    """The checkpoints of one training: writes them when they are due, and gives back what one holds.

    Parameters
    ----------
    checkpoint : Checkpoint
    resume : bool
        Whether to go on from the checkpoint, if there is one.
    net : FNN
    optimizer : Optimizer
    watchers : list of Callback
    asked : dict
        See `resuming.asked_of`.
    given_as : str, optional
        The name that the optimizer was given as, if it was one.
    defaults : mapping, optional
        What parameters were that a checkpoint does not name, since they came into being later.

    Attributes
    ----------
    found : Fit or None
        What the checkpoint holds, if there is one to go on from.

    Raises
    ------
    OSError
        If the checkpoint cannot be read.
    ValueError
        If it is damaged, or that of another training. Nothing has been changed.
    """

    checkpoint: Checkpoint
    net: Any
    optimizer: Optimizer
    watchers: Sequence[Callback]
    asked: dict[str, Any]
    given_as: str | None
    arrays: dict[str, np.ndarray]
    continuation: Continuation
    loop: TrainingLoop
    history: History
    capture: Callable[[], Any]
    observed: bool
    drawn: Any
    drawn_epochs: int
    drawn_at: int
    written_at: float
    write_seconds: float
    written_steps: int
    written_epochs: int

    def __init__(
        self,
        checkpoint: Checkpoint,
        resume: bool,
        net: Any,
        optimizer: Optimizer,
        watchers: Sequence[Callback],
        asked: dict[str, Any],
        given_as: str | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.checkpoint, self.net, self.optimizer, self.watchers = checkpoint, net, optimizer, watchers
        self.asked, self.given_as = asked, given_as
        self.defaults: dict[str, Any] = resuming.normalized(dict(defaults or {}))
        net._description()  # raises for a network that cannot be saved
        self.found: Fit | None = None
        if os.path.lexists(checkpoint.path) and not os.path.isdir(checkpoint.path):
            raise NotADirectoryError(f"checkpoint must be a folder, in which the file {FILE} is written; got the file "
                                     f"{checkpoint.path}")  # fmt: skip
        if resume and os.path.lexists(checkpoint.file):
            self._read(checkpoint.file)

    # Reading

    def _read(self, path: str) -> None:
        """Read a checkpoint into memory, if it belongs to this training."""
        with files.opened(path) as saved:
            read = None
            if "training" in saved.sections:
                with files.damage_reported(path):
                    read = checked_training(saved)
            if read is None or read.fit is None or read.optimizer is None:
                raise ValueError(f"{path} must be a checkpoint to resume from, got a saved network")
            fit: Fit = read.fit
            ours = resuming.normalized(files.DEFAULTS | self.net._description()) | self.asked
            # The description last: it agrees with the arrays, whatever a hostile file says it was asked for.
            theirs = (
                self.defaults | fit.asked | saved.description | {"layer_sizes": list(saved.description["layer_sizes"])}
            )
            ours["callbacks"] = [resuming.kind_of(watcher) for watcher in self.watchers]
            theirs["callbacks"] = [each["kind"] for each in fit.callbacks]
            rate = described_rate(read.optimizer.learning_rate)
            if ours["learning_rate"] == rate:  # as callbacks have changed it since the beginning
                theirs["learning_rate"] = rate
            resuming.compare(ours, theirs, path)
            if fit.unfinished and fit.good is None and ours.get("on_divergence") == "raise":
                raise ValueError(f"{path} is damaged: good must be the state before the unfinished epoch, got null")
            self.arrays = {name: saved.tensors.get_tensor(name) for name in (*self.net.params, *self.net._running())}
            self.continuation = read._replace(moments=stored.read(read.moments), fit=None)
            self.found = Fit(*map(stored.read, fit))

    def restore_callbacks(self) -> None:
        """Give the callbacks, which have begun, the states of the checkpoint, or see that theirs can be written."""
        for i, watcher in enumerate(self.watchers):
            if self.found is None:
                stored.packed(watcher.state(), f"callbacks[{i}].state()")
            else:
                with files.damage_reported(self.checkpoint.file):
                    watcher.restore(self.found.callbacks[i]["state"])

    def begin(self, loop: TrainingLoop, history: History, capture: Callable[[], Any], observed: bool,
              estimator_state: Callable[[], dict[str, Any]] | None = None) -> bool:  # fmt: skip
        """Go on from the checkpoint, if there is one; return whether the training had been stopped.

        Parameters
        ----------
        loop : TrainingLoop
        history : History
        capture : callable () -> object
            Returns a copy of what the orders of the samples are drawn from.
        observed : bool
            Whether something happens after each epoch.
        estimator_state : callable () -> dict, optional
            Returns what an estimator has noted.
        """
        self.loop, self.history, self.capture, self.observed = loop, history, capture, observed
        self.estimator_state = estimator_state
        self.drawn, self.drawn_at, self.drawn_epochs = capture(), 0, 0
        loop.between = self.between_calls
        stopped = False
        if self.found is not None:
            self._restore(self.found)
            stopped, self.found = self.found.stopped, None
        self.written_at, self.write_seconds = time.monotonic(), 0.0
        self.written_steps, self.written_epochs = loop.state.taken, history.epochs
        return stopped

    def _restore(self, found: Fit) -> None:
        net, loop, read = self.net, self.loop, self.continuation
        for name, values in {**net.params, **net._running()}.items():
            values[...] = self.arrays[name]
        read.restore(net, self.optimizer)
        rate = None if read.optimizer is None else read.optimizer.learning_rate
        if rate is not None and described_rate(rate) is not None:  # else the user has given the function again
            self.optimizer.learning_rate = rate
        found.fill(self.history)
        good = None if found.good is None else [found.good[name] for name in self._state_names()]
        loop.resume(found.history["step_loss"], found.seconds, good)
        del self.arrays, self.continuation

    # Writing

    def before_orders(self, epochs: int) -> None:
        """Note what the orders of the next epochs will be drawn from."""
        self.drawn, self.drawn_epochs = self.capture(), epochs
        self.drawn_at = self.loop.state.taken // self.loop.steps * self.loop.steps

    def between_calls(self) -> None:
        """Write a checkpoint in the middle of an epoch, if it is due."""
        if self._is_due():
            self._write(self.drawn)

    def after_epochs(self, ended: bool, stopped: bool) -> None:
        """Write a checkpoint after an epoch and its callbacks, if it is due or training has ended."""
        if ended or self._is_due():
            self._write(self.capture(), stopped)

    def interrupted(self) -> None:
        """Write a checkpoint after Ctrl-C, unless it came between the end of an epoch and the last of its callbacks."""
        if self.loop.state.taken == self.written_steps:
            return
        done = self.loop.state.taken - self.drawn_at
        with contextlib.suppress(OSError):  # the checkpoint before is still there
            if 0 <= done < self.loop.steps and self.history.epochs * self.loop.steps == self.drawn_at:
                self._write(self.drawn)
            elif not self.observed and done == self.drawn_epochs * self.loop.steps:
                self._write(self.capture())

    def open_folder(self) -> None:
        """Create the folder, see that the file can be written, and remove what killed processes have left."""
        os.makedirs(self.checkpoint.path, exist_ok=True)
        atomic.check(self.checkpoint.file)
        with contextlib.suppress(OSError), os.scandir(self.checkpoint.path) as entries:
            for entry in entries:
                temporary = entry.name.startswith(TEMPORARY_PREFIX) and entry.name.endswith(TEMPORARY_SUFFIX)
                if temporary and time.time() - entry.stat().st_mtime > TEMPORARY_SECONDS:
                    os.unlink(entry)

    def _state_names(self) -> tuple[str, ...]:
        return state_names(self.net._statistics.size, self.optimizer.states)

    def _is_due(self) -> bool:
        every, unit = self.checkpoint.every, self.checkpoint.unit
        if every is None:
            return time.monotonic() - self.written_at >= max(SECONDS, self.write_seconds / SHARE)
        if unit == "seconds":
            return time.monotonic() - self.written_at >= every
        if unit == "steps":
            return self.loop.state.taken - self.written_steps >= every
        return self.history.epochs - self.written_epochs >= every

    def _write(self, drawn: Any, stopped: bool = False) -> None:
        """Write a checkpoint; `drawn` is what the order of the next or the unfinished epoch is drawn from."""
        start, loop, history, rate = time.monotonic(), self.loop, self.history, self.optimizer.learning_rate
        if described_rate(rate) is None and self.asked["learning_rate"] is not None:
            raise ValueError(
                "learning_rate of the optimizer must stay a number or a schedule of fastfnn.schedules for checkpoints, "
                f"got a function of your own in the middle of the training, {rate!r}"
            )
        taken, unfinished = loop.state.taken, loop.state.taken % loop.steps > 0
        good = loop.last_good if unfinished else None
        fit = Fit(
            asked=self.asked, epochs=history.epochs, steps=taken,
            seconds=float(np.nan_to_num(loop.epoch_seconds)) if unfinished else 0.0, stopped=stopped,
            history=resuming.described_history(history, taken),
            callbacks=[{"kind": resuming.kind_of(each), "state": each.state()} for each in self.watchers],
            good=None if good is None else dict(zip(self._state_names(), good.copies, strict=True)),
            estimator=None if self.estimator_state is None else self.estimator_state() | {"drawn": drawn},
        )  # fmt: skip
        section = continuation.described(self.net, self.optimizer, self.given_as, fit._asdict())
        if self.estimator_state is None:
            section["random_state"] = drawn
        self.net._write(self.checkpoint.file, training=section)
        self.written_at = time.monotonic()
        self.write_seconds = self.written_at - start
        self.written_steps, self.written_epochs = taken, history.epochs
