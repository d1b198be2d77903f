"""From a call of Python to the steps: the arrays of the call enter the job, and a team takes its steps.

Python calls `run` with the arrays, `run` opens the parallel region, and each of its threads calls `take_steps`.
"""

from ..compiler.decorators import address_in_code, called_through, entry, inner, shared
from ..compiler.memory import array_at
from ..compiler.signature import Doubles, IntegerRows, Integers, Matrix2D, Real, Vector
from ..workers.atomic import clock
from ..workers.crew import Crew
from ..workers.pace import members_for, most_members, pace_at
from ..workers.region import in_parts
from ..workers.team import TEAM_BYTES, await_others, follow, join, joined, lead
from .job import job_at, network_of


@called_through
def call_step(function: int, job_address: int, step: int, scratch: int, crew: Crew, one: Real) -> None:
    """Take a step: the prototype of `batch_step`, `tall_step` and `sample_steps`.

    step     its number, from 0; of `sample_steps`, that of a group of steps
    scratch  the address of this thread's scratch
    crew     the threads that take part in this step
    """


@shared
def take_steps(job_address: int, parts: int, part: int, one: Real) -> None:
    """Take all steps of a job, as a member of its team: one part of the parallel region.

    The rank in the team depends on who comes first. The share of a step does not, if all parts are members: a thread
    then has the same share in every call and finds its data in its cache.
    """
    job = job_at(job_address)
    rank = join(job.team)
    if rank == 0:
        await_others(job.team, parts)
    pace = pace_at(job.pace)
    step = -1
    while True:
        if rank == 0:
            step += 1
            members = members_for(pace, joined(job.team), clock()) if step < job.calls else 0
            lead(job.team, step, members)
        else:
            step, members = follow(job.team, rank, step)
        if members == 0:
            break
        number = part if members == job.parts else rank
        crew = Crew(job.team, members, number)
        call_step(job.take_step, job_address, step, job.scratch + number * job.scratch_bytes, crew, one)


@entry
def bind_training(
    first: Vector, second: Vector, statistics: Vector, weights: Vector, order: IntegerRows, rates: Doubles,
    job_address: int, samples: int, calls: int,
) -> None:  # fmt: skip
    """Enter what only training has into a job: see `train_steps`. `samples` are those of an epoch."""
    job = job_at(job_address)
    job.first, job.second, job.rates = first.ctypes.data, second.ctypes.data, rates.ctypes.data
    job.weights, job.order = weights.ctypes.data, order.ctypes.data
    if weights.shape[0] == 0:
        job.weights = 0
    if order.shape[1] == 0:
        job.order = 0
    job.samples, job.calls = samples, calls
    job.steps_per_epoch = max((samples + job.batch_size - 1) // job.batch_size, 1)
    network_of(job).statistics = statistics.ctypes.data


@entry
def run(
    params: Vector, gradient: Vector, x: Matrix2D, labels: Integers, targets: Matrix2D, settings: Doubles,
    step_losses: Doubles, job_address: int, steps_before: int, x_as_given: int, x_as_given_stride: int, threads: int,
) -> None:  # fmt: skip
    """Take the steps of a job with these arrays, on up to `threads` threads."""
    job, one = job_at(job_address), params.dtype.type(1)
    network, pace = network_of(job), pace_at(job.pace)
    network.params, network.settings = params.ctypes.data, settings.ctypes.data
    job.steps_before, job.not_finite = steps_before, 0
    if job.gradient_only != 0:
        job.gradient = gradient.ctypes.data
    job.x, job.x_stride = x.ctypes.data, x.strides[0]
    job.x_as_given, job.x_as_given_stride = x_as_given, x_as_given_stride
    job.labels, job.targets, job.targets_stride = labels.ctypes.data, 0, targets.strides[0]
    if targets.shape[0] > 0:
        job.targets = targets.ctypes.data
    job.step_losses, job.steps = step_losses.ctypes.data, step_losses.shape[0]
    job.parts = min(threads, most_members(pace)) if threads > 1 else 1
    reset(job.team)
    pace.since = clock()  # waking threads counts
    in_parts(address_in_code(take_steps, one), job_address, job.parts, one)
    pace.spent += clock() - pace.since


@inner
def reset(team):
    """The state of a team before a call: zeros."""
    state = array_at(team, TEAM_BYTES // 8, 0)
    for i in range(state.shape[0]):
        state[i] = 0
