"""Pictures that the command `fastfnn` writes; their format is checked before a long run."""

import io
import os
import pathlib

from fastfnn import atomic
from fastfnn.history import History

PLOT_DPI = 120


def plot_format(path: str) -> str:
    """Return the format of a chart, which is the suffix of its file; PNG if it has none."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError("--plot needs matplotlib: pip install 'fastfnn[plot]'") from error
    suffix = pathlib.Path(path).suffix.lstrip(".").lower() or "png"
    known = FigureCanvasAgg.get_supported_filetypes()
    if suffix not in known:
        raise ValueError(f"--plot must name a file of type {', '.join(sorted(known))}; got {path}")
    return suffix


def draw(history: History, path: str | os.PathLike[str]) -> None:
    """Save the curves of a training; an OSError says whatever went wrong."""
    try:
        picture = io.BytesIO()
        history.plot().savefig(picture, format=plot_format(os.fspath(path)), dpi=PLOT_DPI)
        atomic.replace(path, picture.getvalue())
    except Exception as error:  # matplotlib calls other programs for some formats
        raise OSError(f"the curves are not saved: {error}") from error
