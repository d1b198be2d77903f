"""Predictions of networks for tables: each thread takes a share of the samples, and carries them through in blocks."""

from ..compiler.decorators import address_in_code, entry, inner, shared
from ..compiler.memory import RecordAt, Rows, accessor, array_at, fill_list, record_of, row_at
from ..compiler.signature import Matrix2D, Real, Vector, WrittenMatrix
from ..elementwise.activations.contract import call_on_block, with_padding
from ..network.layers import layer_of, network_at, outputs_from
from ..workers.crew import ALONE, share
from ..workers.region import in_parts
from .embedding import find_knots
from .members import Samples, forward_members
from .records import tabular_at


class Prediction:
    """What a prediction needs, as one record: addresses, strides in bytes, sizes."""

    network: int
    tabular: int
    block: int  # samples of the buffers that each thread has
    scratch: int  # each thread's room for products
    scratch_bytes: int
    samples: int
    x: int  # (N, F)
    x_row: int
    out: int  # (N, K)
    out_row: int
    out_column: int


TABULAR_PREDICTION = record_of(Prediction)
prediction_at: RecordAt = accessor(TABULAR_PREDICTION)


@entry
def predict_tabular(params: Vector, out: WrittenMatrix, x: Matrix2D, job_address: int, threads: int) -> None:
    """Compute the mean outputs of the members for all rows of x, whose elements are contiguous."""
    job, one = prediction_at(job_address), params.dtype.type(1)
    network = network_at(job.network)
    network.params = params.ctypes.data
    job.samples, job.x, job.x_row = x.shape[0], x.ctypes.data, x.strides[0]
    job.out, job.out_row, job.out_column = out.ctypes.data, out.strides[0], out.strides[1]
    find_knots(tabular_at(job.tabular), network.params, ALONE, one)
    in_parts(address_in_code(predict_part, one), job_address, threads, one)


@shared
def predict_part(arguments: int, parts: int, part: int, one: Real) -> None:
    """Predict a share of the samples."""
    job = prediction_at(arguments)
    network, tabular = network_at(job.network), tabular_at(job.tabular)
    first, room = part * job.block, job.scratch + part * job.scratch_bytes
    start, stop = share(job.samples, parts, part)
    for top in range(start, stop, job.block):
        count = min(job.block, stop - top)
        fill_list(tabular.samples + 8 * first, job.x + top * job.x_row, job.x_row, count)
        forward_members(job.network, job.tabular, Samples(first, first + count, 0), room, 0, one)
        write_means(job, network, tabular, first, top, count, one)


@inner
def write_means(job, network, tabular, first, top, count, one):
    """Apply the output activation, and write the mean over the members of samples from `first` on."""
    last, members = layer_of(network, network.layers), tabular.members
    out, rows = outputs_from(last, first * members), count * members
    if last.activate_rows != 0:
        call_on_block(last.activate_rows, out, Rows(0, 0), rows, last.outputs, one)
    if last.activate != 0:
        call_on_block(last.activate, out, Rows(0, 0), rows, with_padding(last.outputs), one)
    for i in range(count):
        target = job.out + (top + i) * job.out_row
        for k in range(last.outputs):
            total = row_at(out, i * members, last.outputs, one)[k]
            for m in range(1, members):
                total += row_at(out, i * members + m, last.outputs, one)[k]
            array_at(target + k * job.out_column, 1, one)[0] = total / members
