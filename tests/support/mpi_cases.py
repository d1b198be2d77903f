"""Trainings of small networks on several ranks: programs run them, tests look at what came out."""

import numpy as np

import fastfnn as fnn

SAMPLES = 101
rng = np.random.default_rng(5)
X = rng.standard_normal((SAMPLES, 6))
LABELS = X[:, :3].argmax(axis=1)
ROWS = np.eye(3)[LABELS]
VALUES = np.column_stack([X[:, 0] - X[:, 1], X[:, 2] * X[:, 3]])
WEIGHTS = rng.uniform(0, 2, SAMPLES)

CLASSES, REALS = {"layer_sizes": (6, 5, 3)}, {"layer_sizes": (6, 5, 2), "loss": "squared_error"}

# By name: arguments of the network, targets, arguments of `fit`.
CASES = {
    "sgd": (CLASSES, LABELS, {}),
    "rows": (CLASSES, ROWS, {"optimizer": fnn.Nesterov(0.1)}),
    "clip": (REALS, VALUES, {"optimizer": fnn.Momentum(0.1, clip_norm=0.5)}),
    "penalty": (CLASSES | {"weight_decay": 0.01}, LABELS, {"optimizer": fnn.AdaGrad(0.1)}),
    "float64": (REALS | {"dtype": "float64"}, VALUES, {"optimizer": "rmsprop"}),
    "dropout": (CLASSES | {"dropout": 0.3}, LABELS, {"optimizer": "adam"}),
    "batch_norm": (CLASSES | {"batch_norm": True, "dtype": "float64"}, LABELS, {"optimizer": "adamw"}),
    "weights": (CLASSES, LABELS, {"sample_weight": WEIGHTS, "optimizer": "adam"}),
    "balanced": (CLASSES, LABELS, {"class_weight": "balanced"}),
    "replacement": (CLASSES, LABELS, {"sampling": "replacement"}),
    "whole": (CLASSES | {"batch_norm": True}, LABELS, {"batch_size": None}),
    "few": (CLASSES, LABELS, {"batch_size": 3, "epochs": 1}),  # not a sample of each part in each batch
    "one": (REALS, VALUES, {"batch_size": 1, "epochs": 1}),
    "metrics": (CLASSES, LABELS, {"metrics": ["f1", "accuracy"]}),
    "reference": (CLASSES | {"backend": "reference", "dropout": 0.2}, LABELS, {"optimizer": "adam"}),
}


def trained(comm, name, shares=None, **parallel):
    """The network of a case and its history.

    `shares` are the numbers of samples of each rank; by default those of `shard`. The others are arguments of
    `DataParallel`.
    """
    options, targets, arguments = CASES[name]
    rank = comm.Get_rank()
    if shares is None:
        rows = fnn.parallel.shard(comm, np.arange(SAMPLES))
    else:
        rows = np.arange(sum(shares[:rank]), sum(shares[: rank + 1]))
    arguments = {"epochs": 3, "batch_size": 20} | arguments
    if "sample_weight" in arguments:
        arguments["sample_weight"] = arguments["sample_weight"][rows]
    net = fnn.FNN(**options, seed=7 if rank == 0 else None)
    test = fnn.parallel.shard(comm, X[::3], targets[::3])
    history = net.fit(
        X[rows], targets[rows], **arguments, validation_data=test, comm=fnn.DataParallel(comm, **parallel)
    )
    return net, history


def state_of(net, history):
    """What a training has left, as a dict of arrays: parameters, statistics, the optimizer's state, the losses."""
    moments = net.optimizer.flat_state(net.params)
    arrays = {"params": net.params.flat, "statistics": net._statistics, "first": moments[0], "second": moments[1]}
    drawn = net._rng.bit_generator.state["state"]["state"] % 2**62
    lists = {"val_loss": history.val_loss} | history.metrics
    return (
        arrays | {name: np.array(values) for name, values in lists.items()} | {"step_loss": history.step_loss}
        | {"steps": np.array(net.optimizer.steps), "drawn": np.array(drawn)}
    )  # fmt: skip
