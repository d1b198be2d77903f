"""The book's `common.multi_layer_net`: a network whose layers run on the kernels one by one."""

import itertools
import os
import sys
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.book.common import layers
from fastfnn.book.common.gradient import numerical_gradient
from fastfnn.book.common.layers import *  # noqa: F403  (the book's module has their names, too)
from fastfnn.book.common.layers import Affine, BatchNormalization, Dropout, Relu, Sigmoid, SoftmaxWithLoss
from fastfnn.initialization import normal_std
from fastfnn.penalty import add_l2_gradient, l2_penalty
from fastfnn.textbook import INITS

__all__ = ["MultiLayerNet", "OrderedDict", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__

_ACTIVATIONS: dict[str, type[Sigmoid] | type[Relu]] = {"sigmoid": Sigmoid, "relu": Relu}

# The star also brings np, of which pyright then knows no type: arrays are npt.NDArray[Any] here, not np.ndarray.


class MultiLayerNet:
    """A network with any number of hidden layers and softmax cross-entropy.

    Unlike `fastfnn.MultiLayerNet` it keeps float64 parameters in a dict, and computes layer by layer.

    Parameters
    ----------
    input_size : int
        Number of inputs.
    hidden_size_list : sequence of int
        Units of each hidden layer.
    output_size : int
        Number of classes.
    activation : {"relu", "sigmoid"}
        Activation of the hidden layers.
    weight_init_std : float or str, default "relu"
        Standard deviation of the initial weights, drawn by `np.random.randn`; "relu" or "he" for
        ``sqrt(2 / in_features)``, "sigmoid" or "xavier" for ``sqrt(1 / in_features)``.
    weight_decay_lambda : float, default 0
        L2 penalty ``lambda / 2 ||W||^2``; `loss` includes it.

    Attributes
    ----------
    params : dict of str to array
        W1, b1, W2, ...
    layers : OrderedDict of str to layer
        Affine1, Activation_function1, Affine2, ...
    last_layer : SoftmaxWithLoss
    """

    input_size: int
    output_size: int
    hidden_size_list: Sequence[int]
    hidden_layer_num: int

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
    ) -> None:
        self.input_size, self.output_size = input_size, output_size
        self.hidden_size_list, self.hidden_layer_num = hidden_size_list, len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params: dict[str, npt.NDArray[Any]] = {}
        self.layers: OrderedDict[str, Any] = OrderedDict()
        self.last_layer: SoftmaxWithLoss = SoftmaxWithLoss()

        init = weight_init_std
        if isinstance(init, str):
            init = INITS[validation.choice("weight_init_std", init.lower(), tuple(INITS))]
        sizes = itertools.pairwise((input_size, *hidden_size_list, output_size))
        for number, (inputs, outputs) in enumerate(sizes, 1):
            self.params[f"W{number}"] = normal_std(init, inputs) * np.random.randn(inputs, outputs)
            self.params[f"b{number}"] = np.zeros(outputs)

        activation_type = _ACTIVATIONS[validation.choice("activation", activation, tuple(_ACTIVATIONS))]
        for number in range(1, self.hidden_layer_num + 1):
            self._add_affine(number)
            self._add_hidden(number, activation_type())
        self._add_affine(self.hidden_layer_num + 1)

    def _add_affine(self, number: int) -> None:
        self.layers[f"Affine{number}"] = Affine(self.params[f"W{number}"], self.params[f"b{number}"])

    def _add_hidden(self, number: int, activation: Sigmoid | Relu) -> None:
        """Add what follows the affine layer of a hidden layer."""
        self.layers[f"Activation_function{number}"] = activation

    def predict(self, x: npt.ArrayLike, train_flg: bool = False) -> npt.NDArray[Any]:
        """Return the logits of samples; `train_flg` matters to dropout and batch normalization alone."""
        out: Any = x
        for layer in self.layers.values():
            differs = isinstance(layer, (BatchNormalization, Dropout))
            out = layer.forward(out, train_flg) if differs else layer.forward(out)
        return out  # type: ignore[no-any-return]

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike, train_flg: bool = False) -> float:
        """Return the mean loss over the samples plus the L2 penalty."""
        error = self.last_layer.forward(self.predict(x, train_flg), t)
        return error + l2_penalty(self.params, self.weight_decay_lambda)

    def accuracy(self, x: npt.NDArray[Any], t: npt.NDArray[Any]) -> float:
        """Return the share of the samples whose largest logit is that of their label."""
        labels = t if t.ndim == 1 else np.argmax(t, axis=1)
        return float(np.sum(np.argmax(self.predict(x), axis=1) == labels)) / len(x)

    def numerical_gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
        """Return the gradient of each parameter by central differences of the loss in training."""

        def loss(_: npt.NDArray[Any]) -> float:
            return self.loss(x, t, train_flg=True)

        return {name: numerical_gradient(loss, self.params[name]) for name in self._names()}

    def gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> dict[str, npt.NDArray[Any]]:
        """Return the gradient of each parameter by back-propagation."""
        self.loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = {name: self._gradient_of(name) for name in self._names()}
        add_l2_gradient(grads, self.params, self.weight_decay_lambda)
        return grads

    def _names(self) -> list[str]:
        """Return the names of the parameters, layer by layer."""
        numbers = range(1, self.hidden_layer_num + 2)
        names = (f"{kind}{number}" for number in numbers for kind in ("W", "b", "gamma", "beta"))
        return [name for name in names if name in self.params]

    def _gradient_of(self, name: str) -> npt.NDArray[Any]:
        """Return the gradient that the last `backward` left in the layer of a parameter."""
        kind = name.rstrip("0123456789")
        layer = self.layers[("Affine" if kind in ("W", "b") else "BatchNorm") + name.removeprefix(kind)]
        return getattr(layer, f"d{kind}")  # type: ignore[no-any-return]
