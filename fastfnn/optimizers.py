"""Optimizers: how parameters follow their gradients.

Inside `FNN.fit` the rule runs in the compiled loop. For loops written by hand each has `update(params, grads)`, which
gives the same numbers. An optimizer keeps its state, velocities and the like, from call to call, of either kind, as
long as it is given the same parameters; with others it starts afresh, as after `reset`. The equations stand in
kernels/optimizers.py.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastfnn import validation
from fastfnn.backend import BACKENDS, OPTIMIZERS
from fastfnn.params import Params


class Optimizer:
    """What all optimizers share: a rule by name, its settings, and its state for the parameters at hand."""

    rule: ClassVar[str]
    states: ClassVar[int] = 0  # arrays of state for each parameter

    def __init__(self, learning_rate: float, **settings: float) -> None:
        self.learning_rate = validation.nonnegative("learning_rate", learning_rate)
        self.settings = settings
        self.reset()

    def __repr__(self) -> str:
        rate, *others = (repr(value).removesuffix(".0") for value in (self.learning_rate, *self.settings.values()))
        pairs = zip(self.settings, others, strict=True)
        return f"{type(self).__name__}({rate}{''.join(f', {name}={value}' for name, value in pairs)})"

    def reset(self) -> None:
        """Forget the state: the next step is the first."""
        self.steps = 0
        self._places: dict[str, tuple[Any, ...]] = {}
        self._state: dict[str, tuple[np.ndarray, ...]] = {}

    def update(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Change every array of `params` in place by the array of the same name in `grads`, of the same shape."""
        pairs = _pairs(params, grads)
        state = self._state_of(params)
        self.steps += 1
        update = getattr(BACKENDS["kernels"], f"{self.rule}_update")
        step = (self.steps,) if self.states == 2 else ()
        for name, param, grad in pairs:
            update(param, *state[name], grad, self.learning_rate, *self.settings.values(), *step)

    def flat_state(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """The two state vectors of the compiled loop for the parameters of a network; empty where there is no state."""
        self._bind({"": params.flat})
        empty = np.empty(0, params.flat.dtype)
        return (*self._state[""], empty, empty)[:2]  # type: ignore[return-value]

    def flat_settings(self) -> dict[str, float]:
        """The settings by their names in the compiled loop, which takes 0 for those that the rule has not."""
        names = {"momentum": "beta1", "decay_rate": "beta1", "weight_decay": "decay"}
        return {names.get(name, name): value for name, value in self.settings.items()}

    @property
    def code(self) -> int:
        """The rule's code for the compiled loop."""
        return OPTIMIZERS.index(self.rule)

    def _state_of(self, params: Mapping[str, np.ndarray]) -> Mapping[str, tuple[np.ndarray, ...]]:
        if not isinstance(params, Params):
            self._bind(params)
            return self._state
        self._bind({"": params.flat})
        views = [params.like(state) for state in self._state[""]]
        return {name: tuple(view[name] for view in views) for name in params}

    def _bind(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on with the state if it is that of these arrays, else start afresh."""
        places = {name: _place(array) for name, array in arrays.items()}
        if places.keys() == self._places.keys() and all(_same(places[name], self._places[name]) for name in places):
            return
        self.reset()
        self._places = places
        self._state = {
            name: tuple(np.zeros(array.shape, array.dtype) for _ in range(self.states))
            for name, array in arrays.items()
        }


def _place(array: np.ndarray) -> tuple[Any, ...]:
    """Where an array lies: the array that owns its memory, and what part of that it is."""
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    offset = array.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return owner, offset, array.shape, array.strides, array.dtype


def _same(place: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return place[0] is other[0] and place[1:] == other[1:]


class SGD(Optimizer):
    """Gradient descent: w <- w - learning_rate * g.

    learning_rate  finite, not negative

    Source: section 4 of the notes.
    """

    rule = "sgd"

    def __init__(self, learning_rate: float = 0.01) -> None:
        super().__init__(learning_rate)


class Momentum(Optimizer):
    """Gradient descent with momentum: v <- momentum * v - learning_rate * g, w <- w + v.

    learning_rate  finite, not negative
    momentum       in [0, 1)

    Source: Polyak 1964.
    """

    rule, states = "momentum", 1

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(learning_rate, momentum=validation.fraction("momentum", momentum))


class Nesterov(Optimizer):
    """Momentum with the gradient as if taken ahead: v <- momentum * v - learning_rate * g, w <- w + momentum * v -
    learning_rate * g.

    learning_rate  finite, not negative
    momentum       in [0, 1)

    Source: Nesterov 1983, in the form of Bengio et al. 2013.
    """

    rule, states = "nesterov", 1

    def __init__(self, learning_rate: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(learning_rate, momentum=validation.fraction("momentum", momentum))


class AdaGrad(Optimizer):
    """A step for each parameter that shrinks with its gradients:

    h <- h + g^2,  w <- w - learning_rate g / (sqrt h + eps).

    learning_rate  finite, not negative
    epsilon        finite, above 0: without it a gradient of 0 would be divided by 0

    Source: Duchi et al. 2011.
    """

    rule, states = "adagrad", 1

    def __init__(self, learning_rate: float = 0.01, epsilon: float = 1e-7) -> None:
        super().__init__(learning_rate, epsilon=validation.positive("epsilon", epsilon))


class RMSprop(Optimizer):
    """AdaGrad that forgets: h <- decay_rate h + (1 - decay_rate) g^2, w <- w - learning_rate g / (sqrt h + eps).

    learning_rate  finite, not negative
    decay_rate     in [0, 1)
    epsilon        finite, above 0

    Source: Tieleman and Hinton 2012.
    """

    rule, states = "rmsprop", 1

    def __init__(self, learning_rate: float = 0.01, decay_rate: float = 0.99, epsilon: float = 1e-7) -> None:
        super().__init__(
            learning_rate,
            decay_rate=validation.fraction("decay_rate", decay_rate),
            epsilon=validation.positive("epsilon", epsilon),
        )


class Adam(Optimizer):
    """Running means of gradient and square, corrected for their start at 0: w <- w - learning_rate m / (sqrt v + eps).

    learning_rate  finite, not negative
    beta1, beta2   in [0, 1): how much of its past each mean keeps
    epsilon        finite, above 0

    Source: Kingma and Ba 2015, algorithm 1.
    """

    rule, states = "adam", 2

    def __init__(
        self, learning_rate: float = 0.001, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        super().__init__(learning_rate, **_adam_settings(beta1, beta2, epsilon))


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient: w <- (1 - learning_rate * weight_decay) w, then as Adam.

    learning_rate, weight_decay  finite, not negative
    beta1, beta2                 in [0, 1)
    epsilon                      finite, above 0

    Source: Loshchilov and Hutter 2019.
    """

    rule, states = "adamw", 2

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        decay = validation.nonnegative("weight_decay", weight_decay)
        super().__init__(learning_rate, **_adam_settings(beta1, beta2, epsilon), weight_decay=decay)


def _adam_settings(beta1: Any, beta2: Any, epsilon: Any) -> dict[str, float]:
    return {
        "beta1": validation.fraction("beta1", beta1),
        "beta2": validation.fraction("beta2", beta2),
        "epsilon": validation.positive("epsilon", epsilon),
    }


def _pairs(
    params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Each parameter with its gradient, all checked before the first is changed."""
    pairs = []
    for name, param in params.items():
        if not isinstance(param, np.ndarray) or param.dtype not in (np.float32, np.float64):
            kind = f"dtype {param.dtype}" if isinstance(param, np.ndarray) else type(param).__name__
            raise TypeError(f"params[{name!r}] must be a float32 or float64 array, got {kind}")
        if param.ndim not in (1, 2):
            raise ValueError(f"params[{name!r}] must have one or two axes, got shape {param.shape}")
        if not param.flags.writeable:
            raise ValueError(f"params[{name!r}] must be writable, got a read-only array")
        if name not in grads:
            raise ValueError(f"grads must have an entry for each of params, got none for {name!r}")
        grad = validation.real_array(f"grads[{name!r}]", grads[name], param.dtype)
        if grad.shape != param.shape:
            raise ValueError(f"grads[{name!r}] must have shape {param.shape}, got {grad.shape}")
        pairs.append((name, param, grad))
    return pairs
