"""Trains the estimators of mpi_estimator_cases.py; rank 0 writes what came out to the folder of the argument.

Two ranks come first: they leave a checkpoint in the middle of a training, which one rank goes on with.
"""

import json
import pathlib
import sys
import warnings

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))
from mpi_estimator_cases import CASES, NAMES, SIDES, SMALL, VALUES, WEIGHTS, X, rows_of, state_of, trained
from sklearn.exceptions import ConvergenceWarning

import fastfnn as fnn
from fastfnn.fitting import Pace
from fastfnn.keeper import Keeper
from fastfnn.sklearn import MLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)
comm = MPI.COMM_WORLD
folder = pathlib.Path(sys.argv[1])
(folder / str(comm.size)).mkdir(exist_ok=True)
rows = rows_of(comm)
fixed = fnn.DataParallel(comm, fixed_order=True)


def keep(label, model, **more):
    state = state_of(model) | more
    for rank, other in enumerate(comm.allgather(state)):
        assert state.keys() == other.keys(), label
        for key in state:
            assert np.array_equal(state[key], other[key]), f"{label}: {key} differs on rank {rank}"
    if comm.rank == 0:
        np.savez(folder / str(comm.size) / label, **state)


for name in CASES:
    more = {"dropout": 0.2, "batch_norm": True, "random_state": 3 + comm.rank}  # that of rank 0 counts
    keep(f"fixed-{name}", trained(comm, name, rows, fixed, more))


# A checkpoint
class Stop(Exception):
    pass


write, written = Keeper._write, []


def write_and_fail(self, drawn, stopped=False):
    write(self, drawn, stopped)
    written.append(self.loop.state.taken)
    if comm.size == 2 and len(written) == 8:
        raise Stop


Pace.FIRST_WORK = Pace.SECONDS = 0  # calls of a step
Keeper._write = write_and_fail
for name in ("classes", "early", "reals"):
    written.clear()
    checkpoint = fnn.Checkpoint(folder / f"checkpoint-{name}", every=1, unit="steps")
    try:
        model = trained(comm, name, rows, fixed, {"dropout": 0.2, "batch_norm": True}, checkpoint=checkpoint,
                        resume=True)  # fmt: skip
        keep(f"resumed-{name}", model)
    except (Stop, RuntimeError):
        assert comm.size == 2
Keeper._write = write
if comm.size != 2:
    raise SystemExit

# Two ranks alone from here on
for name in CASES:
    keep(f"fast-{name}", trained(comm, name, rows, comm, {"shuffle": False}))
averaging = fnn.DataParallel(comm, average_every=2)
keep("averaged", trained(comm, "classes", rows, averaging, {"shuffle": False, "alpha": 50.0, "batch_size": 26,
                                                           "optimizer": fnn.SGD(1e-6)}))  # fmt: skip
for name in CASES:
    keep(f"averaged-{name}", trained(comm, name, rows_of(comm, (80, 21)), averaging))
keep("auto", trained(comm, "reals", rows, fnn.DataParallel(comm, average_every="auto")))
keep("uneven", trained(comm, "sparse", rows_of(comm, (80, 21)), comm, {"shuffle": False}))
unseeded = {"random_state": None}
keep("unseeded", trained(comm, "early", rows, comm, unseeded))

# A warm start, with a callback of rank 0 that reads and changes what it can
seen = []


def watch(net, history):
    seen.append([history.val_loss[-1], history.val_accuracy[-1], history.accuracy[-1]])
    net.optimizer.learning_rate /= 2


class Watch(fnn.Callback):
    def epoch(self, net, history):
        watch(net, history)

    def _reads(self):
        return [("monitor", "accuracy")]


more = {"callbacks": [Watch()] if comm.rank == 0 else None, "warm_start": True, "shuffle": False}
model = MLPClassifier(**(SMALL | more)).fit(X[rows], SIDES[rows], eval_set=(X[rows], SIDES[rows]), comm=comm)
keep("watched", model, seen=np.array(comm.bcast(seen)))
held_out = (X[rows], SIDES[rows]) if comm.rank == 0 else None
keep("warm", model.fit(X[rows], SIDES[rows], eval_set=held_out, comm=comm))
if comm.rank == 0:
    print("-- verbose", flush=True)
