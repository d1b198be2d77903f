"""Files of estimators for tables: safetensors with the parameters of the networks, and JSON for all else.

The metadata are texts: `format`, the `version` of the package that wrote the file, and `estimator`, a JSON object whose
arrays are those of the file, see `fastfnn.stored`; `table` is what the command line adds. A file that is read may come
from anywhere: all of it is checked, and nothing is allocated before its description is known to agree with its size.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

import fastfnn
from fastfnn import atomic, stored, streams, validation
from fastfnn import files as network_files
from fastfnn.sklearn.data import feature_names
from fastfnn.sklearn.files import LABELS, _checked_labels
from fastfnn.sklearn.saved_parameters import _from_json, checked_entries, checked_list, described, float_from_json
from fastfnn.tabular.base import TabularEstimator
from fastfnn.tabular.classifier import TabularClassifier
from fastfnn.tabular.columns import PARTS, CategoryColumn, Column, DateColumn, LeftOut, NumberColumn
from fastfnn.tabular.encoding import Encoding
from fastfnn.tabular.kinds import POINT, checked_form, checked_kinds
from fastfnn.tabular.network import TabularNetwork, parameter_shapes
from fastfnn.tabular.recipe import Recipe, checked, chosen
from fastfnn.tabular.regressor import TabularRegressor
from fastfnn.tabular.target import LabelTarget, NumberTarget, Target

Path = str | os.PathLike[str]

KINDS: Mapping[str, Any] = {"TabularClassifier": TabularClassifier, "TabularRegressor": TabularRegressor}
COLUMNS: Mapping[str, Any] = {kind.kind: kind for kind in (NumberColumn, DateColumn, CategoryColumn, LeftOut)}
# Entries of a column that a file has if they are others than these.
OPTIONAL: Mapping[str, Any] = {"offset": 0, "form": POINT, "texts": False}
SECTIONS = ("table",)  # that others may add

ENTRIES = ("kind", "parameters", "recipe", "named", "columns", "target", "dtype", "networks", "fitted")
FITTED = ("n_epochs_", "best_epoch_", "validation_scores_", "loss_curve_", "fit_time_")
LARGEST_OFFSET = 1 << 127
UTF8 = ("utf-8", "surrogatepass")  # of categories: any text of Python
LARGEST_WIDTH = 1 << 20  # of an embedding or a layer
LATEST = 2.0**63 * 1e-6  # seconds that a date can be from 1970, in microseconds of 64 bits


def load(path: Path) -> Any:
    """Read an estimator that `save` wrote, with the same predictions bit for bit.

    Parameters
    ----------
    path : str or path-like
        A file of `TabularClassifier.save` or `TabularRegressor.save`.

    Returns
    -------
    TabularClassifier or TabularRegressor
        The fitted estimator.

    Raises
    ------
    OSError
        If the file cannot be read, for example FileNotFoundError.
    ValueError
        If the file does not hold an estimator for tables.

    Notes
    -----
    A file may come from anywhere: it holds no code, and every entry is checked.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn.tabular
    >>> model = fastfnn.tabular.TabularClassifier(preset="fast", random_state=0).fit([["a"], ["b"]], ["no", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     model.save(path)
    ...     twin = fastfnn.tabular.load(path)
    >>> twin.predict([["b"], ["a"]]).tolist()
    ['yes', 'no']
    """
    return read(path)[0]


def read(path: Path) -> tuple[Any, dict[str, dict[str, Any]]]:
    """Return the estimator of a file, and what others have added to it, unchecked."""
    from safetensors import SafetensorError, safe_open

    path = network_files.checked_path(path)
    entries = network_files._header(path)
    try:
        # The library checks the form of the metadata, too.
        with safe_open(path, framework="numpy") as tensors, network_files.damage_reported(path):
            metadata = entries.pop("__metadata__", None) or {}
            if metadata.get("format") != network_files.TABULAR_FORMAT:
                raise ValueError(
                    f"an estimator for tables must have the format {network_files.TABULAR_FORMAT!r}, got "
                    f"{network_files.shortened(repr(metadata.get('format')))}"
                )
            told = stored.unpacked(network_files.parsed(metadata["estimator"]), entries, tensors)
            sections = {name: network_files.parsed(metadata[name]) for name in SECTIONS if name in metadata}
            return _restored(told), sections
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {network_files.shortened(str(error))}") from error


def write(estimator: TabularEstimator, path: Path, sections: Mapping[str, Any]) -> None:
    """Write a fitted estimator, and what others add to it."""
    from safetensors.numpy import save

    network_files.checked_path(path)
    check_is_fitted(estimator, "networks_")
    told, left_out = _described(estimator)
    packed, arrays = stored.packed(told, "estimator")
    texts = {name: json.dumps(value, allow_nan=False) for name, value in {"estimator": packed, **sections}.items()}
    content = save(arrays, {"format": network_files.TABULAR_FORMAT, "version": fastfnn.__version__, **texts})
    length = int.from_bytes(content[:8], "little")
    if length > network_files.HEADER_LIMIT:
        raise ValueError(
            f"a saved estimator must be described by at most {network_files.HEADER_LIMIT} bytes, got {length} for "
            f"{len(estimator.columns_)} columns"
        )
    atomic.replace(path, content)
    if left_out:
        streams.warn(
            f"the file does not hold {', '.join(left_out)} of {type(estimator).__name__}: after fastfnn.tabular.load "
            "they have their defaults",
            stacklevel=4,
        )


# To JSON


def _described(estimator: TabularEstimator) -> tuple[dict[str, Any], list[str]]:
    """Return what a file holds of an estimator, and the names of the parameters that it cannot hold."""
    parameters, left_out = described(estimator)
    if estimator.columns is not None:  # a list, since names may be any text
        parameters["columns"] = [[name, kind] for name, kind in estimator.columns.items()]
    if isinstance(estimator.preset, Recipe):
        parameters["preset"] = asdict(estimator.preset)
        left_out.remove("preset")
    _with_parameters(type(estimator).__name__, parameters)  # what `load` refuses is not written
    told = {
        "kind": type(estimator).__name__,
        "parameters": parameters,
        "recipe": asdict(estimator.recipe_),
        "named": feature_names(estimator) is not None,
        "columns": [_described_column(column) for column in estimator.columns_],
        "target": _described_target(estimator),
        "dtype": estimator.network_.dtype.name,
        "networks": [np.asarray(network.params) for network in estimator.networks_],
        "fitted": {name: getattr(estimator, name) for name in FITTED},
    }
    return told, left_out


def _described_column(column: Column) -> dict[str, Any]:
    """Return a column; its categories, of which there may be very many, as arrays of their bytes and lengths."""
    told = {"kind": column.kind, **asdict(column)}
    for name, default in OPTIONAL.items():  # so that earlier versions read what they know
        for values in (told, *told.get("parts", ())):
            if values.get(name, default) == default:
                values.pop(name, None)
    if isinstance(column, CategoryColumn):
        texts = [text.encode(*UTF8) for text in column.values]
        told["values"] = {
            "bytes": np.frombuffer(b"".join(texts), np.uint8),
            "lengths": np.array(list(map(len, texts)), np.int64),
        }
    return told


def _described_target(estimator: TabularEstimator) -> dict[str, Any]:
    target = estimator._target
    if isinstance(estimator, TabularRegressor):
        return {**asdict(estimator._number_target()), "single": estimator._is_single}
    assert isinstance(target, LabelTarget)
    classes = target.classes
    name = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if name not in LABELS:
        raise ValueError(f"classes must have one of the dtypes {', '.join(LABELS)} in a file, got {classes.dtype}")
    return {"classes": classes.tolist(), "dtype": name}


# From JSON


def _restored(told: Any) -> TabularEstimator:
    """Return the estimator that a file describes."""
    checked_entries("estimator", told, ENTRIES)
    estimator = _with_parameters(told["kind"], told["parameters"])
    recipe = _recipe(told["recipe"])
    encoding = Encoding([_column(item) for item in checked_list("columns", told["columns"])])
    estimator.n_features_in_ = len(encoding.columns)
    if validation.boolean("named", told["named"]):
        estimator.feature_names_in_ = np.array([column.name for column in encoding.columns], object)
    target = (
        _number_target(estimator, told["target"])
        if isinstance(estimator, TabularRegressor)
        else _label_target(estimator, told["target"], recipe)
    )
    estimator.recipe_, estimator._encoding, estimator._target = recipe, encoding, target
    _set_networks(estimator, told)
    _set_fitted(estimator, checked_entries("fitted", told["fitted"], FITTED))
    return estimator


def _with_parameters(kind: Any, told: Any) -> TabularEstimator:
    """Return an estimator that is not fitted, with the parameters of a file, which must be such as `fit` takes."""
    kind = KINDS[validation.choice("kind", kind, tuple(KINDS))]
    told = checked_entries("parameters", told, (), tuple(kind().get_params(deep=False)))
    parameters = {
        name: _recipe(value) if name == "preset" and isinstance(value, dict)
        else _chosen_kinds(value) if name == "columns"
        else _from_json(name, value)
        for name, value in told.items()
    }  # fmt: skip
    estimator: TabularEstimator = kind(**parameters)
    chosen(estimator)
    estimator._checked_options()
    return estimator


def _chosen_kinds(told: Any) -> dict[str, str] | None:
    """Return the parameter `columns`: kinds by names."""
    if told is None:
        return None
    pairs = [checked_list("an entry of columns", pair, 2) for pair in checked_list("columns", told)]
    if not all(isinstance(name, str) for name, _ in pairs) or len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("columns must have different texts as names")
    return checked_kinds(dict(pairs))


def _recipe(told: Any) -> Recipe:
    names = tuple(field.name for field in fields(Recipe))
    return checked(checked_entries("recipe", told, names))


def _column(told: Any) -> Column:
    """Return a column that a file describes."""
    kind = COLUMNS[validation.choice("kind of a column", told["kind"], tuple(COLUMNS))]
    values = _entries_of(kind, {name: value for name, value in told.items() if name != "kind"})
    if kind is LeftOut:
        return LeftOut(**values)
    if kind is DateColumn:
        validation.choice("dates", values["dates"], ("naive", "aware"))
        parts = [_number_column(_entries_of(NumberColumn, part)) for part in checked_list("parts", values["parts"])]
        names = [part.name for part in parts]
        if names[:1] != ["time"] or names != [name for name in PARTS if name in names]:
            raise ValueError(f"parts of dates must be the time and some of {', '.join(PARTS)}, in this order")
        if np.abs(parts[0].edges).max() > LATEST:
            raise ValueError(f"edges of dates must be at most {LATEST:g} seconds from 1970")
        return DateColumn(**values | {"parts": tuple(parts)})
    if kind is NumberColumn:
        return _number_column(values)
    _check_inputs(values)
    return CategoryColumn(**values | {"values": _categories(values["values"])})


def _categories(told: Any) -> tuple[str, ...]:
    """Return the categories of a column, which must be different texts."""
    checked_entries("values", told, ("bytes", "lengths"))
    content = _array("bytes", told["bytes"], "uint8").tobytes()
    lengths = _array("lengths", told["lengths"], "int64")
    if (lengths < 0).any() or (lengths > len(content)).any() or lengths.sum() != len(content):
        raise ValueError("lengths of values must be those of texts that make up the bytes")
    ends = np.cumsum(lengths).tolist()
    texts = tuple(content[start:end].decode(*UTF8) for start, end in itertools.pairwise([0, *ends]))
    if len(set(texts)) < len(texts):
        raise ValueError("values of a column must be texts, each of them once")
    return texts


def _entries_of(kind: Any, told: Any) -> dict[str, Any]:
    """Return the entries of a column, all of which must be there."""
    names = [field.name for field in fields(kind)]
    optional = tuple(name for name in names if name in OPTIONAL)
    values = dict(checked_entries("a column", told, tuple(name for name in names if name not in OPTIONAL), optional))
    validation.boolean("texts", values.get("texts", False))
    if "form" in values:
        values["form"] = checked_form(*checked_list("form", values["form"], 2))
    if type(values.get("offset", 0)) is not int or abs(values.get("offset", 0)) >= LARGEST_OFFSET:
        raise ValueError("offset must be a whole number of 128 bits")
    for name in ("name", "reason"):
        if not isinstance(values.get(name, ""), str):
            raise TypeError(f"{name} of a column must be a text, got {type(values[name]).__name__}")
    return values


def _check_inputs(values: dict[str, Any]) -> None:
    """Raise TypeError or ValueError unless `missing` and `width` of a column are what they may be."""
    validation.boolean("missing", values["missing"])
    if validation.integer("width", values["width"], 0) > LARGEST_WIDTH:
        raise ValueError(f"width must be at most {LARGEST_WIDTH}, got {values['width']}")


def _number_column(values: dict[str, Any]) -> NumberColumn:
    _check_inputs(values)
    edges, knots = (_numbers(name, values[name]) for name in ("edges", "knots"))
    if len(knots) != len(edges) or not len(edges) or not (np.diff(edges) > 0).all() or not (np.diff(knots) >= 0).all():
        raise ValueError("edges of a column must rise, and have a knot each, none below the one before")
    if len(edges) == 1 and (values["width"] or not values["missing"]):
        raise ValueError("a column of a single number must have missing values and no embedding")
    median = float_from_json("median", values["median"])
    if not math.isfinite(median):
        raise ValueError(f"median must be finite, got {median}")
    return NumberColumn(**values | {"edges": edges, "knots": knots, "median": median})


def _array(name: str, value: Any, dtype: str, count: int | None = None) -> np.ndarray:
    """Return an array of a file, which must have one axis, with `count` entries if that is given."""
    if count is None:
        count = math.prod(value.shape) if isinstance(value, stored.Stored) else 0
    return stored.array(name, value, dtype, (count,)).read()


def _numbers(name: str, value: Any, count: int | None = None) -> np.ndarray:
    """Return an array of a file, which must be finite numbers of float64, `count` of them if that is given."""
    numbers = _array(name, value, "float64", count)
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} must be finite")
    return numbers


def _label_target(estimator: Any, told: Any, recipe: Recipe) -> Target:
    checked_entries("target", told, ("classes", "dtype"))
    labels = checked_list("classes", told["classes"])
    if not labels:
        raise ValueError("classes must be at least one label, got none")
    estimator.classes_ = _checked_labels(labels, told["dtype"])
    return LabelTarget(estimator.classes_, recipe.label_smoothing, recipe.metric)


def _number_target(estimator: Any, told: Any) -> Target:
    names = ("mean", "scale", "low", "high")
    checked_entries("target", told, (*names, "quantiles", "single"))
    mean = _numbers("mean", told["mean"])
    scale, low, high = (_numbers(name, told[name], len(mean)) for name in names[1:])
    if not len(mean) or not (scale > 0).all():
        raise ValueError("scale must be above 0, and have at least one number")
    if not (low <= high).all():
        raise ValueError("low must be at most high")
    levels = checked_list("quantiles", told["quantiles"])
    given, estimator.quantiles = estimator.quantiles, levels or None
    quantiles = estimator._levels(len(mean))
    estimator.quantiles = given
    estimator._is_single = validation.boolean("single", told["single"])
    if estimator._is_single and len(mean) > 1:
        raise ValueError("a single target must have one mean")
    return NumberTarget(mean, scale, low, high, quantiles)


def _set_networks(estimator: TabularEstimator, told: dict[str, Any]) -> None:
    """Set the networks of the file, after the check that their parameters are there."""
    recipe, features, target = estimator.recipe_, estimator._encoding.features, estimator._target
    dtype = validation.choice("dtype", told["dtype"], tuple(network_files.SAFETENSORS_DTYPE))
    sizes = (sum(feature.width for feature in features), *recipe.hidden_layer_sizes, target.outputs)
    saved = checked_list("networks", told["networks"])
    if any(not isinstance(item, stored.Stored) or math.prod(item.shape) < len(sizes) for item in saved):
        raise ValueError(f"networks must be arrays with the parameters of {len(sizes) - 1} layers")
    shapes = parameter_shapes(features, sizes, recipe.members, recipe.scaled)
    count = sum(map(math.prod, shapes.values()))
    saved = [stored.array("a network", item, dtype, (count,)) for item in saved]
    if not 1 <= len(saved) <= recipe.bags:
        raise ValueError(f"networks must be 1 to {recipe.bags}, got {len(saved)}")
    estimator.networks_ = []
    for item in saved:
        network = TabularNetwork(
            features, recipe.hidden_layer_sizes, target.outputs, activation=recipe.activation, loss=target.loss(),
            members=recipe.members, scaled=recipe.scaled, dropout=recipe.dropout, dtype=dtype, seed=0,
        )  # fmt: skip
        network.params[...] = item.read()
        if not np.isfinite(network.params).all():
            raise ValueError("the parameters of networks must be finite")
        estimator.networks_.append(network)


def _set_fitted(estimator: TabularEstimator, told: dict[str, Any]) -> None:
    estimator.n_epochs_ = validation.integer("n_epochs_", told["n_epochs_"], 1)
    estimator.best_epoch_ = validation.integer("best_epoch_", told["best_epoch_"], 1)
    if estimator.best_epoch_ > estimator.n_epochs_:
        raise ValueError(f"best_epoch_ must be at most n_epochs_, {estimator.n_epochs_}; got {estimator.best_epoch_}")
    for name in ("validation_scores_", "loss_curve_"):
        items = checked_list(name, told[name])
        setattr(estimator, name, [float_from_json(f"an entry of {name}", item) for item in items])
    estimator.fit_time_ = validation.nonnegative("fit_time_", told["fit_time_"])
