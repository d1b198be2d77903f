"""`fastfnn train` finds out whether an MPI launcher has started it, and starts MPI only then."""

import contextlib
import sys
import types

import pytest
from commands import train

from fastfnn import cli, interruption
from fastfnn.cli import launcher
from fastfnn.cli.launcher import Launch

pytestmark = pytest.mark.usefixtures("thread_count")

MPICH = {"PMI_RANK": "1", "PMI_SIZE": "4"}
OPEN_MPI = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3", "PMIX_RANK": "2"}
SRUN = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4"}


@pytest.fixture(autouse=True)
def started_by(monkeypatch):
    """A function that sets the variables of a launcher; there are no others."""
    for name in (*MPICH, *OPEN_MPI, *SRUN):
        monkeypatch.delenv(name, raising=False)
    return lambda variables: [monkeypatch.setenv(*item) for item in variables.items()]


@pytest.mark.parametrize(
    ("variables", "launch"),
    [
        ({}, None),
        (MPICH, Launch(1, 4)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        (OPEN_MPI, Launch(2, 3)),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1", "PMIX_RANK": "0"}, None),
        ({**SRUN, "PMIX_RANK": "3"}, Launch(3, 4)),
        ({**SRUN, "PMI_RANK": "0", "PMI_SIZE": "4"}, Launch(0, 4)),
        ({"PMIX_RANK": "3"}, Launch(3, None)),
        (SRUN, None),
        ({"PMI_RANK": "", "PMI_SIZE": "4"}, None),
    ],
)
def test_launchers_are_told_by_their_variables(variables, launch):
    assert launcher.found(variables) == launch


@pytest.mark.parametrize(
    ("variables", "tasks"),
    [
        (SRUN, 4),
        ({**SRUN, "SLURM_PROCID": "1"}, 0),
        ({**SRUN, "SLURM_STEP_NUM_TASKS": "1"}, 0),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, 0),  # the script of a batch job
        ({**SRUN, "PMIX_RANK": "0"}, 0),
        ({}, 0),
    ],
)
def test_tasks_of_srun_without_mpi_are_found(variables, tasks):
    assert launcher.unconnected(variables) == tasks


def test_a_plain_run_needs_no_mpi(data, monkeypatch, started_by, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert train(data, "--quiet") == 0
    assert train(data, "--quiet", "--average-every", "auto") == 0
    started_by(SRUN)
    assert train(data, "--quiet", "--alone") == 0
    started_by(MPICH)
    assert train(data, "--quiet", "--alone") == 0
    output = capsys.readouterr()
    assert output.out.count("test accuracy") == 4 and output.err == ""


def test_tasks_of_srun_that_train_by_themselves_are_warned(data, started_by, capsys):
    started_by(SRUN)
    assert train(data, "--quiet") == 0
    assert capsys.readouterr().err.startswith("fastfnn train: warning: srun has started 4 processes without MPI, each")


def test_without_mpi4py_a_launcher_gets_one_error_that_names_the_extra(data, monkeypatch, started_by, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert train(data, "--fixed-order") == 2
    assert "--fixed-order needs mpi4py and MPI: pip install 'fastfnn[mpi]'" in capsys.readouterr().err
    monkeypatch.setattr(interruption, "heeded", lambda rank: contextlib.nullcontext())
    for rank in "01":
        started_by({"PMI_RANK": rank, "PMI_SIZE": "2"})
        assert train(data) == 2
    error = "training on the 2 ranks of an MPI launcher needs mpi4py and MPI: pip install 'fastfnn[mpi]' ("
    output = capsys.readouterr()
    assert error in output.err and output.err.count("\n") == 1 and output.out == ""


def test_a_launcher_of_another_mpi_is_an_error(data, monkeypatch, started_by, capsys):
    world = types.SimpleNamespace(size=1, Get_size=lambda: 1)
    mpi = types.SimpleNamespace(COMM_WORLD=world, get_vendor=lambda: ("Open MPI", (5, 0, 11)))
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=mpi))
    monkeypatch.setattr(interruption, "heeded", lambda rank: contextlib.nullcontext())
    started_by({"PMI_RANK": "0", "PMI_SIZE": "2"})
    assert train(data) == 2
    assert capsys.readouterr().err == (
        "fastfnn train: the launcher has started 2 processes, and mpi4py with Open MPI 5.0.11 knows of 1: mpiexec must "
        "be the one of Open MPI 5.0.11; --alone trains in each process by itself\n"
    )


def test_other_commands_do_not_look_for_a_launcher(monkeypatch, started_by, capsys):
    monkeypatch.setattr(launcher, "found", None)
    started_by(MPICH)
    assert cli.main(["info"]) == 0
    assert "numba" in capsys.readouterr().out
