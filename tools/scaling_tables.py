"""The tables of docs/performance/scaling.md, as text: printed by tools/scaling.py, shown by tools/site_scaling.py."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import scaling_fit as fit
from scaling_fit import LINKS, Fitted
from scaling_model import allreduce_seconds, amdahl
from site_history import seconds


class Table(NamedTuple):
    title: str
    head: list[str]
    rows: list[list[str]]


def error(modelled: float, measured: float) -> str:
    return f"{100 * (modelled / measured - 1):+.0f} %"


def size(count: float) -> str:
    scale, unit = next(item for item in ((1 << 20, "MB"), (1 << 10, "KB"), (1, "B")) if count >= item[0])
    return f"{count / scale:g} {unit}"


def us(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} us"


def whole(number: float) -> str:
    return f"{number:,.0f}" if number >= 1 else "any"


def named(model: Fitted) -> Iterable[tuple[str, str]]:
    """The name of each network, and a title that says its layers."""
    return [(name, f"{'-'.join(map(str, network.layers))} ({name})") for name, network in model.networks.items()]


def costs(model: Fitted) -> Table:
    """What was measured of the machine, and what was fitted."""
    one, *more = model.result["threads"]
    speed = 1e-9 / max(model.work.per_operation, 1e-15)
    measured = [
        ["peak of one core", f"{one['peak_gflops']:.0f} GFLOP/s"],
        *([f"memory, {threaded(entry)}", f"{entry['bandwidth_gbs']:.0f} GB/s"] for entry in (one, *more)),
        *([f"a barrier, {threaded(entry)}", us(entry["barrier_us"])] for entry in more),
        *([f"a parallel region, {threaded(entry)}", us(entry["region_us"])] for entry in more),
    ]
    fitted = [
        ["arithmetic of a step", f"{speed:.0f} GFLOP/s, {speed / one['peak_gflops']:.0%} of peak"],
        ["a byte of traffic", f"{1e9 * model.work.per_byte:.3f} ns"],
        ["the same where caches are too small, more", f"{1e9 * model.work.per_memory_byte:.3f} ns"],
        ["an output of a layer", f"{1e9 * model.work.per_element:.2f} ns"],
        ["the start of a step", f"{1e6 * model.work.per_step:.1f} us"],
        ["an update", f"{1e6 * model.update[1]:.1f} us and {1e9 * model.update[0]:.2f} ns a parameter"],
    ]
    once, per_byte = model.own
    fitted.append(["a data-parallel step, more", f"{1e6 * once:.1f} us and {1e9 * per_byte:.2f} ns a byte of samples"])
    for ranks, link in model.links.items():
        speed = 1e-9 / max(link.per_byte, 1e-15)
        fitted.append([f"messages between {ranks} ranks", f"{1e6 * link.latency:.1f} us and {speed:.1f} GB/s"])
    rows = [[*row, how] for how, found in (("measured", measured), ("fitted", fitted)) for row in found]
    return Table("What the machine costs", ["", "value", "how"], rows)


def threaded(entry: dict[str, Any]) -> str:
    return f"{entry['threads']} thread{'s' * (entry['threads'] > 1)}"


def threads(model: Fitted) -> Table:
    """Steps on one thread and on several, measured and modelled."""
    head = ["network", "batch", *(f"{threaded(entry)}, model" for entry in model.result["threads"]), "serial share"]
    titles, rows = dict(named(model)), []
    for case in model.result["cases"]:
        cells = [f"{seconds(took)}, {error(modelled, took)}" for _, took, modelled in fit.on_threads(model, case)]
        rows.append([titles[case["name"]], str(case["batch_size"]), *cells, f"{fit.serial(case):.0%}"])
    return Table("Steps on threads, measured, and how far off the model is", head, rows)


def ranks(model: Fitted) -> Table:
    """Steps of data-parallel training on this machine, measured and modelled."""
    entries, titles, rows = model.result["ranks"], dict(named(model)), []
    for number, case in enumerate(entries[0]["cases"]):
        found = [fit.on_ranks(model, entry["ranks"], entry["cases"][number]) for entry in entries]
        cells = [f"{seconds(took)}, {error(modelled, took)}" for took, modelled in found]
        rows.append([titles[case["name"]], str(case["batch_size"]), *cells])
    head = [f"{entry['ranks']} rank{'s' * (entry['ranks'] > 1)}, model" for entry in entries]
    return Table("Steps on ranks, measured, and how far off the model is", ["network", "batch", *head], rows)


def sums(model: Fitted) -> Table:
    """Sums of messages on this machine."""
    entries, rows = model.result["ranks"][1:], []
    for number, message in enumerate(entries[0]["allreduce"]):
        cells = []
        for entry in entries:
            took = fit.seconds_of(entry["allreduce"][number])
            modelled = allreduce_seconds(message["bytes"], entry["ranks"], model.links[entry["ranks"]])
            cells.append(f"{seconds(took)}, {error(modelled, took)}")
        rows.append([size(message["bytes"]), *cells])
    return Table("Sums of messages", ["bytes", *(f"{entry['ranks']} ranks, model" for entry in entries)], rows)


def cores(model: Fitted) -> Table:
    """What the model says of more cores, beside Amdahl's law."""
    rows, titles = [], dict(named(model))
    for case in model.result["cases"]:
        batch, network, machine = case["batch_size"], model.networks[case["name"]], model.larger("server")
        measured = case["steps"][0]["median_us"] / case["steps"][-1]["median_us"]
        more = [fit.core_speed_up(model, network, batch, machine, count) for count in (4, 8, fit.MORE_CORES)]
        desktop = fit.core_speed_up(model, network, batch, model.larger("desktop"), fit.MORE_CORES)
        law = amdahl(max(fit.serial(case), 0.0), fit.MORE_CORES)
        numbers = (f"{value:.1f}" for value in (measured, *more, desktop, law))
        rows.append([titles[case["name"]], str(batch), *numbers])
    most = model.machine.cores
    head = ["network", "batch", f"{most}, measured", "4", "8", "16", "16, desktop memory", "16, Amdahl"]
    return Table("Speed-up on more cores", head, rows)


