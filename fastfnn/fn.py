"""FN(W, b, f): a feed-forward network in the notation of section 1 of the lecture notes, and chains of them.

Only here weights are oriented as in the mathematics of the notes: ``W x + b`` with W of shape (d_out, d_in). The code
of the notes and the rest of this package use ``x W + b``.
"""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import names, validation
from fastfnn.arrays import activate, real_array, real_arrays
from fastfnn.backend import ACTIVATIONS, kernels
from fastfnn.network import FNN, OUTPUT_ACTIVATION
from fastfnn.params import Params

Function = Callable[[np.ndarray], Any]


class _Map(abc.ABC):
    """Base class of FN and MultilayerFN: a map from R^in_features to R^out_features through a chain of layers."""

    @property
    @abc.abstractmethod
    def layers(self) -> tuple[FN, ...]:
        """The layers, in the order in which x passes through them."""

    @property
    def in_features(self) -> int:
        """Dimension of the domain."""
        return int(self.layers[0].W.shape[1])

    @property
    def out_features(self) -> int:
        """Dimension of the range."""
        return int(self.layers[-1].W.shape[0])

    def __matmul__(self, first: FN | MultilayerFN) -> MultilayerFN:
        """Compose two maps: ``(second @ first)(x) = second(first(x))``."""
        return MultilayerFN(*first.layers, *self.layers) if isinstance(first, _Map) else NotImplemented

    def to_fnn(self, *, dtype: npt.DTypeLike | None = None) -> FNN:
        """Return an `FNN` with the same outputs, which can be trained.

        Parameters
        ----------
        dtype : {"float32", "float64"}, optional
            By default float32 if all W and b are float32, else float64.

        Returns
        -------
        FNN
            With copies of the weights. The last f determines the loss: "identity" the squared error, "sigmoid" and
            "softmax" their cross-entropies, "exp" the Poisson deviance.

        Raises
        ------
        TypeError, ValueError
            If an FNN cannot have one of the functions f; a plain function must be wrapped in an `Activation`.

        Examples
        --------
        >>> from fastfnn import FN
        >>> FN([[1.0, 2.0]], 3.0, "identity").to_fnn()
        FNN(2-1, no hidden layer; squared_error; float64)
        """
        functions: list[Any] = [layer.f for layer in self.layers]
        *hidden, last = functions
        losses: dict[str, str] = {}
        for loss, activation in OUTPUT_ACTIVATION.items():
            losses.setdefault(activation, loss)
        if not isinstance(last, str) or last not in losses:
            raise ValueError(f"f of the last layer must be one of {', '.join(losses)} in an FNN, got {_name(last)}")
        if dtype is None:
            common = np.result_type(*(array for layer in self.layers for array in (layer.W, layer.b)))
            dtype = np.float32 if common == np.float32 else np.float64
        sizes = (self.in_features, *(layer.out_features for layer in self.layers))
        try:
            net = FNN(sizes, activation=hidden, loss=losses[last], init=0.0, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self!r} cannot be converted to an FNN: {error}") from error
        for number, layer in enumerate(self.layers, 1):
            net.params[f"W{number}"] = layer.W.T
            net.params[f"b{number}"] = layer.b.reshape(-1)
        return net


