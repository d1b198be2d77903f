"""How many cores a `fit` may keep busy inside a worker of joblib or Dask, which has other workers beside it.

`base` limits the threads of one network by it, `ensemble` the number of networks at a time.
"""

import sys

from joblib import effective_n_jobs
from joblib.parallel import get_active_backend

from fastfnn.backend import max_threads


def in_worker() -> bool:
    """Return whether the caller runs in a worker of joblib or in a task of Dask."""
    backend, _ = get_active_backend()
    return bool(backend.nesting_level) or _in_dask_task()


def jobs_here(n_jobs: int | None) -> int:
    """Return how many networks this process trains at a time, for a parameter `n_jobs` with joblib's meaning."""
    if n_jobs is None and _in_dask_task():
        return 1
    # joblib's back-end for Dask answers with the cores of the whole cluster, whatever it is asked.
    most = max_threads() if n_jobs is None or n_jobs < 0 else n_jobs
    return min(effective_n_jobs(n_jobs), most)


def _in_dask_task() -> bool:
    # joblib takes a task of its own back-end for Dask for the outermost level.
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return False
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True
