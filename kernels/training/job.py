"""The job: everything that the steps of one call need, as one record.

workspace.py lays it out and fills in what calls of the same shapes have in common; run.py adds the arrays of a call.
The steps read it, and write nothing in it but `not_finite`.
"""

import numpy as np

from ..compiler.decorators import inner
from ..compiler.memory import RecordAt, Rows, accessor, array_at, itemsize, record_of
from ..elementwise.dropout import key_of_step
from ..elementwise.settings import settings_at
from ..network.layers import layer_of, network_at
from ..tuning import DEEP_BATCH


class Job:
    """Addresses, strides in bytes, sizes. An address is 0 where there is nothing."""

    network: int  # the record of the network, see network/layers.py
    tabular: int  # of a network for tables, what it has besides its layers, see tabular/records.py
    parameters: int  # P
    # The samples, and the batches that they are divided into.
    x: int  # (N, I)
    x_row: int
    convert: int  # 0, or the function that makes rows of the dtype of x, see elementwise/conversion.py
    x_column: int  # for that function
    labels: int  # (N,) int64, or 0 if there are rows of targets (N, K)
    targets: int
    targets_stride: int
    weights: int  # of the samples (N,)
    order: int  # indices of samples (E, samples), or 0: the samples as they come
    samples: int  # in an epoch
    batch_size: int
    steps_per_epoch: int
    check: int  # the function that checks samples which their caller has not checked and nobody converts, see batch.py
    not_finite: int  # 1 as soon as a sample is found that is not finite
    # The batch: what belongs to the samples whose addresses are in the input layer's list of rows.
    batch_labels: int
    batch_targets: int
    batch_weights: int
    # The loss.
    loss: int  # the address of its function
    loss_parameters: int  # float64, see elementwise/losses/contract.py
    terms: int  # float64: what the batch's loss is the sum of
    terms_per_sample: int
    step_losses: int  # (S,) float64
    divisors: int  # (S,) float64: the weight of each batch, or 0: the number of its samples
    # The update.
    gradient_only: int  # 1: the gradient is the result, and nothing is updated
    gradient: int  # (P,): the result, or where a gradient is needed as a whole before the update
    find_factors: int  # the addresses of the rule's functions, see elementwise/update_rules/contract.py
    update: int
    scales_weights: int  # 1 for gradient descent, whose update is one product added to the weights
    apply_gradient: int  # the address of update.apply_gradient, where it is needed
    first: int  # the rule's state, laid out like the parameters
    second: int
    rates: int  # (S,) float64: the learning rate of each step
    steps: int  # S
    steps_before: int
    clips: int  # 1 if the norm of the gradient is limited
    squares: int  # float64: the sum of squares of each piece of the gradient
    half_squares: int  # (S,) float64, or 0: half the sum of the squares of all weights, see squares.py
    weight_squares: int  # float64: the sum of squares of each piece of a W
    weight_pieces: int  # of all W
    # For tall batches and for steps on one sample, see tall_step.py and sample_steps.py.
    group_gradients: int
    group_losses: int
    group_samples: int  # rows of samples with contiguous elements
    group_samples_stride: int
    group_dots: int  # dot products of a group's samples
    # The threads.
    team: int
    pace: int
    parts: int
    scratch: int  # of each part: the factors of its rule, a piece of a gradient, room for packing
    scratch_bytes: int
    packing: int  # where that room begins in a scratch
    take_step: int  # the address of the function that takes a step, see steps.py
    calls: int  # how often it is called


JOB = record_of(Job)
job_at: RecordAt = accessor(JOB)


@inner
def network_of(job):
    """The record of the job's network."""
    return network_at(job.network)


@inner
def settings_of(job):
    """The record of the job's settings."""
    return settings_at(network_at(job.network).settings)


@inner
def batch_of(job, step):
    """A step's place in the order, or in the data without one, and the number of its samples.

    The last batch of an epoch may be smaller than the others.
    """
    epoch, first = step // job.steps_per_epoch, step % job.steps_per_epoch * job.batch_size
    return place_of(job, epoch, first), min(job.batch_size, job.samples - first)


@inner
def place_of(job, epoch, number):
    """The place of a sample, from its number in the epoch."""
    return number if job.order == 0 else epoch * job.samples + number


@inner
def rate_of(job, step):
    """The learning rate of a step."""
    return array_at(job.rates, job.steps, 1.0)[step]


@inner
def weight_of_batch(job, step, batch):
    """What the sum over a batch's samples is divided by: the weight of the batch, or the number of its samples."""
    return np.float64(batch) if job.divisors == 0 else array_at(job.divisors, job.steps, 1.0)[step]


@inner
def l2_of(job, step, batch):
    """The factor of the L2 penalty in a step on `batch` samples."""
    settings = settings_of(job)
    if settings.batch_l2 == 0:
        return settings.l2
    return settings.l2 + settings.batch_l2 / weight_of_batch(job, step, batch)


@inner
def dropout_key(job, step):
    """The key of a step's dropout."""
    return key_of_step(int(settings_of(job).seed), job.steps_before + step + 1)


@inner
def in_blocks(job, batch):
    """Whether a batch goes through the network in blocks because it is deep: batch normalization needs all of it."""
    return batch > DEEP_BATCH and layer_of(network_of(job), 1).normalize == 0


@inner
def needs_whole_gradient(job, batch):
    """Whether a batch's gradient is in memory as a whole before the update."""
    return job.gradient_only == 0 and (job.clips != 0 or batch > DEEP_BATCH)


@inner
def target_rows(job, place, row, outputs, one):
    """The rows of targets of the batch from row `row` on, the samples from a place on; without an order, the data's."""
    if job.targets == 0:
        return Rows(0, 0)
    if job.order != 0:
        stride = outputs * itemsize(one)
        return Rows(job.batch_targets + row * stride, stride)
    return Rows(job.targets + place * job.targets_stride, job.targets_stride)
