"""The layers of the book 'Deep Learning from Scratch' and of section 5 of the notes, on the compiled kernels.

    from fastfnn.layers import *

brings classes with `forward` and `backward`, of which networks are built by hand. A layer holds the arrays that it is
given, not copies: a change of them in place is a change of the layer. Results are new arrays, float32 where that is
NumPy's result type for x and the parameters, else float64. NaN and infinity propagate. `backward` belongs to the
`forward` before it, and takes the gradient with respect to what that returned.

Where the book or the notes slip, what is right is implemented:

- `Relu.backward` and all others leave the caller's array as it is; the notes' overwrites it.
- `SoftmaxWithLoss.backward(dout)` multiplies by dout; the book's ignores it. Its loss is computed from the logits:
  the book adds 1e-7 to the probabilities first, see `fastfnn.functions`. Rows of targets may be soft.
- `Dropout` scales in training and not in prediction, so that a network predicts as if there were no such layer. In the
  book it is the other way round, which comes to the same on average: `Dropout(ratio, book=True)`.
- `BatchNormalization` adds 1e-5 to the variance, as is common; the book adds 10e-7, which is 1e-6: `epsilon=10e-7`.
"""

import math
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.arrays import activate, flat_samples, outputs_and_targets, real_array, real_arrays, rows, same_shape
from fastfnn.backend import BACKENDS

__all__ = [
    "Affine",
    "BatchNormalization",
    "Dropout",
    "IdentityWithLoss",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "Tanh",
]

kernels = BACKENDS["kernels"]

Value = TypeVar("Value")


class Affine:
    """An affine map of each sample: out = x W + b.

    W                 (I, O)  read at every call
    b                 (O,)    read at every call
    x                 (N, I)  what the last forward took, a row for each sample
    original_x_shape          the shape in which it came
    dW, db                    the gradients with respect to W and b, new arrays with every backward

    Source: section 5 of the notes.
    """

    def __init__(self, W: npt.ArrayLike, b: npt.ArrayLike) -> None:
        self.W = real_array("W", W)
        self.b = real_array("b", b)
        _check_affine(self.W, self.b)
        self.x: np.ndarray | None = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: np.ndarray | None = None
        self.db: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike) -> np.ndarray:
        """x W + b, (N, O).

        x  (N, I), or (N, ...) of any rank with I numbers for each sample
        """
        array, weight, bias = real_arrays(x=x, W=self.W, b=self.b)
        _check_affine(weight, bias)
        self.x, self.original_x_shape = _samples(array, len(weight)), array.shape
        out = np.empty((len(array), len(bias)), array.dtype)
        kernels.affine_forward(out, self.x, weight, bias)
        return out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """dx = dout W^T in the shape of x; sets dW = x^T dout and db, the sum of dout over the samples.

        dout  (N, O)
        """
        grad_out, x, weight, bias = real_arrays(dout=dout, x=_of_forward(self.x), W=self.W, b=self.b)
        _check_affine(weight, bias)
        _samples(x, len(weight))
        same_shape(grad_out, (len(x), len(bias)))
        dx, dW, db = (np.empty(array.shape, array.dtype) for array in (x, weight, bias))
        kernels.affine_backward(dx, dW, db, grad_out, x, weight)
        self.dW, self.db = dW, db
        return dx.reshape(_of_forward(self.original_x_shape))


class Relu:
    """The rectified linear unit, out = max(x, 0), for x of any shape.

    mask  where the last x was not positive; backward reads this, not the output, which the caller may have changed
    """

    def __init__(self) -> None:
        self.mask: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike) -> np.ndarray:
        """max(x, 0), a new array."""
        out = activate("relu", x)
        self.mask = out <= 0
        return out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """dx = dout, or 0 where x was not positive; a new array."""
        mask = _of_forward(self.mask)
        (grad_out,) = real_arrays(dout=dout)
        same_shape(grad_out, mask.shape)
        dx: np.ndarray = np.where(mask, 0, grad_out)
        return dx


class _Smooth:
    """A layer whose derivative is a function of its output.

    out  what the last forward returned, and backward reads: do not change it in between
    """

    activation: ClassVar[str]

    def __init__(self) -> None:
        self.out: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike) -> np.ndarray:
        """The function of x, of any shape, element by element."""
        self.out = activate(self.activation, x)
        return self.out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """dx = dout times the derivative, from the output; a new array."""
        grad_out, out = real_arrays(dout=dout, out=_of_forward(self.out))
        same_shape(grad_out, out.shape)
        dx = np.empty(out.shape, out.dtype)
        getattr(kernels, f"{self.activation}_backward")(rows(dx), rows(grad_out), rows(out))
        return dx


