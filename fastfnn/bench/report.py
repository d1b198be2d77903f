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


# The size of the chart in inches: small enough that its text can still be read on a phone.
WIDTH = 6.4
BAR = 0.165
AROUND_BARS = 1.9  # title, axis and legend
LEAST_HEIGHT = 3.2


def plot(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Draw the other libraries' times relative to fastfnn's, as bars that begin at 1. Needs matplotlib.

    The name of the file decides between PNG, SVG and PDF.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    peers = result["settings"]["peers"]
    cases = [case for case in result["cases"] if "median_us" in case["libraries"]["fastfnn"]]
    bars: dict[str, dict[int, float]] = {name: {} for name in peers}  # ratio by height
    middles: list[float] = []
    height = 0
    for case in cases:
        drawn = [name for name in peers if case["libraries"][name].get("ratio")]
        for place, name in enumerate(drawn):
            bars[name][height + place] = case["libraries"][name]["ratio"]
        middles.append(height + (max(len(drawn), 1) - 1) / 2)
        height += max(len(drawn), 2) + 1  # two lines for the name of the case, and a gap
    figure = Figure(figsize=(WIDTH, max(LEAST_HEIGHT, AROUND_BARS + BAR * height)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.axvline(1, color=COLOURS["fastfnn"], linewidth=1.5, label=TITLES["fastfnn"])
    for name, ratios in bars.items():
        widths = [ratio - 1 for ratio in ratios.values()]
        axes.barh(list(ratios), widths, 0.85, left=1, color=COLOURS[name], label=TITLES[name])
        for place, ratio in ratios.items():
            axes.annotate(
                _multiple(ratio),
                (max(ratio, 1), place),  # a bar to the left of 1 would hide what stands on its own side
                (4, 0),
                textcoords="offset points",
                va="center_baseline",
                fontsize=9,
            )
    everything = [1.0, *(ratio for ratios in bars.values() for ratio in ratios.values())]
    axes.set_xscale("log")
    axes.set_xlim(0.8 * min(everything), 1.5 * max(everything))  # room for the numbers beside the bars
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(
        middles, [f"{case['name']}\n{_digits(case['libraries']['fastfnn']['median_us'])} us" for case in cases]
    )
    axes.tick_params(axis="y", length=0)
    spare = max(5 - height, 0) / 2  # keeps a few bars from growing as high as the chart
    axes.set_ylim(height - 1.2 + spare, -0.8 - spare)
    axes.set_xlabel("time relative to fastfnn's, log scale (longer: slower)")
    axes.set_ylabel("case, and fastfnn's time of a step")
    cpu, cores, dtype = result["machine"]["cpu"], result["machine"]["cores"], result["settings"]["dtype"]
    axes.set_title(f"{cpu}, {cores} cores, {dtype}", fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.legend(ncols=3, fontsize=10, frameon=False, loc="outside lower center")
    figure.savefig(path, dpi=150)


def _multiple(ratio: float) -> str:
    """A ratio with two digits or more."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}" if ratio >= 1 else f"{ratio:.2f}"
