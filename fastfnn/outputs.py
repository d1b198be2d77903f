"""Files that the command `fastfnn` writes: checked before a long run, so that a typing error does not waste it."""

import argparse
import io
import os
import pathlib

from fastfnn import atomic
from fastfnn.history import History

PLOT_DPI = 120


def check(options: argparse.Namespace, *names: str) -> None:
    """Raise ValueError, OSError or ImportError unless all files that these options name can be written.

    Parameters
    ----------
    options : argparse.Namespace
        Without the options that were not given.
    *names : str
        Of options that name files; "plot" is the file of a chart.
    """
    earlier: dict[pathlib.Path, str] = {}
    for name in names:
        if name not in options:
            continue
        path = pathlib.Path(getattr(options, name)).resolve()
        if not path.parent.is_dir():
            raise ValueError(f"--{name} must name a file in an existing folder, got the folder {path.parent}")
        if path.is_dir():
            raise ValueError(f"--{name} must name a file, got the folder {path}")
        if path in earlier:
            raise ValueError(f"--{name} must not name the file of --{earlier[path]}, got {path} for both")
        earlier[path] = name
        if name == "plot":
            plot_format(getattr(options, name))
        try:
            atomic.check(getattr(options, name))
        except OSError as error:
            raise OSError(f"--{name} must name a file that can be written: {error}") from error


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
