"""The table of `fastfnn train`: what its columns are, which one is the target, and which rows are held out.

`train_plain.py` and `train_tabular.py` train on it. What is found out is said, and can be overridden by options.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastfnn import validation
from fastfnn.tables import columns, reading, target, training
from fastfnn.tables.stored import OF_VALUES, Written
from fastfnn.tables.target import Target
from fastfnn.tabular import kinds

if TYPE_CHECKING:
    import pandas as pd

# By the option the kind of the columns that it names.
KINDS = {"numbers": "number", "categories": "category", "dates": "date", "ignore": "ignore"}
# What a user can do about a column that is left out, or may be something else.
CURES = {
    "number": "--numbers '{}' uses it as numbers", "category": "--categories '{}' uses it",
    "decimal": "--decimal ',' reads numbers with a comma, --decimal . those with a point",
    "zones": "give all of them a zone, or none", "plain": "a network of --preset default uses dates",
}  # fmt: skip
SILENCE = "--ignore '{}'"
COMMAS = reading.Format()
VALID = "0.1"  # of the rows are held out

Say = Callable[[str], object]


class Table(NamedTuple):
    """A table to train on; it may be a memory map, of which rows are chosen by their numbers, without a copy."""

    frame: pd.DataFrame  # all rows with a target
    about: Target
    plan: columns.Plan
    rows: np.ndarray  # numbers of those for training
    valid_frame: pd.DataFrame  # another table if the rows to measure on come from a file
    valid_rows: np.ndarray | None
    valid_source: str
    written: Written

    @property
    def rows_line(self) -> str:
        held = "none" if self.valid_rows is None else f"{len(self.valid_rows):,}"
        source = "" if self.valid_rows is None else f", {self.valid_source}"
        return f"rows: {len(self.rows):,} for training, {held} for validation{source}"

    @property
    def measured(self) -> tuple[str, Iterator[pd.DataFrame]]:
        """The rows to measure the model on in the end, and what they are called."""
        if self.valid_rows is None:
            return "training", _in_parts(self.frame, self.rows)
        return "validation", _in_parts(self.valid_frame, self.valid_rows)

    def targets(self) -> pd.Series:
        """Return the targets of the rows for training."""
        return self.frame[self.about.name].iloc[self.rows]

    def valid_targets(self) -> pd.Series:
        """Return the targets of the held-out rows."""
        return self.valid_frame[self.about.name].iloc[self.valid_rows]


def read_table(
    options: argparse.Namespace, seed: int, say: Say, *, targets_may_miss: bool, with_dates: bool
) -> Table:  # fmt: skip
    """Read the table that the options name, and find out what is to be trained.

    Rows without a target are left out if `targets_may_miss`, otherwise the table is refused. Columns of dates are left
    out unless `with_dates`.
    """
    form = format_of(options)
    categories = getattr(options, "categories", ())
    frame, name = reading.read_with_target(options.data, getattr(options, "target", None), form, categories)
    wanted = _wanted(options, frame, name)
    say(f"{reading.name_of(options.data)}: {len(frame):,} rows, {len(frame.columns)} columns")
    # Row numbers have no gaps yet.
    plan = columns.plan(frame.drop(columns=name), wanted, with_dates=with_dates, form=form.form)
    frame = columns.cleaned(frame, plan.texts, plan.dates, form.form)
    frame = frame.assign(**{name: reading.as_numbers(frame[name], form.form, marks=True)})
    frame = _with_targets(frame, name, targets_may_miss, say)
    about, line = target.infer(frame[name], getattr(options, "task", None))
    say(line)
    if "balanced" in options and about.labels is None:
        raise ValueError("--balanced is for classification")
    if not (plan.numbers or plan.categories or plan.dates):
        told = _warning(plan)
        raise ValueError(f"no column is left to predict {name!r} from: {_left_out(plan)}{f'; {told}' if told else ''}")

    rows, valid_rows, valid_frame, source = np.arange(len(frame)), None, frame, "drawn at random"
    valid = getattr(options, "valid", VALID)
    share = _share(valid)
    if share == 0 and "patience" in options:
        raise ValueError("--patience needs rows for validation, and --valid is 0")
    if share is None:
        valid_frame, _ = reading.read_with_target(valid, name, form, (*categories, *plan.categories))
        valid_frame = columns.cleaned(valid_frame, plan.texts, plan.dates, form.form)
        valid_rows, source = np.arange(len(valid_frame)), valid
    elif share:
        rows, valid_rows = training.split(frame[name], about, share, seed)
    written = Written(form._replace(separator=None, encoding="utf-8"), plan.texts)
    return Table(frame, about, plan, rows, valid_frame, valid_rows, source, written)


def format_of(options: argparse.Namespace, saved: reading.Format = COMMAS) -> reading.Format:
    """Return how the file that the options name is written; what they leave open is as in training."""
    given = {name: getattr(options, name) for name in ("encoding", *OF_VALUES) if name in options}
    form = saved._replace(separator=getattr(options, "sep", None), encoding="utf-8")._replace(**given)
    kinds.checked_form(form.decimal, form.thousands, ("--decimal", "--thousands"))
    return form


def _wanted(options: argparse.Namespace, frame: pd.DataFrame, target_name: str) -> dict[str, str]:
    """Return the kinds of columns that the options name."""
    wanted: dict[str, str] = {}
    for option, kind in KINDS.items():
        for column in getattr(options, option, ()):
            if column == target_name:
                raise ValueError(f"--{option} must not name the target {target_name!r}")
            reading.find_column(frame, column, f"--{option}")
            if wanted.get(column, kind) != kind:
                raise ValueError(f"--{option} must name other columns than the options before, got {column!r}")
            wanted[column] = kind
    return wanted


def say_columns(table: Table, say: Say, numbers: str = "", categories: str = "", most: int | None = None) -> None:
    """Say which columns are used, what becomes of numbers and categories, and that at most so many categories are."""
    plan, parts = table.plan, []
    if plan.numbers:
        parts.append(f"{len(plan.numbers)} of numbers{numbers}")
    if plan.categories:
        counts = {name: table.frame[name].iloc[table.rows].nunique() for name in plan.categories}
        shown = [f"{name} ({min(count, most or count)})" for name, count in counts.items() if count]
        parts.append(f"{len(plan.categories)} of categories{categories}: {columns.listed(shown)}")
    if plan.dates:
        parts.append(f"{len(plan.dates)} of dates: {columns.listed(plan.dates)}")
    say(f"columns: {'; '.join(parts)}")
    many = [name for name in plan.categories if most and table.frame[name].nunique() > most]
    if many:
        say(f"the {most} most frequent categories are used of {columns.listed(many)}")
    if plan.left_out:
        say(f"left out: {_left_out(plan)}")
    told = _warning(plan)
    if told:
        say(told)


def say_missing(table: Table, say: Say, what_becomes_of_them: str) -> None:
    """Say in which columns values are missing."""
    counts = columns.missing_values(table.frame, (*table.plan.numbers, *table.plan.categories, *table.plan.dates))
    found = [f"{name} ({count:,})" for name, count in counts.items() if count]
    say(f"missing values: {columns.listed(found)}; {what_becomes_of_them}")


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


def _with_targets(frame: pd.DataFrame, name: str, may_miss: bool, say: Say) -> pd.DataFrame:
    """Return the rows that have a target."""
    absent = frame[name].isna().to_numpy()
    if not absent.any():
        return frame
    if not may_miss:
        columns.check_present(
            frame[name], absent, "--missing median or --missing mean leaves out rows without a target"
        )
    say(f"left out: {np.count_nonzero(absent):,} rows without a target")
    if absent.all():
        raise ValueError(f"target {name!r} has no values")
    return frame[~absent]


def _warning(plan: columns.Plan) -> str | None:
    return kinds.warning(plan.decisions.items(), CURES, SILENCE)


def _left_out(plan: columns.Plan) -> str:
    return columns.listed([f"{name or repr(name)} ({reason})" for name, reason in plan.left_out.items()])
