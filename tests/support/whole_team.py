"""Makes all threads of a training call take part in every step.

A team does not wait for members that join late (see team.py). With fewer free cores than threads most steps would run
on one thread, and a test of several threads would test one. So each call gets an additional first step, in which the
leader waits for all others to join, and steps with fewer members are not tried (see pace.py). Results have the same
bits as without this.
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

LOOKS = 10_000_000  # the limit on waiting, some seconds, so that a test fails rather than hangs

MORE = 1 << 10  # a number of additional parts, which never join

_fewest = np.zeros(1, np.int64)  # the smallest number of members in a step
FEWEST_AT = _fewest.ctypes.data


@functools.cache
def _gate(form, dtype, varied):
    """A form of a step (see training.py) with the additional first step.

    varied  whether the number of members changes from step to step: those with the lowest ranks take part, the others
            do nothing, as if they had never joined. Ranks, not parts, since the leader takes part in every step
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
    """Change training in this process from now on; not under TBB, which does not promise a thread for each part.

    varied  whether the number of members changes from step to step, as it may do in pace.py
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
        plan.pace[[PHASE, MEMBERS, LEFT]] = FIRST, ALL, 2**60  # this phase never ends
        return plan

    training.address_of, training.plan_for = address_of, plan_with_all
    training._prepare, training._go = prepare_one_more, checked_go
