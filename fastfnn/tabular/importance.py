"""Importances of columns by permutation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from fastfnn.tabular.encoding import Encoding


@dataclass(frozen=True, eq=False, repr=False)
class Importances:
    """How much the score of an estimator falls where a column is permuted.

    Parameters
    ----------
    names : tuple of str
        The columns.
    mean, std : array
        Mean and standard deviation of the fall over the repetitions; 0 for a column that is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from fastfnn.tabular import Importances
    >>> importances = Importances(("age", "height"), np.array([0.1, 0.5]), np.array([0.0, 0.1]))
    >>> importances.ranked()
    [('height', 0.5), ('age', 0.1)]
    >>> importances
    height  0.5 +- 0.1
    age     0.1 +- 0
    """

    names: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray

    def __repr__(self) -> str:
        longest = max(map(len, self.names), default=0)
        lines = [
            f"{self.names[number]:{longest}}  {self.mean[number]:.3g} +- {self.std[number]:.3g}"
            for number in self._order()
        ]
        return "\n".join(lines)

    def _order(self) -> np.ndarray:
        """Return the numbers of the columns, that of the most important one first."""
        order: np.ndarray = np.argsort(-self.mean, kind="stable")
        return order

    def ranked(self) -> list[tuple[str, float]]:
        """Return names and means, the most important column first.

        Returns
        -------
        list of (str, float)
            A pair for each column.
        """
        return [(self.names[number], float(self.mean[number])) for number in self._order()]


def measured(
    estimator: Any, prepared: np.ndarray, y: Any, encoding: Encoding, repeats: int, scoring: Any,
    random: np.random.RandomState,
) -> Importances:  # fmt: skip
    """Return the importances of all columns; `estimator` predicts from prepared samples."""
    scorer = check_scoring(estimator, scoring)
    score = scorer(estimator, prepared, y)
    falls = np.zeros((len(encoding.columns), repeats))
    for number, place in enumerate(encoding.places()):
        if place.start == place.stop:
            continue
        for repeat in range(repeats):
            permuted = prepared.copy()
            permuted[:, place] = prepared[random.permutation(len(prepared)), place]
            falls[number, repeat] = score - scorer(estimator, permuted, y)
    return Importances(tuple(column.name for column in encoding.columns), falls.mean(axis=1), falls.std(axis=1))
