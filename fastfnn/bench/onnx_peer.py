"""ONNX Runtime: predictions with what `FNN.to_onnx` writes, by a session with the library's own default options."""

import os
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from fastfnn.bench.cases import Case, Data, build
from fastfnn.bench.peer import Peer as Base
from fastfnn.bench.peer import Unsupported
from fastfnn.interop.onnx import network_model


class Peer(Base):
    """A session on as many threads as OMP_NUM_THREADS says, which the library does not read; else on its default."""

    versions: ClassVar[dict[str, str]] = {"onnxruntime": onnxruntime.__version__}

    def __init__(self, case: Case, data: Data) -> None:
        if not case.predict:
            raise Unsupported("ONNX Runtime predicts only")
        super().__init__(case, data)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", 0))  # 0 is the default
        model = network_model(build(case, data)).SerializeToString()
        self.session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def reset(self) -> None:
        """Do nothing: a prediction changes nothing."""

    def train(self, passes: int) -> None:
        raise Unsupported("ONNX Runtime predicts only")

    def losses(self, steps: int) -> list[float]:
        raise Unsupported("ONNX Runtime predicts only")

    def predict(self) -> np.ndarray:
        result: np.ndarray = self.session.run(None, {"x": self.data.x})[0]
        return result