class Sigmoid(_Smooth):
    """The logistic sigmoid, out = 1 / (1 + e^-x); backward: dx = dout out (1 - out)."""

    activation = "sigmoid"


class Tanh(_Smooth):
    """The hyperbolic tangent, out = tanh(x); backward: dx = dout (1 - out^2)."""

    activation = "tanh"


class _WithLoss:
    """An output activation and its loss, which keep the loss, the output y and the targets t of the last forward."""

    activation: ClassVar[str]
    loss_name: ClassVar[str]

    def __init__(self) -> None:
        self.loss: float | None = None
        self.y: np.ndarray | None = None
        self.t: npt.ArrayLike | None = None
        self._dx: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> float:
        """The mean loss.

        x  (N, K), or (K,) for one sample
        t  rows of that shape, or for softmax integer labels (N,)
        """
        outputs, targets, shape = outputs_and_targets("x", x, t, self.loss_name)
        dx = np.empty(outputs.shape, outputs.dtype)
        self.loss = float(getattr(kernels, self.loss_name)(dx, outputs, targets))
        self.y, self.t, self._dx = activate(self.activation, outputs.reshape(shape)), t, dx.reshape(shape)
        return self.loss

    def backward(self, dout: npt.ArrayLike = 1) -> np.ndarray:
        """dx = dout dE/dx = dout (y - t) / N, a new array in the shape of x.

        dout  a number
        """
        dx = _of_forward(self._dx)
        (factor,) = real_arrays(dout=dout)
        if factor.ndim > 0:
            raise ValueError(f"dout must be a number, got shape {factor.shape}")
        grad: np.ndarray = dx * dx.dtype.type(factor)
        return grad


class SoftmaxWithLoss(_WithLoss):
    """Softmax and cross-entropy: y = softmax(x), the loss is the mean over the samples of -sum_k t_k log y_k.

    loss  a number, computed from x so that none is too large
    y     probabilities in the shape of x
    t     the targets as they came

    Source: section 3 of the notes, (2), and section 5.
    """

    activation, loss_name = "softmax", "softmax_cross_entropy"


class IdentityWithLoss(_WithLoss):
    """The identity and half the squared error: y = x, the loss is the mean over the samples of 1/2 ||y - t||^2.

    loss  a number
    y     a copy of x
    t     the targets as they came

    Source: section 3 of the notes, (1).
    """

    activation, loss_name = "identity", "squared_error"


class Dropout:
    """Dropout: in training each element of x is kept with probability 1 - dropout_ratio, and else 0.

    dropout_ratio  from 0 to less than 1
    book           False: what is kept is divided by 1 - dropout_ratio, and prediction leaves x as it is.
                   True, as the book has it: what is kept stays as it is, and prediction multiplies by 1 - dropout_ratio
    mask           what the last forward kept; all of it in prediction

    The mask comes from NumPy's global generator, as in the book, so that `np.random.seed` repeats a program.
    """

    def __init__(self, dropout_ratio: float = 0.5, *, book: bool = False) -> None:
        self.dropout_ratio = validation.fraction("dropout_ratio", dropout_ratio)
        self.book = book
        self.mask: np.ndarray | None = None
        self._scale = 1.0

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> np.ndarray:
        """A new array: x with some elements dropped if train_flg, else x; scaled as the class says."""
        (array,) = real_arrays(x=x)
        kept = 1 - self.dropout_ratio
        if train_flg:
            self.mask = np.greater(np.random.rand(*array.shape), self.dropout_ratio)
            self._scale = 1.0 if self.book else 1 / kept
        else:
            self.mask = np.ones(array.shape, bool)
            self._scale = kept if self.book else 1.0
        return self._drop(array)

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """dx = dout where x was kept, scaled as x was, else 0; a new array."""
        (grad_out,) = real_arrays(dout=dout)
        same_shape(grad_out, _of_forward(self.mask).shape)
        return self._drop(grad_out)

    def _drop(self, array: np.ndarray) -> np.ndarray:
        result: np.ndarray = array * self.mask * self._scale
        return result


