"""The progress bar of `FNN.fit`, and a line for each epoch."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastfnn.backend import CompileProgress, cache_folder, on_compilation
from fastfnn.history import History


class Progress(NamedTuple):
    """What shows the progress of a training."""

    advance: Callable[[int], object]  # after each compiled call, with its number of steps
    report: Callable[[History], object]  # after each epoch


NO_PROGRESS = contextlib.nullcontext(Progress(lambda count: None, lambda history: None))


def progress_bar(show: bool, steps: int, epochs: int) -> contextlib.AbstractContextManager[Progress]:
    """Return a context that shows a bar over `steps` steps and a line for each epoch; nothing unless `show`."""
    return _shown_progress(steps, epochs) if show else NO_PROGRESS


@contextlib.contextmanager
def _shown_progress(steps: int, epochs: int) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(total=steps, unit="step", dynamic_ncols=True) as bar:

        def compiling(kernel: CompileProgress) -> None:
            how_often = "once for this machine" if cache_folder() else "in every process: set NUMBA_CACHE_DIR"
            bar.set_description_str(f"compiling kernel {kernel.number} of {kernel.total}, {how_often}")

        def advance(count: int) -> None:
            bar.set_description_str("", refresh=False)
            bar.update(count)

        def report(history: History) -> None:
            bar.set_description_str("", refresh=False)  # the kernels that measure may have been compiled
            tqdm.write(_epoch_line(history, epochs))

        with on_compilation(compiling):
            yield Progress(advance, report)


def _epoch_line(history: History, epochs: int) -> str:
    parts = [f"epoch {history.epochs:>{len(str(epochs))}}/{epochs}", f"loss {history.loss[-1]:.4f}"]
    if history.accuracy:
        parts.append(f"accuracy {history.accuracy[-1]:.4f}")
    if history.val_loss:
        parts.append(f"test loss {history.val_loss[-1]:.4f}")
    if history.val_accuracy:
        parts.append(f"test accuracy {history.val_accuracy[-1]:.4f}")
    for name, values in history.metrics.items():
        shown = f"test {name.removeprefix('val_')}" if name.startswith("val_") else name
        parts.append(f"{shown} {values[-1]:.4g}")
    return "  ".join([*parts, f"{history.samples_per_second[-1]:,.0f} samples/s"])
