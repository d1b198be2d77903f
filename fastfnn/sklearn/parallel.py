"""Training of an estimator on several ranks, each with its samples; see `fastfnn.parallel`.

`estimator.BaseMLP` calls `prepared_descent` where it has several ranks; it finds out what all of them have together.
`rank_training` then trains.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from fastfnn import FNN
from fastfnn.callbacks import Callback, checked_callbacks
from fastfnn.parallel.measuring import shared_digest
from fastfnn.parallel.parts import Parts
from fastfnn.parallel.shards import divided
from fastfnn.parallel.sharing import described_optimizer
from fastfnn.sklearn import going_on
from fastfnn.sklearn.data import Data
from fastfnn.sklearn.going_on import Wanted
from fastfnn.sklearn.parameters import new_optimizer
from fastfnn.sklearn.rank_training import RankTraining
from fastfnn.sklearn.teams import RankTeam
from fastfnn.sklearn.validation_data import HeldOut, check_weight

ROWS_OF_BLOCK = 1 << 16  # of which the validation split draws its share at a time


def prepared_descent(
    estimator: Any, net: FNN, data: Data, eval_set: Any, team: RankTeam, wanted: Wanted | None,
    stop: threading.Event,
) -> RankTraining:  # fmt: skip
    """Return what trains by gradient descent with the samples of all ranks, as `BaseMLP._prepared_descent` does alone.

    All ranks call this in a context of `team.agreed`, and each exchanges in it as often as the others.
    """
    optimizer = estimator._optimizer = new_optimizer(estimator)
    team.check_equal({"optimizer": described_optimizer(optimizer)})
    given = team.gathered(eval_set is not None)
    _check_validation(estimator, given)
    stops_early = estimator.early_stopping or any(given)
    splits = stops_early and not any(given)
    estimator._begin_curves(net, stops_early)
    counts = team.gathered(data.samples)
    others = math.ceil(estimator.validation_fraction * sum(counts)) if splits else 0
    if splits and not 2 <= others < sum(counts):
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
        )  # fmt: skip
    samples = sum(counts) - others
    held_out = None if eval_set is None else estimator._evaluation_data(net, eval_set)
    watchers: list[Callback] = []
    if team.first:
        accuracy = net.loss_function.has_accuracy
        watchers = checked_callbacks(estimator.callbacks, stops_early, accuracy, optimizer=optimizer)
    keeper = before_split = None
    if team.gathered(wanted is not None)[0]:
        told = _digests(team, data, held_out, net, any(given))
        if team.first and wanted is not None:
            before_split = going_on.random_of(estimator._random_state)
            keeper = going_on.new_keeper(estimator, wanted, net, optimizer, watchers, samples, told)
            if keeper.found is not None:
                before_split = going_on.check_before_split(keeper)
                going_on.set_random(estimator._random_state, before_split)
                going_on.check_found(keeper, net, None, stops_early)
    chosen = np.arange(data.samples)
    if splits:
        key = team.gathered(estimator._random_state.randint(2**32, dtype=np.uint32))[0]
        apart = rows_apart(sum(counts[: team.rank]), data.samples, sum(counts), others, int(key))
        chosen, held_out = np.flatnonzero(~apart), HeldOut(data.at(np.flatnonzero(apart)), None)
        if data.weights is not None:
            check_weight(sum(team.gathered(float(data.weights[apart].sum()))), estimator.validation_fraction)
    batch_size = team.gathered(estimator._batch_size(samples) if team.first else 0)[0]
    own = team.parallel.parts // team.size
    sizes = np.diff(np.searchsorted(chosen, np.cumsum([0, *divided(data.samples, own)]))).tolist()
    all_sizes = [size for sizes_of_rank in team.gathered(sizes) for size in sizes_of_rank]
    order = "shuffle" if estimator.shuffle else "in order"
    parts = Parts(all_sizes, team.rank * own, own, batch_size, order)
    return RankTraining(
        estimator, net, optimizer, data, chosen, held_out if stops_early else None, stops_early, parts, watchers, stop,
        team, keeper, before_split,
    )  # fmt: skip


def _check_validation(estimator: Any, given: list[bool]) -> None:
    """Raise ValueError unless rank 0 has validation data if others have some, and all if a scorer needs them."""
    if any(given) and not given[0]:
        raise ValueError(f"eval_set must be given on rank 0 if it is on others, got one on rank {given.index(True)}")
    if estimator.eval_metric is not None and (sum(given) > 1 or (estimator.early_stopping and not any(given))):
        raise ValueError(
            "eval_metric must be None with comm, or all validation data on rank 0: give eval_set there and on no other "
            f"rank; got {estimator.eval_metric!r}"
        )


def _digests(team: RankTeam, data: Data, evaluation: HeldOut | None, net: FNN, evaluates: bool) -> dict[str, Any]:
    """Return the digests of what all ranks have together, see `going_on.digests`."""
    x, targets = (None, None) if evaluation is None else (evaluation.data.x, evaluation.data.targets)
    return {
        "comm": "given",  # without it, orders and validation data are others
        "X": shared_digest(team, data.x, net.dtype), "y": shared_digest(team, data.targets),
        "sample_weight": shared_digest(team, data.weights),
        "eval_set": [shared_digest(team, x, net.dtype), shared_digest(team, targets)] if evaluates else None,
    }  # fmt: skip


def rows_apart(first: int, count: int, total: int, apart: int, key: int) -> np.ndarray:
    """Return which of a rank's rows are held out: (count,) bool.

    The choice depends on the number of a row among those of all ranks, not on the rank that holds it. Each rank draws
    the blocks of rows for itself that it has a part of.

    Parameters
    ----------
    first, count, total : int
        Number of this rank's first row among all, its rows, and those of all ranks.
    apart : int
        Rows of all ranks that are held out.
    key : int
        From which the choice is drawn.
    """
    result = np.zeros(count, bool)
    for block in range(first // ROWS_OF_BLOCK, (first + count - 1) // ROWS_OF_BLOCK + 1):
        begin, end = block * ROWS_OF_BLOCK, min((block + 1) * ROWS_OF_BLOCK, total)
        share = end * apart // total - begin * apart // total
        drawn = begin - first + np.random.default_rng([key, block]).permutation(end - begin)[:share]
        result[drawn[(drawn >= 0) & (drawn < count)]] = True
    return result
