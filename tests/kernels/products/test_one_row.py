"""The passes over W with one sample against NumPy, on arrays between marks that must stay."""

import numpy as np
import pytest
from buffers import MARK, Buffer, callable_from_python, double_and_keep
from helpers import DTYPES, NOJIT, SUM_SLACK, TOLERANCES, assert_close, normal

from fastfnn.kernels.compiler.decorators import address_of
from fastfnn.kernels.compiler.memory import NO_ROWS, Rows
from fastfnn.kernels.elementwise.activations.contract import CHUNK
from fastfnn.kernels.products.one_row import row_products, update_and_multiply
from fastfnn.kernels.products.operands import NO_EPILOGUE, Epilogue, Samples, Weights
from fastfnn.kernels.tuning import ROWS_PER_DOT
from fastfnn.kernels.workers.crew import Share

# Every remainder of a vector and of a chunk of columns; then several panels, and the last of them short.
COLUMNS = (*range(1, 71), 127, 128, 129, 200, 257, 520) if not NOJIT else (1, 2, 7, 8, 9, 16, 17, 33, 65, 129)
ROWS = (1, 2, 7, 8, 9, 16, 17, 50)
PARTS = (1, 2, 3, 4, 5)

update = callable_from_python(update_and_multiply, update_and_multiply)
dots = callable_from_python(row_products, row_products)


def arrays(rng, rows, columns, dtype):
    """out, weight, bias, old, new, change"""
    shapes = columns, (rows, columns), columns, rows, rows, columns
    values = [normal(rng, shape, dtype) for shape in shapes]
    values[0][:] = np.nan
    return values


def run_update(values, shrink, parts, shares=None, function=None, slopes=False):
    """out, weight and bias after these shares; and slopes, MARK where none is written.

    W's rows must be contiguous, one behind the other, so that a frame for W is one row.
    """
    rows, columns = values[1].shape
    padding = -columns % CHUNK  # what an epilogue may change
    framed = [Buffer(value.reshape(1, -1), padding if number == 0 else 0) for number, value in enumerate(values)]
    slope = Buffer(np.full((1, columns), MARK, values[0].dtype), padding)
    out, weight, bias, old, new, change = (each.address for each in framed)
    epilogue = NO_EPILOGUE
    if function is not None:
        epilogue = Epilogue(address_of(function, values[0].dtype), Rows(slope.address, 0) if slopes else NO_ROWS)
    for part in range(parts) if shares is None else shares:
        weights, samples = Weights(weight, bias, rows, columns), Samples(old, change, new)
        update(out, weights, samples, epilogue, Share(parts, part), shrink)
    taken = [each.take()[0] for each in (*framed, slope)]
    for number in (3, 4, 5):
        assert taken[number].tobytes() == values[number].tobytes(), "an input was written to"
    return [taken[0], taken[1].reshape(rows, columns), taken[2], taken[6]]


def assert_update(values, shrink, got):
    dtype = values[0].dtype
    _, weight, bias, old, new, change = (value.astype(np.float64) for value in values)
    eps = TOLERANCES[dtype].eps
    want = float(shrink) * weight + np.outer(old, change)
    size = abs(float(shrink) * weight) + np.outer(abs(old), abs(change))
    want_bias = bias + change
    assert_close(got[1], want, 4 * eps * size)
    assert_close(got[2], want_bias, 2 * eps * np.abs(want_bias))
    bound = (len(weight) + SUM_SLACK) * eps * (abs(new) @ size + abs(bias) + abs(change))
    assert_close(got[0], new @ want + want_bias, bound)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", COLUMNS)
def test_update_and_multiply_of_every_width(columns, dtype):
    rng = np.random.default_rng(columns)
    for rows in ROWS[columns % 2 :: 2]:
        values = arrays(rng, rows, columns, dtype)
        for shrink in (dtype.type(1), dtype.type(0.75)):
            want = run_update(values, shrink, 1)
            assert_update(values, shrink, want)
            for parts in PARTS[1:]:
                got = run_update(values, shrink, parts)
                assert [array.tobytes() for array in got] == [array.tobytes() for array in want]


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(784, 50), (300, 10), (65, 1031), (1, 3000)])
def test_update_and_multiply_of_large_matrices(rows, columns, dtype):
    values = arrays(np.random.default_rng(0), rows, columns, dtype)
    want = run_update(values, dtype.type(0.75), 1)
    assert_update(values, dtype.type(0.75), want)
    for parts in PARTS[1:]:
        got = run_update(values, dtype.type(0.75), parts)
        assert [array.tobytes() for array in got] == [array.tobytes() for array in want]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_update_and_multiply_applies_an_epilogue_and_lets_it_write_slopes(dtype):
    for columns in (1, 15, 16, 17, 50, 129):
        values = arrays(np.random.default_rng(columns), 9, columns, dtype)
        one = dtype.type(1)
        sums, *changed, _ = run_update(values, one, 1)
        want = 2 * sums.astype(np.float64) + 1
        for parts in (1, 3):
            out, weight, bias, slopes = run_update(values, one, parts, function=double_and_keep, slopes=True)
            assert [weight.tobytes(), bias.tobytes()] == [array.tobytes() for array in changed]
            assert_close(out, want, 2 * TOLERANCES[dtype].eps * (2 * abs(sums) + 1))
            assert slopes.tobytes() == sums.tobytes()
            alone, *_, unwritten = run_update(values, one, parts, function=double_and_keep)
            assert alone.tobytes() == out.tobytes() and np.all(unwritten == MARK)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [1, 17, 70, 200, 257])
