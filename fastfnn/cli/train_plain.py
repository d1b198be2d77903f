"""`fastfnn train` on a table with a plain network: numbers are standardized, categories are one-hot.

It can be trained on several ranks, and be exported; `train_tabular.py` trains the network that tables get otherwise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastfnn import interruption, outputs
from fastfnn.callbacks import CSVLogger
from fastfnn.cli.ranks import Processes
from fastfnn.cli.settings import TABLE, Settings, chosen, fit
from fastfnn.cli.table import Say, read_table, say_columns, say_missing
from fastfnn.streams import DASH
from fastfnn.tables import columns, scores, stored, target, training
from fastfnn.tables.model import TableModel
from fastfnn.tables.preparation import Preparation

if TYPE_CHECKING:
    import pandas as pd


def run(options: argparse.Namespace, processes: Processes, reason: str) -> None:
    """Read the table, prepare it, train, measure on the rows that were held out, and save the model.

    `reason` is said: what has asked for a plain network.
    """
    out = getattr(options, "out", None) if processes.first else None
    say: Say = (lambda line: None) if "quiet" in options or not processes.first else print
    with processes.agreed():
        settings = chosen(options, TABLE)
        model, (x, t), held_out, check = prepared(options, settings, processes, say)
        net = model.network
        say(f"model: plain network, because of {reason}")
        parameters = f"{net.params.flat.size:,} parameters"
        say(f"network: {'-'.join(map(str, net.layer_sizes))} {settings.activation}, {parameters}, {settings.optimizer}")
    # Means and categories of all rows differ unless the ranks have read the same table.
    processes.check_equal({"the table": str(stored.described(model.preparation, model.about, {}))})
    kept = "the model as it is now" if held_out is None else "the best model so far"
    start = time.perf_counter()
    with interruption.rescue(out, model.save, interruption.changed(net), kept):
        stopper = fit(
            net, x, t, held_out, settings, processes, balanced="balanced" in options,
            callbacks=[CSVLogger(options.log)] if "log" in options and processes.first else [],
            progress=False if "quiet" in options else "line",
        )  # fmt: skip
    seconds = time.perf_counter() - start
    with processes.agreed():
        if check is None:
            return  # rank 0 does the rest
        if out is not None:
            model.save(out)  # before anything that can fail
        history = net.history
        assert history is not None
        kind, rows = check
        epochs = f"{history.epochs} epochs" + (
            f", the best is {stopper.best_epoch}" if stopper and stopper.best_epoch else ""
        )
        result = scores.line(scores.measured(model, rows).summary())
        print(f"{kind} {result} after {epochs}, {seconds:.1f} s of training{processes.told}")
        if out is not None:
            print(f"model: {out}")
        else:
            say("the model is not saved: --out FILE saves it")
        if "plot" in options:
            outputs.draw(history, options.plot)
            print(f"curves: {options.plot}")


Arrays = tuple[np.ndarray, np.ndarray]


def prepared(
    options: argparse.Namespace, settings: Settings, processes: Processes, say: Say
) -> tuple[TableModel, Arrays, Arrays | None, tuple[str, Iterator[pd.DataFrame]] | None]:
    """Return the untrained model, arrays for training, held-out arrays, and the rows to measure on in the end.

    All ranks look at the whole table, and prepare their share of the rows; rank 0 alone measures in the end.
    """
    if options.data == DASH and processes.size > 1:
        raise ValueError("standard input reaches only one of the ranks: name a file")
    missing = getattr(options, "missing", "refuse")
    table = read_table(options, settings.seed, say, targets_may_miss=missing != "refuse", with_dates=False)
    preparation = Preparation.fit(table.frame, table.plan, missing, table.rows, table.written.format.form)
    say_columns(table, say, ", standardized", ", one-hot", columns.MAX_CATEGORIES)
    if missing != "refuse":
        say_missing(table, say, f"filled in by the {missing}, or the most frequent category")
    say(table.rows_line)

    about = target.standardized(table.about, table.targets())
    net = training.make_network(preparation.width, about, settings.layers, **settings.network_options())
    model = TableModel(net, preparation, about, written=table.written)
    stored.check_size(preparation, about)
    own = processes.share(table.rows)
    x = preparation.transform(table.frame, net.dtype, own, training.storage)
    if isinstance(x, np.memmap):
        say(f"memory: {x.nbytes / 1e9:.1f} GB of prepared rows are in a temporary file")
    t = about.encode(table.frame[about.name].iloc[own])
    check = table.measured if processes.first else None
    own_valid = None if table.valid_rows is None else processes.held_out_share(table.valid_rows)
    if own_valid is None:
        return model, (x, t), None, check
    x_valid = preparation.transform(table.valid_frame, net.dtype, own_valid, training.storage)
    return (
        model,
        (x, t),
        (x_valid, about.encode(table.valid_frame[about.name].iloc[own_valid], table.written.format.form)),
        check,
    )
