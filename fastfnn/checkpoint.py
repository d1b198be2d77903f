"""`Checkpoint`, with which a user says where and how often a training writes all that it needs to go on.

`keeper.py` writes and reads the file.
"""

from __future__ import annotations

import copy
import os
from typing import Any

from fastfnn import files, validation

FILE = "checkpoint.safetensors"
UNITS = ("epochs", "steps", "seconds")


class Checkpoint:
    """Where and how often `fit` writes all that it needs to go on, should it be killed.

    Parameters
    ----------
    path : str or path-like
        A folder, which is created if it is missing. The checkpoint is the file ``checkpoint.safetensors`` in it; a new
        one takes the place of the old one in one step. Each training needs a folder of its own.
    every : int or float, optional
        How much training lies between two checkpoints, in `unit`. By default about 10 seconds, and more where writing
        a checkpoint takes longer than 2 % of this.
    unit : {"epochs", "steps", "seconds"}, default "epochs"
        What `every` counts.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value.

    Notes
    -----
    A checkpoint is written between two compiled calls, as soon as it is due. Calls take about 0.2 seconds, so that it
    can come later than `every` says by as much: in the middle of a long epoch, or after several short ones. One more is
    written at the end, and one when Ctrl-C ends the training in the middle of an epoch.

    The file is a network that `fastfnn.load` reads, with the parameters after the last step.

    Examples
    --------
    >>> import fastfnn as fnn
    >>> fnn.Checkpoint("runs/first", every=5)
    Checkpoint('runs/first', every=5, unit='epochs')
    """

    def __init__(self, path: str | os.PathLike[str], *, every: float | None = None, unit: str = "epochs") -> None:
        self.path: str = files.checked_path(path)
        if not self.path:
            raise ValueError("path must be the name of a folder for the checkpoint, got an empty one")
        if self.path.endswith(".safetensors"):
            raise ValueError(f"path must be a folder, in which the file {FILE} is written; got the file {self.path}")
        self.unit: str = validation.choice("unit", unit, UNITS)
        if every is None:
            self.every: float | None = None
        elif self.unit == "seconds":
            self.every = validation.positive("every", every)
        else:
            self.every = validation.integer("every", every, 1)

    def __repr__(self) -> str:
        often = "" if self.every is None else f", every={self.every}, unit={self.unit!r}"
        return f"Checkpoint({self.path!r}{often})"

    def of_network(self, number: int) -> Checkpoint:
        """Return the checkpoint of one of several networks that are trained together: in a folder of its own.

        :meta private:
        """
        part = copy.copy(self)
        part.path = os.path.join(self.path, f"network-{number}")
        return part

    @property
    def file(self) -> str:
        """The file in the folder `path`."""
        return os.path.join(self.path, FILE)


def checked_checkpoint(checkpoint: Any, resume: Any) -> Checkpoint | None:
    """Return the `Checkpoint` that `fit` was given, perhaps as the path of a folder."""
    resume = validation.boolean("resume", resume)
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs the checkpoint to resume from, got checkpoint=None")
        return None
    if isinstance(checkpoint, Checkpoint):
        return checkpoint
    if not isinstance(checkpoint, (str, bytes, os.PathLike)):
        raise TypeError(f"checkpoint must be a Checkpoint or the path of a folder, got {type(checkpoint).__name__}")
    return Checkpoint(checkpoint)  # type: ignore[arg-type]