class FN(_Map):
    """A feed-forward network of one layer: ``FN(W, b, f)(x) = f(W x + b)``.

    Parameters
    ----------
    W : (d_out, d_in) array
        Weights; kept, not copied.
    b : (d_out,) array, (1, d_out) array, or a number if d_out is 1
        Biases; kept, not copied. The shape (1, d_out) is that of example 2.1 of the lecture notes.
    f : str, Activation or callable
        Activation function: a name as in `FNN`, "softmax", "exp", an `Activation`, or any function of an array.

    Raises
    ------
    TypeError, ValueError
        If W or b does not hold real numbers, their shapes do not fit, or f is no function or name of one.

    Notes
    -----
    The argument x is a sample (d_in,) or rows of samples (N, d_in); the result is (d_out,) or (N, d_out). If b has
    shape (1, d_out), the result for a single sample is a row (1, d_out), as in the code of the notes. Integers are
    computed as integers, by NumPy. Everything else is computed by the kernels, in float32 if that is NumPy's result
    type for W, b and x, else in float64.

    ``second @ first`` is the network that maps x to ``second(first(x))``; its `layers` are in the order of x.

    The notes have two versions of the sigmoid. ``1/1+np.exp(-x)`` in example 2.1 is 1 + e^-x. Example 3.1 shows
    ``1/(1+np.exp(-x))``, but its printed results were computed with the first version.

    References
    ----------
    Lecture notes, section 1.

    Examples
    --------
    >>> from fastfnn import FN
    >>> FN([[1, 2, 3], [4, 5, 6]], [7, 8], lambda z: 2 * z)([1, 2, 3])
    array([42, 80])
    >>> second = FN([[1, 1]], 0, "identity")
    >>> second @ FN([[1, 2, 3], [4, 5, 6]], [7, 8], "relu")
    FN(2 -> 1, identity) @ FN(3 -> 2, relu)
    """

    def __init__(self, W: npt.ArrayLike, b: npt.ArrayLike, f: str | Function) -> None:
        self.W = real_array("W", W)
        if isinstance(b, (int, float)):  # a plain number has the dtype of W, as in NumPy's W + b
            b = np.asarray(b, np.result_type(self.W, b))
        self.b: np.ndarray = real_array("b", b)
        self.f = f
        _check_parameters(self.W, self.b)
        _function(f)

    @property
    def layers(self) -> tuple[FN, ...]:
        """The network itself, as its only layer."""
        return (self,)

    def __call__(self, x: npt.ArrayLike) -> Any:
        """Return ``f(W x + b)`` of a sample (d_in,) or of rows of samples (N, d_in)."""
        _check_parameters(self.W, self.b)
        array = real_array("x", x)
        if array.ndim not in (1, 2) or array.shape[-1] != self.in_features:
            raise ValueError(
                f"x must have shape ({self.in_features},) or (samples, {self.in_features}), got shape {array.shape}"
            )
        if np.result_type(self.W, self.b, array).kind != "f":
            return _function(self.f)(array @ self.W.T + self.b)
        return _function(self.f)(self._affine(array))

    def __repr__(self) -> str:
        return f"FN({self.in_features} -> {self.out_features}, {_name(self.f)})"

    def _affine(self, x: np.ndarray) -> np.ndarray:
        x, weight, bias = real_arrays(x=x, W=self.W, b=self.b)
        rows = np.atleast_2d(x)
        out = np.empty((len(rows), len(weight)), x.dtype)
        kernels.affine_forward(out, rows, weight.T, bias.reshape(-1))
        return out if x.ndim == 2 or bias.ndim == 2 else out[0]

    @staticmethod
    def from_fnn(net: FNN) -> FN | MultilayerFN:
        """Return the map by which an `FNN` predicts, with copies of its weights.

        Parameters
        ----------
        net : FNN
            Any network. Its batch normalization and the book's dropout become part of W and b.

        Returns
        -------
        FN or MultilayerFN
            One layer, or the composition of several.

        Raises
        ------
        TypeError
            If `net` is no FNN.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> fnn.FN.from_fnn(fnn.FNN((4, 8, 3)))
        FN(8 -> 3, softmax) @ FN(4 -> 8, relu)
        """
        if not isinstance(net, FNN):
            raise TypeError(f"net must be an FNN, got {type(net).__name__}")
        params = Params(net._prediction_params(), net.layer_sizes)
        layers = [
            FN(params[f"W{number}"].T.copy(), params[f"b{number}"].copy(), f)
            for number, f in enumerate((*net.activation, net.loss_function.output_activation), 1)
        ]
        return layers[0] if len(layers) == 1 else MultilayerFN(*layers)


class MultilayerFN(_Map):
    """A feed-forward network of several layers, ``f_n(... f_1(x))``: the result of ``second @ first``.

    Parameters
    ----------
    *layers : FN
        In the order of x; `in_features` of each is `out_features` of the one before.

    References
    ----------
    Lecture notes, section 1.
    """

    def __init__(self, *layers: FN) -> None:
        for first, second in itertools.pairwise(layers):
            if first.out_features != second.in_features:
                raise ValueError(
                    f"{second!r} must have {first.out_features} inputs, the number of outputs of {first!r}, "
                    f"got {second.in_features}"
                )
        self._layers = layers

    @property
    def layers(self) -> tuple[FN, ...]:
        """The layers, in the order in which x passes through them."""
        return self._layers

    def __call__(self, x: npt.ArrayLike) -> Any:
        """Return ``f_n(... f_1(x))`` of a sample (d_in,) or of rows of samples (N, d_in)."""
        return functools.reduce(lambda values, layer: layer(values), self.layers, x)

    def __repr__(self) -> str:
        return " @ ".join(map(repr, reversed(self.layers)))


def _check_parameters(weight: np.ndarray, bias: np.ndarray) -> None:
    if weight.ndim != 2 or weight.size == 0:
        raise ValueError(f"W must have shape (d_out, d_in), neither of them 0, got shape {weight.shape}")
    outputs = len(weight)
    if bias.shape not in ((outputs,), (1, outputs)) and (bias.ndim, outputs) != (0, 1):
        number = " or be a number" if outputs == 1 else ""
        turned = bias.shape[-1:] == weight.shape[1:]
        hint = f"; W has shape (d_out, d_in), here {weight.shape}: did you mean W.T?" if turned else ""
        raise ValueError(f"b must have shape ({outputs},) or (1, {outputs}){number}, got shape {bias.shape}{hint}")


def _function(f: str | Function) -> Function:
    """Return the activation function that f names or is."""
    if callable(f):
        return f
    if not isinstance(f, str):
        raise TypeError(f"f must be a function or one of {', '.join(ACTIVATIONS)}; got {type(f).__name__}")
    return functools.partial(activate, validation.choice("f", f, ACTIVATIONS, names.ACTIVATIONS))


def _name(f: str | Function) -> str:
    return f if isinstance(f, str) else getattr(f, "__name__", repr(f))
