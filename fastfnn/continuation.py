"""What a training goes on with: the section `training` of a file.

`FNN.save` and checkpoints write it, `load` and resumed trainings read it. It holds the optimizer with its state, the
state of the random generator and the seed of dropout; of a checkpoint also how far `fit` has come, see `resuming.py`.
`net` is an `FNN` in all signatures below.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fastfnn import optimizers, schedules
from fastfnn.files import SavedNetwork
from fastfnn.optimizers import Optimizer, Rate
from fastfnn.schedules import Schedule
from fastfnn.stored import MOST_NESTED, WHOLE_LIMIT, array, read, record, unpacked, whole

SCHEDULES: dict[str, type[Schedule]] = {
    name: kind
    for name, kind in vars(schedules).items()
    if isinstance(kind, type) and issubclass(kind, Schedule) and kind is not Schedule
}

GENERATOR = "PCG64"  # of NumPy, which networks draw from
MOMENTS = ("first", "second")


# Describing


def described(
    net: Any, optimizer: Optimizer | None, given_as: str | None, fit: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what the training of a network goes on with.

    Parameters
    ----------
    net : FNN
    optimizer : Optimizer or None
        Of the last training, if there was one.
    given_as : str or None
        The name that the optimizer was given as, if it was one.
    fit : mapping, optional
        What a checkpoint adds.

    Raises
    ------
    ValueError
        If the optimizer is of a class of the user's own. Without `fit`, also if its learning rate is a function of the
        user's own: a checkpoint is resumed with an optimizer that has the function.
    """
    if optimizer is not None and fit is None and described_rate(optimizer.learning_rate) is None:
        raise ValueError(
            f"learning_rate of the optimizer must be a number or a schedule of fastfnn.schedules to be saved, got a "
            f"function of your own, {optimizer.learning_rate!r}: save without training=True, or set "
            "net.optimizer.learning_rate to a number and after loading to the function again"
        )
    section = {
        "optimizer": None if optimizer is None else _optimizer_and_state(net, optimizer) | {"given_as": given_as},
        "random_state": described_generator(net._rng),
        "dropout_seed": net._seed,
        "gradients": net._steps,
    }
    return section if fit is None else section | {"fit": fit}


def _optimizer_and_state(net: Any, optimizer: Optimizer) -> dict[str, Any]:
    if optimizer._holds({"": net._flat}):
        moments, steps = optimizer.flat_state(net.params), optimizer.steps
    else:  # it has trained another network since, and would start anew with this one
        moments, steps = (np.zeros_like(net._flat),) * 2, 0
    state = dict(list(zip(MOMENTS, moments, strict=True))[: optimizer.states])
    return described_optimizer(optimizer) | {"steps": steps} | state


def described_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """Return the class and the settings of an optimizer."""
    name = type(optimizer).__name__
    if optimizers.BY_NAME.get(name) is not type(optimizer):
        raise ValueError(f"optimizer must be of a class of fastfnn.optimizers to be saved, got {name}, one of your own")
    return {
        "name": name,
        "learning_rate": described_rate(optimizer.learning_rate),
        "clip_norm": optimizer.clip_norm,
        "settings": _settings(optimizer),
    }


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    return optimizer.settings | ({"book": optimizer.book} if isinstance(optimizer, optimizers.Adam) else {})


def described_rate(rate: Rate) -> Any:
    """Return a learning rate as a number or an object; None of a function of the user's own, which no file can hold."""
    try:
        return _described_schedule(rate, 0) if callable(rate) else rate
    except TypeError:
        return None


def _described_schedule(value: Any, depth: int) -> Any:
    """Return a schedule, or one of its parameters, as JSON; TypeError if that is impossible."""
    if depth > MOST_NESTED // 2:
        raise TypeError("nested too deep")
    if isinstance(value, (list, tuple)):
        return [_described_schedule(item, depth + 1) for item in value]
    name = type(value).__name__
    if SCHEDULES.get(name) is type(value):
        fields = dataclasses.fields(value)
        return {"schedule": name} | {
            field.name: _described_schedule(getattr(value, field.name), depth + 1) for field in fields
        }
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(name)


