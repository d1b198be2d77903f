"""`fastfnn bench --neighbours`: checks its options, measures, prints and saves."""

import argparse
import json
import math
import pathlib
from typing import Any

from fastfnn import atomic, streams, validation
from fastfnn.bench.cases import TOLERANCE
from fastfnn.bench.neighbours import calls, report, runner, states

ROUNDS = 3

EXIT_BROKEN = 1


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit status is 1 if a call takes more than is promised, unless --no-fail is given."""
    validation.choice("--dtype", options.dtype, tuple(TOLERANCE))
    selected = calls.chosen(options.calls, options.dtype)
    names = states.chosen(options.states)
    peers = runner.installed() if options.peers is None else tuple(dict.fromkeys(options.peers))
    for name in peers:
        validation.choice("--peers", name, tuple(calls.PEERS))
    if not (math.isfinite(options.seconds) and options.seconds > 0):
        raise ValueError(f"--seconds must be finite and above 0, got {options.seconds:g}")
    result = runner.run(
        selected,
        names,
        peers,
        rounds=ROUNDS if options.rounds is None else validation.integer("--rounds", options.rounds, 1),
        seconds=options.seconds,
        before=_earlier(options.before) if options.before else None,
        say=streams.tell,
    )
    print(report.table(result))
    if "json" in options:
        atomic.replace(options.json, f"{json.dumps(result, indent=1)}\n".encode())
        print(f"measurements: {options.json}")
    return EXIT_BROKEN if result["broken"] and not options.no_fail else 0


def _earlier(path: str) -> dict[str, Any]:
    """An earlier result of the command."""
    try:
        result = json.loads(pathlib.Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"--before must name a result of fastfnn bench --neighbours --json: {error}") from None
    if not isinstance(result, dict) or not {"calls", "broken"} <= set(result):
        raise ValueError(f"--before must name a result of fastfnn bench --neighbours --json, got {path}")
    return result
