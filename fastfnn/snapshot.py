"""What training changes, and copies of it to go back to.

`fitting.TrainingLoop` takes steps and copies; nothing here does either by itself.
"""

import numpy as np

from fastfnn.backend import all_finite
from fastfnn.optimizers import Optimizer


class TrainingState:
    """What steps of training change: parameters, running statistics, and the optimizer's state and count of steps.

    Parameters
    ----------
    params, statistics : (P,) and (Q,) array
        The flat parameters and running statistics of a network.
    moments : pair of array
        The state vectors of the optimizer.
    optimizer : Optimizer

    Attributes
    ----------
    taken : int
        Steps since this training began.
    """

    params: np.ndarray
    statistics: np.ndarray
    moments: tuple[np.ndarray, np.ndarray]
    optimizer: Optimizer

    def __init__(
        self, params: np.ndarray, statistics: np.ndarray, moments: tuple[np.ndarray, np.ndarray], optimizer: Optimizer
    ) -> None:
        self.params, self.statistics, self.moments, self.optimizer = params, statistics, moments, optimizer
        self.taken = 0
        self.arrays: list[np.ndarray] = [array for array in (params, statistics, *moments) if array.size]

    def finite(self) -> bool:
        """Return whether parameters and running statistics are finite."""
        return bool(all_finite(self.params)) and (self.statistics.size == 0 or bool(all_finite(self.statistics)))


class Snapshot:
    """A copy of a `TrainingState`.

    Notes
    -----
    An exception, such as KeyboardInterrupt, may come at any moment of `take` or `restore`; `restore` then goes to the
    state of the copy if there is a whole one. If not, `take` was interrupted and the state itself is what was copied.
    """

    steps: int
    taken: int
    complete: bool

    def __init__(self, state: TrainingState) -> None:
        self.state = state
        self.copies: list[np.ndarray] = []
        self.complete = False

    def take(self) -> None:
        """Copy the state."""
        self.complete = False
        if self.copies:
            for copy, array in zip(self.copies, self.state.arrays, strict=True):
                np.copyto(copy, array)
        else:
            self.copies = [array.copy() for array in self.state.arrays]
        self.steps, self.taken = self.state.optimizer.steps, self.state.taken
        self.complete = True

    def put(self, copies: list[np.ndarray], steps: int, taken: int) -> None:
        """Take copies that were made before: of the state's arrays, the optimizer's steps and the steps taken."""
        self.copies, self.steps, self.taken, self.complete = copies, steps, taken, True

    def restore(self) -> None:
        """Give the state the values of the copy."""
        if self.complete:
            for copy, array in zip(self.copies, self.state.arrays, strict=True):
                np.copyto(array, copy)
            self.state.optimizer.steps, self.state.taken = self.steps, self.taken