def described_generator(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state of a generator; its numbers of 128 bits are texts, since other readers of JSON round numbers."""
    state: Any = rng.bit_generator.state
    return {
        "name": state["bit_generator"],
        "state": str(state["state"]["state"]),
        "increment": str(state["state"]["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uint32": int(state["uinteger"]),
    }


# Reading


class Continuation(NamedTuple):
    """The checked section `training` of an open file."""

    optimizer: Optimizer | None  # without its state
    given_as: str | None
    steps: int
    moments: list[Any]  # `Stored`, or arrays that have been read
    generator: dict[str, Any]  # as NumPy has it
    dropout_seed: int
    gradients: int
    fit: Any  # None if it is no checkpoint

    def restore(self, net: Any, optimizer: Optimizer | None) -> None:
        """Give a network and an optimizer of the kind that the file describes what training goes on with."""
        net._rng.bit_generator.state = self.generator
        net._seed, net._steps = self.dropout_seed, self.gradients
        if optimizer is not None:
            for own, moment in zip(optimizer.flat_state(net.params), self.moments, strict=False):
                own[...] = read(moment)
            optimizer.steps = self.steps


def checked(saved: SavedNetwork, dtype: str, size: int) -> Continuation:
    """Return the section `training` of a file, whose network has `size` parameters of a dtype.

    Raises
    ------
    ValueError, TypeError
        If anything in it is not as `described` makes it.
    """
    section = unpacked(saved.sections["training"], saved.entries, saved.tensors)
    keys = ("optimizer", "random_state", "dropout_seed", "gradients")
    record("training", section, (*keys, "fit") if "fit" in section else keys)
    optimizer, given_as, steps = None, None, 0
    moments: list[Any] = []
    if section["optimizer"] is not None:
        told = section["optimizer"]
        optimizer = _optimizer_of(told)
        given_as, steps = told["given_as"], whole("steps", told["steps"])
        if given_as is not None and not isinstance(given_as, str):
            raise ValueError(f"given_as must be a name or null, got {type(given_as).__name__}")
        moments = [array(name, told[name], dtype, (size,)) for name in MOMENTS[: optimizer.states]]
    return Continuation(
        optimizer, given_as, steps, moments, _generator_of(section["random_state"]),
        whole("dropout_seed", section["dropout_seed"], 0, 1 << 32), whole("gradients", section["gradients"]),
        section.get("fit"),
    )  # fmt: skip


def _optimizer_of(told: Any) -> Optimizer:
    """Return a new optimizer as it is described."""
    name = told.get("name") if isinstance(told, dict) else told
    if not isinstance(name, str) or name not in optimizers.BY_NAME:
        raise ValueError(f"optimizer must be one of {', '.join(optimizers.BY_NAME)}, got {name!r}")
    kind: Any = optimizers.BY_NAME[name]
    state = MOMENTS[: kind.states]
    record("optimizer", told, ("name", "learning_rate", "clip_norm", "settings", "given_as", "steps", *state))
    settings = record("settings", told["settings"], tuple(_settings(kind())))
    result: Optimizer = kind(rate_of(told["learning_rate"]), clip_norm=told["clip_norm"], **settings)
    return result


def rate_of(told: Any) -> Rate:
    """Return a learning rate as it is described."""
    if told is None:
        return _unknown_rate
    if isinstance(told, dict):
        told = _schedule_of(told, 0)
    rate: Rate = told  # the optimizer checks it
    return rate


def _unknown_rate(step: int) -> float:
    raise ValueError(
        "learning_rate was a function of your own, which a file cannot hold: set net.optimizer.learning_rate to it, "
        "or to another one, before training goes on"
    )


def _schedule_of(told: Any, depth: int) -> Any:
    """Return a schedule, or one of its parameters, as it is described."""
    if depth > MOST_NESTED // 2:
        raise ValueError("a schedule must not be nested so deep")
    if isinstance(told, list):
        return tuple(_schedule_of(item, depth + 1) for item in told)
    if type(told) is int:
        return whole("a parameter of a schedule", told, -WHOLE_LIMIT)
    if not isinstance(told, dict):
        return told
    name = told.get("schedule")
    if not isinstance(name, str) or name not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {name!r}")
    names = [field.name for field in dataclasses.fields(SCHEDULES[name])]
    record(name, told, ("schedule", *names))
    return SCHEDULES[name](**{key: _schedule_of(told[key], depth + 1) for key in names})


def _generator_of(told: Any) -> dict[str, Any]:
    """Return the state of a generator as NumPy has it."""
    record("random_state", told, ("name", "state", "increment", "has_uint32", "uint32"))
    if told["name"] != GENERATOR:
        raise ValueError(f"random_state must be that of {GENERATOR}, got {told['name']!r}")
    numbers = {}
    for name in ("state", "increment"):
        text = told[name]
        if not (isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= 39):
            raise ValueError(f"{name} of random_state must be a number of 128 bits as text")
        numbers[name] = whole(name, int(text), 0, 1 << 128)
    if numbers["increment"] % 2 == 0:
        raise ValueError("increment of random_state must be odd")
    return {
        "bit_generator": GENERATOR,
        "state": {"state": numbers["state"], "inc": numbers["increment"]},
        "has_uint32": whole("has_uint32", told["has_uint32"], 0, 2),
        "uinteger": whole("uint32", told["uint32"], 0, 1 << 32),
    }
