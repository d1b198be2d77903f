"""The record of a training run."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
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
