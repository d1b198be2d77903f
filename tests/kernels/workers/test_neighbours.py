"""When calls do without workers, and for how long: the clock and what members waited are the test's own."""

import itertools

import numpy as np
import pytest
from helpers import from_python

from fastfnn.kernels.compiler.decorators import inner
from fastfnn.kernels.tuning import LONGEST_ALONE_MS, LOST_WINDOW_MS, SHORTEST_ALONE_MS
from fastfnn.kernels.workers import neighbours
from fastfnn.kernels.workers.neighbours import ALL
from fastfnn.kernels.workers.state import LOST, NEIGHBOURS, TEAM, TICKS_PER_MS

MS = 1_000_000  # ticks


@inner
def _allowed(address, now):
    return neighbours.members_allowed(address, now)


@inner
def _note(address, members, spent, now):
    return neighbours.note_waits(address, members, spent, now)


@inner
def _left_out(address, number):
    return neighbours.is_left_out(address, number)


class Machine:
    """Calls one after another, each of some milliseconds, of which its members lose some at barriers."""

    def __init__(self, rate=MS):
        self.state = np.zeros((NEIGHBOURS + 128) // 8, np.int64)
        self.state[TICKS_PER_MS // 8] = rate
        self.address, self.now = self.state.ctypes.data, 0
        self.allowed, self.note, self.left_out = (from_python(code) for code in (_allowed, _note, _left_out))

    def call(self, threads, ms, lost):
        """Returns the members that the call had; `lost` is the share of the time that they wait."""
        members = min(threads, self.allowed(self.address, self.now))
        spent = int(ms * MS)
        self.now += spent
        if members > 1:
            self.state[(TEAM + LOST) // 8] += int(lost * spent)
            self.note(self.address, members, spent, self.now)
        return members

    def pause(self, ms):
        self.now += int(ms * MS)


def test_calls_have_all_members_while_nobody_waits_long():
    machine = Machine()
    assert {machine.call(2, 0.1, 0.0) for _ in range(10_000)} == {2}
    assert {machine.call(2, 20, 0.05) for _ in range(1000)} == {2}


def test_a_hiccup_in_a_long_quiet_time_changes_nothing():
    machine = Machine()
    for _ in range(100):
        machine.call(2, LOST_WINDOW_MS, 0.0)
    machine.call(2, 1, 1.0)
    assert machine.call(2, 1, 0.0) == 2


@pytest.mark.parametrize("ms", [0.1, 4, 100])
def test_members_are_left_out_when_they_wait_for_most_of_the_time(ms):
    machine = Machine()
    for _ in range(20):
        machine.call(2, ms, 0.0)
    machine.call(2, max(ms, 2 * LOST_WINDOW_MS), 0.9)
    assert machine.call(2, 0.1, 0.9) == 1
    assert machine.left_out(machine.address, 1)


def test_half_of_the_members_stay_and_half_of_these_if_that_does_not_help():
    machine = Machine()
    members = [machine.call(16, 8, 0.9) for _ in range(6)]
    assert members == [16, 8, 4, 2, 1, 1]
    assert machine.left_out(machine.address, 1)
    machine = Machine()
    assert [machine.call(16, 8, lost) for lost in (0.9, 0.9, 0.1)] == [16, 8, 4]
    assert [machine.left_out(machine.address, number) for number in (3, 4)] == [False, True]


def test_all_are_tried_again_after_a_while_that_grows_as_trials_fail():
    machine, alone, whiles = Machine(), 0, []
    while len(whiles) < 10:
        if machine.call(2, 1, 0.9) == 1:
            alone += 1
        elif alone:
            whiles.append(alone)
            alone = 0
    assert whiles[0] == SHORTEST_ALONE_MS
    assert all(after in (2 * before, LONGEST_ALONE_MS) for before, after in itertools.pairwise(whiles))
    assert whiles[-1] == LONGEST_ALONE_MS


def test_the_while_is_short_again_after_a_quiet_time():
    machine = Machine()
    for _ in range(3000):
        machine.call(2, 1, 0.9)
    machine.pause(2 * LONGEST_ALONE_MS)
    for _ in range(4 * LONGEST_ALONE_MS):
        assert machine.call(2, 1, 0.0) == 2
    for _ in range(LOST_WINDOW_MS + 1):
        machine.call(2, 1, 1.0)
    assert sum(machine.call(2, 1, 0.0) == 1 for _ in range(100)) <= SHORTEST_ALONE_MS


def test_members_may_take_part_again_at_once_when_the_neighbour_has_gone():
    machine = Machine()
    for _ in range(100):
        machine.call(2, 1, 0.9)
    machine.pause(LONGEST_ALONE_MS)
    assert {machine.call(2, 1, 0.0) for _ in range(1000)} == {2}
    assert not machine.left_out(machine.address, 1)


def test_without_a_clock_nobody_is_left_out():
    machine = Machine(rate=0)
    assert {machine.call(2, 1, 0.9) for _ in range(1000)} == {2}


def test_more_members_than_a_machine_has_are_allowed():
    assert Machine().call(ALL, 1, 0.0) == ALL
