"""A chain of layers, as another library describes it, becomes a network with equal predictions.

`torch.py` and `keras.py` read the layers of a model; here it is decided what they are in a network. A network has, for
each hidden layer, sums, perhaps batch normalization, an activation, perhaps dropout; then the output layer, whose
activation belongs to the loss. Each layer says where it stands in its model, for messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastfnn.loss import LossBase
from fastfnn.losses import checked_loss
from fastfnn.network import FNN
from fastfnn.options import HIDDEN_ACTIVATIONS
from fastfnn.settings import norm_epsilon

# The loss of a model by the function that it ends with.
DEFAULT_LOSS = {
    "identity": "squared_error",
    "softmax": "softmax_cross_entropy",
    "sigmoid": "sigmoid_cross_entropy",
    "exp": "poisson",
}

FOLD = (
    "fold_batch_norm=True makes it part of the weights: a network without batch normalization, with equal predictions"
)

GIVE_RATE = "To leave it out, or for another probability, give dropout=0.0 or dropout=the probability"


class Affine(NamedTuple):
    """x W + b: `weight` (I, O), `bias` (O,)."""

    place: str
    weight: np.ndarray
    bias: np.ndarray


class Norm(NamedTuple):
    """Batch normalization in predictions: gamma (x - mean) / sqrt(variance + epsilon) + beta, with arrays (O,)."""

    place: str
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    epsilon: float

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scale and shift: the layer computes x scale + shift."""
        wide = {name: getattr(self, name).astype(np.float64) for name in ("gamma", "beta", "mean", "variance")}
        scale = wide["gamma"] / np.sqrt(wide["variance"] + self.epsilon)
        return scale, wide["beta"] - wide["mean"] * scale


class Function(NamedTuple):
    """An activation, by our name, or "log_softmax"."""

    place: str
    name: str


class Drop(NamedTuple):
    """Dropout of the outputs of the layer before, with a probability."""

    place: str
    rate: float


Layer = Affine | Norm | Function | Drop


@dataclass
class Stage:
    """A layer of the network: its sums, and what the model does with them."""

    affine: Affine
    norms: list[Norm] = field(default_factory=list)  # of the sums
    function: Function | None = None
    drops: list[Drop] = field(default_factory=list)
    later_norms: list[Norm] = field(default_factory=list)  # of the outputs

    @property
    def activation(self) -> str:
        """Name of the activation."""
        return "identity" if self.function is None else self.function.name


def network(
    layers: Iterable[Layer],
    *,
    loss: str | LossBase | None,
    dropout: float | None,
    fold_batch_norm: bool,
    seed: int | None,
) -> FNN:
    """Return the network of some layers; the arguments are those of `from_torch`."""
    first_norms, stages = _stages(layers, drops_count=dropout is None)
    hidden, last = stages[:-1], stages[-1]
    for stage in hidden:
        if stage.activation not in HIDDEN_ACTIVATIONS:
            raise ValueError(f"{_place(stage)} must be the last layer, or one of {', '.join(HIDDEN_ACTIVATIONS)}")
    loss_function = _loss(last, loss)
    rate = _dropout(hidden, last) if dropout is None else dropout
    normalized = not fold_batch_norm and _is_normalized(first_norms, stages)
    if not normalized:
        _fold(first_norms, stages)
    dtype = stages[0].affine.weight.dtype
    net = FNN._undrawn(
        [len(stages[0].affine.weight), *(len(stage.affine.bias) for stage in stages)],
        activation=[stage.activation for stage in hidden], loss=loss_function, dtype=dtype, dropout=rate,
        batch_norm=normalized, weight_decay=0.0, book=False, seed=seed,
    )  # fmt: skip
    running = net._running()
    for layer, stage in enumerate(stages, 1):
        net.params[f"W{layer}"][...], net.params[f"b{layer}"][...] = stage.affine.weight, stage.affine.bias
        if normalized and stage is not last:
            gamma, variance = _with_our_epsilon(stage.norms[0])
            net.params[f"gamma{layer}"][...], net.params[f"beta{layer}"][...] = gamma, stage.norms[0].beta
            running[f"mean{layer}"][...], running[f"variance{layer}"][...] = stage.norms[0].mean, variance
    return net


def _stages(layers: Iterable[Layer], drops_count: bool) -> tuple[list[Norm], list[Stage]]:
    """Return batch normalization of the input, and the layers of the network."""
    first_norms: list[Norm] = []
    stages: list[Stage] = []
    for layer in layers:
        stage = stages[-1] if stages else None
        if isinstance(layer, Affine):
            if stage is not None and len(stage.affine.bias) != len(layer.weight):
                raise ValueError(f"{layer.place} must take {len(stage.affine.bias)} inputs, got {len(layer.weight)}")
            if layer.weight.dtype not in (np.float32, np.float64):
                raise ValueError(f"{layer.place} must have weights of float32 or float64, got {layer.weight.dtype}")
            if stage is not None and layer.weight.dtype != stages[0].affine.weight.dtype:
                before = stages[0].affine.weight.dtype
                raise ValueError(f"{layer.place} must have weights of {before}, as before, got {layer.weight.dtype}")
            stages.append(Stage(layer))
        elif isinstance(layer, Norm):
            if stage is None:
                first_norms.append(layer)
            else:
                (stage.later_norms if stage.function or stage.drops else stage.norms).append(layer)
        elif isinstance(layer, Drop):
            if layer.rate > 0 and drops_count:
                if stage is None:
                    raise ValueError(f"{layer.place} drops inputs: fastfnn drops outputs of hidden layers. {GIVE_RATE}")
                stage.drops.append(layer)
        elif layer.name == "identity":
            pass
        elif stage is None:
            raise ValueError(f"{layer.place} must come after a layer with weights")
        elif stage.function is not None or stage.later_norms:
            raise ValueError(
                f"{layer.place} must come right after the sums of a layer, but it follows another function"
            )
        elif stage.drops:
            raise ValueError(
                f"{stage.drops[0].place} must come after the activation: fastfnn drops outputs. {GIVE_RATE}"
            )
        else:
            stage.function = layer
    if not stages:
        raise ValueError("model must have a layer with weights")
    return first_norms, stages


