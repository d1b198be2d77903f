"""The workspace of a call: its job, the records of the network and all buffers, laid out in one piece of memory.

It depends on the shapes of a call and on its settings, not on its arrays, and is kept for the next call in the same
Python thread.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..compiler.decorators import address_of, entry_for
from ..elementwise.conversion import IN_PLACE, converter
from ..elementwise.losses.table import loss_function, terms_per_sample
from ..elementwise.update_rules.table import SGD, rule_of
from ..network.arena import Arena, allocate
from ..network.kept import keep_workspace
from ..network.layout import Form, float_of, lay_out_network, padded
from ..products.packing import bytes_of_room
from ..tuning import (
    BYTES_PER_CACHE_LINE,
    DEEP_BATCH,
    DEEP_BATCH_ROWS,
    NORM_PIECE,
    SAMPLES_PER_GROUP,
    TALL_LEAST_BLOCKS,
    TALL_ROWS,
    UPDATE_ROWS,
)
from ..workers.pace import PACE
from ..workers.state import TEAM_BYTES
from ..workers.threads import max_threads
from .batch import check_samples
from .batch_step import batch_step
from .job import JOB
from .run import bind_training, run
from .sample_steps import sample_steps
from .squares import _pieces_of_weight
from .tall_step import _blocks_of, least_tall_batch, tall_step
from .update import FACTORS_BYTES, apply_gradient

# In place of an optimizer: the gradient is the result.
GRADIENT = -1


class Shape(NamedTuple):
    """What a workspace depends on: the key under which it is kept.

    sizes, activations  bytes of the arrays of these names, see calls.py
    itemsize            of the dtype
    parameters          P
    batch               samples of a step, at most
    source              how samples are read, see `source_of` in elementwise/conversion.py
    loss, optimizer     codes; GRADIENT for none
    labelled, ordered, weighted, divided, squared, drops, clips, normalized    whether there are labels, an order,
                        weights of samples and of batches, half_squares, and so on
    threads             that it has room for
    """

    sizes: bytes
    activations: bytes
    itemsize: int
    parameters: int
    batch: int
    source: str
    loss: int
    optimizer: int
    labelled: bool
    ordered: bool
    weighted: bool
    divided: bool
    squared: bool
    drops: bool
    clips: bool
    normalized: bool
    threads: int


class Workspace(NamedTuple):
    """A job and its memory.

    memory       everything that is laid out
    job          the address of the job
    record       the job
    network      the record of its network
    run, bind    the entry points that take its steps, see run.py
    step_losses  (1,) float64, for calls of one step
    """

    memory: np.ndarray
    job: int
    record: np.void
    network: np.void
    run: Callable[..., None]
    bind: Callable[..., None]
    step_losses: np.ndarray


def new_workspace(shape: Shape) -> Workspace:
    """The workspace for calls of a shape, kept for the next one."""
    dtype, training = float_of(shape.itemsize), shape.optimizer != GRADIENT
    entries = [(run, dtype), (bind_training, dtype)] if training else [(run, dtype)]
    memory, (job, record, network) = allocate(lambda arena: _lay_out(arena, shape), entries)
    bind = entry_for(bind_training, dtype) if training else bind_training  # not compiled where it is not used
    workspace = Workspace(memory, job, record, network, entry_for(run, dtype), bind, np.empty(1))
    keep_workspace(tuple(shape), workspace, memory.nbytes)
    return workspace


def _in_groups(shape: Shape) -> bool:
    """Whether groups of steps on one sample share a pass over the first W, see sample_steps.py."""
    return in_groups(shape.batch, shape.optimizer, shape.normalized or shape.drops or shape.clips or shape.squared)


def in_groups(batch: int, optimizer: int, more: bool) -> bool:
    """Whether groups of steps share a pass over the first W; `more` tells of anything but gradient descent alone."""
    return batch == 1 and optimizer == SGD and not more


def _lay_out(arena: Arena, shape: Shape) -> tuple[int, np.void, np.void]:
    """Take all memory of a call, and fill in its job; returns the job's address and record, and that of the network."""
    dtype = float_of(shape.itemsize)
    sizes = tuple(np.frombuffer(shape.sizes, np.int64).tolist())
    activations = tuple(np.frombuffer(shape.activations, np.int64).tolist())
    step, capacity, groups = _form_of_step(shape, shape.itemsize)
    address, (job,) = arena.records(JOB)
    converted = _rows_to_convert(shape, capacity, groups)
    form = Form(sizes, activations, dtype, capacity, converted, True, shape.drops, shape.normalized)
    job["network"], network, _ = lay_out_network(arena, form)
    job["parameters"], job["batch_size"] = shape.parameters, shape.batch
    job["take_step"], job["calls"] = address_of(step, dtype), 1
    job["samples"], job["steps_per_epoch"] = shape.batch, 1
    _lay_out_batch(arena, shape, job, sizes[-1], capacity)
    _lay_out_update(arena, shape, job, dtype)
    _lay_out_squares(arena, shape, job, sizes)
    _lay_out_groups(arena, job, sizes[0], shape.parameters, groups, dtype)
    _lay_out_threads(arena, shape, job, max(sizes), capacity)
    return address, job, network


