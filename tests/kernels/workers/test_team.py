"""The protocol of a team: who takes part in which step, and what the barriers hold.

Members are Python threads in a child process, so that a team that waits for ever ends with the child. What a check
needs to happen in an order is brought about by the members themselves and not by the clock.
"""

import functools
import itertools
import json
import subprocess
import threading
import time
import traceback

import numba
import numpy as np
import pytest
from helpers import from_python, run_python

from fastfnn.kernels.workers.atomic import add, clock, load, offer_core, store
from fastfnn.kernels.workers.crew import Crew, share
from fastfnn.kernels.workers.state import COUNTED, LOST, MET, OPENED, TAKEN, TEAM_BYTES
from fastfnn.kernels.workers.team import dismiss, dissolve, follow, found_team, lead, meet, take

ITEMS = 7  # what the members of a step divide: not a multiple of their number
TIMEOUT = 300  # seconds for the child, which needs some ten on idle cores


@numba.njit(nogil=True)
def wait_for(address, least):
    while load(address) < least:
        offer_core()


@numba.njit(nogil=True)
def take_part(team, region, come, progress, leads, steps, begin, gates, most, barriers, slots, seen, work, wrong):
    """Come when `begin` steps are done, and take part; returns the rank.

    team, progress  addresses; the number at the second is how many steps have begun, one more at the end
    come            address of the number of members who have come, the leader's included: in place of claims
    leads           whether this is the leader
    gates           (steps,): the leader does not go through a step before so many have come
    most            (steps,): members of a step at most; negative to send the others away for good
    slots           (barriers, members): each member writes its own before the barrier, and reads all after it; since
                    there is a barrier more at the end of a step, nobody writes again before all have read
    seen            (steps, members): members that the member of each rank was told of, summed over its visits
    work            (steps, ITEMS): how often each item of a step was worked on
    wrong           (members,): how often another's slot was not as it should be
    """
    wait_for(progress, begin)
    rank = 0 if leads else add(come, 1)
    step = -1
    while True:
        if leads:
            step += 1
            if step == steps:
                break
            members = min(load(come), abs(most[step]))
            if most[step] < 0:
                dismiss(team, members - 1)
            lead(team, step, members)
        else:
            step, members = follow(team, region, rank, step)
            if members == 0:
                break
        if leads:
            store(progress, step + 1)
            wait_for(come, gates[step])
        seen[step, rank] += members
        start, stop = share(ITEMS, members, rank)
        for item in range(start, stop):
            work[step, item] += 1
        for barrier in range(barriers):
            number = step * barriers + barrier
            slots[barrier, rank] = number + 1
            meet(Crew(team, members, rank))
            for other in range(members):
                if slots[barrier, other] != number + 1:
                    wrong[rank] += 1
        meet(Crew(team, members, rank))
    if leads:
        dissolve(team)
        store(progress, steps + 1)
    return rank


REGION_NUMBER = 7


