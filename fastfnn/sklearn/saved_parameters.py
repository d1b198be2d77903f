"""The parameters of an estimator as JSON, for its file, and back.

Called by `files.py` alone. Numbers, names, and sequences of these are themselves; classes with parameters, such as
optimizers and schedules, are objects with the name of their class. What comes from a file is checked here and then by
the constraints of the estimator.
"""

import dataclasses
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastfnn import Activation, Loss, optimizers, schedules, validation
from fastfnn.optimizers import Optimizer
from fastfnn.schedules import Schedule
from fastfnn.sklearn.parameters import activations, hidden_layer_sizes

SCHEDULES: Mapping[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (
        schedules.Constant, schedules.Step, schedules.Exponential, schedules.Cosine, schedules.InverseScaling,
    )
}  # fmt: skip

LONGEST_INT = 1 << 64
LARGEST = sys.float_info.max

# JSON has no such numbers.
NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}

SCALARS = (bool, int, float, str, type(None))


def number_to_json(value: Any) -> int | float | str:
    """Return a number as JSON can hold it: a name if it is not finite."""
    if isinstance(value, (int, np.integer)):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else repr(number)


def float_from_json(name: str, value: Any) -> float:
    """Return a number of `number_to_json` as a float."""
    if isinstance(value, str) and value in NOT_FINITE:
        return NOT_FINITE[value]
    if type(value) not in (int, float):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if abs(value) > LARGEST:  # 1e999 is read as infinity
        raise ValueError(f"{name} must be a number of float64, got a larger one")
    return float(value)


def checked_list(name: str, value: Any, count: int | None = None) -> list[Any]:
    """Return `value`, which must be a list, of `count` entries if that is given."""
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list, got {type(value).__name__}")
    if count is not None and len(value) != count:
        raise ValueError(f"{name} must have {count} entries, got {len(value)}")
    return value


def checked_entries(name: str, value: Any, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return `value`, which must be an object with these entries."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be an object, got {type(value).__name__}")
    for entry in required:
        if entry not in value:
            raise ValueError(f"{name} must have the entry {entry}")
    for entry in value:
        if entry not in required and entry not in optional:
            raise ValueError(f"{name} must have no entry {entry!r}")
    return value


# To JSON


def described(estimator: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters of an estimator, and the names of those that a file cannot hold."""
    told: dict[str, Any] = {}
    left_out = []
    for name, value in estimator.get_params(deep=False).items():
        try:
            told[name] = _to_json(np.dtype(value).name if name == "dtype" and value is not None else value)
        except TypeError:
            left_out.append(name)
    return told, left_out


def _to_json(value: Any) -> Any:
    """Return a parameter; TypeError if JSON cannot hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)):
        return number_to_json(value)
    if isinstance(value, (Activation, Loss)):
        return value.name
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {"labels": [_to_json(label) for label in value], "weights": [_to_json(item) for item in value.values()]}
    name = type(value).__name__
    if SCHEDULES.get(name) is type(value):
        return {"class": name, **dataclasses.asdict(value)}
    if optimizers.BY_NAME.get(name) is type(value):
        return {"class": name, **{key: _to_json(item) for key, item in _arguments(value).items()}}
    raise TypeError(f"no JSON of {name}")


def _arguments(optimizer: Optimizer) -> dict[str, Any]:
    """Return the arguments that make an equal optimizer without state."""
    clip = {} if optimizer.clip_norm is None else {"clip_norm": optimizer.clip_norm}
    return {"learning_rate": optimizer.learning_rate, **optimizer.settings, **optimizer._options(), **clip}


# From JSON


def restored(kind: type, told: Any, own: Mapping[str, Activation], own_losses: Mapping[str, Loss]) -> Any:
    """Return an estimator with the parameters of a file; those that are missing have their defaults.

    `own` and `own_losses` are the user's activations and losses by their names.
    """
    defaults = kind().get_params(deep=False)
    told = checked_entries("parameters", told, (), tuple(defaults))
    values = {name: _from_json(name, value) for name, value in told.items()}
    for name, value in values.items():  # scikit-learn takes a bool for a number
        if isinstance(value, bool) and not isinstance(defaults[name], bool):
            raise TypeError(f"{name} must not be {value}")
    if values.pop("callbacks", None):
        raise ValueError("callbacks must be null or empty")
    if "activation" in values:
        named = values["activation"]
        values["activation"] = (
            tuple(own.get(n, n) for n in named) if isinstance(named, tuple) else own.get(named, named)
        )
    if isinstance(values.get("loss"), str):
        values["loss"] = own_losses.get(values["loss"], values["loss"])
    estimator = kind(**values)
    estimator._validate_params()
    activations(estimator, len(hidden_layer_sizes(estimator)))
    return estimator


def _from_json(name: str, value: Any) -> Any:
    """Return a parameter of `_to_json`: sequences are tuples, but for the list of class weights."""
    if name == "class_weight" and isinstance(value, list):
        return [_weights(item) for item in value]
    if name == "class_weight" and isinstance(value, dict):
        return _weights(value)
    if name == "optimizer" and isinstance(value, dict):
        rate = value.get("learning_rate")
        if isinstance(rate, dict):
            value = value | {"learning_rate": _made("learning_rate", rate, SCHEDULES)}
        return _made("optimizer", value, optimizers.BY_NAME)
    if name == "schedule" and isinstance(value, dict):
        return _made("schedule", value, SCHEDULES)
    if isinstance(value, list):
        return tuple(_scalar(f"an entry of {name}", item) for item in value)
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> Any:
    """Return a value that is not nested."""
    if not isinstance(value, SCALARS):
        raise TypeError(f"{name} must be a number, a name or null, got {type(value).__name__}")
    if isinstance(value, int) and abs(value) >= LONGEST_INT:
        raise ValueError(f"{name} must be a number of 64 bits, got a longer one")
    return math.inf if name == "n_iter_no_change" and value == "inf" else value


def _weights(value: Any) -> dict[Any, float]:
    told = checked_entries("class_weight", value, ("labels", "weights"))
    labels = [_scalar("a label of class_weight", label) for label in checked_list("labels", told["labels"])]
    weights = [
        _scalar("a weight", weight) if type(weight) is int else float_from_json("a weight", weight)
        for weight in checked_list("weights", told["weights"], len(labels))
    ]
    return dict(zip(labels, weights, strict=True))


def _made(name: str, value: dict[str, Any], kinds: Mapping[str, Any]) -> Any:
    """Return an object of one of the classes."""
    arguments = {
        key: item if isinstance(item, Schedule) else _scalar(f"{key} of {name}", item)
        for key, item in value.items() if key != "class"
    }  # fmt: skip
    return kinds[validation.choice(f"class of {name}", value.get("class"), tuple(kinds))](**arguments)
