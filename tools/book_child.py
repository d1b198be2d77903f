"""Runs one script of the book for tools/book_scripts.py, in a process of its own.

    python book_child.py SCRIPT WHOSE SEED RESULT

WHOSE is "theirs" or "ours", for the modules `common` of the book or of fastfnn. Writes a file RESULT.npz: the lines of
all figures that the script showed, and the seconds that it took, without those of the imports above its own.
"""

import os
import pathlib
import runpy
import sys
import time
from typing import Any

import matplotlib
import matplotlib.image  # loads PIL
import numpy as np
from matplotlib import pyplot


def main(script: str, whose: str, seed: str, result: str) -> None:
    """Run the script with the curves of its figures kept."""
    path = pathlib.Path(script).resolve()
    os.chdir(path.parent)
    sys.path[0] = str(path.parent)
    sys.argv = [path.name]
    began = time.perf_counter()
    if whose == "ours":
        import fastfnn.book  # noqa: F401
    imported = time.perf_counter()

    curves: list[np.ndarray] = []
    replace_windows(curves)
    np.random.seed(int(seed))
    begun = time.perf_counter()
    try:
        runpy.run_path(path.name, run_name="__main__")
    finally:
        seconds = time.perf_counter() - begun
        named = {f"curve{number:04}": curve for number, curve in enumerate(curves)}
        np.savez(result, seconds=seconds, import_seconds=imported - began, **named)


def replace_windows(curves: list[np.ndarray]) -> None:
    """Let `pyplot.show` append the lines of all figures to `curves`, and images open no viewer."""
    matplotlib.use("Agg")

    def show(*_: Any, **__: Any) -> None:
        for number in pyplot.get_fignums():
            for axes in pyplot.figure(number).axes:
                curves.extend(np.asarray(line.get_xydata(), float) for line in axes.lines)
        pyplot.close("all")

    pyplot.show = show
    from PIL import Image

    Image.Image.show = lambda *_, **__: None


if __name__ == "__main__":
    main(*sys.argv[1:])
