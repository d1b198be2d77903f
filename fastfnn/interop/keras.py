"""Keras: a Sequential model, or a functional one that is a chain, becomes a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastfnn.interop import chain
from fastfnn.interop.missing import imported
from fastfnn.loss import LossBase

if TYPE_CHECKING:
    from fastfnn.network import FNN

# Functions of keras.activations, and our names.
FUNCTIONS = {
    "linear": "identity",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "elu": "elu",
    "softplus": "softplus",
    "silu": "silu",
    "gelu": "gelu",
    "softmax": "softmax",
    "log_softmax": "log_softmax",
    "exponential": "exp",
}
# Layers that are functions: our names, and the settings that ours have.
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ReLU": ("relu", {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}),
    "LeakyReLU": ("leaky_relu", {"negative_slope": 0.01}),
    "ELU": ("elu", {"alpha": 1.0}),
    "Softmax": ("softmax", {"axis": -1}),
}
KNOWN = ("Input", "Dense", "Activation", "BatchNormalization", "Dropout", "Flatten", "Identity", *LAYERS)
SCALES_SAMPLES = {
    "Rescaling": "x * scale + offset",
    "Normalization": "(x - mean) / sqrt(variance)",
}


def from_keras(
    model: Any,
    *,
    loss: str | LossBase | None = None,
    dropout: float | None = None,
    fold_batch_norm: bool = False,
    seed: int | None = None,
) -> FNN:
    """Make a network of a Keras model that is a chain of layers, with equal predictions.

    Parameters
    ----------
    model : keras.Model
        A Sequential, or a functional model in which one layer follows the other: Input, Dense, Activation,
        BatchNormalization, Dropout, Flatten at the beginning, and layers of the activations of `FNN`; float32 or
        float64. It is not changed.
    loss : str, object of `fastfnn.losses`, or Loss, optional
        By default softmax cross-entropy after a final softmax, sigmoid cross-entropy after a final sigmoid, the Poisson
        deviance after a final exponential, and squared error else. A model that ends without a function gets the
        output activation of the loss.
    dropout : float, optional
        Probability of dropout in further training. By default that of the model, which must be one for all hidden
        layers.
    fold_batch_norm : bool, default False
        Make batch normalization part of the weights, wherever it stands: predictions are equal, further training is
        without it. A model that normalizes the outputs of activations needs it. By default the network has batch
        normalization, which must then be between the sums and the activation of all hidden layers.
    seed : int, optional
        Of further training.

    Returns
    -------
    FNN
        Its `predict` is that of the model, up to rounding.

    Raises
    ------
    ImportError
        If Keras is not installed.
    TypeError, ValueError
        If the model is no Keras model or no chain, or a layer does not map, which the message names.

    Notes
    -----
    It takes Keras 3 or newer, with any backend. Of Keras's epsilon, 1e-3, the difference to 1e-5 becomes part of the
    running variance. Running statistics keep 0.9 at each step of further training, not 0.99. Optimizer, penalties and
    constraints are not read.

    Keras itself computes parts of a float64 model in float32, unless its backend is TensorFlow: its predictions are
    then those of the network to the precision of float32.

    Examples
    --------
    >>> import keras
    >>> import fastfnn as fnn
    >>> layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    >>> fnn.from_keras(keras.Sequential([keras.Input((4,)), *layers]))
    FNN(4-8-3, relu; softmax_cross_entropy; float32)
    """
    keras = imported("keras", "fastfnn.from_keras needs Keras", "keras")
    if not hasattr(keras, "ops"):
        raise ImportError(f"fastfnn.from_keras needs Keras 3 or newer, got {keras.__version__}: pip install -U keras")
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {type(model).__name__}")
    layers = _layers(keras, model, "model")
    return chain.network(layers, loss=loss, dropout=dropout, fold_batch_norm=fold_batch_norm, seed=seed)


def _layers(keras: Any, model: Any, prefix: str) -> Iterator[chain.Layer]:
    """Yield the layers of a model, and an activation in a Dense as a layer of its own."""
    if not model.built:
        raise ValueError(f"{prefix} must have weights: give it an Input, or call it on samples")
    if not isinstance(model, keras.Sequential):
        _check_is_chain(keras, model, prefix)
    for number, layer in enumerate(model.layers):
        kind, where = type(layer), f"{prefix}.layers[{number}]"
        place = f"{where} ({kind.__name__} {layer.name!r})"
        known = getattr(keras.layers, kind.__name__, None) is kind  # not a subclass, which may compute anything
        if isinstance(layer, keras.Sequential):
            yield from _layers(keras, layer, where)
        elif known and kind.__name__ == "Dense":
            yield from _dense(keras, place, layer)
        elif known and kind.__name__ == "Activation":
            yield _function(keras, place, layer.activation)
        elif known and kind.__name__ in LAYERS:
            yield _function_layer(place, kind.__name__, layer)
        elif known and kind.__name__ == "BatchNormalization":
            yield _norm(keras, place, layer)
        elif known and kind.__name__ == "Dropout":
            yield chain.Drop(place, float(layer.rate))
        elif known and kind.__name__ == "Flatten":
            if any(not isinstance(earlier, keras.layers.InputLayer) for earlier in model.layers[:number]):
                raise ValueError(f"{place} must be the first layer")
        elif known and kind.__name__ in SCALES_SAMPLES:
            raise ValueError(
                f"{place} scales samples, which fastfnn leaves to its user: leave the layer out and give the network "
                f"samples {SCALES_SAMPLES[kind.__name__]}"
            )
        elif not (known and kind.__name__ in ("InputLayer", "Identity")):
            raise ValueError(f"{place} has no counterpart in fastfnn, which takes {', '.join(KNOWN)}")


def _check_is_chain(keras: Any, model: Any, prefix: str) -> None:
    """Raise ValueError unless each layer of a functional model takes what the one before it gives."""
    inputs = model.inputs if getattr(model, "inputs", None) else []
    if len(inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"{prefix} must be a Sequential, or a functional model with one input and one output")
    value = inputs[0]
    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.InputLayer):
            continue
        place = f"{prefix}.layers[{number}] ({type(layer).__name__} {layer.name!r})"
        if isinstance(layer, keras.Model):
            raise ValueError(f"{place} must not be a model inside a functional model: take its layers instead")
        try:
            taken, value = layer.input is value, layer.output
        except AttributeError:  # it is called twice
            taken = False
        if not taken:
            raise ValueError(f"{place} must take what the layer before it gives, and nothing else")
    if value is not model.outputs[0]:
        raise ValueError(f"{prefix} must be a chain that calls each layer once, and give what the last one gives")


def _dense(keras: Any, place: str, layer: Any) -> Iterator[chain.Layer]:
    if len(layer.output.shape) != 2:
        raise ValueError(f"{place} must get samples with one axis, got {layer.input.shape[1:]}: begin with Flatten")
    weight = keras.ops.convert_to_numpy(layer.kernel)
    if layer.compute_dtype != weight.dtype.name:
        raise ValueError(f"{place} must compute in the dtype of its weights, {weight.dtype}, got {layer.compute_dtype}")
    bias = keras.ops.convert_to_numpy(layer.bias) if layer.use_bias else np.zeros(weight.shape[1], weight.dtype)
    yield chain.Affine(place, weight, bias)
    function = _function(keras, place, layer.activation)
    if function.name != "identity":
        yield function


def _function(keras: Any, place: str, activation: Any) -> chain.Function:
    """Return an activation that is a function of Keras."""
    for name, ours in FUNCTIONS.items():
        if activation is getattr(keras.activations, name):
            return chain.Function(place, ours)
    got = getattr(activation, "__name__", type(activation).__name__)
    hint = "; LeakyReLU(negative_slope=0.01) is a layer that maps" if got == "leaky_relu" else ""
    raise ValueError(f"{place} must have one of the activations {', '.join(FUNCTIONS)}, got {got}{hint}")


def _function_layer(place: str, kind: str, layer: Any) -> chain.Function:
    """Return an activation that is a layer of Keras, checked to have the settings of ours."""
    name, settings = LAYERS[kind]
    if kind == "ReLU" and layer.negative_slope == 0.01:
        name, settings = "leaky_relu", settings | {"negative_slope": 0.01}
    for setting, ours in settings.items():
        if (value := getattr(layer, setting)) != ours:
            raise ValueError(f"{place} must have {setting}={ours!r}, as fastfnn's {name}, got {value!r}")
    return chain.Function(place, name)


def _norm(keras: Any, place: str, layer: Any) -> chain.Norm:
    if layer.axis not in (-1, 1):
        raise ValueError(f"{place} must normalize each feature, axis=-1, got {layer.axis}")
    mean, variance = map(keras.ops.convert_to_numpy, (layer.moving_mean, layer.moving_variance))
    gamma = keras.ops.convert_to_numpy(layer.gamma) if layer.scale else np.ones_like(mean)
    beta = keras.ops.convert_to_numpy(layer.beta) if layer.center else np.zeros_like(mean)
    return chain.Norm(place, gamma, beta, mean, variance, float(layer.epsilon))
