"""How many threads of a team take part in a step: measured, not guessed.

A second thread halves the arithmetic of a step, and makes what one core writes travel to the other. What that costs no
size tells. Cores that share a cache exchange a line in 20 ns; cores that do not, or that a hypervisor has moved apart,
in 200; and a core that other work keeps busy comes late to every barrier. A step of 30-64-64-1 on 32 samples took 13.5
us with two threads in the first case, 42 in the second, and 15.7 on one thread in both. So the leader of a team looks
at the clock: after a run of steps with all members it tries half of them, and if a run of theirs is faster too, it goes
on with these, and tries half of the half. What it finds outlives the call, which may have few steps or one.

Results do not depend on it, since they do not depend on the number of threads.
"""

import time
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..compiler.jit import inner
from ..compiler.vectors import INT

# The phases: a run with all members; a trial with half as many; if that was faster, a run with these, which counts as
# the first one did if it is faster too. When a trial or a run is not, some runs with what was best: one, and twice as
# many each time that the same is found again, since a run may have been disturbed. Then, or after one that took much
# longer than expected, it all begins again: the cores may have moved, other work come or gone.
NONE, FIRST, FEWER, SECOND, SETTLED = range(5)

# Steps of each phase, and how many at its beginning are not timed, in which caches fill; runs when it is settled.
LENGTHS = np.array([0, 256, 4, 256, 256])
UNTIMED = 1
MOST_RUNS = 64

# The leader's notes, which outlive the call: the phase; its members, at most; the steps left in it; when the clock was
# looked at last, and the time that counts up to there; the best number of members so far, and what a step cost with it;
# what was settled on last, for how many runs, and how many of them are left.
PACE_SIZE = 10
PHASE, MEMBERS, LEFT, SINCE, SPENT, BEST, COST, LAST_BEST, RUNS, RUNS_LEFT = range(PACE_SIZE)
ALL = 1 << 15

# How LLVM reads a counter that runs at a constant rate: an intrinsic, or an instruction of its own.
_READ: tuple[str, str] | None = None
if llvm.get_process_triple().startswith(("x86_64", "i686")):
    _READ = "intrinsic", "llvm.readcyclecounter"
elif llvm.get_process_triple().startswith(("aarch64", "arm64")):
    _READ = "instruction", "mrs $0, cntvct_el0"


@intrinsic
def _clock(_context):
    """Ticks of a clock; always 0 on processors whose clock is not known here, where no trial then wins."""

    def code(_context, builder, _signature, _values):
        if _READ is None:
            return INT(0)
        kind = ir.FunctionType(INT, [])
        if _READ[0] == "intrinsic":
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, _READ[1]), [])
        return builder.call(ir.InlineAsm(kind, _READ[1], "=r", True), [])

    return types.intp(), code


clock: Any = time.perf_counter_ns if numba.config.DISABLE_JIT else _clock


@inner
def members_for(pace, joined, now):
    """The members of the next step, of those who have joined; to be asked before every step.

    pace  (PACE_SIZE,) int64, 0 before the first call: the leader's notes. What passes between calls does not count: at
          the beginning of one SINCE becomes `now`, at its end what has passed since then is added to SPENT
    now   what the clock says
    """
    if pace[LEFT] == 0:
        go_on(pace, joined, now)
    if pace[LEFT] > 0:
        pace[LEFT] -= 1
        if pace[LEFT] == LENGTHS[pace[PHASE]] - UNTIMED - 1:
            pace[SINCE], pace[SPENT] = now, 0
    return min(pace[MEMBERS], joined)


@inner
def go_on(pace, joined, now):
    """After a phase, or a run of the last one: the next."""
    phase, members = pace[PHASE], min(pace[MEMBERS], joined)
    cost = (pace[SPENT] + now - pace[SINCE]) // (LENGTHS[phase] - UNTIMED)
    if phase == SETTLED:
        again = pace[RUNS_LEFT] > 1 and cost <= pace[COST] + pace[COST] // 4
        pace[RUNS_LEFT] = pace[RUNS_LEFT] - 1 if again else 0
        if not again:
            if pace[MEMBERS] < ALL and joined == members:
                return  # until a call has more
            phase, pace[MEMBERS] = FIRST, ALL
    elif phase == FEWER and cost < pace[COST]:
        phase = SECOND
    else:
        better = phase == FIRST or (phase == SECOND and cost < pace[COST])
        if better:
            pace[COST], pace[BEST] = cost, pace[MEMBERS]
        if phase == NONE:
            phase, pace[MEMBERS] = FIRST, ALL
        elif better and members > 1:
            phase, pace[MEMBERS] = FEWER, members // 2
        else:
            pace[RUNS] = min(2 * pace[RUNS], MOST_RUNS) if pace[BEST] == pace[LAST_BEST] else 1
            pace[LAST_BEST], pace[RUNS_LEFT] = pace[BEST], pace[RUNS]
            phase, pace[MEMBERS] = SETTLED, pace[BEST]
    pace[PHASE], pace[LEFT] = phase, LENGTHS[phase]


@inner
def most_members(pace):
    """The members that steps of the next call will have at most, as far as the notes tell."""
    return pace[MEMBERS] if pace[PHASE] == SETTLED and pace[RUNS_LEFT] > 0 else ALL
