"""Which initial weights train best? Trains networks on tables and digits with each rule of `FNN(init=...)`:

    pip install scikit-learn
    python tools/init_study.py FOLDER --csv tools/init_study.csv     # FOLDER holds the tables, see init_study_data.py
    python tools/init_study.py --read tools/init_study.csv           # only the tables of a finished study

A task is a data set, a kind of network and an optimizer. A seed decides how the data are cut (64 % training, 16 %
validation, 20 % test), the initial weights and the order of the samples. Training ends when the loss on the validation
part has not improved for some epochs, and the weights of the best epoch are scored on the test part: the root of
the mean squared error in units of the target's standard deviation, or the share of wrong classes.

    init_study_data.py     the data sets
    init_study_report.py   the tables
"""

import argparse
import concurrent.futures
import csv
import functools
import math
import multiprocessing
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import init_study_data
from init_study_data import Parts
from init_study_report import Run, report

import fastfnn as fnn

INITS = ("he", "xavier", "glorot", "torch")
OPTIMIZERS = {"adamw": lambda: fnn.AdamW(1e-3), "momentum": lambda: fnn.Momentum(1e-2)}


class Size(NamedTuple):
    """The settings of a training."""

    name: str
    epochs: int
    patience: int
    batch_size: int


LARGE, SMALL = Size("large", 60, 10, 256), Size("small", 120, 24, 32)
SMALL_ROWS = 2000  # training rows below which a data set gets the small settings and networks


class Kind(NamedTuple):
    """A kind of network, with its hidden layers for each size of the data."""

    activation: str
    hidden: dict[str, tuple[int, ...]]


NETWORKS = {
    "relu": Kind("relu", {"large": (208, 208), "small": (64, 64)}),
    "deep": Kind("relu", {"large": (128,) * 4, "small": (64,) * 4}),
    "deeper": Kind("relu", {"large": (64,) * 10, "small": (64,) * 10}),
    "tanh": Kind("tanh", {"large": (208, 208), "small": (64, 64)}),
    "sigmoid": Kind("sigmoid", {"large": (208, 208), "small": (64, 64)}),
}
SUBSET = ("california", "kin8nm", "abalone", "pendigits", "spambase", "digits")
FEW = ("abalone", "digits", "breast_cancer", "diabetes")
SETTINGS = {  # the data sets of each network and optimizer
    ("relu", "adamw"): init_study_data.NAMES,
    ("relu", "momentum"): init_study_data.NAMES,
    ("deep", "adamw"): SUBSET,
    ("deep", "momentum"): SUBSET,
    ("tanh", "adamw"): SUBSET,
    ("sigmoid", "adamw"): SUBSET,
    ("deeper", "adamw"): FEW,
    ("deeper", "momentum"): FEW,
}


class Task(NamedTuple):
    data: str
    network: str
    optimizer: str


def tasks(names: Sequence[str], networks: Sequence[str]) -> list[Task]:
    """Return the tasks of a study."""
    return [
        Task(data, network, optimizer)
        for (network, optimizer), on in SETTINGS.items()
        if network in networks
        for data in names
        if data in on
    ]


load = functools.cache(init_study_data.load)


def train(task: Task, seed: int, folder: pathlib.Path | None, epochs: int | None) -> list[Run]:
    """Train a network with each of the inits on one task and one cut of its data."""
    table = load(task.data, folder)
    parts = init_study_data.split(table, seed)
    return [train_one(task, init, seed, parts, table.classes, epochs) for init in INITS]


def train_one(task: Task, init: str, seed: int, parts: Parts, classes: int, epochs: int | None) -> Run:
    (x, t), (x_test, t_test) = parts.train, parts.test
    size = SMALL if len(x) < SMALL_ROWS else LARGE
    net = fnn.FNN(
        (x.shape[1], *NETWORKS[task.network].hidden[size.name], classes or 1),
        activation=NETWORKS[task.network].activation,
        loss="softmax_cross_entropy" if classes else "squared_error",
        init=init,
        seed=seed,
    )
    result = functools.partial(Run, *task, init, seed, len(t_test), parts.scale)
    stopping = fnn.EarlyStopping(patience=size.patience)
    try:
        net.fit(
            x,
            t,
            epochs=epochs or size.epochs,
            batch_size=size.batch_size,
            optimizer=OPTIMIZERS[task.optimizer](),
            validation_data=parts.validation,
            callbacks=[stopping],
        )
    except fnn.DivergenceError:
        return result(0, math.inf, math.inf)
    loss = net.loss(x_test, t_test)
    if not math.isfinite(loss):  # a last step that diverged
        return result(0, math.inf, math.inf)
    score = 1 - net.accuracy(x_test, t_test) if classes else math.sqrt(2 * loss)
    return result(stopping.best_epoch or 0, round(score, 6), round(loss, 6))


def study(
    chosen: list[Task], seeds: int, folder: pathlib.Path | None, epochs: int | None, processes: int
) -> Iterator[Run]:
    """Yield the runs of all tasks, seed by seed; each process trains on one thread."""
    jobs = [(task, seed) for seed in range(seeds) for task in chosen]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context, fnn.set_num_threads, (1,)) as pool:
        futures = [pool.submit(train, task, seed, folder, epochs) for task, seed in jobs]
        for number, future in enumerate(futures, 1):
            yield from future.result()
            print(f"\r{number} of {len(futures)} jobs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    made = argparse.ArgumentParser(description="Compare the rules of initial weights on tables and digits.")
    add = made.add_argument
    names, kinds = init_study_data.NAMES, tuple(NETWORKS)
    add("folder", metavar="FOLDER", nargs="?", type=pathlib.Path, help="the folder of tables")
    add("--data", metavar="NAME", nargs="+", choices=names, default=names, help=f"some of {', '.join(names)}")
    add("--networks", metavar="KIND", nargs="+", choices=kinds, default=kinds, help=f"some of {', '.join(kinds)}")
    add("--seeds", metavar="N", type=int, default=5, help="seeds of each task; default: 5")
    add(
        "--epochs",
        metavar="N",
        type=int,
        help=f"most epochs; default: {LARGE.epochs}, or {SMALL.epochs} for small data sets",
    )
    add("--processes", metavar="N", type=int, default=2, help="networks trained side by side; default: 2")
    add("--csv", metavar="FILE", type=pathlib.Path, help="write all runs to this file")
    add("--read", metavar="FILE", type=pathlib.Path, help="train nothing, but report the runs in this file")
    options = made.parse_args(arguments)
    if options.read:
        print(report(read(options.read), INITS))
        return 0
    if options.folder is None and not set(options.data).isdisjoint(init_study_data.TABLES):
        made.error(f"FOLDER must be given for {', '.join(init_study_data.TABLES)}")
    chosen = tasks(options.data, options.networks)
    runs = study(chosen, options.seeds, options.folder, options.epochs, options.processes)
    print(report(list(written(options.csv, runs) if options.csv else runs), INITS))
    return 0


def written(path: pathlib.Path, runs: Iterator[Run]) -> Iterator[Run]:
    """Yield runs, each after it was written to a CSV file."""
    with path.open("w", newline="", buffering=1) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(Run._fields)
        for run in runs:
            rows.writerow(run)
            yield run


def read(path: pathlib.Path) -> list[Run]:
    """Return the runs that `written` has written."""
    kinds = Run.__annotations__.values()
    with path.open(newline="") as file:
        _, *rows = csv.reader(file)
    return [Run(*(kind(text) for kind, text in zip(kinds, row, strict=True))) for row in rows]


if __name__ == "__main__":
    sys.exit(main())
