"""What the fits of tabular_study.py say: recipes beside each other. The site shows it, too; pandas is not needed."""

import dataclasses
import json
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

BASE = "default"  # the recipe that all others are compared with
SMALLEST_ERROR = 1e-4  # keeps the ratio of two errors finite

Run = dict[str, Any]


def read(files: Iterable[pathlib.Path]) -> list[Run]:
    """Return the fits in files of results; a file that is not there has none."""
    lines = (line for file in files if file.exists() for line in file.read_text("utf-8").splitlines())
    return [json.loads(line) for line in lines if line.strip()]


@dataclasses.dataclass(frozen=True)
class Summary:
    """A recipe beside the others, on the tables and seeds that all of them have.

    rank      mean rank by error, 1 the best
    error     geometric mean of the errors relative to those of the base
    log_loss  the same of log losses, of tables with classes; NaN without such tables
    seconds   sum over the tables of the mean time of a fit
    tables    relative error by table
    """

    recipe: str
    changes: dict[str, Any]
    rank: float
    error: float
    log_loss: float
    seconds: float
    tables: dict[str, float]


def summaries(runs: Sequence[Run], base: str = BASE) -> tuple[list[Summary], int]:
    """Return the recipes, the best rank first, and the number of tables x seeds that they are compared on."""
    found: dict[str, dict[tuple[str, int], Run]] = {}
    last = {run["recipe"]: run["changes"] for run in runs}  # recipes may have changed
    for run in runs:
        if "scores" in run and run["changes"] == last[run["recipe"]]:
            found.setdefault(run["recipe"], {})[run["table"], run["seed"]] = run
    if base not in found:
        raise ValueError(
            f"--base must name a recipe of the results, {', '.join(found) or 'which are empty'}; got {base!r}"
        )
    cells = sorted(set.intersection(*(set(by_cell) for by_cell in found.values())))
    if not cells:
        raise ValueError("the recipes have no table and seed in common")
    ranks = {recipe: statistics.fmean(rank(found, recipe, cell) for cell in cells) for recipe in found}
    made = []
    for recipe, by_cell in found.items():
        ratios: dict[str, list[float]] = {}
        losses, seconds = [], {}
        for cell in cells:
            ours, theirs = by_cell[cell], found[base][cell]
            ratios.setdefault(cell[0], []).append(relative(ours, theirs, "error"))
            seconds.setdefault(cell[0], []).append(ours["seconds"])
            if "log_loss" in ours["scores"]:
                losses.append(relative(ours, theirs, "log_loss"))
        by_table = {table: statistics.geometric_mean(values) for table, values in ratios.items()}
        made.append(
            Summary(
                recipe,
                next(iter(by_cell.values()))["changes"],
                ranks[recipe],
                statistics.geometric_mean(by_table.values()),
                statistics.geometric_mean(losses) if losses else math.nan,
                sum(map(statistics.fmean, seconds.values())),
                by_table,
            )
        )
    return sorted(made, key=lambda summary: summary.rank), len(cells)


def rank(found: dict[str, dict[tuple[str, int], Run]], recipe: str, cell: tuple[str, int]) -> float:
    """Return the rank of a recipe on a table and a seed; equal errors share the mean of their ranks."""
    errors = [by_cell[cell]["scores"]["error"] for by_cell in found.values()]
    own = found[recipe][cell]["scores"]["error"]
    return sum(error < own for error in errors) + (1 + errors.count(own)) / 2


def relative(ours: Run, theirs: Run, score: str) -> float:
    """Return the ratio of two errors or losses."""
    return float(max(ours["scores"][score], SMALLEST_ERROR) / max(theirs["scores"][score], SMALLEST_ERROR))


def report(runs: Sequence[Run], base: str = BASE) -> str:
    """Return the comparison as a Markdown table."""
    found, cells = summaries(runs, base)
    tables = list(found[0].tables)
    head = ["recipe", "changes", "rank", "error", "log loss", "seconds", *tables]
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    lines += [
        [
            summary.recipe,
            json.dumps(summary.changes) if summary.changes else "",
            f"{summary.rank:.2f}",
            f"{summary.error:.3f}",
            "" if math.isnan(summary.log_loss) else f"{summary.log_loss:.3f}",
            f"{summary.seconds:.0f}",
            *(f"{summary.tables[table]:.3f}" for table in tables),
        ]
        for summary in found
    ]
    failed = [f"{run['table']}, seed {run['seed']}, {run['recipe']}: {run['error']}" for run in runs if "error" in run]
    note = f"{cells} pairs of table and seed; errors and log losses relative to those of {base}."
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", note, *failed])
