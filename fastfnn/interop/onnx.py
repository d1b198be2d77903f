"""ONNX: models of networks, of the estimators in `fastfnn.sklearn` and of networks on tables, and their files.

The models predict only. A layer is a Gemm node and the operators of its activation (`onnx_functions.py`). Batch
normalization and the book's dropout are part of the weights, as they are in our own predictions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfnn import atomic, files
from fastfnn.interop import onnx_functions
from fastfnn.interop.columns import CategoryColumn, NumberColumn
from fastfnn.interop.onnx_graph import BATCH, ML, Graph
from fastfnn.params import Params

if TYPE_CHECKING:
    from fastfnn.network import FNN

# Names of inputs and outputs. Those of estimators are the names of skl2onnx.
NETWORK_INPUT, NETWORK_OUTPUT = "x", "out"
ESTIMATOR_INPUT, LABEL, PROBABILITIES, VALUES = "X", "label", "probabilities", "variable"


def write(path: files.Path, model: Any) -> None:
    """Write a model to a file, which is replaced as a whole: see `atomic.replace`."""
    files.checked_path(path)
    atomic.replace(path, model.SerializeToString())


def network_model(net: FNN) -> Any:
    """Return a network as a model from "x" (N, I) to "out" (N, K), what `FNN.predict` returns."""
    graph = Graph(net.dtype, (NETWORK_INPUT, NETWORK_OUTPUT))
    out = _network(graph, graph.input(NETWORK_INPUT, net.layer_sizes[0]), net)
    graph.output(NETWORK_OUTPUT, out, (BATCH, net.layer_sizes[-1]))
    return graph.model("FNN", repr(net))


def estimator_model(networks: Sequence[FNN], labels: Any, name: str, feature_names: Iterable[str] | None = None) -> Any:
    """Return an estimator as a model from "X" (N, I) to its predictions, named as skl2onnx names them.

    Parameters
    ----------
    networks : sequence of FNN
        Their outputs are averaged.
    labels : sequence of int or str, or None
        Labels of the classes: the outputs are "label" (N,) and "probabilities" (N, classes); for multi-label networks,
        with several sigmoids, "label" (N, K) is 0 or 1 for each. None is for regression: the output is "variable".
    name : str
        Name of the estimator's class.
    feature_names : iterable of str, optional
        Are kept as JSON in the model's property "feature_names".
    """
    net = networks[0]
    graph = Graph(net.dtype, (ESTIMATOR_INPUT, LABEL, PROBABILITIES, VALUES))
    out = _mean_of_networks(graph, graph.input(ESTIMATOR_INPUT, net.layer_sizes[0]), networks)
    _predictions(graph, out, net, labels)
    count = f"{len(networks)} x " if len(networks) > 1 else ""
    properties = {} if feature_names is None else {"feature_names": json.dumps(list(feature_names))}
    return graph.model(name, f"{name}: {count}{net!r}", properties)


def table_model(
    columns: Sequence[NumberColumn | CategoryColumn],
    net: FNN,
    *,
    labels: Sequence[str] | Sequence[int] | None,
    target: tuple[float, float] | None,
) -> Any:
    """Return a network on a table as a model, with an input (N, 1) for each column of the table.

    Parameters
    ----------
    columns : sequence of NumberColumn or CategoryColumn
        In the order in which the network has their features. Inputs are tensors of the network's dtype, or of strings.
    net : FNN
    labels : sequence of str or int, or None
        Labels of the classes, or None for regression: outputs are those of `estimator_model`.
    target : (mean, scale) or None
        For regression: an output y of the network means ``y * scale + mean``.

    Raises
    ------
    ValueError
        If the columns do not fit the network, or the name of one is that of another one or of an output.
    """
    outputs = (VALUES,) if labels is None else (LABEL, PROBABILITIES)
    names = [column.name for column in columns]
    for place, name in enumerate(names):
        if not name or name in outputs or name in names[:place]:
            others = " and ".join(map(repr, outputs))
            raise ValueError(
                f"columns of an ONNX model must have different names, not empty and not {others}; got {name!r}"
            )
    width = sum(1 if isinstance(column, NumberColumn) else len(column.values) for column in columns)
    if width != net.layer_sizes[0]:
        raise ValueError(f"columns must have the {net.layer_sizes[0]} features of the network, got {width}")
    graph = Graph(net.dtype, (*names, LABEL, PROBABILITIES, VALUES))
    blocks: list[str] = []
    for kind, group in itertools.groupby(columns, type):
        alike: list[Any] = list(group)
        blocks += [_standardized(graph, alike)] if kind is NumberColumn else [_one_hot(graph, item) for item in alike]
    x = graph.apply("Concat", *blocks, axis=1) if len(blocks) > 1 else blocks[0]
    out = _network(graph, x, net)
    if target is not None:
        mean, scale = target
        out = graph.apply("Add", graph.apply("Mul", out, graph.number(scale)), graph.number(mean))
    _predictions(graph, out, net, labels)
    return graph.model("table", f"{net!r} on a table of {len(columns)} columns")


def _network(graph: Graph, x: str, net: FNN) -> str:
    """Add the layers of a network; return its output."""
    for layer, activation in enumerate(net.activation):
        if not isinstance(activation, str):
            raise ValueError(
                f"activation of a network in ONNX must be a built-in one: activation[{layer}] is your own "
                f"{activation.name!r}, a function in Python, which a file cannot hold. If a built-in activation equals "
                "it, give the parameters to a network that has this one; else deploy the network by `FNN.save` and "
                "`fastfnn.load`"
            )
    params = Params(net._prediction_params(), net.layer_sizes)
    functions = [onnx_functions.HIDDEN[name] for name in net.activation]  # type: ignore[index]
    functions.append(onnx_functions.OUTPUT[net.loss_function.output_activation])
    for layer, function in enumerate(functions, 1):
        weight, bias = (graph.constant(f"{name}{layer}", params[f"{name}{layer}"]) for name in "Wb")
        x = function(graph, graph.apply("Gemm", x, weight, bias))
    return x


def _mean_of_networks(graph: Graph, x: str, networks: Sequence[FNN]) -> str:
    outs = [_network(graph, x, net) for net in networks]
    return outs[0] if len(outs) == 1 else graph.apply("Div", graph.apply("Sum", *outs), graph.number(len(outs)))


def _predictions(graph: Graph, out: str, net: FNN, labels: Any) -> None:
    """Add the outputs of an estimator, from the outputs of its networks."""
    outputs = net.layer_sizes[-1]
    if labels is None:
        graph.output(VALUES, out, (BATCH, outputs))
        return
    if not net.loss_function.has_accuracy:
        raise ValueError(f"labels need a network with a cross-entropy loss, got loss {net.loss_name!r}")
    classes = _class_labels(labels)
    kind = str if classes.dtype.kind == "U" else np.int64
    exclusive = net.loss_function.output_activation == "softmax"
    binary = not exclusive and outputs == 1
    if len(classes) != (2 if binary else outputs):
        raise ValueError(f"labels must be those of {2 if binary else outputs} classes, got {len(classes)}")
    if exclusive:
        chosen = graph.apply("ArgMax", out, axis=1, keepdims=0)
    else:
        chosen = graph.cast(graph.apply("Greater", out, graph.number(0.5)), np.int64)
    if binary:
        chosen = graph.apply("Reshape", chosen, graph.constant("rows", np.array([-1], np.int64)))
        out = graph.apply("Concat", graph.apply("Sub", graph.number(1), out), out, axis=1)
    if binary or exclusive:
        graph.output(LABEL, graph.apply("Gather", graph.constant("classes", classes), chosen), (BATCH,), kind)
    else:
        graph.output(LABEL, chosen, (BATCH, outputs), np.int64)
    graph.output(PROBABILITIES, out, (BATCH, max(outputs, 2)))


def _class_labels(labels: Any) -> np.ndarray:
    """Return labels of classes as int64 or as text."""
    array = np.asarray(labels)
    if array.dtype.kind in "UO" and all(isinstance(item, str) for item in array):
        return array.astype(str)
    if array.dtype.kind in "biuf" and (array == array.astype(np.int64)).all():
        return array.astype(np.int64)
    raise TypeError(f"labels of classes in ONNX must be strings or whole numbers, got {array.tolist()[:10]}")


def _standardized(graph: Graph, columns: Sequence[NumberColumn]) -> str:
    """Add inputs of numbers; return them side by side, with missing ones filled in, as (x - mean) / scale.

    This is computed in float64, as in training: the mean may be large beside the scale.
    """
    inputs = [graph.input(column.name, 1) for column in columns]
    x = graph.apply("Concat", *inputs, axis=1) if len(inputs) > 1 else inputs[0]
    x = graph.cast(x, np.float64)
    if any(column.fill is not None for column in columns):
        fill = np.array([np.nan if column.fill is None else column.fill for column in columns])
        x = graph.apply("Where", graph.apply("IsNaN", x), graph.constant("fill", fill), x)
    x = graph.apply("Sub", x, graph.constant("mean", np.array([column.mean for column in columns], np.float64)))
    x = graph.apply("Div", x, graph.constant("scale", np.array([column.scale for column in columns], np.float64)))
    return graph.cast(x, graph.dtype)


def _one_hot(graph: Graph, column: CategoryColumn) -> str:
    """Add an input of text; return a column for each category, 1 where the text is the category, else 0."""
    places = {value: place for place, value in enumerate(column.values)}
    if len(places) < len(column.values):
        raise ValueError(f"values of column {column.name!r} must be different, got {column.values}")
    if column.fill in places:
        places.setdefault("", places[column.fill])
    if not places:
        raise ValueError(f"values of column {column.name!r} must not be empty")
    text = graph.input(column.name, 1, str)
    place = graph.apply(
        "LabelEncoder", text, domain=ML, keys_strings=list(places), values_int64s=list(places.values()),
        default_int64=-1,
    )  # fmt: skip
    numbers = graph.constant("places", np.arange(len(column.values), dtype=np.int64))
    return graph.cast(graph.apply("Equal", place, numbers), graph.dtype)
