"""Small tables, and the command `fastfnn` on them in this process."""

import numpy as np
import pandas as pd

from fastfnn import cli
from fastfnn.tables import columns, preparation, target, training
from fastfnn.tables.model import TableModel


def flats(rows=60, seed=0):
    """A table with numbers, a Boolean, categories, a row number, a constant, and a price that depends on them."""
    rng = np.random.default_rng(seed)
    area = rng.uniform(20, 120, rows).round(1)
    rooms = rng.integers(1, 6, rows)
    city = rng.choice(["Kyoto", "Osaka", "Tokyo"], rows)
    garden = rng.random(rows) < 0.3
    price = 3 * area + 20 * rooms + 50 * (city == "Tokyo") + 30 * garden
    kind = np.where(area > 70, "large", "small")
    return pd.DataFrame(
        {
            "id": np.arange(rows), "area": area, "rooms": rooms, "city": city, "garden": garden, "country": "Japan",
            "price": price.round(2), "kind": kind,
        }
    )  # fmt: skip


def model(name="price", frame=None, missing="refuse", hidden=(5,), **options):
    """An untrained model of the flats."""
    frame = flats() if frame is None else frame
    about, _ = target.infer(frame[name])
    about = target.standardized(about, frame[name])
    prepared = preparation.Preparation.fit(frame, columns.plan(frame.drop(columns=name)), missing)
    return TableModel(training.make_network(prepared.width, about, hidden, **({"seed": 0} | options)), prepared, about)


def run(*arguments):
    """Return the exit status of a command."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        return stopped.code


def train(table, *options, target="price"):
    """Train a small network for a few epochs on a table."""
    small = ["--layers", "6", "--epochs", "3"]
    return run("train", table, "--target", target, *small, *options)
