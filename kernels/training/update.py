"""The update: weight gradients of a whole batch, and the optimizer's rule on them.

As a rule the gradient is never in memory as a whole. Each thread sums it over the batch for a share of each layer's
inputs, some rows of W at a time, and updates these with it; in gradient descent that is one product, added to W.

The gradient is written to memory first, and applied then, if its norm is limited, because no part of it may be used
before the whole is known; for a deep batch, which goes through the network in blocks; and for a tall one.
"""

import numpy as np

from ..compiler.decorators import called_through, inner, shared
from ..compiler.memory import array_at, as_type_of, copy_elements, itemsize
from ..compiler.signature import Real
from ..elementwise.losses.contract import total
from ..elementwise.normalization import column_share
from ..elementwise.primitives import mul_add
from ..elementwise.update_rules.contract import (
    FACTORS,
    L2,
    LEARNING_RATE,
    SHRINK,
    add_penalty,
    call_factors,
    call_update,
)
from ..network.backward import Part, add_weight_gradient, bias_gradient, part_of_weight, weight_gradient
from ..network.division import widens
from ..network.layers import layer_of
from ..tuning import DEEP_BATCH_SUM, NORM_PIECE, UPDATE_ROWS, WIDENING_FACTOR_WITH_STATE
from ..workers.crew import Crew, share
from ..workers.team import meet
from .batch import buffer_row, convert_samples, list_converted
from .job import in_blocks, job_at, l2_of, needs_whole_gradient, network_of, rate_of, settings_of
from .squares import sum_of_squares

# Bytes at the beginning of a thread's scratch for the factors of its rule; a piece of a gradient follows.
FACTORS_BYTES = 128


@inner
def find_factors(job, step, batch, scratch, one):
    """Write the factors of a step on `batch` samples to the beginning of this thread's scratch."""
    if job.gradient_only == 0:
        settings, number = network_of(job).settings, job.steps_before + step + 1
        l2 = l2_of(job, step, batch)
        call_factors(job.find_factors, scratch, settings, rate_of(job, step), l2, number, one)


@inner
def update_at(job, shift, grad, count, scratch, one):
    """Update `count` parameters, `shift` bytes from the first one, with their gradient at an address."""
    param = network_of(job).params + shift
    call_update(job.update, param, job.first + shift, job.second + shift, grad, count, scratch, one)


@shared
def update_layers(job_address: int, place: int, batch: int, scratch: int, crew: Crew, one: Real) -> None:
    """Sum the gradient of a batch and update with it, for this thread's share of each layer.

    `place` is that of the batch's first sample, see `batch_of`.
    Where the gradient is the result, or is needed as a whole, it is written to memory and not applied.
    """
    job = job_at(job_address)
    network = network_of(job)
    writes = job.gradient_only != 0 or needs_whole_gradient(job, batch)
    for number in range(1, network.layers + 1):
        layer, below = layer_of(network, number), layer_of(network, number - 1)
        part = weight_share(job, layer, batch, writes, crew, one)
        if number == 1 and job.convert != 0 and in_blocks(job, batch):
            gradient_of_converted(job, layer, below, place, batch, scratch + job.packing, crew, one)
            part = Part(0, 0, 0, 0)
        at_once = max(part.bottom - part.top, 1) if writes or job.scales_weights != 0 else UPDATE_ROWS
        for top in range(part.top, part.bottom, at_once):
            rows = Part(top, min(top + at_once, part.bottom), part.left, part.right)
            update_weights(job, layer, below, rows, batch, writes, scratch, one)
        start, stop = share(layer.outputs, crew.members, crew.rank)
        update_vectors(job, layer, start, stop, batch, writes, scratch, one)


@inner
def weight_share(job, layer, batch, writes, crew, one):
    """The part of W that is this thread's: a share of the inputs or, where the layer widens, of the outputs."""
    stateless = writes or job.scales_weights != 0
    wide = stateless or layer.outputs >= WIDENING_FACTOR_WITH_STATE * layer.inputs
    if crew.members > 1 and wide and widens(layer, batch, one):
        left, right = column_share(layer.outputs, crew.members, crew.rank)
        return Part(0, layer.inputs, left, right)
    top, bottom = share(layer.inputs, crew.members, crew.rank)
    return Part(top, bottom, 0, layer.outputs)


@inner
def gradient_of_converted(job, layer, below, place, batch, room, crew, one):
    """The gradient of the first W over a deep batch whose samples are converted: this thread's rows.

    The samples are converted once more, as many at a time as are summed at once: a buffer for the whole batch could be
    a copy of all samples. The sums are those of `weight_gradient`.
    """
    top, bottom = share(layer.inputs, crew.members, crew.rank)
    if top == bottom:
        return
    network, part = network_of(job), Part(top, bottom, 0, layer.outputs)
    target = part_of_weight(layer, job.gradient + layer.weight, part, one)
    for first in range(0, batch, DEEP_BATCH_SUM):
        count = min(DEEP_BATCH_SUM, batch - first)
        convert_samples(job, buffer_row(network, 0, top, one), place + first, count, top, bottom, one)
        list_converted(network, first, 0, count)  # all threads write the same numbers
        if first == 0:
            weight_gradient(layer, below, target, part, first, count, room, one)
        else:
            add_weight_gradient(layer, below, target, part, first, count, room, one, one)


