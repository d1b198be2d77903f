"""The layers of the book 'Deep Learning from Scratch' and of section 5 of the lecture notes, on the compiled kernels.

    from fastfnn.layers import *

imports classes with `forward` and `backward`, from which a network is built by hand: call `forward` of each layer in
turn, then `backward` in the opposite order. `backward` takes the gradient of the loss with respect to the output of the
last `forward` and returns the gradient with respect to its input.

A layer keeps the arrays that it is given, not copies, so that changing them in place changes the layer. Results are new
arrays: float32 if that is NumPy's result type for x and the parameters, else float64. NaN and infinity propagate.

Errors of the book and the lecture notes are corrected:

- `backward` never changes its argument; the ReLU of the notes overwrites it.
- `SoftmaxWithLoss.backward(dout)` multiplies by dout, which the book ignores. Its loss is computed from the logits; the
  book adds 1e-7 to the probabilities, see `fastfnn.functions`. Targets may be soft.
- `Dropout` scales in training and not in prediction, so that predictions do not need the layer. The book does the
  opposite, with the same expectation: `Dropout(ratio, book=True)`.
- `BatchNormalization` adds 1e-5 to the variance, as is usual; the book adds 10e-7, which is 1e-6: `epsilon=10e-7`.

References
----------
K. Saito, "Deep Learning from Scratch", O'Reilly Japan, 2016.
"""

from __future__ import annotations

import math
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.arrays import activate, check_dout, flat_samples, outputs_and_targets, real_array, real_arrays, rows
from fastfnn.backend import kernels

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

Value = TypeVar("Value")


class Affine:
    """An affine map of each sample: ``out = x W + b``.

    Parameters
    ----------
    W : (I, O) array
        Weights, read at every call.
    b : (O,) array
        Biases, read at every call.

    Attributes
    ----------
    x : (N, I) array or None
        Samples of the last `forward`, one per row.
    original_x_shape : tuple of int or None
        Shape in which they came.
    dW, db : array or None
        Gradients with respect to W and b; new arrays with every `backward`.

    Raises
    ------
    TypeError, ValueError
        If W or b does not hold real numbers, or their shapes do not fit.

    References
    ----------
    Lecture notes, section 5.

    Examples
    --------
    >>> from fastfnn.layers import Affine
    >>> layer = Affine([[1.0, 2.0], [3.0, 4.0]], [0.0, 10.0])
    >>> layer.forward([[1.0, 1.0]])
    array([[ 4., 16.]])
    >>> layer.backward([[1.0, 0.0]])
    array([[1., 3.]])
    >>> layer.dW
    array([[1., 0.],
           [1., 0.]])
    """

    def __init__(self, W: npt.ArrayLike, b: npt.ArrayLike) -> None:
        self.W = real_array("W", W)
        self.b: np.ndarray = real_array("b", b)
        _check_affine(self.W, self.b)
        self.x: np.ndarray | None = None
        self.original_x_shape: tuple[int, ...] | None = None
        self.dW: np.ndarray | None = None
        self.db: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike) -> np.ndarray:
        """Compute ``x W + b``.

        Parameters
        ----------
        x : (N, I) array
            Samples, or an array (N, ...) with I numbers per sample.

        Returns
        -------
        (N, O) array
            A new array, a row for each sample.

        Raises
        ------
        ValueError
            If a sample of x does not have I numbers.
        """
        array, weight, bias = real_arrays(x=x, W=self.W, b=self.b)
        _check_affine(weight, bias)
        self.x, self.original_x_shape = _samples(array, len(weight)), array.shape
        out = np.empty((len(array), len(bias)), array.dtype)
        kernels.affine_forward(out, self.x, weight, bias)
        return out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """Compute ``dx = dout W^T``; set ``dW = x^T dout`` and ``db``, the sum of dout over the samples.

        Parameters
        ----------
        dout : (N, O) array
            Gradient with respect to the output.

        Returns
        -------
        array
            Gradient with respect to x, in the shape of x.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        ValueError
            If dout has another shape than the output.
        """
        grad_out, x, weight, bias = real_arrays(dout=dout, x=_kept(self.x), W=self.W, b=self.b)
        _check_affine(weight, bias)
        _samples(x, len(weight))
        check_dout(grad_out, (len(x), len(bias)))
        dx, dW, db = (np.empty(array.shape, array.dtype) for array in (x, weight, bias))
        kernels.affine_backward(dx, dW, db, grad_out, x, weight)
        self.dW, self.db = dW, db
        return dx if self.original_x_shape == dx.shape else dx.reshape(_kept(self.original_x_shape))


