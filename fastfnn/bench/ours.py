"""fastfnn, through `FNN.fit` and `FNN.predict`."""

from typing import ClassVar

import numpy as np

import fastfnn
from fastfnn import FNN
from fastfnn.bench.cases import Case, Data, build, set_weights
from fastfnn.bench.peer import Peer as Base
from fastfnn.optimizers import Optimizer


class Peer(Base):
    """This package, as a user calls it."""

    versions: ClassVar[dict[str, str]] = {"fastfnn": fastfnn.__version__}

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        self.net: FNN = build(case, data)
        self.optimizer: Optimizer = case.make_optimizer()

    def reset(self) -> None:
        set_weights(self.net, self.data)
        self.optimizer.reset()

    def train(self, passes: int) -> None:
        x, targets, batch_size = self.data.x, self.data.targets, self.case.batch_size
        self.net.fit(x, targets, epochs=passes, batch_size=batch_size, optimizer=self.optimizer)

    def losses(self, steps: int) -> list[float]:
        x, targets = self.data.x[: self.case.batch_size], self.data.targets[: self.case.batch_size]
        history = self.net.fit(x, targets, epochs=steps, batch_size=None, optimizer=self.optimizer)
        return [float(value) for value in history.step_loss]

    def predict(self) -> np.ndarray:
        return self.net.predict(self.data.x)
