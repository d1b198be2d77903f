"""What a training checks of its callbacks before it begins."""

from __future__ import annotations

from typing import Any

from fastfnn import validation
from fastfnn.callbacks.base import Callback, FunctionCallback

LOSSES = ("loss", "val_loss")
ACCURACIES = ("accuracy", "val_accuracy")


def checked_callbacks(callbacks: Any, validated: bool, with_accuracy: bool) -> list[Callback]:
    """Return the callbacks that `fit` was given as `Callback` objects.

    Parameters
    ----------
    callbacks : list of Callback or callable, or None
    validated : bool
        Whether there is validation data; without it the history holds only the loss.
    with_accuracy : bool
        Whether the network has an accuracy.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks must be a list, got {type(callbacks).__name__}")
    return [_checked(f"callbacks[{i}]", value, validated, with_accuracy) for i, value in enumerate(callbacks)]


def _checked(name: str, value: Any, validated: bool, with_accuracy: bool) -> Callback:
    if isinstance(value, type) or not (isinstance(value, Callback) or callable(value)):
        got = f"class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a Callback or a function of (net, history), got {got}")
    callback = value if isinstance(value, Callback) else FunctionCallback(value)
    if callback.monitor is not None:
        validation.choice(f"{name}.monitor", callback.monitor, LOSSES + ACCURACIES if with_accuracy else LOSSES)
        if callback.monitor != "loss" and not validated:
            raise ValueError(f"validation_data must be given for {name} to monitor {callback.monitor!r}, got None")
    return callback