class Relu:
    """The rectified linear unit, ``out = max(x, 0)``, for x of any shape.

    Attributes
    ----------
    mask : bool array or None
        Where the last x was not positive. `backward` reads the mask, not the output, which the caller may have changed.

    References
    ----------
    Lecture notes, section 5.

    Examples
    --------
    >>> from fastfnn.layers import Relu
    >>> layer = Relu()
    >>> layer.forward([[-1.0, 2.0]])
    array([[0., 2.]])
    >>> layer.backward([[5.0, 5.0]])
    array([[0., 5.]])
    """

    def __init__(self) -> None:
        self.mask: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike) -> np.ndarray:
        """Compute ``max(x, 0)`` as a new array.

        Parameters
        ----------
        x : array, any shape
            Inputs.

        Returns
        -------
        array
            In the shape of x.
        """
        out = activate("relu", x)
        self.mask = out <= 0
        return out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """Compute ``dx = dout``, or 0 where x was not positive, as a new array.

        Parameters
        ----------
        dout : array
            Gradient with respect to the output, in its shape.

        Returns
        -------
        array
            Gradient with respect to x, in the shape of x.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        ValueError
            If dout has another shape than the output.
        """
        mask = _kept(self.mask)
        (grad_out,) = real_arrays(dout=dout)
        check_dout(grad_out, mask.shape)
        dx: np.ndarray = np.where(mask, 0, grad_out)
        return dx


class _Smooth:
    """Base class of activations whose derivative is a function of their output."""

    activation: ClassVar[str]

    def __init__(self) -> None:
        self.out: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike) -> np.ndarray:
        """Apply the activation to each element of x.

        Parameters
        ----------
        x : array, any shape
            Inputs.

        Returns
        -------
        array
            A new array in the shape of x. It is kept for `backward`, and must not be changed before.
        """
        self.out = activate(self.activation, x)
        return self.out

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """Compute ``dx``, dout times the derivative, as a new array.

        Parameters
        ----------
        dout : array
            Gradient with respect to the output, in its shape.

        Returns
        -------
        array
            Gradient with respect to x, in the shape of x.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        ValueError
            If dout has another shape than the output.
        """
        grad_out, out = real_arrays(dout=dout, out=_kept(self.out))
        check_dout(grad_out, out.shape)
        dx = np.empty(out.shape, out.dtype)
        getattr(kernels, f"{self.activation}_backward")(rows(dx), rows(grad_out), rows(out))
        return dx


class Sigmoid(_Smooth):
    """The logistic sigmoid, ``out = 1 / (1 + e^-x)``, for x of any shape.

    Attributes
    ----------
    out : array or None
        Output of the last `forward`.

    Notes
    -----
    The derivative follows from the output: ``dx = dout * out * (1 - out)``.

    References
    ----------
    Lecture notes, section 5.

    Examples
    --------
    >>> from fastfnn.layers import Sigmoid
    >>> layer = Sigmoid()
    >>> layer.forward([[0.0, 1000.0]])
    array([[0.5, 1. ]])
    >>> layer.backward([[4.0, 4.0]])
    array([[1., 0.]])
    """

    activation = "sigmoid"


class Tanh(_Smooth):
    """The hyperbolic tangent, ``out = tanh(x)``, for x of any shape.

    Attributes
    ----------
    out : array or None
        Output of the last `forward`.

    Notes
    -----
    The derivative follows from the output: ``dx = dout * (1 - out^2)``.

    Examples
    --------
    >>> from fastfnn.layers import Tanh
    >>> layer = Tanh()
    >>> layer.forward([[0.0, 1000.0]])
    array([[0., 1.]])
    >>> layer.backward([[4.0, 4.0]])
    array([[4., 0.]])
    """

    activation = "tanh"


