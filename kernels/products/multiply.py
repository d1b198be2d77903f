"""The matrix product of a layer, in its three uses.

    Forward    out         = x W + b        sums over the in_features     `multiply` with a bias, and an activation
    Backward   grad_x      = grad_out W^T   sums over the out_features    `multiply` with a derivative
               grad_weight = x^T grad_out   sums over the batch           `multiply_samples`, `accumulate_samples`

All are one driver, which cuts the product into panels of columns and tiles of rows, see panels.py, and applies the
epilogue to each panel while it is in the cache. The rows of the right factor and of the result must be contiguous; of a
right factor whose columns are contiguous, as those of W^T, each panel is transposed first, see packing.py.
"""

from ..compiler.decorators import inner, shared
from ..compiler.memory import NO_ROWS, Matrix, Rows, as_type_of, itemsize
from ..compiler.signature import Real
from ..elementwise.activations.contract import call_on_block, with_padding
from ..tuning import BYTES_PER_CACHE_LINE, DEEP_BATCH, DEEP_BATCH_SUM, PREFETCH_LEAST_BYTES, PREFETCH_LEAST_DEPTH
from ..workers.crew import WHOLE, share
from .few_rows import is_of_few_rows, multiply_few_rows
from .narrow import multiply_narrow, narrow_columns
from .operands import (
    ALONG_ROWS,
    ALONG_SUM,
    IN_PANELS,
    NEITHER,
    NO_EPILOGUE,
    Factor,
    Product,
    Scaling,
    Size,
)
from .packing import last_columns, panel_for, panel_of
from .panels import FILLED, HEIGHTS, MASKED, WIDTHS
from .tile import PREFETCH_A, PREFETCH_B, PREFETCH_NOTHING, tile


@inner
def multiply(c, start, a, b, size, epilogue, part_of, room, one):
    """C = start + A B, then the epilogue: this share of it, of the padding of C's rows, too.

    c         Rows      (rows, columns)  written; with an epilogue in a buffer of padded rows
    start     Rows      (rows, columns)  what the sums begin with: a bias if the stride is 0; NO_ROWS for 0
    a         Factor    (rows, depth)    read
    b         Matrix    (depth, columns) read; one of its strides is that of contiguous elements, or IN_PANELS
    size      Size
    epilogue  Epilogue, or NO_EPILOGUE
    part_of   Share     of the columns and rows; WHOLE for everything
    room      address of `room_bytes(depth)` bytes

    Each element is one sum over k in ascending order or, in the last few columns, one whose lanes are added at the end.
    Which it is depends on all arguments but `rows` and the share.
    """
    product(Product(c, start, a, b, size, epilogue, part_of, room), Scaling(0, one, one), one)


@inner
def accumulate(c, shrink, a, b, size, room, alpha):
    """C = shrink C + alpha A B. The arguments are those of `multiply`."""
    task = Product(c, NO_ROWS, a, b, size, NO_EPILOGUE, WHOLE, room)
    product(task, Scaling(1, shrink, alpha), alpha)


@inner
def multiply_samples(c, a, b, size, room, one):
    """C = A B for A = x^T, summed over `size.depth` samples, maybe many; b is Rows. Otherwise as `multiply`."""
    _over_samples(c, a, b, size, room, Scaling(0, one, one), one)


@inner
def accumulate_samples(c, shrink, a, b, size, room, alpha):
    """C = shrink C + alpha A B for A = x^T, summed over `size.depth` samples, maybe many; b is Rows."""
    _over_samples(c, a, b, size, room, Scaling(1, shrink, alpha), as_type_of(1, alpha))


@inner
def _over_samples(c, a, b, size, room, scaling, one):
    """Add up the sums over parts of a deep batch."""
    samples = size.depth
    at_once = DEEP_BATCH_SUM if samples > DEEP_BATCH else max(samples, 1)
    k = 0
    while True:
        factor = Factor(a.rows, a.columns + 8 * k, a.contiguous)
        right = Matrix(b.address + k * b.stride, b.stride, itemsize(one))
        part = Size(size.rows, size.columns, min(at_once, samples - k))
        product(Product(c, NO_ROWS, factor, right, part, NO_EPILOGUE, WHOLE, room), scaling, one)
        scaling = Scaling(1, one, scaling.alpha)
        k += at_once
        if k >= samples:
            break


