"""`fastfnn train` on a table with the tabular network: the estimators of `fastfnn.tabular` train it.

Columns are told, and rows are held out, as for a plain network (`table.py`); what becomes of numbers, categories and
missing values is the estimator's business.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from fastfnn import History, interruption, outputs, validation
from fastfnn.callbacks import Callback, CSVLogger
from fastfnn.cli.ranks import Processes
from fastfnn.cli.table import Say, Table, read_table, say_columns, say_missing
from fastfnn.tables import columns, scores
from fastfnn.tables.tabular import Estimator, TabularModel, described
from fastfnn.tables.target import Target
from fastfnn.tabular import TabularClassifier, TabularRegressor
from fastfnn.tabular.columns import LeftOut
from fastfnn.tabular.kinds import Form
from fastfnn.tabular.network import TabularNetwork
from fastfnn.tabular.recipe import chosen

if TYPE_CHECKING:
    import pandas as pd


def run(options: argparse.Namespace, processes: Processes) -> None:
    """Read the table, train, measure on the rows that were held out, and save the model."""
    out = getattr(options, "out", None)
    say: Say = (lambda line: None) if "quiet" in options else print
    seed = getattr(options, "seed", 0)
    table = _with_all_classes(read_table(options, seed, say, targets_may_miss=True, with_dates=True))
    estimator, plan, written = _estimator(options, table), table.plan, table.written
    model = TabularModel(estimator, table.about, plan.numbers, plan.categories, plan.dates, written=written)
    form = written.format.form
    estimator.set_params(columns=model.chosen_kinds(plan), decimal=form.decimal, thousands=form.thousands)
    say_columns(table, say)
    if any(columns.missing_values(table.frame, model.columns).values()):
        say_missing(table, say, "the network learns what they mean")
    say(table.rows_line)
    held_out = None
    if table.valid_rows is not None:
        valid_rows = model.prepared(table.valid_frame, table.valid_rows)
        held_out = valid_rows, _targets(table.about, table.valid_targets(), form)
    estimator._watchers = [_Watcher(estimator, len(table.rows), say, getattr(options, "log", None))]
    kept = "the model as it is now" if held_out is None else "the best model so far"
    with interruption.rescue(out, model.save, lambda: hasattr(estimator, "networks_"), kept):
        estimator.fit(
            model.prepared(table.frame, table.rows), _targets(table.about, table.targets(), form), eval_set=held_out
        )
    estimator.progress = False  # for who loads the model in Python
    if out is not None:
        model.save(out)  # before anything that can fail
    left_out = [f"{column.name} ({column.reason})" for column in estimator.columns_ if isinstance(column, LeftOut)]
    if left_out:
        say(f"not used after all: {columns.listed(left_out)}")
    kind, rows = table.measured
    networks = len(estimator.networks_)
    epochs = f"{estimator.n_epochs_} epochs" + (f" of the first of {networks} networks" if networks > 1 else "")
    if held_out and np.isfinite(estimator.validation_scores_[estimator.best_epoch_ - 1]):
        epochs += f", the best is {estimator.best_epoch_}"
    result = scores.line(scores.measured(model, rows).summary())
    print(f"{kind} {result} after {epochs}, {estimator.fit_time_:.1f} s of training")
    if out is not None:
        print(f"model: {out}")
    else:
        say("the model is not saved: --out FILE saves it")
    if "plot" in options:
        outputs.draw(estimator._history, options.plot)
        print(f"curves: {options.plot}")


# By the name of a parameter of the estimators: that of the option.
PARAMETERS = {
    "preset": "preset", "hidden_layer_sizes": "layers", "dropout": "dropout", "learning_rate": "learning_rate",
    "weight_decay": "weight_decay", "batch_size": "batch_size", "max_epochs": "epochs", "patience": "patience",
    "time_budget": "time_budget",
}  # fmt: skip


def _estimator(options: argparse.Namespace, table: Table) -> Estimator:
    """Return the untrained estimator that the options ask for."""
    for name in ("epochs", "patience"):
        if name in options:
            validation.integer(f"--{name}", getattr(options, name), 1)
    if "time_budget" in options:
        validation.positive("--time-budget", options.time_budget)
    if getattr(options, "layers", None) == ():
        raise ValueError("--layers must name at least one layer of the tabular network")
    given = {name: getattr(options, option) for name, option in PARAMETERS.items() if option in options}
    if "batch_size" in given and given["batch_size"] is None:
        given["batch_size"] = len(table.rows)
    given |= {"random_state": getattr(options, "seed", 0), "progress": False if "quiet" in options else "line"}
    if table.valid_rows is None:
        given["validation_fraction"] = 0
    if table.about.labels is None:
        return TabularRegressor(quantiles=getattr(options, "quantiles", None), **given)
    if "quantiles" in options:
        raise ValueError("--quantiles is for regression")
    return TabularClassifier(class_weight="balanced" if "balanced" in options else None, **given)


def _with_all_classes(table: Table) -> Table:
    """Return the table with a row of each class among those for training."""
    labels = table.about.labels
    if labels is None or table.valid_rows is None or table.valid_frame is not table.frame:
        return table
    codes = table.about.encode(table.frame[table.about.name])
    known = np.isin(codes[table.valid_rows], codes[table.rows])
    rows = np.sort(np.concatenate([table.rows, table.valid_rows[~known]]))
    return table._replace(rows=rows, valid_rows=table.valid_rows[known])


def _targets(about: Target, column: pd.Series, form: Form) -> np.ndarray:
    """Return labels, or numbers."""
    if about.labels is None:
        return about.numbers(column, form)
    labels: np.ndarray = np.array(about.labels, object if isinstance(about.labels[0], str) else None)
    return np.asarray(labels[about.encode(column, form)])


class _Watcher(Callback):
    """Says which network is trained, once it is made, and logs its epochs; of several networks those of the first."""

    def __init__(self, estimator: Estimator, rows: int, say: Say, log: str | None) -> None:
        self.estimator, self.rows, self.say = estimator, rows, say
        self.log = None if log is None else CSVLogger(log)
        self.networks, self.history = 0, History()

    def begin(self, net: TabularNetwork, history: History) -> None:
        self.networks += 1
        if self.networks > 1:
            self.say(f"network {self.networks} of {chosen(self.estimator, self.rows).for_rows(self.rows).bags}")
            return
        self.say(f"network: {described(net)}, preset {self.estimator.preset}")
        self.history = history
        if self.log is not None:
            self.log.begin(net, history)

    def epoch(self, net: TabularNetwork, history: History) -> None:
        if self.log is not None and history is self.history:
            self.log.epoch(net, history)
