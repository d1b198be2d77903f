"""A training in whose middle one rank ends as the argument says; no rank may print that it has come to the end."""

import os
import pathlib
import signal
import sys
import threading

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))
from mpi_cases import CLASSES, LABELS, X

import fastfnn as fnn
from fastfnn.parallel.gradients import ReducedSteps

comm = MPI.COMM_WORLD
how = sys.argv[1]
if comm.rank == 1:
    if how == "memory":

        def fail(*arguments):
            raise MemoryError("no memory for a gradient")

        ReducedSteps.gradient = fail
    else:
        number = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT}[how]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Timer(0.5, os.kill, (os.getpid(), number)).start()
net = fnn.FNN(**CLASSES, seed=0)
net.fit(X, LABELS, epochs=1_000_000, comm=comm)
print("came to the end", np.sum(net.params.flat))
