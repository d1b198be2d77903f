"""Trains the networks of mpi_cases.py in each mode; rank 0 writes what came out to the folder of its argument."""

import pathlib
import sys

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))
from mpi_cases import CASES, state_of, trained

comm = MPI.COMM_WORLD
runs = [(f"fixed-{name}", name, {"fixed_order": True}) for name in CASES]
if comm.size <= 2:  # sums of two gradients are made in one way only
    runs += [(f"fast-{name}", name, {"parts": 2}) for name in CASES]
runs += [(f"fast4-{name}", name, {"parts": 4}) for name in ("sgd", "clip", "float64")]
if comm.size == 2:
    runs += [("uneven", "batch_norm", {"fixed_order": True, "shares": (90, 11)})]
    runs += [(f"averaged-{name}", name, {"average_every": 2, "shares": (71, 30)}) for name in CASES]
    runs += [(f"auto-{name}", name, {"average_every": "auto"}) for name in ("sgd", "dropout")]
for label, name, parallel in runs:
    state = state_of(*trained(comm, name, **parallel))
    for rank, other in enumerate(comm.allgather(state)):
        for key in state:
            assert np.array_equal(state[key], other[key]), f"{label}: {key} differs on rank {rank}"
    if comm.rank == 0:
        np.savez(pathlib.Path(sys.argv[1]) / label, **state)
