"""Training in which all threads of a call take part in every step.

A team does not wait for a worker that comes late, see team.py, and does without those that are kept from running, see
neighbours.py: on a machine with fewer free cores than threads most steps are taken by one thread, and a test of several
threads would test one. So each call gets one more step, before the others, whose leader waits until the others have
come; no neighbours are seen, since the clock has no rate; and steps with fewer members are not tried, see pace.py.
Results have the same bits as without it.
"""

import functools
import time

import numba
import numpy as np

from fastfnn.kernels.compiler import decorators
from fastfnn.kernels.compiler.memory import Memory, array_at
from fastfnn.kernels.compiler.signature import numba_type
from fastfnn.kernels.training import calls, workspace
from fastfnn.kernels.training.batch_step import batch_step
from fastfnn.kernels.training.job import JOB, job_at
from fastfnn.kernels.training.run import run
from fastfnn.kernels.training.sample_steps import sample_steps
from fastfnn.kernels.training.tall_step import tall_step
from fastfnn.kernels.tuning import SPINS_BEFORE_YIELD
from fastfnn.kernels.workers import pool
from fastfnn.kernels.workers.atomic import offer_core
from fastfnn.kernels.workers.crew import Crew
from fastfnn.kernels.workers.pace import ALL, FIRST, PACE
from fastfnn.kernels.workers.region import claimed_parts
from fastfnn.kernels.workers.state import STOP, numbers, state

FORMS = (batch_step, tall_step, sample_steps)

SPINS = 10_000_000  # some seconds: a test should fail rather than wait for ever

_fewest = np.zeros(1, np.int64)  # members of a step
FEWEST_AT = _fewest.ctypes.data


@functools.cache
def _gate(form, dtype, varied):
    """A form of a step, see run.py, that begins with the additional step.

    varied  whether another number of members takes part in each step; the others do nothing
    """

    def gate(job_address, step, scratch, crew, one):
        job = job_at(job_address)
        if step == 0:
            spins = 0
            while crew.rank == 0 and claimed_parts(state()) < job.parts and job.parts > 1 and spins < SPINS:
                offer_core()
                spins += 1
            return
        if crew.rank == 0:
            fewest = array_at(FEWEST_AT, 1, np.int64(0))
            fewest[0] = min(fewest[0], crew.members)
        some = step % crew.members + 1 if varied else crew.members
        if crew.rank < some:
            form(job_address, step - 1, scratch, Crew(crew.team, some, crew.rank), one)

    integer = numba.types.intp
    signature = numba.types.void(integer, integer, integer, numba_type(Crew, dtype), numba.from_dtype(dtype))
    gate = numba.njit(signature, error_model="numpy")(gate)
    (code,) = gate.overloads.values()
    return gate, code.library.get_pointer_to_function(code.fndesc.llvm_func_name)


def _record(address, dtype):
    return np.asarray(Memory(int(address), (1,), None, dtype))


def _attend(number, wait):
    """In place of a worker's life: it never parks, and finds no rate of the clock."""
    while not numbers[STOP // 8]:
        wait(pool._NOTHING, number, 0, SPINS_BEFORE_YIELD)
        time.sleep(0.001)


def use_whole_teams(varied=False):
    """From now on, in this process.

    varied  whether the members of a team become fewer and more again from step to step, as they may by pace.py
    """
    pool._live = _attend
    new_workspace = calls.new_workspace

    def address_of(function, dtype):
        address = decorators.address_of(function, dtype)  # after which the gate can call it by name
        return _gate(function, dtype, varied)[1] if address and function in FORMS else address

    def prepared(shape):
        ready = new_workspace(shape)
        job = _record(ready.job, JOB)
        job["calls"] += 1
        pace = _record(job["pace"][0], PACE)
        pace["phase"], pace["members"], pace["steps_left"] = FIRST, ALL, 2**60  # never to end
        return ready

    def entry_for(function, dtype):
        compiled = decorators.entry_for(function, dtype)

        def bind_one_more(*arguments):
            *rest, count = arguments
            compiled(*rest, count + 1)

        def checked_run(*arguments):
            count = _fewest[0] = arguments[-1]
            compiled(*arguments)
            assert _fewest[0] == count, f"{_fewest[0]} of {count} threads took part in a step"

        return checked_run if function is run else bind_one_more

    workspace.address_of, workspace.entry_for, calls.new_workspace = address_of, entry_for, prepared
