"""Which columns make a panel, and where the panel of the right factor lies that tiles read.

Tiles read rows of the right factor as vectors. A panel of W^T is transposed into room of the call first; one of a large
factor is copied there, since its rows lie in as many pages of memory and, at power-of-two distances, in few sets of the
cache. A right factor that serves many products can be brought into panels beforehand by `pack_panels`.
"""

from ..compiler.decorators import Function, inner
from ..compiler.memory import Matrix, Rows, copy_elements, itemsize
from ..tuning import PACK_LEAST_BYTES, PACK_LEAST_ROWS
from .narrow import narrow_columns
from .operands import IN_PANELS
from .panels import NEXT_PANEL, WIDTHS
from .transpose import transpose


def bytes_of_room(depth: int) -> int:
    """The room that a product with sums of `depth` terms needs for one panel."""
    return int(depth * WIDTHS[0] * 4)  # for float64, panels have half as many columns


room_bytes: Function = inner(bytes_of_room)  # the same for compiled code


@inner
def panel_for(columns, scale):
    """The panel for the next of the `columns` that are left of a product; scale is 1 for float32, 2 for float64."""
    return NEXT_PANEL[min(columns * scale, NEXT_PANEL.shape[0] - 1)]


@inner
def _pack(out, b, depth, width, one):
    """Copy a panel of `depth` rows to contiguous memory."""
    for k in range(depth):
        copy_elements(out + k * width * itemsize(one), b.address + k * b.stride, width, one)


@inner
def panel_of(b, column, width, depth, rows, room, one):
    """The panel of `width` columns of the right factor from `column` on, as tiles read it for `rows` rows."""
    item = itemsize(one)
    if b.column == IN_PANELS:
        return Rows(b.address + column * depth * item, width * item)
    packed, source = Rows(room, width * item), b.address + column * b.column
    if b.column != item:
        transpose(packed, Rows(source, b.column), width, depth, one)
        return packed
    if depth * b.row >= PACK_LEAST_BYTES and rows > PACK_LEAST_ROWS:
        _pack(room, Rows(source, b.row), depth, width, one)
        return packed
    return Rows(source, b.row)


@inner
def last_columns(b, column, depth, one):
    """The columns of the right factor from `column` on as a matrix, also if they are in panels."""
    item = itemsize(one)
    if b.column == IN_PANELS:
        return Matrix(b.address + column * depth * item, item, depth * item)
    return Matrix(b.address + column * b.column, b.row, b.column)


@inner
def pack_panels(out, b, depth, columns, contiguous, part_of, one):
    """Copy B (depth, columns) so that each panel of a product is contiguous: one share of the panels.

    The panel from column j on begins j * depth elements behind `out`. Of the last columns, if narrow.py computes them,
    the elements of a column are contiguous. `contiguous` is that of the left factor.
    """
    item = itemsize(one)
    scale = item // 4
    whole = columns - narrow_columns(columns, depth, contiguous, scale)
    column, number = 0, 0
    while column < whole:
        width = min(WIDTHS[panel_for(whole - column, scale)] // scale, whole - column)
        if number % part_of.parts == part_of.part:
            _pack(out + column * depth * item, Rows(b.address + column * item, b.stride), depth, width, one)
        column += width
        number += 1
    if whole < columns and part_of.part == 0:
        last = Rows(out + whole * depth * item, depth * item)
        transpose(last, Rows(b.address + whole * item, b.stride), depth, columns - whole, one)
