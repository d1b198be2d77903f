"""Predictions: the network's outputs for any number of rows, and the loss of these.

Each thread takes a share of the rows and carries it through the network in blocks, so that memory does not grow with
the data. Long predictions begin with a copy of each W in the order in which products read it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler.decorators import address_in_code, address_of, entry, entry_for, inner, shared
from ..compiler.memory import (
    Matrix,
    Rows,
    accessor,
    aligned_zeros,
    array_at,
    contiguous_rows,
    fill_list,
    record_of,
    row_at,
    whole_lines,
)
from ..compiler.signature import Doubles, Integers, Matrix2D, Real, Vector, WrittenMatrix
from ..elementwise.checks import finite
from ..elementwise.conversion import IN_PLACE, call_convert, converter, enter_samples, source_of
from ..elementwise.losses.contract import Targets, call_loss, split_targets, total
from ..elementwise.losses.table import loss_function, terms_per_sample
from ..products.operands import ALONG_SUM
from ..products.packing import bytes_of_room, pack_panels
from ..tuning import (
    BYTES_PER_CACHE_LINE,
    PACKED_LEAST_BYTES,
    PACKED_LEAST_ROWS,
    PACKED_MOST_BYTES,
    PREDICTION_ROWS,
    PREDICTION_ROWS_LARGE,
)
from ..workers.crew import ALONE, Share, share
from ..workers.region import in_parts
from ..workers.threads import threads_for
from .arena import Arena, allocate
from .forward import BatchRows, forward
from .kept import keep_workspace, this_thread
from .layers import layer_of, network_at, outputs_from
from .layout import Form, float_of, lay_out_network

NO_LOSS = -1


class Prediction:
    """What a prediction needs, as one record: addresses, strides in bytes, sizes."""

    network: int  # its record, see layers.py
    block: int  # rows of the buffers that each thread has
    scratch: int  # each thread's room for packing
    scratch_bytes: int
    samples: int
    x: int  # (N, I)
    x_row: int
    convert: int  # 0, or the function that makes rows of the dtype of x, see elementwise/conversion.py
    x_column: int  # for that function
    out: int  # (N, K), if the outputs are wanted
    out_row: int
    out_column: int
    loss: int  # if the loss is wanted: the address of its function
    loss_parameters: int  # float64
    labels: int
    targets: int  # 0 if there are labels
    targets_stride: int
    terms: int
    terms_per_sample: int
    loss_gradients: int  # rows like those of the last layer: the loss function writes them, nobody reads them
    not_finite: int  # 1 as soon as a sample is found that is not finite


PREDICTION = record_of(Prediction)
prediction_at = accessor(PREDICTION)


@inner
def predict_block(job, network, top, count, part, one):
    """Carry `count` rows from number `top` on through the network, in this part's rows of the buffers.

    Returns the first of these rows.
    """
    first, below, source = part * job.block, layer_of(network, 0), job.x + top * job.x_row
    if job.convert != 0:
        target, samples = outputs_from(below, first), Matrix(source, job.x_row, job.x_column)
        if call_convert(job.convert, target, samples, 0, count, below.outputs, one) != 0:
            job.not_finite = 1
        source = target.address
    fill_list(below.out_rows + 8 * first, source, job.x_row if job.convert == 0 else below.stride, count)
    room = job.scratch + part * job.scratch_bytes
    forward(job.network, BatchRows(first, first + count, count, 0), ALONE, room, 0, one)
    return first


@shared
def predict_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Predict a share of the rows, and copy the outputs to where the caller wants them."""
    job = prediction_at(arguments)
    network = network_at(job.network)
    last = layer_of(network, network.layers)
    start, stop = share(job.samples, parts, part)
    for top in range(start, stop, job.block):
        count = min(job.block, stop - top)
        out = outputs_from(last, predict_block(job, network, top, count, part, one))
        for i in range(count):
            result, target = row_at(out, i, last.outputs, one), job.out + (top + i) * job.out_row
            for k in range(last.outputs):
                array_at(target + k * job.out_column, 1, one)[0] = result[k]


