"""How many threads a piece of work gets.

At most as many as the CPUs that the process may use, see cpus.py, or as OMP_NUM_THREADS says if these are fewer. Batch
systems, joblib and Dask set that variable for their workers. NUMBA_NUM_THREADS overrides all of it.

`set_num_threads` holds for the process, `limited` for the calls of one Python thread: several that are limited to 1
each run side by side, and none touches the workers.
"""

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator

import numba

from ..tuning import OPERATIONS_PER_THREAD
from . import pool
from .cpus import usable_cpus

_limit = 0  # not known yet


class _Here(threading.local):
    """What holds for the present Python thread alone."""

    limit = sys.maxsize


_here = _Here()


def set_num_threads(count: int) -> None:
    """Let kernels use at most `count` threads, 1 to `max_threads()`. Results do not depend on it."""
    global _limit
    _limit = count


def process_threads() -> int:
    """The number of threads that `set_num_threads` allows, whatever the limit of the present Python thread."""
    return _limit or max_threads()


def get_num_threads() -> int:
    """The number of threads that a large kernel runs on now, called from the present Python thread."""
    return min(process_threads(), _here.limit)


@contextlib.contextmanager
def limited(count: int) -> Iterator[None]:
    """Inside the context, kernels that the present Python thread calls use at most `count` threads, 1 or more.

    Inside another such context the smaller limit holds. Results do not depend on it.
    """
    before = _here.limit
    _here.limit = min(count, before)
    try:
        yield
    finally:
        _here.limit = before


@functools.cache
def max_threads() -> int:
    """The largest count that `set_num_threads` takes: by default the number of CPUs that the process may use.

    Found out when it is first needed: a process may be bound to CPUs after this module has been imported.
    """
    if "NUMBA_NUM_THREADS" in os.environ:
        return int(numba.config.NUMBA_NUM_THREADS)
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(usable_cpus(), max(int(wanted), 1)) if wanted.isdecimal() else usable_cpus()


def threads_for(operations: int) -> int:
    """The number of threads that a kernel with this many multiply-adds, or operations of like cost, makes use of.

    If these are several it sees to it that workers are awake.
    """
    if operations < 2 * OPERATIONS_PER_THREAD or _limit == 1:
        return 1
    count = min(_limit or max_threads(), _here.limit, operations // OPERATIONS_PER_THREAD)
    if count > pool.present:
        pool.call(count)
    return count


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=max_threads.cache_clear)  # a child may be bound to other CPUs
