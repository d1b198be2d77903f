"""Scores that are not finite, weights that are 0 and other random states, on two ranks; prints what came of each."""

import json
import math
import sys
import warnings

import numpy as np
from mpi4py import MPI

import fastfnn as fnn
from fastfnn.sklearn import MLPRegressor

warnings.simplefilter("ignore")
comm = MPI.COMM_WORLD
folder = sys.argv[1]
X = np.random.default_rng(0).normal(size=(60, 4))
LABELS, NUMBERS = (X[:, 0] > 0).astype(int), X @ [1.0, -1.0, 0.5, 0.0]
rows = fnn.parallel.shard(comm, np.arange(60))
PATTERNS = {"first": ([math.nan, 3, 2, 4, 5, 6], 3), "always": ([math.nan] * 9, 3), "after": ([3, 2, -math.inf] * 3, 2)}
told = {}


def kept(weights_after, weights):
    """The epoch, from 1, whose weights are these, on all ranks."""
    same = comm.bcast(weights)
    assert np.array_equal(same, weights)
    return [i + 1 for i, other in enumerate(weights_after) if np.array_equal(other, weights)]


for name, (values, _) in PATTERNS.items():
    after = []

    def play(net, history, after=after, values=values):
        history.val_loss[-1] = values[history.epochs - 1]
        after.append(net.params.flat.copy())

    net = fnn.FNN((4, 5, 2), seed=0)
    net.fit(
        X[rows], LABELS[rows], epochs=9, batch_size=20, validation_data=(X, LABELS), comm=comm,
        callbacks=[play, fnn.EarlyStopping(3)],
    )  # fmt: skip
    told[f"network {name}"] = kept(after, net.params.flat)

    def score(estimator, x, y, values=values):
        return -values[estimator.n_iter_ - 1]

    after = []
    model = MLPRegressor(
        hidden_layer_sizes=(5,), max_iter=9, n_iter_no_change=2, tol=0.0, random_state=0, eval_metric=score,
        callbacks=[lambda net, history, after=after: after.append(net.params.flat.copy())],
    )  # fmt: skip
    model.fit(X[rows], NUMBERS[rows], eval_set=(X, NUMBERS) if comm.rank == 0 else None, comm=comm)
    told[f"estimator {name}"] = kept(after, model._net.params.flat)


def error(action):
    try:
        action()
    except ValueError as found:
        return str(found)
    return ""


weights = np.zeros(60)
weights[fnn.held_out.split("", 0.1, len(rows))[0][:3]] = 1.0  # of the first rank
told["network without weight"] = error(
    lambda: fnn.FNN((4, 5, 2), seed=0).fit(
        X[rows], LABELS[rows], validation_split=0.1, sample_weight=weights[rows], comm=comm
    )
)
one = np.zeros(60)
one[[0, -1]] = 1.0  # one of each rank
told["estimator without weight"] = error(
    lambda: MLPRegressor(early_stopping=True, random_state=1).fit(
        X[rows], NUMBERS[rows], sample_weight=one[rows], comm=comm
    )
)
for seed in (0, 1):
    told[f"seed {seed}"] = error(
        lambda seed=seed: MLPRegressor(max_iter=2, random_state=seed).fit(
            X[rows], NUMBERS[rows], checkpoint=folder, resume=True, comm=comm
        )
    )
for row in (0, 29, 30, 59):
    changed = X.copy()
    changed[row, 1] += 1
    told[f"row {row}"] = error(
        lambda changed=changed: MLPRegressor(max_iter=2, random_state=0).fit(
            changed[rows], NUMBERS[rows], checkpoint=folder, resume=True, comm=comm
        )
    )
if comm.rank == 0:
    print(json.dumps(told))
