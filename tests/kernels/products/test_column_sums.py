"""Sums over rows, called as compiled code calls them: every width, nothing beside it, the same bits in any share."""

import numpy as np
import pytest
from buffers import Buffer, callable_from_python
from helpers import DTYPES, NOJIT, assert_sums_close, from_python, normal

from fastfnn.kernels.compiler.memory import Rows
from fastfnn.kernels.products.column_sums import PANEL_WIDTH, PHASES, column_sums
from fastfnn.kernels.workers import crew

share = from_python(crew.share) if not NOJIT else crew.share
call = callable_from_python(column_sums)

WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, PANEL_WIDTH - 1, PANEL_WIDTH, PANEL_WIDTH + 1, 3 * PANEL_WIDTH + 5)
if NOJIT:
    WIDTHS = (1, 9, 40)
HEIGHTS = (0, 1, PHASES - 1, PHASES, PHASES + 1, 3 * PHASES + 2, 100)


def sums(x, before, add, parts=1):
    """What lies in `before`, replaced by the sums or with them added."""
    out = Buffer(before)
    for part in range(parts):
        start, stop = share(before.size, parts, part)
        offset = start * before.itemsize
        rows = Rows(x.ctypes.data + offset, x.strides[0])
        call(out.address + offset, rows, len(x), stop - start, add, before.dtype.type(1))
    return out.take()[0]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("add", [0, 1])
def test_sums_of_columns(add, dtype):
    rng = np.random.default_rng(3)
    for width in WIDTHS:
        for height in HEIGHTS:
            x = np.full((height, width + 3), np.nan, dtype)[:, :width]  # what lies between rows is not read
            x[...] = normal(rng, x.shape, dtype)
            before = normal(rng, width, dtype) if add else np.full(width, np.nan, dtype)
            got = sums(x, before, add)
            exact, size = x.astype(np.float64).sum(axis=0), abs(x).astype(np.float64).sum(axis=0)
            if add:
                exact, size = exact + before, size + abs(before)
            assert_sums_close(got, exact, size, height)
            for parts in (2, 3):
                assert sums(x, before, add, parts).tobytes() == got.tobytes(), (height, width, parts)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_column(bad, dtype):
    for row in range(2 * PHASES + 1):
        x = np.ones((2 * PHASES + 1, 20), dtype)
        x[row, 11] = bad
        got = sums(x, np.zeros(20, dtype), 0)
        np.testing.assert_array_equal(np.isfinite(got), np.arange(20) != 11)
