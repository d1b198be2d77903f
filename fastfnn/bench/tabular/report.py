"""The tables and the chart of a result that `command.run` has made."""

import os
from typing import Any

from fastfnn.bench import report
from fastfnn.bench.tabular import learners, step
from fastfnn.bench.tabular.learners import BASELINE, OURS, OURS_COLOURS, PEERS

HEAD = ("learner", "score", "log loss", "error / boosting", "fit, s", "epochs", "s an epoch")
WIDTH = 6.4  # inches: text can be read on a phone
ROW = 0.62  # inches of a table in each panel
AROUND = 1.2


def text(result: dict[str, Any]) -> str:
    """Return what the command prints: a block for each table, then the step."""
    lines = _head(result)
    for table in result["tables"]:
        rows = [list(HEAD), *rows_of(table)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += ["", description(table)]
        lines += ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        lines += problems(table["learners"])
    if result["step"]:
        lines += ["", *step_lines(result["step"])]
    return "\n".join(lines)


def _head(result: dict[str, Any]) -> list[str]:
    machine, settings = result["machine"], result["settings"]
    threads = settings["threads"] or "each library's own default"
    telling = [f"{name}={value}" for name, value in settings.get("environment", {}).items()]
    return [
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; threads: {threads}",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        *([f"set in the environment: {', '.join(telling)}"] if telling else []),
        *([f"score: mean and standard deviation over {settings['seeds']} splits"] if result["tables"] else []),
    ]


def description(table: dict[str, Any]) -> str:
    """Return a line such as "abalone: 4,177 rows, 8 columns, RMSE"."""
    task = f"{table['classes']} classes, accuracy" if table["classes"] else "RMSE"
    return f"{table['name']}: {table['rows']:,} rows, {table['columns']} columns, {task}"


def rows_of(table: dict[str, Any]) -> list[list[str]]:
    """Return the cells of each learner that has scores."""
    rows = []
    baseline = error_of(table, BASELINE)
    for name, found in table["learners"].items():
        if "scores" not in found:
            continue
        scores, error = found["scores"], error_of(table, name)
        rows.append(
            [
                learners.title(name),
                spread(scores["accuracy" if table["classes"] else "rmse"]),
                spread(scores["log_loss"]) if table["classes"] else "",
                f"{error / baseline:.3f}" if baseline and error is not None else "",
                f"{found['seconds']:.1f}",
                f"{found['epochs']:g}" if found["epochs"] else "",
                f"{found['epoch_seconds']:.3f}" if found["epoch_seconds"] else "",
            ]
        )
    return rows


def error_of(table: dict[str, Any], name: str) -> float | None:
    """Return the mean error of a learner, if it has one."""
    found = table["learners"].get(name, {})
    return float(found["scores"]["error"]["mean"]) if "scores" in found else None


def spread(score: dict[str, float]) -> str:
    return f"{score['mean']:.4f} ± {score['std']:.4f}"


def problems(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each learner without scores."""
    return [
        f"{learners.title(name)}: {learner.get('error') or learner.get('unsupported') or 'not measured'}"
        for name, learner in found.items()
        if "scores" not in learner
    ]


def step_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the cells of each library that has times of the step."""
    return [
        [
            step.TITLES[name] + (f" ({library['variant']})" if library.get("variant") else ""),
            f"{library['median_us']:,.0f}",
            f"{library['ratio']:.2f}x" if library.get("ratio") else "",
            f"{library['gflops']:.0f}",
            f"{library['share_of_peak']:.0%}" if library.get("share_of_peak") else "",
        ]
        for name, library in result["libraries"].items()
        if "median_us" in library
    ]


STEP_HEAD = ("library", "us a step", "/ fastfnn", "GFLOP/s", "of peak")


def step_lines(result: dict[str, Any]) -> list[str]:
    rows = [list(STEP_HEAD), *step_rows(result)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    peak = [f"of peak: of {result['peak_gflops']:.0f} GFLOP/s, the best rate of fastfnn's register tile"]
    return [
        f"a training step of {result['description']}",
        *("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows),
        *(peak if result["peak_gflops"] else []),
        *step_problems(result),
    ]


def step_problems(result: dict[str, Any]) -> list[str]:
    """Return a line for each library that has failed."""
    libraries = result["libraries"].items()
    return [f"{step.TITLES[name]}: {library['error']}" for name, library in libraries if "error" in library]


# The chart


def colours(names: list[str]) -> dict[str, str]:
    """Return a colour for each learner: the same in every chart."""
    ours = iter(OURS_COLOURS * len(names))
    return {name: PEERS[name].colour if name in PEERS else next(ours) for name in names}


def plot(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw errors relative to boosting's, with their spread over the seeds, and seconds of fit. Needs matplotlib."""
    report.require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    tables = [table for table in result["tables"] if error_of(table, BASELINE)]
    names = [name for name in result["settings"]["learners"] if any(error_of(table, name) for table in tables)]
    figure = Figure(figsize=(WIDTH, 2 * (AROUND + ROW * max(len(tables), 2))), layout="constrained")
    FigureCanvasAgg(figure)
    errors, seconds = figure.subplots(2, 1)
    ratios: list[float] = [1.0]
    for place, (name, colour) in enumerate(colours(names).items()):
        offset = 0.7 * ((place + 0.5) / len(names) - 0.5)
        drawn = [(height + offset, table) for height, table in enumerate(tables) if error_of(table, name) is not None]
        heights = [height for height, _ in drawn]
        score = [table["learners"][name]["scores"]["error"] for _, table in drawn]
        base = [error_of(table, BASELINE) or 1.0 for _, table in drawn]
        means = [item["mean"] / whole for item, whole in zip(score, base, strict=True)]
        stds = [item["std"] / whole for item, whole in zip(score, base, strict=True)]
        ratios += [mean + side * std for mean, std in zip(means, stds, strict=True) for side in (-1, 1)]
        style = {"color": colour, "markersize": 7 if name.startswith(OURS) else 5}
        errors.errorbar(means, heights, xerr=stds, fmt="o", elinewidth=1, label=learners.title(name), **style)
        seconds.plot([table["learners"][name]["seconds"] for _, table in drawn], heights, "o", **style)
    errors.axvline(1, color=PEERS[BASELINE].colour, linewidth=1)
    errors.set_xlim(max(0.9 * min(ratios), 0.2), min(1.1 * max(ratios), 4))
    seconds.set_xscale("log")
    for axes in (errors, seconds):
        axes.set_yticks(range(len(tables)), [table["name"] for table in tables])
        axes.set_ylim(len(tables) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        for height in range(1, len(tables)):
            axes.axhline(height - 0.5, color="#DDDDDD", linewidth=0.8)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
    seconds.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    seconds.xaxis.set_minor_locator(NullLocator())
    seconds.xaxis.set_minor_formatter(NullFormatter())
    seconds.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    errors.set_xlabel("error relative to boosting's (left: better)")
    seconds.set_xlabel("seconds of fit, log scale")
    machine, seeds = result["machine"], result["settings"]["seeds"]
    errors.set_title(f"{machine['cpu']}, {machine['cores']} cores, {seeds} splits", fontsize=11)
    figure.legend(ncols=2, fontsize=10, frameon=False, loc="outside lower center")
    figure.savefig(path, dpi=150)
