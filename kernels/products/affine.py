"""The affine map of a layer, and its gradients: public kernels on arrays.

Forward:  out = x W + b.  With G = grad_out = dE/dout, the chain rule gives
    dE/dx_bi = sum_o G_bo W_io     grad_x      = G W^T
    dE/dW_io = sum_b x_bi G_bo     grad_weight = x^T G
    dE/db_o  = sum_b G_bo          grad_bias   = sum over the batch of G

An entry point describes its arrays in a record. All threads read it, and each computes a share of the rows of the
result. Networks do not come through here: they call multiply.py and column_sums.py with buffers of their own.
"""

import numpy as np

from ..compiler.decorators import address_in_code, entry, inner, shared
from ..compiler.memory import (
    Matrix,
    RecordAt,
    Rows,
    accessor,
    address_of_record,
    contiguous_rows,
    fill_list,
    itemsize,
    keep,
    new_record,
    record_of,
    rows_from,
)
from ..compiler.signature import Matrix2D, Real, Vector, WrittenMatrix, WrittenVector
from ..tuning import PREFETCH_DISTANCE
from ..workers.crew import WHOLE, share
from ..workers.region import in_parts
from ..workers.threads import threads_for
from .column_sums import column_sums
from .multiply import multiply, multiply_samples
from .operands import ALONG_ROWS, ALONG_SUM, NEITHER, NO_EPILOGUE, Factor, Size
from .packing import room_bytes


class _Affine:
    """A call: addresses, strides in bytes, and sizes. `out` is grad_out in the backward pass."""

    out: int
    out_row: int
    x: int
    x_row: int
    x_column: int
    weight: int
    weight_row: int
    bias: int
    grad_x: int
    grad_x_row: int
    grad_x_rows: int  # the batch, or 0 if it is left out
    grad_weight: int
    grad_weight_row: int
    grad_weight_rows: int  # the inputs, or 0
    grad_bias_size: int  # the outputs, or 0
    batch: int
    inputs: int
    outputs: int
    room: int  # of all threads
    room_bytes: int  # of each


AFFINE = record_of(_Affine)
affine_at: RecordAt = accessor(AFFINE)


@inner
def bytes_of_room(rows, depth):
    """The room that `multiply_rows` needs."""
    return 8 * (rows + depth + PREFETCH_DISTANCE) + room_bytes(depth)


@inner
def multiply_rows(c, bias, a, b, size, room, one):
    """C = A B, or C = bias + A B, for a left factor A that is a Matrix."""
    item = itemsize(one)
    columns = room + 8 * size.rows
    fill_list(room, a.address, a.row, size.rows)
    fill_list(columns, 0, a.column, size.depth + PREFETCH_DISTANCE)
    contiguous = ALONG_SUM if a.column == item else ALONG_ROWS if a.row == item else NEITHER
    factor, room = Factor(room, columns, contiguous), columns + 8 * (size.depth + PREFETCH_DISTANCE)
    if bias == 0 and b.column == item:
        multiply_samples(c, factor, Rows(b.address, b.row), size, room, one)
    else:
        multiply(c, Rows(bias, 0), factor, b, size, NO_EPILOGUE, WHOLE, room, one)


