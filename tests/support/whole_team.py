"""Training in which all threads of a call take part in every step.

A part of a team that joins late is not waited for, see team.py: on a machine with fewer free cores than threads most
steps are one thread's, and a test of several would test one. So each call gets a step more, ahead of the others, whose
leader waits for the others to join; and steps with fewer members are not tried, see pace.py. Results have the same bits
as without it.
"""

import functools

import numba
import numpy as np

from fastfnn.kernels.compiler import jit
from fastfnn.kernels.compiler.vectors import array_at
from fastfnn.kernels.training import training
from fastfnn.kernels.training.training import PARTS, TEAM, job_at
from fastfnn.kernels.workers import threads
from fastfnn.kernels.workers.pace import ALL, FIRST, LEFT, MEMBERS, PHASE
from fastfnn.kernels.workers.team import JOINED, load, offer_core

FORMS = (training.batch_step, training.tall_step, training.sample_steps)

LOOKS = 10_000_000  # some seconds: for ever, were it not that a test should fail rather than hang

MORE = 1 << 10  # parts that never join

_fewest = np.zeros(1, np.int64)  # members of a step
FEWEST_AT = _fewest.ctypes.data


@functools.cache
def _gate(form, dtype, varied):
    """A form of a step, see training.py, that begins with the step ahead.

    varied  whether in each step another number of members takes part, the first by rank; the others do nothing. That
            has to be the rank in the team, not the part, since the leader may not sit out a step: as if some never came
    """

    def gate(job_address, step, scratch, members, rank, one):
        job = job_at(job_address)
        if step == 0:
            looks = 0
            while rank == 0 and load(job[TEAM] + JOINED) < job[PARTS] % MORE and looks < LOOKS:
                offer_core()
                looks += 1
            if varied and job[PARTS] < MORE:
                job[PARTS] += MORE
            return
        if rank == 0:
            fewest = array_at(FEWEST_AT, 1, np.int64(0))
            fewest[0] = min(fewest[0], members)
        some = step % members + 1 if varied else members
        if rank < some:
            form(job_address, step - 1, scratch, some, rank, one)

    gate = numba.njit(f"void(intp, intp, intp, intp, intp, {dtype})", error_model="numpy")(gate)
    (code,) = gate.overloads.values()
    return gate, code.library.get_pointer_to_function(code.fndesc.llvm_func_name)


def use_whole_teams(varied=False):
    """From now on, in this process. TBB does not promise a thread for each part: there nothing changes.

    varied  whether the members of a team become fewer and more again from step to step, as they may by pace.py
    """
    if threads.threading_layer() == "tbb":
        return
    prepare, go, plan_for = training._prepare, training._go, training.plan_for

    def address_of(function, dtype):
        address = jit.address_of(function, dtype)  # so that the gate can call it by name
        return _gate(function, dtype, varied)[1] if function in FORMS else address

    def prepare_one_more(*arguments):
        *rest, calls, count = arguments
        return prepare(*rest, calls + 1, count)

    def checked_go(*arguments):
        count = _fewest[0] = arguments[-1]
        go(*arguments)
        assert _fewest[0] == count, f"{_fewest[0]} of {count} threads took part in a step"

    def plan_with_all(*arguments):
        plan = plan_for(*arguments)
        plan.pace[[PHASE, MEMBERS, LEFT]] = FIRST, ALL, 2**60  # never to end
        return plan

    training.address_of, training.plan_for = address_of, plan_with_all
    training._prepare, training._go = prepare_one_more, checked_go
