"""A team: threads that take the steps of one call together and meet at barriers between the parts of a step.

Opening a parallel region costs a microsecond with two threads and six with sixteen; a training step of a small network
takes ten. So a call opens one region, and its threads go through all steps and wait for each other at barriers.

A barrier must know who will come, and the threading layer may provide fewer threads than there are parts: it then runs
one part after the other. So no thread ever waits for a part that has not begun:

- Each part that begins joins the team and gets a rank. Rank 0 leads.
- The leader opens each step for the members that have joined by then, or for the first few of them, see pace.py. The
  barriers of the step count these members; the other threads wait for a step that includes them.
- A part that joins late takes part from the next step on. A part that joins after the last step has nothing to do.
- A step ends with a barrier. After it, members touch nothing that the next step, with fewer members perhaps, uses.

How a step is divided can therefore differ from run to run. Results do not depend on it.

The state of a team is a piece of memory of zeros. Numbers that different threads write lie in different cache lines,
128 bytes apart, because processors fetch lines in pairs.
"""

import numba

from ..compiler.decorators import inner
from ..tuning import LEADER_SPINS, SPINS_BEFORE_YIELD
from .atomic import add, load, offer_core, pause, store

# The numbers of the state, by their distance from its address.
_SPACING = 128
JOINED, OPENED, COUNTED, MET, TAKEN = (place * _SPACING for place in range(5))
TEAM_BYTES = 5 * _SPACING

# OPENED holds (number of the step, from 1) * STEP + members, or DONE after the last step.
STEP = 1 << 16
DONE = -1

# Without the JIT the parts run one after another, so that waiting for the others would be in vain.
_LEADER_SPINS = 0 if numba.config.DISABLE_JIT else LEADER_SPINS


@inner
def join(team):
    """Become a member; returns the rank."""
    return add(team + JOINED, 1)


@inner
def await_others(team, parts):
    """Wait until all parts have joined, but no longer than a moment."""
    for _ in range(_LEADER_SPINS):
        if load(team + JOINED) >= parts:
            break
        pause()


@inner
def joined(team):
    """The number of parts that have joined."""
    return load(team + JOINED)


@inner
def lead(team, step, members):
    """Open step number `step` for the members of the first ranks; 0 members end the work. Called by the leader."""
    store(team + TAKEN, 0)
    store(team + OPENED, (step + 1) * STEP + members if members > 0 else DONE)


@inner
def follow(team, rank, step):
    """Wait for the next step after `step` that includes this rank; returns its number and its members, 0 at the end."""
    spins = 0
    while True:
        opened = load(team + OPENED)
        if opened == DONE:
            return step, 0
        if opened // STEP > step + 1 and opened % STEP > rank:
            return opened // STEP - 1, opened % STEP
        spins += 1
        pause()
        left_out = opened > 0 and opened % STEP <= rank
        if spins % SPINS_BEFORE_YIELD == 0 or left_out:
            offer_core()


@inner
def take(team):
    """The number of the next piece of work in this step, from 0; each goes to the member that asks first."""
    return add(team + TAKEN, 1)


@inner
def meet(crew):
    """A barrier: returns when all members of the crew have come; each then sees what the others wrote before."""
    if crew.members > 1:
        met = load(crew.team + MET)
        if add(crew.team + COUNTED, 1) == crew.members - 1:
            store(crew.team + COUNTED, 0)
            store(crew.team + MET, met + 1)
        else:
            spins = 0
            while load(crew.team + MET) == met:
                spins += 1
                pause()
                if spins % SPINS_BEFORE_YIELD == 0:
                    offer_core()
