"""The time of the first call on the site, from results of tools/cold_start.py in benchmarks/cold_start."""

import pathlib
import statistics
from typing import Any

from site_history import seconds
from site_recordings import BENCHMARKS, blocks, escaped, heading, read_recordings, table, versions

FOLDER = BENCHMARKS / "cold_start"
KEYS = ("date", "machine", "versions", "settings", "calls", "compile")


def figures(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """A section with a table for each machine."""
    recordings = read_recordings(folder, "tools/cold_start.py", KEYS)
    sections = [section(name, result) for name, result in recordings.items()]
    return blocks(*sections) if sections else "Nothing has been recorded for this version yet.\n"


def section(name: str, result: dict[str, Any]) -> str:
    calls = {(entry["call"], entry["dtype"], entry["cache"]): entry for entry in result["calls"]}
    compiled = {entry["dtype"]: entry for entry in result["compile"]}
    columns = [(dtype, state) for dtype in compiled for state in ("empty", "full")]

    def row(title: str, call: str, part: str) -> list[str]:
        entries = [calls.get((call, *column), {}).get(part) for column in columns]
        return [title, *(seconds(statistics.median(entry)) if entry else "" for entry in entries)]

    ahead = [compiled[dtype] if state == "empty" else None for dtype, state in columns]
    rows = [
        row("`import fastfnn`", "fit", "import"),
        row("first `predict`", "predict", "first"),
        row("second `predict`", "predict", "second"),
        row("first `fit`", "fit", "first"),
        row("second `fit`", "fit", "second"),
        [
            "`fastfnn compile`, all kernels",
            *(f"{seconds(entry['seconds'])}<br>{entry['kernels']} kernels" if entry else "" for entry in ahead),
        ],
    ]
    titles = [f"{escaped(dtype)}, {state} cache" for dtype, state in columns]
    return blocks(
        heading(name, result, 3),
        f"{escaped(result['date'])}, medians of {result['settings']['rounds']} processes. {versions(result)}.",
        table(["", *titles], rows),
    )
