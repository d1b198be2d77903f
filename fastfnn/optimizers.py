"""Optimizers: the rules by which parameters follow their gradients.

`FNN.fit` runs the rule in the compiled loop. Loops written by hand call `update(params, grads)`, which computes the
same numbers. An optimizer keeps its state, for example velocities, from call to call of either kind, as long as it gets
the same parameters; with other parameters it starts anew, as after `reset`.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastfnn import names, validation
from fastfnn.backend import BACKENDS, OPTIMIZERS, aligned_zeros
from fastfnn.pairs import as_rows, checked_pairs, clipped, dtype_of, store
from fastfnn.params import Params
from fastfnn.schedules import Schedule

__all__ = ["SGD", "AdaGrad", "Adam", "AdamW", "Momentum", "Nesterov", "RMSprop"]

Rate = float | Callable[[int], float]

# Names of settings in the compiled loop that differ from the names of the arguments here.
LOOP_NAMES = {"momentum": "beta1", "decay_rate": "beta1", "weight_decay": "decay"}


class _Default(float):
    """The default value of an argument, to tell it from an equal value that the user gave."""


RATE, ADAM_RATE, ADAM_EPSILON = _Default(0.01), _Default(0.001), _Default(1e-8)
BOOK_EPSILON = 1e-7


class Optimizer:
    """Base class of the optimizers: an update rule, its settings, and its state for the current parameters.

    Parameters
    ----------
    learning_rate : float or callable
        Finite, not negative; or a schedule (`fastfnn.schedules`), or any other function from the number of a step, from
        0, to the rate of that step.
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.
    """

    rule: ClassVar[str]
    states: ClassVar[int] = 0  # number of state arrays per parameter
    steps: int

    def __init__(self, learning_rate: Rate, lr: Rate | None, clip_norm: float | None, **settings: float) -> None:
        if lr is not None and not isinstance(learning_rate, _Default):
            raise TypeError("lr is another name of learning_rate: expected one of them, got both")
        self._rate = _checked_rate("learning_rate", learning_rate) if lr is None else _checked_rate("lr", lr)
        self.clip_norm: float | None = None if clip_norm is None else validation.positive("clip_norm", clip_norm)
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
        """The learning rate, or the function from a step to its rate. It may be changed at any time."""
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        self._rate = _checked_rate("learning_rate", value)

    @property
    def lr(self) -> Rate:
        """Another name of `learning_rate`."""
        return self._rate

    @lr.setter
    def lr(self, value: Rate) -> None:
        self._rate = _checked_rate("lr", value)

    def reset(self) -> None:
        """Forget the state; the next step is number 0 for a schedule.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> optimizer = fnn.Momentum(0.1)
        >>> optimizer.update({"w": 1.0}, {"w": 2.0})
        >>> optimizer.reset()
        >>> optimizer.steps
        0
        """
        self._places: dict[str, tuple[Any, ...]] = {}  # first: without it there is no state, see _bind
        self._state: dict[str, tuple[np.ndarray, ...]] = {}
        self.steps = 0

    def update(self, params: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
        """Take one step: change every array of `params` in place, and replace every number.

        Parameters
        ----------
        params : mapping of str to array or number
            `FNN.params`, or writable float32 or float64 arrays with any number of axes, or numbers in a dict.
        grads : mapping of str to array or number
            The gradient of each parameter, under its name and in its shape.

        Raises
        ------
        TypeError, ValueError
            If names, types or shapes of the parameters and the gradients do not fit, or a schedule returns a rate that
            is negative or not finite. Nothing is changed then.

        Notes
        -----
        Gradients are not checked for NaN and infinity: as in NumPy, the parameters become NaN or infinite. The state
        of numbers belongs to their dict and their names.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> params = {"x": -7.0, "y": 2.0}
        >>> fnn.SGD(0.5).update(params, {"x": -0.7, "y": 4.0})
        >>> params
        {'x': -6.65, 'y': 0.0}
        """
        pairs = checked_pairs(params, grads)
        rate = self.learning_rate
        if callable(rate):  # before anything changes, because the function may return an invalid rate
            (rate,) = self._rates(self.steps if self._holds(_arrays(params)) else 0, 1).tolist()
        if self.clip_norm is not None:
            pairs = clipped(pairs, self.clip_norm)
        state = self._state_of(params)
        self.steps += 1
        update = getattr(BACKENDS["kernels"], f"{self.rule}_update")
        arguments = self._arguments()
        for name, param, grad, _ in pairs:
            update(param, *map(as_rows, state[name]), grad, rate, *arguments)
        store(params, pairs)

    def rates(self, count: int) -> np.ndarray:
        """Return the learning rates of the next steps.

        Parameters
        ----------
        count : int
            Number of steps.

        Returns
        -------
        (count,) float64 array
            The rate of each step.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> fnn.SGD(fnn.schedules.Step(0.5, every=2)).rates(4)
        array([0.5 , 0.5 , 0.05, 0.05])
        """
        return self._rates(self.steps, count)

    def flat_state(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """Return the two state vectors of the compiled loop, (P,) each; empty if the rule has no such state.

        :meta private:
        """
        self._bind(_arrays(params))
        empty = np.empty(0, params.flat.dtype)
        return (*self._state[""], empty, empty)[:2]  # type: ignore[return-value]

    def flat_settings(self) -> dict[str, float]:
        """Return the settings by their names in the compiled loop, where missing settings are 0.

        :meta private:
        """
        named = {LOOP_NAMES.get(name, name): value for name, value in (self.settings | self._options()).items()}
        return named if self.clip_norm is None else named | {"clip_norm": self.clip_norm}

    @property
    def code(self) -> int:
        """Code of the rule in the compiled loop.

        :meta private:
        """
        return OPTIMIZERS.index(self.rule)

    def _options(self) -> dict[str, bool]:
        """Return options of the rule that are not arguments of its kernel."""
        return {}

    def _arguments(self) -> tuple[float, ...]:
        """Return the arguments of the rule's kernel after the learning rate."""
        return (*self.settings.values(), self.steps) if self.states == 2 else tuple(self.settings.values())

    def _rates(self, first: int, count: int) -> np.ndarray:
        """Return the learning rates of the steps first, first + 1, ..., (count,) float64."""
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

    def _state_of(self, params: Mapping[str, Any]) -> Mapping[str, tuple[np.ndarray, ...]]:
        """Return the state arrays of each parameter."""
        self._bind(_arrays(params))
        if not isinstance(params, Params):
            return self._state
        views = [params.views_of(state) for state in self._state[""]]
        return {name: tuple(view[name] for view in views) for name in params}

    def _bind(self, params: Mapping[str, Any]) -> None:
        """Keep the state if it belongs to these parameters, else start with zeros."""
        if self._holds(params):
            return
        self.reset()
        self._state = {
            name: tuple(aligned_zeros(np.shape(param), dtype_of(param)) for _ in range(self.states))
            for name, param in params.items()
        }
        # Last: it says that the state is there, also after a KeyboardInterrupt.
        self._places = {name: _place(param, params) for name, param in params.items()}

    def _holds(self, params: Mapping[str, Any]) -> bool:
        """Return whether the state belongs to these parameters."""
        places = self._places
        return params.keys() == places.keys() and all(
            _is_at(places[name], param, params) for name, param in params.items()
        )


