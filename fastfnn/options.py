"""The options that describe an FNN: the names that each may have, and their checks.

Called by the constructor of the network; knows nothing of parameters or training.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastfnn import losses, names, validation
from fastfnn.activation import Activation
from fastfnn.backend import ACTIVATIONS

HIDDEN_ACTIVATIONS = tuple(name for name in ACTIVATIONS if name not in ("softmax", "exp"))

# The loss determines the output activation. Training computes both at once, from the logits of the last layer.
OUTPUT_ACTIVATION = {name: loss.output_activation for name, loss in losses.BY_NAME.items()}


def checked_layer_sizes(value: Any) -> tuple[int, ...]:
    """Return `value` as a tuple of at least two positive ints."""
    is_array = isinstance(value, np.ndarray) and value.ndim > 0
    if isinstance(value, (str, bytes)) or not (is_array or isinstance(value, Sequence)):
        raise TypeError(f"layer_sizes must be a sequence of ints, got {type(value).__name__}")
    if len(value) < 2:
        raise ValueError(f"layer_sizes must have at least two entries, input and output, got {len(value)}")
    return tuple(validation.integer(f"layer_sizes[{i}]", size, 1) for i, size in enumerate(value))


def checked_activations(value: Any, hidden_layers: int) -> tuple[str | Activation, ...]:
    """Return one activation per hidden layer, from a single activation or a sequence of them."""
    if isinstance(value, (str, Activation)):
        return (_checked_activation("activation", value),) * hidden_layers
    if not isinstance(value, Sequence):
        kinds = "a name, an Activation or a sequence of these"
        raise TypeError(f"activation must be {kinds}, got {type(value).__name__}")
    if len(value) != hidden_layers:
        hint = "; the output has the activation that belongs to the loss" if len(value) == hidden_layers + 1 else ""
        raise ValueError(f"activation must have one name per hidden layer, {hidden_layers}, got {len(value)}{hint}")
    return tuple(_checked_activation(f"activation[{i}]", item) for i, item in enumerate(value))


def _checked_activation(name: str, value: Any) -> str | Activation:
    if isinstance(value, Activation):
        return value
    if not isinstance(value, str):
        known = ", ".join(HIDDEN_ACTIVATIONS)
        raise TypeError(f"{name} must be one of {known}, or an Activation; got {type(value).__name__}")
    return validation.choice(name, value, HIDDEN_ACTIVATIONS, names.ACTIVATIONS)


def activation_name(activation: str | Activation) -> str:
    """Return the name under which an activation is printed and saved."""
    return activation.name if isinstance(activation, Activation) else activation


def saved_names(activations: Sequence[str | Activation]) -> list[str]:
    """Return the names under which a file holds a network's activations, each of which must name one of them."""
    own: dict[str, Activation] = {}
    for item in activations:
        if isinstance(item, Activation):
            check_saved_name("activation", item.name, ACTIVATIONS)
            if own.setdefault(item.name, item) != item:
                raise ValueError(
                    f"activations of a network that is saved must have different names, got two with the name "
                    f"{item.name!r}: give them a `name`"
                )
    return list(map(activation_name, activations))


def check_saved_name(kind: str, name: str, built_in: Collection[str]) -> None:
    """Raise ValueError if a user's function, which a file holds by its name, has the name of a built-in one."""
    if name in built_in:
        raise ValueError(
            f"{kind} of a network that is saved must not have the name of a built-in one, got your own {name!r}: "
            "give it another `name`"
        )


def checked_dtype(value: npt.DTypeLike) -> np.dtype[Any]:
    """Return `value` as the dtype float32 or float64."""
    try:
        dtype = np.dtype("" if value is None else value)  # NumPy reads None as float64
    except TypeError as error:
        raise TypeError(f"dtype must be float32 or float64, got {value!r}") from error
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}")
    return dtype
