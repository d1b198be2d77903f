"""Some samples of a batch through the network and back: forward pass, loss, back-propagation."""

import numpy as np

from ..compiler.decorators import inner
from ..compiler.memory import array_at
from ..elementwise.losses.contract import Targets, call_loss, total
from ..network.backward import backward
from ..network.division import in_halves
from ..network.forward import forward
from ..network.layers import deltas_from, layer_of, outputs_from
from ..workers.crew import share
from .batch import buffer_row, call_check, choose_samples, convert_samples, list_converted
from .job import batch_of, dropout_key, network_of, target_rows, weight_of_batch


@inner
def forward_loss_backward(job, job_address, step, rows, room_row, crew, scratch, one):
    """Carry samples of a step's batch to the loss and back; the deltas are what the update needs.

    rows      where they go in the buffers, and which samples of the batch they are
    room_row  the first of their rows in the buffer for converted samples

    Returns the terms of their loss.
    """
    place, _ = batch_of(job, step)
    network, room = network_of(job), scratch + job.packing
    count, inputs = rows.stop - rows.start, layer_of(network, 0).outputs
    halves = crew.team != 0 and in_halves(layer_of(network, 1), rows.batch, one)
    end = rows.first + count
    if job.convert != 0:
        left, right = share(inputs, crew.members, crew.rank) if halves else (0, inputs)
        if halves:  # each thread multiplies its share of the inputs of all samples, and meets the others before
            convert_samples(job, buffer_row(network, 0, left, one), place, rows.batch, left, right, one)
        else:
            target = buffer_row(network, room_row, 0, one)
            convert_samples(job, target, place + rows.first, count, 0, inputs, one)
        list_converted(network, rows.start, room_row, count)
    elif job.check != 0 and not halves:
        call_check(job.check, job_address, rows.first, end, one)
    choose_samples(job, place + rows.first, rows.start, count, one)
    doubt = forward(job.network, rows, crew, room, dropout_key(job, step), one)
    if job.check != 0 and doubt != 0:  # the weights may be the reason, too
        call_check(job.check, job_address, rows.first, end, one)
    weight = weight_of_batch(job, step, rows.batch)
    terms = loss_of_rows(job, place + rows.first, rows.start, rows.stop, weight, one)
    backward(job.network, rows, crew, room, one)
    return terms


@inner
def loss_of_rows(job, place, start, stop, weight, one):
    """After the forward pass: dE/dy of rows into the last layer's deltas; returns the terms of their loss.

    E is the sum of the batch's losses over `weight`, see `weight_of_batch`; `place` is that of row `start`, see
    `batch_of`.
    """
    network = network_of(job)
    last = layer_of(network, network.layers)
    targets = Targets(job.batch_labels + 8 * start, target_rows(job, place, start, last.outputs, one))
    terms, count = job.terms + 8 * start * job.terms_per_sample, (stop - start) * job.terms_per_sample
    call_loss(
        job.loss, deltas_from(last, start), outputs_from(last, start), stop - start, last.outputs, targets,
        job.loss_parameters, terms, 1.0 / weight if weight != 0 else 1.0, one,
    )  # fmt: skip
    if job.weights != 0:
        weigh_losses(job, last, start, stop, array_at(terms, count, 1.0), one)
    return array_at(terms, count, 1.0)


@inner
def weigh_losses(job, last, start, stop, terms, one):
    """Multiply the loss of each sample, in its terms and its gradient, by the sample's weight."""
    weights, each = array_at(job.batch_weights, stop, one), job.terms_per_sample
    for i in range(start, stop):
        delta = array_at(last.delta + i * last.stride, last.outputs, one)
        for k in range(last.outputs):
            delta[k] *= weights[i]
        for k in range((i - start) * each, (i - start + 1) * each):
            terms[k] *= np.float64(weights[i])


@inner
def note_loss(job, step, terms, batch):
    """Write the mean loss of a step's batch: the sum of its terms over the weight of the batch."""
    loss = total(terms) / weight_of_batch(job, step, batch)
    array_at(job.step_losses, job.steps, 1.0)[step] = loss if job.not_finite == 0 else np.nan
