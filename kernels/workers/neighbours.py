"""Whether other processes keep the cores busy: then a call does without the workers for a while.

A barrier lasts until the slowest thread comes. A thread that shares its core with another process does not run half of
the time, some milliseconds at a stretch, in which the others wait: one thread alone would be faster. So whoever waits
long at a barrier adds what it has waited to a sum, see team.py, and the call that uses the workers compares the sum
with the time that it had them. If they waited for most of it, half of the members are left out for a while, and the
next call after that tries again with all. The while doubles each time that this fails, since a trial may cost a wait,
and is short again after one that succeeds.
"""

from ..compiler.decorators import inner
from ..compiler.memory import accessor, record_of
from ..tuning import (
    LONGEST_ALONE_MS,
    LOST_PERCENT_OF_MORE,
    LOST_PERCENT_OF_TWO,
    LOST_WINDOW_MS,
    SHORTEST_ALONE_MS,
)
from .atomic import add, load
from .state import LOST, NEIGHBOURS, TEAM, TICKS_PER_MS

# More members than any machine has.
ALL = 1 << 15


class Neighbours:
    """Notes of the calls that use the workers, in ticks of the clock: zeros at first."""

    members: int  # that a call may have; 0 for any number
    until: int  # when the next call tries all again
    period: int  # how long members were left out the last time
    tried: int  # when all were tried the last time
    spent: int  # with the workers, lately


NEIGHBOURS_NOTES = record_of(Neighbours)
_notes_at = accessor(NEIGHBOURS_NOTES)


@inner
def members_allowed(workers, now):
    """How many members a call may have that begins now."""
    notes = _notes_at(workers + NEIGHBOURS)
    if notes.members != 0 and now - notes.until >= 0:
        notes.members, notes.tried = 0, now
    return notes.members if notes.members != 0 else ALL


@inner
def is_left_out(workers, number):
    """Whether calls do without the worker of this number for now, so that it need not wait for work."""
    members = _notes_at(workers + NEIGHBOURS).members
    return members != 0 and number >= members


@inner
def note_waits(workers, members, spent, now):
    """Take account of what a call's members have waited; `spent` ticks were not yet accounted for.

    Returns how many members a step may have from now on.
    """
    notes = _notes_at(workers + NEIGHBOURS)
    lost, per_ms = load(workers + TEAM + LOST), load(workers + TICKS_PER_MS)
    notes.spent += spent
    percent = LOST_PERCENT_OF_TWO if members == 2 else LOST_PERCENT_OF_MORE
    if per_ms > 0 and lost * 100 > notes.spent * percent:
        again = now - notes.tried < LOST_WINDOW_MS * per_ms + notes.period
        longer = min(2 * notes.period, LONGEST_ALONE_MS * per_ms)
        notes.period = longer if again and notes.period > 0 else SHORTEST_ALONE_MS * per_ms
        notes.until, notes.members = now + notes.period, max(members // 2, 1)
        notes.spent = 0
        add(workers + TEAM + LOST, -lost)
        return notes.members
    if notes.spent > LOST_WINDOW_MS * per_ms:  # what is long ago counts less
        notes.spent //= 2
        add(workers + TEAM + LOST, -(lost // 2))
    return members
