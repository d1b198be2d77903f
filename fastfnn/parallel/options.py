"""`DataParallel`, with which a user says how ranks train together."""

from __future__ import annotations

from typing import Any

from fastfnn import validation

FIXED_ORDER_PARTS = 8


class DataParallel:
    """How the processes of an MPI communicator train one network together: the argument `comm` of `FNN.fit`.

    Parameters
    ----------
    comm : mpi4py communicator
        For example ``mpi4py.MPI.COMM_WORLD``. All of its ranks must call `fit`.
    average_every : int or "auto", default 1
        1 sums the gradients of all ranks in every step. With a larger n each rank takes n steps by itself, on its share
        of each batch, and then parameters, running statistics and the optimizer's state are averaged: for small
        networks, whose steps are shorter than a message. "auto" measures both and chooses.
    fixed_order : bool, default False
        Sum gradients in the same order whatever the number of ranks, so that results have the same bits.
    parts : int, optional
        Into how many parts the samples are divided, a multiple of the number of ranks. Each part has its own random
        order, and gives its share of each batch. By default one for each rank; with `fixed_order` 8, or the number of
        ranks if this is larger.

    Attributes
    ----------
    averaged_every : int or None
        Steps between two averages in the last training, as "auto" has chosen it; None before the first one.

    Raises
    ------
    TypeError, ValueError
        For an argument of the wrong type or value. With `fixed_order`, `parts` and the number of
        ranks must be powers of two.

    Notes
    -----
    Which samples a step takes depends on the samples, the batch size, the random state and `parts`, not on the number
    of ranks: with the same `parts`, results are equal up to rounding, and with `fixed_order` bit for bit, on processors
    of one kind. Parts nest if the shares of the ranks are those of `fastfnn.parallel.shard`.

    Batch normalization uses the statistics of each rank's samples of a batch, with `fixed_order` those of each part's.
    Dropout draws a mask of its own for each rank, with `fixed_order` for each part.

    Examples
    --------
    Each of the processes that ``mpiexec -n 4 python train.py`` starts runs this program:

    >>> import fastfnn as fnn
    >>> from mpi4py import MPI
    >>> (x, t), test = fnn.datasets.load_mnist()
    >>> x, t = fnn.parallel.shard(MPI.COMM_WORLD, x, t)
    >>> net = fnn.FNN((784, 50, 10), seed=0)
    >>> history = net.fit(x, t, epochs=2, comm=fnn.DataParallel(MPI.COMM_WORLD, fixed_order=True))
    >>> history.epochs
    2
    """

    averaged_every: int | None = None

    # Whether `fit` ends the processes of all ranks when one is interrupted; False where its caller does so later.
    _ends_interrupted = True

    def __init__(
        self, comm: Any, *, average_every: int | str = 1, fixed_order: bool = False, parts: int | None = None
    ) -> None:
        _, size = checked_comm(comm)
        self.comm = comm
        if isinstance(average_every, str):
            self.average_every: int | str = validation.choice("average_every", average_every, ("auto",))
        else:
            self.average_every = validation.integer("average_every", average_every, 1)
        self.fixed_order: bool = validation.boolean("fixed_order", fixed_order)
        if self.fixed_order and self.average_every != 1:
            raise ValueError(f"average_every must be 1 with fixed_order, got {average_every!r}")
        if parts is None:
            parts = max(FIXED_ORDER_PARTS, size) if self.fixed_order else size
        self.parts: int = validation.integer("parts", parts, 1)
        for name, number in (("the number of ranks", size), ("parts", self.parts)):
            if self.fixed_order and number & (number - 1):
                raise ValueError(f"{name} must be a power of two with fixed_order, got {number}")
        if self.parts % size:
            raise ValueError(f"parts must be a multiple of the number of ranks, {size}, got {self.parts}")

    def __repr__(self) -> str:
        others = f"average_every={self.average_every!r}, fixed_order={self.fixed_order}, parts={self.parts}"
        return f"DataParallel({self.comm!r}, {others})"


def checked_comm(comm: Any) -> tuple[int, int]:
    """Return the rank of this process in a communicator, and the number of ranks."""
    try:
        return int(comm.Get_rank()), int(comm.Get_size())
    except AttributeError:
        raise TypeError(f"comm must be a communicator of mpi4py, got {type(comm).__name__}") from None


def checked_parallel(comm: Any) -> DataParallel:
    """Return the `DataParallel` that `fit` was given, perhaps as a communicator."""
    return comm if isinstance(comm, DataParallel) else DataParallel(comm)
