"""How the public kernels of update rules run: a part of the rows on each thread, after the factors of the step."""

from typing import Any, NamedTuple

import numpy as np

from ...compiler.decorators import address_in_code, inner, shared
from ...compiler.memory import Matrix, RecordAt, accessor, address_of_record, itemsize, keep, new_record, record_of
from ...compiler.signature import Real
from ...tuning import UPDATE_COST
from ...workers.crew import share
from ...workers.region import in_parts
from ...workers.threads import threads_for
from ..strided import load_row, store_row
from .contract import FACTORS, call_factors, call_update


class Arrays(NamedTuple):
    """Parameters, state and gradient, matrices of one shape. A rule without some state gets the parameters for it."""

    param: Any
    first: Any
    second: Any
    grad: Any


class UpdateWork:
    """The work of an update: addresses of arrays, distances of their rows and columns in bytes."""

    update: int
    factors: int
    rows: int
    columns: int
    param: int
    param_row: int
    param_column: int
    first: int
    first_row: int
    first_column: int
    second: int
    second_row: int
    second_column: int
    grad: int
    grad_row: int
    grad_column: int
    spare: int  # four rows for each thread, if the rows of an array are not contiguous, else 0


UPDATE_WORK = record_of(UpdateWork)
update_work_at: RecordAt = accessor(UPDATE_WORK)


@inner
def update_contiguous_rows(work, start, stop, one):
    """Update rows of contiguous elements. Rows that follow one another without a gap are one long run."""
    count, rows, row = work.columns, stop - start, work.param_row
    gapless = row == count * itemsize(one) and row == work.first_row and row == work.second_row and row == work.grad_row
    if gapless:
        count, rows = count * rows, 1
    for i in range(start, start + rows):
        call_update(
            work.update, work.param + i * row, work.first + i * work.first_row, work.second + i * work.second_row,
            work.grad + i * work.grad_row, count, work.factors, one,
        )  # fmt: skip


@inner
def update_strided_rows(work, start, stop, spare, one):
    """Update rows with any strides: copy each to four contiguous rows at the address `spare`, and back."""
    count, row = work.columns, work.columns * itemsize(one)
    param = Matrix(work.param, work.param_row, work.param_column)
    first = Matrix(work.first, work.first_row, work.first_column)
    second = Matrix(work.second, work.second_row, work.second_column)
    grad = Matrix(work.grad, work.grad_row, work.grad_column)
    for i in range(start, stop):
        load_row(spare, param, i, count, one)
        load_row(spare + row, first, i, count, one)
        load_row(spare + 2 * row, second, i, count, one)
        load_row(spare + 3 * row, grad, i, count, one)
        call_update(work.update, spare, spare + row, spare + 2 * row, spare + 3 * row, count, work.factors, one)
        store_row(second, i, spare + 2 * row, count, one)  # the parameters last: they may stand for the state
        store_row(first, i, spare + row, count, one)
        store_row(param, i, spare, count, one)


@shared
def update_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Part number `part` of the work that the record at `arguments` describes."""
    work = update_work_at(arguments)
    start, stop = share(work.rows, parts, part)
    if work.spare == 0:
        update_contiguous_rows(work, start, stop, one)
    else:
        update_strided_rows(work, start, stop, work.spare + part * 4 * work.columns * itemsize(one), one)


@inner
def update_arrays(arrays, rule, setting, rate, step, threads):
    """Update parameters and state by a rule.

    arrays   as in `Arrays`
    rule     the addresses of its functions, see `Rule`
    setting  the record of settings
    """
    param, first, second, grad = arrays
    one, item, work = param.dtype.type(1), param.itemsize, new_record(UPDATE_WORK)
    work.update = rule.update
    work.rows, work.columns = param.shape
    work.param, (work.param_row, work.param_column) = param.ctypes.data, param.strides
    work.first, (work.first_row, work.first_column) = first.ctypes.data, first.strides
    work.second, (work.second_row, work.second_column) = second.ctypes.data, second.strides
    work.grad, (work.grad_row, work.grad_column) = grad.ctypes.data, grad.strides
    contiguous = work.param_column == item and work.first_column == item
    contiguous = contiguous and work.second_column == item and work.grad_column == item
    memory = np.empty(FACTORS + (0 if contiguous else threads * 4 * work.columns), param.dtype)
    work.factors = memory.ctypes.data
    work.spare = 0 if contiguous else work.factors + FACTORS * item
    call_factors(rule.factors, work.factors, address_of_record(setting), rate, 0.0, step, one)
    in_parts(address_in_code(update_part, one), address_of_record(work), threads, one)
    return keep(memory)


def as_rows(x: np.ndarray) -> np.ndarray:
    """A matrix as it is, and a vector as a matrix of one row: a view, for any stride."""
    return x if x.ndim == 2 else x[np.newaxis]


def threads_to_update(param: np.ndarray) -> int:
    """How many threads an update of these parameters runs on."""
    return threads_for(UPDATE_COST * param.size)