def machines(model: Fitted, link: str) -> Table:
    """Speed-ups of a batch of fixed size on several machines."""
    batch, between = fit.BATCHES[-1], model.link(link)
    rows = []
    for name, title in named(model):
        network = model.networks[name]
        found = [f"{fit.speed_up(model, network, batch, count, between):.1f}" for count in fit.MACHINES]
        count, most = fit.fastest(model, network, batch, between)
        rows.append([title, *found, f"{most:.1f} on {count:,}"])
    head = ["network", *(f"{count:,}" for count in fit.MACHINES), "fastest"]
    return Table(f"Speed-up on machines, batch {batch:,}, {fit.LINK_TITLES[link]}", head, rows)


def paying(model: Fitted) -> Table:
    """Up to how many machines pay, by batch size."""
    rows = []
    for name, title in named(model):
        cells = []
        for link in LINKS:
            for batch in fit.BATCHES:
                count, ratio = fit.paying(model, model.networks[name], batch, model.link(link))
                cells.append(f"{count:,} ({ratio:.1f}x)" if count > 1 else "none")
        rows.append([title, *cells])
    head = ["network", *(f"{link}, batch {batch:,}" for link in LINKS for batch in fit.BATCHES)]
    return Table("The most machines with an efficiency of 50 % (speed-up on them)", head, rows)


def even_batches(model: Fitted) -> Table:
    """Samples for each machine at which reduction and work take the same time."""
    rows = []
    for name, title in named(model):
        network, cells = model.networks[name], []
        for link in LINKS:
            for machine in (model.machine, model.larger("server")):
                for count in (8, 1024):
                    cells.append(whole(fit.even_batch(model, network, machine, count, model.link(link))))
        rows.append([title, *cells])
    kinds = (f"{model.machine.cores} cores", f"{fit.MORE_CORES} cores")
    head = ["network", *(f"{link}, {kind}, {count:,}" for link in LINKS for kind in kinds for count in (8, 1024))]
    return Table("Samples for each machine at which the efficiency is 50 %", head, rows)


def averages(model: Fitted) -> Table:
    """Steps between two averages, so that these take little of the time."""
    rows = []
    for name, title in named(model):
        cells = [
            f"{fit.average_every(model, model.networks[name], count, model.link(link)):,}"
            for link in LINKS
            for count in (8, 1024)
        ]
        rows.append([title, *cells])
    head = ["network", *(f"{link}, {count:,}" for link in LINKS for count in (8, 1024))]
    return Table(f"Steps of {fit.WEAK_BATCH} samples a machine between two averages", head, rows)


def every_table(model: Fitted) -> list[Table]:
    return [
        *(costs(model), threads(model), ranks(model), sums(model), cores(model)),
        *(machines(model, link) for link in LINKS),
        *(paying(model), even_batches(model), averages(model)),
    ]


def report(model: Fitted) -> str:
    """All tables as text."""
    lines = []
    for table in every_table(model):
        widths = [max(map(len, column)) for column in zip(table.head, *table.rows, strict=True)]
        lines += ["", table.title, ""]
        for row in (table.head, *table.rows):
            lines.append("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]))
    return "\n".join(lines[1:])
