"""Every tile, called by its number: all shapes, sums of every length, starts, scaling, prefetches, masks."""

import itertools

import numpy as np
import pytest
from buffers import Buffer, callable_from_python, lists_of
from helpers import DTYPES, NOJIT, assert_sums_close, normal

from fastfnn.kernels.compiler.memory import NO_ROWS, Rows
from fastfnn.kernels.products.operands import ALONG_SUM, Factor, Scaling
from fastfnn.kernels.products.panels import tiles
from fastfnn.kernels.products.tile import PREFETCH_A, PREFETCH_B, PREFETCH_NOTHING, tile
from fastfnn.kernels.tuning import PREFETCH_DISTANCE

call = callable_from_python(tile)
DEPTHS = (0, 1, 2, 33) if not NOJIT else (0, 3)


def run(number, a, b, before, *, start=NO_ROWS, scaling=None, prefetch=PREFETCH_NOTHING):
    """The tile between marks."""
    dtype = b.dtype
    c = Buffer(np.full_like(before, np.nan) if scaling is None else before)
    rows, columns = lists_of(a)
    columns = np.append(columns, [0] * PREFETCH_DISTANCE)
    one = dtype.type(1)
    scaling = Scaling(0, one, one) if scaling is None else Scaling(1, *map(dtype.type, scaling))
    factor = Factor(rows.ctypes.data, columns.ctypes.data, ALONG_SUM)
    right = Rows(b.ctypes.data, b.strides[0])
    call(number, factor, right, c.rows, start, a.shape[1], b.shape[1], prefetch, scaling, one)
    return c.take()


def cases(dtype):
    """Each tile, with all widths that it may have."""
    for number, shape in enumerate(tiles(8 * dtype.itemsize)):
        for width in range(1, shape.panel.width + 1) if shape.masked else [shape.panel.width]:
            if not NOJIT or width in (1, shape.panel.width):
                yield number, shape.rows, width


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_tile_of_every_width(dtype):
    depths = itertools.cycle(DEPTHS)
    for number, rows, width in cases(dtype):
        depth, rng = next(depths), np.random.default_rng(number)
        a, b = normal(rng, (rows, depth), dtype), normal(rng, (depth, width), dtype)
        bias, before = normal(rng, (1, width), dtype), normal(rng, (rows, width), dtype)
        exact, size = a.astype(float) @ b.astype(float), abs(a).astype(float) @ abs(b).astype(float)

        assert_sums_close(run(number, a, b, before), exact, size, depth)
        got = run(number, a, b, before, start=Rows(bias.ctypes.data, 0))
        assert_sums_close(got, exact + bias, size + abs(bias), depth)
        got = run(number, a, b, before, start=Rows(before.ctypes.data, before.strides[0]))
        assert_sums_close(got, exact + before, size + abs(before), depth)
        got = run(number, a, b, before, scaling=(0.75, -0.125))
        assert_sums_close(got, 0.75 * before - 0.125 * exact, abs(before) + size, depth)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("prefetch", [PREFETCH_B, PREFETCH_A])
def test_prefetches_change_nothing(prefetch, dtype):
    for number, rows, width in cases(dtype):
        rng = np.random.default_rng(number)
        a, b = normal(rng, (rows, 21), dtype), normal(rng, (21, width), dtype)
        before = normal(rng, (rows, width), dtype)
        assert run(number, a, b, before, prefetch=prefetch).tobytes() == run(number, a, b, before).tobytes()


@pytest.mark.jit  # without it the rows of one tile are those of NumPy's products
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_element_has_the_same_bits_in_every_tile(dtype):
    rng = np.random.default_rng(0)
    widest = max(shape.panel.width for shape in tiles(8 * dtype.itemsize))
    most = max(shape.rows for shape in tiles(8 * dtype.itemsize))
    a, b = normal(rng, (most, 33), dtype), normal(rng, (33, widest), dtype)
    before = normal(rng, (most, widest), dtype)
    want = {}
    for number, rows, width in cases(dtype):
        for scaling in (None, (0.75, -0.125)):
            got = run(number, a[:rows], b[:, :width].copy(), before[:rows, :width].copy(), scaling=scaling)
            for i, j in np.ndindex(got.shape):
                assert want.setdefault((i, j, scaling), got[i, j]) == got[i, j]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, without the compiler
def test_nan_stays_in_its_row_and_column(dtype):
    for number, rows, width in cases(dtype):
        rng = np.random.default_rng(number)
        a, b = normal(rng, (rows, 5), dtype), normal(rng, (5, width), dtype)
        a[rows // 2, 3] = b[4, width // 2] = np.nan
        want = np.zeros((rows, width), bool)
        want[rows // 2], want[:, width // 2] = True, True
        np.testing.assert_array_equal(np.isnan(run(number, a, b, normal(rng, (rows, width), dtype))), want)
