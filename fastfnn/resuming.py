"""How far a `fit` has come: what a checkpoint adds to the section `training`, and whether a training may go on from it.

`keeper.py` writes and reads it for `FNN.fit` and for the estimators. Knows neither networks nor files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastfnn.callbacks import Callback
from fastfnn.callbacks.base import FunctionCallback
from fastfnn.continuation import MOMENTS, described_optimizer
from fastfnn.files import shortened
from fastfnn.history import PER_EPOCH, History
from fastfnn.optimizers import Optimizer
from fastfnn.stored import Stored, array, packed, record, unpacked, whole

ALWAYS_MEASURED = ("loss", "seconds", "samples_per_second")  # in each epoch

# What this module compares. A checkpoint that says another number, or none as those of earlier versions, does not hold
# what tells whether a training is the same.
VERSION = 2


class Fit(NamedTuple):
    """How far a `fit` had come, and what it had been asked for."""

    asked: dict[str, Any]  # what a training that goes on must be asked for, too
    epochs: int  # finished
    steps: int  # taken, those of an unfinished epoch too
    seconds: float  # that the unfinished epoch has taken so far
    stopped: bool  # whether a callback has ended the training
    history: dict[str, Any]  # lists of numbers, by their names in `History`
    callbacks: list[dict[str, Any]]  # kind and state of each
    good: dict[str, Any] | None  # the state before an unfinished epoch, to go back to
    estimator: Any  # what an estimator has noted; None of an FNN

    @property
    def unfinished(self) -> bool:
        """Whether the last epoch is unfinished."""
        return bool(self.steps % -(-self.asked["samples"] // self.asked["batch_size"]))

    def fill(self, history: History) -> None:
        """Append what was measured to a history; the arrays have been read."""
        lists = {name: values.tolist() for name, values in self.history.items() if name != "step_loss"}
        history._extend(**lists)


def described_history(history: History, steps: int) -> dict[str, np.ndarray]:
    """Return the lists of a history, and the losses of its first `steps` steps, as arrays."""
    lists = {name: np.array(values, np.float64) for name, values in history._columns().items()}
    return lists | {"step_loss": np.asarray(history.step_loss[:steps])}


def state_names(statistics: int, states: int) -> tuple[str, ...]:
    """Return the names of the arrays of a `TrainingState`: those that are not empty, in their order."""
    return ("params", *(("statistics",) if statistics else ()), *MOMENTS[:states])


def checked(told: Any, dtype: str, params: int, statistics: int, states: int) -> Fit:
    """Return what a checkpoint adds to the section `training`, checked, its arrays not yet read.

    Parameters
    ----------
    told : object
        From `stored.unpacked`.
    dtype, params, statistics, states
        Of the network of the file: its dtype, the number of its parameters and running statistics; the number of the
        optimizer's state vectors.

    Raises
    ------
    ValueError
        If anything in it is not as `keeper.Keeper` writes it.
    """
    record("fit", told, Fit._fields)
    asked = told["asked"]
    if not isinstance(asked, dict):
        raise ValueError(f"asked must be an object, got {type(asked).__name__}")
    samples = whole("samples", asked.get("samples"), 1)
    steps_per_epoch = -(-samples // whole("batch_size", asked.get("batch_size"), 1, samples + 1))
    epochs, steps = whole("epochs", told["epochs"]), whole("steps", told["steps"])
    if steps // steps_per_epoch != epochs:
        raise ValueError(f"steps must be those of {epochs} epochs of {steps_per_epoch} steps and a part, got {steps}")
    seconds = told["seconds"]
    if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
        raise ValueError("seconds must be a number that is not negative")
    if type(told["stopped"]) is not bool:
        raise ValueError(f"stopped must be true or false, got {type(told['stopped']).__name__}")
    _check_history(told["history"], asked, epochs, steps)
    _check_callbacks(told["callbacks"])
    if told["good"] is not None:
        names = state_names(statistics, states)
        record("good", told["good"], names)
        if steps % steps_per_epoch == 0:
            raise ValueError("good must be null between two epochs")
        for name in names:
            array(f"good.{name}", told["good"][name], dtype, (statistics if name == "statistics" else params,))
    if told["estimator"] is not None and not isinstance(told["estimator"], dict):
        raise ValueError(f"estimator must be an object or null, got {type(told['estimator']).__name__}")
    return Fit(**told)


def _check_history(told: Any, asked: dict[str, Any], epochs: int, steps: int) -> None:
    metrics = _names_of_metrics(asked)
    record("history", told, (*PER_EPOCH, *metrics, "step_loss"))
    array("history.step_loss", told["step_loss"], "float64", (steps,))
    for name in (*PER_EPOCH, *metrics):
        value = told[name]
        empty = name not in ALWAYS_MEASURED and isinstance(value, Stored) and value.shape == (0,)
        array(f"history.{name}", value, "float64", (0 if empty else epochs,))


def _names_of_metrics(asked: dict[str, Any]) -> list[str]:
    """Return the names of the lists of metrics in the history of a training that was asked for this."""
    metrics = asked.get("metrics", [])  # estimators have none
    if not isinstance(metrics, list) or not all(isinstance(name, str) and name.isidentifier() for name in metrics):
        raise ValueError("metrics must be a list of names")
    prefixes = () if "source" in asked else ("",)  # see `sources.training`
    if asked.get("validation_data") is not None:
        prefixes = (*prefixes, "val_")
    names = [prefix + name for name in metrics if name != "accuracy" for prefix in prefixes]
    if len({*names, *PER_EPOCH}) < len(names) + len(PER_EPOCH):
        raise ValueError("metrics must have names of their own")
    return names


def _check_callbacks(told: Any) -> None:
    if not isinstance(told, list):
        raise ValueError(f"callbacks must be a list, got {type(told).__name__}")
    for i, item in enumerate(told):
        record(f"callbacks[{i}]", item, ("kind", "state"))
        if not isinstance(item["kind"], str) or not isinstance(item["state"], dict):
            raise ValueError(f"callbacks[{i}] must have the name of its kind and an object as its state")


# What a training is asked for


def kind_of(callback: Callback) -> str:
    """Return the name of the kind of a callback."""
    return "function" if isinstance(callback, FunctionCallback) else type(callback).__name__


def asked_of(optimizer: Optimizer, **others: Any) -> dict[str, Any]:
    """Return what a training is asked for besides callbacks, as it is compared with that of a checkpoint.

    Raises
    ------
    ValueError
        If the optimizer is of a class of the user's own.
    """
    told = described_optimizer(optimizer)
    settings = {"optimizer": told["name"], "learning_rate": told["learning_rate"]}
    for name, value in ({"clip_norm": told["clip_norm"]} | told["settings"]).items():
        settings[f"optimizer.{name}"] = value
    result: dict[str, Any] = normalized({"compared": VERSION} | others | settings)
    return result


def normalized(value: Any) -> Any:
    """Return a value without arrays as it comes out of a file: with lists in place of tuples."""
    return unpacked(packed(value, "asked")[0], {}, None)


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str) -> None:
    """Raise ValueError, which names every difference, unless what is asked for is what a checkpoint was asked for."""
    if theirs.get("compared") != VERSION:
        raise ValueError(
            f"{path} was written by another version of fastfnn, and does not say all that must be the same to go on: "
            f"finish this training with that version, or begin a new one with its network, fastfnn.load({path!r})"
        )
    missing = object()
    different = [name for name in {**ours, **theirs} if ours.get(name, missing) != theirs.get(name, missing)]
    if "trained_by" in different:
        different = ["trained_by"]
    elif "optimizer" in different:  # others have other settings
        different = [name for name in different if not name.startswith("optimizer.")]
    if different:
        pairs = [f"{name} {_shown(theirs, name)}, got {_shown(ours, name)}" for name in different]
        raise ValueError(f"resume=True must go on with the training of {path}: it has {'; '.join(pairs)}")


def _shown(values: Mapping[str, Any], name: str) -> str:
    return shortened(repr(values[name])) if name in values else "nothing"
