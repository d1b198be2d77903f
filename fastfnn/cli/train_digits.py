"""`fastfnn train` on images: the digits in the package, or a folder of IDX files."""

import argparse
import sys
from typing import Any

from fastfnn import datasets, interruption, outputs
from fastfnn.callbacks import CSVLogger
from fastfnn.cli.settings import DIGITS, chosen, fit
from fastfnn.history import History
from fastfnn.network import FNN
from fastfnn.progress import epoch_line


def run(options: argparse.Namespace) -> None:
    """Train, and measure on the test images."""
    settings = chosen(options, DIGITS)
    folder = None if options.data == datasets.SHIPPED_NAME else options.data
    (x, t), (x_test, t_test) = datasets.load_mnist(folder=folder)
    for part, images in (("training", x), ("test", x_test)):
        if len(images) == 0:
            raise ValueError(f"{options.data} must hold at least one {part} sample, got none")
    classes = int(max(t.max(), t_test.max())) + 1
    net = FNN((x.shape[1], *settings.layers, classes), **settings.network_options())
    quiet, out = "quiet" in options, getattr(options, "out", None)
    if not quiet:
        net.summary()
        print(f"{len(x):,} training and {len(x_test):,} test samples from {options.data}")

    def show(net: FNN, history: History) -> None:
        print(epoch_line(history, settings.epochs))

    with_bar = not quiet and sys.stderr.isatty()  # which prints the lines above it
    callbacks: list[Any] = [CSVLogger(options.log)] if "log" in options else []
    callbacks += [] if quiet or with_bar else [show]
    with interruption.rescue(net, out):
        fit(net, x, t, (x_test, t_test), settings, callbacks=callbacks, progress=with_bar)
    if out is not None:
        net.save(out)  # before anything that can fail
    history = net.history
    assert history is not None
    print(
        f"test accuracy {history.val_accuracy[-1]:.4f}, test loss {history.val_loss[-1]:.4f} "
        f"after {history.epochs} epochs, {sum(history.seconds):.2f} s of training"
    )
    if out is not None:
        print(f"network: {out}")
    if "plot" in options:
        outputs.draw(history, options.plot)
        print(f"curves: {options.plot}")