class _WithLoss:
    """Base class of an output activation together with its loss."""

    activation: ClassVar[str]
    loss_name: ClassVar[str]

    def __init__(self) -> None:
        self.loss: float | None = None
        self.y: np.ndarray | None = None
        self.t: npt.ArrayLike | None = None
        self._dx: np.ndarray | None = None

    def forward(self, x: npt.ArrayLike, t: npt.ArrayLike) -> float:
        """Compute the mean loss over the samples.

        Parameters
        ----------
        x : (N, K) or (K,) array
            Outputs of the last affine layer, or those of a single sample.
        t : array
            Targets in the shape of x; for softmax also integer labels (N,), or one label for a single sample.

        Returns
        -------
        float
            The loss, accumulated in float64.

        Raises
        ------
        TypeError, ValueError
            If x does not hold real numbers, or t does not fit x.
        """
        outputs, targets, shape = outputs_and_targets("x", x, t, self.loss_name)
        dx = np.empty(outputs.shape, outputs.dtype)
        self.loss = float(getattr(kernels, self.loss_name)(dx, outputs, targets))
        self.y, self.t, self._dx = activate(self.activation, outputs.reshape(shape)), t, dx.reshape(shape)
        return self.loss

    def backward(self, dout: npt.ArrayLike = 1) -> np.ndarray:
        """Compute ``dx = dout (y - t) / N`` as a new array in the shape of x.

        Parameters
        ----------
        dout : float, default 1
            Gradient with respect to the loss.

        Returns
        -------
        array
            Gradient with respect to x, in the shape of x.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        ValueError
            If dout is not a number.
        """
        dx = _kept(self._dx)
        (factor,) = real_arrays(dout=dout)
        if factor.ndim > 0:
            raise ValueError(f"dout must be a number, got shape {factor.shape}")
        grad: np.ndarray = dx * dx.dtype.type(factor)
        return grad


class SoftmaxWithLoss(_WithLoss):
    """Softmax with cross-entropy: ``y = softmax(x)``, loss ``-sum_k t_k log y_k``, mean over the samples.

    Attributes
    ----------
    loss : float or None
        The last loss, computed from the logits x, so that large logits do not overflow.
    y : array or None
        Probabilities in the shape of x.
    t : array or None
        Targets as they were given.

    References
    ----------
    Lecture notes, section 3, error function (2), and section 5.

    Examples
    --------
    >>> from fastfnn.layers import SoftmaxWithLoss
    >>> layer = SoftmaxWithLoss()
    >>> round(layer.forward([[0.0, 0.0]], [1]), 4)  # log 2
    0.6931
    >>> layer.backward()  # y - t
    array([[ 0.5, -0.5]])
    """

    activation: ClassVar[str] = "softmax"
    loss_name: ClassVar[str] = "softmax_cross_entropy"


class IdentityWithLoss(_WithLoss):
    """The identity with half the squared error: ``y = x``, loss ``1/2 ||y - t||^2``, mean over the samples.

    Attributes
    ----------
    loss : float or None
        The last loss.
    y : array or None
        A copy of x.
    t : array or None
        Targets as they were given.

    References
    ----------
    Lecture notes, section 3, error function (1).

    Examples
    --------
    >>> from fastfnn.layers import IdentityWithLoss
    >>> layer = IdentityWithLoss()
    >>> layer.forward([[1.0], [5.0]], [[1.0], [3.0]])
    1.0
    >>> layer.backward()  # (y - t) / 2
    array([[0.],
           [1.]])
    """

    activation: ClassVar[str] = "identity"
    loss_name: ClassVar[str] = "squared_error"


