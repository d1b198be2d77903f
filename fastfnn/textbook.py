"""The networks of the notes and of the book that they draw on, under the names and arguments that these give them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.activation import Activation
from fastfnn.initialization import draw_weights
from fastfnn.network import FNN
from fastfnn.penalty import l2_penalty

# What the book calls the ways to initialize weights: by the activation that they suit.
INITS = {"relu": "he", "he": "he", "sigmoid": "xavier", "xavier": "xavier"}


class TwoLayerNet(FNN):
    """Two layers with softmax cross-entropy: input, hidden, output.

    input_size, hidden_size, output_size  numbers of units
    weight_init_std                       standard deviation of the initial weights; biases start at 0
    activation                            "sigmoid" as in section 4 of the notes, or "relu" as in section 5
    dtype, seed, backend                  as in FNN, but without a seed the weights are drawn by np.random.randn, so
                                          that np.random.seed repeats a script of the book

    Like the notes' class, it takes one-hot rows or integer labels, and `params` may be updated in place:

        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= learning_rate * grad[key]

    `predict` returns probabilities, as section 4 has it; the argmax is that of the logits of section 5.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        activation: str | Activation = "sigmoid",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        units = {"input_size": input_size, "hidden_size": hidden_size, "output_size": output_size}
        sizes = tuple(validation.integer(name, size, 1) for name, size in units.items())
        std = validation.nonnegative("weight_init_std", weight_init_std)
        super().__init__(sizes, activation=activation, init=std, seed=seed, **options)
        if seed is None:
            draw_weights(self.params, std, _randn)


class MultiLayerNet(FNN):
    """Any number of hidden layers with softmax cross-entropy, as in the book's chapter on techniques.

    input_size          inputs
    hidden_size_list    units of each hidden layer
    output_size         classes
    activation          of the hidden layers, as in FNN; the book has "relu" and "sigmoid"
    weight_init_std     a number; "relu" or "he" for sqrt(2 / in_features); "sigmoid" or "xavier" for
                        sqrt(1 / in_features)
    weight_decay_lambda the L2 penalty lambda / 2 ||W||^2, which `loss` contains here, as in the book
    use_dropout         dropout after the activation of each hidden layer
    dropout_ratio       the share that it sets to 0; the book spells it dropout_ration, which is taken too
    use_batchnorm       batch normalization before the activation of each hidden layer
    dtype, seed, backend, book  as in FNN; without a seed the weights are drawn by np.random.randn. book=True is the
                        book's dropout, which multiplies by 1 - ratio in predictions and by nothing in training, and its
                        epsilon in batch normalization, 10e-7

    `gradient` is that of a training step: with dropout, drawn anew at each call, and with the batch's own mean and
    variance. `predict`, `loss` and `accuracy` are those of the finished network, the book's train_flg=False. `predict`
    returns probabilities; the book's logits have the same argmax.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str | Activation = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ratio: float = 0.5,
        use_batchnorm: bool = False,
        *,
        dropout_ration: float | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        if isinstance(hidden_size_list, (str, bytes)) or not isinstance(hidden_size_list, (Sequence, np.ndarray)):
            raise TypeError(f"hidden_size_list must be a sequence of ints, got {type(hidden_size_list).__name__}")
        hidden = (validation.integer(f"hidden_size_list[{i}]", size, 1) for i, size in enumerate(hidden_size_list))
        sizes = (
            validation.integer("input_size", input_size, 1), *hidden, validation.integer("output_size", output_size, 1)
        )  # fmt: skip
        init: float | str = weight_init_std
        if isinstance(weight_init_std, str):
            init = INITS[validation.choice("weight_init_std", weight_init_std.lower(), tuple(INITS))]
        else:
            validation.nonnegative("weight_init_std", weight_init_std)
        ratio = validation.fraction("dropout_ratio", dropout_ratio if dropout_ration is None else dropout_ration)
        super().__init__(
            sizes,
            activation=activation.lower() if isinstance(activation, str) else activation,
            init=init,
            seed=seed,
            weight_decay=validation.nonnegative("weight_decay_lambda", weight_decay_lambda),
            dropout=ratio if validation.boolean("use_dropout", use_dropout) else 0.0,
            batch_norm=validation.boolean("use_batchnorm", use_batchnorm),
            **options,
        )
        if seed is None:
            draw_weights(self.params, init, _randn)

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """The mean loss over the samples, and the penalty of weight decay: see FNN.loss."""
        return super().loss(x, t, sample_weight) + l2_penalty(self.params, self.weight_decay)


def _randn(shape: tuple[int, ...]) -> np.ndarray:
    """Draw from NumPy's global generator, which the book uses."""
    return np.random.randn(*shape)
