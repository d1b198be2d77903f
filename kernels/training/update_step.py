"""A step whose gradient is given: the update of parameters alone, for `network_update` in calls.py.

It is what follows the gradient in a step that needs it as a whole, see update.py, as a job of its own: the job has no
samples, no loss and no buffers, only the places of the parameters and the optimizer's rule.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..compiler.decorators import address_of, entry, entry_for, shared
from ..compiler.memory import array_at
from ..compiler.signature import Doubles, Real, WrittenVector
from ..elementwise.update_rules.table import rule_of
from ..network.arena import Arena, allocate
from ..network.kept import keep_workspace
from ..network.layout import Form, float_of, lay_out_parameters
from ..tuning import NORM_PIECE
from ..workers.crew import Crew
from ..workers.pace import PACE, most_members, pace_at
from ..workers.state import TEAM_BYTES
from ..workers.team import meet
from .job import JOB, job_at, network_of, settings_of
from .run import take_steps
from .update import FACTORS_BYTES, apply_gradient, find_factors


@shared
def update_step(job_address: int, step: int, scratch: int, crew: Crew, one: Real) -> None:
    """Update this thread's share of the parameters, see `call_step` in run.py."""
    job = job_at(job_address)
    find_factors(job, step, 0, scratch, one)
    apply_gradient(job_address, job.gradient, scratch, crew, one)
    meet(crew)


@entry
def run_update(
    params: WrittenVector, first: WrittenVector, second: WrittenVector, gradient: WrittenVector, settings: Doubles,
    job_address: int, learning_rate: float, batch_weight: float, step: int, threads: int,
) -> None:  # fmt: skip
    """Take the step of a job with these arrays, on up to `threads` threads."""
    job, one = job_at(job_address), params.dtype.type(1)
    network, pace = network_of(job), pace_at(job.pace)
    network.params, network.settings = params.ctypes.data, settings.ctypes.data
    job.first, job.second, job.gradient = first.ctypes.data, second.ctypes.data, gradient.ctypes.data
    array_at(job.rates, 1, 1.0)[0] = learning_rate
    array_at(job.divisors, 1, 1.0)[0] = batch_weight
    job.clips = 1 if settings_of(job).clip_norm > 0 else 0
    job.steps_before = step - 1
    job.parts = min(threads, most_members(pace)) if threads > 1 else 1
    take_steps(job, job_address, one)


class UpdateShape(NamedTuple):
    """What the workspace of an update depends on: the key under which it is kept. See `Shape` in workspace.py."""

    sizes: bytes
    itemsize: int
    parameters: int
    optimizer: int
    threads: int


class UpdateWorkspace(NamedTuple):
    """A job and its memory: all that is laid out, the address of the job, the entry point that takes its step."""

    memory: np.ndarray
    job: int
    run: Callable[..., None]


def new_update_workspace(shape: UpdateShape) -> UpdateWorkspace:
    """The workspace for updates of a shape, kept for the next one."""
    dtype = float_of(shape.itemsize)
    memory, job = allocate(lambda arena: _lay_out(arena, shape), [(run_update, dtype)])
    workspace = UpdateWorkspace(memory, job, entry_for(run_update, dtype))
    keep_workspace(tuple(shape), workspace, memory.nbytes)
    return workspace


def _lay_out(arena: Arena, shape: UpdateShape) -> int:
    """Take all memory of an update, and fill in its job; returns the job's address."""
    dtype = float_of(shape.itemsize)
    rule = rule_of(shape.optimizer, dtype)
    sizes = tuple(np.frombuffer(shape.sizes, np.int64).tolist())
    plain = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
    normalized = shape.parameters > plain  # gamma and beta are among them
    address, (job,) = arena.records(JOB)
    job["network"], _, _ = lay_out_parameters(arena, Form(sizes, (), dtype, 0, 0, True, False, normalized))
    job["parameters"], job["batch_size"] = shape.parameters, 1
    job["find_factors"], job["update"] = rule.factors, rule.update
    job["take_step"], job["calls"], job["steps"] = address_of(update_step, dtype), 1, 1
    job["rates"], job["divisors"] = arena.take(8), arena.take(8)
    job["squares"] = arena.take(8 * (-(-shape.parameters // NORM_PIECE)))
    job["team"], (job["pace"], _) = arena.take(TEAM_BYTES, 128), arena.records(PACE)
    job["scratch_bytes"] = FACTORS_BYTES
    job["scratch"] = arena.take(shape.threads * FACTORS_BYTES, 128)
    return address
