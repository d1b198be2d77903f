"""Files of the network after each epoch, or after each that is the best so far."""

from __future__ import annotations

import os
import string
from typing import Any, ClassVar

from fastfnn import streams, validation
from fastfnn.callbacks import states
from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.monitoring import LEVEL_OF_USER, checked_mode, checked_monitor, improves, last_value
from fastfnn.callbacks.paths import checked_path, make_folder
from fastfnn.history import History


class ModelCheckpoint(Callback):
    """Save the network after each epoch, or only after each that is the best so far.

    Parameters
    ----------
    path : str or path-like
        The file, which `fastfnn.load` reads. ``{epoch}`` in it stands for the number of the epoch, from 1, and the name
        of a list of `History` for its last value, with a format if wanted: ``"epoch{epoch:03d}-{val_loss:.4f}.st"``.
        Missing folders are created.
    monitor : str, default "val_loss"
        Which list of `History` decides what is best: "val_loss", "loss", "val_accuracy", "accuracy" or a metric of
        `FNN.fit`, as "val_mae". Only looked at if `save_best_only` is True.
    save_best_only : bool, default False
        Save only after an epoch that is better than all before it.
    mode : {"auto", "min", "max"}, default "auto"
        Whether lower or higher values are better; a function of your own needs it, of other names it is known.

    Attributes
    ----------
    best : float or None
        The best value of `monitor`; None before the first one, or without `save_best_only`. A value that is not finite
        is never the best.
    best_epoch : int or None
        Number of the epoch of the best value.
    last_path : str or None
        The file that was written last.

    Notes
    -----
    A file is written as by `FNN.save`: at every moment it is the old file or the new one, whole. It holds the network,
    not the optimizer. If `monitor` was finite after no epoch, `save_best_only` saves nothing, and a RuntimeWarning says
    so.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn as fnn
    >>> folder = tempfile.TemporaryDirectory()
    >>> net = fnn.FNN((1, 1), loss="squared_error", seed=0)
    >>> best = fnn.callbacks.ModelCheckpoint(
    ...     os.path.join(folder.name, "epoch{epoch}.safetensors"), monitor="loss", save_best_only=True
    ... )
    >>> history = net.fit([[0.0], [1.0]], [1.0, 3.0], epochs=3, callbacks=[best])
    >>> os.path.basename(best.last_path), sorted(os.listdir(folder.name))[0]
    ('epoch3.safetensors', 'epoch1.safetensors')
    >>> bool(fnn.load(best.last_path).predict([1.0]) == net.predict([1.0]))
    True
    >>> folder.cleanup()
    """

    _writes_files: ClassVar[bool] = True

    best: float | None
    best_epoch: int | None
    last_path: str | None

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        save_best_only: bool = False,
        mode: str = "auto",
    ) -> None:
        self.path: str = checked_path("path", path)
        self.save_best_only: bool = validation.boolean("save_best_only", save_best_only)
        self._monitor = checked_monitor(monitor)
        self.monitor: str | None = self._monitor if self.save_best_only else None
        self.mode: str = checked_mode(mode)
        self._names = _names_in(self.path)
        self._restart()

    def __repr__(self) -> str:
        options = f"monitor={self._monitor!r}, save_best_only={self.save_best_only}"
        mode = "" if self.mode == "auto" else f", mode={self.mode!r}"
        return f"ModelCheckpoint({self.path!r}, {options}{mode})"

    def begin(self, net: Any, history: History) -> None:
        """Forget an earlier training, and create the folder unless its name depends on the epoch."""
        self._restart()
        if not _names_in(os.path.dirname(self.path)):
            make_folder(self.path.format(**dict.fromkeys(self._names, 0)))

    def epoch(self, net: Any, history: History) -> None:
        """Save the network, if the epoch is the best so far or all are saved."""
        if self.monitor is not None:
            value = last_value(history, self.monitor)
            if not improves(value, self.best, self.monitor, self.mode):
                return
            self.best, self.best_epoch = value, history.epochs
        values = {name: history.epochs if name == "epoch" else last_value(history, name) for name in self._names}
        path = self.path.format(**values)
        make_folder(path)
        net.save(path)
        self.last_path = path

    def end(self, net: Any, history: History) -> None:
        """Warn if nothing was the best."""
        if self.monitor is not None and self.best is None and history.epochs:
            told = f"{self.monitor} was not finite after any epoch: no network was saved to {self.path}"
            streams.warn(told, RuntimeWarning, stacklevel=LEVEL_OF_USER)

    def state(self) -> dict[str, Any]:
        """Return what was best, and the last file."""
        return {"best": self.best, "best_epoch": self.best_epoch, "last_path": self.last_path}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what was best."""
        best, epoch, path = states.number("best", state["best"]), state["best_epoch"], state["last_path"]
        if epoch is not None:
            states.count("best_epoch", epoch, 1)
        if path is not None:
            states.text("last_path", path)
        self.best, self.best_epoch, self.last_path = best, epoch, path

    def _reads(self) -> list[tuple[str, str]]:
        return [*super()._reads(), *(("path", name) for name in self._names if name != "epoch")]

    def _restart(self) -> None:
        self.best = self.best_epoch = self.last_path = None


def _names_in(path: str) -> list[str]:
    """Return the names that stand in braces in a path."""
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(path) if name is not None]
        names = list(dict.fromkeys(fields))
        for name in names:
            if not name.isidentifier():
                raise ValueError(f"expected a name in braces, got {{{name}}}")
        path.format(**{name: 1 if name == "epoch" else 1.0 for name in names})
    except (ValueError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"path must have names of the history in its braces, such as {{epoch}}: {error}") from error
    return names
