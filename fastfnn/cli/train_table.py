"""`fastfnn train` on a table: what the columns are is found out, said and stored; then a network is trained."""

from __future__ import annotations

import argparse
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fastfnn import interruption, outputs, validation
from fastfnn.callbacks import CSVLogger
from fastfnn.cli.ranks import Processes
from fastfnn.cli.settings import TABLE, Settings, chosen, fit
from fastfnn.interop.columns import CategoryColumn
from fastfnn.tables import columns, reading, scores, stored, target, training
from fastfnn.tables.model import TableModel
from fastfnn.tables.preparation import Preparation

if TYPE_CHECKING:
    import pandas as pd

VALID = "0.15"  # of the rows are held out

Say = Callable[[str], object]


def run(options: argparse.Namespace, processes: Processes) -> None:
    """Read the table, prepare it, train, measure on the rows that were held out, and save the model."""
    out = getattr(options, "out", None) if processes.first else None
    say: Say = (lambda line: None) if "quiet" in options or not processes.first else print
    with processes.agreed():
        settings = chosen(options, TABLE)
        model, (x, t), held_out, check = prepared(options, settings, processes, say)
        net = model.network
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
        epochs = f"{history.epochs} epochs" + (f", the best is {stopper.best_epoch}" if stopper else "")
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
    if options.data == reading.STDIN and processes.size > 1:
        raise ValueError("standard input reaches only one of the ranks: name a file")
    form = reading.Format(getattr(options, "sep", None), getattr(options, "encoding", "utf-8"))
    categories, ignored = getattr(options, "categories", ()), getattr(options, "ignore", ())
    missing = getattr(options, "missing", "refuse")
    frame, name = reading.read_with_target(options.data, getattr(options, "target", None), form, categories)
    for option, given in (("--categories", categories), ("--ignore", ignored)):
        for column in given:
            if column == name:
                raise ValueError(f"{option} must not name the target {name!r}")
            reading.find_column(frame, column, option)
    say(f"{reading.name_of(options.data)}: {len(frame):,} rows, {len(frame.columns)} columns")
    frame = _with_targets(frame, name, missing, say)
    about, line = target.infer(frame[name], getattr(options, "task", None))
    say(line)
    if "balanced" in options and about.labels is None:
        raise ValueError("--balanced is for classification")
    plan = columns.plan(frame.drop(columns=name), categories, ignored)
    if not (plan.numbers or plan.categories):
        raise ValueError(f"no column is left to predict {name!r} from: {_left_out(plan)}")

    # The table may be a memory map: its rows are chosen by their numbers, without a copy.
    rows, valid_rows, valid_frame, source = np.arange(len(frame)), None, frame, "drawn at random"
    valid = getattr(options, "valid", VALID)
    share = _share(valid)
    if share == 0 and "patience" in options:
        raise ValueError("--patience needs rows for validation, and --valid is 0")
    if share is None:
        valid_frame, _ = reading.read_with_target(valid, name, form, (*categories, *plan.categories))
        valid_rows, source = np.arange(len(valid_frame)), valid
    elif share:
        rows, valid_rows = training.split(frame[name], about, share, settings.seed)
    preparation = Preparation.fit(frame, plan, missing, rows)
    _say_columns(plan, preparation, frame, missing, say)
    held = f"{len(valid_rows):,} for validation, {source}" if valid_rows is not None else "none for validation"
    say(f"rows: {len(rows):,} for training, {held}")

    about = target.standardized(about, frame[name].iloc[rows])
    net = training.make_network(preparation.width, about, settings.layers, **settings.network_options())
    model = TableModel(net, preparation, about)
    stored.check_size(preparation, about)
    own = processes.share(rows)
    x = preparation.transform(frame, net.dtype, own, training.storage)
    if isinstance(x, np.memmap):
        say(f"memory: {x.nbytes / 1e9:.1f} GB of prepared rows are in a temporary file")
    t = about.encode(frame[name].iloc[own])
    if valid_rows is None:
        return model, (x, t), None, ("training", _in_parts(frame, rows)) if processes.first else None
    check = ("validation", _in_parts(valid_frame, valid_rows)) if processes.first else None
    own_valid = processes.held_out_share(valid_rows)
    if own_valid is None:
        return model, (x, t), None, check
    x_valid = preparation.transform(valid_frame, net.dtype, own_valid, training.storage)
    return model, (x, t), (x_valid, about.encode(valid_frame[name].iloc[own_valid])), check


def _in_parts(frame: pd.DataFrame, rows: np.ndarray) -> Iterator[pd.DataFrame]:
    for first in range(0, len(rows), reading.PART_ROWS):
        yield frame.iloc[rows[first : first + reading.PART_ROWS]]


def _share(valid: str) -> float | None:
    """Return the share of rows to hold out, None if `valid` is a file."""
    try:
        share = float(valid)
    except ValueError:
        if not pathlib.Path(valid).is_file():
            raise ValueError(f"--valid must be a share of the rows, from 0 to 1, or a file; got {valid!r}") from None
        return None
    return validation.fraction("--valid", share)


def _with_targets(frame: pd.DataFrame, name: str, missing: str, say: Say) -> pd.DataFrame:
    """Return the rows that have a target; refuse others unless missing values may be there."""
    absent = frame[name].isna().to_numpy()
    if not absent.any():
        return frame
    if missing == "refuse":
        columns.check_present(
            frame[name], absent, "--missing median or --missing mean leaves out rows without a target"
        )
    say(f"left out: {np.count_nonzero(absent):,} rows without a target")
    if absent.all():
        raise ValueError(f"target {name!r} has no values")
    return frame[~absent]


def _say_columns(plan: columns.Plan, preparation: Preparation, frame: pd.DataFrame, missing: str, say: Say) -> None:
    parts = []
    if plan.numbers:
        parts.append(f"{len(plan.numbers)} of numbers, standardized")
    if plan.categories:
        one_hot = [
            f"{column.name} ({len(column.values)})"
            for column in preparation.columns
            if isinstance(column, CategoryColumn)
        ]
        parts.append(f"{len(plan.categories)} of categories, one-hot: {columns.listed(one_hot)}")
    say(f"columns: {'; '.join(parts)}")
    many = [name for name in plan.categories if frame[name].nunique() > columns.MAX_CATEGORIES]
    if many:
        say(f"the {columns.MAX_CATEGORIES} most frequent categories are used of {columns.listed(many)}")
    if plan.left_out:
        say(f"left out: {_left_out(plan)}")
    if missing != "refuse":
        counts = columns.missing_values(frame, (*plan.numbers, *plan.categories))
        found = [f"{name} ({count:,})" for name, count in counts.items() if count]
        say(f"missing values: {columns.listed(found)}; filled in by the {missing}, or the most frequent category")


def _left_out(plan: columns.Plan) -> str:
    return columns.listed([f"{name or repr(name)} ({reason})" for name, reason in plan.left_out.items()])
