"""The products with one sample against NumPy, on arrays between marks that must stay."""

import numba
import numpy as np
import pytest
from activation_codes import ELEMENTWISE, code_of, twin_of
from helpers import DTYPES, NOJIT, SUM_SLACK, TOLERANCES, assert_close, normal

from fastfnn import reference
from fastfnn.kernels import ACTIVATIONS
from fastfnn.kernels.compiler import jit
from fastfnn.kernels.elementwise.activations import CHUNK
from fastfnn.kernels.products.matvec import DOT_ROWS, row_products, update_and_multiply

MARK = 12345.0
MARGIN = 64  # elements on either side: wider than any vector
IDENTITY = ACTIVATIONS.index("identity")

# Every remainder of a vector and of a piece of columns; then several panels, and the last of them short.
COLUMNS = (*range(1, 71), 127, 128, 129, 200, 257, 520) if not NOJIT else (1, 2, 7, 8, 9, 16, 17, 33, 65, 129)
ROWS = (1, 2, 7, 8, 9, 16, 17, 50)
PARTS = (1, 2, 3, 4, 5)


def call_compiled(function, count):
    """`function`, of `count` integers and a scalar, for callers in Python."""
    if NOJIT:
        return function
    arguments = ", ".join(f"a{number}" for number in range(count))
    space = {"function": function}
    exec(f"def driver({arguments}, one):\n    function({arguments}, one)", space)
    compiled = numba.njit(space["driver"])

    def call(*values):
        jit._link([function], np.dtype(type(values[-1])))
        compiled(*values)

    return call


update = call_compiled(update_and_multiply, 12)
dots = call_compiled(row_products, 7)


class Marked:
    """A copy of an array between marks; `room` more elements behind it may be written to."""

    def __init__(self, values, room=0):
        self.memory = np.full(values.size + room + 2 * MARGIN, MARK, values.dtype)
        self.array = self.memory[MARGIN : MARGIN + values.size].reshape(values.shape)
        self.array[...] = values
        self.outside = np.r_[0:MARGIN, MARGIN + values.size + room : self.memory.size]

    @property
    def address(self):
        return self.array.ctypes.data

    def assert_marks(self):
        assert np.all(self.memory[self.outside] == MARK), "written outside an array"


def padding(columns):
    """What activations may change behind a row in a buffer: the rest of its last piece."""
    return -columns % CHUNK


def arrays(rng, rows, columns, dtype):
    """out, weight, bias, old, new, change"""
    shapes = columns, (rows, columns), columns, rows, rows, columns
    values = [normal(rng, shape, dtype) for shape in shapes]
    values[0][:] = np.nan
    return values


