"""An ONNX graph under construction: nodes, constants and names. Knows operators by their names only.

Opset 17, of 2022, is read by every release of ONNX Runtime that has wheels for the Python versions of this package, and
by most other runtimes. Of what networks need, later opsets add only Gelu, which ONNX Runtime makes of Erf again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastfnn.interop.missing import imported

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8
ML = "ai.onnx.ml"  # the domain of operators for tables

# protobuf, the format of the file, ends at 2 GiB. The rest of the model has less than a MiB.
MOST_BYTES = 2**31 - 2**20

BATCH = "N"  # the first dimension of inputs and outputs


class Graph:
    """Nodes in the order of computation.

    Parameters
    ----------
    dtype : dtype
        Of the numbers that it computes with.
    reserved : iterable of str
        Names of inputs and outputs, which no other value may get.
    """

    def __init__(self, dtype: np.dtype[Any], reserved: Iterable[str] = ()) -> None:
        self.onnx: Any = imported("onnx", "ONNX files need the package onnx", "'fastfnn[onnx]'")
        self.dtype = dtype
        self._names = set(reserved)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._bytes = 0
        self._numbers: dict[float, str] = {}

    def input(self, name: str, width: int, dtype: Any = None) -> str:
        """Add an input (N, width) of the graph's dtype, or another one; `str` is text."""
        self._inputs.append(self._tensor(name, dtype or self.dtype, (BATCH, width)))
        return name

    def output(self, name: str, value: str, shape: Sequence[int | str], dtype: Any = None) -> None:
        """Make the result of a node an output: the value gets its name."""
        for node in self._nodes:
            for values in (node.input, node.output):
                for i, item in enumerate(values):
                    if item == value:
                        values[i] = name
        self._outputs.append(self._tensor(name, dtype or self.dtype, shape))

    def constant(self, name: str, array: np.ndarray) -> str:
        """Add an array of numbers, or of text, and return its name."""
        self._bytes += array.nbytes
        if self._bytes > MOST_BYTES:
            raise ValueError(
                "an ONNX file holds at most 2 GiB, and this network has more: float32 takes half the space of float64; "
                "`FNN.save` has no such limit"
            )
        name = self._unused(name)
        if array.dtype.kind in "UO":
            text = [str(item).encode() for item in array.ravel()]
            constant = self.onnx.helper.make_tensor(name, self.onnx.TensorProto.STRING, array.shape, text)
        else:
            constant = self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
        self._constants.append(constant)
        return name

    def number(self, value: float) -> str:
        """Return the name of a number of the graph's dtype."""
        if value not in self._numbers:
            self._numbers[value] = self.constant(f"{value:g}", np.array(value, self.dtype))
        return self._numbers[value]

    def apply(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        result = self._unused(operator.lower())
        self._nodes.append(self.onnx.helper.make_node(operator, inputs, [result], result, domain=domain, **attributes))
        return result

    def cast(self, value: str, dtype: Any) -> str:
        """Add a node that converts a value to a dtype."""
        return self.apply("Cast", value, to=self._element_type(dtype))

    def model(self, name: str, description: str, properties: dict[str, str] | None = None) -> Any:
        """Return the model, checked by the package onnx, with its metadata."""
        import fastfnn  # here, because fastfnn imports this package

        helper = self.onnx.helper
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs, self._constants, description)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == ML for node in self._nodes):
            opsets.append(helper.make_opsetid(ML, ML_OPSET))
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fastfnn",
            producer_version=fastfnn.__version__, doc_string=description,
        )  # fmt: skip
        helper.set_model_props(model, properties or {})
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _tensor(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, self._element_type(dtype), shape)

    def _element_type(self, dtype: Any) -> int:
        if dtype is str:
            return int(self.onnx.TensorProto.STRING)
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _unused(self, name: str) -> str:
        """Return a name that no other value has: `name`, or `name` with a number."""
        unused, number = name, 1
        while unused in self._names:
            number += 1
            unused = f"{name}_{number}"
        self._names.add(unused)
        return unused
