"""Checkpoints of the estimators: what an estimator notes besides its network, and going on from it.

`estimator.BaseMLP` makes the keeper of a training, `training.Training` lets it write. `fastfnn.keeper` holds the rest.
"""

from __future__ import annotations

import inspect
import math
from typing import Any, NamedTuple

import numpy as np

from fastfnn import FNN, Checkpoint, files
from fastfnn.callbacks import Callback
from fastfnn.digests import compared, digest
from fastfnn.keeper import Keeper
from fastfnn.optimizers import Optimizer
from fastfnn.resuming import asked_of
from fastfnn.sklearn.data import Data
from fastfnn.stored import record, whole

# What the same training of an estimator is: all of its parameters, those of a class derived from it too, but for these.
MAY_DIFFER = {
    "max_iter": "a training may go on for longer",
    "verbose": "it only shows",
    "progress": "it only shows",
    "n_jobs": "any number of processes computes the same bits",
    "n_threads": "any number of threads computes the same bits",
    "n_estimators": "each network has a checkpoint of its own, and a seed that depends on its number alone",
}
COMPARED_OTHERWISE = {
    "hidden_layer_sizes": "by the description of the network in its file",
    "activation": "by the description of the network in its file",
    "loss": "by the description of the network in its file",
    "dtype": "by the description of the network in its file",
    "batch_size": "as a number, which is at most that of the samples",
    "optimizer": "by its class and its settings",
    "schedule": "by its settings",
    "callbacks": "by their kinds: their states come from the checkpoint",
}
RENAMED = {"learning_rate": "parameter learning_rate"}  # names that others have: here the rate of the optimizer

MT19937_WORDS = 624


