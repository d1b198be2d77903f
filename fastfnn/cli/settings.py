"""What `fastfnn train` can choose about network and training, whatever it trains on."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastfnn import optimizers, validation
from fastfnn.callbacks import Callback, EarlyStopping
from fastfnn.cli.ranks import Processes
from fastfnn.history import History
from fastfnn.network import FNN

MOST_PATIENT = 10**9


class Settings(NamedTuple):
    """Options of network and training, by the names of the command line."""

    layers: tuple[int, ...]
    activation: str
    init: float | str
    optimizer: str
    learning_rate: float
    batch_size: int | None
    epochs: int
    patience: int = MOST_PATIENT
    dropout: float = 0.0
    weight_decay: float = 0.0
    sampling: str = "shuffle"
    dtype: str = "float32"
    seed: int = 0

    def network_options(self) -> dict[str, Any]:
        """Return arguments of FNN."""
        names = ("activation", "init", "dropout", "weight_decay", "dtype", "seed")
        return {name: getattr(self, name) for name in names}

    def make_optimizer(self) -> optimizers.Optimizer:
        optimizer = optimizers.checked_optimizer(self.optimizer)
        optimizer.learning_rate = self.learning_rate
        return optimizer


# The job of the lecture notes.
DIGITS = Settings(
    layers=(50,), activation="sigmoid", init=0.01, optimizer="sgd", learning_rate=0.1, batch_size=100, epochs=10
)
# Good for tables of some thousand rows.
TABLE = Settings(
    layers=(256, 128), activation="relu", init="torch", optimizer="adam", learning_rate=0.001, batch_size=128,
    epochs=200, patience=20,
)  # fmt: skip


def chosen(options: argparse.Namespace, defaults: Settings) -> Settings:
    """Return the settings that the options name, of others the defaults."""
    settings = defaults._replace(**{name: getattr(options, name) for name in Settings._fields if name in options})
    validation.integer("--epochs", settings.epochs, 1)
    validation.integer("--patience", settings.patience, 1)
    return settings


def fit(
    net: FNN,
    x: np.ndarray,
    t: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray] | None,
    settings: Settings,
    processes: Processes,
    *,
    balanced: bool = False,
    callbacks: Sequence[Callback | Callable[[FNN, History], Any]] = (),
    progress: bool | str = False,
) -> EarlyStopping | None:
    """Train until the loss on the held-out rows stops improving, and restore the weights of the best epoch.

    After Ctrl-C, or if the training diverges, the weights are those of the best epoch so far, too. Without held-out
    rows, or if the patience has no end, all epochs are trained, and the last weights are kept. Each of several ranks
    gives its share of the rows; callbacks, and what is returned, are those of rank 0.
    """
    stops = processes.first and held_out is not None and settings.patience < MOST_PATIENT
    stopper = EarlyStopping(settings.patience) if stops else None
    try:
        net.fit(
            x,
            t,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            optimizer=settings.make_optimizer(),
            sampling=settings.sampling,
            validation_data=held_out,
            class_weight="balanced" if balanced else None,
            callbacks=[*callbacks, *([stopper] if stopper else [])],
            progress=progress,
            comm=processes.parallel,
        )
    except BaseException:
        if stopper is not None and stopper.best_epoch is not None:
            stopper.end(net, net.history or History())
        raise
    return stopper
