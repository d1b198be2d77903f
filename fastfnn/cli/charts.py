"""Pictures of `fastfnn evaluate`: a confusion matrix, or predictions and residuals."""

import io
from typing import Any

import numpy as np

from fastfnn import atomic, outputs
from fastfnn.tables.scores import Classified, Regressed

COUNTS_UP_TO = 30  # classes whose cells are labelled
FEW_POINTS = 500  # are drawn darker, since they seldom overlap
POINTS_UP_TO = 3_000  # more rows are shown as a density

BLUE, ORANGE = "#0072B2", "#D55E00"  # of Okabe and Ito, which everybody can tell apart


def draw(found: Classified | Regressed, path: str) -> None:
    """Save a picture of predictions beside the truth; an OSError says whatever went wrong."""
    try:
        figure = _confusion(found) if isinstance(found, Classified) else _residuals(found)
        picture = io.BytesIO()
        figure.savefig(picture, format=outputs.plot_format(path), dpi=outputs.PLOT_DPI)
        atomic.replace(path, picture.getvalue())
    except Exception as error:  # matplotlib calls other programs for some formats
        raise OSError(f"the chart is not saved: {error}") from error


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _confusion(found: Classified) -> Any:
    """Cells are coloured by the share of their class, so that rare classes are seen too."""
    from matplotlib.colors import PowerNorm

    counts = found.confusion()
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = float(np.clip(2.2 + 0.42 * len(counts), 4.2, 16))
    figure = _figure(size + 1.2, size)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 100))  # a few percent are visible
    numbers = range(len(counts))
    if len(counts) <= COUNTS_UP_TO:
        labels = [label if len(label) <= 20 else f"{label[:19]}…" for label in found.labels]
        upright = max(map(len, labels)) * len(labels) > 40
        axes.set_xticks(numbers, labels, rotation=90 if upright else 0)
        axes.set_yticks(numbers, labels)
        digits = max(len(f"{count:,}") for count in counts.flat)
        font = float(np.clip(9 * 4 / max(digits, 3), 5, 9))
        for i in numbers:
            for j in numbers:
                if counts[i, j]:
                    color = "white" if shares[i, j] > 35 else "black"
                    axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=color, fontsize=font)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    accuracy = found.summary()["accuracy"]
    axes.set_title(f"{len(found.truth):,} rows, accuracy {100 * accuracy:.1f} %", fontsize=11)
    figure.colorbar(image, ax=axes, label="share of the true class in %", shrink=0.8, ticks=[0, 1, 5, 20, 50, 100])
    return figure


def _visible_blues() -> Any:
    """A colour map in which a single row can be seen."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0.3, 1, 256)))


def _residuals(found: Regressed) -> Any:
    from matplotlib.colors import LogNorm

    figure = _figure(10, 4.4)
    residuals = found.truth - found.predicted
    left, right = figure.subplots(1, 2)
    densities = []
    for axes, values in ((left, found.truth), (right, residuals)):
        if len(values) <= POINTS_UP_TO:
            alpha = 0.7 if len(values) <= FEW_POINTS else 0.4
            axes.plot(found.predicted, values, "o", color=BLUE, markersize=4, alpha=alpha, markeredgewidth=0)
        else:
            densities.append(axes.hexbin(found.predicted, values, gridsize=60, cmap=_visible_blues(), mincnt=1))
        axes.set_xlabel(f"predicted {found.name}")
        axes.grid(alpha=0.3)
    ends = [min(found.truth.min(), found.predicted.min()), max(found.truth.max(), found.predicted.max())]
    left.plot(ends, ends, color=ORANGE, linewidth=1.2, label="truth = prediction")
    left.set_ylabel(f"true {found.name}")
    left.legend(loc="upper left")
    right.axhline(0, color=ORANGE, linewidth=1.2)
    right.set_ylabel(f"residual: true − predicted {found.name}")
    if densities:
        most = max(density.get_array().max() for density in densities)
        for density in densities:  # one scale for both
            density.set_norm(LogNorm(1, max(most, 2)))
        figure.colorbar(densities[0], ax=[left, right], label="rows", shrink=0.9)
    summary = found.summary()
    r2 = f", R² {summary['r2']:.3f}" if "r2" in summary else ""
    figure.suptitle(f"{len(found.truth):,} rows, RMSE {summary['rmse']:.4g}{r2}", fontsize=11)
    return figure
