"""Speed on more cores and more machines: measured on this machine, and what the cost model makes of it.

    python tools/scaling.py measure --out benchmarks/scaling/NAME.json      5 minutes, on an idle machine
    python tools/scaling.py measure --quick                                 1 minute, and rough
    python tools/scaling.py model benchmarks/scaling/NAME.json

`measure` times steps of some networks on one thread, two, four, ... and, by starting mpiexec, on as many ranks of a
thread each; four ranks at least, even where there are fewer cores. It also times what a step consists of: barriers,
gradients, updates, sums of messages. `model` prints what tools/scaling_fit.py makes of it; the site has the same on
docs/performance/scaling.md.
"""

import argparse
import datetime
import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

import numba
import numpy as np
import scaling_fit
import scaling_tables
import scaling_threads
from scaling_cases import cases, samples_of, steps_of

import fastfnn as fnn
from fastfnn import atomic
from fastfnn.bench import runner
from fastfnn.bench.cases import build

SIZES = (*(4**power for power in range(1, 13)), 32 << 20)  # bytes of messages, 4 B to 32 MB
MOST_RANKS = 4  # are measured even where there are fewer cores
FEWEST = 5  # rounds
TIMEOUT = 600  # seconds for all that some ranks do


def counts(most):
    """Return 1, 2, 4, ... and the largest."""
    return sorted({1 << power for power in range(most.bit_length())} | {most})


def measure(chosen, *, rounds, seconds, patience, sizes=SIZES, most_ranks=MOST_RANKS, say=lambda line: None):
    """Return the result of some cases, ready for JSON.

    rounds    measurements of each number of threads, in turn
    seconds   for each of them, roughly
    patience  seconds for all measurements of a step, or of what it consists of, unless a few take longer
    """
    cores = fnn.backend.threads.max_threads()
    say("barriers and bandwidth")
    threads = scaling_threads.measure(counts(cores))
    measured = [on_threads(case, counts(cores), rounds, seconds, patience, say) for case in chosen]
    asked = {"cases": [asdict(case) for case in chosen], "sizes": sizes, "seconds": patience / 10}
    ranks = [on_ranks(count, asked, say) for count in counts(max(cores, most_ranks))]
    mpi = [entry.pop("mpi") for entry in ranks]
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": runner.machine() | {"cache_bytes": scaling_threads.cache_bytes()},
        "versions": {
            "python": platform.python_version(),
            "fastfnn": fnn.__version__,
            "numba": numba.__version__,
            "numpy": np.__version__,
            "mpi4py": importlib.metadata.version("mpi4py"),
            "MPI": mpi[0],
        },
        "settings": {
            **{"rounds": rounds, "seconds": seconds, "patience": patience, "dtype": "float32"},
            "environment": runner.environment(),
        },
        "threads": threads,
        "cases": measured,
        "ranks": ranks,
    }


def on_threads(case, threads, rounds, seconds, patience, say):
    """Time the steps of `fit` on each number of threads, which take turns."""
    say(f"{case.name}, batch {case.batch_size}: threads")
    data, steps = samples_of(case), steps_of(case)
    net, optimizer = build(case, data), case.make_optimizer()
    epochs = dict.fromkeys(threads, 1)
    times = {count: [] for count in threads}
    end = time.perf_counter() + patience
    for number in range(-2, rounds):  # two to warm up, the second of which says how long a pass takes
        if number >= FEWEST and time.perf_counter() > end:
            break
        for count in threads:
            with fnn.backend.thread_limit(count):
                start = time.perf_counter()
                net.fit(data.x, data.targets, epochs=epochs[count], batch_size=case.batch_size, optimizer=optimizer)
                took = time.perf_counter() - start
            if number >= 0:
                times[count].append(took / (epochs[count] * steps))
            elif number == -1:
                epochs[count] = max(1, round(seconds / took))
    found = [
        {"threads": count, "median_us": 1e6 * float(np.median(found)), "p99_us": 1e6 * float(np.percentile(found, 99))}
        for count, found in times.items()
    ]
    return {"name": case.name, "layers": case.layers, "batch_size": case.batch_size, "steps": found}


def on_ranks(count, asked, say):
    """Time what ranks do, started by mpiexec with a thread each: see tools/scaling_rank.py."""
    say(f"ranks: {count}")
    program = pathlib.Path(__file__).with_name("scaling_rank.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "measured.json"
        command = [*mpiexec(), "-n", count, sys.executable, program, json.dumps(asked), out]
        done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode:
            raise RuntimeError(f"mpiexec ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return json.loads(out.read_text())


@functools.cache
def mpiexec():
    """Return the mpiexec beside this Python, or else that of PATH, with the options that Open MPI needs here."""
    beside = pathlib.Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise FileNotFoundError("measuring needs mpiexec: pip install 'fastfnn[mpi]'")
    version = subprocess.run([found, "--version"], capture_output=True, text=True).stdout
    return [
        found,
        *(("--oversubscribe", "--allow-run-as-root") if "Open MPI" in version or "OpenRTE" in version else ()),
    ]


def main():
    parser = argparse.ArgumentParser(prog="scaling", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    measuring = commands.add_parser("measure", help="time steps on threads and ranks of this machine")
    measuring.add_argument("--out", type=pathlib.Path, help="save all measurements as JSON")
    measuring.add_argument("--quick", action="store_true", help="few and short measurements")
    modelling = commands.add_parser("model", help="fit the cost model, compare it, and predict")
    modelling.add_argument("recording", type=pathlib.Path, help="what `measure` has saved")
    options = parser.parse_args()
    if options.command == "measure":
        if options.out:
            options.out.parent.mkdir(parents=True, exist_ok=True)
        size = {"rounds": 5, "seconds": 0.02, "patience": 0.5}
        if not options.quick:
            size = {"rounds": 41, "seconds": 0.05, "patience": 4}
        result = measure(cases(), **size, say=lambda line: print(line, file=sys.stderr, flush=True))
        if options.out:
            atomic.replace(options.out, f"{json.dumps(result, indent=1)}\n".encode())
    else:
        result = json.loads(options.recording.read_text())
    print(scaling_tables.report(scaling_fit.fitted(result)))


if __name__ == "__main__":
    main()
