"""A team: threads that take the steps of one call together and meet at barriers between the parts of a step.

Posting a region takes a fraction of a microsecond, which is much where a training step takes ten. So a call posts one
region, and its threads go through all steps and wait for each other at barriers.

A barrier must know who will come, and no thread may wait for one that the system does not run:

- The caller leads, with rank 0. Each worker that claims a place in the region follows, with the next rank.
- The leader opens each step for the members that have come by then, or for the first few of them, see pace.py. The
  barriers of the step count these members; the others wait for a step that includes them.
- A member that comes late takes part from the next step on.
- A step ends with a barrier. After it members touch nothing but the state of the team. So the leader can end the call
  without a word: a member that finds another region opened, or none, goes.

How a step is divided can therefore differ from run to run. Results do not depend on it.

The state of a team is a piece of memory that outlives all regions.
"""

from ..compiler.decorators import inner
from ..tuning import SPINS_BEFORE_YIELD
from .atomic import add, clock, load, offer_core, pause, store
from .state import COUNTED, LAST_RANK, LOST, MET, OPENED, REGION, TAKEN

# OPENED holds (number of the step, from 1) * STEP + members; 0 before the first.
STEP = 1 << 16

NO_REGION = 1 << 40


@inner
def found_team(team, region, members):
    """Begin the steps of a region, before workers can claim places in it."""
    store(team + OPENED, 0)
    store(team + LAST_RANK, members - 1)
    store(team + REGION, region)


@inner
def lead(team, step, members):
    """Open step number `step` for the members of the first ranks. Called by the leader."""
    store(team + TAKEN, 0)
    store(team + OPENED, (step + 1) * STEP + members)


@inner
def dismiss(team, last_rank):
    """Send away, for the rest of the region, the members of a higher rank than this."""
    store(team + LAST_RANK, last_rank)


@inner
def dissolve(team):
    """End the steps of the region."""
    store(team + REGION, NO_REGION)


@inner
def follow(team, region, rank, step):
    """Wait for the next step after `step` that includes this rank; returns its number and its members, 0 at the end."""
    spins = 0
    while True:
        opened = load(team + OPENED)
        if load(team + REGION) != region or rank > load(team + LAST_RANK):
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
            spins, since = 0, 0
            while load(crew.team + MET) == met:
                spins += 1
                pause()
                if spins % SPINS_BEFORE_YIELD == 0:
                    since = since if since != 0 else clock()
                    offer_core()
            if since != 0:  # see neighbours.py
                add(crew.team + LOST, (clock() - since) // (crew.members - 1))
