"""Schedules: learning rates that change from step to step.

Every optimizer takes one in place of its learning rate:

    fnn.SGD(fnn.schedules.Cosine(0.1, steps=10_000))

A schedule is a function of the number of a step. The optimizer counts its steps from 0: on through a second `fit`, and
from 0 again after `reset` or with other parameters. An epoch of `fit` has ceil(N / batch_size) steps, so whoever thinks
in epochs writes

    per_epoch = math.ceil(len(x) / batch_size)
    Step(0.1, every=10 * per_epoch)           # a tenth of the rate after each 10 epochs
    Exponential(0.1, 0.95, every=per_epoch)   # 5 % less after each epoch, a little of it at every step
    Cosine(0.1, steps=epochs * per_epoch)     # down to 0 at the end of the run

Any other function from the number of a step, an int, to its rate will do as well; it is called once for each step.
"""

import abc
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation


@dataclass(frozen=True)
class Schedule(abc.ABC):
    """What all schedules share. They do not change, and are equal where their numbers are."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.type is int
            checked = validation.integer(field.name, value, 1) if whole else validation.nonnegative(field.name, value)
            object.__setattr__(self, field.name, checked)

    def __call__(self, step: npt.ArrayLike) -> Any:
        """The rate of step number `step`, from 0: a float, or for an array of such numbers an array of its shape."""
        steps = validation.real_array("step", step, np.float64)
        if (steps < 0).any():
            raise ValueError(f"step must not be negative, got {steps.min():g}")
        # Of one axis at least: for single numbers NumPy has another power, which can round otherwise.
        with np.errstate(over="ignore", invalid="ignore"):
            rates = self._rates(np.atleast_1d(steps)).reshape(steps.shape)
        return rates if rates.ndim else float(rates)

    @abc.abstractmethod
    def _rates(self, steps: np.ndarray) -> np.ndarray:
        """The rates of `steps` (S,) float64: (S,) float64."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step.

    rate  finite, not negative
    """

    rate: float

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return np.full(steps.shape, self.rate)


@dataclass(frozen=True)
class Step(Schedule):
    """A rate that falls in steps: rate * factor^floor(step / every).

    rate, factor  finite, not negative
    every         steps between two changes, at least 1
    """

    rate: float
    every: int
    factor: float = 0.1

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return self.rate * self.factor ** (steps // self.every)


@dataclass(frozen=True)
class Exponential(Schedule):
    """A rate that falls a little at every step: rate * decay^(step / every).

    rate, decay  finite, not negative
    every        steps in which the rate is multiplied by `decay`, at least 1
    """

    rate: float
    decay: float
    every: int = 1

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return self.rate * self.decay ** (steps / self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a wave from `rate` down to `final`: final + (rate - final) (1 + cos(pi step / steps)) / 2, then `final`.

    rate, final  finite, not negative
    steps        the number of the first step with rate `final`, at least 1

    Source: Loshchilov and Hutter 2017, equation 5, without restarts.
    """

    rate: float
    steps: int
    final: float = 0.0

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        share = (1 + np.cos(np.pi * np.minimum(steps / self.steps, 1))) / 2
        return self.rate * share + self.final * (1 - share)


@dataclass(frozen=True)
class InverseScaling(Schedule):
    """A rate that falls with a power of time: rate / t^power, where t = step + 1.

    rate, power  finite, not negative

    Source: "invscaling" of scikit-learn's linear models, where t counts steps too. Its multilayer perceptrons count
    samples instead, and change the rate after an epoch only.
    """

    rate: float
    power: float = 0.5

    def _rates(self, steps: np.ndarray) -> np.ndarray:
        return self.rate / (steps + 1) ** self.power
