"""A prediction in compiled code: the network's outputs for any number of rows, and the loss of these.

Each thread takes a share of the rows and carries it through the network in blocks, so that memory does not grow with
the data. Long predictions begin with a copy of each W in the order in which products read it. Where there are so few
rows that reading W takes the time, threads divide the columns of W instead, layer after layer.

prediction_calls.py makes the record of a prediction and calls the entry points; forward.py computes the layers.
"""

import numpy as np

from ..compiler.decorators import address_in_code, entry, inner, shared
from ..compiler.memory import Matrix, RecordAt, Rows, accessor, array_at, fill_list, record_of, row_at
from ..compiler.signature import Doubles, Integers, Matrix2D, Real, Vector, WrittenMatrix
from ..elementwise.checks import finite
from ..elementwise.conversion import call_convert
from ..elementwise.losses.contract import Targets, call_loss, total
from ..products.operands import ALONG_SUM
from ..products.packing import pack_panels
from ..workers.crew import ALONE, Crew, Share, share
from ..workers.region import in_parts
from .division import divides_columns, threads_for_columns
from .forward import BatchRows, finish_rows, forward, multiply_layer
from .layers import layer_of, network_at, outputs_from


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
    pack: int  # 0, or the address of `pack_part`, where a prediction begins with a copy of each W
    layer: int  # the number of the layer whose columns threads divide, see `predict_by_layers`


PREDICTION = record_of(Prediction)
prediction_at: RecordAt = accessor(PREDICTION)


@inner
def enter_rows(job, network, top, count, first, one):
    """Let rows `first` and so on of the input be the `count` samples from number `top` on, converted if need be."""
    below, source = layer_of(network, 0), job.x + top * job.x_row
    if job.convert != 0:
        target, samples = outputs_from(below, first), Matrix(source, job.x_row, job.x_column)
        if call_convert(job.convert, target, samples, 0, count, below.outputs, one) != 0:
            job.not_finite = 1
        source = target.address
    fill_list(below.out_rows + 8 * first, source, job.x_row if job.convert == 0 else below.stride, count)


@inner
def predict_block(job, network, top, count, part, one):
    """Carry `count` rows from number `top` on through the network, in this part's rows of the buffers.

    Returns the first of these rows.
    """
    first = part * job.block
    enter_rows(job, network, top, count, first, one)
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
        copy_outputs(job, last, predict_block(job, network, top, count, part, one), top, count, one)


@inner
def copy_outputs(job, last, first, top, count, one):
    """Copy the last layer's rows from `first` on to the caller's rows from `top` on."""
    out = outputs_from(last, first)
    for i in range(count):
        result, target = row_at(out, i, last.outputs, one), job.out + (top + i) * job.out_row
        for k in range(last.outputs):
            array_at(target + k * job.out_column, 1, one)[0] = result[k]


@inner
def predict_by_layers(job, network, job_address, threads, one):
    """Predict a few rows layer after layer: of a large one each thread computes a share of the columns."""
    enter_rows(job, network, 0, job.samples, 0, one)
    rows = BatchRows(0, job.samples, job.samples, 0)
    for number in range(1, network.layers + 1):
        layer, job.layer = layer_of(network, number), number
        parts = min(threads, threads_for_columns(layer, job.samples))
        in_parts(address_in_code(layer_part, one), job_address, parts, one)
        finish_rows(network, layer, number, rows, 0, one)
    copy_outputs(job, layer_of(network, network.layers), 0, 0, job.samples, one)


@shared
def layer_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Compute a share of the columns of a layer, for all rows."""
    job = prediction_at(arguments)
    network = network_at(job.network)
    layer, below = layer_of(network, job.layer), layer_of(network, job.layer - 1)
    rows, room = BatchRows(0, job.samples, job.samples, 0), job.scratch + part * job.scratch_bytes
    multiply_layer(network, layer, below, rows, Crew(0, parts, part), True, room, one)


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
def predict_rows(params: Vector, out: WrittenMatrix, x: Matrix2D, job_address: int, threads: int) -> int:
    one = params.dtype.type(1)
    job = bind(params, x, job_address, threads, one)
    job.out, job.out_row, job.out_column = out.ctypes.data, out.strides[0], out.strides[1]
    job.not_finite = 0
    if threads > 1 and divides_columns(network_at(job.network), job.samples, threads):
        predict_by_layers(job, network_at(job.network), job_address, threads, one)
    else:
        in_parts(address_in_code(predict_part, one), job_address, threads, one)
    return job.not_finite


@entry
def predicted_loss(
    params: Vector,
    x: Matrix2D,
    labels: Integers,
    targets: Matrix2D,
    loss_parameters: Doubles,
    job_address: int,
    threads: int,
) -> float:
    one = params.dtype.type(1)
    job = bind(params, x, job_address, threads, one)
    job.labels, job.targets, job.targets_stride = labels.ctypes.data, 0, targets.strides[0]
    job.loss_parameters = loss_parameters.ctypes.data
    if targets.shape[0] > 0:
        job.targets = targets.ctypes.data
    terms = np.empty(job.samples * job.terms_per_sample, np.float64)
    job.terms, job.not_finite = terms.ctypes.data, 0
    in_parts(address_in_code(predicted_loss_part, one), job_address, threads, one)
    return total(terms) / np.float64(job.samples) if job.not_finite == 0 else np.nan


@inner
def bind(params, x, job_address, threads, one):
    """Enter the arrays of a call into a prediction, and pack the weights if it has room for them."""
    job = prediction_at(job_address)
    network_at(job.network).params = params.ctypes.data
    job.samples = x.shape[0]
    if job.convert == 0:  # else x has no features, see `enter_samples`
        job.x, job.x_row = x.ctypes.data, x.strides[0]
    if job.pack != 0:
        in_parts(job.pack, job_address, threads, one)
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
