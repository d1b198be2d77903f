"""`fastfnn bench --tabular`: checks its options, compares, prints and saves."""

import argparse
import json
import math
from typing import Any

from fastfnn import atomic, streams, validation
from fastfnn.bench.tabular import learners, report, step

ROUNDS = 7
PRESETS = ("default", "best", "fast")
DEFAULT_SEEDS = 3


def run(options: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    import fastfnn.tables  # noqa: F401 (it says which extra is missing)
    from fastfnn.bench.tabular import data, runner

    if not options.data and not options.step:
        raise ValueError("--tabular needs --data, the tables to compare on, or --step")
    files = [data.find(name, options.data_folder) for name in options.data]
    peers = learners.installed() if options.peers is None else tuple(dict.fromkeys(options.peers))
    for name in peers:
        validation.choice("--peers", name, tuple(learners.PEERS))
    missing = [name for name in peers if name not in learners.installed()]
    if missing:
        packages = sorted({package for name in missing for package in learners.PEERS[name].packages})
        raise ValueError(f"{', '.join(missing)} cannot be imported: needs {', '.join(packages)}")
    for name in options.presets:
        validation.choice("--presets", name, PRESETS)
    seeds = DEFAULT_SEEDS if options.seeds is None else validation.integer("--seeds", options.seeds, 1)
    if options.threads is not None:
        validation.integer("--threads", options.threads, 1)
    if not (math.isfinite(options.seconds) and options.seconds > 0):
        raise ValueError(f"--seconds must be finite and above 0, got {options.seconds:g}")
    rounds = ROUNDS if options.rounds is None else validation.integer("--rounds", options.rounds, 1)
    result = runner.run(
        files,
        options.presets,
        peers,
        seeds=seeds,
        target=options.target,
        threads=options.threads,
        say=streams.tell,
    )
    result["step"] = _step(options, peers, rounds) if options.step else None
    if result["step"]:
        result["versions"] |= result["step"].pop("versions")
    print(report.text(result))
    if "json" in options:
        atomic.replace(options.json, f"{json.dumps(result, indent=1)}\n".encode())
        print(f"measurements: {options.json}")
    if "plot" in options and files:
        report.plot(result, options.plot)
        print(f"chart: {options.plot}")
    return 0


def _step(options: argparse.Namespace, peers: tuple[str, ...], rounds: int) -> dict[str, Any]:
    names = (step.OURS, *(step.TORCH if "tabm" in peers else ()))
    return step.run(
        step.StepCase(), names, rounds=rounds, seconds=options.seconds, threads=options.threads, say=streams.tell
    )
