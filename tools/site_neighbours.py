"""Calls beside other processes on the site, from results of `fastfnn bench --neighbours` in benchmarks/neighbours."""

import pathlib
from typing import Any

from site_recordings import BENCHMARKS, blocks, bullets, escaped, heading, read_recordings, table

from fastfnn.bench.neighbours import report, verdict
from fastfnn.bench.neighbours.states import STATES

FOLDER = BENCHMARKS / "neighbours"
KEYS = ("date", "machine", "versions", "settings", "calls", "broken", "remarks")
OURS = "fastfnn"
CELL = "mean (us), times quiet, p99 (us)"


def figures(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """A section for each machine: a table of fastfnn's calls, and one with all libraries for each call."""
    recordings = read_recordings(folder, "fastfnn bench --neighbours", KEYS)
    return blocks(*(section(name, result) for name, result in recordings.items()))


def promise(_out: pathlib.Path) -> str:
    """What verdict.py holds the calls to, as a list."""
    return "\n".join(
        [
            "- Beside other processes and with the time of one CPU, the mean of a call is at most "
            f"**{verdict.MOST_TIMES_QUIET:g} times** its mean on a quiet machine.",
            "- There, its 99th percentile is at most "
            f"**{verdict.MOST_P99_OVER_QUIET_US / 1000:g} ms** above its mean on a quiet machine.",
            f"- In every state, the mean is at most **{verdict.MOST_TIMES_ONE_THREAD:g} times** what the call takes on "
            "one thread in that state: several threads never cost much more than one.",
        ]
    )


def states(_out: pathlib.Path) -> str:
    """What the names of the states mean."""
    rows = "\n".join(f"| {escaped(name)} | {escaped(state.title)} |" for name, state in STATES.items())
    return f"| state | what holds |\n| --- | --- |\n{rows}\n"


def section(name: str, result: dict[str, Any]) -> str:
    names = result["settings"]["states"]
    broken = {(entry["call"], entry["state"]) for entry in result["broken"]}
    ours = [
        [
            escaped(call["name"]),
            *(cell(call["states"][state].get(OURS, {}), (call["name"], state) in broken) for state in names),
        ]
        for call in result["calls"]
    ]
    return blocks(
        heading(name, result),
        "<br>\n".join(map(escaped, report.conditions(result))),
        table([CELL, *map(escaped, names)], ours),
        bullets([*report.remarks(result), *report.breaches(result)]),
        *(libraries(call, names, broken) for call in result["calls"]),
    )


def libraries(call: dict[str, Any], names: list[str], broken: set[tuple[str, str]]) -> str:
    """A table of what each library takes for a call in each state, folded away, without those that do not have it."""
    rows = []
    for library in dict.fromkeys(name for state in names for name in call["states"][state]):
        figures = [call["states"][state].get(library, {}) for state in names]
        if any("mean_us" in entry or "error" in entry for entry in figures):
            marks = [library == OURS and (call["name"], state) in broken for state in names]
            rows.append([escaped(report.TITLES.get(library, library)), *map(cell, figures, marks)])
    title = (
        call["description"]
        if call["description"].startswith(call["name"])
        else f"{call['name']}: {call['description']}"
    )
    return f":::{{dropdown}} {escaped(title)}\n{table([CELL, *map(escaped, names)], rows)}\n:::"


def cell(figures: dict[str, Any], marked: bool) -> str:
    """A mean, its ratio to the mean on a quiet machine, and the 99th percentile."""
    if "mean_us" not in figures:
        return "failed" if "error" in figures else ""
    mean, p99 = report.microseconds(figures["mean_us"]), report.microseconds(figures["p99_us"])
    ratio = figures["times_quiet"]
    return "<br>".join([f"{mean}{' !' if marked else ''}", *([f"{ratio:.2f}x"] if ratio else []), p99])