def _place(stage: Stage) -> str:
    return stage.affine.place if stage.function is None else stage.function.place


def _loss(last: Stage, given: str | LossBase | None) -> LossBase:
    """Return the loss of a network that ends with this layer, or check the one that is given."""
    output = last.activation
    if output == "log_softmax":
        if given is not None and checked_loss(given).output_activation == "softmax":
            return checked_loss(given)
        raise ValueError(
            f"{_place(last)} gives logarithms of probabilities, fastfnn predicts probabilities: take a softmax in its "
            "place, or give loss='softmax_cross_entropy' for a network that predicts the probabilities"
        )
    if output not in DEFAULT_LOSS:
        raise ValueError(
            f"{_place(last)} must not be the output's activation, got {output}: the output has softmax, sigmoid, exp "
            "or none, which decides about the loss"
        )
    if given is None:
        return checked_loss(DEFAULT_LOSS[output])
    loss = checked_loss(given)
    if output not in ("identity", loss.output_activation):
        raise ValueError(
            f"loss must have the output activation of the model, {output} at {_place(last)}; got {loss}, which has "
            f"{loss.output_activation}"
        )
    return loss


def _dropout(hidden: list[Stage], last: Stage) -> float:
    """Return the probability of dropout, which must be that of all hidden layers."""
    if last.drops:
        raise ValueError(f"{last.drops[0].place} drops outputs: fastfnn drops those of hidden layers. {GIVE_RATE}")
    for stage in hidden:
        if len(stage.drops) > 1:
            raise ValueError(f"{stage.drops[1].place} must not follow another dropout. {GIVE_RATE}")
    rates = [stage.drops[0].rate if stage.drops else 0.0 for stage in hidden]
    for stage, rate in zip(hidden, rates, strict=True):
        if rate != rates[0]:
            place = stage.drops[0].place if stage.drops else f"what follows {_place(stage)}"
            raise ValueError(
                f"{place} must drop with the probability {rates[0]} of the first hidden layer, got {rate}: fastfnn has "
                f"one for all hidden layers. {GIVE_RATE}"
            )
    return rates[0] if rates else 0.0


def _is_normalized(first_norms: list[Norm], stages: list[Stage]) -> bool:
    """Return whether all hidden layers have batch normalization where ours have it, else none; or raise ValueError."""
    hidden, last = stages[:-1], stages[-1]
    misplaced = [*first_norms, *last.norms]
    for stage in stages:
        misplaced += stage.norms[1:] if stage is not last else []
        misplaced += stage.later_norms
    if misplaced:
        raise ValueError(
            f"{misplaced[0].place} must stand between the sums of a hidden layer and its activation, where fastfnn has "
            f"batch normalization. {FOLD}"
        )
    if any(stage.norms for stage in hidden):
        for stage in hidden:
            if not stage.norms:
                raise ValueError(
                    f"{stage.affine.place} must be followed by batch normalization, like other hidden layers: fastfnn "
                    f"has it in all of them or in none. {FOLD}"
                )
        return True
    return False


def _fold(first_norms: list[Norm], stages: list[Stage]) -> None:
    """Make all batch normalization part of the weights."""
    before = first_norms
    for stage in stages:
        if before or stage.norms:
            place, weight, bias = stage.affine
            dtype, weight, bias = weight.dtype, weight.astype(np.float64), bias.astype(np.float64)
            for norm in reversed(before):
                scale, shift = norm.factors()
                weight, bias = scale[:, np.newaxis] * weight, bias + shift @ weight
            for norm in stage.norms:
                scale, shift = norm.factors()
                weight, bias = weight * scale, bias * scale + shift
            stage.affine = Affine(place, weight.astype(dtype), bias.astype(dtype))
        before = stage.later_norms
    if before:
        raise ValueError(f"{before[0].place} must not be the last layer after an activation")


def _with_our_epsilon(norm: Norm) -> tuple[np.ndarray, np.ndarray]:
    """Return gamma and the running variance with which our epsilon gives the same predictions.

    The difference of the epsilons goes into the variance, so that training, which uses the variances of batches, has
    the same gamma. Where the variance would be negative it is 0, and the rest goes into gamma.
    """
    gamma, variance = norm.gamma.astype(np.float64), norm.variance.astype(np.float64)
    ours = norm_epsilon(book=False)
    if norm.epsilon == ours:
        return gamma, variance
    shifted = np.maximum(variance + (norm.epsilon - ours), 0)
    return gamma * np.sqrt((shifted + ours) / (variance + norm.epsilon)), shifted
