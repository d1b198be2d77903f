"""The last columns of a product, if they are few: which they are, in both forms, with all that a product has."""

import numpy as np
import pytest
from buffers import double_and_keep, times_other
from helpers import DTYPES, NOJIT, assert_close, assert_sums_close, from_python
from product_cases import Problem, narrow_widths

from fastfnn.kernels.products import narrow
from fastfnn.kernels.products.narrow import LEAST_DEPTH, ROW_ELEMENTS
from fastfnn.kernels.products.operands import ALONG_ROWS, ALONG_SUM, NEITHER
from fastfnn.kernels.products.panels import NARROW_MOST, NARROWEST

ROWS = (1, 2, 4, 5, 7, 8, 9, ROW_ELEMENTS - 1, ROW_ELEMENTS, ROW_ELEMENTS + 1, 2 * ROW_ELEMENTS + 5)
if NOJIT:
    ROWS = (1, 5, 9)

narrow_columns = narrow.narrow_columns if NOJIT else from_python(narrow.narrow_columns)


def test_narrow_columns_are_a_few_more_than_whole_panels():
    for scale in (1, 2):
        narrowest, most = NARROWEST // scale, NARROW_MOST // scale
        for columns in range(3 * narrowest):
            rest = columns % narrowest
            want = rest if rest <= most else 0
            assert narrow_columns(columns, LEAST_DEPTH // scale, ALONG_SUM, scale) == want
            assert narrow_columns(columns, 0, ALONG_ROWS, scale) == want
            assert narrow_columns(columns, LEAST_DEPTH, NEITHER, scale) == 0
            assert narrow_columns(columns, LEAST_DEPTH // scale - 1, ALONG_SUM, scale) == 0  # too short a sum


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_narrow_columns(layout, transposed, dtype):
    for number, columns in enumerate(narrow_widths(dtype)):
        for turn, rows in enumerate(ROWS):
            depth = LEAST_DEPTH + (0, 1, 5, 16, 19, 301)[(number + turn) % 6]
            problem = Problem(np.random.default_rng(number), (rows, columns, depth), dtype, transposed, layout)
            want, size = problem.sums()
            without, got = problem.run(1), problem.run(1, bias=True)
            assert_sums_close(without, want, size, depth)
            assert_sums_close(got, want + problem.bias, size + abs(problem.bias), depth)
            added = problem.accumulated(0.75, -0.125)
            assert_sums_close(added, 0.75 * problem.before - 0.125 * want, abs(problem.before) + size, depth)
            for parts in (2, 5):
                assert problem.run(parts).tobytes() == without.tobytes(), (rows, columns, depth, parts)
                assert problem.run(parts, bias=True).tobytes() == got.tobytes(), (rows, columns, depth, parts)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "F"])
def test_narrow_columns_have_an_epilogue_as_all_columns_have(layout, dtype):
    for columns in narrow_widths(dtype):
        problem = Problem(np.random.default_rng(columns), (11, columns, LEAST_DEPTH + 3), dtype, layout=layout)
        sums = problem.run(1)
        for parts in (1, 3):
            out, kept = problem.run_with(double_and_keep, parts, other="written")
            assert_close(out, 2 * sums.astype(float) + 1, 2 * np.finfo(dtype).eps * (2 * abs(sums) + 1))
            assert kept.tobytes() == sums.tobytes()
        assert problem.run_with(times_other, 2, other="read")[0].tobytes() == (sums * problem.y).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, without the compiler
def test_nan_stays_in_its_row_and_column(layout, dtype):
    for columns in narrow_widths(dtype):
        problem = Problem(np.random.default_rng(0), (11, columns, LEAST_DEPTH + 1), dtype, layout=layout)
        problem.a[3, 5] = problem.b[LEAST_DEPTH, columns - 1] = np.nan
        want = np.zeros((11, columns), bool)
        want[3], want[:, -1] = True, True
        np.testing.assert_array_equal(np.isnan(problem.run(2)), want)
