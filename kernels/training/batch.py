"""A batch: which samples it has, where they lie, and whether they can be used.

Samples are not copied. The input layer's list of rows gets their addresses, and the products read them there.
"""

import numpy as np

from ..compiler.decorators import called_through, inner, shared
from ..compiler.memory import array_at, fill_list, itemsize
from ..compiler.signature import Real
from ..elementwise.checks import finite, finite_as
from ..network.layers import layer_of
from .job import job_at, network_of


@inner
def choose_samples(job, place, row, count, one):
    """Make the `count` samples from a place on, see `batch_of`, those of the batch, from row `row` on."""
    network = network_of(job)
    rows = layer_of(network, 0).out_rows
    if job.order == 0:
        fill_list(rows + 8 * row, job.x + place * job.x_stride, job.x_stride, count)
    else:
        addresses, order = array_at(rows, row + count, 0), array_at(job.order, place + count, 0)
        for i in range(count):
            addresses[row + i] = job.x + order[place + i] * job.x_stride
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


@called_through
def call_take_in(function: int, job_address: int, start: int, stop: int, left: int, right: int, one: Real) -> None:
    """Call `take_in` by its address."""


@shared
def take_in(job_address: int, start: int, stop: int, left: int, right: int, one: Real) -> None:
    """Convert features left to right of samples start to stop, if they are of the other dtype, and check them.

    Each thread takes in what it is about to multiply, so that it reads the samples once.
    """
    job = job_at(job_address)
    network = network_of(job)
    width, item, other_item = layer_of(network, 0).outputs, itemsize(one), 12 - itemsize(one)
    runs, count = stop - start, right - left
    one_run = job.x_stride == width * item and (job.x_as_given == 0 or job.x_as_given_stride == width * other_item)
    if count == width and one_run:
        runs, count = 1, runs * count
    fit = True
    for i in range(start, start + runs):
        values = array_at(job.x + i * job.x_stride + left * item, count, one)
        given = job.x_as_given + i * job.x_as_given_stride + left * other_item
        if job.x_as_given == 0:
            fit &= finite(values)
        elif item == 8:
            fit &= finite_as(values, array_at(given, count, np.float32(1)))
        else:
            fit &= finite_as(values, array_at(given, count, np.float64(1)))
    if not fit:
        job.not_finite = 1
