"""Recipes: how large the network of a table is, how columns enter it and how it is trained, in one table of presets.

The estimators replace the entries that a user gives. Each value was chosen by a study: see Experiments, "tables".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from fastfnn import validation
from fastfnn.options import checked_activations

FEW_ROWS = 100  # up to here a step takes all rows: a batch of them would be too small to average over
LEAST_BATCHES = 16  # of an epoch: batches get smaller for it
SMALLEST_BATCH = 32
LEAST_BINS = 4
SMALL_ROWS = 2048  # up to here a table has the most networks, and more steps, see Experiments: small-tables
SMALLER_ROWS = 1024  # up to here the networks of the default are smaller ones, see Experiments: smaller-networks
BAGGED_ROWS = 4 * SMALL_ROWS  # that the networks of a larger one are trained on together

FLAT_SHARE = 0.5  # of the steps of a flat-cosine schedule that have the full rate


@dataclass(frozen=True, repr=False)
class Recipe:
    """All that a training is made of, but the data: a preset of your own.

    Its entries are checked when `fit` begins. Those of the presets are in ``fastfnn/tabular/recipe.py``.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
        Units of the hidden layers.
    activation : str
        Of the hidden layers.
    members : int
        Networks that share their weights.
    scaled : bool
        Whether each layer has scales of each member, or the inputs alone.
    bags : int
        Networks of their own, each with its own validation split, whose predictions are averaged.
    small_bags : int
        So many networks at most that a small table has if `bags` are fewer: 4 up to 2,048 rows, 1 from 4,097 rows on.
    bins : int
        Bins of a number's embedding, at most; 0 has numbers enter as they are, scaled.
    rows_per_bin : int
        Rows for each bin: small tables have fewer bins.
    bins_by : {"quantile", "tree"}
        Whether bins have the same number of rows, or are the leaves of a decision tree for the target.
    scaling : {"quantile", "robust"}
        Whether numbers become quantiles of the normal distribution, or are divided by the distance of their quartiles
        and limited smoothly.
    embedding_size : int
        Numbers that a column of numbers becomes.
    one_hot : int
        Categories up to which each has an input of its own; more are embedded.
    category_size : int
        Numbers that a column of many categories becomes, at most.
    learning_rate, weight_decay, beta2, dropout, label_smoothing : float
        Of AdamW, of the hidden layers and of the loss of classes.
    clip_norm : float or None
        Limit of the norm of the gradient.
    batch_size : int
        Rows of a step.
    smaller_batches : bool
        Whether small tables have fewer rows in a step, and those of few rows all of them.
    schedule : {"cosine", "flat-cosine", "constant"}
        How the learning rate falls.
    warm_up : float
        Share of the steps in which the rate rises.
    max_epochs, patience : int
        Epochs of the schedule, and epochs without a better validation score after which training ends.
    least_steps : int
        Steps that a training has at least; on 101 to 2,048 rows, so many times as there are networks: small tables get
        more epochs.
    longer_patience : bool
        Whether `patience` grows with the epochs that small tables get.
    metric : {"log_loss", "error"}
        What the validation score of classes is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfnn.tabular import Recipe, TabularRegressor
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> recipe = Recipe(hidden_layer_sizes=(64,), scaling="robust", warm_up=0.05)
    >>> model = TabularRegressor(preset=recipe, random_state=0).fit(X, X[:, 0] ** 2)
    >>> model.recipe_.scaling
    'robust'
    """

    hidden_layer_sizes: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    members: int = 8
    scaled: bool = True
    bags: int = 1
    small_bags: int = 4
    bins: int = 48
    rows_per_bin: int = 256
    bins_by: Literal["quantile", "tree"] = "quantile"
    scaling: Literal["quantile", "robust"] = "quantile"
    embedding_size: int = 24
    one_hot: int = 8
    category_size: int = 8
    learning_rate: float = 3e-3
    weight_decay: float = 3e-4
    beta2: float = 0.999
    dropout: float = 0.1
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    batch_size: int = 256
    smaller_batches: bool = True
    schedule: Literal["cosine", "flat-cosine", "constant"] = "cosine"
    warm_up: float = 0.0
    max_epochs: int = 40
    patience: int = 16
    least_steps: int = 500
    longer_patience: bool = True
    metric: Literal["log_loss", "error"] = "log_loss"

    def __repr__(self) -> str:
        changed = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return f"Recipe({', '.join(f'{name}={getattr(self, name)!r}' for name in changed)})"

    def for_rows(self, rows: int) -> Recipe:
        """Return the recipe for a table with `rows` rows: small ones have fewer bins, more networks and more steps.

        :meta private:
        """
        bins = min(self.bins, max(rows // self.rows_per_bin, LEAST_BINS))
        bags = min(self.small_bags, max(BAGGED_ROWS // rows, 1))
        steps = self.least_steps * (bags if FEW_ROWS < rows <= SMALL_ROWS else 1)  # of few rows, each step takes all
        return replace(
            self, bins=bins, rows_per_bin=1, bags=max(self.bags, bags), small_bags=1, least_steps=steps
        )  # fmt: skip

    def batch(self, rows: int) -> int:
        """Return the number of rows of a step on a table with `rows` rows for training.

        :meta private:
        """
        if not self.smaller_batches:
            return min(self.batch_size, rows)
        if rows <= FEW_ROWS:
            return rows
        return min(self.batch_size, max(SMALLEST_BATCH, 1 << (rows // LEAST_BATCHES).bit_length() - 1))

    def rates(self, progress: np.ndarray) -> np.ndarray:
        """Return the learning rates of steps, where `progress` is the share of the training, in [0, 1), before each.

        :meta private:
        """
        falling = {
            "cosine": progress,
            "flat-cosine": np.maximum(progress - FLAT_SHARE, 0) / (1 - FLAT_SHARE),
            "constant": np.zeros_like(progress),
        }[self.schedule]
        rising = np.minimum(1.0, progress / self.warm_up) if self.warm_up else 1.0
        rates: np.ndarray = self.learning_rate * rising * (1 + np.cos(np.pi * falling)) / 2
        return rates

    def epochs(self, steps: int) -> int:
        """Return the number of epochs of `steps` steps each.

        :meta private:
        """
        return max(self.max_epochs, -(-self.least_steps // steps))

    def patience_of(self, epochs: int) -> int:
        """Return the patience of a training of `epochs` epochs.

        :meta private:
        """
        return self.patience * epochs // self.max_epochs if self.longer_patience else self.patience


PRESETS: dict[str, Recipe] = {
    "default": Recipe(),
    "fast": Recipe(
        hidden_layer_sizes=(128, 128), members=4, small_bags=1, bins=24, embedding_size=12, max_epochs=20, patience=8
    ),
    "best": Recipe(max_epochs=60, patience=24, bags=8),
}
# In place of a preset, for tables of up to `SMALLER_ROWS` rows.
OF_SMALLER_TABLES: dict[str, Recipe] = {
    "default": replace(
        PRESETS["default"], hidden_layer_sizes=(128, 128), members=4, embedding_size=12, least_steps=250
    ),
}  # fmt: skip


def _at_least(least: int) -> Any:
    return lambda name, value: validation.integer(name, value, least)


def _one_of(*options: str) -> Any:
    return lambda name, value: validation.choice(name, value, options)


def _checked_hidden(name: str, hidden: Any) -> tuple[int, ...]:
    sizes = [hidden] if isinstance(hidden, (int, np.integer)) else hidden
    if not isinstance(sizes, (list, tuple, np.ndarray)) or not len(sizes):
        raise TypeError(f"{name} must be numbers of units, at least one, got {hidden!r}")
    return tuple(validation.integer(f"{name}[{i}]", size, 1) for i, size in enumerate(sizes))


# How each entry is checked, whether a user gives it or a file.
CHECKS: Mapping[str, Any] = {
    "hidden_layer_sizes": _checked_hidden,
    "activation": lambda name, value: checked_activations(value, 1)[0],
    "members": _at_least(1),
    "scaled": validation.boolean,
    "bags": _at_least(1),
    "small_bags": _at_least(1),
    "bins": _at_least(0),
    "rows_per_bin": _at_least(1),
    "bins_by": _one_of("quantile", "tree"),
    "scaling": _one_of("quantile", "robust"),
    "embedding_size": _at_least(1),
    "one_hot": _at_least(1),
    "category_size": _at_least(1),
    "learning_rate": validation.positive,
    "weight_decay": validation.nonnegative,
    "beta2": validation.fraction,
    "dropout": validation.fraction,
    "label_smoothing": validation.fraction,
    "clip_norm": lambda name, value: None if value is None else validation.positive(name, value),
    "batch_size": _at_least(1),
    "smaller_batches": validation.boolean,
    "schedule": _one_of("cosine", "flat-cosine", "constant"),
    "warm_up": validation.fraction,
    "max_epochs": _at_least(1),
    "patience": _at_least(1),
    "least_steps": _at_least(1),
    "longer_patience": validation.boolean,
    "metric": _one_of("log_loss", "error"),
}


def chosen(estimator: Any, rows: float = math.inf) -> Recipe:
    """Return the recipe of an estimator for a table with `rows` rows, before `Recipe.for_rows`.

    It is the preset, with the parameters that are not None in place of its entries.
    """
    recipe = _of_preset(estimator.preset, rows)
    values = {name: getattr(estimator, name, None) for name in CHECKS}
    given = {name: CHECKS[name](name, value) for name, value in values.items() if value is not None}
    # A user means what is given, on small tables, too.
    if "max_epochs" in given:
        given["least_steps"] = 1
    if "patience" in given:
        given["longer_patience"] = False
    if "batch_size" in given:
        given["smaller_batches"] = False
    if "bins" in given:
        given["rows_per_bin"] = 1
    return replace(recipe, **given)


def _of_preset(preset: Any, rows: float) -> Recipe:
    """Return the recipe of a preset, which is a name or a recipe, for a table with `rows` rows."""
    if isinstance(preset, Recipe):
        return checked(vars(preset), "preset.")
    if not isinstance(preset, str):
        raise TypeError(f"preset must be a Recipe, or one of {', '.join(PRESETS)}; got {type(preset).__name__}")
    name = validation.choice("preset", preset, tuple(PRESETS))
    return OF_SMALLER_TABLES.get(name, PRESETS[name]) if rows <= SMALLER_ROWS else PRESETS[name]


def checked(values: Mapping[str, Any], prefix: str = "") -> Recipe:
    """Return the recipe with these values, all of them checked; `prefix` stands before their names in errors."""
    return Recipe(**{name: check(prefix + name, values[name]) for name, check in CHECKS.items()})
