"""`fastfnn predict`: the rows of a table go through a model part by part, predictions come out as CSV."""

import argparse
import contextlib
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np

from fastfnn import atomic, streams
from fastfnn.cli import arguments, paths
from fastfnn.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    """Add the command to the parser."""
    predict = commands.add_parser(
        "predict",
        help="predict the target of the rows of a table",
        description="Print a prediction for each row of a table, in their order, as CSV. Columns are found by name; "
        "others are ignored. Rows are read and predicted part by part, so that a file may be larger than memory. A "
        "model that was trained with --quantiles has a column for each of them, too.",
        argument_default=argparse.SUPPRESS,
    )
    add = predict.add_argument
    add("model", metavar="MODEL", help="a file that fastfnn train --out wrote")
    rows_help = "a table: CSV, Parquet, .npy or .npz; - or nothing is CSV from standard input"
    add("rows", metavar="ROWS", nargs="?", default="-", help=rows_help)
    add("--proba", action="store_true", help="also the probability of each class")
    add("--out", metavar="FILE", help="write to a file; - is standard output (default)")
    add("--threads", type=int, metavar="N", help="most threads to use (default: all cores)")
    arguments.add_format(add)
    predict.set_defaults(run=_predict)
    paths.register(predict, reads={"MODEL": paths.a_file, "ROWS": paths.samples}, writes=("--out",), dash=True)


def _predict(options: argparse.Namespace) -> None:
    from fastfnn.cli import models

    net = models.loaded(options)
    proba = "proba" in options
    if proba and net.labels is None:
        raise ValueError("--proba needs a model of classes, got one for regression")

    names = [f"probability_{label}" for label in net.labels or ()] if proba else []
    names += [f"quantile_{level}" for level in net.quantiles]

    def lines() -> Iterator[Iterable[Sequence[str]]]:
        for part in models.parts(net, options, with_target=False):
            more = np.empty((len(part), 0))
            if proba:
                more = net.predict_proba(part)
            elif net.quantiles:
                more = net.predict_quantiles(part)
            predicted = net.decide(more) if proba else net.predict(part)
            yield zip(texts(predicted), *map(texts, more.T), strict=True)

    predicted = lines()
    first = next(predicted)  # nothing is written before it is known that rows can be predicted
    with _output(getattr(options, "out", streams.DASH)) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["prediction", *names])
        for rows in itertools.chain([first], predicted):
            writer.writerows(rows)


def texts(values: np.ndarray) -> list[str]:
    """Return the shortest texts that give the same values again in the dtype of the array."""
    if values.dtype == np.float64:
        return list(map(repr, values.tolist()))
    return list(map(str, values if values.dtype == np.float32 else values.tolist()))


@contextlib.contextmanager
def _output(path: str) -> Iterator[TextIO]:
    """Yield standard output, or a file that is there only once all of it has been written."""
    if path == streams.DASH:
        yield streams.output()
        return
    with atomic.replacing(path) as file:
        stream = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        yield stream
        stream.detach()
