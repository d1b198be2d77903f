"""How the public kernels of activations run: block by block, on several threads.

A kernel describes its arrays in a record. Each thread copies the rows of its part to the output, as many at a time as
stay in the first-level cache, and calls the function of the activation on them, in place.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...compiler.decorators import address_in_code, inner, shared
from ...compiler.memory import (
    NO_ROWS,
    Matrix,
    RecordAt,
    Rows,
    accessor,
    address_of_record,
    contiguous_rows,
    itemsize,
    keep,
    new_record,
    record_of,
)
from ...compiler.signature import Real
from ...tuning import ELEMENTS_PER_BLOCK
from ...workers.crew import share
from ...workers.region import in_parts
from ...workers.threads import threads_for
from ..strided import load_row
from .contract import call_on_block


class ForwardWork:
    """The work of a forward kernel: addresses of arrays, distances of their rows and columns in bytes."""

    activate: int
    whole_rows: int  # 1 for softmax: its blocks keep their rows, where others are one long row if there are no gaps
    rows: int
    columns: int
    out: int
    out_row: int
    x: int
    x_row: int
    x_column: int


class BackwardWork:
    """The work of a backward kernel: addresses of arrays, distances of their rows and columns in bytes."""

    activate: int  # 0 if `given` is what the derivative is computed from: the output of the activation
    differentiate: int
    rows: int
    columns: int
    grad_x: int
    grad_x_row: int
    grad_out: int
    grad_out_row: int
    grad_out_column: int
    given: int
    given_row: int
    given_column: int
    spare: int  # two blocks for each thread
    spare_block: int  # bytes of a block


FORWARD_WORK, BACKWARD_WORK = record_of(ForwardWork), record_of(BackwardWork)
forward_work_at: RecordAt = accessor(FORWARD_WORK)
backward_work_at: RecordAt = accessor(BACKWARD_WORK)


@inner
def rows_per_block(columns):
    """Rows that are worked on at a time."""
    return max(ELEMENTS_PER_BLOCK // max(columns, 1), 1)


@inner
def copy_block(target, source, first, count, columns, one):
    """Copy `count` rows of a matrix, from number `first` on, to rows of contiguous elements."""
    for i in range(count):
        load_row(target.address + i * target.stride, source, first + i, columns, one)


@shared
def forward_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Part number `part` of the work that the record at `arguments` describes."""
    work = forward_work_at(arguments)
    x, columns = Matrix(work.x, work.x_row, work.x_column), work.columns
    start, stop = share(work.rows, parts, part)
    step = rows_per_block(columns)
    gapless = work.out_row == columns * itemsize(one) and work.whole_rows == 0
    for top in range(start, stop, step):
        count = min(step, stop - top)
        out = Rows(work.out + top * work.out_row, work.out_row)
        copy_block(out, x, top, count, columns, one)
        high, wide = (1, count * columns) if gapless else (count, columns)
        call_on_block(work.activate, out, NO_ROWS, high, wide, one)


@shared
def backward_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Part number `part` of the work that the record at `arguments` describes."""
    work = backward_work_at(arguments)
    grad_out, columns = Matrix(work.grad_out, work.grad_out_row, work.grad_out_column), work.columns
    given = Matrix(work.given, work.given_row, work.given_column)
    start, stop = share(work.rows, parts, part)
    step, row = rows_per_block(columns), columns * itemsize(one)
    values = Rows(work.spare + 2 * part * work.spare_block, row)
    slopes = Rows(values.address + work.spare_block, row)
    for top in range(start, stop, step):
        count = min(step, stop - top)
        grad_x = Rows(work.grad_x + top * work.grad_x_row, work.grad_x_row)
        copy_block(values, given, top, count, columns, one)
        copy_block(grad_x, grad_out, top, count, columns, one)
        high, wide = (1, count * columns) if work.grad_x_row == row else (count, columns)
        if work.activate != 0:
            call_on_block(work.activate, values, slopes, high, wide, one)
            call_on_block(work.differentiate, grad_x, slopes, high, wide, one)
        else:
            call_on_block(work.differentiate, grad_x, values, high, wide, one)


@inner
def forward(out, x, activate, whole_rows, threads):
    """Apply the activation at the address `activate` to a matrix; see ForwardWork for `whole_rows`."""
    one, work = out.dtype.type(1), new_record(FORWARD_WORK)
    work.activate, work.whole_rows = activate, whole_rows
    work.rows, work.columns = out.shape
    work.out, work.out_row = out.ctypes.data, out.strides[0]
    work.x, (work.x_row, work.x_column) = x.ctypes.data, x.strides
    in_parts(address_in_code(forward_part, one), address_of_record(work), threads, one)


@inner
def backward(grad_x, grad_out, given, activate, differentiate, threads):
    """Multiply gradients by the derivative of an activation; returns 0.

    given          the outputs of the activation; or its inputs, if `activate` is not 0
    activate       the address of an activation that writes slopes, or 0
    differentiate  the address of the derivative that is computed from outputs or slopes
    """
    one, work = grad_x.dtype.type(1), new_record(BACKWARD_WORK)
    work.activate, work.differentiate = activate, differentiate
    work.rows, work.columns = grad_x.shape
    work.grad_x, work.grad_x_row = grad_x.ctypes.data, grad_x.strides[0]
    work.grad_out, (work.grad_out_row, work.grad_out_column) = grad_out.ctypes.data, grad_out.strides
    work.given, (work.given_row, work.given_column) = given.ctypes.data, given.strides
    spare = np.empty((2 * threads, min(rows_per_block(work.columns), work.rows) * work.columns), grad_x.dtype)
    work.spare, work.spare_block = spare.ctypes.data, spare.strides[0]
    in_parts(address_in_code(backward_part, one), address_of_record(work), threads, one)
    return keep(spare)


def run_forward(kernel: Callable[..., Any], out: np.ndarray, x: np.ndarray, cost: int) -> None:
    """Call an entry point that applies an activation; `cost` is that of an element, in multiply-adds."""
    result = contiguous_rows(out)
    kernel(result, x, threads_for(x.size * cost))
    if result is not out:
        out[...] = result


def run_backward(
    kernel: Callable[..., Any], grad_x: np.ndarray, grad_out: np.ndarray, given: np.ndarray, cost: int
) -> None:
    """Call an entry point that multiplies by a derivative; `cost` is that of an element, in multiply-adds."""
    result = contiguous_rows(grad_x)
    kernel(result, grad_out, given, threads_for(given.size * cost))
    if result is not grad_x:
        grad_x[...] = result