def _form_of_step(shape: Shape, item: int) -> tuple[Any, int, int]:
    """The function that takes a step, the rows that the buffers need, and how many groups of blocks need room."""
    if _in_groups(shape):
        return sample_steps, SAMPLES_PER_GROUP, 0
    size = shape.parameters * item
    blocks = _blocks_of(shape.batch, size)
    if blocks.groups == 0 or shape.normalized:  # batch normalization needs the whole batch
        return batch_step, shape.batch, 0
    # The last batch may have other blocks, that go through the network two at a time; or it may not be tall.
    capacity = max(max_threads(), TALL_LEAST_BLOCKS) * max(blocks.together * blocks.rows, TALL_ROWS)
    # Its blocks may be smaller, too, so that they make one group more.
    return tall_step, max(capacity, least_tall_batch(size) - 1), blocks.groups + 1


def _rows_to_convert(shape: Shape, capacity: int, groups: int) -> int:
    """The rows of the buffer for converted samples; groups of steps on one sample have one of their own."""
    if shape.source == IN_PLACE or _in_groups(shape):
        return 0
    if groups == 0 and shape.batch > DEEP_BATCH and not shape.normalized:
        return max(DEEP_BATCH, shape.threads * DEEP_BATCH_ROWS)  # a last batch that is not deep, or each thread's block
    return capacity


def _lay_out_batch(arena: Arena, shape: Shape, job: np.void, outputs: int, capacity: int) -> None:
    """What belongs to the samples of a batch, and their loss."""
    dtype = float_of(shape.itemsize)
    if shape.source != IN_PLACE:
        job["convert"] = converter(shape.source, dtype)
    elif shape.optimizer == GRADIENT:
        job["check"] = address_of(check_samples, dtype)
    if shape.labelled:
        job["batch_labels"] = arena.take(8 * capacity)
    elif shape.ordered:
        job["batch_targets"] = arena.take(capacity * outputs * dtype.itemsize)
    if shape.weighted:
        job["batch_weights"] = arena.take(capacity * dtype.itemsize)
    job["loss"], job["terms_per_sample"] = loss_function(shape.loss, dtype), terms_per_sample(shape.loss, outputs)
    job["terms"] = arena.take(8 * capacity * int(job["terms_per_sample"]))


def _lay_out_update(arena: Arena, shape: Shape, job: np.void, dtype: np.dtype[Any]) -> None:
    """The functions of the update, and the gradient if it is needed as a whole."""
    if shape.optimizer == GRADIENT:
        job["gradient_only"] = 1
        return
    rule = rule_of(shape.optimizer, dtype)
    job["find_factors"], job["update"] = rule.factors, rule.update
    job["scales_weights"] = shape.optimizer == SGD
    job["clips"] = shape.clips
    if shape.clips or shape.batch > DEEP_BATCH:
        job["gradient"] = arena.buffer(shape.parameters * dtype.itemsize)
        job["apply_gradient"] = address_of(apply_gradient, dtype)
    if shape.clips:
        job["squares"] = arena.take(8 * (-(-shape.parameters // NORM_PIECE)))


def _lay_out_squares(arena: Arena, shape: Shape, job: np.void, sizes: tuple[int, ...]) -> None:
    """Room for the sums of squares of all W."""
    if shape.squared:
        job["weight_pieces"] = sum(_pieces_of_weight(*layer) for layer in itertools.pairwise(sizes))
        job["weight_squares"] = arena.take(8 * int(job["weight_pieces"]))


def _lay_out_groups(
    arena: Arena, job: np.void, inputs: int, parameters: int, groups: int, dtype: np.dtype[Any]
) -> None:
    """What tall batches and groups of steps on one sample need."""
    if groups:
        size = -(-parameters * dtype.itemsize // BYTES_PER_CACHE_LINE) * BYTES_PER_CACHE_LINE
        job["group_losses"] = arena.take(8 * groups)
        job["group_gradients"] = arena.buffer(groups * size)
    job["group_samples_stride"] = padded(inputs) * dtype.itemsize
    job["group_samples"] = arena.buffer(SAMPLES_PER_GROUP * int(job["group_samples_stride"]))
    job["group_dots"] = arena.take(SAMPLES_PER_GROUP * SAMPLES_PER_GROUP * dtype.itemsize)


def _lay_out_threads(arena: Arena, shape: Shape, job: np.void, widest: int, capacity: int) -> None:
    """A team of one, the pace of larger ones, and each thread's scratch: factors, a piece of a gradient, packing."""
    item = shape.itemsize
    job["team"], (job["pace"], _) = arena.take(TEAM_BYTES, 128), arena.records(PACE)
    piece = (UPDATE_ROWS if shape.optimizer > SGD else 1) * widest * item
    packing = -(-(FACTORS_BYTES + piece) // BYTES_PER_CACHE_LINE) * BYTES_PER_CACHE_LINE
    # A product sums over inputs, outputs or samples; a gap keeps the threads' cache lines apart.
    room = bytes_of_room(max(widest, min(shape.batch, capacity, DEEP_BATCH)))
    job["packing"], job["scratch_bytes"] = packing, -(-(packing + room) // 128) * 128 + 128
    job["scratch"] = arena.buffer(shape.threads * int(job["scratch_bytes"]))
