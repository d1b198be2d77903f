"""ONNX Runtime: predictions with the network's ONNX model, which `FNN.to_onnx` writes to a file."""

from typing import Any, ClassVar

import numpy as np
import onnxruntime

from fastfnn.bench.cases import Case, Data, build
from fastfnn.bench.peer import Peer as Base
from fastfnn.bench.peer import Unsupported
from fastfnn.interop.onnx import network_model


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
    return network_model(build(case, data))
