"""`multiply`, which every product of a layer is, called as compiled code calls it: its parts, and its memory."""

import numba
import numpy as np
import pytest
from helpers import DTYPES, NOJIT, arrange, assert_close, assert_sums_close, normal

from fastfnn.kernels import jit
from fastfnn.kernels.activations import ACTIVATIONS
from fastfnn.kernels.blocks import ROWS, WIDTHS
from fastfnn.kernels.products import BACKWARD, FORWARD, NOTHING, PACK_BYTES, PACK_ROWS, multiply

MARK = 12345.0
MARGIN = 64  # elements on either side: wider than any vector
PARTS = (1, 2, 3, 5)

# Around the edges of tiles: their rows, and the columns of panels.
EDGE_ROWS = sorted({1, *(rows + step for rows in ROWS.tolist() for step in (-1, 0, 1)), 2 * int(ROWS[0]) + 1})
EDGE_COLUMNS = sorted(
    {1, 3, *(width + step for width in WIDTHS.tolist() for step in (-1, 0, 1)), 3 * int(WIDTHS[0]) + 5}
)
DEPTHS = (0, 1, 2, 7, 16, 33)
if NOJIT:
    EDGE_ROWS, EDGE_COLUMNS = EDGE_ROWS[::3], EDGE_COLUMNS[::3]


@numba.njit
def compiled_multiply(n, parts, part, room, shrink, alpha):
    multiply(
        n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
        parts, part, room, shrink, alpha,
    )  # fmt: skip


def call(numbers, parts, part, shrink, alpha):
    """One part of a product; numbers are its arguments up to y_row."""
    if not NOJIT:
        jit._link([multiply], np.dtype(type(alpha)))
    size = numbers[9] * int(WIDTHS[0]) * 4  # what `room_bytes` says, and marks behind it
    room = np.full(size + 64, 0xA5, np.uint8)
    compiled_multiply(np.array(numbers, np.int64), parts, part, room.ctypes.data, shrink, alpha)
    assert np.all(room[size:] == 0xA5)


class Product:
    """C = start + A B, or C = shrink C + alpha A B: the arrays, and what they should become."""

    def __init__(self, rng, shape, dtype, transposed=False, layout="C"):
        rows, columns, depth = shape
        self.dtype = dtype
        self.a = arrange(normal(rng, (rows, depth), dtype), layout)
        b = normal(rng, (depth, columns), dtype)
        self.b = np.asfortranarray(b) if transposed else b
        self.transposed = transposed
        self.bias, self.before = normal(rng, columns, dtype), normal(rng, (rows, columns), dtype)
        self.y = np.tanh(self.before)

    def run(self, parts, order=None, bias=False, scaled=None, epilogue=NOTHING):
        """C after these parts, inside marks: columns up to a whole piece may change where there is an epilogue."""
        (rows, columns), depth, item = self.before.shape, self.b.shape[0], self.dtype.itemsize
        room = -columns % 16 if epilogue != NOTHING else 0
        memory = np.full((rows + 2, MARGIN + columns + room + MARGIN), MARK, self.dtype)
        c = memory[1:-1, MARGIN : MARGIN + columns]
        c[...] = self.before if scaled is not None else np.nan
        y = np.full((rows, columns + room), 0.5, self.dtype)
        y[:, :columns] = self.y
        a_rows = self.a.ctypes.data + self.a.strides[0] * np.arange(rows)
        a_columns = np.append(self.a.strides[1] * np.arange(depth), 0)  # one more than there are can be read
        b_row, b_column = (item, self.b.strides[1]) if self.transposed else (columns * item, item)
        numbers = [
            c.ctypes.data, memory.strides[0], a_rows.ctypes.data, a_columns.ctypes.data,
            self.b.ctypes.data, b_row, b_column, rows, columns, depth, self.bias.ctypes.data if bias else 0, 0,
            0 if scaled is None else 1, epilogue, y.ctypes.data, y.strides[0],
        ]  # fmt: skip
        one = self.dtype.type(1)
        shrink, alpha = (one, one) if scaled is None else (self.dtype.type(scaled[0]), self.dtype.type(scaled[1]))
        inputs = self.a, self.b, self.bias, y
        held = [array.tobytes() for array in inputs]
        for part in range(parts) if order is None else order:
            call(numbers, parts, part, shrink, alpha)
        assert [array.tobytes() for array in inputs] == held, "an input was written to"
        outside = memory.copy()
        outside[1:-1, MARGIN : MARGIN + columns + room] = MARK
        assert np.all(outside == MARK), "written outside the result"
        return c.copy()

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
    for shape in ((1, 1, 5), (29, 70, 3), (15, 33, 8), (3, 200, 4)):
        product = Product(np.random.default_rng(0), shape, dtype, transposed)
        for parts in (*PARTS, 40):
            written = sum(np.isfinite(product.run(parts, [part])).astype(int) for part in range(parts))
            assert np.all(written == 1), (shape, parts)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["F", "strided", "reversed"])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_left_factor_may_lie_anywhere(transposed, layout, dtype):
    for shape in ((17, 37, 9), (1, 16, 5), (28, 65, 2)):
        product = Product(np.random.default_rng(1), shape, dtype, transposed, layout)
        contiguous = Product(np.random.default_rng(1), shape, dtype, transposed)
        assert product.run(2).tobytes() == contiguous.run(1).tobytes()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_products_from_a_start_and_into_the_result(transposed, dtype):
    for number, shape in enumerate([(17, 37, 9), (1, 16, 5), (28, 65, 2), (5, 33, 0 if not transposed else 1)]):
        product = Product(np.random.default_rng(number), shape, dtype, transposed)
        want, size = product.sums()
        for parts in PARTS:
            got = product.run(parts, bias=True)
            assert_sums_close(got, want + product.bias, size + abs(product.bias), shape[2])
            got = product.run(parts, scaled=(0.75, -0.125))
            assert_sums_close(got, 0.75 * product.before - 0.125 * want, abs(product.before) + size, shape[2])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("way", [FORWARD, BACKWARD])
def test_an_epilogue_is_applied_once_to_each_element(way, transposed, dtype):
    code = ACTIVATIONS.index("tanh")
    for number, shape in enumerate([(17, 37, 9), (1, 16, 5), (28, 65, 2), (3, 130, 7)]):
        product = Product(np.random.default_rng(number), shape, dtype, transposed)
        sums = product.run(1).astype(np.float64)
        want = np.tanh(sums) if way == FORWARD else sums * (1 - product.y.astype(np.float64) ** 2)
        whole = product.run(1, epilogue=way + code)
        assert_close(whole, want, 8 * np.finfo(dtype).eps * np.maximum(1, abs(sums)))
        for parts in PARTS[1:]:
            assert product.run(parts, epilogue=way + code).tobytes() == whole.tobytes()


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
