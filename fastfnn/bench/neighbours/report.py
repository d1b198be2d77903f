"""The table of a result that `runner.run` has returned, and the figures beyond what is promised."""

from collections.abc import Callable
from typing import Any

from fastfnn.bench import report
from fastfnn.bench.neighbours.calls import ONE_THREAD
from fastfnn.bench.neighbours.states import STATES

TITLES = {**report.TITLES, ONE_THREAD: "fastfnn, 1 thread"}

COLUMNS = ("median", "mean", "p99", "max", "calls", "/ quiet", "p99 - quiet", "/ 1 thread")

# Figures of `verdict.Broken` in words.
PROMISES: dict[str, Callable[[Any, Any], str]] = {
    "error": lambda value, limit: "it has failed",
    "times_quiet": lambda value, limit: f"mean {value:.1f} times the quiet mean (at most {limit:g})",
    "p99_over_quiet_us": lambda value, limit: (
        f"99th percentile {value / 1000:.1f} ms above the quiet mean (at most {limit / 1000:g})"
    ),
    "times_one_thread": lambda value, limit: f"mean {value:.2f} times that on one thread (at most {limit:g})",
    "times_before": lambda value, limit: f"mean {value:.2f} times the earlier version's (at most {limit:g})",
}


def table(result: dict[str, Any]) -> str:
    """A block of lines for each call, with a line for each state and library; then what is broken, and remarks."""
    lines = _head(result)
    marked = {(entry["call"], entry["state"]) for entry in result["broken"]}
    for call in result["calls"]:
        rows = [["", "", *COLUMNS]]
        for state, libraries in call["states"].items():
            for name, figures in libraries.items():
                if "mean_us" in figures:
                    mark = " !" if name == "fastfnn" and (call["name"], state) in marked else ""
                    rows.append([state + mark, TITLES[name], *cells(figures)])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["", f"{call['name']}: {call['description']}"]
        lines += [
            "  ".join([*map(str.ljust, row[:2], widths[:2]), *map(str.rjust, row[2:], widths[2:])]) for row in rows
        ]
    return "\n".join([*lines, "", *remarks(result), *breaches(result)])


def cells(figures: dict[str, Any]) -> list[str]:
    """The figures of a line, in the order of COLUMNS."""
    times = [microseconds(figures[f"{name}_us"]) for name in ("median", "mean", "p99", "max")]
    over = figures["p99_over_quiet_us"]
    return [
        *times,
        f"{figures['calls']:,}",
        _ratio(figures["times_quiet"]),
        "-" if over is None else microseconds(over),
        _ratio(figures["times_one_thread"]),
    ]


def microseconds(us: float) -> str:
    """A time as text."""
    return f"{us:,.0f}" if abs(us) >= 1000 else f"{us:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def conditions(result: dict[str, Any]) -> list[str]:
    """When, where and how the result was measured."""
    machine, settings = result["machine"], result["settings"]
    telling = [f"{name}={value}" for name, value in settings["environment"].items()]
    return [
        f"{result['date']}: {machine['cpu']}, {machine['cores']} cores, {machine['system']}",
        f"{settings['dtype']}; {settings['rounds']} rounds, {settings['seconds']:g} s for each call in each",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        *([f"set in the environment: {', '.join(telling)}"] if telling else []),
    ]


def _head(result: dict[str, Any]) -> list[str]:
    return [
        "us per call: beside other processes, with the time of one CPU, and after a pause",
        *conditions(result),
        *(f"{name}: {STATES[name].title}" for name in result["settings"]["states"]),
    ]


def remarks(result: dict[str, Any]) -> list[str]:
    """What was not measured, and why, each reason once with the calls and states that it concerns."""
    concerned: dict[str, dict[str, None]] = {}
    for call in result["calls"]:
        for state, libraries in call["states"].items():
            for name, figures in libraries.items():
                for why in (figures.get("error"), figures.get("unsupported")):
                    if why:
                        concerned.setdefault(f"{TITLES[name]}: {why}", {})[f"{call['name']} ({state})"] = None
    return [*result["remarks"], *(f"{why}: {_shortened(list(where))}" for why, where in concerned.items())]


def _shortened(where: list[str]) -> str:
    return where[0] if len(where) == 1 else f"{where[0]} and {len(where) - 1} more"


def breaches(result: dict[str, Any]) -> list[str]:
    """A line for each call and state with figures beyond what is promised."""
    said: dict[tuple[str, str], list[str]] = {}
    for entry in result["broken"]:
        what = PROMISES[entry["promise"]](entry["value"], entry["limit"])
        said.setdefault((entry["call"], entry["state"]), []).append(what)
    lines = [f"! {call}, {STATES[state].title}: {', '.join(parts)}" for (call, state), parts in said.items()]
    return lines or ["all calls of fastfnn are within what is promised"]
