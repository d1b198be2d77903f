"""Data-parallel training over MPI: each process holds a share of the samples, and all take the same steps.

`FNN.fit` with `comm` calls `training.fit`. The parts, from the bottom up:

    options.py    `DataParallel`, what a user can choose
    shards.py     how samples are divided among ranks, and each rank's among parts
    parts.py      which samples of which part each step takes, in what order
    ranks.py      agreement between ranks: errors, equal arguments, threads
    gradients.py  steps whose gradients are summed over the ranks, fast or in a fixed order
    averaging.py  steps of each rank by itself, with averages of the parameters in between
    measuring.py  losses and metrics on the samples of all ranks
    sharing.py    which steps a trainer takes, what it exchanges
    training.py   the trainer of a network; that of an estimator is in sklearn/

mpi4py is imported where it is used: the user has imported it, to have a communicator.
"""

from fastfnn.parallel.options import DataParallel
from fastfnn.parallel.shards import shard

__all__ = ["DataParallel", "shard"]
