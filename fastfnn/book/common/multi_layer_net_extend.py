"""The book's `common.multi_layer_net_extend`: `MultiLayerNet` with dropout and batch normalization."""

import os
import sys
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from fastfnn.book.common import layers
from fastfnn.book.common.gradient import numerical_gradient
from fastfnn.book.common.layers import *  # noqa: F403  (the book's module has their names, too)
from fastfnn.book.common.layers import BatchNormalization, Dropout, Relu, Sigmoid
from fastfnn.book.common.multi_layer_net import MultiLayerNet

__all__ = ["MultiLayerNetExtend", "OrderedDict", "numerical_gradient", "os", "sys"]
__all__ += layers.__all__


class MultiLayerNetExtend(MultiLayerNet):
    """A network with any number of hidden layers, dropout, batch normalization and softmax cross-entropy.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        See `MultiLayerNet`.
    use_dropout : bool, default False
        Apply dropout after the activation of each hidden layer.
    dropout_ration : float, default 0.5
        Probability with which dropout sets an output to 0.
    use_batchnorm : bool, default False
        Apply batch normalization before the activation of each hidden layer.
    """

    use_dropout: bool
    use_batchnorm: bool

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ) -> None:
        self.use_dropout, self.use_batchnorm = use_dropout, use_batchnorm
        self._dropout_ratio = dropout_ration
        super().__init__(input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda)

    def _add_hidden(self, number: int, activation: Sigmoid | Relu) -> None:
        if self.use_batchnorm:
            units = self.hidden_size_list[number - 1]
            gamma, beta = np.ones(units), np.zeros(units)
            self.params[f"gamma{number}"], self.params[f"beta{number}"] = gamma, beta
            self.layers[f"BatchNorm{number}"] = BatchNormalization(gamma, beta)
        super()._add_hidden(number, activation)
        if self.use_dropout:
            self.layers[f"Dropout{number}"] = Dropout(self._dropout_ratio)