def _checked_rate(name: str, value: Any) -> Rate:
    if callable(value) and not isinstance(value, type):
        return value  # type: ignore[no-any-return]
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        got = f"class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a number or a schedule, got {got}")
    return validation.nonnegative(name, value)


def _arrays(params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters that have state: those of a network are one flat array."""
    return {"": params.flat} if isinstance(params, Params) else params


def _place(param: Any, params: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what identifies a parameter.

    Of an array these are the array itself, its shape and dtype, the array that owns its memory, and its part of it. Of
    a number, which is another object after each step, it is the mapping that holds it.
    """
    if not isinstance(param, np.ndarray):
        return None, (), dtype_of(param), params
    owner = param
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    offset = param.__array_interface__["data"][0] - owner.__array_interface__["data"][0]
    return param, param.shape, param.dtype, owner, offset, param.strides


def _is_at(place: tuple[Any, ...], param: Any, params: Mapping[str, Any]) -> bool:
    """Return whether a parameter is that of a place: in most calls it is the same array."""
    if param is place[0] and param.shape == place[1] and param.dtype == place[2]:
        return True
    other = _place(param, params)
    return place[3] is other[3] and place[1:3] + place[4:] == other[1:3] + other[4:]


class SGD(Optimizer):
    """Gradient descent: ``w <- w - learning_rate g``.

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    References
    ----------
    Lecture notes, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> params = {"W": np.array([1.0, 2.0])}
    >>> fnn.SGD(0.5).update(params, {"W": np.array([1.0, -1.0])})
    >>> params["W"]
    array([0.5, 2.5])
    """

    rule = "sgd"

    def __init__(self, learning_rate: Rate = RATE, *, lr: Rate | None = None, clip_norm: float | None = None) -> None:
        super().__init__(learning_rate, lr, clip_norm)


class Momentum(Optimizer):
    """Gradient descent with momentum.

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    momentum : float, default 0.9
        In [0, 1].
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    With the velocity v, which starts at 0: ::

        v <- momentum v - learning_rate g
        w <- w + v

    References
    ----------
    B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> params, optimizer = {"w": 1.0}, fnn.Momentum(0.1, momentum=0.5)
    >>> for _ in range(3):
    ...     optimizer.update(params, {"w": 1.0})
    >>> round(params["w"], 4)
    0.575
    """

    rule: ClassVar[str] = "momentum"
    states: ClassVar[int] = 1

    def __init__(
        self,
        learning_rate: Rate = RATE,
        momentum: float = 0.9,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, lr, clip_norm, momentum=validation.unit_interval("momentum", momentum))


class Nesterov(Optimizer):
    """Nesterov's accelerated gradient.

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    momentum : float, default 0.9
        In [0, 1].
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    The step looks ahead by the next step of the velocity v, which starts at 0: ::

        v <- momentum v - learning_rate g
        w <- w + momentum v - learning_rate g

    References
    ----------
    Y. Nesterov, 1983, in the form of Y. Bengio, N. Boulanger-Lewandowski and R. Pascanu, "Advances in Optimizing
    Recurrent Networks", ICASSP 2013.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> params, optimizer = {"w": 1.0}, fnn.Nesterov(0.1, momentum=0.5)
    >>> for _ in range(3):
    ...     optimizer.update(params, {"w": 1.0})
    >>> round(params["w"], 4)
    0.4875
    """

    rule: ClassVar[str] = "nesterov"
    states: ClassVar[int] = 1

    def __init__(
        self,
        learning_rate: Rate = RATE,
        momentum: float = 0.9,
        *,
        lr: Rate | None = None,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, lr, clip_norm, momentum=validation.unit_interval("momentum", momentum))


class AdaGrad(Optimizer):
    """AdaGrad: the step of each parameter shrinks with the sum of its squared gradients.

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    epsilon : float, default 1e-7
        Finite, above 0; it avoids the division of a gradient of 0 by 0.
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    With h, which starts at 0: ::

        h <- h + g^2
        w <- w - learning_rate g / (sqrt(h) + epsilon)

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive Subgradient Methods", JMLR 12, 2011.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> params, optimizer = {"w": 1.0}, fnn.AdaGrad(0.1)
    >>> for _ in range(3):
    ...     optimizer.update(params, {"w": 1.0})
    >>> round(params["w"], 4)
    0.7716
    """

    rule: ClassVar[str] = "adagrad"
    states: ClassVar[int] = 1

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
    """RMSprop: AdaGrad with a moving average of the squared gradients.

    Parameters
    ----------
    learning_rate : float or callable, default 0.01
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    decay_rate : float, default 0.99
        Share in [0, 1) of the average that each step keeps.
    epsilon : float, default 1e-7
        Finite, above 0.
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    With h, which starts at 0: ::

        h <- decay_rate h + (1 - decay_rate) g^2
        w <- w - learning_rate g / (sqrt(h) + epsilon)

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: RMSprop", Coursera, 2012.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> params, optimizer = {"w": 1.0}, fnn.RMSprop(0.1, decay_rate=0.5)
    >>> for _ in range(3):
    ...     optimizer.update(params, {"w": 1.0})
    >>> round(params["w"], 4)
    0.6362
    """

    rule: ClassVar[str] = "rmsprop"
    states: ClassVar[int] = 1

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
    """Adam: moving averages of the gradient and of its square.

    Parameters
    ----------
    learning_rate : float or callable, default 0.001
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    beta1, beta2 : float, default 0.9 and 0.999
        Shares in [0, 1) of the averages that each step keeps.
    epsilon : float, default 1e-8
        Finite, above 0; the default is 1e-7 with `book`.
    book : bool, default False
        Add epsilon before the bias correction instead of after it, as in the book's code, Keras and scikit-learn.
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    With m and v, which start at 0, step t from 1 is ::

        m <- beta1 m + (1 - beta1) g
        v <- beta2 v + (1 - beta2) g^2
        m' = m / (1 - beta1^t),  v' = v / (1 - beta2^t)
        w <- w - learning_rate m' / (sqrt(v') + epsilon)

    and with `book` ::

        r = learning_rate sqrt(1 - beta2^t) / (1 - beta1^t)
        w <- w - r m / (sqrt(v) + epsilon)

    References
    ----------
    D. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1; with `book` the other
    form in section 2.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> params, optimizer = {"w": 1.0}, fnn.Adam(0.1)
    >>> for _ in range(3):
    ...     optimizer.update(params, {"w": 1.0})
    >>> round(params["w"], 4)
    0.7
    """

    rule: ClassVar[str] = "adam"
    states: ClassVar[int] = 2

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
        self.book: bool = validation.boolean("book", book)
        epsilon = BOOK_EPSILON if self.book and isinstance(epsilon, _Default) else epsilon
        super().__init__(learning_rate, lr, clip_norm, **_adam_settings(beta1, beta2, epsilon))

    def _options(self) -> dict[str, bool]:
        return {"book": True} if self.book else {}

    def _arguments(self) -> tuple[float, ...]:
        beta1, beta2, epsilon = self.settings.values()
        if self.book:  # the kernel adds epsilon to sqrt(v'), which is larger than sqrt(v) by this factor
            epsilon /= math.sqrt(1 - beta2**self.steps)
        return beta1, beta2, epsilon, self.steps


class AdamW(Optimizer):
    """Adam with decoupled weight decay: the weights shrink by a factor before each step of `Adam`.

    Parameters
    ----------
    learning_rate : float or callable, default 0.001
        Finite, not negative; or a schedule of `fastfnn.schedules`, or another function from the number of a step, from
        0, to its rate.
    beta1, beta2 : float, default 0.9 and 0.999
        Shares in [0, 1) of the averages that each step keeps.
    epsilon : float, default 1e-8
        Finite, above 0.
    weight_decay : float, default 0.01
        Finite, not negative. It acts on all parameters, also on biases.
    lr : float or callable, optional
        Another name of `learning_rate`.
    clip_norm : float, optional
        Limit of the Euclidean norm of the gradient of all parameters together, above 0: a longer gradient is scaled
        down to it.

    Attributes
    ----------
    steps : int
        Number of steps since the state started.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    With m' and v' of `Adam` a step is ::

        w <- (1 - learning_rate weight_decay) w
        w <- w - learning_rate m' / (sqrt(v') + epsilon)

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> params, optimizer = {"w": 1.0}, fnn.AdamW(0.1, weight_decay=0.5)
    >>> for _ in range(3):
    ...     optimizer.update(params, {"w": 1.0})
    >>> round(params["w"], 4)
    0.5721
    """

    rule: ClassVar[str] = "adamw"
    states: ClassVar[int] = 2

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


# The optimizers by their names.
BY_NAME: dict[str, Callable[[], Optimizer]] = {
    kind.__name__: kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam, AdamW)
}


def checked_optimizer(value: Any) -> Optimizer:
    """Return the optimizer that `value` is, or a new one with default settings of the class that it names."""
    if isinstance(value, Optimizer):
        return value
    if not isinstance(value, str):
        got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"optimizer must be an optimizer such as SGD(0.1), or the name of one; got {got}")
    return BY_NAME[validation.choice("optimizer", value, tuple(BY_NAME), names.OPTIMIZERS)]()
