"""`fastfnn train` on images: the digits in the package, or a folder of IDX files."""

import argparse
from typing import Any

import numpy as np

from fastfnn import datasets, interruption, outputs, streams
from fastfnn.callbacks import CSVLogger
from fastfnn.cli.ranks import Processes
from fastfnn.cli.settings import DIGITS, Settings, chosen, fit
from fastfnn.history import History
from fastfnn.network import FNN
from fastfnn.progress import epoch_line

Arrays = tuple[np.ndarray, np.ndarray]


def run(options: argparse.Namespace, processes: Processes) -> None:
    """Train, and measure on the test images."""
    settings = chosen(options, DIGITS)
    quiet, out = "quiet" in options or not processes.first, getattr(options, "out", None)
    with processes.agreed():
        net, (x, t), test = _prepared(options, settings, processes, quiet)

    def show(net: FNN, history: History) -> None:
        print(epoch_line(history, settings.epochs))

    with_bar = not quiet and streams.is_terminal(streams.errors())  # which prints the lines above it
    callbacks: list[Any] = [CSVLogger(options.log)] if "log" in options and processes.first else []
    callbacks += [] if quiet or with_bar else [show]
    with interruption.rescue(out if processes.first else None, net.save, interruption.changed(net)):
        fit(net, x, t, test, settings, processes, callbacks=callbacks, progress=with_bar)
    with processes.agreed():
        if processes.first:
            _finish(options, net, processes)


def _prepared(
    options: argparse.Namespace, settings: Settings, processes: Processes, quiet: bool
) -> tuple[FNN, Arrays, Arrays | None]:
    """Return the untrained network, and what this rank trains and measures on."""
    folder = None if options.data == datasets.SHIPPED_NAME else options.data
    (x, t), (x_test, t_test) = datasets.load_mnist(folder=folder)
    for part, images in (("training", x), ("test", x_test)):
        if len(images) == 0:
            raise ValueError(f"{options.data} must hold at least one {part} sample, got none")
    classes = int(max(t.max(), t_test.max())) + 1
    net = FNN((x.shape[1], *settings.layers, classes), **settings.network_options())
    if not quiet:
        net.summary()
        print(f"{len(x):,} training and {len(x_test):,} test samples from {options.data}")
    rows, test_rows = processes.share(np.arange(len(x))), processes.held_out_share(np.arange(len(x_test)))
    if len(rows) < len(x):
        x, t = x[rows], t[rows]  # copies, so that the memory of the others' images is free
    return net, (x, t), None if test_rows is None else (x_test[test_rows], t_test[test_rows])


def _finish(options: argparse.Namespace, net: FNN, processes: Processes) -> None:
    """Save the network, and print and draw what was measured."""
    if "out" in options:
        net.save(options.out)  # before anything that can fail
    history = net.history
    assert history is not None
    print(
        f"test accuracy {history.val_accuracy[-1]:.4f}, test loss {history.val_loss[-1]:.4f} "
        f"after {history.epochs} epochs, {sum(history.seconds):.2f} s of training{processes.told}"
    )
    if "out" in options:
        print(f"network: {options.out}")
    if "plot" in options:
        outputs.draw(history, options.plot)
        print(f"curves: {options.plot}")