class Run:
    """Members that go through steps together, each in a thread of its own; the leader is number 0."""

    def __init__(self, count, steps, begins=None, gates=None, most=None, barriers=2, state=None):
        self.state = np.zeros(TEAM_BYTES // 8, np.int64) if state is None else state
        self.met = self.state[MET // 8]
        self.progress, self.come = np.zeros(1, np.int64), np.ones(1, np.int64)
        self.slots = np.zeros((barriers, count), np.int64)
        self.seen, self.work = np.zeros((steps, count), np.int64), np.zeros((steps, ITEMS), np.int64)
        self.wrong, self.ranks = np.zeros(count, np.int64), [None] * count
        gates = np.zeros(steps, np.int64) if gates is None else gates
        self.most = np.full(steps, count) if most is None else most
        together = threading.Barrier(count)
        team = self.state.ctypes.data
        from_python(found_team)(team, REGION_NUMBER, count)

        def work(number):
            together.wait()
            self.ranks[number] = take_part(
                team, REGION_NUMBER, self.come.ctypes.data, self.progress.ctypes.data, number == 0, steps,
                begins[number] if begins else 0, gates, self.most, barriers, self.slots, self.seen, self.work,
                self.wrong,
            )  # fmt: skip

        members = [threading.Thread(target=work, args=(number,)) for number in range(count)]
        for member in members:
            member.start()
        for member in members:
            member.join()
        self.members = self.seen[:, 0]  # as the leader was told

    def check(self):
        """What holds for every run, whoever came when."""
        count = self.seen.shape[1]
        assert sorted(self.ranks) == list(range(count)), self.ranks
        assert np.all(self.work == 1), "a step was not done exactly once"
        assert np.all(self.wrong == 0), "a member did not see what another wrote before the barrier"
        assert np.all(self.members >= 1) and np.all(self.members <= abs(self.most))
        takes_part = np.arange(count) < self.members[:, np.newaxis]
        np.testing.assert_array_equal(self.seen, np.where(takes_part, self.members[:, np.newaxis], 0))
        assert self.state[COUNTED // 8] == 0
        assert self.state[MET // 8] - self.met == (self.slots.shape[0] + 1) * np.sum(self.members > 1)


def check_members(count):
    Run(count, 1).check()
    for _ in range(200):
        Run(count, 3).check()
    Run(count, 500).check()


def check_all_take_part(count):
    """A gate at the first step holds the leader until all are there."""
    run = Run(count, 50, gates=np.full(50, count))
    run.check()
    assert np.all(run.members[1:] == count)


def check_many_barriers(count):
    run = Run(count, 1000, gates=np.full(1000, count), barriers=5)
    run.check()
    assert np.all(run.members[1:] == count)


def check_late_joiners():
    """The second comes in step number 10, the third in step number 20, the last after the last step."""
    gates = np.array([1] * 10 + [2] * 10 + [3] * 10)
    run = Run(4, 30, begins=[0, 11, 21, 31], gates=gates)
    run.check()
    assert run.ranks == [0, 1, 2, 3]
    np.testing.assert_array_equal(run.members, [1] * 11 + [2] * 10 + [3] * 9)


def check_some_sit_out():
    """Two of four, then all, then one, then all again, for some steps each."""
    most = np.array([2] * 7 + [4] * 5 + [1] * 9 + [4] * 6 + [3, 4] * 20 + [1])
    for _ in range(50):
        run = Run(4, most.size, gates=np.full(most.size, 4), most=most)
        run.check()
        np.testing.assert_array_equal(run.members[1:], most[1:])


def check_some_are_dismissed():
    """Four, then two, who go on without the others; these do not come back. Then the leader alone."""
    most = np.array([4] * 5 + [-2] + [2] * 5 + [-1] + [1] * 5)
    for _ in range(50):
        run = Run(4, most.size, gates=np.full(most.size, 4), most=most)
        run.check()
        np.testing.assert_array_equal(run.members[1:], abs(most[1:]))


def check_state_is_used_again():
    """One team after another with the same state, as regions follow each other."""
    state = np.zeros(TEAM_BYTES // 8, np.int64)
    for steps in (3, 1, 40, 2):
        Run(3, steps, state=state).check()


def check_no_steps():
    run = Run(2, 0)
    assert sorted(run.ranks) == [0, 1] and run.state[OPENED // 8] == 0


# What the child runs: name -> check.
CHECKS = {
    **{f"members {count}": functools.partial(check_members, count) for count in (2, 3, 4)},
    "all take part": functools.partial(check_all_take_part, 3),
    **{f"barriers {count}": functools.partial(check_many_barriers, count) for count in (2, 3, 4)},
    "late joiners": check_late_joiners,
    "some sit out": check_some_sit_out,
    "some are dismissed": check_some_are_dismissed,
    "state is used again": check_state_is_used_again,
    "no steps": check_no_steps,
}


def print_outcomes():
    """Run in a child: all checks, with a line when one begins, and one when it has ended."""
    for name, check in CHECKS.items():
        print(json.dumps([name, "it did not come to an end"]), flush=True)
        outcome = "passed"
        try:
            check()
        except Exception:
            outcome = traceback.format_exc()
        print(json.dumps([name, outcome]), flush=True)


@pytest.fixture(scope="module")
def outcomes():
    """Name -> how a check ended. One child for all of them: to compile takes longer than the checks do."""
    try:
        output = run_python("import test_team; test_team.print_outcomes()", timeout=TIMEOUT)
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode()
    return dict.fromkeys(CHECKS, "it did not begin") | dict(json.loads(line) for line in output.splitlines())


def assert_passed(outcomes, name):
    assert outcomes[name] == "passed", outcomes[name]


@pytest.mark.jit
@pytest.mark.parametrize("count", [2, 3, 4])
def test_steps_are_done_once_by_members_who_see_each_other(count, outcomes):
    assert_passed(outcomes, f"members {count}")


@pytest.mark.jit
def test_members_who_are_there_take_part(outcomes):
    assert_passed(outcomes, "all take part")


@pytest.mark.jit
@pytest.mark.parametrize("count", [2, 3, 4])
def test_thousands_of_barriers_come_to_an_end(count, outcomes):
    assert_passed(outcomes, f"barriers {count}")


@pytest.mark.jit
def test_late_joiners_take_part_from_the_next_step_on(outcomes):
    assert_passed(outcomes, "late joiners")


@pytest.mark.jit
def test_members_may_sit_out_and_come_back(outcomes):
    assert_passed(outcomes, "some sit out")


@pytest.mark.jit
def test_dismissed_members_go_while_the_others_work_on(outcomes):
    assert_passed(outcomes, "some are dismissed")


@pytest.mark.jit
def test_a_team_finds_the_state_as_another_left_it(outcomes):
    assert_passed(outcomes, "state is used again")


@pytest.mark.jit
def test_a_team_without_steps_has_nothing_to_do(outcomes):
    assert_passed(outcomes, "no steps")


@pytest.mark.jit
def test_a_member_that_comes_to_another_region_goes():
    """A worker that the system kept from running since it claimed its place."""
    team = np.zeros(TEAM_BYTES // 8, np.int64)
    from_python(found_team)(team.ctypes.data, 8, 2)
    from_python(lead)(team.ctypes.data, 0, 2)
    assert from_python(follow)(team.ctypes.data, 7, 1, -1) == (-1, 0)
    assert from_python(follow)(team.ctypes.data, 8, 1, -1) == (0, 2)


def test_the_numbers_of_a_team_lie_in_different_cache_lines():
    places = sorted([OPENED, COUNTED, MET, TAKEN, LOST])
    assert places[0] >= 0 and places[-1] + 8 <= TEAM_BYTES
    assert all(after - before >= 128 for before, after in itertools.pairwise(places))


@numba.njit(nogil=True)
def meet_when(team, others, members):
    """Come to a barrier of `members` when so many others wait there."""
    wait_for(team + COUNTED, others)
    for _ in range(1000):
        offer_core()
    meet(Crew(team, members, others))


@pytest.mark.jit
@pytest.mark.parametrize("members", [2, 3])
def test_a_long_wait_at_a_barrier_is_noted_once(members):
    """Whoever waits for the last: the sum is the time that a step lost, not that of all threads."""
    team = np.zeros(TEAM_BYTES // 8, np.int64)
    meet_when(team.ctypes.data, 0, 1)  # compiles
    late = threading.Event()

    def wait_and_meet():
        late.wait()
        meet_when(team.ctypes.data, members - 1, members)

    run = [threading.Thread(target=meet_when, args=(team.ctypes.data, rank, members)) for rank in range(members - 1)]
    run.append(threading.Thread(target=wait_and_meet))
    for thread in run:
        thread.start()
    start = from_python(clock)()
    time.sleep(0.3)
    late.set()
    for thread in run:
        thread.join()
    passed = from_python(clock)() - start
    assert 0.3 * passed < team[LOST // 8] < 1.5 * passed


@pytest.mark.jit
def test_meeting_alone_is_nothing():
    team = np.zeros(TEAM_BYTES // 8, np.int64)
    from_python(meet)(Crew(team.ctypes.data, 1, 0))
    assert not np.any(team)


@numba.njit(nogil=True)
def take_all(team, pieces, taken):
    """Take pieces of work until there are none left; counts in `taken` (pieces,) how often each was taken."""
    while True:
        number = take(team)
        if number >= pieces:
            break
        taken[number] += 1


@pytest.mark.jit
def test_each_piece_of_work_goes_to_one_member():
    pieces, members = 20_000, 3
    team, taken = np.zeros(TEAM_BYTES // 8, np.int64), np.zeros(pieces, np.int64)
    run = [threading.Thread(target=take_all, args=(team.ctypes.data, pieces, taken)) for _ in range(members)]
    for thread in run:
        thread.start()
    for thread in run:
        thread.join()
    assert np.all(taken == 1)
    assert team[TAKEN // 8] == pieces + members


@pytest.mark.jit
def test_a_step_begins_with_the_first_piece_of_work():
    team = np.zeros(TEAM_BYTES // 8, np.int64)
    taken = np.zeros(4, np.int64)
    take_all(team.ctypes.data, 4, taken)
    from_python(lead)(team.ctypes.data, 0, 1)
    take_all(team.ctypes.data, 4, taken)
    assert np.all(taken == 2)
