"""`--log`: a CSV file with a row for each epoch, written as the training goes."""

import csv
import io
from typing import Any, TextIO

from fastfnn.callbacks import Callback
from fastfnn.history import PER_EPOCH, History


class Log(Callback):
    """Writes a row after each epoch; each is written at once, so that there are whole lines only.

    Parameters
    ----------
    path : str or None
        None writes nothing.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> "Log":
        if self._path is not None:
            self._file = open(self._path, "w", encoding="utf-8", newline="")
        return self

    def __exit__(self, *error: Any) -> None:
        if self._file is not None:
            self._file.close()

    def epoch(self, net: Any, history: History) -> None:
        """Write the row of the last epoch, before the first one the names of the columns."""
        if self._file is None:
            return
        measured = {name: getattr(history, name)[-1] for name in PER_EPOCH if getattr(history, name)}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if history.epochs == 1:
            writer.writerow(["epoch", *measured])
        writer.writerow([history.epochs, *map(repr, map(float, measured.values()))])
        self._file.write(text.getvalue())
        self._file.flush()