class Dropout:
    """Dropout: in training, each element of x is set to 0 with probability `dropout_ratio`.

    Parameters
    ----------
    dropout_ratio : float, default 0.5
        Probability in [0, 1).
    book : bool, default False
        False divides the kept elements by ``1 - dropout_ratio`` in training and leaves x unchanged in prediction. True,
        the book's variant, leaves the kept elements unchanged in training and multiplies by ``1 - dropout_ratio`` in
        prediction.

    Attributes
    ----------
    mask : bool array or None
        Which elements the last `forward` kept; all of them in prediction.

    Raises
    ------
    TypeError, ValueError
        If `dropout_ratio` is no number in [0, 1).

    Notes
    -----
    The mask comes from NumPy's global generator, as in the book, so that `np.random.seed` makes a program reproducible.

    References
    ----------
    N. Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfnn.layers import Dropout
    >>> np.random.seed(0)
    >>> layer = Dropout(0.5)
    >>> layer.forward(np.ones((2, 4)))
    array([[2., 2., 2., 2.],
           [0., 2., 0., 2.]])
    >>> layer.backward(np.ones((2, 4)))
    array([[2., 2., 2., 2.],
           [0., 2., 0., 2.]])
    >>> layer.forward(np.ones((1, 4)), train_flg=False)
    array([[1., 1., 1., 1.]])
    """

    def __init__(self, dropout_ratio: float = 0.5, *, book: bool = False) -> None:
        self.dropout_ratio: float = validation.fraction("dropout_ratio", dropout_ratio)
        self.book = book
        self.mask: np.ndarray | None = None
        self._scale = 1.0

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> np.ndarray:
        """Drop elements of x in training.

        Parameters
        ----------
        x : array, any shape
            Inputs.
        train_flg : bool, default True
            True draws a new mask, False keeps all elements.

        Returns
        -------
        array
            A new array in the shape of x, scaled as the class describes.
        """
        (array,) = real_arrays(x=x)
        kept = 1 - self.dropout_ratio
        if train_flg:
            self.mask = np.greater(np.random.rand(*array.shape), self.dropout_ratio)
            self._scale = 1.0 if self.book else 1 / kept
            return self._drop(array)
        self.mask = np.ones(array.shape, bool)
        self._scale = kept if self.book else 1.0
        return array * self._scale

    def backward(self, dout: npt.ArrayLike) -> np.ndarray:
        """Compute ``dx``: dout, scaled as x was, where x was kept, else 0.

        Parameters
        ----------
        dout : array
            Gradient with respect to the output, in its shape.

        Returns
        -------
        array
            Gradient with respect to x, in the shape of x.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        ValueError
            If dout has another shape than the output.
        """
        (grad_out,) = real_arrays(dout=dout)
        check_dout(grad_out, _kept(self.mask).shape)
        return self._drop(grad_out)

    def _drop(self, array: np.ndarray) -> np.ndarray:
        result: np.ndarray = array * self.mask
        return result if self._scale == 1 else result * self._scale


