"""The cost model on the site, from recordings of tools/scaling.py in benchmarks/scaling: the newest one."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any

import scaling_fit as fit
import scaling_tables as tables
from scaling_fit import LINKS, Fitted
from site_recordings import BENCHMARKS, blocks, escaped, file_name, heading, read_recordings, table, versions

FOLDER = BENCHMARKS / "scaling"
KEYS = ("date", "machine", "versions", "settings", "threads", "cases", "ranks")
WIDTH = 5.2  # inches: text can be read on a phone
FONT = 11

# Of Okabe and Ito, from small networks to large ones; lines differ, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (8, 2, 2, 2)), (0, (12, 3)))
GREY = "#777777"


def newest(folder: pathlib.Path = FOLDER) -> tuple[str, Fitted]:
    """The name of the last recording, and the model of its machine."""
    name, result = next(iter(read_recordings(folder, "tools/scaling.py", KEYS).items()))
    return name, fit.fitted(result)


def machine(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """What was measured where, and what it says about the machine."""
    name, model = newest(folder)
    result = model.result
    return blocks(
        heading(name, result, 3),
        f"{escaped(result['date'])}, {escaped(result['machine']['system'])}. {versions(result)}.",
        shown(tables.costs(model)),
    )


def on_threads(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    return blocks(shown(tables.threads(newest(folder)[1])))


def on_ranks(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    model = newest(folder)[1]
    crowded = [str(entry["ranks"]) for entry in model.result["ranks"] if entry["ranks"] > model.machine.cores]
    warning = (
        f"With {' and '.join(crowded)} ranks on {model.machine.cores} cores, ranks wait for each other's time slices: "
        "no machine for speed, but what it costs to have too many."
        if crowded
        else ""
    )
    return blocks(shown(tables.ranks(model)), warning, shown(tables.sums(model)))


def on_cores(out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """The chart and the table of more cores."""
    name, model = newest(folder)
    file = file_name("scaling", "cores", f"{name}.svg")
    out.mkdir(parents=True, exist_ok=True)
    plot_cores(model, out / file)
    largest = list(model.networks)[-1]
    case = [case for case in model.result["cases"] if case["name"] == largest][-1]
    batch, network = case["batch_size"], model.networks[largest]
    reached = fit.core_speed_up(model, network, batch, model.larger("server"), fit.MORE_CORES)
    slower = fit.core_speed_up(model, network, batch, model.larger("desktop"), fit.MORE_CORES)
    law = tables.amdahl(max(fit.serial(case), 0.0), fit.MORE_CORES)
    return blocks(
        f"![Lines: speed-up of a step over cores, by network and batch size]({file})",
        f"For the largest network on batches of {batch:,} the model says **{reached:.1f} times** the speed of one core "
        f"on {fit.MORE_CORES} cores, and {slower:.1f} with a desktop's memory. Amdahl's law, from the times on one "
        f"and on {model.machine.cores} cores, says {law:.1f}. No such machine was measured.",
        shown(tables.cores(model)),
    )


def on_machines(out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """The chart of more machines, with its tables."""
    name, model = newest(folder)
    file = file_name("scaling", "machines", f"{name}.svg")
    out.mkdir(parents=True, exist_ok=True)
    plot_machines(model, out / file)
    each = (item for link in LINKS for item in (f"**{escaped(fit.LINK_TITLES[link])}**",
                                                shown(tables.machines(model, link))))  # fmt: skip
    return blocks(f"![Lines: speed-up of a step over machines, by network]({file})", *each)


def worth(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    return blocks(shown(tables.paying(newest(folder)[1])))


def even(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    """Samples for each machine at an efficiency of one half: the rule for large networks, and the table."""
    model = newest(folder)[1]
    speed = model.machine.cores / model.work.per_operation
    rules = (f"{tables.whole(8 * LINKS[link].per_byte * speed / 6)} at {link}" for link in LINKS)
    return blocks(
        f"With the {1e-9 * speed:.0f} GFLOP/s that this machine reaches in a step, $b$ is {' and '.join(rules)}.",
        shown(tables.even_batches(model)),
    )


def averages(_out: pathlib.Path, folder: pathlib.Path = FOLDER) -> str:
    return blocks(shown(tables.averages(newest(folder)[1])))


def assumptions(_out: pathlib.Path) -> str:
    """The numbers that are not measured."""
    rows = [
        [escaped(fit.LINK_TITLES[name]), f"{1e6 * link.latency:g} us", f"{1e-9 / link.per_byte:g} GB/s"]
        for name, link in LINKS.items()
    ]
    memories = [
        [f"{fit.MORE_CORES} cores, memory of a {name}", f"{streams:g} times what one core reads", tables.size(cache)]
        for name, (streams, cache) in fit.MEMORIES.items()
    ]
    return blocks(
        table(["between machines", "latency of a message", "bandwidth"], rows),
        table(["a larger machine", "memory", "cache"], memories),
    )


def shown(found: tables.Table) -> str:
    return table(list(map(escaped, found.head)), [list(map(escaped, row)) for row in found.rows])


# Charts


def plot_machines(model: Fitted, path: pathlib.Path) -> None:
    """Speed-up over machines, a panel for each network between them."""
    counts = fit.powers(fit.BATCHES[-1])
    figure, panels = new_figure(len(LINKS), 3.4 * len(LINKS) + 0.5)
    for axes, name in zip(panels, LINKS, strict=True):
        link = model.link(name)
        curves = {
            title: [fit.speed_up(model, network, fit.BATCHES[-1], count, link) for count in counts]
            for title, network in model.networks.items()
        }
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        draw(axes, counts, curves, counts)
        axes.plot(counts, [fit.PAYS * count for count in counts], color=GREY, linewidth=1, linestyle=":")
        axes.annotate("efficiency 50 %", (counts[1], fit.PAYS * counts[1]), (10, -12), **GREY_TEXT)
        axes.set_ylim(0.5, 1.3 * counts[-1])
        axes.set_xticks(counts[::2], [f"{count:,}" for count in counts[::2]])
        axes.set_yticks(counts[::2], [f"{count:,}" for count in counts[::2]])
        axes.set_title(fit.LINK_TITLES[name], fontsize=FONT)
        axes.set_xlabel(f"machines of {model.machine.cores} cores", fontsize=FONT)
        axes.set_ylabel("speed-up", fontsize=FONT)
    figure.suptitle(f"Modelled: batch of {fit.BATCHES[-1]:,}, networks by parameters", fontsize=FONT)
    figure.savefig(path, dpi=150)


def plot_cores(model: Fitted, path: pathlib.Path) -> None:
    """Speed-up over cores with a server's memory, a panel for each batch size; measured ones are points."""
    counts = [1 << power for power in range(fit.MORE_CORES.bit_length())]
    machine, batches = model.larger("server"), sorted({case["batch_size"] for case in model.result["cases"]})
    figure, panels = new_figure(len(batches), 3.3 * len(batches) + 0.5)
    for axes, batch in zip(panels, batches, strict=True):
        cases = {case["name"]: case for case in model.result["cases"] if case["batch_size"] == batch}
        curves = {
            name: [fit.core_speed_up(model, network, batch, machine, count) for count in counts]
            for name, network in model.networks.items()
            if name in cases
        }
        draw(axes, counts, curves, counts)
        for colour, case in zip(COLOURS, cases.values(), strict=False):
            one, *more = case["steps"]
            points = {entry["threads"]: one["median_us"] / entry["median_us"] for entry in more}
            axes.plot(list(points), list(points.values()), "o", color=colour, markersize=7, markerfacecolor="white")
        axes.set_xticks([1, *range(2, fit.MORE_CORES + 1, 2)])
        axes.set_yticks([1, *range(4, fit.MORE_CORES + 1, 4)])
        axes.set_ylim(0, fit.MORE_CORES + 0.5)
        axes.set_xlabel("cores", fontsize=FONT)
        axes.set_ylabel("speed-up", fontsize=FONT)
        axes.set_title(f"batch of {batch:,}", fontsize=FONT)
    figure.suptitle("Lines: modelled; circles: measured", fontsize=FONT)
    figure.savefig(path, dpi=150)


