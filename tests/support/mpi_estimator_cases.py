"""Trainings of small estimators on several ranks: a program runs them, tests look at what came out."""

import numpy as np
import scipy.sparse

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor, data

SAMPLES = 101
rng = np.random.default_rng(8)
X = rng.standard_normal((SAMPLES, 6))
# Sorted, so that no rank has samples of all classes.
X = X[np.argsort(X[:, 0])]
NAMES = np.array(["low", "middle", "high"])[np.digitize(X[:, 0], [-0.7, 0.9])]
SIDES = (X[:, 0] + X[:, 1] > 0).astype(int)
SEVERAL = (X[:, :3] > 0.3).astype(int)
VALUES = np.column_stack([X[:, 0] - X[:, 1], X[:, 2] * X[:, 3]])
WEIGHTS = np.round(rng.uniform(0, 2, SAMPLES), 1)
WEIGHTS[10:30] = 0  # whole batches of a rank without shuffling

SMALL = {"hidden_layer_sizes": (5,), "max_iter": 4, "batch_size": 20, "random_state": 3, "learning_rate_init": 0.02}
SPARSE_ROWS = 30  # of which a copy is made at a time in the case "sparse"

# By name: class, targets, parameters, arguments of `fit`.
CASES = {
    "classes": (MLPClassifier, NAMES, {"class_weight": "balanced", "alpha": 0.5}, {"sample_weight": WEIGHTS}),
    "dict": (MLPClassifier, NAMES, {"class_weight": {"low": 2.0, "high": 0.5}, "solver": "sgd"}, {}),
    "several": (MLPClassifier, SEVERAL, {"class_weight": "balanced", "alpha": 0.1}, {"eval_set": (X, SEVERAL)}),
    "early": (MLPClassifier, SIDES, {"early_stopping": True, "solver": "sgd", "learning_rate": "adaptive",
                                     "validation_fraction": 0.2, "n_iter_no_change": 1, "tol": 0.1, "max_iter": 9},
              {}),
    "reals": (MLPRegressor, VALUES, {"early_stopping": True, "alpha": 1.0}, {}),
    "poisson": (MLPRegressor, np.round(np.exp(X[:, 0])), {"loss": "poisson", "optimizer": fnn.SGD(0.01)},
                {"sample_weight": WEIGHTS}),
    "metric": (MLPRegressor, VALUES[:, 0], {"loss": "quantile", "quantile": [0.1, 0.5],
                                            "eval_metric": lambda model, X, y: -model.predict(X).mean()},
               {"eval_set": (X[::2], VALUES[::2, 0])}),
    "rate": (MLPRegressor, VALUES, {"solver": "sgd", "learning_rate": "invscaling", "tol": 10.0,
                                    "n_iter_no_change": 2, "max_iter": 30}, {}),
    "sparse": (MLPClassifier, NAMES, {"alpha": 0.3}, {"sample_weight": WEIGHTS}),
}  # fmt: skip

# What a fitted estimator has, but what differs from rank to rank.
FITTED = ("classes_", "loss_", "loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "n_iter_",
          "t_", "n_outputs_", "out_activation_", "n_features_in_")  # fmt: skip


def rows_of(comm, shares=None):
    """Numbers of the rows that this rank has."""
    if shares is None:
        return fnn.parallel.shard(comm, np.arange(SAMPLES))
    first = sum(shares[: comm.rank])
    return np.arange(first, first + shares[comm.rank])


def trained(comm, name, rows, parallel, more=None, **arguments):
    """The estimator of a case, trained on these rows; other arguments are those of `fit`."""
    cls, y, parameters, given = CASES[name]
    given = dict(given)
    if "sample_weight" in given:
        given["sample_weight"] = given["sample_weight"][rows]
    if "eval_set" in given and "eval_metric" not in parameters:
        held_out = fnn.parallel.shard(comm, np.arange(len(given["eval_set"][0])))
        given["eval_set"] = tuple(array[held_out] for array in given["eval_set"])
    elif comm.Get_rank():
        given.pop("eval_set", None)
    x = X[rows]
    model = cls(**(SMALL | parameters | (more or {})))
    before = data.CONVERT_ONCE_BYTES
    if name == "sparse":
        x, data.CONVERT_ONCE_BYTES = scipy.sparse.csr_array(x), SPARSE_ROWS * 6 * 8
    try:
        return model.fit(x, y[rows], **given, **arguments, comm=parallel)
    finally:
        data.CONVERT_ONCE_BYTES = before


def state_of(model):
    """What a training has left, as a dict of arrays."""
    arrays = {f"coefs{i}": array for i, array in enumerate(model.coefs_)}
    arrays |= {f"intercepts{i}": array for i, array in enumerate(model.intercepts_)}
    found = {name: getattr(model, name, None) for name in FITTED}
    return arrays | {name: np.asarray(value) for name, value in found.items() if value is not None}
