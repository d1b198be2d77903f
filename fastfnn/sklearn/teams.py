"""The ranks that train an estimator together, and what they agree on before: parameters, classes and their weights.

`estimator.BaseMLP` makes a team for each `fit`; one process alone is a team, too. `parallel` trains with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils.class_weight import compute_class_weight

from fastfnn.labels import balanced_weights
from fastfnn.options import activation_name
from fastfnn.parallel.alone import Alone
from fastfnn.parallel.options import DataParallel, checked_parallel
from fastfnn.parallel.ranks import Ranks
from fastfnn.sklearn.data import feature_names
from fastfnn.sklearn.parameters import activations, hidden_layer_sizes, uses_lbfgs

# Parameters that may differ: rank 0's count, or each rank's for itself. Layers and the optimizer are compared as such.
OF_EACH_RANK = ("random_state", "verbose", "progress", "callbacks", "n_threads", "n_jobs", "hidden_layer_sizes",
                "activation", "optimizer")  # fmt: skip


class RankTeam(Ranks):
    """The ranks of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py communicator
    parallel : DataParallel
    """

    parallel: DataParallel

    def __init__(self, comm: Any, parallel: DataParallel) -> None:
        super().__init__(comm)
        self.parallel = parallel


Team = Alone | RankTeam
ALONE = Alone()


@contextlib.contextmanager
def team_of(comm: Any) -> Iterator[Team]:
    """In the context an error of one rank does not leave the others waiting, and ranks of a host share its cores."""
    parallel = None if comm is None else checked_parallel(comm)
    if parallel is None or parallel.parts == 1:
        yield ALONE
        return
    own = parallel.comm.Dup()  # so that no message of the user's is taken for one of ours
    try:
        team = RankTeam(own, parallel)
        with team.guarded(), team.sharing_cores():
            yield team
    finally:
        own.Free()


def check_parameters(estimator: Any, team: Team) -> None:
    """Raise ValueError if several ranks cannot train an estimator with these parameters."""
    if team.parallel is None:
        return
    if uses_lbfgs(estimator):
        raise ValueError("solver must be stochastic with comm, 'adam' or 'sgd', got 'lbfgs'")
    if estimator.n_estimators > 1:
        raise ValueError(
            f"n_estimators must be 1 with comm, got {estimator.n_estimators}: call fit once for each network, or train "
            "one on each rank without comm"
        )


def check_data(estimator: Any, team: Team, X: Any, y: Any, weighted: bool, first_pass: bool) -> None:
    """Raise ValueError, which names the differences, unless all ranks have the same parameters and data of a kind."""
    if team.parallel is None:
        return
    layers = hidden_layer_sizes(estimator)
    kinds = activations(estimator, len(layers))
    parameters = {
        name: _plain(value)
        for name, value in estimator.get_params(deep=False).items()
        if name not in OF_EACH_RANK
    }  # fmt: skip
    team.check_equal({
        **parameters, "hidden_layer_sizes": tuple(layers), "activation": tuple(map(activation_name, kinds)),
        "the number of features of X": int(X.shape[1]),
        "names of the features of X": () if (names := feature_names(estimator)) is None else tuple(names),
        "the dtype of X": str(np.promote_types(X.dtype, np.float32)) if estimator.dtype is None else "any",
        "the columns of y": y.shape[1:], "texts in y": y.dtype.kind in "OUS", "sample_weight given": weighted,
        "a network to train on": not first_pass, "average_every": team.parallel.average_every,
        "fixed_order": team.parallel.fixed_order, "parts": team.parallel.parts,
    })  # fmt: skip


def _plain(value: Any) -> Any:
    """Return a parameter as it is compared: of a function only that it is one."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return "a function" if callable(value) else repr(value)


def all_labels(team: Team, y: Any) -> Any:
    """Return labels among which are those of all ranks, each at least once; y itself of a process alone.

    Rows of several labels tell theirs by their number.
    """
    if team.parallel is None or y.ndim > 1:
        return y
    return np.concatenate(team.gathered(np.unique(y)))


def weights_of_classes(team: Team, class_weight: Any, y: Any) -> Any:
    """Return weights that give a sample the same weight on each rank, whichever classes are there.

    `class_weight` is the parameter, and is returned as it is to a process alone.
    """
    if team.parallel is None:
        return class_weight
    columns = (y.toarray() if scipy.sparse.issparse(y) else y).reshape(y.shape[0], -1).T
    told = team.gathered([np.unique(column, return_counts=True) for column in columns])
    several = isinstance(class_weight, list)
    if y.ndim > 1 and (isinstance(class_weight, Mapping) or (several and len(class_weight) != len(columns))):
        return class_weight  # which scikit-learn refuses
    result = []
    for i in range(len(columns)):
        classes, places = np.unique(np.concatenate([of_rank[i][0] for of_rank in told]), return_inverse=True)
        counts = np.bincount(places, np.concatenate([of_rank[i][1] for of_rank in told]))
        given = class_weight[i] if several else class_weight
        if isinstance(given, str):  # "balanced"
            weights = balanced_weights(counts)
        else:
            weights = compute_class_weight(given, classes=classes, y=classes)
        result.append(dict(zip(classes.tolist(), weights.tolist(), strict=True)))
    return result if y.ndim > 1 else result[0]
