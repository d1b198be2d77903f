"""Optimizers: how parameters follow their gradients.

Inside `FNN.fit` the rule runs in the compiled loop. For loops written by hand each has `update(params, grads)`, which
gives the same numbers. An optimizer keeps its state, velocities and the like, from call to call, of either kind, as
long as it is given the same parameters; with others it starts afresh, as after `reset`. The equations stand in
kernels/optimizers.py.
"""

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastfnn import validation
from fastfnn.backend import BACKENDS, OPTIMIZERS, aligned_zeros
from fastfnn.params import Params
from fastfnn.schedules import Schedule

__all__ = ["SGD", "AdaGrad", "Adam", "AdamW", "Momentum", "Nesterov", "RMSprop"]

Rate = float | Callable[[int], float]

# What a rule's setting is called in the compiled loop, where that is not its own name.
LOOP_NAMES = {"momentum": "beta1", "decay_rate": "beta1", "weight_decay": "decay"}


class _Default(float):
    """The value of an argument that was not given."""


RATE, ADAM_RATE, ADAM_EPSILON = _Default(0.01), _Default(0.001), _Default(1e-8)
BOOK_EPSILON = 1e-7


class Optimizer:
    """What all optimizers share: a rule by name, its settings, and its state for the parameters at hand.

    learning_rate  finite, not negative; or a schedule, see schedules.py, or any other function from the number of a
                   step, which the optimizer counts from 0, to the rate of that step
    lr             another name of learning_rate
    clip_norm      the Euclidean norm that the gradient of all parameters together is scaled down to where it is longer:
                   above 0, or None to leave the gradient as it is
    """

    rule: ClassVar[str]
    states: ClassVar[int] = 0  # arrays of state for each parameter

    def __init__(self, learning_rate: Rate, lr: Rate | None, clip_norm: float | None, **settings: float) -> None:
        if lr is not None and not isinstance(learning_rate, _Default):
            raise TypeError("lr is another name of learning_rate: one of them must be given, got both")
        self._rate = _checked_rate("learning_rate", learning_rate) if lr is None else _checked_rate("lr", lr)
        self.clip_norm = None if clip_norm is None else validation.positive("clip_norm", clip_norm)
        self.settings = settings
        self.reset()

    def __repr__(self) -> str:
        settings: dict[str, Any] = self.settings | self._options()
        if self.clip_norm is not None:
            settings["clip_norm"] = self.clip_norm
        rate, *others = (repr(value).removesuffix(".0") for value in (self.learning_rate, *settings.values()))
        pairs = zip(settings, others, strict=True)
        return f"{type(self).__name__}({rate}{''.join(f', {name}={value}' for name, value in pairs)})"

    @property
    def learning_rate(self) -> Rate:
        """The rate, or the function of a step that gives it. It may be changed at any time."""
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self._rate = _checked_rate("learning_rate", value)

    @property
    def lr(self) -> Rate:
        """The same as `learning_rate`."""
        return self._rate

    @lr.setter
    def lr(self, value: Rate) -> None:
        self._rate = _checked_rate("lr", value)

    def reset(self) -> None:
        """Forget the state: the next step is the first, for a schedule too."""
        self.steps = 0
        self._places: dict[str, tuple[Any, ...]] = {}
        self._state: dict[str, tuple[np.ndarray, ...]] = {}

    def update(self, params: Mapping[str, np.ndarray], grads: Mapping[str, np.ndarray]) -> None:
        """Change every array of `params` in place by the array of the same name in `grads`, of the same shape."""
        pairs = _pairs(params, grads)
        rate = self.learning_rate
        if callable(rate):  # asked before anything changes: what it gives may be no rate
            (rate,) = self._rates(self.steps if self._holds(_arrays(params)) else 0, 1).tolist()
        if self.clip_norm is not None:
            pairs = _clipped(pairs, self.clip_norm)
        state = self._state_of(params)
        self.steps += 1
        update = getattr(BACKENDS["kernels"], f"{self.rule}_update")
        arguments = self._arguments()
        for name, param, grad in pairs:
            update(param, *state[name], grad, rate, *arguments)

    def rates(self, count: int) -> np.ndarray:
        """The learning rates of the next `count` steps: (count,) float64."""
        return self._rates(self.steps, count)

    def flat_state(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """The two state vectors of the compiled loop for the parameters of a network; empty where there is no state."""
        self._bind(_arrays(params))
        empty = np.empty(0, params.flat.dtype)
        return (*self._state[""], empty, empty)[:2]  # type: ignore[return-value]

    def flat_settings(self) -> dict[str, float]:
        """The settings by their names in the compiled loop, but those that are 0 there."""
        named = {LOOP_NAMES.get(name, name): value for name, value in (self.settings | self._options()).items()}
        return named if self.clip_norm is None else named | {"clip_norm": self.clip_norm}

    @property
    def code(self) -> int:
        """The rule's code for the compiled loop."""
        return OPTIMIZERS.index(self.rule)

    def _options(self) -> dict[str, bool]:
        """What changes the rule and is no setting of its kernel."""
        return {}

    def _arguments(self) -> tuple[float, ...]:
        """What the rule's kernel takes after the learning rate."""
        return (*self.settings.values(), self.steps) if self.states == 2 else tuple(self.settings.values())

    def _rates(self, first: int, count: int) -> np.ndarray:
        """The learning rates of `count` steps from number `first` on."""
        rate = self.learning_rate
        if not callable(rate):
            return np.full(count, rate)
        steps = range(first, first + count)
        if not isinstance(rate, Schedule):
            return np.array([validation.nonnegative(f"learning_rate({step})", rate(step)) for step in steps])
        rates: np.ndarray = rate(np.asarray(steps))
        for i in np.flatnonzero(~((rates >= 0) & (rates < math.inf)))[:1]:
            validation.nonnegative(f"learning_rate({steps[i]})", rates[i])
        return rates

    def _state_of(self, params: Mapping[str, np.ndarray]) -> Mapping[str, tuple[np.ndarray, ...]]:
        self._bind(_arrays(params))
        if not isinstance(params, Params):
            return self._state
        views = [params.views_of(state) for state in self._state[""]]
        return {name: tuple(view[name] for view in views) for name in params}

    def _bind(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on with the state if it is that of these arrays, else start afresh."""
        if self._holds(arrays):
            return
        self.reset()
        self._places = {name: _place(array) for name, array in arrays.items()}
        self._state = {
            name: tuple(aligned_zeros(array.shape, array.dtype) for _ in range(self.states))
            for name, array in arrays.items()
        }

    def _holds(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether the state is that of these arrays."""
        places = {name: _place(array) for name, array in arrays.items()}
        return places.keys() == self._places.keys() and all(_same(places[name], self._places[name]) for name in places)


def _checked_rate(name: str, value: Any) -> Rate:
    if callable(value) and not isinstance(value, type):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        got = f"class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a number or a schedule, got {got}")
    return validation.nonnegative(name, value)


def _arrays(params: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The arrays that the state is kept for: all parameters of a network are one."""
    return {"": params.flat} if isinstance(params, Params) else params


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

    learning_rate, lr, clip_norm  as for every `Optimizer`

    Source: section 4 of the notes.
    """

    rule = "sgd"

    def __init__(self, learning_rate: Rate = RATE, *, lr: Rate | None = None, clip_norm: float | None = None) -> None:
        super().__init__(learning_rate, lr, clip_norm)


class Momentum(Optimizer):
    """Gradient descent with momentum: v <- momentum * v - learning_rate * g, w <- w + v.

    learning_rate, lr, clip_norm  as for every `Optimizer`
    momentum                      in [0, 1)

    Source: Polyak 1964.
    """

    rule, states = "momentum", 1

    def __init__(
        self,
        learning_rate: Rate = RATE,
        momentum: float = 0.9,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, lr, clip_norm, momentum=validation.fraction("momentum", momentum))


class Nesterov(Optimizer):
    """Momentum with the gradient as if taken ahead: v <- momentum * v - learning_rate * g, w <- w + momentum * v -
    learning_rate * g.

    learning_rate, lr, clip_norm  as for every `Optimizer`
    momentum                      in [0, 1)

    Source: Nesterov 1983, in the form of Bengio et al. 2013.
    """

    rule, states = "nesterov", 1

    def __init__(
        self,
        learning_rate: Rate = RATE,
        momentum: float = 0.9,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, lr, clip_norm, momentum=validation.fraction("momentum", momentum))


class AdaGrad(Optimizer):
    """A step for each parameter that shrinks with its gradients:

    h <- h + g^2,  w <- w - learning_rate g / (sqrt h + eps).

    learning_rate, lr, clip_norm  as for every `Optimizer`
    epsilon                       finite, above 0: without it a gradient of 0 would be divided by 0

    Source: Duchi et al. 2011.
    """

    rule, states = "adagrad", 1

    def __init__(
        self,
        learning_rate: Rate = RATE,
        epsilon: float = 1e-7,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, lr, clip_norm, epsilon=validation.positive("epsilon", epsilon))


class RMSprop(Optimizer):
    """AdaGrad that forgets: h <- decay_rate h + (1 - decay_rate) g^2, w <- w - learning_rate g / (sqrt h + eps).

    learning_rate, lr, clip_norm  as for every `Optimizer`
    decay_rate                    in [0, 1)
    epsilon                       finite, above 0

    Source: Tieleman and Hinton 2012.
    """

    rule, states = "rmsprop", 1

    def __init__(
        self,
        learning_rate: Rate = RATE,
        decay_rate: float = 0.99,
        epsilon: float = 1e-7,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            lr,
            clip_norm,
            decay_rate=validation.fraction("decay_rate", decay_rate),
            epsilon=validation.positive("epsilon", epsilon),
        )


class Adam(Optimizer):
    """Running means of gradient and square, corrected for their start at 0: w <- w - learning_rate m / (sqrt v + eps).

    learning_rate, lr, clip_norm  as for every `Optimizer`
    beta1, beta2                  in [0, 1): how much of its past each mean keeps
    epsilon                       finite, above 0
    book                          True: epsilon, 1e-7 if it is not given, joins sqrt v before the correction, as in the
                                  book's code, in Keras and in scikit-learn: with m and v as they are at step t,
                                  w <- w - learning_rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt v + eps)

    Source: Kingma and Ba 2015, algorithm 1; with `book` the other form in their section 2.
    """

    rule, states = "adam", 2

    def __init__(
        self,
        learning_rate: Rate = ADAM_RATE,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = ADAM_EPSILON,
        *,
        book: bool = False,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        self.book = validation.boolean("book", book)
        epsilon = BOOK_EPSILON if self.book and isinstance(epsilon, _Default) else epsilon
        super().__init__(learning_rate, lr, clip_norm, **_adam_settings(beta1, beta2, epsilon))

    def _options(self) -> dict[str, bool]:
        return {"book": True} if self.book else {}

    def _arguments(self) -> tuple[float, ...]:
        beta1, beta2, epsilon = self.settings.values()
        if self.book:  # as much smaller as the corrected sqrt v that the kernel adds it to is larger
            epsilon /= math.sqrt(1 - beta2**self.steps)
        return beta1, beta2, epsilon, self.steps


class AdamW(Optimizer):
    """Adam with weight decay apart from the gradient: w <- (1 - learning_rate * weight_decay) w, then as Adam.

    learning_rate, lr, clip_norm  as for every `Optimizer`
    beta1, beta2                  in [0, 1)
    epsilon                       finite, above 0
    weight_decay                  finite, not negative

    Source: Loshchilov and Hutter 2019.
    """

    rule, states = "adamw", 2

    def __init__(
        self,
        learning_rate: Rate = ADAM_RATE,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = ADAM_EPSILON,
        weight_decay: float = 0.01,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        settings = _adam_settings(beta1, beta2, epsilon)
        decay = validation.nonnegative("weight_decay", weight_decay)
        super().__init__(learning_rate, lr, clip_norm, **settings, weight_decay=decay)


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


def _clipped(
    pairs: list[tuple[str, np.ndarray, np.ndarray]], longest: float
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The same, with the gradients scaled down to the norm `longest` where they are longer together; it is float64."""
    norm = math.sqrt(sum(float(np.square(grad, dtype=np.float64).sum()) for _, _, grad in pairs))
    if norm <= longest:
        return pairs
    return [(name, param, grad * grad.dtype.type(longest / norm)) for name, param, grad in pairs]