def test_the_parts_of_an_update_share_the_columns(columns, dtype):
    values = arrays(np.random.default_rng(0), 9, columns, dtype)
    untouched = values[1].copy()
    for parts in PARTS:
        changed = np.zeros(columns, int)
        for part in range(parts):
            out, weight, bias, slopes = run_update(
                values, dtype.type(0.75), parts, [part], double_and_keep, slopes=True
            )
            columns_changed = np.any(weight != untouched, axis=0)
            np.testing.assert_array_equal(columns_changed, np.all(weight != untouched, axis=0))
            np.testing.assert_array_equal(columns_changed, bias != values[2])
            np.testing.assert_array_equal(columns_changed, np.isfinite(out))
            np.testing.assert_array_equal(columns_changed, slopes != MARK)
            changed += columns_changed
        assert np.all(changed == 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_change_of_minus_zero_changes_nothing(dtype):
    # what the first step is given as the change of a step before
    for columns in (1, 8, 17, 70, 129):
        values = arrays(np.random.default_rng(columns), 9, columns, dtype)
        values[1][::2], values[2][::2] = -0.0, -0.0
        values[3][:], values[5][:] = 0, -0.0
        _, weight, bias, _ = run_update(values, dtype.type(1), 2)
        assert weight.tobytes() == values[1].tobytes()
        assert bias.tobytes() == values[2].tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_column(bad, dtype):
    for columns in (1, 9, 17, 70):
        for column in {0, columns // 2, columns - 1}:
            values = arrays(np.random.default_rng(columns), 9, columns, dtype)
            values[1][4, column] = bad
            out, weight, _, _ = run_update(values, dtype.type(1), 1)
            assert np.array_equal(np.flatnonzero(~np.isfinite(out)), [column])
            assert np.array_equal(np.argwhere(~np.isfinite(weight)), [[4, column]])


def run_dots(weight, x, start, stop):
    """A share of the rows; W with rows of its own length, one behind the other."""
    rows, columns = weight.shape
    out, held_x = Buffer(np.full((1, rows), MARK, weight.dtype)), Buffer(x)
    held = Buffer(weight.reshape(1, -1))
    stride, item = columns * weight.itemsize, weight.itemsize
    share = Rows(held.address + start * stride, stride)
    dots(out.address + start * item, share, held_x.address, stop - start, columns, weight.dtype.type(1))
    assert held.take().tobytes() == weight.tobytes() and held_x.take().tobytes() == x.tobytes()
    return out.take()[0]


def assert_dots(weight, x, start, stop):
    """Returns the products, too."""
    got = run_dots(weight, x, start, stop)
    assert np.all(got[:start] == MARK) and np.all(got[stop:] == MARK), "a row of another share was written"
    wide, factor = weight.astype(np.float64), x.astype(np.float64)
    bound = (len(x) + SUM_SLACK) * TOLERANCES[weight.dtype].eps * (abs(wide) @ abs(factor))
    assert_close(got[start:stop], (wide @ factor)[start:stop], bound[start:stop])
    return got[start:stop]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", COLUMNS)
def test_row_products_of_every_width(columns, dtype):
    rng = np.random.default_rng(columns)
    for rows in (1, ROWS_PER_DOT - 1, ROWS_PER_DOT, ROWS_PER_DOT + 1, 2 * ROWS_PER_DOT + 3):
        weight, x = normal(rng, (rows, columns), dtype), normal(rng, columns, dtype)
        want = assert_dots(weight, x, 0, rows)
        for cut in (1, rows // 2, rows - 1):  # a row's product does not depend on the rows beside it
            parts = [assert_dots(weight, x, 0, cut), assert_dots(weight, x, cut, rows)]
            assert NOJIT or np.concatenate(parts).tobytes() == want.tobytes()  # NumPy does not keep to it


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(784, 50), (50, 784), (300, 10), (9, 4099)])
def test_row_products_of_large_matrices(rows, columns, dtype):
    rng = np.random.default_rng(1)
    assert_dots(normal(rng, (rows, columns), dtype), normal(rng, columns, dtype), 0, rows)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_row(bad, dtype):
    rng = np.random.default_rng(2)
    for columns in (1, 9, 17, 70):
        for row in (0, 8, 10):
            weight, x = normal(rng, (11, columns), dtype), normal(rng, columns, dtype)
            weight[row, columns - 1] = bad
            assert np.array_equal(np.flatnonzero(~np.isfinite(run_dots(weight, x, 0, 11))), [row])
