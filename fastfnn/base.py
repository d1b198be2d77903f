"""NetworkBase: the state of a network and its calls of the kernels.

`network.FNN` builds the public methods on it. Nothing here knows of training loops, callbacks or files.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastfnn import validation
from fastfnn.activation import Activation
from fastfnn.backend import ACTIVATIONS, BACKENDS, WORK_PER_PREDICTION, aligned_zeros
from fastfnn.codes import Codes
from fastfnn.folding import folded_parameters
from fastfnn.initialization import draw_weights
from fastfnn.loss import LossBase
from fastfnn.losses import checked_loss
from fastfnn.metrics import Metric, accuracy, loss_of_each
from fastfnn.options import (
    activation_name,
    checked_activations,
    checked_dtype,
    checked_layer_sizes,
)
from fastfnn.params import Params, running_statistics
from fastfnn.penalty import l2_penalty
from fastfnn.settings import training_settings

# For kernels: no weights, and nothing that they should write.
NOTHING = np.empty(0)


class NetworkBase:
    """Parameters, options and kernel calls of a network; see `FNN` for the arguments.

    Dimensions in this file: N samples, I inputs, K outputs, P parameters.
    """

    init: float | str | None = None  # None of weights that were not drawn

    def __init__(
        self,
        layer_sizes: Sequence[int],
        *,
        activation: str | Activation | Sequence[str | Activation] = "relu",
        loss: str | LossBase = "softmax_cross_entropy",
        init: float | str = "xavier",
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        backend: str = "kernels",
        weight_decay: float = 0.0,
        dropout: float = 0.0,
        batch_norm: bool = False,
        book: bool = False,
    ) -> None:
        self._set_up(
            layer_sizes, activation=activation, loss=loss, dtype=dtype, seed=seed, backend=backend,
            weight_decay=weight_decay, dropout=dropout, batch_norm=batch_norm, book=book,
        )  # fmt: skip
        draw_weights(self.params, init, self.activation, self._rng)
        self.init = init
        self._get_ready()

    @classmethod
    def _undrawn(cls, layer_sizes: Sequence[int], **options: Any) -> Self:
        """Return a network whose weights are 0, for a caller that copies others into it: nothing is drawn for them.

        `options` are the arguments of the constructor but `init`; all of `_options` must be given.
        """
        net = cls.__new__(cls)
        net._set_up(layer_sizes, **options)
        net._get_ready()
        return net

    def _set_up(
        self,
        layer_sizes: Sequence[int],
        *,
        activation: str | Activation | Sequence[str | Activation],
        loss: str | LossBase,
        dtype: DTypeLike,
        weight_decay: float,
        dropout: float,
        batch_norm: bool,
        book: bool,
        seed: int | None = None,
        backend: str = "kernels",
    ) -> None:
        """Check the options and create the arrays."""
        self.layer_sizes: tuple[int, ...] = checked_layer_sizes(layer_sizes)
        self.activation: tuple[str | Activation, ...] = checked_activations(activation, len(self.layer_sizes) - 2)
        self.loss_function: LossBase = checked_loss(loss)
        self._loss_parameters = self.loss_function.parameters(self.layer_sizes[-1])
        self.dtype: np.dtype[Any] = checked_dtype(dtype)
        self.backend: str = validation.choice("backend", backend, tuple(BACKENDS))
        self.weight_decay: float = validation.nonnegative("weight_decay", weight_decay)
        self.dropout: float = validation.fraction("dropout", dropout)
        self.batch_norm: bool = validation.boolean("batch_norm", batch_norm)
        self.book: bool = validation.boolean("book", book)
        self.seed: int | None = None if seed is None else validation.integer("seed", seed, 0)
        self._rng = np.random.default_rng(self.seed)
        self._sizes = np.array(self.layer_sizes, np.int64)
        self._known_codes = Codes(self.activation, self.loss_function, self.backend, self.dtype)
        self._allocate()

    def _get_ready(self) -> None:
        """Prepare the first training and the first prediction, once the weights have been drawn."""
        # The masks of dropout depend on a seed of their own and on the number of the step.
        self._seed = int(self._rng.integers(2**32)) if self.dropout else 0
        self._steps = 0
        # These compile a user's functions, so that their errors are raised here.
        self._codes("identity")
        _ = self._loss_code

    def _allocate(self) -> None:
        """Create the parameters and the running statistics with the values that training starts from."""
        self._flat = aligned_zeros(Params.count(self.layer_sizes, self.batch_norm), self.dtype)
        self.params: Params = Params(self._flat, self.layer_sizes, self.batch_norm)
        self._statistics = np.zeros(2 * sum(self.layer_sizes[1:-1]) if self.batch_norm else 0, self.dtype)
        for name, values in self._running().items():
            values[...] = 1 if name.startswith("variance") else 0
        for name, values in self.params.items():
            if name.startswith("gamma"):
                values[...] = 1

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.layer_sizes))
        names = ", ".join(map(activation_name, self.activation)) or "no hidden layer"
        return f"FNN({sizes}, {names}; {self.loss_function}; {self.dtype})"

    @property
    def loss_name(self) -> str:
        """Name of the loss."""
        return str(self.loss_function.name)

    @property
    def _built_in_loss(self) -> str:
        """Name of the loss, but "" for a user's, which may have any name."""
        return self.loss_name if self.loss_function.built_in else ""

    # Arguments of the kernels besides samples and parameters

    @property
    def _kernels(self) -> Any:
        return BACKENDS[self.backend]

    @property
    def _loss_code(self) -> int:
        return self._known_codes.loss

    def _codes(self, output_activation: str) -> np.ndarray:
        """Return the code of each layer's activation, (layers,) int64."""
        return self._known_codes.layers(output_activation)

    def _settings(self, optimizer_settings: dict[str, float]) -> np.ndarray:
        """Return the vector of the network's and an optimizer's settings."""
        return training_settings(
            self.weight_decay, self.dropout, self.book, self._seed, tuple(optimizer_settings.items())
        )

    def _options(self) -> dict[str, Any]:
        """Return the arguments of the constructor that predictions and training depend on, but the first."""
        return {
            "activation": self.activation,
            "loss": self.loss_function,
            "dtype": self.dtype.name,
            "weight_decay": self.weight_decay,
            "dropout": self.dropout,
            "batch_norm": self.batch_norm,
            "book": self.book,
        }

    # Checks of samples and targets

    def _samples(self, name: str, value: ArrayLike) -> np.ndarray:
        """Return samples as (N, I), all finite in the network's dtype, to which the kernels convert them."""
        return validation.samples(name, value, self.layer_sizes[0], self.dtype)

    def _samples_to_predict(self, name: str, value: ArrayLike) -> np.ndarray:
        """Return samples as `_samples` does, but leave it to `_forward` to check those that kernels convert."""
        rows = validation.unchecked_samples(name, value, self.layer_sizes[0], self.dtype)
        return self._samples(name, rows) if rows.dtype == self.dtype else rows

    def _targets(self, name: str, value: ArrayLike, count: int) -> np.ndarray:
        """Return targets as (N,) int64 labels or as (N, K) of the network's dtype."""
        loss = self.loss_function
        targets = validation.targets(
            name, value, count, self.layer_sizes[-1], self._built_in_loss, self.dtype, missing=not loss.built_in
        )
        if not loss.built_in and not np.isfinite(targets).all() and not loss.takes_missing:
            raise ValueError(
                f"{name} must have no NaN, got {np.isnan(targets).sum()} of {targets.size}: it may have some, for "
                f"targets that are missing, if both functions of the loss {loss.name} return numbers for NaN"
            )
        return targets

    def _sample_weights(self, sample_weight: Any, class_weight: Any, targets: np.ndarray) -> np.ndarray:
        """Return the weight of each sample (N,), or an empty array if all weights are 1."""
        weights = np.empty(0, self.dtype)
        if sample_weight is not None:
            weights = validation.sample_weight("sample_weight", sample_weight, len(targets), self.dtype)
        if class_weight is None:
            return weights
        if self._built_in_loss != "softmax_cross_entropy":
            raise ValueError(f"class_weight needs a network with softmax cross-entropy, got loss {self.loss_name!r}")
        labels = targets if targets.ndim == 1 else validation.one_hot_labels("t", targets)
        by_class = validation.class_weight("class_weight", class_weight, labels, self.layer_sizes[-1])[labels]
        product = by_class * weights if len(weights) else by_class
        return validation.sample_weight("sample_weight times class_weight", product, len(targets), self.dtype)

    def _validation_data(self, pair: Any) -> tuple[np.ndarray, np.ndarray] | None:
        """Return validation data as samples and targets."""
        if pair is None:
            return None
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            size = f" of {len(pair)}" if isinstance(pair, (tuple, list)) else ""
            raise TypeError(f"validation_data must be a pair (x, t), got {type(pair).__name__}{size}")
        rows = self._samples("validation_data[0]", pair[0])
        return rows, self._targets("validation_data[1]", pair[1], len(rows))

    # Prediction

    def _running(self) -> dict[str, np.ndarray]:
        """Return views of the running statistics of batch normalization; none without it."""
        return running_statistics(self._statistics, self.layer_sizes[1:-1] if self.batch_norm else ())

    def _prediction_params(self) -> np.ndarray:
        """Return flat parameters (P,) that predict without batch normalization and dropout."""
        if not self.batch_norm and not (self.book and self.dropout):
            return self._flat
        kept = 1 - self.dropout if self.book else 1.0
        return folded_parameters(self.params, self._running(), kept, self.book)

    def _forward(self, rows: np.ndarray, output_activation: str) -> np.ndarray:
        """Return the outputs (N, K) of samples (N, I), which `_samples` or `_samples_to_predict` has returned."""
        out = np.empty((len(rows), self.layer_sizes[-1]), self.dtype)
        params, sizes, codes = self._prediction_params(), self._sizes, self._codes(output_activation)
        if len(rows) * params.size <= WORK_PER_PREDICTION:
            if not self._kernels.network_forward(out, params, rows, sizes, codes):
                self._samples("x", rows)  # raises
            return out
        count = -(-len(rows) // -(-len(rows) * params.size // WORK_PER_PREDICTION))
        for first in range(0, len(rows), count):  # Ctrl-C takes effect between calls
            part = slice(first, first + count)
            if not self._kernels.network_forward(out[part], params, rows[part], sizes, codes):
                self._samples("x", rows)  # raises
        return out

    def _prediction_loss(self, rows: np.ndarray, targets: np.ndarray) -> float:
        """Return the mean loss of the predictions; NaN if a sample is not finite."""
        loss: float = self._kernels.network_loss(
            self._prediction_params(), rows, targets, self._sizes, self._codes("identity"), self._loss_parameters,
            self._loss_code,
        )  # fmt: skip
        return loss

    def _evaluate(
        self, out: np.ndarray, targets: np.ndarray, metrics: Sequence[Metric], weights: np.ndarray = NOTHING
    ) -> dict[str, float]:
        """Return loss, accuracy (for cross-entropies) and metrics, from the outputs before the output activation.

        `weights` of the samples multiply their losses; they do not affect accuracy and metrics.
        """
        losses = np.empty(len(out))
        loss = self._sample_losses(losses, out, targets)
        result = {"loss": float((weights * losses).mean()) if weights.size else loss}
        if self.loss_function.has_accuracy:
            result["accuracy"] = accuracy(self.loss_name, out, targets)
        return result | self._measure([metric for metric in metrics if metric.name not in result], out, targets)

    def _measure(self, metrics: Sequence[Metric], out: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Return metrics by name, from the outputs before the output activation; `predict` is computed at most once."""
        predictions = functools.cache(lambda: self._activated(out))
        return {metric.name: metric.measure(self.loss_function, out, targets, predictions) for metric in metrics}

    def _activated(self, out: np.ndarray) -> np.ndarray:
        """Return what `predict` returns, from the outputs before the output activation."""
        name = self.loss_function.output_activation
        if name == "identity":
            return out
        result = np.empty_like(out)
        self._kernels.activation_forward(result, out, ACTIVATIONS.index(name))
        return result

    def _sample_losses(self, losses: np.ndarray, out: np.ndarray, targets: np.ndarray) -> float:
        """Write the loss of each sample (N,), from the outputs before the output activation; return their mean."""
        grad = np.empty_like(out)
        return float(self._kernels.sample_losses(losses, grad, out, targets, self._loss_parameters, self._loss_code))

    def _loss_of_each(self, out: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the loss of each sample (N,), computed in float64 from the outputs before the output activation."""
        if self.loss_function.built_in:
            return loss_of_each(self.loss_function, out, targets)
        losses = np.empty(len(out))
        self._sample_losses(losses, out, targets)
        return losses

    # Training

    def _training_gradient(
        self,
        grad: np.ndarray,
        statistics: np.ndarray,
        rows: np.ndarray,
        targets: np.ndarray,
        step: int,
        weights: np.ndarray = NOTHING,
    ) -> float:
        """Write the gradient (P,) of step number `step`, update `statistics`, return the mean loss.

        The gradient is without weight decay. The loss is NaN if a sample is not finite.
        """
        loss: float = self._kernels.network_gradient(
            grad, statistics, self._flat, rows, targets, weights, self._sizes, self._codes("identity"),
            self._settings({}), self._loss_parameters, self._loss_code, step,
        )  # fmt: skip
        return loss

    def _training_loss(self, rows: np.ndarray, targets: np.ndarray) -> float:
        """Return what a training step minimizes: with dropout, the batch's own statistics and the L2 penalty."""
        if self.dropout or self.batch_norm:
            grad, statistics = np.empty_like(self._flat), self._statistics.copy()
            loss = self._training_gradient(grad, statistics, rows, targets, max(self._steps, 1))
        else:
            loss = self._prediction_loss(rows, targets)
        return loss + l2_penalty(self.params, self.weight_decay)