GREY_TEXT = {"textcoords": "offset points", "color": GREY, "fontsize": FONT - 1}


def new_figure(rows: int, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, 1, squeeze=False).flat)


def draw(axes: Any, counts: Sequence[int], curves: dict[str, list[float]], ideal: Sequence[int]) -> None:
    """Draw a line for each network, with its name at its end, and the ideal."""
    axes.plot(counts, ideal, color=GREY, linewidth=1)
    axes.annotate("ideal", (counts[-2], ideal[-2]), (-8, 6), ha="right", **GREY_TEXT)
    for (_, values), colour, line in zip(curves.items(), COLOURS, LINES, strict=False):
        axes.plot(counts, values, color=colour, linestyle=line, linewidth=2)
    ends = {name: values[-1] for name, values in curves.items()}
    logarithmic = axes.get_yscale() == "log"
    gap = 0.09 * (math.log(counts[-1]) if logarithmic else counts[-1])
    for (name, place), colour in zip(apart(ends, gap, logarithmic).items(), COLOURS, strict=False):
        axes.annotate(name, (counts[-1], place), (6, 0), color=colour, fontsize=FONT, weight="bold",
                      textcoords="offset points", va="center", annotation_clip=False)  # fmt: skip
    axes.tick_params(labelsize=FONT - 1)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def apart(ends: dict[str, float], gap: float, logarithmic: bool) -> dict[str, float]:
    """Return places for labels near the ends of lines, in their order, at least a gap from each other."""
    order = sorted(ends, key=lambda name: ends[name])
    places = [math.log(ends[name]) if logarithmic else ends[name] for name in order]
    for _ in range(100):  # each pair that is too close moves apart
        for low in range(len(places) - 1):
            lacking = gap - (places[low + 1] - places[low])
            if lacking > 0:
                places[low] -= lacking / 2
                places[low + 1] += lacking / 2
    found = dict(zip(order, map(math.exp, places) if logarithmic else places, strict=True))
    return {name: found[name] for name in ends}
