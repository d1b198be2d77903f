"""A step on a batch, as a rule: through the network, a barrier, the update.

Each thread carries a share of the batch through the network and back; the team meets; then each thread sums the weight
gradient over the whole batch for a share of each layer, and updates the weights with it.

The samples of a deep batch are so many that they leave the cache before they are used again. They go through the
network in blocks, which no other thread shares.
"""

from ..compiler.decorators import inner, shared
from ..compiler.memory import array_at
from ..compiler.signature import Real
from ..network.forward import BatchRows
from ..tuning import DEEP_BATCH_ROWS
from ..workers.crew import ALONE, Crew, share
from ..workers.team import meet
from .job import batch_of, in_blocks, job_at, needs_whole_gradient
from .passes import forward_loss_backward, note_loss
from .squares import note_half_squares, sum_weight_squares
from .update import call_apply_gradient, find_factors, update_layers


@shared
def batch_step(job_address: int, step: int, scratch: int, crew: Crew, one: Real) -> None:
    """Take a step on a batch, see `call_step` in run.py."""
    job = job_at(job_address)
    place, batch = batch_of(job, step)
    find_factors(job, step, batch, scratch, one)
    sum_weight_squares(job, crew, one)
    carry_share(job, job_address, step, batch, crew, scratch, one)
    meet(crew)
    if crew.rank == 0:
        note_loss(job, step, array_at(job.terms, batch * job.terms_per_sample, 1.0), batch)
        note_half_squares(job, step)
    update_layers(job_address, place, batch, scratch, crew, one)
    applies = needs_whole_gradient(job, batch)
    meet(crew)  # after the last meeting of a step a member reads nothing, not even the job: see team.py
    if applies:
        call_apply_gradient(job.apply_gradient, job_address, job.gradient, scratch, crew, one)
        meet(crew)


@inner
def carry_share(job, job_address, step, batch, crew, scratch, one):
    """Carry this thread's share of the batch through the network, in blocks if the batch is deep."""
    start, stop = share(batch, crew.members, crew.rank)
    blocks = in_blocks(job, batch)
    at_once = DEEP_BATCH_ROWS if blocks else max(stop - start, 1)
    for top in range(start, max(stop, start + 1), at_once):
        rows = BatchRows(top, min(top + at_once, stop), batch, top)
        room = crew.rank * DEEP_BATCH_ROWS if blocks else top
        forward_loss_backward(job, job_address, step, rows, room, ALONE if blocks else crew, scratch, one)
