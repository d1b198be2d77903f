"""The table and the chart of a result that `runner.run` has returned."""

import os
from typing import Any

TITLES = {
    "fastfnn": "fastfnn",
    "notes": "notes' code (f64)",
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
    "sklearn": "scikit-learn",
    "onnxruntime": "ONNX Runtime",
}

# The colours of Okabe and Ito, which colour-blind readers can tell apart.
COLOURS = {
    "fastfnn": "#D55E00",
    "notes": "#999999",
    "numpy": "#56B4E9",
    "torch": "#E69F00",
    "jax": "#009E73",
    "sklearn": "#0072B2",
    "onnxruntime": "#CC79A7",
}

BLANK = "-"


def table(result: dict[str, Any]) -> str:
    """Microseconds per step and the ratio to fastfnn's time, for each library, followed by remarks."""
    names = ["fastfnn", *result["settings"]["peers"]]
    rows = [["case", *(TITLES[name] for name in names), "of peak"]]
    for case in result["cases"]:
        ours = case["libraries"]["fastfnn"]
        cells = [_cell(case["libraries"][name], ratio=name != "fastfnn") for name in names]
        share = ours.get("share_of_peak")
        rows.append([case["name"], *cells, f"{share:.0%}" if share else BLANK])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    return "\n".join([*_head(result), "", *lines, "", *_foot(result)])


def _cell(library: dict[str, Any], *, ratio: bool) -> str:
    if "median_us" not in library:
        return BLANK
    time = _digits(library["median_us"])
    if not ratio or library["ratio"] is None:
        return time
    multiple = f"{library['ratio']:.2f}x"
    return f"{time} {multiple:>7}"


def _digits(us: float) -> str:
    return f"{us:,.0f}" if us >= 1000 else f"{us:.1f}"


def _head(result: dict[str, Any]) -> list[str]:
    machine, settings = result["machine"], result["settings"]
    threads = settings["threads"] or "each library's own default"
    telling = [f"{name}={value}" for name, value in settings.get("environment", {}).items()]
    return [
        f"us per step, {settings['dtype']}: median of {settings['rounds']} rounds of about {settings['seconds']:g} s, "
        "and its ratio to fastfnn's",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; threads: {threads}",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        *([f"set in the environment: {', '.join(telling)}"] if telling else []),
    ]


def _foot(result: dict[str, Any]) -> list[str]:
    lines = [f"{case['name']}: {case['description']}" for case in result["cases"]]
    left_out: dict[str, list[str]] = {}
    for case in result["cases"]:
        for name, library in case["libraries"].items():
            if "unsupported" in library:
                left_out.setdefault(f"{TITLES[name]}: {library['unsupported']}", []).append(case["name"])
            title = f"{case['name']}, {TITLES[name]}"
            if "error" in library:
                lines.append(f"{title}: {library['error']}")
            elif library.get("variant"):
                lines.append(f"{title}: {library['variant']}")
            lines += [f"{title}: {remark}" for remark in library.get("remarks", ())]
    lines += [f"not for {', '.join(names)}: {reason}" for reason, names in left_out.items()]
    if result["peak_gflops"]:
        peak = f"{result['peak_gflops']:.0f} GFLOP/s"
        lines.append(f"of peak: fastfnn's share of {peak}, the best rate of its register tile in the same run")
    return lines


def require_matplotlib() -> None:
    """Raise ImportError, naming the extra to install, if the chart cannot be drawn."""
    try:
        import matplotlib.figure  # noqa: F401 (only a check that it is there)
    except ImportError as error:
        raise ImportError("the chart needs matplotlib: pip install 'fastfnn[plot]'") from error


def plot(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw the times relative to fastfnn's, with a group of bars for each case. Needs matplotlib."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    names = ["fastfnn", *result["settings"]["peers"]]
    cases = [case for case in result["cases"] if "median_us" in case["libraries"]["fastfnn"]]
    figure = Figure(figsize=(max(7.0, 1.6 + 0.3 * len(names) * len(cases)), 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    lowest, highest = 0.5, 1.0
    for place, name in enumerate(names):
        ratios = {i: case["libraries"][name].get("ratio") for i, case in enumerate(cases)}
        drawn = {i + (place - (len(names) - 1) / 2) * 0.8 / len(names): r for i, r in ratios.items() if r}
        lowest, highest = min([lowest, *(0.5 * r for r in drawn.values())]), max([highest, *drawn.values()])
        bars = axes.bar(list(drawn), list(drawn.values()), 0.75 / len(names), color=COLOURS[name], label=TITLES[name])
        axes.bar_label(bars, [f"{ratio:.2g}" for ratio in drawn.values()], padding=2, fontsize=7, rotation=90)
    axes.set_yscale("log")
    axes.set_ylim(lowest, highest * (highest / lowest) ** 0.12)  # room for the numbers above the bars
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(
        range(len(cases)),
        [f"{case['name']}\n{_digits(case['libraries']['fastfnn']['median_us'])} us" for case in cases],
    )
    axes.set_ylabel("time relative to fastfnn (log scale)")
    cpu, cores, dtype = result["machine"]["cpu"], result["machine"]["cores"], result["settings"]["dtype"]
    axes.set_title(f"Time per step, {dtype}\n{cpu}, {cores} cores", fontsize=11)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(ncols=3 if len(cases) < 4 else len(names), fontsize=9, loc="outside lower center")
    figure.savefig(path, dpi=140)
