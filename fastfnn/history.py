"""The record of a training run."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastfnn.improvement import best_place
from fastfnn.metrics import higher_is_better

# The lists with one entry per epoch, besides those of `metrics`.
MEASURED = ("loss", "accuracy", "val_loss", "val_accuracy")
PER_EPOCH = (*MEASURED, "learning_rate", "seconds", "samples_per_second")

CHARTS_SIDE_BY_SIDE = 3
MARKERS = 30  # of a curve at most: more would hide whether its line is solid or dashed


@dataclass(repr=False)
class History:
    """What `FNN.fit` measured: lists with one entry per epoch, and the loss of each step.

    Attributes
    ----------
    loss : list of float
        Mean training loss per sample over the epoch; each batch is measured before its update.
    accuracy : list of float
        Accuracy on the training samples after the epoch; only measured if there is validation data, or if it is among
        the `metrics` of `FNN.fit`.
    val_loss : list of float
        Loss on the validation data after the epoch.
    val_accuracy : list of float
        Accuracy on the validation data after the epoch. Like `accuracy` it is empty if the loss is no
        cross-entropy.
    seconds : list of float
        Wall time of the epoch's training, in seconds, without the measurements. Short epochs that share a compiled call
        get their mean time.
    samples_per_second : list of float
        Training samples per second of that time.
    step_loss : (steps,) float64 array
        Mean loss of each batch, before its update.
    metrics : dict of str to list of float
        The metrics that `FNN.fit` was asked for, but accuracy, by name: on the training samples, as "mae", and, with
        validation data, on these, as "val_mae".
    learning_rate : list of float
        Learning rate of the last step of the epoch; only with the callback `LearningRateLogger`.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> fnn.History(loss=[0.9, 0.5, 0.4], val_loss=[0.8, 0.6, 0.7], seconds=[0.1, 0.1, 0.1])
    History(3 epochs in 0.3 s: loss 0.4; val_loss 0.7, best 0.6 in epoch 2)
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    val_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    samples_per_second: list[float] = field(default_factory=list)
    step_loss: np.ndarray = field(default_factory=lambda: np.empty(0))
    metrics: dict[str, list[float]] = field(default_factory=dict)
    learning_rate: list[float] = field(default_factory=list)
    _last_rate: float = field(default=math.nan, init=False, compare=False)  # of the last step of the last epoch

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.loss)

    def __repr__(self) -> str:
        measured = [_last_and_best(name, self._values(name)) for name in (*MEASURED, *self.metrics)]
        time = f" in {sum(self.seconds):.3g} s" if self.seconds else ""
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        text = "; ".join(filter(None, measured))
        return f"History({epochs}{time}{': ' if text else ''}{text})"

    def _values(self, name: str) -> list[float]:
        """Return the list of a quantity, with one entry per epoch: an attribute, or one of `metrics`."""
        values: list[float] = self.metrics[name] if name in self.metrics else getattr(self, name)
        return values

    def _columns(self) -> dict[str, list[float]]:
        """Return all lists with one entry per epoch, by name, in the order in which tables have them."""
        return {name: self._values(name) for name in (*MEASURED, *self.metrics, *PER_EPOCH[len(MEASURED) :])}

    def to_frame(self) -> Any:
        """Return what was measured as a table of pandas.

        Returns
        -------
        pandas.DataFrame
            A row for each epoch, whose number, from 1, is the index; a column for each quantity that was measured, NaN
            where an exception came before the measurement.

        Raises
        ------
        ImportError
            If pandas is missing.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> fnn.History(loss=[0.9, 0.5], val_loss=[0.8, 0.6]).to_frame().loc[2].to_dict()
        {'loss': 0.5, 'val_loss': 0.6}
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("History.to_frame needs pandas: pip install pandas") from error
        columns = {name: values for name, values in self._columns().items() if values or name == "loss"}
        index = pandas.RangeIndex(1, self.epochs + 1, name="epoch")
        padded = {name: [*values, *[math.nan] * (self.epochs - len(values))] for name, values in columns.items()}
        return pandas.DataFrame(padded, index, dtype="float64")

    def to_json(self) -> str:
        """Return all lists, those of `metrics` too, and `step_loss` as the text of a JSON object.

        Returns
        -------
        str
            Numbers that JSON does not have, NaN and infinity, are null in it.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> import json
        >>> json.loads(fnn.History(loss=[0.5, float("nan")]).to_json())["loss"]
        [0.5, None]
        """
        lists = self._columns() | {"step_loss": self.step_loss.tolist()}
        finite = {
            name: [value if math.isfinite(value) else None for value in map(float, values)]
            for name, values in lists.items()
        }
        return json.dumps(finite, allow_nan=False)

    def _extend(self, /, **values: list[float]) -> None:
        """Append values to the lists of these names: to all of them, or to none if an exception comes between."""
        lists = [(self._values(name), more) for name, more in values.items()]
        lengths = [len(items) for items, _ in lists]
        try:
            for items, more in lists:
                items += more
        except BaseException:
            for (items, _), length in zip(lists, lengths, strict=True):
                del items[length:]
            raise

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss, accuracy and other metrics over the epochs.

        Parameters
        ----------
        path : str or path-like, optional
            File to save the figure to; its suffix chooses the format.

        Returns
        -------
        matplotlib.figure.Figure
            A figure that a notebook displays.

        Raises
        ------
        ImportError
            If matplotlib is missing; the extra ``fastfnn[plot]`` installs it.
        ValueError
            If no epoch was finished.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> figure = fnn.History(loss=[0.9, 0.5], accuracy=[0.7, 0.8]).plot()
        >>> [axes.get_title() for axes in figure.axes]
        ['Loss', 'Accuracy']
        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'fastfnn[plot]'") from error

        if self.epochs == 0:
            raise ValueError("plot needs at least one finished epoch, got a history with none")

        class Drawing(Figure):
            def _repr_png_(self) -> bytes:  # notebooks call this; plain figures are displayed by pyplot only
                buffer = io.BytesIO()
                self.savefig(buffer, format="png")
                return buffer.getvalue()

        curves = self._curves()
        columns = min(len(curves), CHARTS_SIDE_BY_SIDE)
        rows = -(-len(curves) // columns)
        figure = Drawing(figsize=(5 * columns, 3.8 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        for number, (quantity, lines) in enumerate(curves.items(), 1):
            axes = figure.add_subplot(rows, columns, number)
            for (label, values), style in zip(lines.items(), ("o-", "s--"), strict=True):
                if values:
                    every = -(-len(values) // MARKERS)
                    axes.plot(range(1, len(values) + 1), values, style, markersize=4, markevery=every, label=label)
            axes.set_xlabel("epoch")
            axes.set_ylabel("mean loss per sample" if quantity == "loss" else quantity)
            axes.set_title(quantity if quantity in self.metrics else quantity.capitalize())
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
            axes.legend()
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _curves(self) -> dict[str, dict[str, list[float]]]:
        """Return the curves of each quantity that was measured."""
        curves = {
            "loss": {"training": self.loss, "validation": self.val_loss},
            "accuracy": {"training": self.accuracy, "validation": self.val_accuracy},
        } | {
            name: {"training": values, "validation": self.metrics.get(f"val_{name}", [])}
            for name, values in self.metrics.items()
            if not name.startswith("val_")
        }
        return {quantity: lines for quantity, lines in curves.items() if any(lines.values())}


def _last_and_best(name: str, values: list[float]) -> str:
    """Return the last value of a list, and the best one if that is another and known; nothing of an empty list."""
    if not values:
        return ""
    text = f"{name} {values[-1]:.4g}"
    higher = higher_is_better(name)
    place = None if higher is None else best_place(values, higher=higher)
    if place is None or values[place] == values[-1]:
        return text
    return f"{text}, best {values[place]:.4g} in epoch {place + 1}"