trained(comm, "early", rows, comm, {"verbose": True})
if comm.rank == 0:
    print("-- end", flush=True)

# Errors
bad = X[rows].copy()
if comm.rank:
    bad[3, 2] = np.nan


def raising(net, history):
    raise LookupError("no such thing")


x, names, sides, second = X[rows], NAMES[rows], SIDES[rows], comm.rank == 1
fresh = MLPClassifier(**SMALL)
trainings = {
    "nan": lambda m: m.fit(bad, names, comm=comm),
    "lbfgs": lambda m: m.set_params(solver="lbfgs").fit(x, names, comm=comm),
    "ensemble": lambda m: m.set_params(n_estimators=3).fit(x, names, comm=comm),
    "parameter": lambda m: m.set_params(alpha=-1.0 if second else 0.0).fit(x, names, comm=comm),
    "folder": lambda m: m.fit(x, names, checkpoint=3.5 if second else None, comm=comm),
    "alpha": lambda m: m.set_params(alpha=float(comm.rank)).fit(x, names, comm=comm),
    "optimizer": lambda m: m.set_params(optimizer=fnn.SGD(1 + comm.rank)).fit(x, names, comm=comm),
    "features": lambda m: m.fit(x[:, : 6 - comm.rank], names, comm=comm),
    "dtype": lambda m: m.fit(x.astype("f4") if second else x, names, comm=comm),
    "kinds": lambda m: m.fit(x, sides if second else names, comm=comm),
    "weights": lambda m: m.fit(x, names, WEIGHTS[rows] if second else None, comm=comm),
    "eval_set": lambda m: m.fit(x, names, eval_set=(x, names) if second else None, comm=comm),
    "eval_metric": lambda m: m.set_params(eval_metric="accuracy", early_stopping=True).fit(x, names, comm=comm),
    "fraction": lambda m: m.set_params(validation_fraction=0.005, early_stopping=True).fit(x, names, comm=comm),
    "continuous": lambda m: m.fit(x, VALUES[rows, 0], comm=comm),
    "label": lambda m: m.fit(x, names, eval_set=(x[:1], ["none" if second else "low"]), comm=comm),
    "comm": lambda m: m.fit(x, names, comm="world"),
    "full": lambda m: m.fit(x, names, checkpoint=__file__, comm=comm),
}
results = {}


def told_of(train, model):
    before = dict(vars(model))
    try:
        train(model)
        return [""]
    except Exception as error:
        return [type(error).__name__, str(error), [*map(str, error.__notes__)] if hasattr(error, "__notes__") else [],
                set(vars(model)) == set(before)]  # fmt: skip


for name, train in trainings.items():
    results[name] = comm.gather(told_of(train, MLPClassifier(**SMALL)))
results["callback"] = comm.gather(told_of(lambda m: m.set_params(callbacks=[raising]).fit(x, names, comm=comm), fresh))
results["diverges"] = comm.gather(
    told_of(lambda m: m.fit(100 * x, names, comm=comm), MLPClassifier(**SMALL, optimizer=fnn.SGD(1e300)))
)
warm = MLPClassifier(**SMALL, warm_start=True).fit(x, names, comm=comm)
low = names == "low"
results["other classes"] = comm.gather(told_of(lambda m: m.fit(x[~low], names[~low], comm=comm), warm))
results["the same classes"] = comm.gather(told_of(lambda m: m.fit(x, names, comm=comm), warm))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    told = told_of(lambda m: m.fit(x, names, comm=comm), MLPClassifier(**SMALL | {"batch_size": 500}))
results["warns"] = comm.gather([*told, [each.category.__name__ for each in caught]])
if comm.rank == 0:
    (folder / "errors.json").write_text(json.dumps(results))
