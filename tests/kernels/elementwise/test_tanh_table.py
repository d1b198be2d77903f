"""tanh from a table: its coefficients, its error, special values, nothing beside what it replaces."""

import mpmath
import numpy as np
import pytest
from helpers import ulp_distance

from fastfnn import kernels
from fastfnn.kernels.elementwise.tanh_table import (
    DEGREE,
    HAS_TABLE,
    INTERVALS,
    LANES,
    MOST,
    PART_BITS,
    SHIFT,
    coefficients,
    intervals,
)

ULPS = 2  # that the file states
with_table = pytest.mark.skipif(not HAS_TABLE, reason="float32 on AVX-512 only, and compiled")


def tanh(x):
    out = np.full_like(x, np.nan)
    kernels.tanh_forward(out, x)
    return out


def test_intervals_follow_one_another_from_0_to_the_last_number():
    bounds = intervals()
    assert bounds.shape == (INTERVALS + 1,) and bounds[0] == 0 and np.all(np.diff(bounds) > 0)
    last = np.float32(MOST) + np.float32(SHIFT)  # what the table is asked for
    assert bounds[-1] > last - np.float32(SHIFT)
    assert (last.view(np.int32) >> PART_BITS) - (np.float32(SHIFT).view(np.int32) >> PART_BITS) == INTERVALS - 1
    assert np.float32(np.tanh(MOST)) == 1


def test_polynomials_are_near_tanh():
    rows, bounds = coefficients(), intervals()
    assert rows.shape == (INTERVALS, DEGREE + 2) and rows.dtype == np.float32
    with mpmath.workprec(100):
        for (center, *c), low, high in zip(rows.tolist(), bounds[:-1], bounds[1:], strict=True):
            assert low <= center <= high
            assert abs(c[0] - mpmath.tanh(center)) <= np.spacing(np.float32(c[0])) / 8  # half is usual
            for x in np.linspace(low, high, 101)[1:].tolist():
                want, got = mpmath.tanh(x), sum(factor * (mpmath.mpf(x) - center) ** n for n, factor in enumerate(c))
                place = 2.0 ** (np.floor(np.log2(x if low == 0 else float(want))) - 23)
                assert abs(got - want) < place, x
    assert rows[0, :3].tolist() == [0, 0, 1]


@with_table
def test_error_near_every_bound_and_in_between():
    rng = np.random.default_rng(0)
    bounds = intervals().astype(np.float32)
    near = (bounds[1:, np.newaxis].view(np.int32) + np.arange(-300, 301, dtype=np.int32)).view(np.float32)
    within = rng.uniform(bounds[:-1], bounds[1:], (20_000, INTERVALS)).astype(np.float32)
    x = np.concatenate([near.ravel(), within.ravel()])
    got, want = tanh(x[np.newaxis])[0], np.tanh(x.astype(np.float64)).astype(np.float32)
    assert ulp_distance(got, want).max() <= ULPS
    assert got.max() == 1
    assert tanh(-x[np.newaxis])[0].tobytes() == (-got).tobytes()


@with_table
def test_small_large_and_no_numbers():
    x = np.array([0.0, 2.0**-126, 1e-37, 2.0**-100, 1e-20, 1e-5, 10.0, 11.5, 50.0, 3e38, np.inf], np.float32)
    want = np.array([*x[:6], *np.ones(5)], np.float32)
    for sign in (1, -1):
        assert tanh(sign * x[np.newaxis]).tobytes() == (sign * want).tobytes()
    x = np.full((1, LANES), 0.5, np.float32)
    x[0, 3] = np.nan
    assert np.isnan(tanh(x)[0]).nonzero()[0].tolist() == [3]


@with_table
def test_a_number_gives_the_same_bits_wherever_it_stands():
    x = np.random.default_rng(1).uniform(-11, 11, (3, 3 * LANES)).astype(np.float32)
    want = np.array([[tanh(x[i : i + 1, j : j + 1])[0, 0] for j in range(x.shape[1])] for i in range(3)])
    for columns in range(x.shape[1] + 1):
        out = np.full((3, 4 * LANES), 12345, np.float32)
        kernels.tanh_forward(out[:, :columns], x[:, :columns])
        assert out[:, :columns].tobytes() == want[:, :columns].tobytes()
        assert np.all(out[:, columns:] == 12345)
