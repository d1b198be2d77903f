"""The drivers of products, called as compiled code calls them: shares, operands, starts, epilogues, deep batches."""

import numpy as np
import pytest
from buffers import MARK, Buffer, callable_from_python, double_and_keep, lists_of, times_other
from helpers import DTYPES, NOJIT, assert_close, assert_sums_close, normal
from product_cases import DEPTHS, EDGE_COLUMNS, EDGE_ROWS, HEIGHT, PARTS, SHAPES, WIDTH, Problem, Room

from fastfnn.kernels.compiler.memory import Rows
from fastfnn.kernels.products.multiply import accumulate_samples, multiply_samples, product
from fastfnn.kernels.products.operands import ALONG_ROWS, Factor, Size
from fastfnn.kernels.tuning import (
    DEEP_BATCH,
    DEEP_BATCH_SUM,
    FEW_ROWS,
    PREFETCH_LEAST_BYTES,
    PREFETCH_LEAST_DEPTH,
    ROWS_OF_FEW,
)

every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
either_side = pytest.mark.parametrize("transposed", [False, True])


def shapes():
    """Every edge of rows with every edge of columns; depths in turn."""
    for number, rows in enumerate(EDGE_ROWS):
        for turn, columns in enumerate(EDGE_COLUMNS):
            yield rows, columns, DEPTHS[(number + turn) % len(DEPTHS)]


@every_dtype
@either_side
def test_parts_give_the_bits_of_the_whole(transposed, dtype):
    for number, shape in enumerate(shapes()):
        problem = Problem(np.random.default_rng(number), shape, dtype, transposed and shape[2] > 0)
        want = problem.run(1)
        assert_sums_close(want, *problem.sums(), shape[2])
        for parts in PARTS[1:]:
            assert problem.run(parts).tobytes() == want.tobytes(), (shape, parts)
            assert problem.run(parts, reversed(range(parts))).tobytes() == want.tobytes(), (shape, parts)


@every_dtype
@pytest.mark.parametrize("depth", [0, 1, ROWS_OF_FEW, 3 * ROWS_OF_FEW - 1, 70])
@pytest.mark.parametrize("columns", [WIDTH + 1, 3 * WIDTH + 5, 4 * WIDTH])
def test_a_row_has_the_same_bits_in_products_of_any_number_of_rows(columns, depth, dtype):
    rows = HEIGHT + FEW_ROWS
    whole = Problem(np.random.default_rng(0), (rows, columns, depth), dtype)
    want = whole.run(1, bias=True)
    for count in range(1, FEW_ROWS + 2):
        few = Problem(np.random.default_rng(0), (rows, columns, depth), dtype)
        few.a, few.before, few.y = few.a[:count], few.before[:count], few.y[:count]
        for parts in PARTS:
            assert few.run(parts, bias=True).tobytes() == want[:count].tobytes(), (count, parts)


@every_dtype
@either_side
def test_each_part_writes_its_elements_and_no_others(transposed, dtype):
    for shape in ((1, 1, 5), *SHAPES, (3, 200, 4)):
        problem = Problem(np.random.default_rng(0), shape, dtype, transposed)
        for parts in (*PARTS, 40):  # 40: more than there are tiles
            written, noted = np.zeros(shape[:2], int), np.zeros(shape[:2], int)
            for part in range(parts):
                c, other = problem.run_with(double_and_keep, parts, [part], other="written")
                written += np.isfinite(c)
                noted += other != MARK
            assert np.all(written == 1) and np.all(noted == 1), (shape, parts)


@pytest.mark.jit
@every_dtype
def test_parts_have_about_the_same_number_of_elements(dtype):
    shape = (96, 200, 3)
    problem = Problem(np.random.default_rng(0), shape, dtype)
    for parts in (2, 3, 5):
        for part in range(parts):
            share = np.sum(np.isfinite(problem.run(parts, [part]))) / (shape[0] * shape[1])
            assert abs(share - 1 / parts) < 0.02


@every_dtype
@pytest.mark.parametrize("layout", ["F", "strided", "reversed"])
@either_side
def test_the_left_factor_may_lie_anywhere(transposed, layout, dtype):
    for shape in SHAPES:
        problem = Problem(np.random.default_rng(1), shape, dtype, transposed, layout)
        contiguous = Problem(np.random.default_rng(1), shape, dtype, transposed)
        assert problem.run(2).tobytes() == contiguous.run(1).tobytes()


