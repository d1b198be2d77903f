"""PyTorch, eager or compiled, whichever is faster on this machine.

Eager: batches by index_select instead of a data loader, and a fused or foreach optimizer. Compiled: the whole step,
from the gather to the update, is one graph of torch.compile.
"""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from fastfnn.bench.cases import Case, Data
from fastfnn.bench.peer import Peer as Base
from fastfnn.bench.peer import seconds_of

# Seconds for which each way is tried.
TRIAL = 0.3

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": torch.nn.Identity(),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}
MODULES: dict[str, Callable[[], Any]] = {
    "identity": torch.nn.Identity,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
}

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def mean_loss(case: Case, logits: Any, targets: Any) -> Any:
    """The loss of the case, summed over the outputs and averaged over the batch."""
    if case.loss == "softmax_cross_entropy":
        return functional.cross_entropy(logits, targets)
    if case.loss == "sigmoid_cross_entropy":
        return functional.binary_cross_entropy_with_logits(logits, targets) * case.layers[-1]
    return functional.mse_loss(logits, targets) * (case.layers[-1] / 2)


class Eager:
    """torch.nn and torch.optim."""

    case: Case
    data: Data
    options: dict[str, bool]
    net: Any
    optimizer: Any

    def __init__(self, case: Case, data: Data, **optimizer: bool) -> None:
        self.case, self.data, self.options = case, data, optimizer
        modules: list[Any] = []
        for weight, _ in data.weights:
            modules += [
                torch.nn.Linear(*weight.shape, dtype=torch.from_numpy(weight).dtype),
                MODULES[case.activation](),
            ]
        self.net = torch.nn.Sequential(*modules[:-1])

    def reset(self) -> None:
        parameters = list(self.net.parameters())
        with torch.no_grad():
            for parameter, value in zip(parameters, [a for pair in self.data.weights for a in pair], strict=True):
                parameter.copy_(torch.from_numpy(value.T))
        kind = torch.optim.SGD if self.case.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = kind(parameters, lr=self.case.learning_rate, **self.options)

    def step(self, x: Any, targets: Any, samples: Any) -> Any:
        if samples is not None:
            x, targets = x.index_select(0, samples), targets.index_select(0, samples)
        loss = mean_loss(self.case, self.net(x), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def logits(self, x: Any) -> Any:
        return self.net(x)


class Compiled:
    """A step as one compiled function of parameters and batch."""

    case: Case
    data: Data
    params: list[Any]
    means: list[Any]
    squares: list[Any]
    count: Any

    def __init__(self, case: Case, data: Data) -> None:
        self.case, self.data = case, data
        initial = [torch.from_numpy(array) for pair in data.weights for array in pair]
        self.params = [torch.empty_like(array) for array in initial]
        self.means = [torch.empty_like(array) for array in initial]
        self.squares = [torch.empty_like(array) for array in initial]
        self.count = torch.zeros((), dtype=initial[0].dtype)
        self.initial = initial
        self._step = torch.compile(self._plain_step, fullgraph=True, dynamic=False)
        self._logits = torch.compile(self._plain_logits, fullgraph=True, dynamic=False)

    def reset(self) -> None:
        for param, mean, square, value in zip(self.params, self.means, self.squares, self.initial, strict=True):
            param.copy_(value)
            mean.zero_()
            square.zero_()
        self.count.zero_()

    def step(self, x: Any, targets: Any, samples: Any) -> Any:
        with torch.no_grad():
            return self._step(self.params, self.means, self.squares, self.count, x, targets, samples)

    def logits(self, x: Any) -> Any:
        return self._logits(self.params, x)

    def _plain_logits(self, params: Any, x: Any) -> Any:
        for layer in range(0, len(params), 2):
            x = torch.addmm(params[layer + 1], x, params[layer])
            if layer + 2 < len(params):
                x = ACTIVATIONS[self.case.activation](x)
        return x

    def _plain_step(self, params: Any, means: Any, squares: Any, count: Any, x: Any, targets: Any, samples: Any) -> Any:
        if samples is not None:
            x, targets = x[samples], targets[samples]
        grads, loss = torch.func.grad_and_value(
            lambda values: mean_loss(self.case, self._plain_logits(values, x), targets)
        )(params)
        rate = self.case.learning_rate
        if self.case.optimizer == "sgd":
            for param, grad in zip(params, grads, strict=True):
                param.sub_(grad, alpha=rate)
            return loss
        count.add_(1)
        rate, root = rate / (1 - BETA1**count), (1 - BETA2**count).sqrt()
        for param, mean, square, grad in zip(params, means, squares, grads, strict=True):
            mean.lerp_(grad, 1 - BETA1)
            square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
            param.sub_(rate * mean / (square.sqrt() / root + EPSILON))
        return loss


class Peer(Base):
    """The fastest of the ways that work on this machine."""

    versions: ClassVar[dict[str, str]] = {"torch": torch.__version__}
    x: Any
    targets: Any
    variant: str
    way: Eager | Compiled

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        self.x, self.targets = torch.from_numpy(data.x), torch.from_numpy(data.targets)
        trials = {}
        for name, make in self.ways().items():
            try:
                way = make()
                trials[name] = self._trial(way), way
            except Exception as error:  # for example, no C++ compiler: the other ways count
                self.remarks.append(f"{name} failed: {type(error).__name__}: {first_line(error)}")
        if not trials:
            raise RuntimeError("; ".join(self.remarks))
        self.variant = min(trials, key=lambda name: trials[name][0])
        self.way = trials[self.variant][1]

    def ways(self) -> dict[str, Callable[[], Eager | Compiled]]:
        """What is tried, by name."""
        case, data = self.case, self.data
        if case.predict:
            return {"eager": lambda: Eager(case, data), "compiled": lambda: Compiled(case, data)}
        return {
            "eager, fused optimizer": lambda: Eager(case, data, fused=True),
            "eager, foreach optimizer": lambda: Eager(case, data, foreach=True),
            "compiled": lambda: Compiled(case, data),
        }

    def _trial(self, way: Eager | Compiled) -> float:
        self.way = way
        self.reset()
        samples = None if self.case.steps == 1 else torch.arange(self.case.batch_size)

        def once() -> None:
            if self.case.predict:
                self.predict()
            else:
                way.step(self.x, self.targets, samples)

        seconds_of(once, TRIAL / 2)  # compiles and fills caches
        start, count = time.perf_counter(), 0
        while time.perf_counter() < start + TRIAL:
            once()
            count += 1
        return (time.perf_counter() - start) / count

    def reset(self) -> None:
        self.way.reset()

    def train(self, passes: int) -> None:
        for _ in range(passes):
            if self.case.steps == 1:
                self.way.step(self.x, self.targets, None)
            else:
                for samples in torch.from_numpy(self.order()).unbind():
                    self.way.step(self.x, self.targets, samples)

    def losses(self, steps: int) -> list[float]:
        samples = torch.arange(self.case.batch_size)
        return [float(self.way.step(self.x, self.targets, samples)) for _ in range(steps)]

    def predict(self) -> np.ndarray:
        with torch.inference_mode():
            logits = self.way.logits(self.x)
            if self.case.loss == "softmax_cross_entropy":
                logits = torch.softmax(logits, 1)
            elif self.case.loss == "sigmoid_cross_entropy":
                logits = torch.sigmoid(logits)
        result: np.ndarray = logits.numpy()
        return result


def first_line(error: Exception) -> str:
    """The first line of an error message that may be long."""
    return next(iter(str(error).strip().splitlines()), "")