def run_update(values, code, shrink, parts, shares=None, slopes=False):
    """out, weight and bias after these shares; and slopes, MARK where none is written."""
    rows, columns = values[1].shape
    room = padding(columns)
    marked = [Marked(value, room if number == 0 else 0) for number, value in enumerate(values)]
    slope = Marked(np.full(columns, MARK, values[0].dtype), room)
    out, weight, bias, old, new, change = (each.address for each in marked)
    slope_address = slope.address if slopes else 0
    for part in range(parts) if shares is None else shares:
        update(out, slope_address, code, weight, bias, old, new, change, rows, columns, parts, part, shrink)
    for each in (*marked, slope):
        each.assert_marks()
    assert slopes or np.all(slope.array == MARK)
    for number in (3, 4, 5):
        assert marked[number].array.tobytes() == values[number].tobytes(), "an input was written to"
    return [each.array for each in (*marked[:3], slope)]


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
            want = run_update(values, IDENTITY, shrink, 1)
            assert_update(values, shrink, want)
            for parts in PARTS[1:]:
                got = run_update(values, IDENTITY, shrink, parts)
                assert [array.tobytes() for array in got] == [array.tobytes() for array in want]


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(784, 50), (300, 10), (65, 1031), (1, 3000)])
def test_update_and_multiply_of_large_matrices(rows, columns, dtype):
    values = arrays(np.random.default_rng(0), rows, columns, dtype)
    want = run_update(values, IDENTITY, dtype.type(0.75), 1)
    assert_update(values, dtype.type(0.75), want)
    for parts in PARTS[1:]:
        got = run_update(values, IDENTITY, dtype.type(0.75), parts)
        assert [array.tobytes() for array in got] == [array.tobytes() for array in want]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_update_and_multiply_applies_the_activation_and_gives_its_slopes(name, dtype):
    code = code_of(name, dtype)
    for columns in (1, 15, 16, 17, 50, 129):
        values = arrays(np.random.default_rng(columns), 9, columns, dtype)
        one = dtype.type(1)
        sums, *changed, _ = run_update(values, IDENTITY, one, 1)
        sums = sums.astype(np.float64)[np.newaxis]
        want, want_slopes = np.empty_like(sums), np.empty_like(sums)
        reference.activation_forward(want, sums, twin_of(code, dtype))
        reference.activation_backward(want_slopes, np.ones_like(sums), sums, twin_of(code, dtype))
        # the sums are those of the kernel itself: what is left is the error of the function, 4 ulp
        bound = 8 * TOLERANCES[dtype].eps * np.maximum(1, abs(sums[0]))
        for parts in (1, 3):
            out, weight, bias, slopes = run_update(values, code, one, parts, slopes=True)
            assert [weight.tobytes(), bias.tobytes()] == [array.tobytes() for array in changed]
            assert_close(out, want[0], bound)
            assert_close(slopes, want_slopes[0], bound)
            assert run_update(values, code, one, parts)[0].tobytes() == out.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("columns", [1, 17, 70, 200, 257])
def test_the_parts_of_an_update_share_the_columns(columns, dtype):
    values = arrays(np.random.default_rng(0), 9, columns, dtype)
    untouched = values[1].copy()
    for parts in PARTS:
        changed = np.zeros(columns, int)
        for part in range(parts):
            out, weight, bias, slopes = run_update(values, IDENTITY, dtype.type(0.75), parts, [part], slopes=True)
            columns_changed = np.any(weight != untouched, axis=0)
            np.testing.assert_array_equal(columns_changed, np.all(weight != untouched, axis=0))
            np.testing.assert_array_equal(columns_changed, bias != values[2])
            np.testing.assert_array_equal(columns_changed, np.isfinite(out))
            np.testing.assert_array_equal(columns_changed, slopes == 1)
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
        _, weight, bias, _ = run_update(values, IDENTITY, dtype.type(1), 2)
        assert weight.tobytes() == values[1].tobytes()
        assert bias.tobytes() == values[2].tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_stay_in_their_column(bad, dtype):
    for columns in (1, 9, 17, 70):
        for column in {0, columns // 2, columns - 1}:
            values = arrays(np.random.default_rng(columns), 9, columns, dtype)
            values[1][4, column] = bad
            out, weight, _, _ = run_update(values, IDENTITY, dtype.type(1), 1)
            assert np.array_equal(np.flatnonzero(~np.isfinite(out)), [column])
            assert np.array_equal(np.argwhere(~np.isfinite(weight)), [[4, column]])


def run_dots(weight, x, start, stop):
    rows, columns = weight.shape
    out = Marked(np.full(rows, MARK, weight.dtype))
    held_weight, held_x = Marked(weight), Marked(x)
    row = columns * weight.itemsize
    dots(out.address, held_weight.address, row, held_x.address, start, stop, columns, weight.dtype.type(1))
    for each in (out, held_weight, held_x):
        each.assert_marks()
    assert held_weight.array.tobytes() == weight.tobytes() and held_x.array.tobytes() == x.tobytes()
    return out.array


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
    for rows in (1, DOT_ROWS - 1, DOT_ROWS, DOT_ROWS + 1, 2 * DOT_ROWS + 3):
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
