"""TabularNetwork: embeddings of features and members that share their weights, on the compiled loop.

The estimators make one and train it, epoch after epoch; it knows neither columns nor targets of a table, but arrays of
numbers alone. The mathematics is in `reference/tabular.py`, the compiled code in `kernels/tabular/`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from fastfnn import validation
from fastfnn.activation import Activation
from fastfnn.backend import BACKENDS, aligned_zeros
from fastfnn.base import NOTHING
from fastfnn.codes import Codes
from fastfnn.loss import LossBase
from fastfnn.losses import checked_loss
from fastfnn.optimizers import Optimizer
from fastfnn.options import checked_activations, checked_dtype, checked_layer_sizes
from fastfnn.settings import training_settings

Kind = Literal["plain", "bins", "categories"]

KINDS: tuple[Kind, ...] = ("plain", "bins", "categories")  # in the order of the kernels' codes


@dataclass(frozen=True)
class Feature:
    """An input of the network: one column of the prepared samples.

    Attributes
    ----------
    kind : {"plain", "bins", "categories"}
        A number that is used as it is; the position of a number in bins; or the code of a category.
    count : int
        Number of bins, or of categories; 0 for a plain number.
    width : int
        Numbers that it becomes; 1 for a plain number.
    knots : tuple of float
        The edges of the bins, one more than there are bins, where a linear layer would see them: the embedding begins
        as that of a linear layer.
    """

    kind: Kind
    count: int = 0
    width: int = 1
    knots: tuple[float, ...] = ()


def parameter_shapes(
    features: Sequence[Feature], layer_sizes: Sequence[int], members: int, scaled: bool
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the parameters of a network, in their order."""
    rows = {"plain": 0, "bins": 1, "categories": 0}
    shapes: dict[str, tuple[int, ...]] = {
        f"embedding{number}": (feature.count + rows[feature.kind], feature.width)
        for number, feature in enumerate(features)
        if feature.kind != "plain"
    }
    *widths, outputs = layer_sizes
    each = scaled and members > 1
    for number in range(1, len(widths)):
        inputs, units = widths[number - 1 : number + 1]
        if members > 1 and (each or number == 1):
            shapes[f"scale{number}"] = members, inputs
        shapes[f"weight{number}"] = inputs, units
        if each:
            shapes[f"scale_out{number}"] = members, units
        shapes[f"bias{number}"] = (members, units) if each else (units,)
    return shapes | {"head": (members, widths[-1], outputs), "head_bias": (members, outputs)}


