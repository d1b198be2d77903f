"""Files of estimators: the file of the network, with a section "estimator" for what the network does not know.

`save` describes an estimator, or a pipeline that standardizes before it, and `load` builds it again from a description
that it checks. Parameters are those of `saved_parameters.py`; the file itself is that of `fastfnn.files`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler
from sklearn.utils.validation import check_is_fitted

from fastfnn import FNN, Activation, Loss, network, streams, validation
from fastfnn import files as network_files
from fastfnn.sklearn import holder, saved_parameters
from fastfnn.sklearn.classifier import MLPClassifier
from fastfnn.sklearn.data import feature_names
from fastfnn.sklearn.parameters import activations, hidden_layer_sizes
from fastfnn.sklearn.regressor import MLPRegressor
from fastfnn.sklearn.saved_parameters import (
    checked_entries,
    checked_list,
    float_from_json,
    number_to_json,
)

Path = str | os.PathLike[str]

KINDS: Mapping[str, Any] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}

CLASSES = ("target_type", "classes", "classes_dtype", "sparse_targets")  # entries of a classifier alone
MOST = np.iinfo(np.int64).max  # samples and epochs that can be counted

TARGET_TYPES = ("binary", "multiclass", "multilabel-indicator")

# The dtypes of labels and the types of their values in JSON.
LABELS: Mapping[str, tuple[type, ...]] = {
    "bool": (bool,),
    **{f"{kind}{bits}": (int,) for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": (int, float) for bits in (16, 32, 64)},
    "str": (str,),
    "object": (str,),
}

COUNTS = ("n_iter_", "t_")
# What gradient descent leaves and partial_fit goes on with: all of it or nothing, as after solver="lbfgs".
CURVES = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "_no_improvement_count")

SCALER = ("copy", "with_mean", "with_std", "n_samples_seen_", "mean_", "var_", "scale_", "feature_names", "output")
OUTPUTS = ("default", "pandas", "polars")  # of `StandardScaler.set_output`

ANY_MODEL = "skops.io.dump and joblib.dump save any model of scikit-learn"


def save(model: Any, path: Path) -> None:
    """Write a trained estimator, or a pipeline of a StandardScaler and an estimator, to one safetensors file.

    Parameters
    ----------
    model : MLPClassifier, MLPRegressor or Pipeline
        A pipeline has two steps: ``make_pipeline(StandardScaler(), MLPClassifier())``.
    path : str or path-like
        The file; an existing file is replaced in one step, see `fastfnn.FNN.save`.

    Raises
    ------
    OSError
        If the file cannot be written: an existing file is as it was.
    TypeError
        If `model` is anything else.
    ValueError
        If the model is an ensemble, or parameters of the network were changed after the training.
    sklearn.exceptions.NotFittedError
        If the model is not trained.

    Warns
    -----
    UserWarning
        If the file cannot hold a parameter, such as callbacks or a function: it names them. The model that is loaded
        has their defaults; its predictions do not depend on them.

    Notes
    -----
    The file holds weights, labels, feature names, parameters and the course of the training, but not the state of the
    optimizer, and neither code nor pickles. `fastfnn.load` reads the network from it.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn.sklearn
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), fastfnn.sklearn.MLPClassifier(max_iter=500, random_state=0)).fit(X, y)
    >>> path = os.path.join(tempfile.mkdtemp(), "iris.safetensors")
    >>> fastfnn.sklearn.save(model, path)
    >>> twin = fastfnn.sklearn.load(path)
    >>> bool((twin.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    write(model, path)


def write(model: Any, path: Path) -> None:
    """Do what `save` does; a warning points to the caller's caller."""
    network_files.checked_path(path)
    estimator, preparation, left_out = _parts(model)
    check_is_fitted(estimator, ("coefs_", "estimators_"), all_or_any=any)
    if hasattr(estimator, "estimators_"):
        raise ValueError(
            f"a file holds one network, got an ensemble of {len(estimator.estimators_)}: save each of estimators_, or "
            f"all of them with another format; {ANY_MODEL}"
        )
    net = holder.network_of(estimator)
    parameters, cannot = saved_parameters.described(estimator)
    section = {
        "kind": type(estimator).__name__,
        "parameters": parameters,
        "feature_names": _feature_names(estimator),
        "fitted": _fitted(estimator),
        **(_described_classes(estimator) if isinstance(estimator, MLPClassifier) else {}),
        **preparation,
    }
    own = estimator.activation if isinstance(estimator.activation, (list, tuple)) else [estimator.activation]
    # What is written can be read: the reader's checks come first.
    _restored(
        json.loads(json.dumps(section)), net, {item.name: item for item in own if isinstance(item, Activation)},
        {net.loss_name: net.loss_function} if isinstance(net.loss_function, Loss) else {},
    )  # fmt: skip
    net._write(path, {"estimator": section})
    if left_out := left_out + cannot:
        streams.warn(
            f"the file does not hold {', '.join(left_out)} of {type(model).__name__}: after fastfnn.sklearn.load they "
            "have their defaults",
            stacklevel=3,
        )


def load(path: Path, *, activations: Sequence[Activation] = (), losses: Sequence[Loss] = ()) -> Any:
    """Read what `save` wrote: a trained estimator or pipeline, with the same predictions bit for bit.

    Parameters
    ----------
    path : str or path-like
        A file of `save`.
    activations : sequence of Activation, optional
        The user's own activations that the network has; they are found by their names.
    losses : sequence of Loss, optional
        The user's own losses, of which the network may have one; it is found by its name.

    Returns
    -------
    MLPClassifier, MLPRegressor or Pipeline
        `partial_fit`, and `fit` with `warm_start`, go on with its weights and a new state of the optimizer.

    Raises
    ------
    OSError
        If the file cannot be read, for example FileNotFoundError.
    ValueError
        If the file does not hold an estimator of fastfnn, or `activations` or `losses` lack one of its own.

    Notes
    -----
    A file may come from anywhere: it holds no code, and every entry is checked.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn.sklearn
    >>> model = fastfnn.sklearn.MLPClassifier(random_state=0).fit([[0.0], [1.0]], ["no", "yes"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     fastfnn.sklearn.save(model, path)
    ...     twin = fastfnn.sklearn.load(path)
    >>> twin.classes_
    array(['no', 'yes'], dtype='<U3')
    """
    own = network.by_name("activations", activations, Activation)
    own_losses = network.by_name("losses", losses, Loss)
    net, saved = network.read(path, own, own_losses)
    if "estimator" not in saved.sections:
        raise ValueError(f"{os.fsdecode(path)} holds a network, but no estimator: read it with fastfnn.load")
    with network_files.damage_reported(path):
        return _restored(saved.sections["estimator"], net, own, own_losses)


# To JSON


def _parts(model: Any) -> tuple[Any, dict[str, Any], list[str]]:
    """Return the estimator of a model, the entry of what comes before it, and the names of what a file cannot hold."""
    if type(model) in KINDS.values():
        return model, {}, []
    kinds = [type(step) for _, step in model.steps] if type(model) is Pipeline else []
    if len(kinds) != 2 or kinds[0] is not StandardScaler or kinds[1] not in KINDS.values():
        raise TypeError(_unknown(model))
    (_, scaler), (_, estimator) = model.steps
    left_out = [name for name in ("memory", "transform_input", "verbose") if getattr(model, name, None)]
    check_is_fitted(scaler)
    told = {
        **{name: bool(getattr(scaler, name)) for name in ("copy", "with_mean", "with_std")},
        "n_samples_seen_": number_to_json(scaler.n_samples_seen_),
        **{name: _list(getattr(scaler, name)) for name in ("mean_", "var_", "scale_")},
        "feature_names": _feature_names(scaler),
        "output": getattr(scaler, "_sklearn_output_config", {}).get("transform"),
    }
    return estimator, {"pipeline": {"steps": [name for name, _ in model.steps], "scaler": told}}, left_out


def _unknown(model: Any) -> str:
    kind = type(model).__name__
    if isinstance(model, Pipeline):
        kind += f" of {', '.join(type(step).__name__ for _, step in model.steps)}"
    return (
        "model must be an MLPClassifier or MLPRegressor of fastfnn, or a Pipeline of a StandardScaler and one of them, "
        f"got {kind}; {ANY_MODEL}"
    )


def _list(array: np.ndarray | None) -> list[Any] | None:
    return None if array is None else array.tolist()


def _feature_names(estimator: Any) -> list[str] | None:
    return _list(feature_names(estimator))


def _fitted(estimator: Any) -> dict[str, Any]:
    """Return the attributes that training has set."""
    told: dict[str, Any] = {}
    for name in (*COUNTS, "loss_", *CURVES):
        if hasattr(estimator, name):
            value = getattr(estimator, name)
            if isinstance(value, list):
                told[name] = list(map(number_to_json, value))
            else:
                told[name] = None if value is None else number_to_json(value)
    return told


def _described_classes(estimator: MLPClassifier) -> dict[str, Any]:
    classes, binarizer = estimator.classes_, estimator._label_binarizer
    name = "str" if classes.dtype.kind == "U" else classes.dtype.name
    if name not in LABELS:
        raise ValueError(f"classes must have one of the dtypes {', '.join(LABELS)} in a file, got {classes.dtype}")
    return {
        "target_type": binarizer.y_type_,
        "classes": classes.tolist(),
        "classes_dtype": name,
        "sparse_targets": bool(binarizer.sparse_input_),
    }


# From JSON


def _restored(told: Any, net: FNN, own: Mapping[str, Activation], own_losses: Mapping[str, Loss]) -> Any:
    """Return the estimator that a section describes, with its network."""
    known = ("kind", "parameters", "feature_names", "fitted")
    kind = KINDS[validation.choice("kind", told["kind"], tuple(KINDS))]
    required = known + (CLASSES if kind is MLPClassifier else ())
    checked_entries("the section estimator", told, required, ("pipeline",))
    estimator = saved_parameters.restored(kind, told["parameters"], own, own_losses)
    estimator.n_features_in_, estimator.n_outputs_ = net.layer_sizes[0], net.layer_sizes[-1]
    estimator.n_layers_, estimator._layer_sizes, estimator._dtype = len(net.layer_sizes), net.layer_sizes, net.dtype
    _set_feature_names(estimator, told["feature_names"])
    if kind is MLPClassifier:
        _set_classes(estimator, {name: told[name] for name in CLASSES})
        estimator.out_activation_ = estimator._output_activation()
    else:
        estimator.out_activation_ = "exp" if net.loss_name == "poisson" else "identity"
    _check_same_network(estimator, net)
    _set_fitted(estimator, told["fitted"])
    holder.bind(estimator, net)
    best = estimator.__dict__.get("best_validation_score_")
    if best is not None:  # the weights are those of the best score, if there is one
        estimator._best = (net._flat.copy(), net._statistics.copy()) if math.isfinite(best) else None
    return _pipeline(told["pipeline"], estimator) if "pipeline" in told else estimator


def _set_feature_names(estimator: Any, told: Any) -> None:
    if told is None:
        return
    names = checked_list("feature_names", told, estimator.n_features_in_)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("feature_names must be texts")
    estimator.feature_names_in_ = np.array(names, object)


def _set_classes(estimator: MLPClassifier, told: dict[str, Any]) -> None:
    kind = validation.choice("target_type", told["target_type"], TARGET_TYPES)
    labels, outputs = checked_list("classes", told["classes"]), estimator.n_outputs_
    few = outputs == 1 and len(labels) in (1, 2)
    if not (few if kind == "binary" else len(labels) == outputs and (outputs > 2 or kind != "multiclass")):
        raise ValueError(f"classes must be those of a {kind} network with {outputs} outputs, got {len(labels)}")
    estimator.classes_ = _checked_labels(labels, told["classes_dtype"])
    binarizer = estimator._label_binarizer = LabelBinarizer()
    binarizer.y_type_, binarizer.sparse_input_ = kind, validation.boolean("sparse_targets", told["sparse_targets"])
    if binarizer.sparse_input_ and kind != "multilabel-indicator":
        raise ValueError(f"sparse_targets must be false for {kind} targets")
    binarizer.classes_ = np.arange(outputs) if kind == "multilabel-indicator" else estimator.classes_


def _checked_labels(labels: list[Any], dtype: Any) -> np.ndarray:
    """Return labels as a sorted array, in which each occurs once."""
    types = LABELS[validation.choice("classes_dtype", dtype, tuple(LABELS))]
    if not all(type(label) in types for label in labels):
        raise TypeError(f"classes must be {' or '.join(kind.__name__ for kind in types)} for {dtype}")
    if dtype == "str" and max(map(len, labels)) * len(labels) > network_files.HEADER_LIMIT:
        raise ValueError("classes must be shorter texts")  # in the array each is as long as the longest
    try:
        with np.errstate(over="ignore"):
            array = np.array(labels, dtype)
    except OverflowError as error:
        raise ValueError(f"classes must be numbers of {dtype}: {error}") from error
    if array.tolist() != labels or not np.array_equal(np.unique(array), array):
        raise ValueError(f"classes must be sorted labels of {dtype}, each of them once")
    return array


def _check_same_network(estimator: Any, net: FNN) -> None:
    """Raise ValueError unless the parameters are those with which the network was trained."""
    hidden = list(net.layer_sizes[1:-1])
    pairs: dict[str, tuple[Any, Any]] = {"hidden_layer_sizes": (hidden, list(hidden_layer_sizes(estimator)))}
    if hidden == pairs["hidden_layer_sizes"][1]:
        pairs["activation"] = (list(net.activation), list(activations(estimator, len(hidden))))
    pairs["dropout"] = (net.dropout, estimator.dropout)
    pairs["batch_norm"] = (net.batch_norm, estimator.batch_norm)
    pairs["loss"] = (net.loss_function, estimator._network_loss())
    pairs["weight_decay"], pairs["book"] = (net.weight_decay, 0), (net.book, False)
    for name, (trained, now) in pairs.items():
        if trained != now:
            raise ValueError(
                f"{name} must be that of the trained network, {network_files.shortened(str(trained))}; got "
                f"{network_files.shortened(str(now))}"
            )


def _set_fitted(estimator: Any, told: Any) -> None:
    told = checked_entries("fitted", told, COUNTS, ("loss_", *CURVES))
    for name in COUNTS:
        setattr(estimator, name, _count(name, told[name]))
    if "loss_" in told:
        estimator.loss_ = np.float64(float_from_json("loss_", told["loss_"]))
    if not any(name in told for name in CURVES):
        return
    for name in CURVES:
        value = told[name]
        if name == "_no_improvement_count":
            value = _count(name, value)
        elif name.endswith("_curve_") or (name.endswith("_scores_") and value is not None):
            value = [float_from_json(f"an entry of {name}", item) for item in checked_list(name, value)]
            if name == "loss_curve_":
                value = list(map(np.float64, value))
        elif value is not None:
            number = float_from_json(name, value)
            value = np.float64(number) if name == "best_loss_" else number
        setattr(estimator, name, value)
    by_score = estimator.best_loss_ is None
    if (estimator.validation_scores_ is not None, estimator.best_validation_score_ is not None) != (by_score, by_score):
        raise ValueError("fitted must have validation_scores_ and best_validation_score_, or best_loss_")


def _count(name: str, value: Any) -> int:
    """Return a number of samples or epochs."""
    count = validation.integer(name, value, 0)
    if count > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got more")
    return count


def _pipeline(told: Any, estimator: Any) -> Pipeline:
    """Return the pipeline of a scaler and the estimator."""
    told = checked_entries("pipeline", told, ("steps", "scaler"))
    names = checked_list("steps", told["steps"], 2)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("steps must be texts")
    scaler = _scaler(checked_entries("scaler", told["scaler"], SCALER), estimator.n_features_in_)
    pipeline = Pipeline(list(zip(names, (scaler, estimator), strict=True)))
    pipeline._validate_names(names)
    return pipeline


def _scaler(told: dict[str, Any], features: int) -> StandardScaler:
    scaler = StandardScaler(
        **{name: validation.boolean(name, told[name]) for name in ("copy", "with_mean", "with_std")}
    )
    scaler.n_features_in_ = features
    _set_feature_names(scaler, told["feature_names"])
    seen = told["n_samples_seen_"]  # a sum of weights is a float
    if isinstance(seen, float):
        scaler.n_samples_seen_ = np.float64(validation.nonnegative("n_samples_seen_", seen))
    else:
        scaler.n_samples_seen_ = np.int64(_count("n_samples_seen_", seen))
    for name, needed in (("mean_", scaler.with_mean), ("var_", scaler.with_std), ("scale_", scaler.with_std)):
        value = told[name]
        if value is None and needed:
            raise ValueError(f"{name} must be a list, got null")
        if value is not None:
            items = checked_list(name, value, features)
            value = np.array([float_from_json(f"an entry of {name}", item) for item in items])
            if not np.isfinite(value).all() or (name == "scale_" and not (value > 0).all()):
                raise ValueError(f"{name} must be finite numbers{' above 0' if name == 'scale_' else ''}")
        setattr(scaler, name, value)
    if told["output"] is not None:
        scaler.set_output(transform=validation.choice("output", told["output"], OUTPUTS))
    return scaler
