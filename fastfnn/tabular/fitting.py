"""Fitting: from the arguments of `fit` to trained networks.

`learnt` checks the arguments and learns what columns and targets are; `train` makes a network for each bag and trains
it. `base.TabularEstimator.fit` calls both, and takes over what comes of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from fastfnn import streams, validation
from fastfnn.sklearn.weights import checked_sample_weight
from fastfnn.tabular import kinds, reading
from fastfnn.tabular.columns import LeftOut
from fastfnn.tabular.encoding import Encoding
from fastfnn.tabular.network import TabularNetwork
from fastfnn.tabular.recipe import FEW_ROWS, Recipe, chosen
from fastfnn.tabular.target import Target
from fastfnn.tabular.training import Rows, Training, split


class Learnt(NamedTuple):
    """What is known before the training.

    recipe    with the parameters of the estimator
    encoding  of the columns
    target    what the outputs mean
    rows      all rows for training and validation, prepared
    given     the rows of `eval_set`, or None
    seed      of all that is drawn
    """

    recipe: Recipe
    encoding: Encoding
    target: Target
    rows: Rows
    given: Rows | None
    seed: int


def learnt(estimator: Any, X: Any, y: Any, sample_weight: Any, eval_set: Any) -> Learnt:
    """Check the arguments of `fit`, and learn what columns and targets are."""
    chosen(estimator)  # checks it before the data
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"This {name} estimator requires y to be passed, but the target y is None.")
    random = check_random_state(estimator.random_state)
    raws = reading.read(estimator, X, reset=True)
    y = _checked_targets(estimator, y)
    _check_count(raws, y)
    given_weights = checked_sample_weight(sample_weight, len(y))
    weights = np.ones(len(y)) if given_weights is None else given_weights
    raws, (weights, y) = _of_some_weight("sample_weight", raws, weights, y)
    by_class = estimator._class_weights(y)  # "balanced" counts these rows alone
    if by_class is not None:
        with np.errstate(over="ignore"):
            weights = weights * by_class
        raws, (weights, y, by_class) = _of_some_weight("sample_weight times class_weight", raws, weights, y, by_class)
    few = len(y) <= FEW_ROWS
    recipe = chosen(estimator, len(y))
    recipe = replace(recipe, dropout=0.0) if few and estimator.dropout is None else recipe
    recipe = recipe.for_rows(len(y))
    dtype: np.dtype[Any] = np.dtype(np.float64 if few else np.float32)
    target = estimator._learn_target(y, weights, recipe)
    labels = estimator._encoded(y, target)
    encoding = _encoding(estimator, raws, weights, labels, recipe)
    rows = Rows(encoding.transform(raws, dtype), labels, weights)
    given = None if eval_set is None else _evaluation_rows(estimator, eval_set, encoding, target, dtype)
    if given is not None and by_class is not None:
        of_class = np.empty(labels.max() + 1)
        of_class[labels] = by_class
        given = given._replace(weights=of_class[given.y])
    return Learnt(recipe, encoding, target, rows, given, random.randint(2**31 - 1))


# What a user can do about a column that is left out, or may be something else.
CURES = {
    "number": "columns={{{!r}: 'number'}} uses it as numbers", "category": "columns={{{!r}: 'category'}} uses it",
    "decimal": "decimal=',' reads numbers with a comma, decimal='.' those with a point",
    "zones": "give all of them a zone, or none", "rare": "join some of them",
}  # fmt: skip
SILENCE = "columns={{{!r}: 'ignore'}}"


def _encoding(
    estimator: Any, raws: list[reading.Raw], weights: np.ndarray, labels: np.ndarray, recipe: Recipe
) -> Encoding:  # fmt: skip
    """Return what is learnt about the columns; a warning tells of those that vary and are left out."""
    wanted, form = estimator._chosen_kinds()
    kinds.check_known(wanted, [raw.name for raw in raws])
    decisions = kinds.decide_all(raws, wanted, form)
    encoding = Encoding.fit(raws, decisions, weights, labels, recipe, form)
    known = [
        decision._replace(reason=column.reason, cure="rare")
        if isinstance(column, LeftOut) and decision.kind == "category" else decision
        for decision, column in zip(decisions, encoding.columns, strict=True)
    ]  # fmt: skip
    message = kinds.warning(zip([raw.name for raw in raws], known, strict=True), CURES, SILENCE)
    if message:
        streams.warn(message, stacklevel=4)
    return encoding


def _checked_targets(estimator: Any, y: Any) -> np.ndarray:
    """Return y as an array (N,) or (N, K)."""
    validation.refuse_masked("y", y)
    targets: np.ndarray = estimator._checked_targets(y)
    return targets


def _check_count(raws: list[reading.Raw], y: np.ndarray) -> None:
    """Raise ValueError unless y has an entry for each row of X."""
    rows = len(raws[0].values)
    if len(y) != rows:
        raise ValueError(f"y must have an entry for each row of X, {rows}; got {len(y)}")


def _of_some_weight(
    name: str, raws: list[reading.Raw], weights: np.ndarray, *others: np.ndarray
) -> tuple[list[reading.Raw], list[np.ndarray]]:
    """Return the rows whose weight is above 0: columns, then weights and others; `name` is that of the weights."""
    with np.errstate(over="ignore"):
        total = weights.sum()
    validation.check_total_weight(name, float(total))
    kept = weights > 0
    if kept.all():
        return raws, [weights, *others]
    return [raw._replace(values=raw.values[kept]) for raw in raws], [array[kept] for array in (weights, *others)]


def _evaluation_rows(
    estimator: Any, eval_set: Any, encoding: Encoding, target: Target, dtype: np.dtype[Any]
) -> Rows:  # fmt: skip
    """Return the `eval_set` of `fit` as prepared rows."""
    if not isinstance(eval_set, (tuple, list)) or len(eval_set) != 2:
        size = f" of {len(eval_set)}" if isinstance(eval_set, (tuple, list)) else ""
        raise ValueError(f"eval_set must be a pair (X, y), got {type(eval_set).__name__}{size}")
    try:
        raws = reading.read(estimator, eval_set[0], reset=False)
        y = _checked_targets(estimator, eval_set[1])
        _check_count(raws, y)
        return Rows(encoding.transform(raws, dtype), estimator._encoded(y, target), np.ones(len(y)))
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"eval_set must be rows and targets like those of fit: {error}") from error


def train(estimator: Any, known: Learnt, start: float, trainings: list[Training]) -> None:
    """Train a network for each bag; each training is appended once its network has its best parameters.

    A training that is appended holds its rows no longer, so that memory does not grow with the number of networks.
    `start` is when `fit` began.
    """
    fraction, budget, show = estimator._checked_options()
    recipe, encoding, target, rows, given, seed = known
    estimator.recipe_, estimator._encoding, estimator._target = recipe, encoding, target
    for number, sequence in enumerate(np.random.SeedSequence(seed).spawn(recipe.bags)):
        rng = np.random.default_rng(sequence)
        network = TabularNetwork(
            encoding.features, recipe.hidden_layer_sizes, target.outputs, activation=recipe.activation,
            loss=target.loss(), members=recipe.members, scaled=recipe.scaled, dropout=recipe.dropout,
            dtype=rows.x.dtype, seed=int(rng.integers(2**31)), backend=estimator._backend,
        )  # fmt: skip
        encoding.begin_unknown(network)
        chosen_rows, others = split(rng, rows.y, fraction if given is None else 0.0)
        held_out = rows.at(others) if given is None else given
        training = Training(
            network, target, rows.at(chosen_rows), held_out, recipe, rng, encoding.settle_unknown, start + budget,
            recipe.bags - number, budget / recipe.bags / 2,
        )  # fmt: skip
        try:
            training.run(show, estimator._watchers)
        finally:
            training.release()
            trainings.append(training)
