"""The processes of `fastfnn train`: one by itself, or the ranks that an MPI launcher has started.

`train.py` makes a `Processes`; the trainings ask it for their share of the rows and do together with the other ranks
what can fail. Rank 0 alone prints and writes files.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

import numpy as np

from fastfnn import streams, validation
from fastfnn.cli import launcher
from fastfnn.parallel import DataParallel, shard
from fastfnn.parallel.ranks import Ranks


class Processes:
    """This process, and those that train with it.

    Parameters
    ----------
    parallel : DataParallel, optional
        How several ranks train together; None for a process by itself.

    Attributes
    ----------
    first : bool
        Whether this process prints and writes files.
    size : int
        Number of processes.
    """

    first: bool = True
    size: int = 1

    def __init__(self, parallel: DataParallel | None = None) -> None:
        self.parallel = parallel
        self._ranks: Ranks | None = None
        if parallel is not None:
            self._ranks = Ranks(parallel.comm)
            self.first, self.size = self._ranks.first, self._ranks.size

    def agreed(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which an error of one rank is raised on all of them."""
        return contextlib.nullcontext() if self._ranks is None else self._ranks.agreed()

    def check_equal(self, what: dict[str, Any]) -> None:
        """Raise ValueError on all ranks, which names what differs, unless all of them have the same."""
        if self._ranks is not None:
            self._ranks.check_equal(what)

    def share(self, rows: np.ndarray) -> np.ndarray:
        """Return the part of an array that this rank trains on."""
        part: np.ndarray = rows if self.parallel is None else shard(self.parallel.comm, rows)
        return part

    def held_out_share(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the part of the held-out rows that this rank measures on, None if others do.

        A mean over ranks depends on their number by rounding, so that rank 0 measures alone in a fixed order.
        """
        if self.parallel is not None and (self.parallel.fixed_order or len(rows) < self.size):
            return rows if self.first else None
        return self.share(rows)

    @property
    def told(self) -> str:
        """What the result says about the ranks."""
        if self.size == 1:
            return ""
        every = self.parallel.averaged_every if self.parallel else None
        return f" on {self.size} ranks" + (f", averages every {every} steps" if every and every > 1 else "")


def joined(options: argparse.Namespace) -> Processes:
    """Return the processes that train with this one; MPI is started if there are others."""
    launch, fixed_order = options.launch, "fixed_order" in options
    every = getattr(options, "average_every", 1)
    if not isinstance(every, str):
        validation.integer("--average-every", every, 1)
    if fixed_order and every != 1:
        raise ValueError("--average-every must not be given with --fixed-order, which sums gradients in every step")
    if launch is None and "alone" not in options and (tasks := launcher.unconnected()):
        streams.warn(
            f"srun has started {tasks} processes without MPI, each of which trains by itself: srun --mpi=pmix or "
            "--mpi=pmi2 lets them train together, --alone says that this is meant",
            stacklevel=2,
        )
    if launch is None and not fixed_order:
        return Processes()
    comm = _world(launch)
    if comm.Get_size() == 1 and not fixed_order:
        return Processes()
    given = sorted(
        {name for names in comm.allgather(list(vars(options))) for name in names} - {"run", "launch", "paths"}
    )
    shown = {name: "DATA" if name == "data" else f"--{name.replace('_', '-')}" for name in given}
    Ranks(comm).check_equal({shown[name]: getattr(options, name, None) for name in given})
    if fixed_order and comm.Get_size() & (comm.Get_size() - 1):
        raise ValueError(f"--fixed-order must have 1, 2, 4, 8, ... ranks, got {comm.Get_size()}")
    parallel = DataParallel(comm, average_every=every, fixed_order=fixed_order)
    parallel._ends_interrupted = False  # `main` does, when the model is saved
    return Processes(parallel)


def _world(launch: launcher.Launch | None) -> Any:
    """Return the communicator of all processes."""
    why = "--fixed-order" if launch is None else f"training on the {launch.size or 'several'} ranks of an MPI launcher"
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no library of MPI
        raise ImportError(f"{why} needs mpi4py and MPI: pip install 'fastfnn[mpi]' ({error})") from error
    if launch is not None and launch.size not in (None, MPI.COMM_WORLD.size):
        library = " ".join((MPI.get_vendor()[0], ".".join(map(str, MPI.get_vendor()[1]))))
        raise ValueError(
            f"the launcher has started {launch.size} processes, and mpi4py with {library} knows of "
            f"{MPI.COMM_WORLD.size}: mpiexec must be the one of {library}; --alone trains in each process by itself"
        )
    return MPI.COMM_WORLD


def end_all(status: int) -> None:
    """End all ranks with an exit status: this one ends by itself, and the others would wait for it."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.COMM_WORLD.size > 1:
        for stream in (streams.output(), streams.errors()):
            stream.flush()
        mpi.COMM_WORLD.Abort(status)
