"""ONNX Runtime: predictions of the network as a graph of Gemm nodes, which the package onnx writes."""

from typing import Any, ClassVar

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from fastfnn.bench.cases import Case, Data
from fastfnn.bench.peer import Peer as Base
from fastfnn.bench.peer import Unsupported

ACTIVATIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}
OUTPUTS = {"softmax_cross_entropy": "Softmax", "sigmoid_cross_entropy": "Sigmoid"}

# Old enough for every release of ONNX Runtime that has wheels for the Python versions of this package.
OPSET, IR_VERSION = 17, 8


class Peer(Base):
    """An inference session with the library's own default options."""

    versions: ClassVar = {"onnxruntime": onnxruntime.__version__}

    def __init__(self, case: Case, data: Data) -> None:
        if not case.predict:
            raise Unsupported("ONNX Runtime predicts only")
        super().__init__(case, data)
        model = model_of(case, data).SerializeToString()
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def reset(self) -> None:
        """Do nothing: a prediction changes nothing."""

    def train(self, passes: int) -> None:
        raise Unsupported("ONNX Runtime predicts only")

    def losses(self, steps: int) -> list[float]:
        raise Unsupported("ONNX Runtime predicts only")

    def predict(self) -> np.ndarray:
        result: np.ndarray = self.session.run(None, {"x": self.data.x})[0]
        return result


def model_of(case: Case, data: Data) -> Any:
    """The network of a case as an ONNX model from "x" to "out"."""
    nodes, initializers, value = [], [], "x"
    last = len(data.weights)
    for layer, (weight, bias) in enumerate(data.weights, 1):
        initializers += [
            numpy_helper.from_array(weight, f"W{layer}"),
            numpy_helper.from_array(bias, f"b{layer}"),
        ]
        nodes.append(helper.make_node("Gemm", [value, f"W{layer}", f"b{layer}"], [f"u{layer}"]))
        value = f"u{layer}"
        function = OUTPUTS.get(case.loss) if layer == last else ACTIVATIONS.get(case.activation)
        if function:
            nodes.append(helper.make_node(function, [value], [f"z{layer}"]))
            value = f"z{layer}"
    nodes.append(helper.make_node("Identity", [value], ["out"]))
    kind = helper.np_dtype_to_tensor_dtype(data.x.dtype)
    ends = [helper.make_tensor_value_info(name, kind, [None, size]) for name, size in _ends(case)]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _ends(case: Case) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("x", case.layers[0]), ("out", case.layers[-1])