@shared
def predicted_loss_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Predict a share of the rows, and write the terms of their loss."""
    job = prediction_at(arguments)
    network = network_at(job.network)
    inputs, last = layer_of(network, 0).outputs, layer_of(network, network.layers)
    start, stop = share(job.samples, parts, part)
    x = Rows(job.x, job.x_row)
    for top in range(start, stop, job.block):
        count = min(job.block, stop - top)
        for i in range(top, top + count if job.convert == 0 else top):
            if not finite(row_at(x, i, inputs, one)):
                job.not_finite = 1
        first = predict_block(job, network, top, count, part, one)
        rows = Rows(job.targets + top * job.targets_stride if job.targets != 0 else 0, job.targets_stride)
        targets, terms = Targets(job.labels + 8 * top, rows), job.terms + 8 * top * job.terms_per_sample
        gradients = Rows(job.loss_gradients + first * last.stride, last.stride)
        out = outputs_from(last, first)
        call_loss(job.loss, gradients, out, count, last.outputs, targets, job.loss_parameters, terms, 1.0, one)


@entry
def _predict(
    params: Vector, out: WrittenMatrix, x: Matrix2D, packed: int, pack: int, job_address: int, threads: int
) -> int:  # fmt: skip
    one = params.dtype.type(1)
    job = bind(params, x, packed, pack, job_address, threads, one)
    job.out, job.out_row, job.out_column = out.ctypes.data, out.strides[0], out.strides[1]
    job.not_finite = 0
    in_parts(address_in_code(predict_part, one), job_address, threads, one)
    return job.not_finite


@entry
def _predicted_loss(
    params: Vector,
    x: Matrix2D,
    labels: Integers,
    targets: Matrix2D,
    loss_parameters: Doubles,
    packed: int,
    pack: int,
    job_address: int,
    threads: int,
) -> float:
    one = params.dtype.type(1)
    job = bind(params, x, packed, pack, job_address, threads, one)
    job.labels, job.targets, job.targets_stride = labels.ctypes.data, 0, targets.strides[0]
    job.loss_parameters = loss_parameters.ctypes.data
    if targets.shape[0] > 0:
        job.targets = targets.ctypes.data
    terms = np.empty(job.samples * job.terms_per_sample, np.float64)
    job.terms, job.not_finite = terms.ctypes.data, 0
    in_parts(address_in_code(predicted_loss_part, one), job_address, threads, one)
    return total(terms) / np.float64(job.samples) if job.not_finite == 0 else np.nan


@inner
def bind(params, x, packed, pack, job_address, threads, one):
    """Enter the arrays of a call into a prediction; with an address for packed weights, pack them there by `pack`."""
    job = prediction_at(job_address)
    network = network_at(job.network)
    network.params = params.ctypes.data
    job.samples = x.shape[0]
    if job.convert == 0:  # else x has no features, see `enter_samples`
        job.x, job.x_row = x.ctypes.data, x.strides[0]
    place = packed
    for number in range(1, network.layers + 1):
        layer = layer_of(network, number)
        layer.packed = place
        if packed != 0:
            place += whole_lines(layer.inputs * layer.outputs * params.itemsize)
    if packed != 0:
        in_parts(pack, job_address, threads, one)
    return job


@shared
def pack_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Copy a share of the panels of each W to where they are packed."""
    network = network_at(prediction_at(arguments).network)
    item = array_at(0, 0, one).itemsize
    for number in range(1, network.layers + 1):
        layer = layer_of(network, number)
        weight = Rows(network.params + layer.weight, layer.outputs * item)
        pack_panels(layer.packed, weight, layer.inputs, layer.outputs, ALONG_SUM, Share(parts, part), one)


class _Shape(NamedTuple):
    """What the workspace of a prediction depends on: the key under which it is kept."""

    sizes: bytes
    activations: bytes
    itemsize: int  # of the dtype
    rows: int  # of a block
    threads: int
    source: str  # how x is read, see `source_of`
    loss: int  # or NO_LOSS


class _Workspace(NamedTuple):
    """The memory of a prediction, its record and the address of that, the entry point: of predictions or of losses."""

    memory: np.ndarray
    job: int
    record: np.void
    predict: Callable[..., Any]


