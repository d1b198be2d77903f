"""Event files for TensorBoard, through the writer of tensorboardX or of PyTorch, whichever is installed."""

from __future__ import annotations

import itertools
import os
from typing import Any, ClassVar

from fastfnn import validation
from fastfnn.callbacks.base import Callback
from fastfnn.callbacks.paths import checked_path
from fastfnn.history import History

_NUMBERS = itertools.count()


class TensorBoard(Callback):
    """Write what is measured after each epoch as event files for TensorBoard.

    Parameters
    ----------
    log_dir : str or path-like, default "logs"
        Folder of the event files: ``tensorboard --logdir logs`` shows them. Give each training one of its own.
    histogram_freq : int, default 0
        Write histograms of all parameters each time so many epochs have passed; 0 for never.

    Raises
    ------
    ImportError
        By `FNN.fit`, before it changes anything, if neither tensorboardX nor PyTorch with tensorboard is installed.

    Notes
    -----
    The files lie in the folders ``train`` and ``validation`` of `log_dir`, so that TensorBoard draws both curves of a
    quantity in one chart: epoch_loss, epoch_accuracy, and ``epoch_`` with the name of each metric, and of the learning
    rate for the last step of each epoch, over the number of the epoch, from 1.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastfnn as fnn
    >>> folder = tempfile.TemporaryDirectory()
    >>> net = fnn.FNN((1, 1), loss="squared_error", seed=0)
    >>> board = fnn.callbacks.TensorBoard(folder.name)
    >>> history = net.fit([[0.0], [1.0]], [1.0, 3.0], epochs=3, callbacks=[board])
    >>> os.listdir(folder.name)
    ['train']
    >>> folder.cleanup()
    """

    _writes_files: ClassVar[bool] = True

    def __init__(self, log_dir: str | os.PathLike[str] = "logs", histogram_freq: int = 0) -> None:
        self.log_dir: str = checked_path("log_dir", log_dir)
        self.histogram_freq: int = validation.integer("histogram_freq", histogram_freq, 0)
        self._resumed = False
        self._writers: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"TensorBoard({self.log_dir!r}, histogram_freq={self.histogram_freq})"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_writers": {}}  # open files cannot be copied

    def begin(self, net: Any, history: History) -> None:
        """Find out whether there is a writer, and create the folder."""
        _summary_writer()
        self._close()
        self._resumed = False
        os.makedirs(self.log_dir, exist_ok=True)

    def epoch(self, net: Any, history: History) -> None:
        """Write the values of the epoch."""
        epoch = history.epochs
        values = {name: of[-1] for name, of in history._columns().items() if of} | {"learning_rate": history._last_rate}
        for name, value in values.items():
            folder = "validation" if name.startswith("val_") else "train"
            self._writer(folder, epoch).add_scalar(f"epoch_{name.removeprefix('val_')}", value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for name, array in net.params.items():
                self._writer("train", epoch).add_histogram(name, array, epoch)
        for writer in self._writers.values():
            writer.flush()

    def end(self, net: Any, history: History) -> None:
        """Close the files."""
        self._close()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on below the events before the checkpoint: TensorBoard forgets those of later epochs."""
        self._resumed = True

    def _writer(self, folder: str, epoch: int) -> Any:
        """Return the writer of a folder; after a resumption, what the folder has of this epoch and later is void."""
        if folder not in self._writers:
            options: dict[str, Any] = {"purge_step": epoch} if self._resumed else {}
            # Files of tensorboardX that begin in the same second have the same name but for this.
            options["filename_suffix"] = f".{os.getpid()}.{next(_NUMBERS):06d}"
            self._writers[folder] = _summary_writer()(os.path.join(self.log_dir, folder), **options)
        return self._writers[folder]

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}


def _summary_writer() -> Any:
    """Return the class SummaryWriter of the library that there is."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboardX, or PyTorch with tensorboard: pip install tensorboardX"
            ) from error
    return SummaryWriter
