"""Regions: every part is done once, whoever comes; nobody who has not begun is waited for.

They run in child processes, so that a caller that waits for ever ends with the child.
"""

import pytest
from helpers import run_python

COUNT = 4  # threads, whatever the machine has

# Parts that count how often they are run, and by how many threads; called through a region like those of any kernel.
PARTS = """
import threading, time
import numpy as np
from fastfnn.kernels.compiler.decorators import address_of, entry, shared
from fastfnn.kernels.compiler.memory import array_at
from fastfnn.kernels.compiler.signature import Integers, Real, Vector
from fastfnn.kernels.workers import pool, state, threads
from fastfnn.kernels.workers.atomic import add, clock
from fastfnn.kernels.workers.region import in_parts

# Of the numbers that a part is given: ticks that it lasts; then how often each part was run.
@shared
def count_part(arguments: int, parts: int, part: int, one: Real) -> None:
    ticks = array_at(arguments, 1, np.int64(0))[0]
    since = clock()
    while clock() - since < ticks:
        pass
    add(arguments + 8 * (1 + part), 1)

@entry
def run_counted(first: Vector, numbers: Integers, function: int, parts: int) -> None:
    in_parts(function, numbers.ctypes.data, parts, first.dtype.type(1))

def counted(parts, ticks=0, dtype="float32"):
    numbers = np.zeros(1 + parts, np.int64)
    numbers[0] = ticks
    run_counted(np.zeros(1, dtype), numbers, address_of(count_part, np.dtype(dtype)), parts)
    assert np.all(numbers[1:] == 1), numbers

def number(place):
    return int(state.numbers[place // 8])

def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.001)

pool._changing = threading.RLock()  # who holds it sees what a call has done: no worker parks again meanwhile

counted(2)
counted(2, dtype="float64")
"""


def run_parts(code):
    run_python(PARTS + code, NUMBA_NUM_THREADS=COUNT, timeout=300)


@pytest.mark.jit
def test_each_part_is_done_once():
    run_parts("""
assert number(state.STARTED) == 0  # no workers: the caller does everything
counted(7)
pool.call(4)
assert number(state.STARTED) == 3
for dtype in ("float32", "float64"):
    for repetition in range(300):
        counted(repetition % 9 + 1, repetition % 3 * 3000, dtype)
    time.sleep(0.05)  # some workers park
    pool.call(4)
""")


@pytest.mark.jit
def test_a_worker_that_does_not_come_is_not_waited_for():
    """As if the system did not run it: the caller takes all parts itself."""
    run_parts("""
state.numbers[state.STARTED // 8] = state.numbers[state.AWAKE // 8] = 3
for parts in (2, 4, 9):
    counted(parts)
assert number(state.OWNED) == 0
""")


@pytest.mark.jit
def test_a_second_caller_at_the_same_time_does_its_work_itself():
    run_parts("""
pool.call(4)
state.numbers[state.OWNED // 8] = 1  # another thread has the workers
before = number(state.CLAIM)
counted(4)
assert number(state.CLAIM) == before, "a region was opened"
state.numbers[state.OWNED // 8] = 0
counted(4)
assert number(state.CLAIM) != before
""")


@pytest.mark.jit
def test_several_python_threads_share_the_workers():
    run_parts("""
pool.call(4)
errors = []
def work():
    try:
        for repetition in range(500):
            counted(4, 2000)
    except BaseException as error:
        errors.append(error)
callers = [threading.Thread(target=work) for _ in range(5)]
for caller in callers:
    caller.start()
for caller in callers:
    caller.join()
assert not errors and number(state.OWNED) == 0
""")


@pytest.mark.jit
def test_numbers_of_regions_wrap_around():
    run_parts("""
pool.call(4)
state.numbers[state.CLAIM // 8] = (2**31 - 5) << 32 | 1 << 16 | 1
for _ in range(20):
    counted(4, 3000)
assert number(state.CLAIM) >> 32 < 0
""")


@pytest.mark.jit
def test_members_who_are_left_out_take_no_part():
    """Two of four: the workers 2 and 3 stay away, and park; they are not woken until all are tried again."""
    run_parts("""
pool.call(4)
until(lambda: number(state.TICKS_PER_MS) > 0)
forever = 2**62
notes = state.numbers[state.NEIGHBOURS // 8 :]
notes[:2] = 2, forever
until(lambda: {2, 3} <= set(pool._parked))
for _ in range(100):
    counted(4, 3000)
    pool.call(4)
assert number(state.AWAKE) <= 1 and number(state.LAST_WORKER) == 1
notes[0] = 1
before = number(state.CLAIM)
counted(4)
assert number(state.CLAIM) == before
notes[1] = 0  # the time is over
counted(4)
assert number(state.CLAIM) != before and notes[0] == 0
with pool._changing:
    pool.call(4)
    assert number(state.AWAKE) == 3
""")
