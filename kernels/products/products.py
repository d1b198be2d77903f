"""The matrix product of a layer, in its three uses.

Forward    out         = x W + b      sums over the in_features
Backward   grad_x      = grad_out W^T sums over the out_features
           grad_weight = x^T grad_out sums over the batch

All three are `multiply`. The elements of the left factor are loaded one by one and broadcast, and may lie anywhere: one
list has the addresses of its rows, another the distances of its columns. So the samples of a batch need not be gathered
from the data, and x^T is x with the lists exchanged. The rows of the right factor and of the result are loaded as
vectors and must be contiguous; of a right factor whose columns are contiguous, as those of W^T, a panel is transposed
just before it is used. One that serves many products can be brought into panels beforehand.
"""

import numpy as np

from ..compiler.jit import inner, shared
from ..compiler.vectors import CACHE_LINE, SQUARE, array_at, fetch_line, itemsize, keep, transpose_squares
from ..elementwise.activations import activate, differentiate, with_padding
from ..workers.threads import share
from .blocks import FIRST_FULL, FIRST_MASKED, NARROW, ROWS, SPLIT, TAIL, WIDTHS
from .tail import AT_ONCE, ROWS_BY_WIDTH, along_rows, along_sum
from .tile import AHEAD, FETCH_A, FETCH_B, FETCH_NOTHING, tile

# What `multiply` does to a panel of the result while it is in the cache: nothing, apply an activation, or multiply by
# the derivative of one.
NOTHING, FORWARD, BACKWARD = range(3)

# In place of the distance of columns: a right factor as `pack_panels` leaves it. No columns of floats are so near.
IN_PANELS = 1

# Which list of the left factor has the elements that are contiguous in memory, if one has: along the sum, or the rows.
NEITHER, COLUMNS, ROWS_OF_A = range(3)

# A panel of a large right factor is packed if enough rows of the product use it: its rows lie in as many pages of
# memory, and where their distance is a power of two, in a few sets of the cache. One that tiles do not fetch ahead is
# packed earlier: 784-1024-10 on 256 samples 5 % faster than from 2 MB on (Xeon). Its rows come from far away, so those
# of the next panel are fetched between the tiles of this one: 0.97 to 0.98 of the time for 784-1024-1024-10 and
# 784-2048-2048-10 (Zen 4).
PACK_BYTES = 2 << 20
PACK_BYTES_UNFETCHED = 1 << 20
PACK_ROWS = 48

# Tiles of longer sums than this fetch ahead, if what they fetch is larger than so many bytes: else it is near, and a
# step of 4-32-16-4 would take 1 to 2 % longer.
LONG_SUM = 8 * AHEAD
NEAR_BYTES = 32 << 10

# The sum over a deep batch, of more samples than this, is made of sums over so many, whose samples stay in the cache
# while they are multiplied by one panel after another: 784 x 8192 x 512 takes half the time (Xeon).
DEEP = 1024
DEEP_SUM = 512

# A tail along the sum, see tail.py, pays for sums of so many float32 elements: at their end lanes must be added.
TAIL_DEPTH = 4 * NARROW


@inner
def panel_for(columns, scale):
    """The panel for the next columns of a product: the widest if it is filled, else the narrowest that holds them."""
    if WIDTHS[0] // scale < columns <= SPLIT // scale:
        return 1
    panel = 0
    while panel + 1 < WIDTHS.shape[0] and WIDTHS[panel + 1] // scale >= columns:
        panel += 1
    return panel


