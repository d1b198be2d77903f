"""The book's `common.layers`, on the kernels.

As in the book, `Dropout` scales in predictions, `BatchNormalization` adds 10e-7 to the variance, and `SoftmaxWithLoss`
adds 1e-7 to the probabilities in its loss, but not in its gradient; see `fastfnn.layers` for what fastfnn has instead.
The layers of chapter 7 are not here.
"""

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fastfnn import layers
from fastfnn.arrays import rows
from fastfnn.book.common import functions
from fastfnn.book.common.functions import *  # noqa: F403  (the book's module has their names, too)
from fastfnn.book.common.functions import cross_entropy_error, softmax
from fastfnn.book.common.util import col2im, im2col
from fastfnn.functions import error_of_labels
from fastfnn.layers import Affine, Relu, Sigmoid

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "col2im",
    "im2col",
]
__all__ += functions.__all__

_EPSILON = 10e-7

# The star also brings np, of which pyright then knows no type: arrays are npt.NDArray[Any] here, not np.ndarray.


class SoftmaxWithLoss:
    """Softmax with the book's cross-entropy error.

    Attributes
    ----------
    loss : float or None
        The last loss.
    y : array or None
        Probabilities in the shape of x.
    t : array or None
        Targets as they were given.
    """

    def __init__(self) -> None:
        self.loss: float | None = None
        self.y: npt.NDArray[Any] | None = None
        self.t: npt.ArrayLike | None = None

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> float:
        """Compute the mean loss over the samples x (N, K), for labels t (N,) or rows (N, K)."""
        y, targets = softmax(x), np.asarray(t)
        if y.ndim == 2 and y.size and targets.shape == y.shape and targets.dtype.kind in "biuf":
            # Needs no check: gradient checks call this some hundred thousand times, on a few samples.
            loss = error_of_labels(y, targets.argmax(axis=1), functions.EPSILON)
        else:
            loss = cross_entropy_error(y, t)
        self.loss, self.y, self.t = loss, y, t
        return loss

    def backward(self, dout: npt.ArrayLike = 1) -> npt.NDArray[Any]:
        """Compute ``dx = (y - t) / N``; as in the book, dout is not used."""
        if self.y is None:
            raise RuntimeError("backward must follow a call of forward")
        y, t = rows(self.y), np.asarray(self.t)
        dx = y.copy()
        if t.size == y.size:
            dx -= t.reshape(y.shape)
        else:
            dx[np.arange(len(y)), t] -= 1
        dx /= len(y)
        return dx.reshape(self.y.shape)


class Dropout(layers.Dropout):
    """Dropout that keeps the scale in training and multiplies by ``1 - dropout_ratio`` in predictions."""

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        super().__init__(dropout_ratio, book=True)


class BatchNormalization(layers.BatchNormalization):
    """Batch normalization that adds 10e-7 to the variance."""

    def __init__(
        self,
        gamma: npt.ArrayLike,
        beta: npt.ArrayLike,
        momentum: float = 0.9,
        running_mean: npt.ArrayLike | None = None,
        running_var: npt.ArrayLike | None = None,
    ) -> None:
        super().__init__(gamma, beta, momentum, running_mean, running_var, epsilon=_EPSILON)


class _OfChapter7:
    """Base class of the layers that fastfnn does not have."""

    def __init__(self, *_arguments: Any, **_options: Any) -> NoReturn:
        name = type(self).__name__
        raise NotImplementedError(
            f"fastfnn has no {name}: it trains feed-forward networks, chapters 3 to 6 of the book"
        )


class Convolution(_OfChapter7):
    """Convolution: not available."""


class Pooling(_OfChapter7):
    """Max pooling: not available."""
