"""A step on a tall batch, one of many samples for a network that is small, in blocks that stay in one core's cache.

Blocks of samples go through the network one after another and leave their weight gradient at once; the team meets; then
each thread adds up the gradients of the blocks for a share of the parameters. Only gradients travel between cores.

The gradients lie in groups, of two blocks or more, each of which is summed block by block by the thread that takes it.
Which blocks there are, and in what order they are summed, depends on the shapes alone.
"""

from typing import NamedTuple

from ..compiler.decorators import Function, inner, shared
from ..compiler.memory import array_at, copy_elements, itemsize, whole_lines
from ..compiler.signature import Real
from ..elementwise.losses.contract import total
from ..network.backward import Part, add_weight_gradient, bias_gradient, part_of_weight, weight_gradient
from ..network.forward import BatchRows
from ..network.layers import layer_of
from ..tuning import (
    NORM_PIECE,
    TALL_GROUPS_BYTES,
    TALL_LEAST_BLOCKS,
    TALL_LEAST_WORK,
    TALL_MOST_GROUPS,
    TALL_MOST_ROWS,
    TALL_ROWS,
    TALL_SMALL_BYTES,
    TALL_SMALL_ROWS,
    TALL_TINY_BYTES,
)
from ..workers.crew import ALONE, Crew, share
from ..workers.team import meet, take
from .batch_step import batch_step
from .job import batch_of, job_at, network_of
from .passes import forward_loss_backward, note_loss
from .squares import note_half_squares, sum_weight_squares
from .update import apply_gradient, find_factors


class Blocks(NamedTuple):
    """How a tall batch is divided: the samples of a block, how many blocks go through the network together, groups."""

    rows: int
    together: int
    groups: int


def _blocks_of(batch, size):
    """The blocks of a batch, for parameters of `size` bytes: no groups if the batch is not tall."""
    least = TALL_SMALL_ROWS if size <= TALL_SMALL_BYTES else TALL_ROWS
    most = TALL_ROWS
    if size <= TALL_TINY_BYTES:  # 16 blocks, if that makes them larger
        most = min(max(batch // 16, most), TALL_MOST_ROWS)
    rows = max(least, min((batch + TALL_LEAST_BLOCKS - 1) // TALL_LEAST_BLOCKS, most))
    together = 2 if 2 * rows <= most else 1
    limit = TALL_GROUPS_BYTES // max(size, 1)
    groups = min(((batch + rows - 1) // rows + 1) // 2, TALL_MOST_GROUPS, limit)
    tall = batch >= TALL_LEAST_BLOCKS * least and batch * size >= TALL_LEAST_WORK and limit >= TALL_LEAST_BLOCKS
    return Blocks(rows, together, groups if tall else 0)


blocks_of: Function = inner(_blocks_of)


def least_tall_batch(size: int) -> int:
    """The fewest samples of a tall batch for parameters of `size` bytes, if they are not too large for tall batches."""
    least = TALL_SMALL_ROWS if size <= TALL_SMALL_BYTES else TALL_ROWS
    return max(TALL_LEAST_BLOCKS * least, -(-TALL_LEAST_WORK // max(size, 1)))


@shared
def tall_step(job_address: int, step: int, scratch: int, crew: Crew, one: Real) -> None:
    """Take a step on a tall batch, see `call_step` in run.py. The last batch of an epoch may not be tall."""
    job = job_at(job_address)
    _, batch = batch_of(job, step)
    blocks = blocks_of(batch, job.parameters * itemsize(one))
    if blocks.groups == 0:
        batch_step(job_address, step, scratch, crew, one)
        return
    find_factors(job, step, batch, scratch, one)
    sum_weight_squares(job, crew, one)
    count = (batch + blocks.rows - 1) // blocks.rows
    while True:
        number = take(crew.team)  # not a fixed share each: a thread that is slowed down takes fewer
        if number >= blocks.groups:
            break
        top, bottom = share(count, blocks.groups, number)
        sum_blocks(job, job_address, step, number, top, bottom, blocks, batch, crew.rank, scratch, one)
    meet(crew)
    if crew.rank == 0:
        note_loss(job, step, array_at(job.group_losses, blocks.groups, 1.0), batch)
        note_half_squares(job, step)
    add_groups(job, blocks.groups, crew, one)
    if job.gradient_only == 0:
        apply_gradient(job_address, job.group_gradients, scratch, crew, one)
    meet(crew)


@inner
def group_gradient(job, number, one):
    """The address of the gradient with this number."""
    return job.group_gradients + number * whole_lines(job.parameters * itemsize(one))


@inner
def sum_blocks(job, job_address, step, number, top, bottom, blocks, batch, rank, scratch, one):
    """The loss and the gradient of blocks `top` to `bottom`, in this order, into the sums with this number."""
    losses, gradient = array_at(job.group_losses, number + 1, 1.0), group_gradient(job, number, one)
    losses[number] = 0.0
    start = rank * blocks.together * blocks.rows  # each thread has rows of its own in the buffers
    for first in range(top, bottom, blocks.together):
        sample = first * blocks.rows
        samples = min(min(first + blocks.together, bottom) * blocks.rows, batch) - sample
        rows = BatchRows(start, start + samples, batch, sample)
        terms = forward_loss_backward(job, job_address, step, rows, start, ALONE, scratch, one)
        for begin in range(0, samples, blocks.rows):
            count, each = min(blocks.rows, samples - begin), job.terms_per_sample
            losses[number] += total(terms[begin * each : (begin + count) * each])
            adds = first > top or begin > 0
            block_gradient(job, gradient, start + begin, count, adds, scratch + job.packing, one)


@inner
def block_gradient(job, gradient, first, count, adds, room, one):
    """The gradient of `count` samples from row `first` of the buffers on, written or added to one in memory."""
    network = network_of(job)
    for number in range(1, network.layers + 1):
        layer, below = layer_of(network, number), layer_of(network, number - 1)
        whole = Part(0, layer.inputs, 0, layer.outputs)
        target = part_of_weight(layer, gradient + layer.weight, whole, one)
        if adds:
            add_weight_gradient(layer, below, target, whole, first, count, room, one, one)
        else:
            weight_gradient(layer, below, target, whole, first, count, room, one)
        bias_gradient(layer, gradient + layer.bias, 0, layer.outputs, first, count, 1 if adds else 0, one)


@inner
def add_groups(job, groups, crew, one):
    """Add the gradients of all groups to the first one's, for this thread's pieces.

    If the gradient is the result it is copied to where the caller wants it.
    """
    begin, end = share((job.parameters + NORM_PIECE - 1) // NORM_PIECE, crew.members, crew.rank)
    start, stop = begin * NORM_PIECE, min(end * NORM_PIECE, job.parameters)
    gradient = array_at(job.group_gradients, job.parameters, one)
    for group in range(1, groups):
        of_group = array_at(group_gradient(job, group, one), job.parameters, one)
        for j in range(start, stop):
            gradient[j] += of_group[j]
    if job.gradient_only != 0:
        shift = start * itemsize(one)
        copy_elements(job.gradient + shift, job.group_gradients + shift, stop - start, one)