@shared
def forward_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Rows of out = x W + b."""
    task = affine_at(arguments)
    start, stop = share(task.batch, parts, part)
    multiply_rows(
        rows_from(Rows(task.out, task.out_row), start), task.bias,
        Matrix(task.x + start * task.x_row, task.x_row, task.x_column),
        Matrix(task.weight, task.weight_row, itemsize(one)), Size(stop - start, task.outputs, task.inputs),
        task.room + part * task.room_bytes, one,
    )  # fmt: skip


@entry
def _affine_forward(out: WrittenMatrix, x: Matrix2D, weight: Matrix2D, bias: Vector, threads: int) -> int:
    task, one = new_record(AFFINE), out.dtype.type(1)
    task.out, task.out_row = out.ctypes.data, out.strides[0]
    task.x, task.x_row, task.x_column = x.ctypes.data, x.strides[0], x.strides[1]
    task.weight, task.weight_row, task.bias = weight.ctypes.data, weight.strides[0], bias.ctypes.data
    task.batch, task.inputs, task.outputs = x.shape[0], weight.shape[0], weight.shape[1]
    task.room_bytes = bytes_of_room(task.batch, task.inputs)
    room = np.empty(threads * task.room_bytes, np.uint8)
    task.room = room.ctypes.data
    in_parts(address_in_code(forward_part, one), address_of_record(task), threads, one)
    return keep(room)


def affine_forward(out: np.ndarray, x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> None:
    """Apply an affine map to each row: out = x W + b.

    out     (B, O)  written
    x       (B, I)  read
    weight  (I, O)  read
    bias    (O,)    read

    Error: |got - exact| <= (I + 8) eps (|x| |W| + |b|), elementwise.
    Source: section 1 of the notes, in the orientation of their code.
    """
    result = contiguous_rows(out)
    threads = threads_for(x.size * weight.shape[1])
    _affine_forward(result, x, contiguous_rows(weight), np.ascontiguousarray(bias), threads)
    if result is not out:
        out[...] = result


@shared
def backward_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Rows of grad_x and grad_weight, elements of grad_bias: the three share inputs only, and are split separately."""
    task, item = affine_at(arguments), itemsize(one)
    room = task.room + part * task.room_bytes
    grad_out = Rows(task.out, task.out_row)

    start, stop = share(task.grad_x_rows, parts, part)
    multiply_rows(
        rows_from(Rows(task.grad_x, task.grad_x_row), start), 0,
        Matrix(grad_out.address + start * grad_out.stride, grad_out.stride, item),
        Matrix(task.weight, item, task.weight_row if task.inputs > 1 else item),
        Size(stop - start, task.inputs, task.outputs), room, one,
    )  # fmt: skip

    start, stop = share(task.grad_weight_rows, parts, part)
    multiply_rows(
        rows_from(Rows(task.grad_weight, task.grad_weight_row), start), 0,
        Matrix(task.x + start * task.x_column, task.x_column, task.x_row),
        Matrix(grad_out.address, grad_out.stride, item), Size(stop - start, task.outputs, task.batch), room, one,
    )  # fmt: skip

    start, stop = share(task.grad_bias_size, parts, part)
    offset = start * item
    column_sums(task.bias + offset, Rows(task.out + offset, task.out_row), task.batch, stop - start, 0, one)


@entry
def _affine_backward(
    grad_x: WrittenMatrix, grad_weight: WrittenMatrix, grad_bias: WrittenVector,
    grad_out: Matrix2D, x: Matrix2D, weight: Matrix2D, threads: int,
) -> int:  # fmt: skip
    task, one = new_record(AFFINE), x.dtype.type(1)
    task.grad_x_rows, task.grad_weight_rows = grad_x.shape[0], grad_weight.shape[0]
    task.grad_bias_size = grad_bias.shape[0]
    task.grad_x, task.grad_x_row = grad_x.ctypes.data, grad_x.strides[0]
    task.grad_weight, task.grad_weight_row = grad_weight.ctypes.data, grad_weight.strides[0]
    task.bias, task.out, task.out_row = grad_bias.ctypes.data, grad_out.ctypes.data, grad_out.strides[0]
    task.x, task.x_row, task.x_column = x.ctypes.data, x.strides[0], x.strides[1]
    task.weight, task.weight_row = weight.ctypes.data, weight.strides[0]
    task.batch, task.inputs, task.outputs = x.shape[0], weight.shape[0], weight.shape[1]
    longest = max(task.batch, task.inputs, task.outputs)
    task.room_bytes = bytes_of_room(longest, longest)
    room = np.empty(threads * task.room_bytes, np.uint8)
    task.room = room.ctypes.data
    in_parts(address_in_code(backward_part, one), address_of_record(task), threads, one)
    return keep(room)


def affine_backward(
    grad_x: np.ndarray,
    grad_weight: np.ndarray,
    grad_bias: np.ndarray,
    grad_out: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
) -> None:
    """Gradients of an affine map: grad_x = G W^T, grad_weight = x^T G, grad_bias = sum_b G_b, with G = grad_out.

    grad_x       (B, I)  written; with 0 rows instead of B it is left out
    grad_weight  (I, O)  written; with 0 rows instead of I it is left out
    grad_bias    (O,)    written; with 0 elements it is left out
    grad_out     (B, O)  read
    x            (B, I)  read
    weight       (I, O)  read

    Error: (K + 8) eps times the same product of absolute values, K the length of the sum (O, B and B).
    Source: section 5 of the notes, steps (5) and (6).
    """
    result_x, result_weight = contiguous_rows(grad_x), contiguous_rows(grad_weight)
    result_bias = np.ascontiguousarray(grad_bias)
    threads = threads_for(2 * x.size * weight.shape[1])
    _affine_backward(
        result_x, result_weight, result_bias, contiguous_rows(grad_out), x, contiguous_rows(weight), threads
    )
    if result_x is not grad_x:
        grad_x[...] = result_x
    if result_weight is not grad_weight:
        grad_weight[...] = result_weight
    if result_bias is not grad_bias:
        grad_bias[...] = result_bias
