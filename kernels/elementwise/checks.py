"""Checks of arguments, each in one pass over an array and without temporary arrays.

The API calls them through backend.py, and gradients and losses call `finite` on the samples that they read. They only
tell whether something is wrong: the API finds out what it is with NumPy, where speed no longer matters.
See Experiments: compiled-checks.
"""

from typing import Annotated, Any

import numba
import numpy as np

from ..compiler.decorators import entry, inner
from ..compiler.signature import Vector
from ..tuning import ELEMENTS_PER_CHECK

ContiguousRows = Annotated[np.ndarray, "real", 2, "C", "read"]


@entry
def _all_finite(values: Vector) -> bool:
    return finite(values)


@inner
def _finite(values):
    largest, wrong = np.finfo(values.dtype).max, False
    for i in range(values.shape[0]):
        wrong |= not (abs(values[i]) <= largest)  # no early exit, which would prevent vector code
    return not wrong


@entry
def _are_distributions(rows: ContiguousRows, tolerance: float) -> bool:
    right = True
    for i in range(rows.shape[0]):
        total = 0.0
        for k in range(rows.shape[1]):
            right &= 0 <= rows[i, k] <= 1
            total += rows[i, k]
        right &= abs(total - 1) <= tolerance
    return right


# A dot product with itself would be fast, but BLAS may use threads for it. See Experiments: no-blas-in-checks.
def _plain_all_finite(values: np.ndarray) -> bool:
    """Whether all elements are finite.

    values  (N,)  read; contiguous
    """
    steps = range(0, values.size, ELEMENTS_PER_CHECK)
    return all(np.isfinite(values[i : i + ELEMENTS_PER_CHECK]).all() for i in steps)


def _plain_are_distributions(rows: np.ndarray, tolerance: float) -> bool:
    """Whether each row consists of numbers from 0 to 1 whose sum is 1 within a tolerance.

    rows       (N, K)  read; contiguous
    tolerance  float   of the sum, which is accumulated in float64
    """
    if not np.all((rows >= 0) & (rows <= 1)):
        return False
    return bool(np.all(np.abs(rows.sum(axis=1, dtype=np.float64) - 1) <= tolerance))


# Without the JIT, NumPy takes the place of loops over elements, which would be slow in plain Python.
all_finite: Any = _plain_all_finite if numba.config.DISABLE_JIT else _all_finite
are_distributions: Any = _plain_are_distributions if numba.config.DISABLE_JIT else _are_distributions
finite: Any = _plain_all_finite if numba.config.DISABLE_JIT else _finite
