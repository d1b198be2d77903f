"""The workers: threads of Python that spend their time in compiled code, where they wait for work without its lock.

They start when work for several threads first comes. A worker that has found nothing to do for some milliseconds
returns to Python and parks: it waits for a lock, which costs nothing and works on every system. Who has work for it
releases the lock and does not wait for it.

A forked child has no threads but the one that forked: it starts workers of its own. At the end of the process they end.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable

import numba
import numpy as np

from ..compiler.decorators import entry_for
from ..tuning import IDLE_MS, IDLE_SPINS
from .region import work
from .state import AWAKE, NEIGHBOURS, STARTED, STOP, TICKS_PER_MS, numbers

# The threads that the next region can count on, the caller's included.
present: int = 1

WORK_DTYPE = np.dtype(np.float32)  # of the code that workers wait in, whatever the dtype of the work
_NOTHING = np.zeros(1, WORK_DTYPE)

FIRST_SPINS = 20_000
END_SECONDS = 1  # that the end of the process waits for a worker

_changing = threading.Lock()
_workers: list[threading.Thread] = []
_parked: dict[int, threading.Lock] = {}  # by the worker's number, from 1
_most: int | None = None  # workers, once the system has refused another one


def call(count: int) -> None:
    """See to it that regions can count on `count` threads, as far as the system provides them; does not wait."""
    if numba.config.DISABLE_JIT:
        return
    count = min(count, int(numbers[NEIGHBOURS // 8]) or count)  # who is left out for now stays parked
    with _changing:
        while len(_workers) < count - 1 and _most is None:
            _start_one()
        for number in [number for number in _parked if number < count]:
            _parked.pop(number).release()
        _count()


def _count() -> None:
    """Note how many workers have started, and how many are awake: the first ones, since a region asks for these."""
    global present
    present = min(_parked, default=len(_workers) + 1)
    numbers[STARTED // 8], numbers[AWAKE // 8] = len(_workers), present - 1


def _start_one() -> None:
    global _most
    wait = entry_for(work, WORK_DTYPE)  # compiled here: a worker has no progress bar
    if not _workers:
        atexit.register(_end)
    number = len(_workers) + 1
    worker = threading.Thread(target=_live, args=(number, wait), name=f"fastfnn-{number}", daemon=True)
    _workers.append(worker)  # before it starts: no other may have its number, even if Ctrl-C comes now
    try:
        worker.start()
    except RuntimeError:  # a limit of the system, or the interpreter is shutting down
        _workers.pop()
        _most = len(_workers)


def _live(number: int, wait: Callable[..., int]) -> None:
    """What a worker does from its start to its end."""
    parking = threading.Lock()
    parking.acquire()
    spins = FIRST_SPINS  # the clock's rate is needed soon
    while True:
        start = time.perf_counter_ns()
        ticks = wait(_NOTHING, number, IDLE_MS * int(numbers[TICKS_PER_MS // 8]), spins)
        passed = time.perf_counter_ns() - start
        if numbers[STOP // 8]:
            return
        # The thread may have waited for Python's lock meanwhile, so that this is at most the true rate.
        numbers[TICKS_PER_MS // 8] = max(numbers[TICKS_PER_MS // 8], ticks * 1_000_000 // passed)
        if spins == IDLE_SPINS:
            with _changing:
                if numbers[STOP // 8]:  # nobody would wake it any more
                    return
                _parked[number] = parking
                _count()
            # A caller that counted on this worker a moment ago, and kept Python's lock from it, opens its region now.
            wait(_NOTHING, number, 0, FIRST_SPINS)
            parking.acquire()
            if numbers[STOP // 8]:
                return
        spins = IDLE_SPINS


def _end() -> None:
    """Let the workers end before the interpreter does."""
    with _changing:
        numbers[STOP // 8] = 1
        while _parked:
            _parked.popitem()[1].release()
    for worker in _workers:
        worker.join(END_SECONDS)


def _after_fork_in_child() -> None:
    global _changing, _most
    _changing, _most = threading.Lock(), None
    _workers.clear()
    _parked.clear()
    per_ms = numbers[TICKS_PER_MS // 8]
    numbers[:] = 0
    numbers[TICKS_PER_MS // 8] = per_ms
    _count()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
