"""The speed of earlier versions on the site, from asv's results in benchmarks/results.

asv's own pages show every benchmark; here is what they add up to: a chart with a point for each version, and the times
of training, prediction and the first call.
"""

import collections
import itertools
import json
import math
import pathlib
from dataclasses import dataclass, field
from typing import Any

from site_recordings import BENCHMARKS, blocks, escaped, file_name, table

FOLDER = BENCHMARKS / "results"
VERSIONS = BENCHMARKS / "versions.txt"

FIT = "bench_training.Fit.time_fit"
PREDICT = "bench_training.Predict.time_predict"
COLD = "bench_startup.FirstFit.track_cold"
WARM = "bench_startup.FirstFit.time_warm"
IMPORT = "bench_startup.Import.timeraw_fastfnn"

# The panels of the chart, and how the names of their benchmarks begin and end.
PANELS = {
    "fit": (FIT, ""),
    "gradient": ("bench_training.Gradient.", "time_gradient"),
    "predict": (PREDICT, ""),
    "single kernels": ("bench_kernels.", "time_kernel"),
    "first fit, nothing compiled": (COLD, ""),
    "import": (IMPORT, ""),
}

# Of Okabe and Ito, as in the chart of the comparison.
MEAN_COLOUR = "#0072B2"
EACH_COLOUR = "#999999"

NO_BREAK = "\N{NO-BREAK SPACE}"

# A benchmark and the values of its parameters, as asv writes them.
Series = tuple[str, tuple[str, ...]]


@dataclass
class Version:
    """What asv has measured of a commit on a machine."""

    commit: str
    date: int
    values: dict[Series, float] = field(default_factory=dict)
    quick: bool = False  # each time is that of a single call

    @property
    def label(self) -> str:
        """The name of the version in versions.txt; its commit if it is not there."""
        lines = [line.split() for line in VERSIONS.read_text("utf-8").splitlines() if line.strip() and line[0] != "#"]
        names = {words[0]: words[1].rstrip(",:") for words in lines if len(words) > 1}
        return next((name for commit, name in names.items() if self.commit.startswith(commit)), self.commit[:7])


def read(folder: pathlib.Path = FOLDER) -> dict[str, list[Version]]:
    """The versions measured on each machine, oldest first, by its title: machines with most versions first."""
    described = json.loads((folder / "benchmarks.json").read_text("utf-8"))
    machines = {}
    for path in sorted(folder.glob("*/machine.json")):
        results = [json.loads(file.read_text("utf-8")) for file in path.parent.glob("*.json") if file != path]
        versions = sorted((read_version(result, described) for result in results), key=lambda version: version.date)
        machine = json.loads(path.read_text("utf-8"))
        machines[f"{machine['cpu']}, {machine['machine']}"] = versions
    return dict(sorted(machines.items(), key=lambda item: -len(item[1])))


def read_version(result: dict[str, Any], described: dict[str, Any]) -> Version:
    """A version, without results of benchmarks that have changed since."""
    version = Version(result["commit_hash"], result["date"])
    for name, entry in result["results"].items():
        columns = dict(zip(result["result_columns"], entry or (), strict=False))
        if columns.get("version") != described.get(name, {}).get("version"):
            continue
        places = itertools.product(*columns["params"])
        for place, value in zip(places, columns["result"] or (), strict=False):
            if value is not None and math.isfinite(value):
                version.values[name, place] = value
        if name == FIT:
            version.quick = set(columns.get("stats_repeat") or ()) - {None} == {1}
    return version


