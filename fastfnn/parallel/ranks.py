"""Agreement between ranks: an error on one of them ends the training on all, and never leaves others waiting."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastfnn import streams
from fastfnn.backend import max_threads, process_threads, thread_limit
from fastfnn.divergence import DivergenceError
from fastfnn.files import shortened


class Ranks:
    """The ranks of a communicator that train together.

    Parameters
    ----------
    comm : mpi4py communicator
    ends_interrupted : bool
        Whether `guarded` ends the processes of all ranks after Ctrl-C, too; otherwise its caller has to.

    Attributes
    ----------
    rank, size : int
        Number of this rank, and of all.
    first : bool
        Whether this is rank 0, which alone prints, calls callbacks and writes checkpoints.
    """

    def __init__(self, comm: Any, ends_interrupted: bool = True) -> None:
        self.comm = comm
        self.ends_interrupted: bool = ends_interrupted
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.first: bool = self.rank == 0
        self._agreed: BaseException | None = None

    def from_first(self, value: Any = None) -> Any:
        """Return the object that rank 0 has given."""
        return self.comm.bcast(value)

    def broadcast(self, *arrays: np.ndarray) -> None:
        """Give contiguous arrays the values that they have on rank 0."""
        for array in arrays:
            if array.size:
                self.comm.Bcast(array)

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """If what a rank does in this context fails, raise on all ranks: there the error itself, elsewhere its text."""
        error: Exception | None = None
        try:
            yield
        except Exception as raised:
            if raised is self._agreed:
                raise
            error = raised
        self._exchanged(error, None)

    def gathered(self, value: Any) -> list[Any]:
        """Return what each rank has given, in their order; all ranks call this in a context of `agreed`.

        If one of them has failed there before, raise on all.
        """
        return self._exchanged(None, value)

    def _exchanged(self, error: Exception | None, value: Any) -> list[Any]:
        """Exchange errors and values. One kind of message for both: a rank that fails meets others in any exchange."""
        failed = None if error is None else (type(error).__name__, _built_in(error), str(error))
        told = self.comm.allgather((failed, value))
        failures = [(rank, failure) for rank, (failure, _) in enumerate(told) if failure is not None]
        if not failures:
            return [value for _, value in told]
        if error is None:
            rank, (kind, base, text) = failures[0]
            error = base(f"rank {rank} raised {kind}: {text}")
        self._agreed = error
        raise error

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """If this rank alone fails in this context, end the processes of all ranks: they would wait for it forever."""
        try:
            yield
        except BaseException as error:
            alone = error is not self._agreed and not isinstance(error, DivergenceError)
            left = isinstance(error, KeyboardInterrupt) and not self.ends_interrupted
            if alone and not left and self.size > 1:
                traceback.print_exc(file=streams.errors())
                streams.tell(f"rank {self.rank} of {self.size} ends the training of all ranks")
                self.comm.Abort(1)
            raise

    def check_equal(self, asked: Mapping[str, Any]) -> None:
        """Raise ValueError on all ranks, which names what differs, unless all are asked for the same.

        Parameters
        ----------
        asked : mapping
            By the names of arguments, numbers, texts and tuples of them.
        """
        wanted, *others = self.gathered(dict(asked))
        differences: dict[str, list[str]] = {}
        for rank, got in enumerate(others, 1):
            for name in wanted:
                if got[name] != wanted[name]:
                    differences.setdefault(name, []).append(f"{shortened(repr(got[name]))} on rank {rank}")
        if differences:
            texts = (
                f"{name} must be the same on all ranks, got {shortened(repr(wanted[name]))} on rank 0, "
                f"{', '.join(values)}"
                for name, values in differences.items()
            )
            self._agreed = ValueError("; ".join(texts))
            raise self._agreed

    @contextlib.contextmanager
    def sharing_cores(self) -> Iterator[None]:
        """Inside the context kernels use this rank's share of the host's cores, unless the user has chosen a number."""
        from mpi4py import MPI

        host = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        cores = os.sched_getaffinity(0)
        users = [core for others in host.allgather(cores) for core in others]
        host.Free()
        chosen = {"OMP_NUM_THREADS", "NUMBA_NUM_THREADS"} & set(os.environ) or process_threads() != max_threads()
        share = sum(1 / users.count(core) for core in cores) / len(cores)
        with contextlib.nullcontext() if chosen else thread_limit(max(int(max_threads() * share), 1)):
            yield


def _built_in(error: Exception) -> type[Exception]:
    """Return the class of an error, or that which it derives from, if it is built in and takes a text."""
    kinds = [each for each in type(error).__mro__ if each.__module__ == "builtins" and issubclass(each, Exception)]
    return RuntimeError if kinds[0] is Exception or issubclass(kinds[0], UnicodeError) else kinds[0]
