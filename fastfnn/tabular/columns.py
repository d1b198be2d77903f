"""Columns: what is learnt about each column of a table, and how its values become inputs of the network.

`learn` looks at the rows for training and makes a `NumberColumn`, a `DateColumn`, a `CategoryColumn` or a `LeftOut` of
each column; `encoding.py` puts them together. What is here is stored with the model.
"""

from __future__ import annotations

import collections
import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import ndtri
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from fastfnn.tabular.kinds import POINT, Decision, Form, offset_of
from fastfnn.tabular.network import Feature
from fastfnn.tabular.reading import Raw
from fastfnn.tabular.recipe import Recipe

MOST_DEVIATIONS = 3.0  # of knots and of scaled numbers from 0
PLAIN_KNOTS = 256  # of a number that is scaled by quantiles and not embedded
QUARTILES_APART = 1.349  # of the standard normal distribution

HUGE = 1e300  # the distance of numbers beyond it may overflow

BOOLEANS: Mapping[str | None, str] = {"False": "0", "True": "1"}  # as texts, and as numbers
# Of many values those with less than a share of all rows are rare, within limits for the rows, and share the embedding
# of unknown ones: an embedding of few rows would learn them by heart. See Experiments: rare-categories.
RARE_ROWS = 2, 30
RARE_SHARE = 1 / 500
LEAST_LEAF_ROWS = 32  # of the tree that finds bins


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """A column of numbers.

    Attributes
    ----------
    name : str
        The name of the column.
    edges : array
        Rising numbers between which the column is linear in the inputs; those outside count as the nearest.
    knots : array
        The edges on the scale that the network sees.
    median : float
        Stands for missing numbers.
    missing : bool
        Whether numbers were missing in the rows for training: then an input tells so.
    width : int
        Numbers that a number is embedded in; 0 for a number that is scaled alone.
    offset : int
        What is subtracted before a number becomes float64, which does not tell large whole numbers apart; `edges` and
        `median` are less it, too.
    form : Form
        How numbers are written as texts.
    texts : bool
        Whether there were texts in the rows for training: then a text that is no number counts as missing.
    """

    name: str
    edges: np.ndarray
    knots: np.ndarray
    median: float
    missing: bool
    width: int
    offset: int = 0
    form: Form = POINT
    texts: bool = False

    kind: ClassVar[str] = "number"

    @property
    def bins(self) -> int:
        """Number of bins of the embedding, 0 for a number that is scaled alone."""
        return len(self.edges) - 1 if self.width else 0

    def features(self) -> list[Feature]:
        """Return the inputs of the network."""
        inputs = [Feature("plain")] if self.missing else []
        if self.width:
            inputs.insert(0, Feature("bins", self.bins, self.width, tuple(self.knots.tolist())))
        elif len(self.edges) > 1:
            inputs.insert(0, Feature("plain"))
        return inputs

    def encode(self, raw: Raw) -> list[np.ndarray]:
        """Return a column of the prepared samples for each input."""
        values = raw.as_numbers(self.form, self.offset, texts_may_miss=self.texts)
        missing = np.isnan(values)
        encoded = [missing.astype(np.float64)] if self.missing else []
        if len(self.edges) > 1:
            scale = np.arange(len(self.edges)) if self.width else self.knots
            encoded.insert(0, _interpolated(np.where(missing, self.median, values), self.edges, scale))
        return encoded


DAY = 86_400.0  # seconds


