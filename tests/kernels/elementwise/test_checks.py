"""Checks of arguments: what is compiled for them finds what NumPy finds, wherever it is."""

import numpy as np
import pytest
from helpers import DTYPES

from fastfnn.kernels.elementwise import checks
from fastfnn.kernels.tuning import ELEMENTS_PER_CHECK

STAND_INS = checks._plain_all_finite, checks._plain_are_distributions
PAIRS = [(checks.all_finite, checks.are_distributions), STAND_INS]
LENGTHS = (0, 1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 65, 127, 129, 1000, ELEMENTS_PER_CHECK + 3)

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
each_form = pytest.mark.parametrize(("all_finite", "are_distributions"), PAIRS, ids=["compiled", "stand-in"])


@each_form
@each_dtype
def test_finite_numbers(dtype, all_finite, are_distributions):
    limits = np.finfo(dtype)
    for length in LENGTHS:
        values = np.random.default_rng(length).standard_normal(length).astype(dtype)
        extremes = [limits.max, -limits.max, limits.tiny, limits.smallest_subnormal, 0.0, -0.0]
        values[: len(extremes)] = extremes[:length]
        assert all_finite(values)


@each_form
@each_dtype
def test_one_that_is_not_finite_is_found_anywhere(dtype, all_finite, are_distributions):
    for length in LENGTHS[1:]:
        places = range(length) if length < 200 else (0, 1, length // 2, length - 2, length - 1)
        for place in places:
            for wrong in (np.nan, -np.nan, np.inf, -np.inf):
                values = np.ones(length, dtype)
                values[place] = wrong
                assert not all_finite(values), (length, place, wrong)


@each_form
@each_dtype
@pytest.mark.parametrize("outputs", [1, 2, 3, 10, 17])
def test_distributions(dtype, outputs, all_finite, are_distributions):
    rows = np.random.default_rng(outputs).dirichlet(np.ones(outputs), 50).astype(dtype)
    rows[0] = np.eye(outputs)[-1]
    rows[1] = -0.0
    rows[1, 0] = 1
    assert are_distributions(rows, 1e-3)
    assert are_distributions(rows[:0], 1e-3)


@each_form
@each_dtype
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -0.0009765625, 1.0009765625, 0.5, 2.0])
def test_one_wrong_probability_is_found_anywhere(dtype, wrong, all_finite, are_distributions):
    for outputs in (1, 2, 3, 10, 17):
        for row in (0, 1, 6):
            for column in range(outputs):
                rows = np.eye(outputs, dtype=dtype)[np.arange(7) % outputs]
                if outputs > 1 and not 0 <= wrong <= 1:  # the sum stays 1
                    rows[row, (column + 1) % outputs] = 1 - wrong
                rows[row, column] = wrong
                if not (outputs > 1 and wrong == 0.5 and rows[row].sum() == 1):
                    assert not are_distributions(rows, 1e-3), (outputs, row, column)


@each_form
@each_dtype
def test_the_tolerance_is_of_the_sum(dtype, all_finite, are_distributions):
    rows = np.array([[0.25, 0.75 - 2**-9]], dtype)
    assert are_distributions(rows, 2**-9)
    assert not are_distributions(rows, 2**-10)


@each_form
@each_dtype
def test_no_outputs_sum_to_nothing(dtype, all_finite, are_distributions):
    assert not are_distributions(np.empty((2, 0), dtype), 1e-3)
