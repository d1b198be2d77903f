"""The workspace of training a network for tables: its job, the records of the network and all buffers.

It depends on the shapes of a call, and is kept for the next one, as that of training/workspace.py, whose entry points
take the steps.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.decorators import address_of, entry_for
from ..elementwise.losses.table import loss_function, terms_per_sample
from ..elementwise.update_rules.table import rule_of
from ..network.arena import Arena, allocate
from ..network.kept import keep_workspace
from ..network.layout import float_of
from ..products.packing import bytes_of_room
from ..training.job import JOB
from ..training.run import bind_training, run
from ..training.update import FACTORS_BYTES
from ..training.workspace import GRADIENT, Workspace
from ..tuning import BYTES_PER_CACHE_LINE, DEEP_BATCH, NORM_PIECE, TABULAR_ROWS
from ..workers.pace import PACE
from ..workers.state import TEAM_BYTES
from .layout import Members, form_of, lay_out_tabular
from .step import tabular_step


class Shape(NamedTuple):
    """What a workspace depends on: the key under which it is kept.

    features, sizes, activations  bytes of the arrays of these names, see calls.py
    itemsize           of the dtype
    parameters         P
    batch              samples of a step, at most
    loss, optimizer    codes; GRADIENT for none
    labelled, weighted, drops, clips    whether there are labels, weights of samples, and so on
    members, scaled    see layout.py
    threads            that it has room for
    """

    features: bytes
    sizes: bytes
    activations: bytes
    itemsize: int
    parameters: int
    batch: int
    loss: int
    optimizer: int
    labelled: bool
    weighted: bool
    drops: bool
    clips: bool
    members: int
    scaled: bool
    threads: int


def new_tabular_workspace(shape: Shape) -> Workspace:
    """The workspace for calls of a shape, kept for the next one."""
    dtype = float_of(shape.itemsize)
    entries = [(run, dtype), (bind_training, dtype)]
    memory, (job, record, network) = allocate(lambda arena: _lay_out(arena, shape), entries)
    workspace = Workspace(
        memory, job, record, network, entry_for(run, dtype), entry_for(bind_training, dtype), np.empty(1)
    )
    keep_workspace(tuple(shape), workspace, memory.nbytes)
    return workspace


def features_of(features: bytes) -> tuple[tuple[int, int, int], ...]:
    """The features of a network, from the bytes of their array."""
    rows = np.frombuffer(features, np.int64).reshape(-1, 3).tolist()
    return tuple((kind, count, width) for kind, count, width in rows)


def _lay_out(arena: Arena, shape: Shape) -> tuple[int, np.void, np.void]:
    """Take all memory of a call, and fill in its job; returns the job's address and record, and that of the network."""
    dtype, members = float_of(shape.itemsize), shape.members
    sizes = tuple(np.frombuffer(shape.sizes, np.int64).tolist())
    activations = tuple(np.frombuffer(shape.activations, np.int64).tolist())
    samples = max(1, min(shape.batch, TABULAR_ROWS // members))
    form = form_of(sizes, activations, dtype, samples * members, True, shape.drops)
    ensemble = Members(features_of(shape.features), members, shape.scaled, samples)
    address, (job,) = arena.records(JOB)
    job["network"], network, job["tabular"], _ = lay_out_tabular(arena, form, ensemble)
    job["parameters"], job["batch_size"] = shape.parameters, max(shape.batch, 1)
    job["take_step"], job["calls"] = address_of(tabular_step, dtype), 1
    if shape.labelled:
        job["batch_labels"] = arena.take(8 * form.capacity)
    else:
        job["batch_targets"] = arena.take(form.capacity * sizes[-1] * dtype.itemsize)
    if shape.weighted:
        job["batch_weights"] = arena.take(form.capacity * dtype.itemsize)
    job["loss"], job["terms_per_sample"] = loss_function(shape.loss, dtype), terms_per_sample(shape.loss, sizes[-1])
    job["terms"] = arena.take(8 * shape.batch * members * int(job["terms_per_sample"]))
    if shape.optimizer == GRADIENT:
        job["gradient_only"] = 1
    else:
        rule = rule_of(shape.optimizer, dtype)
        job["find_factors"], job["update"], job["clips"] = rule.factors, rule.update, shape.clips
        job["gradient"] = arena.buffer(shape.parameters * dtype.itemsize)
        if shape.clips:
            job["squares"] = arena.take(8 * (-(-shape.parameters // NORM_PIECE)))
    _lay_out_threads(arena, shape, job, max(*sizes, min(form.capacity, DEEP_BATCH)))
    return address, job, network


def _lay_out_threads(arena: Arena, shape: Shape, job: np.void, deepest: int) -> None:
    """A team of one, the pace of larger ones, and each thread's scratch: factors, and room for products."""
    job["team"], (job["pace"], _) = arena.take(TEAM_BYTES, 128), arena.records(PACE)
    packing = -(-FACTORS_BYTES // BYTES_PER_CACHE_LINE) * BYTES_PER_CACHE_LINE
    job["packing"], job["scratch_bytes"] = packing, -(-(packing + bytes_of_room(deepest)) // 128) * 128 + 128
    job["scratch"] = arena.buffer(shape.threads * int(job["scratch_bytes"]))
