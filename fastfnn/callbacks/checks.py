"""What a training checks of its callbacks before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastfnn import validation
from fastfnn.callbacks.base import Callback, FunctionCallback
from fastfnn.history import History
from fastfnn.metrics import Metric, higher_is_better
from fastfnn.optimizers import Optimizer


def checked_callbacks(
    callbacks: Any,
    validated: bool,
    with_accuracy: bool,
    metrics: Sequence[Metric] | None = None,
    optimizer: Optimizer | None = None,
    on_arrays: bool = True,
) -> list[Callback]:
    """Return the callbacks that `fit` was given as `Callback` objects.

    Parameters
    ----------
    callbacks : list of Callback or callable, or None
    validated : bool
        Whether there is validation data; without it the history holds only the loss and the metrics.
    with_accuracy : bool
        Whether the network has an accuracy.
    metrics : sequence of Metric, optional
        What else is measured; None for an estimator, whose user cannot ask for metrics.
    optimizer : Optimizer, optional
        Whose learning rate callbacks may change.
    on_arrays : bool
        Whether accuracy and metrics are measured on the training samples, too: not on those of a source.
    """
    if callbacks is None:
        return []
    if not isinstance(callbacks, (list, tuple)):
        raise TypeError(f"callbacks must be a list, got {type(callbacks).__name__}")
    found = [_as_callback(f"callbacks[{i}]", value) for i, value in enumerate(callbacks)]
    measured = _Measured(validated, with_accuracy, metrics, on_arrays)
    for i, callback in enumerate(found):
        name = f"callbacks[{i}]"
        for argument, quantity in callback._reads():
            measured.check(name, argument, quantity)
        if callback.monitor is not None and getattr(callback, "mode", None) == "auto":
            measured.check_direction(name, callback.monitor)
        if callback._changes_rate and optimizer is not None and callable(optimizer.learning_rate):
            wanted = "must be a number then and no schedule"
            raise ValueError(f"{name} changes the learning rate, which {wanted}, got {optimizer!r}")
    return found


def call_after_epoch(watchers: Sequence[Callback], net: Any, history: History) -> bool:
    """Call the callbacks of a training after an epoch; return whether one of them ends it."""
    returned = [watcher.epoch(net, history) for watcher in watchers]  # all are called before any result counts
    stops = [validation.returned_truth(f"callbacks[{i}]", value) for i, value in enumerate(returned)]
    return any(stops)


def _as_callback(name: str, value: Any) -> Callback:
    if isinstance(value, type) or not (isinstance(value, Callback) or callable(value)):
        got = f"class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise TypeError(f"{name} must be a Callback or a function of (net, history), got {got}")
    return value if isinstance(value, Callback) else FunctionCallback(value)


class _Measured:
    """The names that the history of a training can have, and those that it will have; see `checked_callbacks`."""

    def __init__(self, validated: bool, with_accuracy: bool, metrics: Sequence[Metric] | None, on_arrays: bool) -> None:
        self.metrics, self.on_arrays = metrics, on_arrays
        asked = [metric.name for metric in metrics or ()]
        quantities = dict.fromkeys(["loss", *(["accuracy"] if with_accuracy else []), *asked])
        self.known = tuple(prefix + name for name in quantities for prefix in ("", "val_"))
        on_training = (self.known if validated else ("loss", *asked)) if on_arrays else ("loss",)
        on_validation = [name for name in self.known if validated and name.startswith("val_")]
        self.measured = (*on_training, *on_validation)

    def check(self, name: str, argument: str, quantity: str) -> None:
        """Raise if a quantity that an argument of a callback names is not measured."""
        try:
            # The names in a path are quantities or the number of the epoch.
            known = ("epoch", *self.known) if argument == "path" else self.known
            validation.choice(f"{name}.{argument}", quantity, known)
        except ValueError as error:
            metric = quantity.removeprefix("val_")
            if self.metrics is not None and metric != "accuracy" and higher_is_better(metric) is not None:
                raise ValueError(f"{str(error).split('; did')[0]}; metrics=[{metric!r}] measures it") from None
            raise
        if quantity not in self.measured:
            use = f"to monitor {quantity!r}" if argument == "monitor" else f"with {quantity!r} in its {argument}"
            if not self.on_arrays and not quantity.startswith("val_"):
                raise ValueError(f"x must be arrays for {name} {use}: on a source only the loss is measured")
            if self.metrics is None:
                raise ValueError(f"early_stopping must be True or eval_set be given for {name} {use}, got neither")
            raise ValueError(f"validation_data must be given for {name} {use}, got None")

    def check_direction(self, name: str, monitor: str) -> None:
        """Raise if nobody knows whether higher values of what is monitored are better."""
        for metric in self.metrics or ():
            if metric.function is not None and metric.name == monitor.removeprefix("val_"):
                which = f"to monitor {monitor!r}, which is a function of your own"
                raise ValueError(f"{name}.mode must be 'min' or 'max' {which}; got 'auto'")