def figures(out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """A section for each machine: the chart, and a table of times."""
    return blocks(*(section(title, versions, out) for title, versions in read(folder).items()))


def section(title: str, versions: list[Version], out: pathlib.Path) -> str:
    picture = "One version has been measured on this machine: there is nothing to compare it with yet."
    if len(versions) > 1:
        file = file_name("history", f"{title}.svg")
        out.mkdir(parents=True, exist_ok=True)
        plot(title, versions, out / file)
        picture = f"![Lines: time of each benchmark in each version, relative to the first version. {title}]({file})"
    quick = [escaped(version.label) for version in versions if version.quick]
    warning = f"Each time of {', '.join(quick)} is that of a single call, and may be far off." if quick else ""
    return blocks(f"## {escaped(title)}", warning, picture, times(versions))


def times(versions: list[Version]) -> str:
    """The times of fit and predict in each version, in float32."""
    rows = []
    for benchmark, title in ((FIT, "fit, {}"), (PREDICT, "predict, rows: {}")):
        measured = dict.fromkeys(series for version in versions[::-1] for series in version.values)
        for name, parameters in measured:
            if name == benchmark and parameters[-1] == "'float32'":
                cells = [seconds(version.values.get((name, parameters))) for version in versions]
                rows.append([escaped(title.format(parameters[0].strip("'"))), *cells])
    return table(["one call", *(escaped(version.label) for version in versions)], rows)


def first_fit(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """A table of import and first fit for each machine and version."""
    rows = []
    for title, versions in read(folder).items():
        for version in versions:
            cells = [seconds(version.values.get((name, ()))) for name in (IMPORT, COLD, WARM)]
            if any(cells):
                rows.append([f"{escaped(version.label)}, {escaped(title)}", *cells])
    head = ["version and machine", "`import fastfnn`", "first fit, nothing compiled", "first fit, all in the cache"]
    return table(head, rows) + "\n"


def seconds(value: float | None) -> str:
    """A time as text, in s, ms or us; nothing if there is none."""
    if value is None:
        return ""
    scale, unit = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "us")
    return f"{value * scale:#.3g}".rstrip(".") + f"{NO_BREAK}{unit}"


def plot(title: str, versions: list[Version], path: pathlib.Path) -> None:
    """Draw a panel for each kind of benchmark: a thin line for each, and a thick one for their geometric mean."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    panels = {name: relative(versions, *PANELS[name]) for name in PANELS}
    panels = {name: lines for name, lines in panels.items() if any(len(line) > 1 for line in lines)}
    rows = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(6.4, 1.0 + 2.1 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = list(figure.subplots(rows, 2, squeeze=False).flat)
    for axes, (name, lines) in zip(grid, panels.items(), strict=False):
        for line in lines if len(lines) > 1 else ():
            axes.plot(list(line), list(line.values()), color=EACH_COLOUR, linewidth=0.7, alpha=0.6)
        mean = geometric_mean(lines)
        axes.plot(list(mean), list(mean.values()), "o-", color=MEAN_COLOUR, linewidth=2.5)
        for place, value in mean.items():
            text = axes.annotate(f"{value:.2g}", (place, value), (0, 6), textcoords="offset points", ha="center")
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
        axes.set_title(f"{name} ({len(lines)})" if len(lines) > 1 else name, fontsize=11)
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.margins(x=0.12, y=0.2)
        low, high = axes.get_ylim()
        low, high = min(low, 0.4), max(high, 2)  # a few per cent are no mountain
        axes.set_ylim(low, high)
        if high / low < 30:  # powers of ten alone would be a tick or two
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.set_xticks(range(len(versions)), [version.label for version in versions])
        axes.tick_params(axis="x", labelrotation=45 if len(versions) > 5 else 0)
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.supylabel("time relative to the first version (log scale)", fontsize=11)
    figure.savefig(path, dpi=150)


def relative(versions: list[Version], begin: str, end: str) -> list[dict[int, float]]:
    """The times of the benchmarks of a panel relative to the first version, by the position of the version."""
    lines = []
    for series, first in versions[0].values.items():
        if series[0].startswith(begin) and series[0].endswith(end):
            found = [(place, version.values.get(series)) for place, version in enumerate(versions)]
            lines.append({place: value / first for place, value in found if value is not None})
    return lines


def geometric_mean(lines: list[dict[int, float]]) -> dict[int, float]:
    """The geometric mean of the lines at each version that all of them have."""
    logs = collections.defaultdict(list)
    for line in lines:
        for place, value in line.items():
            logs[place].append(math.log(value))
    return {place: math.exp(sum(found) / len(found)) for place, found in logs.items() if len(found) == len(lines)}
