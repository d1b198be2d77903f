"""Whether an MPI launcher has started this process together with others, as environment variables tell.

`main.py` and `ranks.py` ask. Nothing here imports mpi4py: a plain run never starts MPI.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

# Names of the variables with the rank of a process and the number of processes.
VARIABLES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # mpiexec of Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # mpiexec of MPICH and Intel MPI, srun --mpi=pmi2
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),  # srun --mpi=pmix
)


class Launch(NamedTuple):
    """This process among those of a launcher."""

    rank: int
    size: int | None  # None if only MPI knows


def found(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return what the launcher of several processes has told this one; None if there is no launcher.

    Variables that a batch system sets for each task, such as SLURM_PROCID, do not count: tasks without a connection
    for MPI cannot train together.
    """
    for rank, size in VARIABLES:
        if environment.get(rank, "").isdigit():
            count = int(environment[size]) if environment.get(size, "").isdigit() else None
            return None if count == 1 else Launch(int(environment[rank]), count)
    return None


def unconnected(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many tasks srun has started without MPI, if this is the first of several; otherwise 0."""
    if any(rank in environment for rank, _ in VARIABLES) or environment.get("SLURM_PROCID") != "0":
        return 0
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "")
    return int(tasks) if tasks.isdigit() and int(tasks) > 1 else 0
