"""JAX: a pass over the data is one compiled call, a lax.scan over the batches, which it gathers inside."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from fastfnn.bench.cases import Case, Data
from fastfnn.bench.peer import Peer as Base

ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda x: x,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
}
OUTPUTS: dict[str, Callable[..., Any]] = {
    "softmax_cross_entropy": jax.nn.softmax,
    "sigmoid_cross_entropy": jax.nn.sigmoid,
    "squared_error": lambda x: x,
}

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class Peer(Base):
    """Parameters and optimizer state are donated: XLA updates them in place."""

    versions: ClassVar[dict[str, str]] = {"jax": jax.__version__, "jaxlib": jax.lib.__version__}
    x: Any
    targets: Any
    carry: Any

    def __init__(self, case: Case, data: Data) -> None:
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        super().__init__(case, data)
        targets = data.targets
        if case.loss == "softmax_cross_entropy":  # as rows: faster in XLA than scattering a gradient to labels
            targets = np.eye(case.layers[-1], dtype=data.x.dtype)[targets]
        self.x, self.targets = jnp.asarray(data.x), jnp.asarray(targets)
        self._pass = jax.jit(self._scan, donate_argnums=0)
        self._passes = jax.jit(self._repeat, donate_argnums=0)
        self._predict = jax.jit(self._outputs)
        self.reset()

    def reset(self) -> None:
        params = [(jnp.array(weight), jnp.array(bias)) for weight, bias in self.data.weights]
        states = 2 if self.case.optimizer == "adam" else 0
        state = [jax.tree.map(jnp.zeros_like, params) for _ in range(states)]
        self.carry = params, state, jnp.zeros((), self.data.x.dtype)

    def train(self, passes: int) -> None:
        if self.case.steps == 1:
            self.carry = self._passes(self.carry, passes, self.x, self.targets)
        else:
            for _ in range(passes):
                order = self.order().astype(np.int32)
                self.carry, _ = self._pass(self.carry, order, self.x, self.targets)
        jax.block_until_ready(self.carry)

    def losses(self, steps: int) -> list[float]:
        order = np.tile(np.arange(self.case.batch_size, dtype=np.int32), (steps, 1))
        self.carry, found = self._pass(self.carry, order, self.x, self.targets)
        return [float(value) for value in found]

    def predict(self) -> np.ndarray:
        result: np.ndarray = jax.block_until_ready(self._predict(self.carry[0], self.x))
        return result

    def _logits(self, params: Any, x: Any) -> Any:
        for weight, bias in params[:-1]:
            x = ACTIVATIONS[self.case.activation](x @ weight + bias)
        weight, bias = params[-1]
        return x @ weight + bias

    def _outputs(self, params: Any, x: Any) -> Any:
        return OUTPUTS[self.case.loss](self._logits(params, x))

    def _loss(self, params: Any, x: Any, targets: Any) -> Any:
        z = self._logits(params, x)
        if self.case.loss == "softmax_cross_entropy":
            losses = -jnp.sum(targets * jax.nn.log_softmax(z), axis=1)
        elif self.case.loss == "sigmoid_cross_entropy":
            losses = jnp.sum(jax.nn.softplus(z) - z * targets, axis=1)
        else:
            losses = 0.5 * jnp.sum((z - targets) ** 2, axis=1)
        return losses.mean()

    def _step(self, carry: Any, x: Any, targets: Any) -> tuple[Any, Any]:
        params, state, count = carry
        loss, grads = jax.value_and_grad(self._loss)(params, x, targets)
        rate = self.case.learning_rate
        if self.case.optimizer == "sgd":
            return (jax.tree.map(lambda w, g: w - rate * g, params, grads), state, count), loss
        count = count + 1
        mean = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state[0], grads)
        square = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, state[1], grads)
        rate, correction = rate / (1 - BETA1**count), 1 / (1 - BETA2**count)
        params = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v * correction) + EPSILON), params, mean, square)
        return (params, [mean, square], count), loss

    def _scan(self, carry: Any, order: Any, x: Any, targets: Any) -> Any:
        return jax.lax.scan(lambda carry, samples: self._step(carry, x[samples], targets[samples]), carry, order)

    def _repeat(self, carry: Any, passes: Any, x: Any, targets: Any) -> Any:
        # One batch holds all samples: there is nothing to gather, and all passes are one call.
        return jax.lax.fori_loop(0, passes, lambda _, carry: self._step(carry, x, targets)[0], carry)
