"""Losses: what training minimizes, with its parameters, and the output activation that belongs to it.

`FNN` takes a loss by its name, which stands for the object with the default parameters, or as an object:

    fnn.FNN((8, 64, 1), loss="huber")
    fnn.FNN((8, 64, 1), loss=fnn.losses.Huber(delta=2.0))

The names of Keras, PyTorch and scikit-learn, such as "mse", stand for these losses, too (`fastfnn.names`). Mind that
"mse" there is the mean over the outputs without the factor 1/2, here half the sum over them: with one output, loss and
gradient are half as large. The minimum is the same. `fastfnn.Loss` makes a loss of two functions that a user writes.

The loss of a network is the mean of E_i over the samples i. The equations below leave out the i: for one sample they
give E from its outputs ``y_k`` and targets ``t_k``, k = 1 to K. The kernels compute E and its gradient together with
the output activation, from what goes into it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from fastfnn import names, validation
from fastfnn.loss import Loss, LossBase


@dataclass(frozen=True)
class SoftmaxCrossEntropy(LossBase):
    """Cross-entropy of classes that exclude each other: ``E = -sum_k t_k log y_k`` with ``y = softmax(u)``.

    Parameters
    ----------
    label_smoothing : float, default 0
        Smoothing s in [0, 1): the targets, labels or rows that sum to 1, become ``(1 - s) t_k + s / K``, in training
        and in every loss that is reported.

    Raises
    ------
    TypeError, ValueError
        If `label_smoothing` is no number in [0, 1).

    References
    ----------
    Lecture notes, section 3. Label smoothing: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking
    the Inception architecture for computer vision", CVPR 2016.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 3), loss=fnn.losses.SoftmaxCrossEntropy(label_smoothing=0.1), init=0.0)
    >>> round(net.loss([[1.0, 2.0]], [2]), 4)  # -log(1/3) for each class
    1.0986
    """

    label_smoothing: float = 0.0

    name: ClassVar[str] = "softmax_cross_entropy"
    output_activation: ClassVar[str] = "softmax"
    has_accuracy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _store(self, label_smoothing=validation.fraction("label_smoothing", self.label_smoothing))


@dataclass(frozen=True)
class SigmoidCrossEntropy(LossBase):
    """Cross-entropy of classes that do not exclude each other, or of two classes as one output.

    ``E = -sum_k (t_k log y_k + (1 - t_k) log(1 - y_k))`` with ``y = sigmoid(u)``.

    Parameters
    ----------
    label_smoothing : float, default 0
        Smoothing s in [0, 1): the targets, in [0, 1], become ``(1 - s) t_k + s / 2``, in training and in every loss
        that is reported.

    Raises
    ------
    TypeError, ValueError
        If `label_smoothing` is no number in [0, 1).

    References
    ----------
    Lecture notes, section 3. Label smoothing: see `SoftmaxCrossEntropy`.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 1), loss=fnn.losses.SigmoidCrossEntropy(label_smoothing=0.1), init=0.0)
    >>> round(net.loss([[1.0, 2.0]], [1.0]), 4)  # -log(1/2)
    0.6931
    """

    label_smoothing: float = 0.0

    name: ClassVar[str] = "sigmoid_cross_entropy"
    output_activation: ClassVar[str] = "sigmoid"
    has_accuracy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _store(self, label_smoothing=validation.fraction("label_smoothing", self.label_smoothing))


@dataclass(frozen=True)
class SquaredError(LossBase):
    """Half the squared distance to the targets: ``E = 1/2 sum_k (y_k - t_k)^2``. It is least at their mean.

    References
    ----------
    Lecture notes, section 3.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 1), loss=fnn.losses.SquaredError(), init=0.0)
    >>> net.loss([[1.0, 2.0]], [3.0])
    4.5
    """

    name: ClassVar[str] = "squared_error"


@dataclass(frozen=True)
class Poisson(LossBase):
    """Half the Poisson deviance, for counts and other targets of at least 0: the network computes their logarithm.

    ``E = sum_k y_k - t_k + t_k log(t_k / y_k)`` with ``y = exp(u)`` and ``0 log 0 = 0``. It is 0 where ``y = t``.

    References
    ----------
    P. McCullagh and J. Nelder, "Generalized Linear Models", 2nd edition, 1989, section 2.3.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 1), loss=fnn.losses.Poisson(), init=0.0)
    >>> net.predict([[1.0, 2.0]]).tolist(), net.loss([[1.0, 2.0]], [0.0])
    ([[1.0]], 1.0)
    """

    name: ClassVar[str] = "poisson"
    output_activation: ClassVar[str] = "exp"


@dataclass(frozen=True)
class Huber(LossBase):
    """The squared error where it is small, the absolute error where it is large: outliers weigh less.

    Parameters
    ----------
    delta : float, default 1
        Where the one ends and the other begins, above 0.

    Raises
    ------
    TypeError, ValueError
        If `delta` is no finite number above 0.

    Notes
    -----
    ``E = sum_k h(y_k - t_k)`` with ``h(r) = r^2 / 2`` if ``|r| <= delta``, else ``delta (|r| - delta / 2)``.

    References
    ----------
    P. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 1), loss=fnn.losses.Huber(delta=2.0), init=0.0)
    >>> net.loss([[1.0, 2.0]], [1.0]), net.loss([[1.0, 2.0]], [10.0])
    (0.5, 18.0)
    """

    delta: float = 1.0

    name: ClassVar[str] = "huber"

    def __post_init__(self) -> None:
        _store(self, delta=validation.positive("delta", self.delta))


@dataclass(frozen=True)
class AbsoluteError(LossBase):
    """The sum of the distances to the targets: ``E = sum_k |y_k - t_k|``. It is least at their median.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 1), loss=fnn.losses.AbsoluteError(), init=0.0)
    >>> net.loss([[1.0, 2.0]], [3.0])
    3.0
    """

    name: ClassVar[str] = "absolute_error"


@dataclass(frozen=True)
class Quantile(LossBase):
    """The pinball loss, which is least where the outputs are quantiles of the targets.

    Parameters
    ----------
    levels : float or sequence of float, default 0.5
        ``q_k`` in (0, 1), one for each output, or one for all: the share of the targets that are to be below the
        prediction.

    Raises
    ------
    TypeError, ValueError
        If `levels` is no number in (0, 1) and no sequence of such numbers, or is empty.

    Notes
    -----
    ``E = sum_k max(q_k (t_k - y_k), (q_k - 1) (t_k - y_k))``. Its derivative where ``y_k = t_k`` is taken as 0. Nothing
    keeps the quantiles of a sample in the order of their levels. For several quantiles of one quantity its targets are
    repeated, one column for each level.

    References
    ----------
    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46, 1978.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> net = fnn.FNN((2, 2), loss=fnn.losses.Quantile(levels=(0.25, 0.75)), init=0.0)
    >>> net.loss([[1.0, 2.0]], [[4.0, 4.0]])  # 0.25 * 4 + 0.75 * 4
    4.0
    """

    levels: float | Sequence[float] = 0.5

    name: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        levels = self.levels
        if isinstance(levels, np.ndarray):
            levels = levels.tolist()
        if not isinstance(levels, Sequence) or isinstance(levels, (str, bytes)):
            _store(self, levels=_level("levels", levels))
            return
        if not levels:
            raise ValueError("levels must be a number, or one for each output, got none")
        _store(self, levels=tuple(_level(f"levels[{k}]", level) for k, level in enumerate(levels)))

    def parameters(self, outputs: int) -> np.ndarray:
        """Return the level of each output.

        :meta private:
        """
        levels = np.atleast_1d(np.array(self.levels, np.float64))
        if len(levels) not in (1, outputs):
            raise ValueError(
                f"levels must be one for all outputs, or one for each of {outputs} outputs, got {len(levels)}"
            )
        return np.full(outputs, levels)


# The losses by their names, in the order of the kernels' codes.
BY_NAME: dict[str, type[LossBase]] = {
    kind.name: kind
    for kind in (SoftmaxCrossEntropy, SigmoidCrossEntropy, SquaredError, Poisson, Huber, AbsoluteError, Quantile)
}


def checked_loss(value: Any) -> LossBase:
    """Return the loss that `value` is or names."""
    if isinstance(value, Loss) or type(value) in BY_NAME.values():
        loss: LossBase = value
        return loss
    if not isinstance(value, str):
        got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        kinds = f"one of {', '.join(BY_NAME)}, an object of fastfnn.losses or a fastfnn.Loss"
        raise TypeError(f"loss must be {kinds}; got {got}")
    return BY_NAME[validation.choice("loss", value, tuple(BY_NAME), names.LOSSES)]()


def described_loss(name: Any, options: Any, own: Mapping[str, Loss]) -> LossBase:
    """Return the loss of this name, built in or one of `own`, with the `options` that a file tells."""
    kind = BY_NAME.get(validation.choice("loss", name, (*BY_NAME, *own)))
    known = () if kind is None else tuple(field.name for field in fields(kind))  # type: ignore[arg-type]
    if not isinstance(options, dict):
        raise TypeError(f"loss_options must be a mapping, got {type(options).__name__}")
    for option in options:
        if option not in known:
            raise ValueError(f"loss_options of {name} must be some of {', '.join(known) or 'none'}; got {option!r}")
    return own[name] if kind is None else kind(**options)


def _store(loss: LossBase, **values: Any) -> None:
    """Set fields of an object that is immutable from now on."""
    for name, value in values.items():
        object.__setattr__(loss, name, value)


def _level(name: str, value: Any) -> float:
    """Return `value` as a float in (0, 1)."""
    number = validation.fraction(name, value)
    if number < validation.LEAST_POSITIVE:
        raise ValueError(f"{name} must be above 0 and below 1, got {value}")
    return number
