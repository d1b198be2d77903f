"""How many threads a piece of work gets, and when it must be one.

Numba runs `prange` on one of three threading layers. Two of them can end the process:

- workqueue aborts when two Python threads enter it at once;
- omp (GNU OpenMP) kills a forked child at its first parallel region if the parent had run one.

In both cases kernels run on one thread, which never enters a parallel region.
"""

import os

import numba

from ..tuning import OPERATIONS_PER_THREAD

_limit = numba.config.NUMBA_NUM_THREADS
_layer: str | None = None
_forked_from_omp = False


def set_num_threads(count: int) -> None:
    """Let kernels use at most `count` threads, 1 to the number that Numba started with. Results do not depend on it."""
    global _limit
    _limit = count


def get_num_threads() -> int:
    """The number of threads that a large kernel runs on now."""
    return 1 if must_be_serial() else _limit


def max_threads() -> int:
    """The largest count that `set_num_threads` takes: Numba's NUMBA_NUM_THREADS, by default the number of cores."""
    return int(numba.config.NUMBA_NUM_THREADS)


def threading_layer() -> str:
    """The name of the threading layer in use; starts Numba's threads if they do not run yet."""
    global _layer
    if _layer is None:
        numba.get_num_threads()  # the public call that starts the threads
        _layer = numba.threading_layer()
    return _layer


def must_be_serial() -> bool:
    """Whether a parallel region could end this process."""
    return _limit == 1 or _forked_from_omp or threading_layer() == "workqueue"


def threads_for(operations: int) -> int:
    """The number of threads that a kernel with this many multiply-adds, or operations of like cost, makes use of."""
    if operations < 2 * OPERATIONS_PER_THREAD or must_be_serial():
        return 1
    return min(_limit, operations // OPERATIONS_PER_THREAD)


def _after_fork_in_child() -> None:
    global _forked_from_omp
    try:
        _forked_from_omp = numba.threading_layer() == "omp"
    except ValueError:  # no parallel region has run yet, so the child starts threads of its own
        _forked_from_omp = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