def _weekday(seconds: np.ndarray) -> np.ndarray:
    """Return the days of the week, 0 for Monday; 1970 began on a Thursday."""
    return np.asarray((seconds // DAY + 3) % 7)


def _day_of_year(seconds: np.ndarray) -> np.ndarray:
    """Return the days of the year, from 0."""
    days = np.where(np.isnan(seconds), 0, seconds // DAY).astype("datetime64[D]")
    return np.where(np.isnan(seconds), np.nan, (days - days.astype("datetime64[Y]")).astype(np.float64))


# What a date tells: its time, and its place in cycles. By name the length of a cycle, in seconds, and the function from
# the seconds since 1970 to a number. A cycle is used if the rows for training cover it more than once.
PARTS: Mapping[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "time": (0.0, lambda seconds: seconds),
    "time of day": (DAY, lambda seconds: np.asarray(seconds % DAY)),
    "day of week": (7 * DAY, _weekday),
    "day of year": (365.25 * DAY, _day_of_year),
}


@dataclass(frozen=True, eq=False)
class DateColumn:
    """A column of dates.

    Attributes
    ----------
    name : str
        The name of the column.
    dates : {"naive", "aware"}
        Whether the dates have time zones; those that have are read in UTC.
    parts : tuple of NumberColumn
        What is learnt from the dates, by the names of `PARTS`: "time", which are the seconds since 1970, and cycles.
    texts : bool
        Whether there were texts in the rows for training: then a text that is no date counts as missing.
    """

    name: str
    dates: str
    parts: tuple[NumberColumn, ...]
    texts: bool = False

    kind: ClassVar[str] = "date"

    def features(self) -> list[Feature]:
        """Return the inputs of the network."""
        return list(itertools.chain(*(part.features() for part in self.parts)))

    def encode(self, raw: Raw) -> list[np.ndarray]:
        """Return a column of the prepared samples for each input."""
        seconds = raw.as_dates(self.dates, texts_may_miss=self.texts)
        encoded = [part.encode(Raw(part.name, PARTS[part.name][1](seconds))) for part in self.parts]
        return list(itertools.chain(*encoded))


@dataclass(frozen=True)
class CategoryColumn:
    """A column of categories.

    Attributes
    ----------
    name : str
        The name of the column.
    values : tuple of str
        The known categories. Of many those in few rows are unknown; weights of rows do not matter.
    missing : bool
        Whether missing values are a category, too.
    width : int
        Numbers that a category is embedded in; 0 if each has an input of its own.
    """

    name: str
    values: tuple[str, ...]
    missing: bool
    width: int

    kind: ClassVar[str] = "category"

    @property
    def known(self) -> int:
        """Number of known categories, the missing one included: the code of all others."""
        return len(self.values) + self.missing

    def features(self) -> list[Feature]:
        """Return the inputs of the network: of two categories one is +1, the other -1."""
        if self.width:
            return [Feature("categories", self.known + 1, self.width)]
        return [Feature("plain")] * (1 if self.known == 2 else self.known)

    @functools.cached_property
    def _numbers(self) -> dict[str | None, int]:
        """The number of each category. Booleans may come as 0 and 1, too: beside numbers NumPy makes them so."""
        numbers: dict[str | None, int] = {value: number for number, value in enumerate(self.values)}
        if numbers.keys() <= BOOLEANS.keys():
            numbers |= {BOOLEANS[value]: number for value, number in numbers.items()}
        if self.missing:
            numbers[None] = len(self.values)
        return numbers

    def codes(self, raw: Raw) -> np.ndarray:
        """Return the number of each value's category."""
        return np.array([self._numbers.get(text, self.known) for text in raw.as_texts()], np.int64)

    def encode(self, raw: Raw) -> list[np.ndarray]:
        """Return a column of the prepared samples for each input; unknown categories are 0 in all of them."""
        codes = self.codes(raw)
        if self.width:
            return [codes.astype(np.float64)]
        if self.known == 2:
            return [np.array([-1.0, 1.0, 0.0])[codes]]
        return [(codes == number).astype(np.float64) for number in range(self.known)]


@dataclass(frozen=True)
class LeftOut:
    """A column from which nothing can be learnt.

    Attributes
    ----------
    name : str
        The name of the column.
    reason : str
        Why.
    """

    name: str
    reason: str

    kind: ClassVar[str] = "left out"

    def features(self) -> list[Feature]:
        """Return no inputs."""
        return []

    def encode(self, raw: Raw) -> list[np.ndarray]:
        """Return no columns."""
        return []


Column = NumberColumn | DateColumn | CategoryColumn | LeftOut


def learn(
    raw: Raw, decision: Decision, weights: np.ndarray, target: np.ndarray, recipe: Recipe, form: Form = POINT
) -> Column:  # fmt: skip
    """Return what is learnt about a column.

    Parameters
    ----------
    raw : Raw
        The rows for training.
    decision : Decision
        What the column is, see `kinds.decide`.
    weights : array
        Of the rows.
    target : array
        Labels or numbers, for the tree that finds bins.
    recipe : Recipe
    form : Form
        How numbers are written as texts.
    """
    if decision.kind == "left out":
        return LeftOut(raw.name, decision.reason)
    if decision.kind == "category":
        return _category(raw, recipe)
    if decision.kind != "number":
        return _date(raw, decision, weights, target, recipe)
    offset = offset_of(raw.values, form)
    values = raw.as_numbers(form, offset, texts_may_miss=decision.texts, quiet=True)
    column = _number(raw.name, values, weights, target, recipe)
    return column if isinstance(column, LeftOut) else replace(column, offset=offset, form=form, texts=decision.texts)


def _number(
    name: str, values: np.ndarray, weights: np.ndarray, target: np.ndarray, recipe: Recipe
) -> NumberColumn | LeftOut:  # fmt: skip
    present = ~np.isnan(values)
    missing = not present.all()
    values, weights, target = values[present], weights[present], target[present]
    different, places = np.unique(values, return_inverse=True)
    if len(different) == 1 and not missing:
        return LeftOut(name, "a single value")
    shares = np.bincount(places, weights) / weights.sum()
    embedded = recipe.bins > 0 and len(different) > 2
    edges = different
    most = recipe.bins if recipe.bins else PLAIN_KNOTS
    if len(different) > most:
        by_tree = recipe.bins and recipe.bins_by == "tree"
        edges = _tree_edges(values, weights, target, most) if by_tree else _edges(different, shares, most)
    median = float(different[_places(shares, 0.5)])
    is_plain = len(different) <= 2
    knots = np.array([-1.0, 1.0])[: len(different)] if is_plain else _knots(edges, different, shares, recipe.scaling)
    return NumberColumn(name, edges, knots, median, missing, recipe.embedding_size if embedded else 0)


def _date(raw: Raw, decision: Decision, weights: np.ndarray, target: np.ndarray, recipe: Recipe) -> Column:
    seconds = raw.as_dates(decision.kind, texts_may_miss=decision.texts, quiet=True)
    covered = np.nanmax(seconds) - np.nanmin(seconds)
    learnt = [
        _number(name, part(seconds), weights, target, recipe)
        for name, (length, part) in PARTS.items()
        if covered >= length
    ]
    if isinstance(learnt[0], LeftOut):
        return LeftOut(raw.name, learnt[0].reason)
    parts = [part for part in learnt if isinstance(part, NumberColumn) and (part.name == "time" or len(part.edges) > 1)]
    cycles = [replace(part, missing=False) for part in parts[1:]]  # the time has an input for missing dates
    return DateColumn(raw.name, decision.kind, (parts[0], *cycles), decision.texts)


def _quantiles(different: np.ndarray, shares: np.ndarray, parts: int) -> np.ndarray:
    """Return the values that divide rows into parts of about the same weight, each value once."""
    edges: np.ndarray = np.unique(different[_places(shares, np.linspace(0, 1, parts + 1))])
    return edges


def _places(shares: np.ndarray, levels: np.ndarray | float) -> np.ndarray:
    """Return the first places up to which shares sum up to the levels, but for rounding."""
    places: np.ndarray = np.searchsorted(np.cumsum(shares), np.asarray(levels) - 1e-9)
    return np.minimum(places, len(shares) - 1)


def _interpolated(values: np.ndarray, edges: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return what `np.interp` does, without its slopes, which overflow between edges that are very close."""
    if max(-edges[0], edges[-1]) > HUGE:
        values, edges = values / 4, edges / 4
    values = np.clip(values, edges[0], edges[-1])
    places = np.minimum(np.searchsorted(edges, values, "right"), len(edges) - 1)
    left, right = edges[places - 1], edges[places]
    low, high = heights[places - 1], heights[places]
    interpolated: np.ndarray = low + (values - left) / (right - left) * (high - low)
    return interpolated


def _edges(different: np.ndarray, shares: np.ndarray, most: int) -> np.ndarray:
    """Return the edges of at most `most` bins with about the same number of rows.

    Where bins are left since many rows have one value, such as the zeros of counts, the values beside it are edges:
    then the step from it to any other value is a bin of its own.
    """
    edges = _quantiles(different, shares, most).tolist()
    frequent = [place for place in np.argsort(-shares, kind="stable")[:most] if shares[place] * most > 1]
    beside = [place + step for place in frequent for step in (1, -1) if 0 <= place + step < len(different)]
    others = [value for value in dict.fromkeys(different[beside].tolist()) if value not in edges]
    return np.array(sorted(edges + others[: most + 1 - len(edges)]))


def _tree_edges(values: np.ndarray, weights: np.ndarray, target: np.ndarray, most: int) -> np.ndarray:
    """Return the smallest and the largest value, and the thresholds of a tree for the target between them."""
    kind = DecisionTreeClassifier if target.dtype.kind == "i" else DecisionTreeRegressor
    least = min(LEAST_LEAF_ROWS, max(len(values) // most, 1))
    tree = kind(max_leaf_nodes=most, min_samples_leaf=least, random_state=0)
    tree.fit(values[:, np.newaxis].astype(np.float32), target, sample_weight=weights)
    thresholds = tree.tree_.threshold[tree.tree_.feature >= 0]
    low, high = values.min(), values.max()
    edges: np.ndarray = np.unique([low, *thresholds[(thresholds > low) & (thresholds < high)], high])
    return edges


def _knots(edges: np.ndarray, different: np.ndarray, shares: np.ndarray, scaling: str) -> np.ndarray:
    """Return edges on the scale that the network sees."""
    if scaling == "quantile":
        below = np.cumsum(shares) - shares / 2
        knots: np.ndarray = np.clip(ndtri(np.interp(edges, different, below)), -MOST_DEVIATIONS, MOST_DEVIATIONS)
        return knots
    low, middle, high = np.interp([0.25, 0.5, 0.75], np.cumsum(shares) - shares / 2, different)
    distance = (high - low) / QUARTILES_APART
    if distance <= 0:  # most rows have one value
        distance = (different[-1] - different[0]) / 2 or 1.0
    scaled: np.ndarray = (edges - middle) / distance
    limited: np.ndarray = scaled / np.sqrt(1 + (scaled / MOST_DEVIATIONS) ** 2)
    return limited


def _category(raw: Raw, recipe: Recipe) -> Column:
    texts = raw.as_texts()
    counts = collections.Counter(text for text in texts if text is not None)
    missing = counts.total() < len(texts)
    if len(counts) + missing <= recipe.one_hot:
        return CategoryColumn(raw.name, tuple(sorted(counts)), missing, 0)
    rare = int(np.clip(len(texts) * RARE_SHARE, *RARE_ROWS))
    values = tuple(sorted(value for value, count in counts.items() if count >= rare))
    if not values and not missing:
        return LeftOut(raw.name, f"{len(counts):,} categories, each in fewer than {rare} rows")
    return CategoryColumn(raw.name, values, missing, min(recipe.category_size, len(values)))
