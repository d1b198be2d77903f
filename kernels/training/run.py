"""From a call of Python to the steps: the arrays of the call enter the job, and a team takes its steps.

Python calls `run` with the arrays. `run` leads a team of workers through the steps, if there are enough of them for the
work, and if they have nothing else to do.
"""

from ..compiler.decorators import address_in_code, called_through, entry, inner, shared
from ..compiler.signature import Doubles, IntegerRows, Integers, Matrix2D, Real, Vector, WrittenDoubles, WrittenVector
from ..tuning import MOST_PATIENCE_WORK, PATIENCE_WORK_PER_MS
from ..workers.atomic import clock, load, pause, store
from ..workers.crew import Crew
from ..workers.float_mode import flush_denormals, restore_mode
from ..workers.neighbours import note_waits
from ..workers.pace import members_for, most_members, pace_at
from ..workers.region import claimed_parts, close_region, describe_work, next_region, open_region, own_workers
from ..workers.state import AWAKE, LOST, OWNED, TEAM, TICKS_PER_MS, state
from ..workers.team import dismiss, dissolve, follow, found_team, lead
from .job import job_at, network_of


@called_through
def call_step(function: int, job_address: int, step: int, scratch: int, crew: Crew, one: Real) -> None:
    """Take a step: the prototype of `batch_step`, `tall_step` and `sample_steps`.

    step     its number, from 0; of `sample_steps`, that of a group of steps
    scratch  the address of this thread's scratch
    crew     the threads that take part in this step
    """


@inner
def take_steps(job, job_address, one):
    """Take all steps of a job, at the head of a team if it has several parts."""
    mode, workers = flush_denormals(), state()
    members = own_workers(workers, job.parts) if job.parts > 1 else 1
    if members > 1:
        lead_steps(job_address, members, one)
        store(workers + OWNED, 0)
    else:
        take_steps_alone(job, job_address, one)
    restore_mode(mode)


@inner
def take_steps_alone(job, job_address, one):
    """Take all steps on this thread."""
    pace, paced = pace_at(job.pace), job.parts == 1
    for step in range(job.calls):
        if paced:  # by its own choice: it will try more at some time
            members_for(pace, 1, clock())
        lead(job.team, step, 1)
        call_step(job.take_step, job_address, step, job.scratch, Crew(job.team, 1, 0), one)


@shared
def lead_steps(job_address: int, members: int, one: Real) -> None:
    """Take all steps of a job as the leader of a team of up to `members`, who come when they come."""
    job, workers = job_at(job_address), state()
    pace, team, region = pace_at(job.pace), workers + TEAM, next_region(workers)
    describe_work(workers, address_in_code(follow_steps, one), job_address, members, 1, one)
    found_team(team, region, members)
    open_region(workers, region, members)
    await_members(workers, members, job.batch_size * job.parameters)
    noted, lost, timed = clock(), 0, False
    for step in range(job.calls):
        come, now = min(claimed_parts(workers), members), clock()
        if lost != load(team + LOST):
            left = note_waits(workers, members, now - noted, now)
            noted, lost = now, load(team + LOST)
            if left < members:
                members = left
                come = min(come, members)
                dismiss(team, members - 1)
        if come > 1 and not timed:
            pace.since = now
        elif timed and come == 1:
            pace.spent += now - pace.since
        timed = come > 1
        taking = members_for(pace, come, now) if timed else 1
        lead(team, step, taking)
        call_step(job.take_step, job_address, step, job.scratch, Crew(team, taking, 0), one)
    now = clock()
    close_region(workers)
    dissolve(team)
    if timed:
        pace.spent += now - pace.since
    note_waits(workers, members, now - noted, now)


@inner
def await_members(workers, members, work):
    """Wait a moment for those workers to claim their place who are awake: for work of so many multiply-adds.

    Late members take part from the second step on; the moment is a fraction of what the first one takes.
    """
    per_ms = load(workers + TICKS_PER_MS)
    patience = min(work, MOST_PATIENCE_WORK) * per_ms // PATIENCE_WORK_PER_MS
    begin, coming = clock(), min(members, load(workers + AWAKE) + 1)
    while claimed_parts(workers) < coming and clock() - begin < patience:
        pause()


@shared
def follow_steps(job_address: int, region: int, members: int, rank: int, number: int, one: Real) -> None:
    """Take part in the steps of a job as a worker. Between steps nothing but the state of the team may be touched.

    The rank depends on who comes first. The share of a step does not, if all members take part: a thread then has the
    same share in every call and finds its data in its cache.
    """
    team, step = state() + TEAM, -1
    while True:
        step, taking = follow(team, region, rank, step)
        if taking == 0:
            break
        job = job_at(job_address)
        place = number if taking == members else rank
        scratch = job.scratch + place * job.scratch_bytes
        call_step(job.take_step, job_address, step, scratch, Crew(team, taking, place), one)


@entry
def bind_training(
    first: WrittenVector, second: WrittenVector, statistics: WrittenVector,
    weights: Vector, order: IntegerRows, rates: Doubles, job_address: int, samples: int, calls: int,
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
    params: Vector, gradient: WrittenVector, x: Matrix2D, labels: Integers, targets: Matrix2D, settings: Doubles,
    loss_parameters: Doubles, step_losses: WrittenDoubles, job_address: int, steps_before: int, threads: int,
) -> None:  # fmt: skip
    """Take the steps of a job with these arrays, on up to `threads` threads."""
    job, one = job_at(job_address), params.dtype.type(1)
    network, pace = network_of(job), pace_at(job.pace)
    network.params, network.settings = params.ctypes.data, settings.ctypes.data
    job.loss_parameters = loss_parameters.ctypes.data
    job.steps_before, job.not_finite = steps_before, 0
    if job.gradient_only != 0:
        job.gradient = gradient.ctypes.data
    if job.convert == 0:  # else x has no features, see `enter_samples` in elementwise/conversion.py
        job.x, job.x_row = x.ctypes.data, x.strides[0]
    job.labels, job.targets, job.targets_stride = labels.ctypes.data, 0, targets.strides[0]
    if targets.shape[0] > 0:
        job.targets = targets.ctypes.data
    job.step_losses, job.steps = step_losses.ctypes.data, step_losses.shape[0]
    job.parts = min(threads, most_members(pace)) if threads > 1 else 1
    take_steps(job, job_address, one)
