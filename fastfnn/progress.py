"""The progress bar of `FNN.fit`, and a line for each epoch."""

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fastfnn import streams
from fastfnn.backend import CompileProgress, cache_folder, on_compilation
from fastfnn.history import History


class Progress(NamedTuple):
    """What shows the progress of a training."""

    advance: Callable[[int], object]  # after each compiled call, with its number of steps
    report: Callable[[History], object]  # after each epoch
    plan: Callable[[int], object]  # where the number of all epochs has changed, with the new one


NO_PROGRESS = contextlib.nullcontext(Progress(lambda count: None, lambda history: None, lambda epochs: None))


def progress_bar(
    show: bool | str, steps: int | None, epochs: int, rows: int | None
) -> contextlib.AbstractContextManager[Progress]:
    """Return a context that shows the progress of a training, nothing unless `show`.

    Parameters
    ----------
    show : bool or "line"
        True shows a bar over all steps and prints a line for each epoch, "line" is a single line in a terminal.
    steps : int or None
        Steps of an epoch, if they are known.
    epochs : int
    rows : int or None
        Number of samples, if it is known.
    """
    if isinstance(show, str):
        return _progress_line(steps, epochs, rows) if streams.is_terminal(streams.errors()) else NO_PROGRESS
    return _shown_progress(steps, epochs) if show else NO_PROGRESS


@contextlib.contextmanager
def _shown_progress(steps: int | None, epochs: int) -> Iterator[Progress]:
    from tqdm import tqdm

    with tqdm(
        total=None if steps is None else epochs * steps, unit="step", dynamic_ncols=True, file=streams.errors()
    ) as bar:

        def compiling(kernel: CompileProgress) -> None:
            bar.set_description_str(_compiling(kernel))

        def advance(count: int) -> None:
            bar.set_description_str("", refresh=False)
            bar.update(count)

        def report(history: History) -> None:
            bar.set_description_str("", refresh=False)  # the kernels that measure may have been compiled
            tqdm.write(epoch_line(history, epochs), file=streams.output())

        def plan(count: int) -> None:
            nonlocal epochs
            epochs, bar.total = count, None if steps is None else count * steps

        with on_compilation(compiling):
            yield Progress(advance, report, plan)


@contextlib.contextmanager
def _progress_line(steps: int | None, epochs: int, rows: int | None) -> Iterator[Progress]:
    """A line that is updated after each compiled call, and erased at the end."""
    from tqdm import tqdm

    # What a narrow terminal cuts off stands last. Without a bar tqdm would not cut at all.
    form = "{percentage:3.0f}% |{bar:6}| {rate_fmt}, {remaining} left  {desc}"
    unit, rows_per_step = " steps", 1.0
    if steps is None or rows is None:
        rows = None
    else:
        unit, rows_per_step = " rows", rows / steps
    with tqdm(
        total=None if rows is None else epochs * rows, unit=unit, unit_scale=True, dynamic_ncols=True, leave=False,
        bar_format=form, desc=f"epoch 1/{epochs}", file=streams.errors(),
    ) as bar:  # fmt: skip

        def compiling(kernel: CompileProgress) -> None:
            bar.set_description_str(_compiling(kernel))

        def advance(count: int) -> None:
            bar.update(count * rows_per_step)

        def report(history: History) -> None:
            parts = [f"epoch {history.epochs}/{epochs}", f"loss {history.loss[-1]:.4f}"]
            if history.val_loss:
                parts.append(f"valid {history.val_loss[-1]:.4f}")
            if history.val_accuracy:
                parts.append(f"accuracy {history.val_accuracy[-1]:.4f}")
            bar.set_description_str("  ".join(parts), refresh=False)

        def plan(count: int) -> None:
            nonlocal epochs
            epochs, bar.total = count, None if rows is None else count * rows

        with on_compilation(compiling):
            yield Progress(advance, report, plan)


def _compiling(kernel: CompileProgress) -> str:
    how_often = "once for this machine" if cache_folder() else "in every process: set NUMBA_CACHE_DIR"
    return f"compiling kernel {kernel.number} of {kernel.total}, {how_often}"


def epoch_line(history: History, epochs: int) -> str:
    """Return the line that is printed after an epoch."""
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