@every_dtype
@either_side
def test_products_from_a_start_and_into_the_result(transposed, dtype):
    for number, shape in enumerate([*SHAPES, (5, 33, 0 if not transposed else 1)]):
        problem = Problem(np.random.default_rng(number), shape, dtype, transposed)
        want, size = problem.sums()
        for parts in PARTS:
            got = problem.run(parts, bias=True)
            assert_sums_close(got, want + problem.bias, size + abs(problem.bias), shape[2])
        got = problem.accumulated(0.75, -0.125)
        assert_sums_close(got, 0.75 * problem.before - 0.125 * want, abs(problem.before) + size, shape[2])


@every_dtype
@either_side
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, without the compiler
def test_nan_and_infinity_stay_in_their_row_and_column(bad, transposed, dtype):
    for shape in SHAPES:
        problem = Problem(np.random.default_rng(0), shape, dtype, transposed)
        row, column = shape[0] // 2, shape[1] - 1  # the last column: its vector is masked as a rule
        problem.a[row, 0] = bad
        want = np.zeros(shape[:2], bool)
        want[row] = True
        np.testing.assert_array_equal(~np.isfinite(problem.run(2)), want)
        problem.b[-1, column] = bad
        want[:, column] = True
        np.testing.assert_array_equal(~np.isfinite(problem.run(2)), want)


def problems_with_epilogues(dtype):
    for number, shape in enumerate(SHAPES):
        yield Problem(np.random.default_rng(number), shape, dtype, transposed=number % 2 == 1)


@every_dtype
def test_an_epilogue_is_applied_once_to_each_element_and_writes_beside_it(dtype):
    for problem in problems_with_epilogues(dtype):
        sums = problem.run(1)
        for parts in PARTS:
            got, kept = problem.run_with(double_and_keep, parts, other="written")
            assert_close(got, 2 * sums.astype(float) + 1, 2 * np.finfo(dtype).eps * (2 * abs(sums) + 1))
            assert kept.tobytes() == sums.tobytes()
            alone, unwritten = problem.run_with(double_and_keep, parts)
            assert alone.tobytes() == got.tobytes() and np.all(unwritten == MARK)


@every_dtype
def test_an_epilogue_reads_its_other_operand(dtype):
    for problem in problems_with_epilogues(dtype):
        want = (problem.run(1) * problem.y).tobytes()
        for parts in PARTS:
            assert problem.run_with(times_other, parts, other="read")[0].tobytes() == want


def deep_cases():
    few = (DEEP_BATCH, DEEP_BATCH + 1, DEEP_BATCH + DEEP_BATCH_SUM + 3)
    return (0, 1, 100, *few) if not NOJIT else (0, 1, 20)


_samples = callable_from_python(multiply_samples, product)
_accumulated_samples = callable_from_python(accumulate_samples, product)


@every_dtype
@pytest.mark.parametrize("samples", deep_cases())
def test_sums_over_samples(samples, dtype):
    rng = np.random.default_rng(samples)
    x, g = normal(rng, (samples, 9), dtype), normal(rng, (samples, 37), dtype)
    before = normal(rng, (9, 37), dtype)
    columns, rows = lists_of(x)
    columns = np.append(columns, [0] * 8)
    factor, size, room = Factor(rows.ctypes.data, columns.ctypes.data, ALONG_ROWS), Size(9, 37, samples), Room(1024)
    exact, total = x.astype(float).T @ g.astype(float), abs(x).astype(float).T @ abs(g).astype(float)

    c = Buffer(np.full_like(before, np.nan))
    _samples(c.rows, factor, Rows(g.ctypes.data, g.strides[0]), size, room.address, dtype.type(1))
    assert_sums_close(c.take(), exact, total, samples)

    c = Buffer(before)
    shrink, alpha = dtype.type(0.75), dtype.type(-0.125)
    _accumulated_samples(c.rows, shrink, factor, Rows(g.ctypes.data, g.strides[0]), size, room.address, alpha)
    assert_sums_close(c.take(), 0.75 * before - 0.125 * exact, abs(before) + total, samples)
    room.check()


@pytest.mark.jit
@every_dtype
@pytest.mark.parametrize("layout", ["C", "F", "strided"])
def test_long_sums_over_large_operands_prefetch_and_give_the_same(layout, dtype):
    depth, rows = 3 * PREFETCH_LEAST_DEPTH, 31
    columns = PREFETCH_LEAST_BYTES // (depth * dtype.itemsize) + 60
    problem = Problem(np.random.default_rng(0), (rows, columns, depth), dtype, layout=layout)
    assert_sums_close(problem.run(2), *problem.sums(), depth)
