"""How a trainer takes steps on samples: the seam between the loops over epochs and the kernels.

`training.Training` and the estimators' `Training` decide which samples come in what order and at what rates; what is
called here takes the steps.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from fastfnn.base import NOTHING
from fastfnn.optimizers import Optimizer
from fastfnn.snapshot import TrainingState


class Steps(Protocol):
    """Takes steps of training.

    Parameters
    ----------
    losses : (S,) float64 array
        Gets the mean loss of each batch before its update.
    x, targets, weights : (N, I), (N,) or (N, K), and (N,) or (0,) array
        Samples, as `kernels.train_steps` takes them.
    orders : (E, M) int64 array
        Which samples, in what order; (E, 0) stands for all of them as they come.
    rates : (S,) float64 array
        Learning rates.
    half_squares : (S,) float64 array, optional
        Gets half the sum of the squares of all weights before each update.
    batch_weights : (S,) float64 array, optional
        What the loss of each batch is divided by, in place of the number of its samples.
    before : int
        Steps since those that the optimizer has counted.
    """

    def __call__(
        self,
        losses: np.ndarray,
        x: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        orders: np.ndarray,
        rates: np.ndarray,
        half_squares: np.ndarray = NOTHING,
        batch_weights: np.ndarray = NOTHING,
        before: int = 0,
    ) -> None: ...


class CompiledSteps:
    """Steps of the compiled loop, in this process; see `Steps`.

    Parameters
    ----------
    net : FNN
    state : TrainingState
        What the steps change.
    batch_size : int
        Samples per step.
    more_settings : mapping of str to float, optional
        Settings of the kernels besides those of network and optimizer.
    """

    net: Any
    state: TrainingState
    optimizer: Optimizer
    batch_size: int
    more_settings: Mapping[str, float] | None

    def __init__(
        self, net: Any, state: TrainingState, batch_size: int, more_settings: Mapping[str, float] | None = None
    ) -> None:
        self.net, self.state, self.optimizer = net, state, state.optimizer
        self.batch_size, self.more_settings = batch_size, more_settings
        self.codes: np.ndarray = net._codes("identity")

    def __call__(
        self,
        losses: np.ndarray,
        x: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray,
        orders: np.ndarray,
        rates: np.ndarray,
        half_squares: np.ndarray = NOTHING,
        batch_weights: np.ndarray = NOTHING,
        before: int = 0,
    ) -> None:
        net, optimizer, (first, second) = self.net, self.optimizer, self.state.moments
        settings = optimizer.flat_settings()
        if self.more_settings:
            settings = {**settings, **self.more_settings}
        net._kernels.train_steps(
            net._flat, first, second, net._statistics, losses, half_squares, x, targets, weights, batch_weights, orders,
            rates, net._sizes, self.codes, net._settings(settings), net._loss_parameters, net._loss_code,
            optimizer.code, self.batch_size, optimizer.steps + before,
        )  # fmt: skip
