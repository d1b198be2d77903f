"""Schedules: learning rates that change from step to step.

Every optimizer takes a schedule in place of its learning rate:

    fnn.SGD(fnn.schedules.Cosine(0.1, steps=10_000))

A schedule is a function of the number of a step. The optimizer counts its steps from 0, continues in a second `fit`,
and starts again at 0 after `reset` or with other parameters. An epoch of `fit` has ``ceil(N / batch_size)`` steps, so a
schedule in epochs is written

    per_epoch = math.ceil(len(x) / batch_size)
    Step(0.1, every=10 * per_epoch)           # a tenth of the rate after each 10 epochs
    Exponential(0.1, 0.95, every=per_epoch)   # 5 % less after each epoch, a little at every step
    Cosine(0.1, steps=epochs * per_epoch)     # down to 0 at the end of the run

Any other function from the number of a step, an int, to its rate works too; it is called once for each step.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation


@dataclass(frozen=True)
class Schedule(abc.ABC):
    """Base class of the schedules: immutable, compared by value."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"  # annotations are text in this module
            checked = validation.integer(field.name, value, 1) if whole else validation.nonnegative(field.name, value)
            object.__setattr__(self, field.name, checked)

    def __call__(self, step: npt.ArrayLike) -> Any:
        """Return the learning rate of a step.

        Parameters
        ----------
        step : int or array of int
            Number of the step, from 0.

        Returns
        -------
        float or float64 array
            In the shape of `step`.

        Raises
        ------
        TypeError, ValueError
            If `step` does not hold numbers of at least 0.
        """
        steps = validation.real_array("step", step, np.float64)
        if (steps < 0).any():
            raise ValueError(f"step must not be negative, got {steps.min():g}")
        # At least one axis: NumPy's power of a single number is another function, which can round differently.
        with np.errstate(over="ignore", invalid="ignore"):
            rates = self._rates(np.atleast_1d(steps)).reshape(steps.shape)
        return rates if rates.ndim else float(rates)

    @abc.abstractmethod
    def _rates(self, steps: np.ndarray) -> np.ndarray:
        """Return the rates (S,) of `steps` (S,), both float64."""


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate.

    Parameters
    ----------
    rate : float
        Finite, not negative.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Examples
    --------
    >>> from fastfnn.schedules import Constant
    >>> Constant(0.1)(1000)
    0.1
    """

    rate: float

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return np.full(steps.shape, self.rate)


@dataclass(frozen=True)
class Step(Schedule):
    """A learning rate that falls in steps: ``rate * factor^floor(step / every)``.

    Parameters
    ----------
    rate : float
        Rate of the first `every` steps; finite, not negative.
    every : int
        Steps between two changes, at least 1.
    factor : float, default 0.1
        Finite, not negative.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Examples
    --------
    >>> from fastfnn.schedules import Step
    >>> Step(1.0, every=100, factor=0.5)([0, 99, 100, 200])
    array([1.  , 1.  , 0.5 , 0.25])
    """

    rate: float
    every: int
    factor: float = 0.1

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return self.rate * self.factor ** (steps // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """A learning rate that falls a little at every step: ``rate * decay^(step / every)``.

    Parameters
    ----------
    rate : float
        Rate of the first step; finite, not negative.
    decay : float
        Factor after `every` steps; finite, not negative.
    every : int, default 1
        At least 1.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Examples
    --------
    >>> from fastfnn.schedules import Exponential
    >>> Exponential(1.0, decay=0.5, every=100)([0, 50, 100, 200]).round(4)
    array([1.    , 0.7071, 0.5   , 0.25  ])
    """

    rate: float
    decay: float
    every: int = 1

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return self.rate * self.decay ** (steps / self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine wave from `rate` to `final`: ``final + (rate - final) (1 + cos(pi step / steps)) / 2``.

    Parameters
    ----------
    rate : float
        Rate of the first step; finite, not negative.
    steps : int
        Number of the step from which on the rate is `final`, at least 1.
    final : float, default 0
        Finite, not negative.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, equation 5, without
    restarts.

    Examples
    --------
    >>> from fastfnn.schedules import Cosine
    >>> Cosine(1.0, steps=100)([0, 25, 50, 100, 200]).round(4)
    array([1.    , 0.8536, 0.5   , 0.    , 0.    ])
    """

    rate: float
    steps: int
    final: float = 0.0

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        share = (1 + np.cos(np.pi * np.minimum(steps / self.steps, 1))) / 2
        return self.rate * share + self.final * (1 - share)


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """A learning rate that falls with a power of time: ``rate / (step + 1)^power``.

    Parameters
    ----------
    rate : float
        Rate of the first step; finite, not negative.
    power : float, default 0.5
        Finite, not negative.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    This is "invscaling" of scikit-learn's linear models, which also count steps. Its multilayer perceptrons count
    samples and change the rate once per epoch.

    Examples
    --------
    >>> from fastfnn.schedules import InverseScaling
    >>> InverseScaling(1.0)([0, 3, 99])
    array([1. , 0.5, 0.1])
    """

    rate: float
    power: float = 0.5

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return self.rate / (steps + 1) ** self.power
