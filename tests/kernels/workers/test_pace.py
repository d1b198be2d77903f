"""The number of threads of a step, as it follows from what steps cost: the clock is the test's own."""

import numpy as np
import pytest
from helpers import from_python

from fastfnn.kernels.compiler.decorators import inner
from fastfnn.kernels.tuning import PACE_MOST_RUNS
from fastfnn.kernels.workers import pace
from fastfnn.kernels.workers.pace import LENGTHS, PACE, SETTLED, pace_at


@inner
def _members_for(address, joined, now):
    return pace.members_for(pace_at(address), joined, now)


@inner
def _most_members(address):
    return pace.most_members(pace_at(address))


members_for, most_members = from_python(_members_for), from_python(_most_members)

ONE_ROUND = int(LENGTHS.sum()) + PACE_MOST_RUNS * int(LENGTHS[SETTLED])  # the most steps before it all begins again


class Clock:
    """Calls of `steps` steps on up to `threads` threads, where a step of m members takes cost(m)."""

    def __init__(self, cost, threads=2, steps=64):
        self.cost, self.threads, self.steps = cost, threads, steps
        self.pace, self.now = np.zeros(1, PACE), 10**12

    def call(self):
        """The members of each step of a call."""
        self.now += 10**9  # between calls nothing counts
        threads = min(self.threads, most_members(self.pace.ctypes.data))
        self.pace["since"] = self.now
        members = []
        for _ in range(self.steps):
            members.append(int(members_for(self.pace.ctypes.data, threads, self.now)))
            self.now += self.cost(members[-1])
        self.pace["spent"] += self.now - self.pace["since"]
        return members

    def after(self, steps):
        """The members of each step, once so many have been taken."""
        for _ in range(-(-steps // self.steps)):
            self.call()
        return [member for _ in range(-(-ONE_ROUND // self.steps)) for member in self.call()]


def share_of(members, count):
    return np.mean(np.array(members) == count)


@pytest.mark.parametrize("steps", [1, 3, 64, 5000])
@pytest.mark.parametrize(
    "threads, costs, best",
    [
        (2, {1: 200, 2: 110}, 2),
        (2, {1: 200, 2: 300}, 1),
        (2, {1: 200, 2: 200}, 2),  # when in doubt, all
        (3, {1: 300, 3: 120}, 3),
        (3, {1: 100, 3: 120}, 1),
        (16, {1: 1600, 2: 800, 4: 500, 8: 600, 16: 900}, 4),
        (16, {1: 100, 2: 200, 4: 300, 8: 400, 16: 500}, 1),
    ],
)
def test_the_fastest_number_is_found_whatever_the_length_of_a_call(steps, threads, costs, best):
    assert share_of(Clock(costs.__getitem__, threads, steps).after(ONE_ROUND), best) > 0.75


@pytest.mark.parametrize("cost", [100, 0])
def test_one_thread_stays_one(cost):
    clock = Clock(lambda members: cost, threads=1)
    assert set(clock.after(0)) == {1}


def test_a_clock_that_stands_still_leaves_all_threads():
    assert share_of(Clock(lambda members: 0).after(0), 2) > 0.99


def test_a_trial_costs_little_where_threads_help():
    assert share_of(Clock({1: 200, 2: 110}.__getitem__).after(0), 2) > 0.99


@pytest.mark.parametrize("before, after", [(1, 2), (2, 1)])
def test_it_follows_when_things_change(before, after):
    best = before
    clock = Clock(lambda members: 100 if members == best else 200)
    assert share_of(clock.after(ONE_ROUND), before) > 0.75
    best = after
    assert share_of(clock.after(2 * ONE_ROUND), after) > 0.75


def test_steps_that_become_slow_are_looked_into_at_once():
    slow = False
    clock = Clock(lambda members: 1000 if slow and members == 2 else {1: 200, 2: 110}[members])
    clock.after(0)
    slow = True
    taken = 0
    while clock.call()[-1] == 2:
        taken += clock.steps
    assert taken <= 2 * LENGTHS[SETTLED] + LENGTHS[1] + LENGTHS[2]


def test_one_disturbed_run_does_not_count_for_long():
    """A second thread helps; while it is looked for, something else has the processor."""
    disturbed = True
    clock = Clock(lambda members: 1000 if disturbed and members == 2 else {1: 200, 2: 110}[members])
    while clock.call()[-1] == 2:
        pass
    disturbed = False
    taken = 0
    while clock.call()[-1] != 2:
        taken += clock.steps
    assert taken <= LENGTHS.sum()


def test_a_call_asks_for_no_more_threads_than_it_will_use():
    clock = Clock({1: 100, 2: 200}.__getitem__)
    clock.after(ONE_ROUND)
    while most_members(clock.pace.ctypes.data) != 1:
        clock.call()
    assert set(clock.call()) == {1}


def test_what_passes_between_calls_does_not_count():
    """With one step a call, in which two members take 110, and a second between calls."""
    assert share_of(Clock({1: 200, 2: 110}.__getitem__, steps=1).after(0), 2) > 0.99
