"""How fast `net.predict` is beside ONNX Runtime, call by call, for three networks, five numbers of rows and threads.

    python tools/predictions.py [--threads 1 2] [--rows 1 16] [--network large] [--rounds 9] [--seconds 0.1]

Each library has a process of its own, which runs while the other one waits, in turn, with a pause: the threads of both
look for work for a while after a call. A line shows the medians of all calls in microseconds, their ratio, above 1
where fastfnn is faster, the ratio of the fastest tenths, which disturbances change less, and the 99th percentiles.
`fastfnn bench --predict` has other peers and networks, and means instead of percentiles.
"""

import argparse
import importlib
import sys
import time
from dataclasses import asdict

import numpy as np

from fastfnn.bench.cases import Case, make_data
from fastfnn.bench.child import serve
from fastfnn.bench.runner import PAUSE, Process
from fastfnn.bench.worker import MODULES

LAYERS = {"tiny": (4, 32, 16, 4), "notes": (784, 50, 10), "large": (784, 512, 512, 10)}
ROWS = (1, 16, 100, 1_000, 10_000)
LIBRARIES = ("fastfnn", "onnxruntime")


class Worker:
    """Answers requests about one library: to prepare a case, and to time calls."""

    def __init__(self, library):
        self.module = importlib.import_module(MODULES[library])

    def answer(self, request):
        if request["do"] == "prepare":
            case = Case(**request["case"] | {"layers": tuple(request["case"]["layers"])})
            self.peer = self.module.Peer(case, make_data(case))
            self.peer.reset()
            return {}
        predict, now = self.peer.predict, time.perf_counter
        begin, times = now(), []
        while not times or times[-1][1] - begin < 1.3 * request["seconds"]:
            start = now()
            predict()
            times.append((start, now()))
        warm = begin + 0.3 * request["seconds"]
        return {"us": [1e6 * (stop - start) for start, stop in times if start >= warm or start == times[-1][0]]}


def measure(case, threads, rounds, seconds):
    """The microseconds of all calls of each library, by round."""
    processes = {name: Process(name, threads, [__file__, "--worker", name]) for name in LIBRARIES}
    try:
        for process in processes.values():
            process.ask(do="prepare", case=asdict(case))
        found = {name: [] for name in LIBRARIES}
        for _ in range(rounds):
            for name, process in processes.items():
                time.sleep(PAUSE / 4)
                found[name].append(process.ask(do="run", seconds=seconds)["us"])
    finally:
        for process in processes.values():
            process.close()
    return found


def line(found):
    """The figures of a case, from the times of all rounds."""
    times = [np.concatenate(found[name]) for name in LIBRARIES]
    ours, theirs = (np.percentile(us, (10, 50, 99)) for us in times)
    return (
        f"{ours[1]:10,.1f} {theirs[1]:10,.1f} {theirs[1] / ours[1]:8.2f} {theirs[0] / ours[0]:8.2f} "
        f"{ours[2]:10,.1f} {theirs[2]:10,.1f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(lambda: Worker(options.worker).answer)
        return
    print("network  threads    rows    fastfnn       onnx    ratio  fastest    p99 fnn   p99 onnx", flush=True)
    for name in options.network:
        for threads in options.threads:
            for rows in options.rows:
                found = measure(
                    Case("case", LAYERS[name], rows, predict=True), threads, options.rounds, options.seconds
                )
                print(f"{name:8} {threads:7} {rows:7,} {line(found)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
