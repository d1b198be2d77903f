"""`multiply`, which every product of a layer is, called as compiled code calls it: its parts, and its memory."""

import numba
import numpy as np
import pytest
from activation_codes import ELEMENTWISE, code_of, twin_of
from helpers import DTYPES, NOJIT, arrange, assert_close, assert_sums_close, from_python, normal

from fastfnn import reference
from fastfnn.kernels import ACTIVATIONS
from fastfnn.kernels.compiler import jit
from fastfnn.kernels.elementwise.activations import CHUNK, SLOPES
from fastfnn.kernels.products.blocks import NARROW, ROWS, SPLIT, TAIL, WIDTHS
from fastfnn.kernels.products.products import (
    BACKWARD,
    COLUMNS,
    FORWARD,
    IN_PANELS,
    NEITHER,
    NOTHING,
    PACK_BYTES,
    PACK_ROWS,
    ROWS_OF_A,
    TAIL_DEPTH,
    multiply,
    pack_panels,
    room_bytes,
    tail_columns,
)
from fastfnn.kernels.products.tail import AT_ONCE

MARK = 12345.0
MARGIN = 64  # elements on either side: wider than any vector
PARTS = (1, 2, 3, 5)

# Around the edges of tiles: their rows, and the columns of panels.
HEIGHT, WIDTH = int(ROWS[0]), int(WIDTHS[0])
EDGE_ROWS = sorted({1, *(rows + step for rows in ROWS.tolist() for step in (-1, 0, 1)), 2 * HEIGHT + 1} - {0})
EDGE_COLUMNS = sorted(
    {1, 3, *(width + step for width in WIDTHS.tolist() for step in (-1, 0, 1)), 3 * WIDTH + 5, SPLIT, SPLIT + 1} - {0}
)
DEPTHS = (0, 1, 2, 7, 16, 33)
# Two tiles and two panels, none of them whole; one row, and one whole vector; whole tiles, and a column over; few rows,
# and more panels than a tile has.
SHAPES = (
    (HEIGHT + 3, WIDTH + 5, 9),
    (1, 16, 5),
    (2 * HEIGHT, 2 * WIDTH + 1, 2),
    (3, 4 * WIDTH + 2, 7),
)
if NOJIT:
    EDGE_ROWS, EDGE_COLUMNS, SHAPES = EDGE_ROWS[::3], EDGE_COLUMNS[::3], SHAPES[:2]


@numba.njit
def compiled_multiply(n, parts, part, room, shrink, alpha):
    multiply(
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15], n[16],
        n[17], parts, part, room, shrink, alpha,
    )  # fmt: skip


def call(numbers, parts, part, shrink, alpha):
    """One part of a product; numbers are its arguments up to y_row."""
    if not NOJIT:
        jit._link([multiply], np.dtype(type(alpha)))
    size = from_python(room_bytes)(numbers[10])  # numbers[10] is the depth
    room = np.full(size + 64, 0xA5, np.uint8)  # and marks behind it
    compiled_multiply(np.array(numbers, np.int64), parts, part, room.ctypes.data, shrink, alpha)
    assert np.all(room[size:] == 0xA5)


@numba.njit
def in_panels(out, b, b_row, columns, depth, order, parts, part, one):
    pack_panels(out, b, b_row, columns, depth, order, parts, part, one)


class Buffer:
    """A copy of a matrix, with room for whole pieces of columns behind it, inside marks."""

    def __init__(self, values, room):
        rows, columns = values.shape
        self.memory = np.full((rows + 2, MARGIN + columns + room + MARGIN), MARK, values.dtype)
        self.array = self.memory[1:-1, MARGIN : MARGIN + columns]
        self.array[...] = values
        self.inside = self.memory[1:-1, MARGIN : MARGIN + columns + room]

    def take(self):
        values = self.array.copy()
        self.inside[...] = MARK
        assert np.all(self.memory == MARK), "written outside the result"
        return values


