"""The record of a training run."""

import io
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class History:
    """What `FNN.fit` measured: one entry an epoch in each list, one entry a step in `step_loss`.

    loss                mean training loss over the epoch's samples, each taken before the update of its batch
    accuracy            on the training data after the epoch; measured only where validation_data is given
    val_loss            on validation_data after the epoch
    val_accuracy        on validation_data after the epoch; empty for the squared error, as accuracy is
    seconds             wall time of the epoch's training, without the evaluations; where several short epochs went into
                        one compiled call, their mean
    samples_per_second  samples trained on in that time
    step_loss           (steps,) float64: the mean loss of every batch, before its update
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
        """The number of epochs that were finished."""
        return len(self.loss)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss and accuracy over the epochs; save to `path` if given. Returns the matplotlib figure, which a
        notebook shows.

        Needs matplotlib: pip install 'fastfnn[plot]'.
        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'fastfnn[plot]'") from error

        curves = {
            "loss": {"training": self.loss, "validation": self.val_loss},
            "accuracy": {"training": self.accuracy, "validation": self.val_accuracy},
        }
        if self.epochs == 0:
            raise ValueError("plot needs at least one finished epoch, got a history with none")
        drawn = {quantity: lines for quantity, lines in curves.items() if any(lines.values())}

        class Drawing(Figure):
            def _repr_png_(self) -> bytes:  # what a notebook asks for where pyplot is not in use
                buffer = io.BytesIO()
                self.savefig(buffer, format="png")
                return buffer.getvalue()

        figure = Drawing(figsize=(5 * len(drawn), 3.8), layout="constrained")
        FigureCanvasAgg(figure)
        for column, (quantity, lines) in enumerate(drawn.items(), 1):
            axes = figure.add_subplot(1, len(drawn), column)
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
