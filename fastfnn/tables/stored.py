"""The description of a table in the file of a model, in JSON: written by `described`, read and checked by `checked`.

A file may come from anywhere: every entry is checked for its type, its range and its agreement with the network before
anything is made of it. What is wrong is a TypeError or ValueError, to which `files.damage_reported` adds the file.
"""

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fastfnn import __version__, files
from fastfnn.interop.columns import CategoryColumn, NumberColumn
from fastfnn.network import FNN
from fastfnn.tables.preparation import Preparation
from fastfnn.tables.reading import Format
from fastfnn.tables.target import Label, Target
from fastfnn.tabular.kinds import checked_form

OF_VALUES = ("decimal", "thousands", "na_values", "keep_na")  # entries of a format that a model keeps
REAL_LOSSES = ("squared_error", "huber", "absolute_error")  # their output is the number itself


class Written(NamedTuple):
    """How the table for training was written, which tables for predictions are, too.

    format  of the file; separator and encoding are those of one file
    texts   columns of numbers and dates that held texts: those that are none count as missing
    """

    format: Format = Format()
    texts: tuple[str, ...] = ()


AS_USUAL = Written()


def _described_written(written: Written) -> dict[str, Any]:
    """Return the entry "written" of a description; nothing if it would say nothing, as in earlier versions."""
    told = {name: value for name, value in written.format._asdict().items() if name in OF_VALUES}
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}
    return {} if written == AS_USUAL else {"written": told | {"texts": list(written.texts)}}


def _checked_written(told: dict[str, Any], names: Sequence[str]) -> Written:
    """Return the entry "written" of a description of a table with columns of these names."""
    if "written" not in told:
        return AS_USUAL
    entries = _entries("written", told["written"], (*OF_VALUES, "texts"))
    form = checked_form(entries["decimal"], entries["thousands"])
    for name in ("na_values", "texts"):
        if not isinstance(entries[name], list) or not all(isinstance(text, str) for text in entries[name]):
            raise TypeError(f"{name} must be a list of texts")
    if not isinstance(entries["keep_na"], bool):
        raise TypeError("keep_na must be true or false")
    if len(set(entries["texts"])) < len(entries["texts"]) or not set(entries["texts"]) <= set(names):
        raise ValueError("texts must be columns of numbers or dates, each once")
    marks = tuple(_text("a mark", mark) for mark in entries["na_values"])
    return Written(Format(None, "utf-8", *form, marks, entries["keep_na"]), tuple(entries["texts"]))


def described(
    preparation: Preparation, target: Target, origin: Mapping[str, str], written: Written = AS_USUAL
) -> dict[str, Any]:  # fmt: skip
    """Return the description of a table as an object of JSON."""
    columns = []
    for column in preparation.columns:
        kind = "number" if isinstance(column, NumberColumn) else "category"
        columns.append({"kind": kind, **column._asdict()})
    about = target._asdict()
    for name in ("mean", "scale") if target.labels is not None else ("labels",):
        del about[name]
    return {"target": about, "columns": columns, "origin": dict(origin), **_described_written(written)}


def described_columns(
    target: str, numbers: Sequence[str], categories: Sequence[str], dates: Sequence[str], origin: Mapping[str, str],
    written: Written = AS_USUAL,
) -> dict[str, Any]:  # fmt: skip
    """Return what the file of an estimator says about the table, as an object of JSON."""
    names = {"numbers": list(numbers), "categories": list(categories), "dates": list(dates)}
    return {"target": target, **names, "origin": dict(origin), **_described_written(written)}


def checked_columns(
    told: dict[str, Any], names: Sequence[str]
) -> tuple[str, list[str], list[str], list[str], dict[str, str], Written]:
    """Return target, numbers, categories, dates, origin and how it was written of the table of an estimator.

    `names` are those of the columns of the estimator.
    """
    kinds = ("numbers", "categories", "dates")
    _entries("table", told, ("target", *kinds, "origin"), ("written",))
    target = _text("target", told["target"])
    for kind in kinds:
        if not isinstance(told[kind], list) or not all(isinstance(name, str) for name in told[kind]):
            raise TypeError(f"{kind} must be a list of texts")
    numbers, categories, dates = (told[kind] for kind in kinds)
    if [*numbers, *categories, *dates] != list(names) or target in names:
        raise ValueError("numbers, categories and dates must be the columns of the estimator, and not the target")
    written = _checked_written(told, [*numbers, *dates])
    return target, numbers, categories, dates, _origin(told["origin"]), written


def _origin(told: Any) -> dict[str, str]:
    return {name: _text(name, value) for name, value in _entries("origin", told, ("version", "time")).items()}