def _workspace_for(
    params: np.ndarray, x: np.ndarray, source: str, sizes: np.ndarray, activations: np.ndarray, loss: int, threads: int
) -> _Workspace:
    """The workspace for these arrays, kept from an earlier call if there was one of the same shape."""
    most = -(-len(x) // threads)  # of a thread
    if most < PREDICTION_ROWS:
        rows = 1 << (most - 1).bit_length()  # a power of two: many lengths share a workspace
    else:
        rows = PREDICTION_ROWS if params.nbytes <= PACKED_MOST_BYTES else PREDICTION_ROWS_LARGE
    shape = sizes.tobytes(), activations.tobytes(), params.itemsize, rows, threads, source, loss
    found: _Workspace | None = this_thread.workspaces.get(shape)
    return found or _new_workspace(_Shape(*shape))


def _new_workspace(shape: _Shape) -> _Workspace:
    function, dtype = _predict if shape.loss == NO_LOSS else _predicted_loss, float_of(shape.itemsize)
    memory, (job, record) = allocate(lambda arena: _lay_out(arena, shape), [(function, dtype)])
    workspace = _Workspace(memory, job, record, entry_for(function, dtype))
    keep_workspace(tuple(shape), workspace, memory.nbytes)
    return workspace


def _lay_out(arena: Arena, shape: _Shape) -> tuple[int, np.void]:
    """Take all memory of a prediction, and fill in its record; returns the record's address, and the record."""
    dtype = float_of(shape.itemsize)
    sizes = tuple(np.frombuffer(shape.sizes, np.int64).tolist())
    activations = tuple(np.frombuffer(shape.activations, np.int64).tolist())
    capacity = shape.rows * shape.threads
    address, (job,) = arena.records(PREDICTION)
    converted = 0
    if shape.source != IN_PLACE:
        job["convert"], converted = converter(shape.source, dtype), capacity
    form = Form(sizes, activations, dtype, capacity, converted, training=False, drops=False, normalized=False)
    job["network"], _, layers = lay_out_network(arena, form)
    job["block"], job["scratch_bytes"] = shape.rows, -(-bytes_of_room(max(sizes)) // 128) * 128 + 128
    job["scratch"] = arena.buffer(shape.threads * int(job["scratch_bytes"]))
    if shape.loss != NO_LOSS:
        job["loss"] = loss_function(shape.loss, dtype)
        job["terms_per_sample"] = terms_per_sample(shape.loss, sizes[-1])
        job["loss_gradients"] = arena.buffer(capacity * int(layers[-1]["stride"]))
    return address, job


class _Packing(NamedTuple):
    """Where weights are packed: memory, the address in it, and that of `pack_part`; 0 where packing does not pay."""

    memory: np.ndarray | None
    address: int
    function: int


_NOT_PACKED = _Packing(None, 0, 0)


def _packing(params: np.ndarray, rows: int, sizes: np.ndarray, threads: int) -> _Packing:
    """Room for a copy of every W in panels, each of which begins with a cache line; or none where it does not pay."""
    if rows < threads * PACKED_LEAST_ROWS or not PACKED_LEAST_BYTES <= params.nbytes <= PACKED_MOST_BYTES:
        return _NOT_PACKED
    memory = aligned_zeros(params.nbytes + len(sizes) * BYTES_PER_CACHE_LINE, np.dtype(np.uint8))
    return _Packing(memory, memory.__array_interface__["data"][0], address_of(pack_part, params.dtype))


def network_forward(
    out: np.ndarray, params: np.ndarray, x: np.ndarray, sizes: np.ndarray, activations: np.ndarray
) -> bool:
    """Carry every row of x through the network: x_l = f_l(x_{l-1} W_l + b_l) for l = 1 to L.

    out          (N, K)    written: the last layer's output
    params       (P,)      read; contiguous: W1 (I, O) row by row, b1, W2, b2, ...
    x            (N, I)    read; of a dtype that `is_convertible` accepts, with any strides
    sizes        (L + 1,)  int64, read; contiguous
    activations  (L,)      int64, read; contiguous: indices into ACTIVATIONS

    Returns False if an element of x is not finite in the dtype of params and x had to be converted to it: what is read
    where it lies is not checked.
    Source: section 1 of the notes, the multilayer network.
    """
    threads = threads_for(x.shape[0] * params.size)
    source = IN_PLACE if x.dtype == params.dtype and x.flags.carray else source_of(x, params.dtype)
    workspace = _workspace_for(params, x, source, sizes, activations, NO_LOSS, threads)
    packing = _packing(params, len(x), sizes, threads)
    if source != IN_PLACE:
        x = enter_samples(workspace.record, x, params.dtype)
    not_finite = workspace.predict(params, out, x, packing.address, packing.function, workspace.job, threads)
    return not_finite == 0


def network_loss(
    params: np.ndarray,
    x: np.ndarray,
    targets: np.ndarray,
    sizes: np.ndarray,
    activations: np.ndarray,
    loss_parameters: np.ndarray,
    loss: int,
) -> float:
    """The mean loss of the network's outputs for the rows of x, as the loss of that name gives it for them.

    params       (P,)      read; contiguous, as in network_forward
    x            (N, I)    read; as in network_forward
    targets      (N,) int64 labels or (N, K) rows, as the loss takes them; read
    sizes        (L + 1,)  int64, read; contiguous
    activations  (L,)      int64, read; contiguous; the last is the identity where the loss contains the output
                           activation
    loss_parameters  (H,)  float64, read; contiguous: what the kernel of the loss takes after its targets, or (0,)
    loss         an index into LOSSES, or what `compile_loss` returned

    Returns the mean, accumulated in float64; NaN if there are no rows, or if an element of x is not finite.
    Source: section 3 of the notes, the error functions.
    """
    labels, rows = split_targets(targets, params.dtype)
    labels, rows = np.ascontiguousarray(labels), contiguous_rows(rows)
    threads = threads_for(x.shape[0] * params.size)
    source = IN_PLACE if x.dtype == params.dtype and x.flags.carray else source_of(x, params.dtype)
    workspace = _workspace_for(params, x, source, sizes, activations, loss, threads)
    packing = _packing(params, len(x), sizes, threads)
    if source != IN_PLACE:
        x = enter_samples(workspace.record, x, params.dtype)
    loss_of_all = workspace.predict(
        params, x, labels, rows, loss_parameters, packing.address, packing.function, workspace.job, threads
    )  # fmt: skip
    return float(loss_of_all)
