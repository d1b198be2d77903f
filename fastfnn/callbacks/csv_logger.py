"""A CSV file with a row for each epoch."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from fastfnn import validation
from fastfnn.callbacks import states
from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.paths import checked_path, make_folder
from fastfnn.history import History


class CSVLogger(Callback):
    """Write a row for each epoch to a CSV file, as soon as the epoch has ended.

    Parameters
    ----------
    path : str or path-like
        The file. Missing folders are created.
    separator : str, default ","
        One character between the columns.
    append : bool, default False
        Write below what the file has, instead of a new file; its columns must be those of this training.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value. `FNN.fit` raises ValueError for a file with other columns, and
        OSError for one that cannot be written.

    Notes
    -----
    The columns are the number of the epoch, from 1, all that the `History` measures, and the learning rate of the last
    step of the epoch. Numbers have all their digits; those that are not finite are nan, inf and -inf.

    An earlier file is replaced by the first row. A training that goes on from a checkpoint appends to the file; rows of
    epochs after the checkpoint, which will be trained again, are removed.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn as fnn
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "log.csv")
    >>> net = fnn.FNN((1, 1), loss="squared_error", seed=0)
    >>> log = fnn.callbacks.CSVLogger(path)
    >>> history = net.fit([[0.0], [1.0]], [1.0, 3.0], epochs=3, metrics=["mae"], callbacks=[log])
    >>> lines = open(path).read().splitlines()
    >>> lines[0], len(lines)
    ('epoch,loss,mae,learning_rate,seconds,samples_per_second', 4)
    >>> folder.cleanup()
    """

    _writes_files: ClassVar[bool] = True

    _columns: list[str] | None
    _size: int  # of the file after the last row
    _size_to_keep: int  # of the file of a training that is resumed, until its first row; else 0

    def __init__(self, path: str | os.PathLike[str], separator: str = ",", append: bool = False) -> None:
        self.path: str = checked_path("path", path)
        if not isinstance(separator, str):
            raise TypeError(f"separator must be a str, got {type(separator).__name__}")
        if len(separator) != 1 or separator.isalnum() or separator in "_.+-\r\n":
            raise ValueError(f"separator must be one character that numbers and names do not have, got {separator!r}")
        self.separator = separator
        self.append: bool = validation.boolean("append", append)
        self._restart()

    def __repr__(self) -> str:
        return f"CSVLogger({self.path!r}, separator={self.separator!r}, append={self.append})"

    def begin(self, net: Any, history: History) -> None:
        """Create the folder and find out whether the file can be written; what it holds stays until the first row."""
        self._restart()
        make_folder(self.path)
        with open(self.path, "ab"):
            pass

    def epoch(self, net: Any, history: History) -> None:
        """Write a row."""
        columns = history._columns() | {"learning_rate": [history._last_rate]}
        texts = {name: repr(float(values[-1])) for name, values in columns.items() if values}
        texts = {"epoch": str(history.epochs)} | texts
        if self._size_to_keep:
            self._go_on()
        if self._columns is None:
            self._columns = self._begin_file(list(texts))
        self._write([texts.get(name, "nan") for name in self._columns], "ab")

    def state(self) -> dict[str, Any]:
        """Return the columns, and the size of the file."""
        return {"columns": self._columns, "size": self._size}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on below the row of the last epoch before the checkpoint, once there is another row."""
        if state["columns"] is not None:  # else there was no row yet
            columns = [states.text("columns", name) for name in states.items("columns", state["columns"])]
            self._size_to_keep = self._size = states.count("size", state["size"], 1)
            self._columns = columns

    def _restart(self) -> None:
        self._columns = None
        self._size = self._size_to_keep = 0

    def _go_on(self) -> None:
        """Remove the rows after those of the checkpoint; a file that has become shorter is another one."""
        if os.path.getsize(self.path) < self._size_to_keep:
            self._columns = None
        else:
            os.truncate(self.path, self._size_to_keep)
        self._size_to_keep = 0

    def _begin_file(self, columns: list[str]) -> list[str]:
        """Return the columns of the file, whose first line names them: of the one to append to, or of a new one."""
        if not self.append or os.path.getsize(self.path) == 0:
            self._write(columns, "wb")
            return columns
        with open(self.path, "rb") as file:
            first = file.readline().decode(errors="replace").rstrip("\r\n")
            file.seek(-1, os.SEEK_END)
            ends_with_line = file.read() == b"\n"
        found = first.split(self.separator)
        if sorted(found) != sorted(columns):
            wanted = self.separator.join(columns)
            raise ValueError(f"path must lead to a file with the columns {wanted} to append to, got {first!r}")
        if not ends_with_line:
            self._write([""], "ab")
        return found

    def _write(self, items: list[str], mode: str) -> None:
        with open(self.path, mode) as file:
            file.write(f"{self.separator.join(items)}\n".encode())
        self._size = os.path.getsize(self.path)