@shared
def product(p: Product, scaling: Scaling, one: Real) -> None:
    """Compute one share of a product, panel after panel. Shares have about the same number of elements."""
    item = itemsize(one)
    scale = item // 4
    rows, columns, depth = p.size
    along = p.a.contiguous if is_narrow_possible(p, scaling, item) else NEITHER
    whole = columns - narrow_columns(columns, depth, along, scale)
    prefetch = what_to_prefetch(p, item)
    column = 0
    if is_of_few_rows(p, scaling, item):
        column = whole
        first, last = columns_of_share(p, whole, scale)
        if first < last:
            b = Rows(p.b.address + first * item, p.b.row)
            c, start = block_of(p.c, 0, first * item), block_of(p.start, 0, first * item)
            multiply_few_rows(p.a, b, c, start, Size(rows, last - first, depth), one)
            finish_panel(p, first, last - first, 0, rows, one)
    while column < whole:
        panel = panel_for(whole - column, scale)
        width = min(WIDTHS[panel] // scale, whole - column)
        top, bottom = rows_of_share(p, column, width, whole)
        if top < bottom:
            b = panel_of(p.b, column, width, depth, bottom - top, p.room, one)
            multiply_panel(p, scaling, b, panel, column, width, top, bottom, prefetch, one)
            finish_panel(p, column, width, top, bottom, one)
        column += width
    if whole < columns:
        top, bottom = share(rows, p.share.parts, p.share.part)
        multiply_narrow(
            Factor(p.a.rows + 8 * top, p.a.columns, along), last_columns(p.b, whole, depth, one),
            block_of(p.c, top, whole * item), block_of(p.start, top, whole * item),
            Size(bottom - top, columns - whole, depth), scaling, p.room, one,
        )  # fmt: skip
        finish_panel(p, whole, columns - whole, top, bottom, one)


@inner
def rows_of_share(p, column, width, whole):
    """The rows of a panel that belong to the share: the elements of `whole` columns are divided panel after panel."""
    if p.share.parts == 1:
        return 0, p.size.rows
    first, last = share(p.size.rows * whole, p.share.parts, p.share.part)
    before = p.size.rows * column
    top, bottom = (first - before) // width, (last - before) // width
    return min(max(top, 0), p.size.rows), min(max(bottom, 0), p.size.rows)


@inner
def columns_of_share(p, whole, scale):
    """The columns of a share of few rows: of about the same number, beginning with a cache line."""
    line = BYTES_PER_CACHE_LINE // 4 // scale
    first, last = share((whole + line - 1) // line, p.share.parts, p.share.part)
    return first * line, min(last * line, whole)


@inner
def is_narrow_possible(p, scaling, item):
    """Whether narrow.py can compute the last columns, if they are few."""
    if p.a.contiguous == ALONG_SUM:
        return scaling.scaled == 0
    return p.start.address == 0 and (p.b.column == item or p.b.column == IN_PANELS)


@inner
def what_to_prefetch(p, item):
    """What tiles prefetch: elements of x^T, each of which lies in another cache line, or rows of the right factor."""
    of_a = p.a.contiguous == ALONG_ROWS
    size = (p.size.rows if of_a else p.size.columns) * p.size.depth * item
    if p.b.column == IN_PANELS or p.size.depth <= PREFETCH_LEAST_DEPTH or size <= PREFETCH_LEAST_BYTES:
        return PREFETCH_NOTHING
    return PREFETCH_A if of_a else PREFETCH_B


@inner
def multiply_panel(p, scaling, b, panel, column, width, top, bottom, prefetch, one):
    """The tiles of a panel, for rows top to bottom."""
    offset = column * itemsize(one)
    filled = panel == 0 and width == WIDTHS[0] // (itemsize(one) // 4)
    row = top
    while row < bottom:
        rest = min(bottom - row, HEIGHTS.shape[1] - 1)
        number = FILLED[rest] if filled else MASKED[panel, rest]
        a = Factor(p.a.rows + 8 * row, p.a.columns, p.a.contiguous)
        c, start = block_of(p.c, row, offset), block_of(p.start, row, offset)
        tile(number, a, b, c, start, p.size.depth, width, prefetch, scaling, one)
        row += HEIGHTS[panel, rest]


@inner
def block_of(rows, i, offset):
    """The block that begins in row i, `offset` bytes from its start; of nothing, nothing."""
    return Rows(rows.address + i * rows.stride + offset, rows.stride) if rows.address != 0 else rows


@inner
def finish_panel(p, column, width, top, bottom, one):
    """The epilogue for `width` columns from `column` on of rows top to bottom; at the end of rows with the padding."""
    if p.epilogue.function != 0:
        offset, columns = column * itemsize(one), p.size.columns
        reach = width if column + width < columns else with_padding(columns) - column
        other = block_of(p.epilogue.other, top, offset)
        finish(p.epilogue.function, block_of(p.c, top, offset), other, bottom - top, reach, one)


@inner
def finish(function, c, other, rows, columns, one):
    """Apply an epilogue's function; rows without gaps between them are one."""
    if c.stride == columns * itemsize(one) and (other.address == 0 or other.stride == c.stride):
        rows, columns = 1, rows * columns
    call_on_block(function, c, other, rows, columns, one)
