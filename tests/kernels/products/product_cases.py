"""Products of random matrices, called as compiled code calls them: what the tests of the drivers share."""

import numpy as np
from buffers import MARK, Buffer, callable_from_python, lists_of
from helpers import NOJIT, arrange, from_python, normal

from fastfnn.kernels.compiler.decorators import address_of
from fastfnn.kernels.compiler.memory import NO_ROWS, Matrix, Rows
from fastfnn.kernels.elementwise.activations.contract import CHUNK
from fastfnn.kernels.products.multiply import accumulate, multiply, product
from fastfnn.kernels.products.operands import (
    ALONG_ROWS,
    ALONG_SUM,
    IN_PANELS,
    NEITHER,
    NO_EPILOGUE,
    Epilogue,
    Factor,
    Size,
)
from fastfnn.kernels.products.packing import pack_panels, room_bytes
from fastfnn.kernels.products.panels import NARROW_MOST, NARROWEST, PANELS, SPLIT
from fastfnn.kernels.workers.crew import Share

PARTS = (1, 2, 3, 5)

# Around the edges of tiles: their rows, and the columns of panels.
HEIGHT, WIDTH = PANELS[0].heights[0], PANELS[0].width
EDGE_ROWS = sorted({1, *(height + step for panel in PANELS for height in panel.heights for step in (-1, 0, 1))} - {0})
EDGE_ROWS += [2 * max(panel.heights[0] for panel in PANELS) + 1]
EDGE_COLUMNS = sorted(
    {1, 3, *(panel.width + step for panel in PANELS for step in (-1, 0, 1)), 3 * WIDTH + 5}
    | {edge + step for edge in SPLIT for step in (0, 1)} - {0}
)
EDGE_COLUMNS = [columns for columns in EDGE_COLUMNS if columns > 0]
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

_multiply, _accumulate = callable_from_python(multiply, product), callable_from_python(accumulate, product)
_pack = callable_from_python(pack_panels)
_room_bytes = room_bytes if NOJIT else from_python(room_bytes)


class Room:
    """Room for a panel, with marks behind it."""

    def __init__(self, depth):
        self.size = int(_room_bytes(depth))
        self.memory = np.full(self.size + 64, 0xA5, np.uint8)
        self.address = self.memory.ctypes.data

    def check(self):
        assert np.all(self.memory[self.size :] == 0xA5), "written behind the room"


class Problem:
    """C = start + A B, or C = shrink C + alpha A B: the arrays, and what they should become."""

    def __init__(self, rng, shape, dtype, transposed=False, layout="C"):
        rows, columns, depth = shape
        self.dtype, self.one = dtype, dtype.type(1)
        self.a = arrange(normal(rng, (rows, depth), dtype), layout)
        b = normal(rng, (depth, columns), dtype)
        self.b = np.asfortranarray(b) if transposed else b
        self.transposed, self.packed = transposed, None
        self.bias, self.before = normal(rng, columns, dtype), normal(rng, (rows, columns), dtype)
        self.y = np.tanh(self.before)

    def run(self, parts, order=None, bias=False):
        """C after these parts, in this order."""
        return self._run(parts, order, bias)[0]

    def run_with(self, function, parts, order=None, other="none", bias=False):
        """C and the other operand of an epilogue, `other`: "none", "read" or "written", MARK where it is not."""
        return self._run(parts, order, bias, address_of(function, self.dtype), other)

    def _run(self, parts, order, bias, function=0, other="none"):
        padding = -self.b.shape[1] % CHUNK if function else 0  # an epilogue may change the padding
        c = Buffer(np.full_like(self.before, np.nan), padding)
        y = Buffer(self.y if other == "read" else np.full_like(self.y, MARK), padding)
        epilogue = Epilogue(function, y.rows if other != "none" else NO_ROWS) if function else NO_EPILOGUE
        start = Rows(self.bias.ctypes.data, 0) if bias else NO_ROWS

        def call(operands, room, part):
            _multiply(c.rows, start, *operands, epilogue, Share(parts, part), room, self.one)

        self._call(range(parts) if order is None else order, call, *([y.memory] if other == "read" else []))
        return c.take(), y.take()

    def accumulated(self, shrink, alpha):
        """C = shrink C + alpha A B."""
        c = Buffer(self.before)

        def call(operands, room, _part):
            _accumulate(c.rows, self.dtype.type(shrink), *operands, room, self.dtype.type(alpha))

        self._call([0], call)
        return c.take()

    def _call(self, parts, call, *inputs):
        (rows, columns), depth, item = self.before.shape, self.b.shape[0], self.dtype.itemsize
        a_rows, a_columns = lists_of(self.a)
        b, row, column = self.b, *((item, self.b.strides[1]) if self.transposed else (columns * item, item))
        if self.packed is not None:
            b, column = self.packed, IN_PANELS
        factor = Factor(a_rows.ctypes.data, a_columns.ctypes.data, self.contiguous())
        operands = factor, Matrix(b.ctypes.data, row, column), Size(rows, columns, depth)
        inputs = self.a, b, self.bias, *inputs
        held = [array.tobytes() for array in inputs]
        for part in parts:
            room = Room(depth)
            call(operands, room.address, part)
            room.check()
        assert [array.tobytes() for array in inputs] == held, "an input was written to"

    def contiguous(self):
        item = self.dtype.itemsize
        return (ALONG_SUM, ALONG_ROWS, NEITHER)[[self.a.strides[1], self.a.strides[0], item].index(item)]

    def pack(self, parts):
        """Let B be in panels from now on."""
        packed = Buffer(np.full((1, self.b.size), np.nan, self.dtype))
        depth, columns = self.b.shape
        for part in range(parts):
            b = Rows(self.b.ctypes.data, self.b.strides[0])
            _pack(packed.address, b, depth, columns, self.contiguous(), Share(parts, part), self.one)
        self.packed = packed.take()
        np.testing.assert_array_equal(np.sort(self.packed, axis=None), np.sort(self.b, axis=None))

    def sums(self):
        """A B and the same sum of absolute values, in float64."""
        a, b = self.a.astype(np.float64), self.b.astype(np.float64)
        return a @ b, abs(a) @ abs(b)


def narrow_widths(dtype):
    """Numbers of columns that end in narrow ones, of every number, behind nothing and behind panels."""
    narrowest, most = NARROWEST * 4 // dtype.itemsize, NARROW_MOST * 4 // dtype.itemsize
    return [panels * narrowest + rest for panels in (0, 1, 5) for rest in range(1, most + 1)]
