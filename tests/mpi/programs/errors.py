"""Makes trainings fail on one rank; rank 0 writes what each rank has raised as JSON to the file of its argument."""

import json
import os
import pathlib
import sys
import warnings

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))
from mpi_cases import CLASSES, LABELS, SAMPLES, X

import fastfnn as fnn
from fastfnn.parallel.gradients import OrderedSteps

comm = MPI.COMM_WORLD
rank = comm.rank
folder = pathlib.Path(sys.argv[1])
rows = fnn.parallel.shard(comm, np.arange(SAMPLES))
x, t = X[rows], LABELS[rows]
bad = x.copy()
bad[3, 2] = np.nan


def raising(net, history):
    if history.epochs == 2:
        raise LookupError("no such thing")


class Unwritable(fnn.Callback):
    def epoch(self, net, history):
        raise OSError(28, "No space left on device")


def metric(t, y):
    raise RuntimeError("the metric fails")


options = CLASSES | {"seed": rank}
trainings = {
    "nan": lambda net: net.fit(bad if rank == 1 else x, t, comm=comm),
    "batch_size": lambda net: net.fit(x, t, batch_size=10 + rank, epochs=3 if rank else 2, comm=comm),
    "everywhere": lambda net: net.fit(x, t, epochs=0, comm=comm),
    "optimizer": lambda net: net.fit(x, t, optimizer=fnn.Adam(0.1 * (1 + rank)), comm=comm),
    "parallel": lambda net: net.fit(x, t, comm=fnn.DataParallel(comm, average_every=1 + rank)),
    "callback": lambda net: net.fit(x, t, callbacks=[raising], comm=comm),
    "callback_of_1": lambda net: net.fit(x, t, epochs=2, callbacks=[raising] if rank == 1 else [], comm=comm).epochs,
    "full": lambda net: net.fit(x, t, callbacks=[Unwritable()], comm=comm),
    "metric": lambda net: net.fit(x, t, metrics=[metric], comm=comm),
    "checkpoint": lambda net: net.fit(x, t, checkpoint=__file__, comm=comm),
    "validation": lambda net: net.fit(x, t, validation_data=(x, t) if rank else None, comm=comm),
    "diverges": lambda net: net.fit(100 * x, t, epochs=5, optimizer=fnn.SGD(1e30), comm=comm),
    "warns": lambda net: net.fit(100 * x, t, optimizer=fnn.SGD(1e30), on_divergence="warn", comm=comm).epochs,
    "fixed": lambda net: net.fit(x, t, comm=fnn.DataParallel(comm, fixed_order=True, parts=6)),
    "sizes": lambda net: fnn.FNN((6, 5 + rank, 3)).fit(x, t, comm=comm),
    "comm": lambda net: net.fit(x, t, comm="world"),
    "unpicklable": lambda net: (
        net.fit(
            x, t, callbacks=[lambda net, history: setattr(net.optimizer, "learning_rate", lambda step: 0.1)], comm=comm
        ).epochs
    ),
    "good": lambda net: net.fit(x, t, epochs=1, comm=comm).epochs,
}
results = {}
for name, train in trainings.items():
    net = fnn.FNN(**options)
    before = net.params.flat.copy()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            told = ["", train(net)]
        except Exception as error:
            told = [type(error).__name__, str(error)]
    unchanged = bool(np.array_equal(before, net.params.flat))
    results[name] = comm.gather([*told, unchanged, [each.category.__name__ for each in caught]])
if rank == 0:
    folder.joinpath("errors.json").write_text(json.dumps(results))

# What is printed, and what callbacks do
net, called = fnn.FNN(**options), []
stop = fnn.EarlyStopping(patience=1, monitor="loss", min_delta=1.0)
threads = []
seen = [
    stop, lambda net, history: called.append(history.epochs), lambda net, history: threads.append(fnn.get_num_threads())
]  # fmt: skip
history = net.fit(x, t, epochs=5, progress=True, callbacks=seen, comm=comm)
assert called == ([1, 2] if rank == 0 else []) and history.epochs == 2
cores = set().union(*comm.allgather(os.sched_getaffinity(0)))
assert all(2 * count <= max(len(cores), 2) for count in threads), "two ranks have more threads than there are cores"
flat = comm.allgather(net.params.flat)
assert np.array_equal(flat[0], flat[1]), "the weights of the best epoch are not those of all ranks"


def change(net, history):
    net.optimizer.learning_rate = 0.0
    net.params["b1"] = [3.0] * 5


net = fnn.FNN(**options)
history = net.fit(x, t, epochs=3, callbacks=[change], comm=comm)
assert net.optimizer.learning_rate == 0.0 and (net.params["b1"] == 3).all()
flat = comm.allgather(net.params.flat)
assert np.array_equal(flat[0], flat[1]), "what a callback has changed is not on all ranks"
net.fit(x, t, epochs=1, progress=True, comm=fnn.DataParallel(comm, average_every="auto"))

# Ctrl-C, which ends the processes of several ranks, leaves a network that one rank trains after a whole step.
gradient, calls = OrderedSteps.gradient, []


def interrupted(*arguments):
    calls.append(1)
    if len(calls) == 30:
        raise KeyboardInterrupt
    return gradient(*arguments)


OrderedSteps.gradient = interrupted
net = fnn.FNN(**options)
try:
    net.fit(x, t, epochs=3, batch_size=10, optimizer="adam", comm=fnn.DataParallel(MPI.COMM_SELF, fixed_order=True))
    raise AssertionError("no KeyboardInterrupt")
except KeyboardInterrupt:
    assert net.optimizer.steps == len(net.history.step_loss)
    before = fnn.FNN(**options)
    assert net.optimizer.steps or np.array_equal(net.params.flat, before.params.flat), "not after a whole step"
