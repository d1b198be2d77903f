"""The code of the notes: two layers in NumPy and float64, a dictionary of parameters, a new array for every result.

The loop is that of section 4: it draws each batch at random and computes the loss after every step.
"""

from typing import ClassVar

import numpy as np

from fastfnn.bench.cases import Case, Data
from fastfnn.bench.peer import Peer as Base
from fastfnn.bench.peer import Unsupported


def _sigmoid(u: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-u))
    return result


def _softmax(u: np.ndarray) -> np.ndarray:
    e = np.exp(u - np.max(u, axis=1, keepdims=True))
    result: np.ndarray = e / np.sum(e, axis=1, keepdims=True)
    return result


class Peer(Base):
    """Softmax(sigmoid(x W1 + b1) W2 + b2), trained by gradient descent on the mean cross-entropy."""

    versions: ClassVar[dict[str, str]] = {"numpy": np.__version__}

    def __init__(self, case: Case, data: Data) -> None:
        notes = (3, "sigmoid", "softmax_cross_entropy", "sgd", False)
        if (len(case.layers), case.activation, case.loss, case.optimizer, case.predict) != notes:
            raise Unsupported("the notes train two layers, with sigmoid, softmax cross-entropy and gradient descent")
        super().__init__(case, data)
        self.x: np.ndarray = data.x.astype(np.float64)
        self.targets: np.ndarray = np.eye(case.layers[-1])[data.targets]

    def reset(self) -> None:
        names = (("W1", "b1"), ("W2", "b2"))
        arrays = zip(names, self.data.weights, strict=True)
        self.params: dict[str, np.ndarray] = {
            name: a.astype(np.float64) for pair, arrays_ in arrays for name, a in zip(pair, arrays_, strict=True)
        }

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = _sigmoid(np.dot(x, self.params["W1"]) + self.params["b1"])
        return z, _softmax(np.dot(z, self.params["W2"]) + self.params["b2"])

    def _loss(self, x: np.ndarray, targets: np.ndarray) -> float:
        y = self._forward(x)[1]
        labels = targets.argmax(axis=1)
        return float(-np.sum(np.log(y[np.arange(len(x)), labels] + 1e-7)) / len(x))

    def _gradient(self, x: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
        z, y = self._forward(x)
        delta2 = (y - targets) / len(x)
        delta1 = np.dot(delta2, self.params["W2"].T) * z * (1 - z)
        return {
            "W1": np.dot(x.T, delta1),
            "b1": np.sum(delta1, axis=0),
            "W2": np.dot(z.T, delta2),
            "b2": np.sum(delta2, axis=0),
        }

    def _step(self, x: np.ndarray, targets: np.ndarray) -> None:
        gradient = self._gradient(x, targets)
        for name in self.params:
            self.params[name] -= self.case.learning_rate * gradient[name]

    def train(self, passes: int) -> None:
        for _ in range(passes * self.case.steps):
            samples = self.rng.choice(self.case.samples, self.case.batch_size)
            x, targets = self.x[samples], self.targets[samples]
            self._step(x, targets)
            self._loss(x, targets)

    def losses(self, steps: int) -> list[float]:
        x, targets = self.x[: self.case.batch_size], self.targets[: self.case.batch_size]
        found = []
        for _ in range(steps):
            found.append(self._loss(x, targets))
            self._step(x, targets)
        return found

    def predict(self) -> np.ndarray:
        return self._forward(self.x)[1]