class BatchNormalization:
    """Batch normalization: out = gamma (x - mean) / sqrt(variance + epsilon) + beta, for each feature.

    gamma, beta                (D,)  read at every call
    momentum                   from 0 to less than 1, of the running statistics
    running_mean, running_var  (D,)  None for 0 at first, as in the book; new arrays with every forward in training
    epsilon                    at least 0
    dgamma, dbeta              (D,)  the gradients with respect to gamma and beta, new arrays with every backward
    input_shape                that of the last x

    In training mean and variance are those of the batch, the variance biased (divided by N), and the running ones
    follow: running <- momentum running + (1 - momentum) batch. Prediction takes the running ones.
    """

    def __init__(
        self,
        gamma: npt.ArrayLike,
        beta: npt.ArrayLike,
        momentum: float = 0.9,
        running_mean: npt.ArrayLike | None = None,
        running_var: npt.ArrayLike | None = None,
        *,
        epsilon: float = 1e-5,
    ) -> None:
        self.gamma = real_array("gamma", gamma)
        self.beta = real_array("beta", beta)
        self.momentum = validation.fraction("momentum", momentum)
        self.running_mean = None if running_mean is None else real_array("running_mean", running_mean)
        self.running_var = None if running_var is None else real_array("running_var", running_var)
        self.epsilon = validation.nonnegative("epsilon", epsilon)
        self.input_shape: tuple[int, ...] | None = None
        self.dgamma: np.ndarray | None = None
        self.dbeta: np.ndarray | None = None
        self._normalized: np.ndarray | None = None  # with the variance what backward reads
        self._variance: np.ndarray | None = None
        self._check_parameters()

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> np.ndarray:
        """The normalized x, a new array in its shape.

        x          (N, D), or (N, ...) of any rank with D numbers for each sample, N at least 1
        train_flg  whether to normalize by the batch and update the running statistics, or to normalize by these
        """
        array, gamma, beta = real_arrays(x=x, gamma=self.gamma, beta=self.beta)
        self._check_parameters()
        samples = _samples(array, len(gamma))
        if len(samples) == 0:
            raise ValueError(f"x must have at least one sample, got shape {array.shape}")
        forward = self._train if train_flg else self._predict
        out = forward(samples, gamma, beta).reshape(array.shape)
        self.input_shape = array.shape
        return out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """dx in the shape of x, which is that of dout; sets dgamma and dbeta. For a forward in training only."""
        if self._normalized is None or self._variance is None:
            raise RuntimeError("backward must follow a call of forward in training")
        grad_out, normalized, variance, gamma = real_arrays(
            dout=dout, normalized=self._normalized, variance=self._variance, gamma=self.gamma
        )
        self._check_parameters()
        _samples(normalized, len(gamma))
        same_shape(grad_out, _of_forward(self.input_shape))
        dx, dgamma, dbeta = (np.empty(array.shape, array.dtype) for array in (normalized, gamma, gamma))
        kernels.batch_norm_backward(
            dx, dgamma, dbeta, flat_samples(grad_out), normalized, variance, gamma, self.epsilon
        )
        self.dgamma, self.dbeta = dgamma, dbeta
        return dx.reshape(grad_out.shape)

    def _train(self, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
        out, normalized = np.empty(x.shape, x.dtype), np.empty(x.shape, x.dtype)
        mean, variance = np.empty(len(gamma), x.dtype), np.empty(len(gamma), x.dtype)
        kernels.batch_norm_forward(out, normalized, mean, variance, x, gamma, beta, self.epsilon)
        self._normalized, self._variance = normalized, variance
        self.running_mean = self._follow(self.running_mean, mean)
        self.running_var = self._follow(self.running_var, variance)
        return out

    def _follow(self, running: np.ndarray | None, batch: np.ndarray) -> np.ndarray:
        if running is None:
            running = np.zeros_like(batch)
        return self.momentum * np.asarray(running) + (1 - self.momentum) * batch

    def _predict(self, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
        self._normalized = self._variance = None  # backward is for training only
        mean, variance = (
            np.zeros(len(gamma), x.dtype) if running is None else np.asarray(running, x.dtype)
            for running in (self.running_mean, self.running_var)
        )
        out: np.ndarray = gamma * ((x - mean) / np.sqrt(variance + self.epsilon)) + beta
        return out

    def _check_parameters(self) -> None:
        shape = np.shape(self.gamma)
        if len(shape) != 1:
            raise ValueError(f"gamma must have shape (features,), got shape {shape}")
        for name in ("beta", "running_mean", "running_var"):
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name} must have the shape of gamma, {shape}, got {np.shape(value)}")


def _check_affine(weight: np.ndarray, bias: np.ndarray) -> None:
    if weight.ndim != 2:
        raise ValueError(f"W must have shape (inputs, outputs), got shape {weight.shape}")
    if bias.shape != weight.shape[1:]:
        raise ValueError(f"b must have one number for each column of W, {weight.shape[1:]}, got shape {bias.shape}")


def _samples(x: np.ndarray, features: int) -> np.ndarray:
    """x of any rank as rows of so many features."""
    if x.ndim == 0 or math.prod(x.shape[1:]) != features:
        raise ValueError(f"x must have {features} numbers for each sample, got shape {x.shape}")
    return flat_samples(x)


def _of_forward(value: Value | None) -> Value:
    """What forward keeps for backward."""
    if value is None:
        raise RuntimeError("backward must follow a call of forward")
    return value
