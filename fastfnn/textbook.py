"""The networks of the lecture notes and of the book 'Deep Learning from Scratch', with their names and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import validation
from fastfnn.activation import Activation
from fastfnn.initialization import draw_weights
from fastfnn.network import FNN
from fastfnn.penalty import l2_penalty

# The book names the ways to initialize weights also by the activation that they suit.
INITS = {"relu": "he", "he": "he", "sigmoid": "xavier", "xavier": "xavier"}


class TwoLayerNet(FNN):
    """A network with one hidden layer and softmax cross-entropy.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        Units of the input, of the hidden layer and of the output.
    weight_init_std : float, default 0.01
        Standard deviation of the initial weights; biases start at 0.
    activation : str or Activation, default "sigmoid"
        "sigmoid" is the network of section 4 of the lecture notes, "relu" that of section 5.
    seed : int, optional
        See `FNN`. Without it the weights are drawn by `np.random.randn`, so that `np.random.seed` makes a program of
        the book reproducible.
    **options
        Further arguments of `FNN`, for example `dtype` and `backend`.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    Methods are those of `FNN`. Targets are one-hot rows or integer labels. `predict` returns probabilities as in
    section 4; section 5 returns logits, which have the same argmax.

    References
    ----------
    Lecture notes, sections 4 and 5.

    Examples
    --------
    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> network = fnn.TwoLayerNet(input_size=2, hidden_size=4, output_size=3, seed=0)
    >>> x_batch, t_batch = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 2])
    >>> grad = network.gradient(x_batch, t_batch)
    >>> for key in ("W1", "b1", "W2", "b2"):
    ...     network.params[key] -= 0.1 * grad[key]
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
            draw_weights(self.params, std, self.activation, np.random)


class MultiLayerNet(FNN):
    """A network with any number of hidden layers and softmax cross-entropy, as in the book's chapter on techniques.

    Parameters
    ----------
    input_size : int
        Number of inputs.
    hidden_size_list : sequence of int
        Units of each hidden layer.
    output_size : int
        Number of classes.
    activation : str or Activation, default "relu"
        Activation of the hidden layers, see `FNN`; the book has "relu" and "sigmoid".
    weight_init_std : float or str, default "relu"
        Standard deviation of the initial weights; "relu" or "he" for ``sqrt(2 / in_features)``, "sigmoid" or "xavier"
        for ``sqrt(1 / in_features)``.
    weight_decay_lambda : float, default 0
        L2 penalty ``lambda / 2 ||W||^2``. As in the book, and unlike in `FNN`, `loss` includes it.
    use_dropout : bool, default False
        Apply dropout after the activation of each hidden layer.
    dropout_ratio : float, default 0.5
        Probability with which dropout sets an output to 0.
    use_batchnorm : bool, default False
        Apply batch normalization before the activation of each hidden layer.
    dropout_ration : float, optional
        The book's spelling of `dropout_ratio`.
    seed : int, optional
        See `FNN`. Without it the weights are drawn by `np.random.randn`.
    **options
        Further arguments of `FNN`, for example `dtype` and `backend`. ``book=True`` gives the book's dropout, which
        scales in predictions instead of training, and its epsilon in batch normalization.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    Methods are those of `FNN`, but for `loss`. `gradient` is that of a training step: dropout draws a new mask at each
    call, batch normalization uses the batch's own mean and variance. `predict`, `loss` and `accuracy` are those of the
    finished network, the book's ``train_flg=False``. `predict` returns probabilities; the book's logits have the same
    argmax.

    References
    ----------
    K. Saito, "Deep Learning from Scratch", O'Reilly Japan, 2016, chapter 6.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> network = fnn.MultiLayerNet(784, [100, 100], 10, weight_decay_lambda=0.1, use_batchnorm=True, seed=0)
    >>> network
    FNN(784-100-100-10, relu, relu; softmax_cross_entropy; float32)
    >>> sorted(network.params)[:3]
    ['W1', 'W2', 'W3']
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
        if dropout_ration is None:
            ratio = validation.fraction("dropout_ratio", dropout_ratio)
        else:
            ratio = validation.fraction("dropout_ration", dropout_ration)
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
            draw_weights(self.params, init, self.activation, np.random)

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Compute the mean loss of the predictions, see `FNN.loss`, plus the L2 penalty.

        Parameters
        ----------
        x : (N, I) array
            Samples.
        t : array
            Targets.
        sample_weight : (N,) array, optional
            Weights of the samples.

        Returns
        -------
        float
            The mean loss plus ``lambda / 2`` times the sum of the squares of all weights.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> network = fnn.MultiLayerNet(1, [], 2, weight_decay_lambda=0.5)
        >>> network.params["W1"] = [[2.0, 2.0]]
        >>> round(network.loss([[1.0]], [0]), 4)  # log 2 + 0.5 / 2 * 8
        2.6931
        """
        return super().loss(x, t, sample_weight) + l2_penalty(self.params, self.weight_decay)