class BatchNormalization:
    """Batch normalization of each feature: ``out = gamma (x - mean) / sqrt(variance + epsilon) + beta``.

    Parameters
    ----------
    gamma, beta : (D,) array
        Scale and shift of each feature, read at every call.
    momentum : float, default 0.9
        Share in [0, 1) of the running statistics that each training step keeps.
    running_mean, running_var : (D,) array, optional
        Running statistics; None starts them at 0, as in the book.
    epsilon : float, default 1e-5
        Added to the variance; not negative.

    Attributes
    ----------
    running_mean, running_var : (D,) array or None
        New arrays with every `forward` in training.
    dgamma, dbeta : (D,) array or None
        Gradients with respect to gamma and beta; new arrays with every `backward`.
    input_shape : tuple of int or None
        Shape of the last x.

    Raises
    ------
    TypeError, ValueError
        If an array does not hold real numbers, shapes differ, or `momentum` or `epsilon` is out of its range.

    Notes
    -----
    Training uses mean and biased variance (divided by N) of the batch, and updates the running statistics:
    ``running <- momentum * running + (1 - momentum) * batch``. Prediction uses the running statistics.

    References
    ----------
    S. Ioffe and C. Szegedy, "Batch Normalization", ICML 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfnn.layers import BatchNormalization
    >>> layer = BatchNormalization(gamma=np.ones(1), beta=np.zeros(1))
    >>> layer.forward([[0.0], [3.0], [6.0]]).round(3).ravel()  # mean 3, variance 6
    array([-1.225,  0.   ,  1.225])
    >>> layer.running_mean, layer.running_var
    (array([0.3]), array([0.6]))
    >>> layer.backward([[1.0], [0.0], [0.0]]).round(3).ravel()
    array([ 0.068, -0.136,  0.068])
    >>> layer.dgamma.round(3), layer.dbeta
    (array([-1.225]), array([1.]))
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
        self.gamma: np.ndarray = real_array("gamma", gamma)
        self.beta: np.ndarray = real_array("beta", beta)
        self.momentum: float = validation.fraction("momentum", momentum)
        self.running_mean = None if running_mean is None else real_array("running_mean", running_mean)
        self.running_var = None if running_var is None else real_array("running_var", running_var)
        self.epsilon: float = validation.nonnegative("epsilon", epsilon)
        self.input_shape: tuple[int, ...] | None = None
        self.dgamma: np.ndarray | None = None
        self.dbeta: np.ndarray | None = None
        self._normalized: np.ndarray | None = None  # these two are kept by `forward` for `backward`
        self._variance: np.ndarray | None = None
        self._check_parameters()

    def forward(self, x: npt.ArrayLike, train_flg: bool = True) -> np.ndarray:
        """Normalize x.

        Parameters
        ----------
        x : (N, D) array
            At least one sample, or an array (N, ...) with D numbers per sample.
        train_flg : bool, default True
            True normalizes by the statistics of the batch and updates the running statistics; False normalizes by the
            running statistics.

        Returns
        -------
        array
            A new array in the shape of x.

        Raises
        ------
        ValueError
            If x has no sample, or a sample does not have D numbers.
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
        """Compute the gradient with respect to x, and set `dgamma` and `dbeta`; only after a `forward` in training.

        Parameters
        ----------
        dout : array
            Gradient with respect to the output, in the shape of x.

        Returns
        -------
        array
            Gradient with respect to x, in the shape of x.

        Raises
        ------
        RuntimeError
            If there was no `forward` in training before.
        ValueError
            If dout has another shape than the output.
        """
        if self._normalized is None or self._variance is None:
            raise RuntimeError("backward must follow a call of forward in training")
        grad_out, normalized, variance, gamma = real_arrays(
            dout=dout, normalized=self._normalized, variance=self._variance, gamma=self.gamma
        )
        self._check_parameters()
        _samples(normalized, len(gamma))
        check_dout(grad_out, _kept(self.input_shape))
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
        self.running_mean = self._updated(self.running_mean, mean)
        self.running_var = self._updated(self.running_var, variance)
        return out

    def _updated(self, running: np.ndarray | None, batch: np.ndarray) -> np.ndarray:
        """Return the running statistic after a batch with the statistic `batch`."""
        if running is None:
            running = np.zeros_like(batch)
        return self.momentum * np.asarray(running) + (1 - self.momentum) * batch

    def _predict(self, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
        self._normalized = self._variance = None  # there is no backward pass of a prediction
        mean, variance = (
            np.zeros(len(gamma), x.dtype) if running is None else np.asarray(running, x.dtype)
            for running in (self.running_mean, self.running_var)
        )
        out: np.ndarray = x - mean
        out *= gamma / np.sqrt(variance + self.epsilon)
        out += beta
        return out

    def _check_parameters(self) -> None:
        """Check the shapes of attributes, which a program may have changed."""
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
    """Return x of any rank as a matrix with `features` columns."""
    if x.ndim == 2 and x.shape[1] == features:
        return x
    if x.ndim == 0 or math.prod(x.shape[1:]) != features:
        raise ValueError(f"x must have {features} numbers for each sample, got shape {x.shape}")
    return flat_samples(x)


def _kept(value: Value | None) -> Value:
    """Return what `forward` kept for `backward`."""
    if value is None:
        raise RuntimeError("backward must follow a call of forward")
    return value