@inner
def transpose(out, out_row, x, x_row, rows, columns, one):
    """out (columns, rows) = x (rows, columns)^T, at addresses, with contiguous rows."""
    item = itemsize(one)
    high, wide = rows // SQUARE * SQUARE, columns // SQUARE * SQUARE
    for i in range(0, high, 2 * SQUARE):
        squares = min((high - i) // SQUARE, 2)
        transpose_squares(out + i * item, out_row, x + i * x_row, x_row, squares, wide // SQUARE, one)
    for i in range(rows):
        row = array_at(x + i * x_row, columns, one)
        for j in range(wide if i < high else 0, columns):
            array_at(out + j * out_row, rows, one)[i] = row[j]


@inner
def pack(out, b, b_row, depth, width, one):
    """Copy a (depth, width) matrix at an address to a contiguous one."""
    for k in range(depth):
        row, target = array_at(b + k * b_row, width, one), array_at(out + k * width * itemsize(one), width, one)
        for j in range(width):
            target[j] = row[j]


@inner
def fetch_rows(b, b_row, start, stop, size):
    """Ask for `size` bytes of each of the rows start to stop of a matrix at an address, into the second cache."""
    for k in range(start, stop):
        for place in range(0, size, CACHE_LINE):
            fetch_line(b + k * b_row + place)


@inner
def room_bytes(depth):
    """The room that a product over `depth` needs for a packed panel."""
    return depth * WIDTHS[0] * 4  # in float64 a panel has half the columns


@inner
def pack_panels(out, b, b_row, columns, depth, contiguous, parts, part, one):
    """Copy B (depth, columns) so that each panel of `multiply` is contiguous: this part of the panels.

    The panel from column j on begins j * depth elements behind `out`. In the last columns, those of a tail, the
    elements of a column are contiguous. `contiguous` is that of the left factor.
    """
    item = itemsize(one)
    scale = item // 4
    whole = columns - tail_columns(columns, depth, contiguous, False, 0, 0, scale)
    column, number = 0, 0
    while column < whole:
        width = min(WIDTHS[panel_for(whole - column, scale)] // scale, whole - column)
        if number % parts == part:
            pack(out + column * depth * item, b + column * item, b_row, depth, width, one)
        column += width
        number += 1
    if whole < columns and part == 0:
        transpose(out + whole * depth * item, depth * item, b + whole * item, b_row, depth, columns - whole, one)


@shared(f"void({21 * 'intp, '}real, real)", calls=[activate, differentiate])
def multiply(
    c, c_row, a_rows, a_columns, contiguous, b, b_row, b_column, rows, columns, depth,
    start, start_row, scaled, epilogue, code, y, y_row, parts, part, room, shrink, alpha,
):  # fmt: skip
    """C = start + A B, or C = shrink C + alpha A B if `scaled`; addresses and strides in bytes.

    c  (rows, columns)   address, stride of rows
    a  (rows, depth)     addresses of two lists of int64: element (i, k) lies at address a_rows[i] + a_columns[k], and
                         behind the second list AHEAD more numbers can be read
    contiguous           the list whose numbers are one element apart: ROWS_OF_A, COLUMNS or NEITHER
    b  (depth, columns)  address, stride of rows, stride of columns; one of the two is that of contiguous elements, or
                         the second is IN_PANELS
    start                0, or the address of what the sums begin with: a row stride of 0 makes it a bias
    epilogue, code       NOTHING, FORWARD or BACKWARD, and the activation's code
    y  (rows, columns)   address, stride of rows: forward, of slopes to be written, or 0; backward, of the activation's
                         output or, with the code SLOPES, of slopes; c and y are then in buffers of padded rows
    parts, part          this is part number `part` of the tiles, panel after panel
    room                 address of `room_bytes`, to pack a panel in

    Each element is one sum over k in ascending order, whatever the tile that it falls into; or, in a tail along the
    sum, one whose lanes are added at the end. Which it is depends on the arguments but for rows, parts and part.
    """
    item = itemsize(alpha)
    scale = item // 4
    packed = b_column == IN_PANELS
    transposed = not packed and b_column != item
    fetch = FETCH_NOTHING if packed else what_to_fetch(depth, contiguous, rows * item, columns * item)
    far = depth * b_row >= (PACK_BYTES if fetch == FETCH_B else PACK_BYTES_UNFETCHED)
    whole = columns - tail_columns(columns, depth, contiguous, transposed, start, scaled, scale)
    tile_from, tile_to = share(count_tiles(rows, whole, scale), parts, part)
    column = 0
    while column < whole and tile_to > 0:
        panel = panel_for(whole - column, scale)
        width = min(WIDTHS[panel] // scale, whole - column)
        variant = FIRST_FULL if panel == 0 and width == WIDTHS[0] // scale else FIRST_MASKED[panel]
        tiles = (rows + ROWS[panel] - 1) // ROWS[panel]
        each, more = rows // max(tiles, 1), rows % max(tiles, 1)
        top, bottom = first_row(min(tile_from, tiles), each, more), first_row(min(tile_to, tiles), each, more)
        shift = column * item
        next_size = 0  # bytes of a row of the panel that will be packed next
        if top < bottom:
            b_panel, b_panel_row = b + column * b_column, b_row
            if packed:
                b_panel, b_panel_row = b + column * depth * item, width * item
            elif transposed or (far and bottom - top > PACK_ROWS):
                b_panel, b_panel_row = room, width * item
                if transposed:
                    transpose(b_panel, b_panel_row, b + column * b_column, b_column, width, depth, alpha)
                else:
                    pack(room, b + shift, b_row, depth, width, alpha)
                    if tile_to > tiles:
                        next_size = min(width, whole - column - width) * item
            for t in range(tile_from, min(tile_to, tiles)):
                first = first_row(t, each, more)
                height = each + 1 if t < more else each
                tile(
                    variant + height - 1, depth, a_rows + 8 * first, a_columns, b_panel, b_panel_row,
                    c + first * c_row + shift, c_row, start + first * start_row + shift if start != 0 else 0, start_row,
                    width, fetch, scaled, shrink, alpha,
                )  # fmt: skip
                begin, end = share(depth, tiles, t) if next_size > 0 else (0, 0)  # after each tile, a part of it
                fetch_rows(b + shift + width * item, b_row, begin, end, next_size)
            finish(epilogue, code, c, c_row, y, y_row, top, bottom, columns, column, width, alpha)
        column += width
        tile_from, tile_to = max(tile_from - tiles, 0), tile_to - tiles
    if whole < columns:
        top, bottom = share(rows, parts, part)
        if packed:
            b, b_row, b_column = b + whole * depth * item, item, depth * item
        else:
            b += whole * b_column
        multiply_tail(
            c + whole * item, c_row, a_rows, a_columns, contiguous, b, b_row, b_column, top, bottom,
            columns - whole, depth, start + whole * item if start != 0 else 0, start_row, scaled, room, shrink, alpha,
        )  # fmt: skip
        finish(epilogue, code, c, c_row, y, y_row, top, bottom, columns, whole, columns - whole, alpha)


@inner
def multiply_samples(
    c, c_row, a_rows, a_columns, contiguous, b, b_row, rows, columns, samples, scaled, room, shrink, alpha
):  # fmt: skip
    """C = x^T G, or C = shrink C + alpha x^T G if `scaled`: as `multiply`, for a sum over samples, maybe many."""
    item = itemsize(alpha)
    one = array_at(0, 0, alpha).dtype.type(1)
    at_once = DEEP_SUM if samples > DEEP else max(samples, 1)
    for k in range(0, max(samples, 1), at_once):
        multiply(
            c, c_row, a_rows, a_columns + 8 * k, contiguous, b + k * b_row, b_row, item, rows, columns,
            min(at_once, samples - k), 0, 0, scaled if k == 0 else 1, NOTHING, 0, 0, 0, 1, 0, room,
            shrink if k == 0 else one, alpha,
        )  # fmt: skip


@inner
def what_to_fetch(depth, contiguous, a_column, b_row):
    """What a tile fetches ahead: elements of x^T, each of which lies in another line, or rows of the right factor.

    a_column, b_row  bytes of a column of the left factor, and of a row of the right one
    """
    wanted, size = (FETCH_A, a_column) if contiguous == ROWS_OF_A else (FETCH_B, b_row)
    return wanted if depth > LONG_SUM and depth * size > NEAR_BYTES else FETCH_NOTHING


@inner
def first_row(t, each, more):
    """Where tile number t begins, of tiles with `each` rows, and one row more in the first few."""
    return t * each + min(t, more)


@inner
def finish(epilogue, code, c, c_row, y, y_row, top, bottom, columns, column, width, one):
    """The epilogue for `width` columns from `column` on, of rows top to bottom."""
    shift, height = column * itemsize(one), bottom - top
    target, source = c + top * c_row + shift, y + top * y_row + shift
    reach = width if column + width < columns else with_padding(columns) - column  # no other panel's columns
    if c_row == y_row and c_row == reach * itemsize(one):  # no gaps: all rows are one
        height, reach = 1, height * reach
    if epilogue == BACKWARD:
        differentiate(target, c_row, source, y_row, height, reach, code, one)
    elif epilogue == FORWARD:
        activate(target, c_row, source if y != 0 else 0, y_row, height, reach, code, one)


@inner
def tail_columns(columns, depth, contiguous, transposed, start, scaled, scale):
    """How many of the last columns are computed across, see tail.py."""
    tail = columns % (NARROW // scale)
    if tail > TAIL // scale:
        return 0
    if contiguous == COLUMNS:
        return tail if depth >= TAIL_DEPTH // scale and not scaled else 0
    return tail if contiguous == ROWS_OF_A and not transposed and start == 0 else 0


@inner
def multiply_tail(
    c, c_row, a_rows, a_columns, contiguous, b, b_row, b_column, top, bottom,
    columns, depth, start, start_row, scaled, room, shrink, alpha,
):  # fmt: skip
    """`multiply` for the last columns, at c and b, of rows top to bottom."""
    item = itemsize(alpha)
    rows, distances = array_at(a_rows, bottom, np.int64(0)), array_at(a_columns, 1, np.int64(0))
    if contiguous == ROWS_OF_A:
        at_once = AT_ONCE * 4 // item
        for i in range(top, bottom, at_once):
            along_rows(
                min(at_once, bottom - i), depth, rows[i], a_columns, b, b_row, c + i * c_row, c_row, columns, scaled,
                shrink, alpha,
            )  # fmt: skip
        return
    if b_row != item:  # the columns become rows
        for k in range(depth):
            for j in range(columns):
                value = array_at(b + k * b_row + j * b_column, 1, alpha)
                array_at(room + (j * depth + k) * item, 1, alpha)[0] = value[0]
        b, b_column = room, depth * item
    if start == 0:
        start, start_row = room + columns * depth * item, 0
        for j in range(columns):
            array_at(start + j * item, 1, alpha)[0] = 0
    at_once = ROWS_BY_WIDTH[columns]
    for i in range(top, bottom, at_once):
        along_sum(
            bottom - i, depth, a_rows + 8 * i, distances[0], b, b_column, c + i * c_row, c_row,
            start + i * start_row, start_row, columns, alpha,
        )  # fmt: skip


@inner
def count_tiles(rows, columns, scale):
    """The tiles of all panels of a product."""
    tiles = 0
    while columns > 0:
        panel = panel_for(columns, scale)
        tiles += (rows + ROWS[panel] - 1) // ROWS[panel]
        columns -= WIDTHS[panel] // scale
    return tiles


@inner
def address(x, row):
    """The address of a row of a matrix, or of an element of a vector."""
    return x.ctypes.data + row * x.strides[0]


@inner
def product(out, a, b, start, stop):
    """out[start:stop] = a[start:stop] @ b"""
    return _product(out, a, b, 0, start, stop)


@inner
def affine_rows(out, x, weight, bias, start, stop):
    """out[start:stop] = x[start:stop] @ weight + bias"""
    return _product(out, x, weight, address(bias, 0), start, stop)


@inner
def _product(out, a, b, bias, start, stop):
    rows, columns = np.empty(stop - start, np.int64), np.empty(a.shape[1] + AHEAD, np.int64)
    room = np.empty(room_bytes(a.shape[1]), np.uint8)
    fill(rows.ctypes.data, address(a, start), a.strides[0], stop - start)
    fill(columns.ctypes.data, 0, a.strides[1], a.shape[1] + AHEAD)
    contiguous = COLUMNS if a.strides[1] == a.itemsize else ROWS_OF_A if a.strides[0] == a.itemsize else NEITHER
    target, one = address(out, start), out.dtype.type(1)
    b_column = b.strides[1] if b.shape[1] > 1 else b.itemsize
    if bias == 0 and b_column == b.itemsize:
        multiply_samples(
            target, out.strides[0], rows.ctypes.data, columns.ctypes.data, contiguous, address(b, 0), b.strides[0],
            stop - start, b.shape[1], b.shape[0], 0, room.ctypes.data, one, one,
        )  # fmt: skip
    else:
        multiply(
            target, out.strides[0], rows.ctypes.data, columns.ctypes.data, contiguous, address(b, 0), b.strides[0],
            b_column, stop - start, b.shape[1], b.shape[0], bias, 0, 0, NOTHING, 0, 0, 0, 1, 0, room.ctypes.data, one,
            one,
        )  # fmt: skip
    return keep(rows) + keep(columns) + keep(room)


@inner
def fill(numbers, first, step, count):
    """The list of `count` int64 at an address: first, first + step, ..."""
    values = array_at(numbers, count, np.int64(0))
    for i in range(count):
        values[i] = first + i * step
