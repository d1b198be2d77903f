"""Runs the learners on the tables: for each table and seed one learner after the other, each in its own process."""

import contextlib
import datetime
import pathlib
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from fastfnn.bench import runner
from fastfnn.bench.runner import PeerError, PeerUnsupportedError
from fastfnn.bench.tabular import data
from fastfnn.bench.tabular.learners import OURS

WORKER = "fastfnn.bench.tabular.worker"
PAUSE = runner.PAUSE
DEFAULT = "default"


def run(
    files: Sequence[pathlib.Path],
    presets: Sequence[str],
    peers: Sequence[str],
    *,
    seeds: int,
    target: str | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Compare and return the whole result, ready for JSON.

    files    of the tables
    presets  of our estimators
    peers    names from learners.PEERS
    seeds    splits of each table into training and test rows: 0, 1, ...
    target   the column to predict; None for the last one
    threads  at most this number in every library; None leaves each library its own default
    say      called with a line of text about the progress
    """
    names = [*(name_of(preset) for preset in presets), *peers]
    versions = {"python": platform.python_version()}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        shared = str(pathlib.Path(folder, "shared.npz")) if "tabm" in peers else None
        ready: dict[str, runner.Process] = {}
        problems: dict[str, dict[str, str]] = {}
        for name in names:
            process = runner.Process(name, threads, ["-m", WORKER, name])
            stack.callback(process.close)
            answer = _asked(process, problems, name, do="prepare")
            if answer:
                versions |= answer["versions"]
                ready[name] = process
            else:
                say(f"{name}: {problems[name]}")
        tables = []
        for file in files:
            table = data.load(file, target)
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in ready}
            failed = dict(problems)
            for seed in range(seeds):
                if shared:
                    pathlib.Path(shared).unlink(missing_ok=True)  # that of another split must not be taken
                for name, process in ready.items():
                    if name in failed:
                        continue
                    time.sleep(PAUSE)
                    request = {"file": str(file), "target": target, "seed": seed}
                    leaves = shared if name in (name_of(presets[0]) if presets else None, "tabm") else None
                    answer = _asked(process, failed, name, do="fit", **request, shared=leaves)
                    if answer:
                        found[name].append(answer)
                        error = answer["scores"]["error"]
                        say(f"{table.name}, seed {seed}, {name}: error {error:.4f} in {answer['seconds']:.1f} s")
                    else:
                        say(f"{table.name}, seed {seed}, {name}: {failed[name]}")
            tables.append(_summary(table, found, failed))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": runner.machine(),
        "versions": versions,
        "settings": {
            "seeds": seeds,
            "threads": threads,
            "learners": names,
            "environment": runner.environment(),
        },
        "tables": tables,
    }


def name_of(preset: str) -> str:
    """Return the name of the learner of a preset."""
    return OURS if preset == DEFAULT else f"{OURS} {preset}"


def _asked(
    process: runner.Process, problems: dict[str, dict[str, str]], name: str, **request: Any
) -> dict[str, Any] | None:
    """Return the answer of a worker; None if there is none, with the reason in `problems`."""
    try:
        return process.ask(**request)
    except PeerError as error:
        problems[name] = {"error": str(error)}
    except PeerUnsupportedError as reason:
        problems[name] = {"unsupported": str(reason)}
    return None


def _summary(
    table: data.Table, found: dict[str, list[dict[str, Any]]], failed: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """Return the result of a table: of each learner all that was measured, with means and spread."""
    result: dict[str, dict[str, Any]] = {}
    for name in [*found, *(name for name in failed if name not in found)]:
        if name in failed or not found[name]:
            result[name] = failed.get(name, {})
            continue
        runs = found[name]
        means = {score: _mean([run["scores"][score] for run in runs]) for score in runs[0]["scores"]}
        result[name] = {"runs": runs, "scores": means, "seconds": statistics.median(run["seconds"] for run in runs)}
        for key in ("epochs", "epoch_seconds"):
            values = [run[key] for run in runs if run[key] is not None]
            result[name][key] = statistics.median(values) if values else None
    rows, columns = table.x.shape
    return {"name": table.name, "rows": rows, "columns": columns, "classes": table.classes, "learners": result}


def _mean(values: list[float]) -> dict[str, float]:
    """Return the mean over the seeds, and the standard deviation."""
    return {"mean": statistics.fmean(values), "std": statistics.stdev(values) if len(values) > 1 else 0.0}
