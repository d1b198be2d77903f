"""What a library must offer to be measured."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np

from fastfnn.bench.cases import CHECKED_ROWS, CHECKED_STEPS, Case, Data


class Unsupported(Exception):
    """The library cannot do this case; the message says why."""


class Peer(ABC):
    """A library with a case's network, data and initial weights.

    variant   which of several ways it has chosen as the fastest, or ""
    remarks   what the user should know, such as a way that failed
    versions  the versions of its packages by name
    """

    versions: ClassVar[dict[str, str]]
    case: Case
    data: Data

    def __init__(self, case: Case, data: Data) -> None:
        self.case, self.data = case, data
        self.variant = ""
        self.remarks: list[str] = []
        self.rng: np.random.Generator = np.random.default_rng(0)

    @abstractmethod
    def reset(self) -> None:
        """Start again with the initial weights and a new optimizer."""

    @abstractmethod
    def train(self, passes: int) -> None:
        """Train for a number of passes over the data; returns when everything has been computed.

        The batches are drawn anew for each pass. If a pass has one batch, it holds all samples in order.
        """

    @abstractmethod
    def losses(self, steps: int) -> list[float]:
        """The mean loss of the first batch before each of `steps` steps on it."""

    @abstractmethod
    def predict(self) -> np.ndarray:
        """The network's output, probabilities or values, for all samples: (N, K), or an array library's own array."""

    def work(self, passes: int) -> None:
        """Train or predict for a number of passes over the data: this is timed."""
        if self.case.predict:
            for _ in range(passes):
                self.predict()
        else:
            self.train(passes)

    def check(self) -> list[float]:
        """The numbers that must agree with those of `cases.reference`."""
        self.reset()
        if self.case.predict:
            rows = np.asarray(self.predict())[:CHECKED_ROWS]
            return [float(value) for value in rows.ravel()]
        return self.losses(CHECKED_STEPS)

    def order(self) -> np.ndarray:
        """The batches of a pass, as indices of samples (steps, B)."""
        return self.rng.permutation(self.case.samples).reshape(self.case.steps, self.case.batch_size)


def seconds_of(action: Callable[[], None], least: float = 0.0) -> float:
    """The shortest time of a call of `action`. Calls go on for `least` seconds; there is at least one."""
    shortest, begin = float("inf"), time.perf_counter()
    while True:
        start = time.perf_counter()
        action()
        stop = time.perf_counter()
        shortest = min(shortest, stop - start)
        if stop - begin >= least:
            return shortest