def digests(data: Data, evaluation: Data | None, dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return what tells the data of a training from others; `evaluation` is the user's own validation data."""
    return {
        "X": digest(data.x, dtype), "y": digest(data.targets), "sample_weight": digest(data.weights),
        "eval_set": None if evaluation is None else [digest(evaluation.x, dtype), digest(evaluation.targets)],
    }  # fmt: skip


class Wanted(NamedTuple):
    """The checkpoint that `fit` was given.

    parameters  of the estimator as they are compared, before anything is drawn from its random_state; those of an
                ensemble, for each of its networks
    defaults    of these parameters
    """

    checkpoint: Checkpoint
    resume: bool
    parameters: dict[str, Any]
    defaults: dict[str, Any]

    @classmethod
    def of(cls, estimator: Any, checkpoint: Checkpoint, resume: bool) -> Wanted:
        """Return what an estimator wants."""
        found = inspect.signature(type(estimator).__init__).parameters.values()
        defaults = {each.name: each.default for each in found if each.default is not each.empty}
        return cls(checkpoint, resume, _compared(estimator.get_params(deep=False)), _compared(defaults))

    def of_network(self, number: int) -> Wanted:
        """Return that of one of the networks of an ensemble."""
        return self._replace(checkpoint=self.checkpoint.of_network(number))


def _compared(parameters: dict[str, Any]) -> dict[str, Any]:
    found = compared(parameters, MAY_DIFFER | COMPARED_OTHERWISE)
    return {RENAMED.get(name, name): value for name, value in found.items()}


def new_keeper(
    estimator: Any, wanted: Wanted, net: FNN, optimizer: Optimizer, watchers: list[Callback], samples: int,
    told: dict[str, Any],
) -> Keeper:  # fmt: skip
    """Return the keeper of a training on a number of samples; `told` are their digests."""
    asked = asked_of(
        optimizer, trained_by=type(estimator).__name__, batch_size=estimator._batch_size(samples),
        samples=samples, **wanted.parameters, **told,
    )  # fmt: skip
    return Keeper(wanted.checkpoint, wanted.resume, net, optimizer, watchers, asked, defaults=wanted.defaults)


def random_of(random_state: np.random.RandomState) -> dict[str, Any]:
    """Return the state of a source of random numbers."""
    state: Any = random_state.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise ValueError(f"random_state must draw from MT19937 for a checkpoint, got {state['bit_generator']}")
    return {
        "name": "MT19937",
        "key": state["state"]["key"],
        "position": int(state["state"]["pos"]),
        "has_gauss": int(state["has_gauss"]),
        "gauss": float(state["gauss"]),
    }


def set_random(random_state: np.random.RandomState, told: dict[str, Any]) -> None:
    """Give a source of random numbers the state that `random_of` has returned."""
    random_state.set_state((told["name"], told["key"], told["position"], told["has_gauss"], told["gauss"]))


def noted(estimator: Any) -> dict[str, Any]:
    """Return what training has noted in the attributes of an estimator."""
    scores, best = estimator.validation_scores_, None
    if scores is not None and estimator._best is not None:
        best = dict(zip(("params", "statistics"), estimator._best, strict=True))
    return {
        "t": estimator.t_,
        "loss_curve": np.array(estimator.loss_curve_, np.float64),
        "no_improvement_count": estimator._no_improvement_count,
        "best_loss": None if estimator.best_loss_ is None else float(estimator.best_loss_),
        "validation_scores": None if scores is None else np.array(scores, np.float64),
        "best_validation_score": estimator.best_validation_score_,
        "best": best,
    }


def restore(estimator: Any, told: dict[str, Any]) -> None:
    """Give an estimator the attributes that `noted` has returned."""
    scores, best = told["validation_scores"], told["best"]
    estimator.t_, estimator.loss_curve_ = told["t"], list(told["loss_curve"])
    estimator._no_improvement_count = told["no_improvement_count"]
    estimator.best_loss_ = None if told["best_loss"] is None else np.float64(told["best_loss"])
    estimator.validation_scores_ = None if scores is None else scores.tolist()
    score = told["best_validation_score"]
    if score is not None and not math.isfinite(score):  # the weights beside it are those before training
        score, best = -math.inf, None
    estimator.best_validation_score_ = score
    estimator._best = None if best is None else (best["params"], best["statistics"])


# Checks of what a checkpoint holds


def check_before_split(keeper: Keeper) -> dict[str, Any]:
    """Return the random state before the validation data were chosen, from the checkpoint that was found."""
    with files.damage_reported(keeper.checkpoint.file):
        assert keeper.found is not None
        told = keeper.found.estimator
        names = ("t", "loss_curve", "no_improvement_count", "best_loss", "validation_scores", "best_validation_score")
        record("estimator", told, (*names, "best", "before_split", "drawn"))
        _check_random("before_split", told["before_split"])
        before_split: dict[str, Any] = told["before_split"]
        return before_split


def check_found(keeper: Keeper, net: FNN, chosen: np.ndarray | None, stops_early: bool) -> None:
    """Raise ValueError unless the checkpoint that was found holds what this training can go on with.

    `chosen` are the indices of the training samples; None if other processes train on others. The training of several
    processes notes no order.
    """
    with files.damage_reported(keeper.checkpoint.file):
        found: Any = keeper.found
        told, epochs = found.estimator, found.epochs
        whole("t", told["t"])
        whole("no_improvement_count", told["no_improvement_count"])
        # A warm start goes on with the curves of the trainings before.
        _check_array("loss_curve", told["loss_curve"], np.dtype(np.float64), None, least=epochs)
        if stops_early:
            _check_array("validation_scores", told["validation_scores"], np.dtype(np.float64), None, least=epochs)
            if told["best"] is not None:
                record("best", told["best"], ("params", "statistics"))
                _check_array("best.params", told["best"]["params"], net.dtype, net._flat.size)
                _check_array("best.statistics", told["best"]["statistics"], net.dtype, net._statistics.size)
        elif told["validation_scores"] is not None or told["best"] is not None:
            raise ValueError("validation_scores and best must be null without early stopping")
        number, null = ("best_validation_score", "best_loss") if stops_early else ("best_loss", "best_validation_score")
        if type(told[number]) not in (int, float) or math.isnan(told[number]) or told[null] is not None:
            raise ValueError(f"{number} must be a number and {null} null")
        if stops_early and told["best"] is None and math.isfinite(told[number]):
            raise ValueError("best must hold the weights of the best_validation_score, got null")
        record("drawn", told["drawn"], ("random", "order"))
        _check_random("drawn.random", told["drawn"]["random"])
        order = told["drawn"]["order"]
        if chosen is None:
            if order is not None:
                raise ValueError("drawn.order must be null in the training of several processes")
            return
        _check_array("drawn.order", order, np.dtype(np.uint32), len(chosen))
        if not np.array_equal(np.sort(order), np.sort(chosen)):
            raise ValueError("drawn.order must hold the numbers of the training samples")


def _check_random(name: str, told: Any) -> None:
    record(name, told, ("name", "key", "position", "has_gauss", "gauss"))
    if told["name"] != "MT19937":
        raise ValueError(f"{name} must be a state of MT19937, got {told['name']!r}")
    _check_array(f"{name}.key", told["key"], np.dtype(np.uint32), MT19937_WORDS)
    whole(f"{name}.position", told["position"], 0, MT19937_WORDS + 1)
    whole(f"{name}.has_gauss", told["has_gauss"], 0, 2)
    if type(told["gauss"]) is not float or not math.isfinite(told["gauss"]):
        raise ValueError(f"{name}.gauss must be a number")


def _check_array(name: str, value: Any, dtype: np.dtype[Any], size: int | None, least: int = 0) -> None:
    """Raise ValueError unless a value is an array of a dtype and a size, or at least of some size."""
    good = isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == 1
    if not good or (size is not None and value.size != size) or value.size < least:
        wanted = f"{size} numbers" if size is not None else f"at least {least} numbers"
        raise ValueError(f"{name} must be {wanted} of {dtype}")
