"""The comparison with other libraries on the site, from results of `fastfnn bench` in benchmarks/peers."""

import pathlib
from typing import Any

from site_recordings import BENCHMARKS, blocks, bullets, escaped, file_name, heading, read_recordings, table, versions

from fastfnn.bench import report
from fastfnn.bench.cases import CASES

FOLDER = BENCHMARKS / "peers"
KEYS = ("date", "machine", "versions", "settings", "cases")
OURS = "fastfnn"


def read(folder: pathlib.Path = FOLDER) -> dict[str, dict[str, Any]]:
    return read_recordings(folder, "fastfnn bench", KEYS)


def figures(out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """A section with a chart and a table for each machine."""
    return blocks(*(section(name, result, out) for name, result in read(folder).items()))


def newest(folder: pathlib.Path = FOLDER) -> tuple[str, dict[str, Any]]:
    """The name and the result of the last recording."""
    return next(iter(read(folder).items()))


def newest_chart(out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    return chart(*newest(folder), out)


def printed(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """What the command prints for the first case of the last recording."""
    result = newest(folder)[1]
    return f"```text\n{report.table(result | {'cases': result['cases'][:1]})}\n```\n"


def cases(_out: pathlib.Path) -> str:
    """What each case is."""
    rows = "\n".join(f"| {escaped(case.name)} | {escaped(case.description)} |" for case in CASES.values())
    return f"| case | network and work |\n| --- | --- |\n{rows}\n"


def section(name: str, result: dict[str, Any], out: pathlib.Path) -> str:
    settings = result["settings"]
    telling = [f"{variable}={value}" for variable, value in settings.get("environment", {}).items()]
    conditions = [
        f"{result['date']}, {settings['dtype']}",
        f"{settings['rounds']} rounds of about {settings['seconds']:g} s",
        f"threads: {settings['threads'] or 'the default of each library'}",
        result["machine"]["system"],
        *([f"set in the environment: {', '.join(telling)}"] if telling else []),
    ]
    return blocks(
        heading(name, result),
        f"{escaped('; '.join(conditions))}. {versions(result)}.",
        chart(name, result, out),
        times(result),
        bullets(remarks(result)),
    )


def chart(name: str, result: dict[str, Any], out: pathlib.Path) -> str:
    file = file_name("peers", f"{name}.svg")
    out.mkdir(parents=True, exist_ok=True)
    report.plot(result, out / file)
    machine = f"{escaped(result['machine']['cpu'])}, {result['machine']['cores']} cores"
    return f"![Bars: time of each library in each case, relative to fastfnn's. {machine}]({file})"


def times(result: dict[str, Any]) -> str:
    """The table of microseconds a step, each with its ratio to fastfnn's time below it."""
    names = [OURS, *result["settings"]["peers"]]
    rows = []
    for case in result["cases"]:
        share = case["libraries"][OURS].get("share_of_peak")
        usual = case["name"] in CASES and case["description"] == CASES[case["name"]].description
        rows.append(
            [
                escaped(case["name"]) + ("" if usual else f"<br>{escaped(case['description'])}"),
                *(cell(case["libraries"].get(name, {}), ratio=name != OURS) for name in names),
                f"{share:.0%}" if share else "",
            ]
        )
    return table(["microseconds a step", *(escaped(report.TITLES.get(name, name)) for name in names), "of peak"], rows)


def cell(library: dict[str, Any], *, ratio: bool) -> str:
    if "median_us" not in library:
        return "failed" if "error" in library else ""
    us = library["median_us"]
    time = f"{us:,.0f}" if us >= 1000 else f"{us:.1f}"
    return f"{time}<br>{library['ratio']:.2f}x" if ratio and library.get("ratio") else time


def remarks(result: dict[str, Any]) -> list[str]:
    """Remarks on single figures, each once with the cases that it concerns, and the libraries that are missing."""
    concerned: dict[str, list[str]] = {}
    for case in result["cases"]:
        for name, library in case["libraries"].items():
            said = [library.get(key) for key in ("error", "unsupported", "variant")] + library.get("remarks", [])
            for remark in filter(None, said):
                concerned.setdefault(f"{report.TITLES.get(name, name)}: {remark}", []).append(case["name"])
    lines = [f"{remark} ({', '.join(names)})" for remark, names in concerned.items()]
    absent = [title for name, title in report.TITLES.items() if name not in (OURS, *result["settings"]["peers"])]
    return [*lines, f"Not measured on this machine: {', '.join(absent)}"] if absent else lines