class Product:
    """C = start + A B, or C = shrink C + alpha A B: the arrays, and what they should become."""

    def __init__(self, rng, shape, dtype, transposed=False, layout="C"):
        rows, columns, depth = shape
        self.dtype = dtype
        self.a = arrange(normal(rng, (rows, depth), dtype), layout)
        b = normal(rng, (depth, columns), dtype)
        self.b = np.asfortranarray(b) if transposed else b
        self.transposed, self.packed = transposed, None
        self.bias, self.before = normal(rng, columns, dtype), normal(rng, (rows, columns), dtype)
        self.y = np.tanh(self.before)

    def run(self, parts, order=None, **options):
        """C after these parts."""
        return self.run_with_slopes(parts, order, slopes=False, **options)[0]

    def run_with_slopes(self, parts, order=None, slopes=True, bias=False, scaled=None, epilogue=NOTHING, code=0):
        """C and, written beside it, slopes: MARK where there is none."""
        (rows, columns), depth, item = self.before.shape, self.b.shape[0], self.dtype.itemsize
        room = -columns % CHUNK if epilogue != NOTHING else 0  # an epilogue may change a whole piece
        c = Buffer(self.before if scaled is not None else np.full_like(self.before, np.nan), room)
        y = Buffer(np.full_like(self.y, MARK) if slopes else self.y, room)
        y_address = y.array.ctypes.data if slopes or epilogue == BACKWARD else 0
        a_rows = self.a.ctypes.data + self.a.strides[0] * np.arange(rows)
        a_columns = np.append(self.a.strides[1] * np.arange(depth), 0)  # one more than there are can be read
        b, b_row, b_column = self.b, *((item, self.b.strides[1]) if self.transposed else (columns * item, item))
        if self.packed is not None:
            b, b_column = self.packed, IN_PANELS
        numbers = [
            c.array.ctypes.data, c.memory.strides[0], a_rows.ctypes.data, a_columns.ctypes.data, self.order(),
            b.ctypes.data, b_row, b_column, rows, columns, depth, self.bias.ctypes.data if bias else 0, 0,
            0 if scaled is None else 1, epilogue, code, y_address, y.memory.strides[0],
        ]  # fmt: skip
        inputs = self.a, b, self.bias, *(() if slopes else (y.memory,))
        held = [array.tobytes() for array in inputs]
        for part in range(parts) if order is None else order:
            call(numbers, parts, part, *map(self.dtype.type, scaled or (1, 1)))
        assert [array.tobytes() for array in inputs] == held, "an input was written to"
        return c.take(), y.take()

    def order(self):
        item = self.dtype.itemsize
        return (COLUMNS, ROWS_OF_A, NEITHER)[[self.a.strides[1], self.a.strides[0], item].index(item)]

    def pack(self, parts):
        """Let B be in panels from now on."""
        packed = Buffer(np.full((1, self.b.size), np.nan, self.dtype), 0)
        for part in range(parts):
            in_panels(
                packed.array.ctypes.data, self.b.ctypes.data, self.b.strides[0], self.b.shape[1], self.b.shape[0],
                self.order(), parts, part, self.dtype.type(1),
            )  # fmt: skip
        self.packed = packed.take()
        np.testing.assert_array_equal(np.sort(self.packed, axis=None), np.sort(self.b, axis=None))

    def sums(self):
        """A B and the same sum of absolute values, in float64."""
        a, b = self.a.astype(np.float64), self.b.astype(np.float64)
        return a @ b, abs(a) @ abs(b)


def shapes():
    """Every edge of rows with every edge of columns; depths in turn."""
    for number, rows in enumerate(EDGE_ROWS):
        for turn, columns in enumerate(EDGE_COLUMNS):
            yield rows, columns, DEPTHS[(number + turn) % len(DEPTHS)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_parts_give_the_bits_of_the_whole(transposed, dtype):
    for number, shape in enumerate(shapes()):
        product = Product(np.random.default_rng(number), shape, dtype, transposed and shape[2] > 0)
        want = product.run(1)
        assert_sums_close(want, *product.sums(), shape[2])
        for parts in PARTS[1:]:
            assert product.run(parts).tobytes() == want.tobytes(), (shape, parts)
            assert product.run(parts, reversed(range(parts))).tobytes() == want.tobytes(), (shape, parts)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_each_part_writes_its_tiles_and_no_others(transposed, dtype):
    gelu = ACTIVATIONS.index("gelu")
    for shape in ((1, 1, 5), *SHAPES, (3, 200, 4)):
        product = Product(np.random.default_rng(0), shape, dtype, transposed)
        for parts in (*PARTS, 40):  # 40: more than there are tiles
            written, with_slope = np.zeros(shape[:2], int), np.zeros(shape[:2], int)
            for part in range(parts):
                c, slopes = product.run_with_slopes(parts, [part], epilogue=FORWARD, code=gelu)
                written += np.isfinite(c)
                with_slope += slopes != MARK
            assert np.all(written == 1) and np.all(with_slope == 1), (shape, parts)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["F", "strided", "reversed"])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_left_factor_may_lie_anywhere(transposed, layout, dtype):
    for shape in SHAPES:
        product = Product(np.random.default_rng(1), shape, dtype, transposed, layout)
        contiguous = Product(np.random.default_rng(1), shape, dtype, transposed)
        assert product.run(2).tobytes() == contiguous.run(1).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["C", "strided"])
