"""A training step of a network for tables: all samples through all members, a barrier, the gradient, the update.

The buffers hold the rows of so many samples that they stay in the cache; a larger batch goes through in several parts.
"""

import numpy as np

from ..compiler.decorators import inner, shared
from ..compiler.memory import Rows, array_at, itemsize
from ..compiler.signature import Real
from ..elementwise.losses.contract import Targets, call_loss
from ..network.layers import deltas_from, layer_of, outputs_from
from ..training.batch import sample_at
from ..training.job import batch_of, dropout_key, job_at, network_of
from ..training.passes import note_loss
from ..training.update import clip_gradient, find_factors, update_at
from ..tuning import NORM_PIECE
from ..workers.crew import Crew, share
from ..workers.team import meet
from .embedding import find_knots
from .gradient import add_gradient
from .members import Samples, backward_members, forward_members
from .records import tabular_at


@shared
def tabular_step(job_address: int, step: int, scratch: int, crew: Crew, one: Real) -> None:
    """Take a step on a batch, see `call_step` in training/run.py."""
    job = job_at(job_address)
    tabular, network, room = tabular_at(job.tabular), network_of(job), scratch + job.packing
    place, batch = batch_of(job, step)
    find_factors(job, step, batch, scratch, one)
    find_knots(tabular, network.params, crew, one)
    meet(crew)
    for first in range(0, max(batch, 1), tabular.at_once):
        count = min(tabular.at_once, batch - first)
        carry_share(job, tabular, step, place, first, count, batch, room, crew, one)
        meet(crew)
        last = first + count == batch
        add_gradient(job.network, job.tabular, job.gradient, count, first == 0, last, room, crew, one)
        meet(crew)  # the buffers are free, the gradient is known; the last meeting of a step that updates nothing
    rows = batch * tabular.members
    if crew.rank == 0:
        note_loss(job, step, array_at(job.terms, rows * job.terms_per_sample, 1.0), rows)
    if job.gradient_only == 0:
        update_pieces(job, scratch, crew, one)
    meet(crew)


@inner
def carry_share(job, tabular, step, place, first, count, batch, room, crew, one):
    """Carry this thread's share of the blocks through the network, some at a time; `first` is their first sample."""
    blocks = (count + tabular.block - 1) // tabular.block
    begin, end = share(blocks, crew.members, crew.rank)
    for block in range(begin, end, tabular.blocks_at_once):
        start, stop = block * tabular.block, min(min(block + tabular.blocks_at_once, end) * tabular.block, count)
        choose(job, tabular, place + first, start, stop, one)
        samples = Samples(start, stop, first)
        forward_members(job.network, job.tabular, samples, room, dropout_key(job, step), one)
        find_losses(job, tabular, first, start, stop, batch, one)
        backward_members(job.network, job.tabular, samples, room, one)


@inner
def choose(job, tabular, place, start, stop, one):
    """Enter samples in the list, and copy what belongs to them for the rows of all members."""
    addresses, members = array_at(tabular.samples, stop, 0), tabular.members
    outputs = layer_of(network_of(job), network_of(job).layers).outputs
    for i in range(start, stop):
        sample = sample_at(job, place + i)
        addresses[i] = job.x + sample * job.x_row
        if job.targets == 0:
            label = array_at(job.labels, sample + 1, 0)[sample]
            array_at(job.batch_labels + 8 * i * members, members, 0)[:] = label
        else:
            wanted = array_at(job.targets + sample * job.targets_stride, outputs, one)
            for m in range(members):
                copy = array_at(job.batch_targets + (i * members + m) * outputs * itemsize(one), outputs, one)
                for k in range(outputs):
                    copy[k] = wanted[k]
        if job.weights != 0:
            weight = array_at(job.weights, sample + 1, one)[sample]
            array_at(job.batch_weights + i * members * itemsize(one), members, one)[:] = weight


@inner
def find_losses(job, tabular, first, start, stop, batch, one):
    """The deltas of the heads, and the terms of the loss, which is the mean over samples and members."""
    network, members, item = network_of(job), tabular.members, itemsize(one)
    last, row, rows = layer_of(network, network.layers), start * members, (stop - start) * members
    stride = last.outputs * item
    wanted = Rows(job.batch_targets + row * stride if job.targets != 0 else 0, stride)
    each = job.terms_per_sample
    terms = job.terms + 8 * (first * members + row) * each
    call_loss(
        job.loss, deltas_from(last, row), outputs_from(last, row), rows, last.outputs,
        Targets(job.batch_labels + 8 * row, wanted), job.loss_parameters, terms, 1.0 / (batch * members), one,
    )  # fmt: skip
    if job.weights != 0:
        weights, values = array_at(job.batch_weights + row * item, rows, one), array_at(terms, rows * each, 1.0)
        for i in range(rows):
            delta = array_at(last.delta + (row + i) * last.stride, last.outputs, one)
            for k in range(last.outputs):
                delta[k] *= weights[i]
            for k in range(i * each, (i + 1) * each):
                values[k] *= np.float64(weights[i])


@inner
def update_pieces(job, scratch, crew, one):
    """Update this thread's pieces of the parameters, all of which have the same rule."""
    pieces = (job.parameters + NORM_PIECE - 1) // NORM_PIECE
    begin, end = share(pieces, crew.members, crew.rank)
    if job.clips != 0:
        clip_gradient(job, job.gradient, begin, end, scratch, crew, one)
    start, stop = begin * NORM_PIECE, min(end * NORM_PIECE, job.parameters)
    if start < stop:
        shift = start * itemsize(one)
        update_at(job, shift, job.gradient + shift, stop - start, scratch, one)
