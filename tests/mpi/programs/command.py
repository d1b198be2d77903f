"""Runs `fastfnn` with each command line of a JSON file; rank 0 writes what all ranks did to another JSON file.

The first argument is a folder with `commands.json`, {name: {"line": [...], "folder_of_1": ...}}; rank 1 runs a command
in a folder of its own if it has one. The second argument names the file of the results.
"""

import contextlib
import io
import json
import logging
import os
import pathlib
import sys

import fastfnn as fnn
from fastfnn import cli

logging.getLogger("fastfnn").setLevel(logging.ERROR)  # whether kernels are compiled is not told
given = []  # numbers of rows for training and for validation in each call of fit
fit = fnn.FNN.fit


def recording_fit(net, x, t, **arguments):
    held_out = arguments["validation_data"]
    given.append([len(x), None if held_out is None else len(held_out[0])])
    return fit(net, x, t, **arguments)


fnn.FNN.fit = recording_fit
rank = int(os.environ["PMI_RANK"] if "PMI_RANK" in os.environ else os.environ["OMPI_COMM_WORLD_RANK"])
home = pathlib.Path(sys.argv[1]).absolute()
told = {}
for name, command in json.loads((home / "commands.json").read_text()).items():
    os.chdir(home / command["folder_of_1"] if rank == 1 and "folder_of_1" in command else home)
    given.clear()
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = cli.main(command["line"])
        except SystemExit as end:
            status = end.code
    told[name] = [status, output.getvalue(), *given]

from mpi4py import MPI  # noqa: E402 - the command starts MPI

results = MPI.COMM_WORLD.gather(told)
if rank == 0:
    (home / sys.argv[2]).write_text(json.dumps({name: [each[name] for each in results] for name in told}))