@inner
def update_weights(job, layer, below, part, batch, writes, scratch, one):
    """The gradient of a part of W, and the update with it."""
    weight, room = network_of(job).params + layer.weight, scratch + job.packing
    if writes:
        target = part_of_weight(layer, job.gradient + layer.weight, part, one)
        weight_gradient(layer, below, target, part, 0, batch, room, one)
    elif job.scales_weights != 0:
        factor = array_at(scratch, FACTORS, one)
        target = part_of_weight(layer, weight, part, one)
        add_weight_gradient(layer, below, target, part, 0, batch, room, factor[SHRINK], -factor[LEARNING_RATE])
    else:
        # The gradient lies in the scratch as the part does in W.
        shift = part_of_weight(layer, layer.weight, part, one)
        grad = part_of_weight(layer, scratch + FACTORS_BYTES, Part(0, 0, part.left, part.right), one)
        weight_gradient(layer, below, grad, part, 0, batch, room, one)
        runs, count = part.bottom - part.top, part.right - part.left
        if count == layer.outputs:  # rows follow one another
            runs, count = 1, runs * count
        for run in range(runs):
            place, source = shift.address + run * shift.stride, grad.address + run * grad.stride
            add_penalty(source, network_of(job).params + place, count, scratch, one)
            update_at(job, place, source, count, scratch, one)


@inner
def update_vectors(job, layer, start, stop, batch, writes, scratch, one):
    """Elements `start` to `stop` of the bias and, with batch normalization, of gamma and beta."""
    count, shift = stop - start, start * itemsize(one)
    if writes:
        bias_gradient(layer, job.gradient + layer.bias + shift, start, stop, 0, batch, 0, one)
    else:
        grad = scratch + FACTORS_BYTES + shift
        bias_gradient(layer, grad, start, stop, 0, batch, 0, one)
        update_at(job, layer.bias + shift, grad, count, scratch, one)
    if layer.normalized != 0:
        update_vector(job, layer.gamma + shift, layer.grad_gamma + shift, count, writes, scratch, one)
        update_vector(job, layer.beta + shift, layer.grad_beta + shift, count, writes, scratch, one)


@inner
def update_vector(job, place, grad, count, writes, scratch, one):
    """Apply a gradient that is already known, or write it to memory."""
    if writes:
        copy_elements(job.gradient + place, grad, count, one)
    else:
        update_at(job, place, grad, count, scratch, one)


@called_through
def call_apply_gradient(function: int, job_address: int, gradient: int, scratch: int, crew: Crew, one: Real) -> None:
    """Call `apply_gradient` by its address."""


@shared
def apply_gradient(job_address: int, gradient: int, scratch: int, crew: Crew, one: Real) -> None:
    """Update this thread's pieces of the parameters with a gradient in memory, which is laid out like them."""
    job = job_at(job_address)
    network = network_of(job)
    pieces = (job.parameters + NORM_PIECE - 1) // NORM_PIECE
    begin, end = share(pieces, crew.members, crew.rank)
    start, stop = begin * NORM_PIECE, min(end * NORM_PIECE, job.parameters)
    if job.clips != 0:
        clip_gradient(job, gradient, begin, end, scratch, crew, one)
    item = itemsize(one)
    for number in range(1, network.layers + 1):
        layer = layer_of(network, number)
        low, high = max(start, layer.weight // item), min(stop, layer.end // item)
        if low < high:
            shift, grad = low * item, gradient + low * item
            if job.clips == 0:  # else the penalty is part of what was clipped
                weights = max(min(high, layer.bias // item) - low, 0)
                add_penalty(grad, network.params + shift, weights, scratch, one)
            update_at(job, shift, grad, high - low, scratch, one)


@inner
def clip_gradient(job, gradient, begin, end, scratch, crew, one):
    """Add the gradient of the penalty, then scale the gradient to the largest norm allowed: pieces begin to end."""
    network, settings, item = network_of(job), settings_of(job), itemsize(one)
    start, stop = begin * NORM_PIECE, min(end * NORM_PIECE, job.parameters)
    grad, params = array_at(gradient, job.parameters, one), array_at(network.params, job.parameters, one)
    penalty = array_at(scratch, FACTORS, one)[L2]
    if penalty != 0:
        for number in range(1, network.layers + 1):
            layer = layer_of(network, number)
            for j in range(max(start, layer.weight // item), min(stop, layer.bias // item)):
                grad[j] = mul_add(penalty, params[j], grad[j])
    squares = array_at(job.squares, (job.parameters + NORM_PIECE - 1) // NORM_PIECE, 1.0)
    for piece in range(begin, end):
        squares[piece] = sum_of_squares(grad[piece * NORM_PIECE : min((piece + 1) * NORM_PIECE, job.parameters)])
    meet(crew)
    norm = np.sqrt(total(squares))
    if norm > settings.clip_norm:
        factor = as_type_of(settings.clip_norm / norm, one)
        for j in range(start, stop):
            grad[j] *= factor
