"""Divergence: the error, and the warning in its place, of a training whose loss or parameters are no longer finite."""

import math

from fastfnn import streams
from fastfnn.history import History


class DivergenceError(FloatingPointError):
    """Training diverged: a loss, a parameter or a running statistic became NaN or infinite.

    Parameters
    ----------
    message : str
        What happened, where, and what to try.
    epoch, step : int
        Numbers of the epoch and of the step, from 1, counted from the beginning of this `FNN.fit`.
    learning_rate : float
        Learning rate of the step.

    Attributes
    ----------
    epoch, step : int
        The arguments of these names.
    learning_rate : float
        The argument of this name.

    Notes
    -----
    After `FNN.fit` the network and its optimizer are as they were after the last good epoch: parameters, running
    statistics, and the optimizer's state and `steps`. ``net.history`` ends with this epoch; its ``step_loss`` ends with
    the loss of the step of the error. After `FNN.partial_fit`, which keeps no copy, they are as the step left them.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((1, 1), loss="squared_error", seed=0)
    >>> try:
    ...     net.fit([[1.0], [2.0]], [1.0, 2.0], epochs=100, optimizer=fnn.SGD(1e9))
    ... except fnn.DivergenceError as error:
    ...     print(error.epoch, net.history.epochs)
    5 4
    """

    epoch: int
    step: int
    learning_rate: float

    def __init__(self, message: str, epoch: int = 0, step: int = 0, learning_rate: float = math.nan) -> None:
        super().__init__(message)
        self.epoch, self.step, self.learning_rate = epoch, step, learning_rate


def divergence_error(
    loss: float, epoch: int, step: int, rate: float, optimizer: object, finite_before: bool | None
) -> DivergenceError:
    """Return the error for a step.

    Parameters
    ----------
    loss : float
        Loss of the step. If it is finite, the state after the step is not.
    epoch, step, rate
        See `DivergenceError`.
    optimizer : Optimizer
    finite_before : bool or None
        Whether the state before the epoch, which the network has again, was finite; None if it is as the step left it.
    """
    what = "parameters or running statistics became infinite" if math.isfinite(loss) else f"the loss became {loss:g}"
    where = f"{what} in step {step} (epoch {epoch})"
    if finite_before is False:
        message = f"{where}: the parameters or running statistics were not finite before this epoch"
    else:
        now = "as before this epoch" if finite_before else "as this step left it"
        message = (
            f"training diverged: {where}, at learning rate {rate:g} of {optimizer!r}. The network is {now}. "
            "Try a smaller learning rate, clip_norm=1.0 in the optimizer, or inputs (and targets of a squared "
            'error) with mean 0 and standard deviation 1; on_divergence="warn" goes on'
        )
    return DivergenceError(message, epoch, step, rate)


def warn_if_diverged(history: History, finite: bool, level: int) -> None:
    """Warn if the last training loss, or the state after it, is not finite; `level` is the `stacklevel` from here."""
    loss_is_finite = math.isfinite(history.loss[-1])
    if not (loss_is_finite and finite):
        what = "parameters are" if loss_is_finite else "training loss is"
        message = f"the {what} not finite: try a smaller learning rate"
        streams.warn(message, RuntimeWarning, stacklevel=level)
