"""The record of a training run."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# The lists with one entry per epoch.
PER_EPOCH = ("loss", "accuracy", "val_loss", "val_accuracy", "seconds", "samples_per_second")


@dataclass(repr=False)
class History:
    """What `FNN.fit` measured: lists with one entry per epoch, and the loss of each step.

    Attributes
    ----------
    loss : list of float
        Mean training loss per sample over the epoch; each batch is measured before its update.
    accuracy : list of float
        Accuracy on the training samples after the epoch; only measured if there is validation data.
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

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.loss)

    def __repr__(self) -> str:
        measured = [_last_and_best(name, getattr(self, name)) for name in PER_EPOCH[:4] if getattr(self, name)]
        time = f" in {sum(self.seconds):.3g} s" if self.seconds else ""
        epochs = f"{self.epochs} epoch{'' if self.epochs == 1 else 's'}"
        return f"History({epochs}{time}{': ' if measured else ''}{'; '.join(measured)})"

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
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("History.to_frame needs pandas: pip install pandas") from error
        columns = {name: values for name in PER_EPOCH if (values := getattr(self, name)) or name == "loss"}
        index = pandas.RangeIndex(1, self.epochs + 1, name="epoch")
        padded = {name: [*values, *[math.nan] * (self.epochs - len(values))] for name, values in columns.items()}
        return pandas.DataFrame(padded, index, dtype="float64")

    def to_json(self) -> str:
        """Return all lists and `step_loss` as the text of a JSON object.

        Numbers that JSON does not have, NaN and infinity, become null.

        Examples
        --------
        >>> import fastfnn as fnn
        >>> import json
        >>> json.loads(fnn.History(loss=[0.5, float("nan")]).to_json())["loss"]
        [0.5, None]
        """
        lists = {name: getattr(self, name) for name in PER_EPOCH} | {"step_loss": self.step_loss.tolist()}
        finite = {
            name: [value if math.isfinite(value) else None for value in map(float, values)]
            for name, values in lists.items()
        }
        return json.dumps(finite, allow_nan=False)

    def _extend(self, **values: list[float]) -> None:
        """Append values to the lists of these names: to all of them, or to none if an exception comes between."""
        lists = [(getattr(self, name), more) for name, more in values.items()]
        lengths = [len(items) for items, _ in lists]
        try:
            for items, more in lists:
                items += more
        except BaseException:
            for (items, _), length in zip(lists, lengths, strict=True):
                del items[length:]
            raise

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss and accuracy over the epochs.

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
        figure = Drawing(figsize=(5 * len(curves), 3.8), layout="constrained")
        FigureCanvasAgg(figure)
        for column, (quantity, lines) in enumerate(curves.items(), 1):
            axes = figure.add_subplot(1, len(curves), column)
            for (label, values), style in zip(lines.items(), ("o-", "s--"), strict=True):
                if values:
                    axes.plot(range(1, len(values) + 1), values, style, markersize=4, label=label)
            axes.set_xlabel("epoch")
            axes.set_ylabel(quantity if quantity == "accuracy" else "mean loss per sample")
            axes.set_title(quantity.capitalize())
            axes.grid(alpha=0.3)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.legend()
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _curves(self) -> dict[str, dict[str, list[float]]]:
        """Return the curves of each quantity that was measured."""
        curves = {
            "loss": {"training": self.loss, "validation": self.val_loss},
            "accuracy": {"training": self.accuracy, "validation": self.val_accuracy},
        }
        return {quantity: lines for quantity, lines in curves.items() if any(lines.values())}


def _last_and_best(name: str, values: list[float]) -> str:
    """Return the last value of a list, and the best one if that is another."""
    text = f"{name} {values[-1]:.4g}"
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return text
    best = max(known) if name.endswith("accuracy") else min(known)
    return text if best == values[-1] else f"{text}, best {best:.4g} in epoch {values.index(best) + 1}"