def test_a_right_factor_in_panels_gives_the_same_bits(layout, dtype):
    columns = [*EDGE_COLUMNS, *tails(dtype)]
    shapes = [*SHAPES, *((HEIGHT + 3, width, TAIL_DEPTH + number % 3) for number, width in enumerate(columns))]
    for number, shape in enumerate(shapes):
        product = Product(np.random.default_rng(number), shape, dtype, layout=layout)
        want = product.run(1, bias=True)
        for parts in PARTS:
            product.pack(parts)
            assert product.run(parts, bias=True).tobytes() == want.tobytes(), (shape, parts)


TAIL_ROWS = (1, 2, 4, 5, 7, 8, 9, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE + 5) if not NOJIT else (1, 5, 9)


def tails(dtype):
    """Numbers of columns that end in a tail, of every length, behind nothing and behind panels."""
    narrow, tail = NARROW * 4 // dtype.itemsize, TAIL * 4 // dtype.itemsize
    return [panels * narrow + rest for panels in (0, 1, 5) for rest in range(1, tail + 1)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_tails(layout, transposed, dtype):
    for number, columns in enumerate(tails(dtype)):
        for turn, rows in enumerate(TAIL_ROWS):
            depth = TAIL_DEPTH + (0, 1, 5, 16, 19)[(number + turn) % 5]
            product = Product(np.random.default_rng(number), (rows, columns, depth), dtype, transposed, layout)
            want, size = product.sums()
            got = product.run(1, bias=True)
            assert_sums_close(got, want + product.bias, size + abs(product.bias), depth)
            added = product.run(1, scaled=(0.75, -0.125))
            assert_sums_close(added, 0.75 * product.before - 0.125 * want, abs(product.before) + size, depth)
            for parts in (2, 5):
                assert product.run(parts, bias=True).tobytes() == got.tobytes(), (rows, columns, depth, parts)
                assert product.run(parts, scaled=(0.75, -0.125)).tobytes() == added.tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tail_has_an_epilogue_as_all_columns_have(dtype):
    gelu = ACTIVATIONS.index("gelu")
    for columns in tails(dtype):
        product = Product(np.random.default_rng(columns), (11, columns, TAIL_DEPTH + 3), dtype)
        sums = product.run(1).astype(np.float64)
        want, want_slopes = np.empty_like(sums), np.empty_like(sums)
        reference.activation_forward(want, sums, gelu)
        reference.activation_backward(want_slopes, np.ones_like(sums), sums, gelu)
        for parts in (1, 3):
            out, slopes = product.run_with_slopes(parts, epilogue=FORWARD, code=gelu)
            assert_epilogue_close(out, want, sums)
            assert_epilogue_close(slopes, want_slopes, sums)
        back = product.run(2, epilogue=BACKWARD, code=SLOPES)
        assert_epilogue_close(back, sums * product.y, sums)


def test_a_tail_is_a_few_columns_over_whole_vectors():
    tail = from_python(tail_columns)
    for scale in (1, 2):
        narrow, most = NARROW // scale, TAIL // scale
        for columns in range(3 * narrow):
            rest = columns % narrow
            want = rest if rest <= most else 0
            assert tail(columns, TAIL_DEPTH, COLUMNS, True, 1, 0, scale) == want
            assert tail(columns, 0, ROWS_OF_A, False, 0, 1, scale) == want
            assert tail(columns, TAIL_DEPTH, NEITHER, False, 0, 0, scale) == 0
            assert tail(columns, TAIL_DEPTH // scale - 1, COLUMNS, False, 0, 0, scale) == 0  # too short a sum
            assert tail(columns, TAIL_DEPTH, COLUMNS, False, 0, 1, scale) == 0  # added to the result
            assert tail(columns, TAIL_DEPTH, ROWS_OF_A, True, 0, 0, scale) == 0
            assert tail(columns, TAIL_DEPTH, ROWS_OF_A, False, 1, 0, scale) == 0  # added to a bias


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_products_from_a_start_and_into_the_result(transposed, dtype):
    for number, shape in enumerate([*SHAPES, (5, 33, 0 if not transposed else 1)]):
        product = Product(np.random.default_rng(number), shape, dtype, transposed)
        want, size = product.sums()
        for parts in PARTS:
            got = product.run(parts, bias=True)
            assert_sums_close(got, want + product.bias, size + abs(product.bias), shape[2])
            got = product.run(parts, scaled=(0.75, -0.125))
            assert_sums_close(got, 0.75 * product.before - 0.125 * want, abs(product.before) + size, shape[2])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's, without the compiler
def test_nan_and_infinity_stay_in_their_row_and_column(bad, transposed, dtype):
    for shape in SHAPES:
        product = Product(np.random.default_rng(0), shape, dtype, transposed)
        row, column = shape[0] // 2, shape[1] - 1  # the last column: its vector is cut as a rule
        product.a[row, 0] = bad
        want = np.zeros(shape[:2], bool)
        want[row] = True
        np.testing.assert_array_equal(~np.isfinite(product.run(2)), want)
        product.b[-1, column] = bad
        want[:, column] = True
        np.testing.assert_array_equal(~np.isfinite(product.run(2)), want)


# Those whose derivative takes the output; of the others there are slopes.
BY_OUTPUT = ("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu")


def products_with_epilogues(dtype):
    for number, shape in enumerate(SHAPES):
        yield Product(np.random.default_rng(number), shape, dtype, transposed=number % 2 == 1)


def assert_epilogue_close(got, want, sums):
    # the sums are those of the kernel itself: what is left is the error of the function, 4 ulp, and of a product
    assert_close(got, want, 8 * np.finfo(got.dtype).eps * np.maximum(1, abs(sums)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_an_activation_and_its_slopes_are_written_once_for_each_element(name, dtype):
    code = code_of(name, dtype)
    for product in products_with_epilogues(dtype):
        sums = product.run(1).astype(np.float64)
        want, want_slopes = np.empty_like(sums), np.empty_like(sums)
        reference.activation_forward(want, sums, twin_of(code, dtype))
        reference.activation_backward(want_slopes, np.ones_like(sums), sums, twin_of(code, dtype))
        whole, slopes = product.run_with_slopes(1, epilogue=FORWARD, code=code)
        assert_epilogue_close(whole, want, sums)
        assert_epilogue_close(slopes, want_slopes, sums)
        for parts in PARTS:
            got = product.run_with_slopes(parts, epilogue=FORWARD, code=code)
            assert [array.tobytes() for array in got] == [whole.tobytes(), slopes.tobytes()]
            got = product.run(parts, epilogue=FORWARD, code=code)
            assert got.tobytes() == whole.tobytes()  # an output has the same bits where no slope is asked for


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*BY_OUTPUT, "slopes"])
def test_a_derivative_is_applied_once_to_each_element(name, dtype):
    for product in products_with_epilogues(dtype):
        sums, y = product.run(1).astype(np.float64), product.y.astype(np.float64)
        code, want = SLOPES, sums * y
        if name != "slopes":
            code = ACTIVATIONS.index(name)
            reference.BACKWARD[code](want, sums, y)
        whole = product.run(1, epilogue=BACKWARD, code=code)
        assert_epilogue_close(whole, want, sums)
        for parts in PARTS[1:]:
            assert product.run(parts, epilogue=BACKWARD, code=code).tobytes() == whole.tobytes()


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_packed_panel_gives_the_bits_of_one_that_is_not(dtype):
    # a large right factor is packed for many rows and not for few: each row is a sum of its own
    columns = 600
    depth = PACK_BYTES // (columns * dtype.itemsize) + 1
    assert depth * columns * dtype.itemsize > PACK_BYTES
    product = Product(np.random.default_rng(0), (PACK_ROWS + 9, columns, depth), dtype)
    want = product.run(1)
    assert_sums_close(want, *product.sums(), depth)
    assert product.run(3).tobytes() == want.tobytes()
    product.a, product.before, product.y = product.a[:5], product.before[:5], product.y[:5]
    assert product.run(1).tobytes() == want[:5].tobytes()
