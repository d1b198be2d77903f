"""A rank of the data-parallel measurements, started by tools/scaling.py: mpiexec python scaling_rank.py REQUEST OUT

REQUEST is JSON: the cases, the sizes of messages and the seconds for each measurement. Rank 0 writes what was measured
into the file OUT as JSON. All ranks work at the same time, and the slowest counts, except for sums of messages, whose
time on rank 0 holds the wait for the others.
"""

import json
import pathlib
import sys
import time

import numpy as np
from mpi4py import MPI
from scaling_cases import samples_of, steps_of

from fastfnn.bench.cases import Case, build

COMM = MPI.COMM_WORLD
FEWEST, MOST = 5, 1000  # calls in a block


def durations(action, seconds):
    """Return the seconds of each of some calls: blocks of more and more, until rank 0 has spent the time."""
    action()
    times, block = [], FEWEST
    while COMM.bcast(sum(times) < seconds or not times):
        COMM.Barrier()
        for _ in range(block):
            start = time.perf_counter()
            action()
            times.append(time.perf_counter() - start)
        block = min(2 * block, MOST)
    return times


def microseconds(times, slowest=True):
    """Return median and 99th percentile, of the slowest rank or of this one."""
    found = {"median_us": 1e6 * float(np.median(times)), "p99_us": 1e6 * float(np.percentile(times, 99))}
    return {name: COMM.allreduce(value, MPI.MAX) for name, value in found.items()} if slowest else found


def summed(size, seconds):
    """Measure the sum of messages of `size` bytes."""
    message = np.zeros(size // 4, np.float32)
    times = durations(lambda: COMM.Allreduce(MPI.IN_PLACE, message), seconds)
    return {"bytes": size, **microseconds(times, slowest=False)}


def parts(case, seconds):
    """Measure gradient and update of this rank's share of a batch, and steps of `fit` with all ranks."""
    data = samples_of(case)
    net, optimizer = build(case, data), case.make_optimizer()
    share = case.batch_size // COMM.size
    x, t = data.x[:share], data.targets[:share]
    grad, (first, second) = np.empty_like(net._flat), optimizer.flat_state(net.params)
    settings = net._settings(optimizer.flat_settings())

    def gradient():
        net._training_gradient(grad, net._statistics, x, t, 1)

    def update():
        net._kernels.network_update(
            net._flat, first, second, grad, net._sizes, settings, optimizer.code, 0.0, float(share), 1
        )

    found = {"name": case.name, "layers": case.layers, "batch_size": case.batch_size}
    for name, action in (("gradient", gradient), ("update", update)):
        found[name] = microseconds(durations(action, seconds))
    rows = slice(COMM.rank * len(data.x) // COMM.size, (COMM.rank + 1) * len(data.x) // COMM.size)
    return found | {"step": steps(net, data.x[rows], data.targets[rows], case, optimizer, seconds)}


def steps(net, x, t, case, optimizer, seconds):
    """Measure the steps of `fit`, whose own start and end belong to them, in some calls of many steps."""

    def fit(epochs):
        start = time.perf_counter()
        net.fit(x, t, epochs=epochs, batch_size=case.batch_size, optimizer=optimizer, comm=COMM)
        return (time.perf_counter() - start) / (epochs * steps_of(case))

    fit(1)
    epochs = COMM.bcast(max(1, round(seconds / (fit(1) * steps_of(case)))))
    return microseconds([fit(epochs) for _ in range(FEWEST)])


def main(request, out):
    request = json.loads(request)
    cases = [Case(**case | {"layers": tuple(case["layers"])}) for case in request["cases"]]
    found = {
        "ranks": COMM.size,
        "mpi": MPI.Get_library_version().split("\n")[0].replace("\t", " ").strip("\0 "),
        "allreduce": [summed(size, request["seconds"]) for size in request["sizes"]],
        "cases": [parts(case, request["seconds"]) for case in cases],
    }
    if COMM.rank == 0:
        pathlib.Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
