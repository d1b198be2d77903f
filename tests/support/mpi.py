"""What the tests of data-parallel training share: programs that several ranks run, started by a real mpiexec."""

import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from programs import environment_without

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "mpi" / "programs"


def mpiexec():
    """The path of mpiexec: beside Python, where the wheels of MPICH and Open MPI put it, or elsewhere; None."""
    beside = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    return beside if os.path.exists(beside) else shutil.which("mpiexec")


needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None or mpiexec() is None,
    reason="needs mpi4py and mpiexec: pip install mpi4py mpich",
)


def start(program, ranks, *arguments, timeout=120):
    """Run a program of tests/mpi/programs on a number of ranks; the completed process, its output as text."""
    command = [mpiexec()]
    if "Open MPI" in subprocess.run([mpiexec(), "--version"], capture_output=True, text=True).stdout:
        command += ["--oversubscribe", "--allow-run-as-root", "--mca", "mpi_yield_when_idle", "1"]
    command += ["-n", str(ranks), sys.executable, str(PROGRAMS / program), *map(str, arguments)]
    # Where this process has used MPI by itself, Open MPI has left variables that a new job must not see.
    environment = environment_without("OMPI_", "PMIX_", "PRTE_", "PMI_")
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)


def run(program, ranks, *arguments, timeout=120):
    """Run a program that must succeed; what it prints on standard output."""
    done = start(program, ranks, *arguments, timeout=timeout)
    assert done.returncode == 0, f"{program} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
