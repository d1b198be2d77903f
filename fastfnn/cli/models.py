"""The model that a command is given, and the rows that it is used on."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastfnn import backend, datasets, streams
from fastfnn.cli.table import format_of
from fastfnn.streams import DASH
from fastfnn.tables import model, reading
from fastfnn.tables.base import BaseModel

if TYPE_CHECKING:
    import pandas as pd


def loaded(options: argparse.Namespace) -> BaseModel:
    """Return the model that the options name, once they have limited the threads that it is used with."""
    if "threads" in options:
        backend.set_num_threads(options.threads)
    return model.load(options.model, plain=True)


def parts(net: BaseModel, options: argparse.Namespace, *, with_target: bool) -> Iterator[pd.DataFrame]:
    """Yield the rows that the options name, in parts; with the target if predictions are to be compared with it."""
    path = options.rows
    form = format_of(options, net.written.format)
    net.written = net.written._replace(format=form)  # texts of these rows are read like this
    if path == datasets.SHIPPED_NAME or (path != DASH and pathlib.Path(path).is_dir()):
        _, (x, t) = datasets.load_mnist(folder=None if path == datasets.SHIPPED_NAME else path)
        yield reading.array_frame(path, x).assign(**{net.target: t})
        return
    if with_target and "target" in options:
        frame, name = reading.read_with_target(path, options.target, form)
        yield frame.rename(columns={name: net.target})
        return
    text = [*net.text_columns]
    if with_target and net.labels is not None and isinstance(net.labels[0], str):
        text.append(net.target)
    unknown: dict[str, tuple[int, str]] = {}  # by column: how many, the first one
    for part in reading.parts(path, form, text):
        rows = _by_position(part, net)
        yield rows  # first: a table that cannot be predicted is an error
        for name, values in net.unknown(rows).items():
            count, example = unknown.get(name, (0, values[0]))
            unknown[name] = count + len(values), example
    for name, (count, example) in unknown.items():
        which = f"{name!r} has {count:,} values that the model does not know, such as {example!r}"
        streams.warn(f"{which}: they are predicted like no category", stacklevel=2)


def _by_position(part: pd.DataFrame, net: BaseModel) -> pd.DataFrame:
    """Return a part of a table for a network that knows no names: as many columns as inputs are these, in order."""
    if not net.is_plain or len(part.columns) != len(net.columns):
        return part
    return part.set_axis(net.columns, axis="columns")
