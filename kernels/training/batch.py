"""A batch: which samples it has, where they lie, and whether they can be used.

The input layer's list of rows gets the addresses of the samples, and the products read them there. Samples whose dtype
or layout products cannot read are converted to rows of a buffer first: only those of the batch, each by the thread that
is about to multiply it.
"""

from ..compiler.decorators import called_through, inner, shared
from ..compiler.memory import Matrix, Rows, array_at, fill_list, itemsize
from ..compiler.signature import Real
from ..elementwise.checks import finite
from ..elementwise.conversion import call_convert
from ..network.layers import layer_of
from .job import job_at, network_of


@inner
def choose_samples(job, place, row, count, one):
    """Make the `count` samples from a place on, see `batch_of`, those of the batch, from row `row` on."""
    network = network_of(job)
    rows = layer_of(network, 0).out_rows
    if job.convert != 0:
        pass  # they are in the list already
    elif job.order == 0:
        fill_list(rows + 8 * row, job.x + place * job.x_row, job.x_row, count)
    else:
        addresses, order = array_at(rows, row + count, 0), array_at(job.order, place + count, 0)
        for i in range(count):
            addresses[row + i] = job.x + order[place + i] * job.x_row
    if job.targets == 0:
        choose_labels(job, place, row, count)
    elif job.order != 0:
        choose_targets(job, place, row, count, layer_of(network, network.layers).outputs, one)
    if job.weights != 0:
        choose_weights(job, place, row, count, one)


@inner
def sample_at(job, place):
    """The index of the sample at a place."""
    return place if job.order == 0 else array_at(job.order, place + 1, 0)[place]


@inner
def choose_labels(job, place, row, count):
    """Copy the labels of samples to those of the batch."""
    labels = array_at(job.batch_labels, row + count, 0)
    for i in range(count):
        sample = sample_at(job, place + i)
        labels[row + i] = array_at(job.labels, sample + 1, 0)[sample]


@inner
def choose_targets(job, place, row, count, outputs, one):
    """Copy the rows of targets of samples to those of the batch."""
    for i in range(count):
        source = array_at(job.targets + sample_at(job, place + i) * job.targets_stride, outputs, one)
        target = array_at(job.batch_targets + (row + i) * outputs * itemsize(one), outputs, one)
        for k in range(outputs):
            target[k] = source[k]


@inner
def choose_weights(job, place, row, count, one):
    """Copy the weights of samples to those of the batch."""
    weights = array_at(job.batch_weights, row + count, one)
    for i in range(count):
        sample = sample_at(job, place + i)
        weights[row + i] = array_at(job.weights, sample + 1, one)[sample]


@inner
def buffer_row(network, row, column, one):
    """Rows of the buffer for converted samples, from a row and an element on."""
    layer = layer_of(network, 0)
    return Rows(layer.out + row * layer.stride + column * itemsize(one), layer.stride)


@inner
def convert_samples(job, target, place, count, left, right, one):
    """Convert features left to right of the `count` samples from a place on, see `batch_of`, and check them."""
    first, order = (place, 0) if job.order == 0 else (0, job.order + 8 * place)
    source = Matrix(job.x + first * job.x_row + left * job.x_column, job.x_row, job.x_column)
    if call_convert(job.convert, target, source, order, count, right - left, one) != 0:
        job.not_finite = 1


@inner
def list_converted(network, start, row, count):
    """Enter rows of the buffer for converted samples, from `row` on, in the list of rows from `start` on."""
    layer = layer_of(network, 0)
    fill_list(layer.out_rows + 8 * start, layer.out + row * layer.stride, layer.stride, count)


@called_through
def call_check(function: int, job_address: int, start: int, stop: int, one: Real) -> None:
    """Call `check_samples` by its address."""


@shared
def check_samples(job_address: int, start: int, stop: int, one: Real) -> None:
    """Check that samples start to stop are finite: a gradient has no order."""
    job = job_at(job_address)
    width, runs = layer_of(network_of(job), 0).outputs, stop - start
    count = width
    if job.x_row == width * itemsize(one):
        runs, count = 1, runs * width
    good = True
    for i in range(start, start + runs):
        good &= finite(array_at(job.x + i * job.x_row, count, one))
    if not good:
        job.not_finite = 1
