"""Goes on with the training of a checkpoint: folder, epochs, mode; "kill" as the last argument ends it in an epoch."""

import os
import pathlib
import signal
import sys

import numpy as np
from mpi4py import MPI

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "support"))
from mpi_cases import CLASSES, LABELS, SAMPLES, WEIGHTS, X

import fastfnn as fnn
from fastfnn.fitting import Pace
from fastfnn.keeper import Keeper

comm = MPI.COMM_WORLD
folder, epochs, mode, *kill = sys.argv[1:]
# Rank 0 wants calls of a step, or of the few between two averages; others, whose clocks differ, must do the same.
Pace.FIRST_WORK, Pace.SECONDS = 0, comm.rank
write = Keeper._write
written = []


def write_and_die(self, drawn, stopped=False):
    write(self, drawn, stopped)
    written.append(self.loop.state.taken)
    if kill and len(written) == 8:
        os.kill(os.getpid(), signal.SIGKILL)


Keeper._write = write_and_die
rows = fnn.parallel.shard(comm, np.arange(SAMPLES))
modes = {"fixed": {"fixed_order": True}, "fast": {}, "averaged": {"average_every": 2}}
net = fnn.FNN(**CLASSES, dropout=0.2, batch_norm=True, seed=comm.rank)
history = net.fit(
    X[rows], LABELS[rows], sample_weight=WEIGHTS[rows], epochs=int(epochs), batch_size=20, optimizer="adam",
    checkpoint=fnn.Checkpoint(folder, every=1, unit="steps"), resume=True, validation_data=(X, LABELS),
    comm=fnn.DataParallel(comm, **modes[mode]),
)  # fmt: skip
arrays = {"params": net.params.flat, "statistics": net._statistics, "step_loss": history.step_loss}
arrays |= {"val_loss": np.array(history.val_loss), "first": net.optimizer.flat_state(net.params)[0]}
for other in comm.allgather(arrays):
    assert all(np.array_equal(arrays[key], other[key]) for key in arrays)
if comm.rank == 0:
    np.savez(pathlib.Path(folder) / "result", **arrays)
