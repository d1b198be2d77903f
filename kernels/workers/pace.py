"""How many threads of a team take part in a step: measured, not guessed.

A second thread halves the arithmetic of a step, but what one core writes then travels to the other. The price depends
on how far apart the cores are, which a hypervisor may change, and on whether other work keeps a core busy. So the
leader of a team looks at the clock: after a run of steps with all members it tries half of them; if a run with these is
faster it goes on with them and tries half again. What it finds outlives the call, which may have few steps or one.

    FIRST     a run with all members
    FEWER     a trial with half as many
    SECOND    if the trial was faster: a run with these, which becomes the best if it is faster, too
    SETTLED   otherwise: runs with the best number. One, and twice as many each time that the same number is found
              again, because a run may have been disturbed. After them, or after a run that took much longer than
              expected, everything begins again

Results do not depend on the number of threads.
"""

import numpy as np

from ..compiler.decorators import inner
from ..compiler.memory import RecordAt, accessor, record_of
from ..tuning import PACE_MOST_RUNS, PACE_RUN_STEPS, PACE_TRIAL_STEPS, PACE_UNTIMED_STEPS

NONE, FIRST, FEWER, SECOND, SETTLED = range(5)

# The steps of each phase.
LENGTHS = np.array([0, PACE_RUN_STEPS, PACE_TRIAL_STEPS, PACE_RUN_STEPS, PACE_RUN_STEPS])

# More members than any machine has.
ALL = 1 << 15


class Pace:
    """The leader's notes, which outlive a call: zeros before the first one."""

    phase: int
    members: int  # of the steps in this phase, at most
    steps_left: int  # in this phase
    since: int  # when the clock was read last
    spent: int  # the ticks of this phase up to then
    best: int  # the best number of members so far
    cost: int  # the ticks of a step with it
    settled_on: int  # the best number of the last round
    runs: int  # that SETTLED lasts
    runs_left: int


PACE = record_of(Pace)
pace_at: RecordAt = accessor(PACE)


@inner
def members_for(pace, joined, now):
    """The members of the next step, of those who have joined. To be asked before every step.

    pace  the notes. Time between calls does not count: a call sets `since` to the clock when it begins, and adds what
          has passed since then to `spent` when it ends
    now   the clock
    """
    if pace.steps_left == 0:
        begin_next_phase(pace, joined, now)
    if pace.steps_left > 0:
        pace.steps_left -= 1
        if pace.steps_left == LENGTHS[pace.phase] - PACE_UNTIMED_STEPS - 1:
            pace.since = now
            pace.spent = 0
    return min(pace.members, joined)


@inner
def begin_next_phase(pace, joined, now):
    """Judge the phase, or the run, that has just ended, and begin the next one."""
    phase, members = pace.phase, min(pace.members, joined)
    cost = (pace.spent + now - pace.since) // (LENGTHS[phase] - PACE_UNTIMED_STEPS)
    if phase == SETTLED:
        again = pace.runs_left > 1 and cost <= pace.cost + pace.cost // 4
        pace.runs_left = pace.runs_left - 1 if again else 0
        if not again:
            if pace.members < ALL and joined == members:
                return  # wait for a call with more threads
            phase, pace.members = FIRST, ALL
    elif phase == FEWER and cost < pace.cost:
        phase = SECOND
    else:
        better = phase == FIRST or (phase == SECOND and cost < pace.cost)
        if better:
            pace.cost, pace.best = cost, pace.members
        if phase == NONE:
            phase, pace.members = FIRST, ALL
        elif better and members > 1:
            phase, pace.members = FEWER, members // 2
        else:
            pace.runs = min(2 * pace.runs, PACE_MOST_RUNS) if pace.best == pace.settled_on else 1
            pace.settled_on, pace.runs_left = pace.best, pace.runs
            phase, pace.members = SETTLED, pace.best
    pace.phase, pace.steps_left = phase, LENGTHS[phase]


@inner
def most_members(pace):
    """The members that steps of the next call will have at most, as far as the notes tell."""
    return pace.members if pace.phase == SETTLED and pace.runs_left > 0 else ALL
