"""What describes a matrix product: its operands, its size, and what happens to its result.

The drivers of this folder take addresses, which travel together in named tuples: `Rows` and `Matrix` of
compiler/memory.py for matrices whose rows lie at a regular distance, and `Factor` for a left factor, whose elements may
lie anywhere. How a product is computed is not known here.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.memory import NO_ROWS, Matrix, Rows, array_at
from ..compiler.signature import Real
from ..workers.crew import Share

# Which elements of a left factor are contiguous in memory: none; those along the sum, as in x W; those along the rows
# of the result, as in x^T G.
NEITHER, ALONG_SUM, ALONG_ROWS = range(3)

# In place of a right factor's column stride: its panels lie as `pack_panels` leaves them. No columns are 1 byte apart.
IN_PANELS = 1


class Factor(NamedTuple):
    """A left factor, by the addresses of two lists of int64: element (i, k) lies at address rows[i] + columns[k].

    So the samples of a batch need not be gathered from the data, and x^T is x with its lists exchanged. `contiguous` is
    NEITHER, ALONG_SUM or ALONG_ROWS. Behind the list `columns`, PREFETCH_DISTANCE more numbers must be readable.
    """

    rows: int
    columns: int
    contiguous: int


def elements_of(a: Factor, rows: int, depth: int, dtype: np.dtype) -> np.ndarray:
    """The first rows of a left factor as an array: for the Python that stands in for LLVM functions."""
    elements = np.empty((int(rows), int(depth)), dtype)
    for i, k in np.ndindex(elements.shape):
        address = array_at(a.rows, rows, np.int64(0))[i] + array_at(a.columns, depth, np.int64(0))[k]
        elements[i, k] = array_at(address, 1, dtype.type(0))[0]
    return elements


class Size(NamedTuple):
    """The rows and columns of a product, and the number of terms of each of its sums."""

    rows: int
    columns: int
    depth: int


class Epilogue(NamedTuple):
    """What is done to each panel of a result while it is in the cache.

    `function` is the address of a function with the prototype `call_on_block`, or 0 for none. `other` is its second
    operand, row for row of the result: what it reads, or writes, beside the result; or NO_ROWS.
    """

    function: int
    other: Rows


NO_EPILOGUE = Epilogue(0, NO_ROWS)


class Product(NamedTuple):
    """One call of the driver, see multiply.py."""

    c: Rows
    start: Rows
    a: Factor
    b: Matrix
    size: Size
    epilogue: Epilogue
    share: Share
    room: int


class Scaling(NamedTuple):
    """How sums become the result: C = sums, or C = shrink C + alpha sums if `scaled` is 1."""

    scaled: int
    shrink: Real
    alpha: Real


class Weights(NamedTuple):
    """The parameters of a layer: the addresses of W (rows, columns) and its bias (columns,), and W's size."""

    weight: int
    bias: int
    rows: int
    columns: int


class Samples(NamedTuple):
    """What a pass over W with one sample needs, see one_row.py: addresses of contiguous elements.

    The last sample's update is W += old^T change; `new` is the sample that W is multiplied by.
    """

    old: int
    change: int
    new: int
