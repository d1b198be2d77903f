"""Work on several threads: every kernel that uses the workers comes through here.

A kernel describes its work in a record and hands over the address of a shared function, which runs for each of a number
of parts. The caller posts the work as a region, takes a part, and then those that no worker has claimed by then: it
never waits for a worker that has not begun. If another Python thread uses the workers, if there are none, or if
neighbours keep the cores busy, the caller does everything. Results do not depend on it.

A worker claims a part by a compare-and-swap on one number, CLAIM, which holds the number of the region, so that it
cannot claim a part of another region when it comes late. What the parts are is written before CLAIM opens the region,
and read before CLAIM is swapped: a swap that succeeds says that it belonged to this region.

There are two kinds of regions. In the one each part is done once, by whoever comes first, and the caller returns when
all are done. In the other a part is the place of a member in a team that the caller leads, see team.py.
"""

import numpy as np

from ..compiler.decorators import called_through, entry, inner, shared
from ..compiler.memory import itemsize
from ..compiler.signature import Real, Vector
from ..tuning import SPINS_BEFORE_YIELD
from .atomic import add, clock, compare_and_swap, exchange, load, offer_core, pause, store
from .float_mode import flush_denormals, restore_mode
from .neighbours import is_left_out, members_allowed, note_waits
from .state import (
    ARGUMENTS,
    CLAIM,
    FINISHED,
    FUNCTION,
    IN_STEPS,
    ITEMSIZE,
    LAST_WORKER,
    LOST,
    OWNED,
    STARTED,
    STOP,
    TEAM,
    state,
)

# Of CLAIM: where the number of the region and its parts begin; the claimed parts are the lowest bits.
_REGION, _PARTS = 32, 16
_MASK = (1 << 16) - 1


@called_through
def call_part(function: int, arguments: int, parts: int, part: int, one: Real) -> None:
    """Run part number `part` of `parts` of the work that the record at `arguments` describes."""


@called_through
def call_member(function: int, arguments: int, region: int, parts: int, rank: int, number: int, one: Real) -> None:
    """Take part in the steps of a team, as the member of this rank; `number` is the worker's, from 1."""


# The caller


@inner
def in_parts(function, arguments, parts, one):
    """Run all parts of a work: `function` is the address of a function as `call_part` calls it."""
    mode = flush_denormals()
    if parts == 1:
        call_part(function, arguments, 1, 0, one)
    else:
        run_parts(function, arguments, parts, one)
    restore_mode(mode)


@shared
def run_parts(function: int, arguments: int, parts: int, one: Real) -> None:
    """Run all parts, with the help of the workers who come before the last one is taken."""
    workers = state()
    members = own_workers(workers, parts)
    if members == 1:
        for part in range(parts):
            call_part(function, arguments, parts, part, one)
        return
    begin = clock()
    store(workers + FINISHED, 0)
    describe_work(workers, function, arguments, members, 0, one)
    open_region(workers, next_region(workers), parts)
    part, own = 0, 0
    while part < parts:
        call_part(function, arguments, parts, part, one)
        own += 1
        part = claim(workers)
    await_finished(workers, parts - own)
    now = clock()
    note_waits(workers, members, now - begin, now)
    store(workers + OWNED, 0)


@inner
def own_workers(workers, parts):
    """Reserve the workers; returns how many threads a region of so many parts may have. With 1 nothing is reserved."""
    if load(workers + STARTED) == 0 or compare_and_swap(workers + OWNED, 0, 1) == 0:
        return 1
    members = min(parts, members_allowed(workers, clock()))
    if members == 1:
        store(workers + OWNED, 0)
    return members


@inner
def next_region(workers):
    """The number of the region that is opened next; it may wrap around."""
    return ((load(workers + CLAIM) >> _REGION) + 1 << _REGION) >> _REGION


@inner
def describe_work(workers, function, arguments, members, in_steps, one):
    """Say what the parts of the next region are, and that `members` threads may take part."""
    store(workers + FUNCTION, function)
    store(workers + ARGUMENTS, arguments)
    store(workers + ITEMSIZE, itemsize(one))
    store(workers + IN_STEPS, in_steps)
    store(workers + LAST_WORKER, members - 1)


@inner
def open_region(workers, region, parts):
    """Let workers claim parts; the first part is the caller's."""
    store(workers + CLAIM, region << _REGION | parts << _PARTS | 1)


@inner
def close_region(workers):
    """Let no worker claim any more."""
    held = load(workers + CLAIM)
    exchange(workers + CLAIM, held | held >> _PARTS & _MASK)


@inner
def claimed_parts(workers):
    """How many parts of the region have been claimed, the caller's included."""
    return load(workers + CLAIM) & _MASK


@inner
def claim(workers):
    """The number of a part that nobody has claimed; their number if there is none left."""
    while True:
        held = load(workers + CLAIM)
        parts, claimed = held >> _PARTS & _MASK, held & _MASK
        if claimed == parts or compare_and_swap(workers + CLAIM, held, held + 1) != 0:
            return claimed


@inner
def await_finished(workers, parts):
    """Wait until workers have finished so many parts."""
    spins, since = 0, 0
    while load(workers + FINISHED) < parts:
        spins += 1
        pause()
        if spins % SPINS_BEFORE_YIELD == 0:
            since = since if since != 0 else clock()
            offer_core()
    if since != 0:
        add(workers + TEAM + LOST, clock() - since)


# The workers


@entry
def work(_first: Vector, number: int, ticks: int, spins: int) -> int:
    """Work as worker number `number`, from 1, until there has been nothing to do for a while; returns its ticks.

    The while is so many ticks of the clock, or so many spins if the ticks are 0. The first argument is there for the
    dtype, which does not matter.
    """
    workers, begin = state(), clock()
    mode = flush_denormals()
    looks, since = 0, begin
    while True:
        if work_once(workers, number):
            looks, since = 0, clock()
            continue
        looks += 1
        pause()
        if looks % SPINS_BEFORE_YIELD == 0:
            idle = clock() - since > ticks if ticks > 0 else looks >= spins
            if idle or load(workers + STOP) != 0 or is_left_out(workers, number):
                break
            offer_core()
    restore_mode(mode)
    return clock() - begin


@inner
def work_once(workers, number):
    """Claim a part, if there is one, and do it; returns whether there was one."""
    held = load(workers + CLAIM)
    parts, part = held >> _PARTS & _MASK, held & _MASK
    if part >= parts:
        return False
    function, arguments, size = load(workers + FUNCTION), load(workers + ARGUMENTS), load(workers + ITEMSIZE)
    in_steps = load(workers + IN_STEPS) != 0
    if number > load(workers + LAST_WORKER) or compare_and_swap(workers + CLAIM, held, held + 1) == 0:
        return False
    if in_steps and size == 4:
        call_member(function, arguments, held >> _REGION, parts, part, number, np.float32(1))
    elif in_steps:
        call_member(function, arguments, held >> _REGION, parts, part, number, np.float64(1))
    else:
        if size == 4:
            call_part(function, arguments, parts, part, np.float32(1))
        else:
            call_part(function, arguments, parts, part, np.float64(1))
        add(workers + FINISHED, 1)
    return True
