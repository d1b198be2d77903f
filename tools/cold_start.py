"""What a first call waits for: import, compilation, and the load of what is compiled already, in new processes.

    python tools/cold_start.py --json benchmarks/cold_start/NAME.json

Each measurement is a process with a cache of compiled code of its own: first an empty one, which the process fills,
then the same cache again. tools/site_cold_start.py shows the recordings on the site.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

import numba
import numpy as np

import fastfnn
from fastfnn import atomic
from fastfnn.bench import runner

ROUNDS = 3
DTYPES = ("float32", "float64")

# The network of the notes. The arguments of the process are the dtype and the call; it prints seconds.
PROGRAM = """
import json, sys, time
times = [time.perf_counter()]
import numpy as np
import fastfnn as fnn
times.append(time.perf_counter())
net = fnn.FNN((784, 50, 10), activation="sigmoid", dtype=sys.argv[1], seed=0)
x, t = np.zeros((100, 784), sys.argv[1]), np.zeros(100, int)
call = {"predict": lambda: net.predict(x), "fit": lambda: net.fit(x, t, epochs=1, batch_size=100)}[sys.argv[2]]
for _ in range(2):
    call()
    times.append(time.perf_counter())
print(json.dumps(dict(zip(("import", "first", "second"), map(float.__sub__, times[1:], times)))))
"""


def measure(rounds: int = ROUNDS, say=lambda line: None) -> dict:
    """Return the result, ready for JSON: a list of times in seconds for each call, dtype and state of the cache."""
    found = {}
    for number in range(rounds):
        for dtype in DTYPES:
            for call in ("predict", "fit"):
                with tempfile.TemporaryDirectory() as cache:
                    for state in ("empty", "full"):
                        say(f"round {number + 1} of {rounds}: {call}, {dtype}, {state} cache")
                        times = json.loads(run(cache, "-c", PROGRAM, dtype, call))
                        for part, seconds in times.items():
                            found.setdefault((call, dtype, state), {}).setdefault(part, []).append(seconds)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": runner.machine(),
        "versions": {
            "python": platform.python_version(),
            "fastfnn": fastfnn.__version__,
            "numba": numba.__version__,
            "numpy": np.__version__,
        },
        "settings": {"rounds": rounds},
        "calls": [
            {"call": call, "dtype": dtype, "cache": state, **found[call, dtype, state]} for call, dtype, state in found
        ],
        "compile": [compile_ahead(dtype, say) for dtype in DTYPES],
    }


def compile_ahead(dtype: str, say) -> dict:
    """Return what `fastfnn compile` takes for all kernels of a dtype, and how many it compiled."""
    say(f"fastfnn compile, {dtype}")
    with tempfile.TemporaryDirectory() as cache:
        said = run(cache, "-m", "fastfnn", "compile", "--dtype", dtype)
    kernels, seconds = re.search(r"compiled (\d+) kernels in ([\d.]+) s", said).groups()
    return {"dtype": dtype, "kernels": int(kernels), "seconds": float(seconds)}


def run(cache: str, *arguments: str) -> str:
    """Return what Python prints that keeps compiled code in the folder `cache`."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    return subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment
    ).stdout


def table(result: dict) -> str:
    """Return the medians as text."""
    lines = []
    for entry in result["calls"]:
        parts = ", ".join(f"{part} {statistics.median(entry[part]):.3f} s" for part in ("import", "first", "second"))
        lines.append(f"{entry['call']:7}  {entry['dtype']}  {entry['cache']:5} cache: {parts}")
    lines += [f"compile  {e['dtype']}  {e['kernels']} kernels: {e['seconds']:.1f} s" for e in result["compile"]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="cold_start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="processes of each kind (%(default)s)")
    parser.add_argument("--json", type=pathlib.Path, help="save all measurements")
    options = parser.parse_args()
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    result = measure(options.rounds, lambda line: print(line, file=sys.stderr, flush=True))
    print(table(result))
    if options.json:
        atomic.replace(options.json, f"{json.dumps(result, indent=1)}\n".encode())


if __name__ == "__main__":
    main()
