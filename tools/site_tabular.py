"""The comparison on tables on the site, and the study that chose the defaults.

Results of `fastfnn bench --tabular` are JSON in benchmarks/tabular, the fits of the study study.jsonl beside them.
"""

import json
import pathlib
from typing import Any

import tabular_study_report
from site_recordings import BENCHMARKS, blocks, bullets, escaped, file_name, heading, read_recordings, table, versions

from fastfnn.bench.tabular import report

FOLDER = BENCHMARKS / "tabular"
STUDY = "study.jsonl"
KEYS = ("date", "machine", "versions", "settings", "tables", "step")


def recordings(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """The recordings by name, the last one first."""
    return read_recordings(folder, "fastfnn bench --tabular", KEYS)


def newest(folder: pathlib.Path) -> tuple[str, dict[str, Any]]:
    """The name and the result of the last recording of tables: others are of a step alone."""
    return next((name, result) for name, result in recordings(folder).items() if result["tables"])


def conditions(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """Where and how the last recording was made."""
    name, result = newest(folder)
    settings, telling = result["settings"], result["settings"].get("environment", {})
    said = [
        f"{result['date']}, {settings['seeds']} splits of each table",
        f"threads: {settings['threads'] or 'the default of each library'}",
        result["machine"]["system"],
        *([f"set in the environment: {', '.join(f'{k}={v}' for k, v in telling.items())}"] if telling else []),
    ]
    return blocks(heading(name, result, 3), f"{escaped('; '.join(said))}. {versions(result)}.")


def chart(out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    name, result = newest(folder)
    file = file_name("tabular", f"{name}.svg")
    out.mkdir(parents=True, exist_ok=True)
    report.plot(result, out / file)
    return f"![Points: error of each learner on each table relative to boosting's, and seconds of fit]({file})\n"


def scores(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """A table of scores and times for each data set."""
    parts = []
    for found in newest(folder)[1]["tables"]:
        rows = [list(map(escaped, row)) for row in report.rows_of(found)]
        parts += [f"**{escaped(report.description(found))}**", table(report.HEAD, rows)]
        parts += [bullets(report.problems(found["learners"]))]
    return blocks(*parts)


def step(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """The times of a step of each recording that has them."""
    parts = []
    for name, recording in recordings(folder).items():
        result = recording["step"]
        if not result:
            continue
        peak = f" of {result['peak_gflops']:.0f} GFLOP/s" if result["peak_gflops"] else ""
        rows = [list(map(escaped, row)) for row in report.step_rows(result)]
        parts += [
            heading(name, recording, 3),
            f"{recording['date']}. {escaped(result['description'])}; share of the FMA peak{peak}:",
            table(report.STEP_HEAD, rows),
            bullets(report.step_problems(result)),
        ]
    return blocks(*parts) if parts else "No recording has times of a step.\n"


def study(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """The recipes beside each other, the best rank first."""
    found, cells = tabular_study_report.summaries(tabular_study_report.read([folder / STUDY]))
    tables = list(found[0].tables)
    rows = [
        [
            f"{escaped(item.recipe)}<br>{escaped(changes(item.changes))}" if item.changes else escaped(item.recipe),
            f"{item.rank:.1f}",
            f"{item.error:.3f}",
            f"{item.seconds:.0f}",
            *(f"{item.tables[name]:.3f}" for name in tables),
        ]
        for item in found
    ]
    return blocks(
        f"{cells} pairs of a table and a split. Errors are relative to those of *{tabular_study_report.BASE}*, over "
        "all tables (geometric mean) and by table; seconds are the sum over the tables.",
        table(["recipe", "mean rank", "error", "seconds", *map(escaped, tables)], rows),
    )


def changes(made: dict[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in made.items())