class TabularNetwork:
    """A network for tables: see `fastfnn.reference.tabular`.

    Parameters
    ----------
    features : sequence of Feature
        The inputs.
    hidden : sequence of int
        Units of the hidden layers, at least one layer.
    outputs : int
        Units of the output.
    activation : str or Activation, default "relu"
        Of the hidden layers.
    loss : str or LossBase, default "squared_error"
        What training minimizes, with the output activation that belongs to it.
    members : int, default 1
        Multilayer perceptrons that share their weights.
    scaled : bool, default False
        Whether every layer has scales and biases of each member (TabM), or the inputs alone (TabM-mini).
    dropout : float, default 0
        Share of the hidden outputs that a training step sets to 0.
    dtype : {"float32", "float64"}
        Of parameters and samples.
    seed : int, optional
        Of the initial parameters and of dropout.
    backend : {"kernels", "reference"}
        What computes.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        hidden: Sequence[int],
        outputs: int,
        *,
        activation: str | Activation = "relu",
        loss: str | LossBase = "squared_error",
        members: int = 1,
        scaled: bool = False,
        dropout: float = 0.0,
        dtype: DTypeLike = "float32",
        seed: int | None = None,
        backend: str = "kernels",
    ) -> None:
        self.features: tuple[Feature, ...] = tuple(features)
        if not hidden:
            raise ValueError("hidden must have at least one layer, got none")
        embedded = sum(feature.width for feature in self.features)
        self.layer_sizes: tuple[int, ...] = checked_layer_sizes((embedded, *hidden, outputs))
        self.activation: tuple[str | Activation, ...] = checked_activations(activation, len(hidden))
        self.loss_function: LossBase = checked_loss(loss)
        self.members: int = validation.integer("members", members, 1)
        self.scaled: bool = validation.boolean("scaled", scaled)
        self.dropout: float = validation.fraction("dropout", dropout)
        self.dtype: np.dtype[Any] = checked_dtype(dtype)
        self.backend: str = validation.choice("backend", backend, tuple(BACKENDS))
        self._codes = Codes(self.activation, self.loss_function, self.backend, self.dtype)
        self._sizes = np.array(self.layer_sizes, np.int64)
        self._features = np.array(
            [(KINDS.index(feature.kind), feature.count, feature.width) for feature in self.features], np.int64
        ).reshape(-1, 3)
        self._loss_parameters = self.loss_function.parameters(outputs)
        rng = np.random.default_rng(None if seed is None else validation.integer("seed", seed, 0))
        self._seed = int(rng.integers(2**32))
        #: The parameters, in one vector.
        self.params: np.ndarray = aligned_zeros(sum(map(math.prod, self._shapes().values())), self.dtype)
        #: Views of the parameters by name.
        self.arrays: dict[str, np.ndarray] = self._views()
        self._draw(rng)
        self._moments: tuple[np.ndarray, ...] | None = None
        self.steps: int = 0  # that were taken

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"params": np.array(self.params), "arrays": None, "_moments": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        flat, self.params = self.params, aligned_zeros(len(self.params), self.dtype)
        self.params[...] = flat
        self.arrays = self._views()

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.layer_sizes))
        kind = f"{self.members} members" if self.members > 1 else "1 member"
        return f"TabularNetwork({len(self.features)} features, {sizes}, {kind}; {self.loss_function}; {self.dtype})"

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return parameter_shapes(self.features, self.layer_sizes, self.members, self.scaled)

    def _views(self) -> dict[str, np.ndarray]:
        """Return views of the parameters by name."""
        shapes = self._shapes()
        ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
        parts = np.split(self.params, ends[:-1])
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    def _draw(self, rng: np.random.Generator) -> None:
        """Draw the parameters: those of layers as PyTorch does, scales of the inputs from a normal distribution.

        The other scales are 1. An embedding of bins is that of a linear layer: its rows are the differences of knots.
        """
        for number, feature in enumerate(self.features):
            if feature.kind == "plain":
                continue
            limit, table = feature.width**-0.5, self.arrays[f"embedding{number}"]
            if feature.kind == "categories":
                table[...] = rng.uniform(-limit, limit, table.shape)
                continue
            slope, bias = rng.uniform(-limit, limit, (2, feature.width))
            knots = np.array(feature.knots or np.linspace(-1, 1, feature.count + 1))
            table[0] = bias + slope * knots[0]
            table[1:] = slope * np.diff(knots)[:, np.newaxis]
        for name, array in self.arrays.items():
            if name == "scale1":
                array[...] = rng.standard_normal(array.shape)
            elif name.startswith("scale"):
                array[...] = 1
            elif not name.startswith("embedding"):
                layer = len(self.layer_sizes) - 1 if name.startswith("head") else int(re.sub(r"\D", "", name))
                limit = self.layer_sizes[layer - 1] ** -0.5
                array[...] = rng.uniform(-limit, limit, array.shape)

    @property
    def _kernels(self) -> Any:
        return BACKENDS[self.backend]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the mean of the members' outputs (N, K) for prepared samples (N, features) of the network's dtype."""
        out = np.empty((len(x), self.layer_sizes[-1]), self.dtype)
        self._kernels.tabular_forward(
            out, self.params, x, self._features, self._sizes, self._codes.layers(self.loss_function.output_activation),
            self.members, int(self.scaled),
        )  # fmt: skip
        return out

    def train(
        self,
        x: np.ndarray,
        targets: np.ndarray,
        order: np.ndarray,
        rates: np.ndarray,
        *,
        optimizer: Optimizer,
        batch_size: int,
        sample_weight: np.ndarray | None = None,
    ) -> np.ndarray:
        """Take the steps of one or several epochs in one compiled call; returns the loss of each step.

        Parameters
        ----------
        x : (N, features) array
            Prepared samples of the network's dtype, contiguous.
        targets : (N,) int64 or (N, K) array
            Labels, or rows of the network's dtype.
        order : (E, A) int64 array
            The samples of each epoch.
        rates : (S,) float64 array
            The learning rate of each step.
        optimizer : Optimizer
            The rule and its settings; its learning rate is not used. The network keeps the state of the rule.
        batch_size : int
            Samples of a step.
        sample_weight : (N,) array, optional
            Factors of the losses of the samples.

        Returns
        -------
        (S,) float64 array
            Before each update.
        """
        if self._moments is None:
            self._moments = tuple(aligned_zeros(len(self.params), self.dtype) for _ in range(optimizer.states))
        first, second = (*self._moments, *[np.empty(0, self.dtype)] * 2)[:2]
        losses = np.empty(len(rates))
        settings = training_settings(0.0, self.dropout, False, self._seed, tuple(optimizer.flat_settings().items()))
        weights = NOTHING.astype(self.dtype) if sample_weight is None else sample_weight.astype(self.dtype)
        self._kernels.tabular_steps(
            self.params, first, second, losses, x, targets, weights, order, rates, self._features, self._sizes,
            self._codes.layers("identity"), settings, self._loss_parameters, self._codes.loss,
            optimizer.code, batch_size, self.steps, self.members, int(self.scaled),
        )  # fmt: skip
        self.steps += len(rates)
        return losses
