"""NumPy as an expert would write it: in the dtype of the case, with every result in a preallocated buffer."""

from itertools import pairwise
from typing import ClassVar

import numpy as np

from fastfnn.bench.cases import Case, Data
from fastfnn.bench.peer import Peer as Base

# Rows that are predicted at a time, so that the outputs of their layers stay in the cache.
BLOCK = 512

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Peer(Base):
    """NumPy and its BLAS, in place. Parameters and gradient are one vector each, so that an update is a few calls."""

    versions: ClassVar[dict[str, str]] = {"numpy": np.__version__}
    params: np.ndarray
    grads: np.ndarray
    scratch: np.ndarray
    means: np.ndarray
    squares: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray]]
    layer_grads: list[tuple[np.ndarray, np.ndarray]]
    steps: int

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        sizes, dtype = case.layers, data.x.dtype
        rows = min(BLOCK, case.samples) if case.predict else case.batch_size
        count = sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))
        self.params, self.grads, self.scratch = (np.zeros(count, dtype) for _ in range(3))
        self.layers, self.layer_grads = _views(self.params, sizes), _views(self.grads, sizes)
        self.means, self.squares = (np.zeros(count if case.optimizer == "adam" else 0, dtype) for _ in range(2))
        self.outs: list[np.ndarray] = [np.empty((rows, size), dtype) for size in sizes]  # outs[0] is the batch
        self.deltas: list[np.ndarray] = [np.empty((rows, size), dtype) for size in sizes]
        self.masks: list[np.ndarray] = [np.empty((rows, size), bool) for size in sizes]
        self.batch_targets: np.ndarray = np.empty((rows, *data.targets.shape[1:]), data.targets.dtype)
        self.ones: np.ndarray = np.ones(rows, dtype)
        self.rows: np.ndarray = np.arange(rows)

    def reset(self) -> None:
        for (weight, bias), initial in zip(self.layers, self.data.weights, strict=True):
            weight[...], bias[...] = initial
        self.means[...] = self.squares[...] = 0
        self.steps = 0

    def train(self, passes: int) -> None:
        for _ in range(passes):
            if self.case.steps == 1:
                self._step(self.data.x, self.data.targets)
                continue
            for samples in self.order():
                # With mode="raise", the default, NumPy would fill a buffer of its own first.
                np.take(self.data.x, samples, axis=0, out=self.outs[0], mode="clip")
                np.take(self.data.targets, samples, axis=0, out=self.batch_targets, mode="clip")
                self._step(self.outs[0], self.batch_targets)

    def losses(self, steps: int) -> list[float]:
        x, targets = self.data.x[: self.case.batch_size], self.data.targets[: self.case.batch_size]
        return [self._step(x, targets) for _ in range(steps)]

    def predict(self) -> np.ndarray:
        result = np.empty((self.case.samples, self.case.layers[-1]), self.data.x.dtype)
        for start in range(0, self.case.samples, BLOCK):
            out = result[start : start + BLOCK]
            self._forward(self.data.x[start : start + BLOCK], out)
            if self.case.loss == "softmax_cross_entropy":
                _softmax(out)
            elif self.case.loss == "sigmoid_cross_entropy":
                _sigmoid(out)
        return result

    def _forward(self, x: np.ndarray, last: np.ndarray) -> None:
        outs = [out[: len(x)] for out in self.outs[1:-1]] + [last]
        for number, ((weight, bias), out) in enumerate(zip(self.layers, outs, strict=True), 1):
            np.matmul(x, weight, out=out)
            out += bias
            if number < len(self.layers):
                self._activate(out)
            x = out

    def _activate(self, out: np.ndarray) -> None:
        match self.case.activation:
            case "relu":
                np.maximum(out, 0, out=out)
            case "tanh":
                np.tanh(out, out=out)
            case "sigmoid":
                _sigmoid(out)

    def _step(self, x: np.ndarray, targets: np.ndarray) -> float:
        self._forward(x, self.outs[-1])
        loss = self._loss(targets)
        delta = self.outs[-1]
        for layer in range(len(self.layers) - 1, -1, -1):
            below = self.outs[layer] if layer else x
            grad_weight, grad_bias = self.layer_grads[layer]
            np.matmul(below.T, delta, out=grad_weight)
            np.dot(self.ones, delta, out=grad_bias)
            if layer:
                np.matmul(delta, self.layers[layer][0].T, out=self.deltas[layer])
                delta = self.deltas[layer]
                self._times_derivative(delta, below, layer)
        self._update()
        return loss

    def _times_derivative(self, delta: np.ndarray, out: np.ndarray, layer: int) -> None:
        # `out`, the output of the activation, is not needed any more: it is overwritten with the derivative.
        match self.case.activation:
            case "relu":
                np.greater(out, 0, out=self.masks[layer])
                delta *= self.masks[layer]
            case "tanh":
                out *= out
                np.subtract(1, out, out=out)
                delta *= out
            case "sigmoid":
                delta *= out
                np.subtract(1, out, out=out)
                delta *= out

    def _loss(self, targets: np.ndarray) -> float:
        """The mean loss; overwrites the output of the last layer with its gradient."""
        out, count = self.outs[-1], len(targets)
        if self.case.loss == "softmax_cross_entropy":
            _softmax(out)
            loss = -np.log(out[self.rows, targets]).sum(dtype=np.float64)
            out[self.rows, targets] -= 1
        elif self.case.loss == "sigmoid_cross_entropy":
            sums = np.maximum(out, 0) - out * targets + np.log1p(np.exp(-np.abs(out)))
            loss = sums.sum(dtype=np.float64)
            _sigmoid(out)
            out -= targets
        else:
            out -= targets
            flat = out.reshape(-1)
            loss = 0.5 * float(flat @ flat)
        out /= count
        return float(loss / count)

    def _update(self) -> None:
        grads, scratch, rate = self.grads, self.scratch, self.case.learning_rate
        if self.case.optimizer == "adam":
            self.steps += 1
            self.means *= BETA1
            np.multiply(grads, 1 - BETA1, out=scratch)
            self.means += scratch
            self.squares *= BETA2
            grads *= grads
            grads *= 1 - BETA2
            self.squares += grads
            np.sqrt(self.squares, out=scratch)
            scratch *= (1 - BETA2**self.steps) ** -0.5
            scratch += EPSILON
            np.divide(self.means, scratch, out=scratch)
            scratch *= rate / (1 - BETA1**self.steps)
            self.params -= scratch
        else:
            grads *= rate
            self.params -= grads


def _views(flat: np.ndarray, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    views, start = [], 0
    for inputs, outputs in pairwise(sizes):
        middle = start + inputs * outputs
        views.append((flat[start:middle].reshape(inputs, outputs), flat[middle : middle + outputs]))
        start = middle + outputs
    return views


def _sigmoid(out: np.ndarray) -> None:
    np.negative(out, out=out)
    with np.errstate(over="ignore"):  # where exp overflows to infinity, the sigmoid is 0
        np.exp(out, out=out)
    out += 1
    np.reciprocal(out, out=out)


def _softmax(out: np.ndarray) -> None:
    out -= out.max(axis=1, keepdims=True)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)
