"""Encoding: from the columns of a table to the prepared samples of the network."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastfnn.tabular.columns import CategoryColumn, Column, learn
from fastfnn.tabular.kinds import Decision, Form
from fastfnn.tabular.network import Feature, TabularNetwork
from fastfnn.tabular.reading import Raw
from fastfnn.tabular.recipe import Recipe


class Encoding:
    """Turns columns into the matrix that a `TabularNetwork` reads.

    Parameters
    ----------
    columns : sequence of Column
        What was learnt, in the order of the table.

    Attributes
    ----------
    columns : tuple of Column
        The parameter.
    features : tuple of Feature
        The inputs of the network. A table without any column to learn from has one input that is 0.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns: tuple[Column, ...] = tuple(columns)
        self._inputs = [column.features() for column in self.columns]
        self.features: tuple[Feature, ...] = tuple(itertools.chain(*self._inputs)) or (Feature("plain"),)

    @classmethod
    def fit(
        cls, raws: Sequence[Raw], decisions: Sequence[Decision], weights: np.ndarray, target: np.ndarray,
        recipe: Recipe, form: Form,
    ) -> Encoding:  # fmt: skip
        """Learn from the rows for training, see `columns.learn`."""
        return cls(
            [learn(raw, decision, weights, target, recipe, form) for raw, decision in zip(raws, decisions, strict=True)]
        )

    def transform(self, raws: Sequence[Raw], dtype: np.dtype[Any]) -> np.ndarray:
        """Return the prepared samples (N, features)."""
        x = np.zeros((len(raws[0].values), len(self.features)), dtype)
        number = 0
        for column, raw in zip(self.columns, raws, strict=True):
            for values in column.encode(raw):
                x[:, number] = values
                number += 1
        return x

    def places(self) -> list[slice]:
        """Return where the inputs of each column stand in the prepared samples."""
        ends = np.cumsum([0, *map(len, self._inputs)]).tolist()
        return [slice(first, last) for first, last in itertools.pairwise(ends)]

    def begin_unknown(self, network: TabularNetwork) -> None:
        """Set the embeddings of unknown categories to 0: rare categories train them."""
        for table, _ in self._tables(network):
            table[-1] = 0

    def settle_unknown(self, network: TabularNetwork, x: np.ndarray) -> None:
        """Set the embeddings of unknown categories that no row has trained to the mean of those of the rows `x`."""
        for table, number in self._tables(network):
            counts = np.bincount(x[:, number].astype(np.int64), minlength=len(table))
            if not counts[-1]:
                table[-1] = counts[:-1] @ table[:-1] / counts.sum()

    def _tables(self, network: TabularNetwork) -> list[tuple[np.ndarray, int]]:
        """Return the embedding of each column of many categories, and the number of its input."""
        return [
            (network.arrays[f"embedding{place.start}"], place.start)
            for column, place in zip(self.columns, self.places(), strict=True)
            if isinstance(column, CategoryColumn) and column.width
        ]
