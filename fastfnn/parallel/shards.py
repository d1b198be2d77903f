"""How samples are divided: among ranks, and those of a rank among parts."""

from __future__ import annotations

from typing import Any

from fastfnn import validation
from fastfnn.parallel.options import checked_comm


def divided(count: int, parts: int) -> list[int]:
    """Return the sizes of contiguous parts of `count` samples, which differ by at most one.

    Halves are divided again while `parts` is even, so that eight parts are the halves of four, whoever divides them.
    """
    if parts % 2 == 0:
        return divided(count // 2, parts // 2) + divided(count - count // 2, parts // 2)
    return [count // parts + (part < count % parts) for part in range(parts)]


def shard(comm: Any, *arrays: Any) -> Any:
    """Return this rank's share of samples that all ranks see.

    Parameters
    ----------
    comm : mpi4py communicator
        Of the ranks that share the samples.
    *arrays : array
        Samples, targets and whatever else has a row for each sample; anything that slices take, such as a memory map.

    Returns
    -------
    array or tuple of array
        Contiguous rows of each array, the first ranks' first: views, which a memory map reads only when they are used.

    Raises
    ------
    TypeError, ValueError
        If `comm` is no communicator, or the arrays have different lengths, or fewer rows than there are ranks.

    Notes
    -----
    Shares differ by at most one sample. Those of 1, 2, 4, ... ranks are halves of each other, so that the parts of
    `DataParallel` are the same for each of these numbers.

    Examples
    --------
    Three of ten samples, as rank 1 of 4 gets them:

    >>> import numpy as np
    >>> import fastfnn as fnn
    >>> class Comm:  # in a program: from mpi4py.MPI import COMM_WORLD
    ...     Get_rank, Get_size = lambda self: 1, lambda self: 4
    >>> x, t = fnn.parallel.shard(Comm(), np.arange(20.0).reshape(10, 2), np.arange(10))
    >>> t
    array([2, 3, 4])
    """
    rank, size = checked_comm(comm)
    if not arrays:
        raise TypeError("shard needs at least one array, got none")
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"arrays must have the same length, got {', '.join(map(str, lengths))}")
    validation.integer("the number of samples", lengths[0], size)
    sizes = divided(lengths[0], size)
    rows = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    shares = tuple(array[rows] for array in arrays)
    return shares[0] if len(shares) == 1 else shares