def check_size(preparation: Preparation, target: Target) -> None:
    """Raise ValueError if a model of this table could not be saved, before it is trained."""
    text = json.dumps(json.dumps(described(preparation, target, new_origin())))
    if len(text) > files.HEADER_LIMIT // 2:
        raise ValueError(
            f"a model must be described by at most {files.HEADER_LIMIT // 2:,} characters, got {len(text):,}: leave "
            "out columns by --ignore"
        )


def new_origin() -> dict[str, str]:
    """Return when and by which version a model is made."""
    now = datetime.datetime.now(datetime.UTC)
    return {"version": __version__, "time": now.isoformat(timespec="seconds").replace("+00:00", "Z")}


def checked(told: dict[str, Any], net: FNN) -> tuple[Preparation, Target, dict[str, str], Written]:
    """Return what a description says about the table of a network."""
    _entries("table", told, ("target", "columns", "origin"), ("written",))
    target = _target(told["target"], net)
    if not isinstance(told["columns"], list):
        raise TypeError("columns must be a list")
    columns = [_column(item) for item in told["columns"]]
    names = [column.name for column in columns]
    if len(set(names)) < len(names) or target.name in names:
        raise ValueError("columns must have different names, and not that of the target")
    kinds = [isinstance(column, CategoryColumn) for column in columns]
    if kinds != sorted(kinds):
        raise ValueError("columns of numbers must come before categories")
    width = sum(len(column.values) if isinstance(column, CategoryColumn) else 1 for column in columns)
    if width != net.layer_sizes[0]:
        raise ValueError(f"columns must have {net.layer_sizes[0]} inputs, those of the network; got {width}")
    written = _checked_written(told, [column.name for column in columns if isinstance(column, NumberColumn)])
    return Preparation(columns, written.format.form), target, _origin(told["origin"]), written


def _target(told: Any, net: FNN) -> Target:
    if isinstance(told, dict) and "labels" in told:
        _entries("target", told, ("name", "labels"))
        labels = checked_labels(told["labels"])
        if len(labels) != net.layer_sizes[-1]:
            raise ValueError(f"labels must be {net.layer_sizes[-1]}, the outputs of the network; got {len(labels)}")
        if net.loss_name != "softmax_cross_entropy":
            raise ValueError(f"a network with labels must have the loss softmax_cross_entropy, got {net.loss_name}")
        return Target(_text("name", told["name"]), labels)
    _entries("target", told, ("name", "mean", "scale"))
    if net.layer_sizes[-1] != 1 or net.loss_name not in REAL_LOSSES:
        raise ValueError(f"a network for a number must have one output and a loss of {', '.join(REAL_LOSSES)}")
    return Target(_text("name", told["name"]), None, _number("mean", told["mean"]), _scale(told["scale"]))


def checked_labels(told: Any) -> tuple[Label, ...]:
    """Return labels as a tuple."""
    if not isinstance(told, list) or len(told) < 2:
        raise ValueError("labels must be a list of at least two")
    for kind in (str, bool, int):
        if all(type(label) is kind for label in told):
            break
    else:
        raise TypeError("labels must be texts, integers or booleans, all of one type")
    if len(set(told)) < len(told):
        raise ValueError("labels must differ")
    if kind is int and not all(-(2**63) <= label < 2**63 for label in told):
        raise ValueError("labels must be integers of 64 bits")
    return tuple(_text("a label", label) for label in told) if kind is str else tuple(told)


def _column(told: Any) -> NumberColumn | CategoryColumn:
    if not isinstance(told, dict) or told.get("kind") not in ("number", "category"):
        raise ValueError("a column must be an object of the kind number or category")
    if told["kind"] == "number":
        _entries("a column", told, ("kind", "name", "fill", "mean", "scale"))
        fill = None if told["fill"] is None else _number("fill", told["fill"])
        return NumberColumn(_text("name", told["name"]), fill, _number("mean", told["mean"]), _scale(told["scale"]))
    _entries("a column", told, ("kind", "name", "fill", "values"))
    values = told["values"]
    if not isinstance(values, list) or not values:
        raise ValueError("values of a column must be a list of at least one")
    values = tuple(_text("a value", value) for value in values)
    if list(values) != sorted(set(values)):
        raise ValueError("values of a column must differ and be in order")
    frequent = None if told["fill"] is None else _text("fill", told["fill"])
    if frequent is not None and frequent not in values:
        raise ValueError("fill must be one of the values of the column")
    return CategoryColumn(_text("name", told["name"]), values, frequent)


def _entries(what: str, told: Any, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(told, dict) or set(told) - set(optional) != set(names):
        raise ValueError(f"{what} must be an object with the entries {', '.join(names)}")
    return told


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, got {type(value).__name__}")
    value.encode()  # UnicodeEncodeError, a ValueError, for half of a character
    return value


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite")
    return number


def _scale(value: Any) -> float:
    scale = _number("scale", value)
    if scale <= 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    return scale
