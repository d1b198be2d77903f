"""Nothing out of bounds is read or written: kernels run in child processes, on arrays that touch protected pages.

What they run on, and how the pages are laid, stands in guarded.py.
"""

import os
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest
from guarded import KERNELS, THREADS, WRONG_RUNS
from helpers import DTYPES, ROOT
from kernel_selection import kernels_of, operation_of

from fastfnn import kernels

pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="protects memory by mprotect"),
]

PROGRAM = ROOT / "tests/support/guarded.py"
PLACES = ("end", "begin")

# What one child process runs: to start one takes longer than most kernels do.
NETWORKS = ("network_forward", "network_loss", "network_gradient", "network_update", "train_steps")
TABULAR = ("tabular_forward", "tabular_gradient", "tabular_steps")
LAYERS = tuple(name for name in KERNELS if name not in NETWORKS + TABULAR)
GROUPS = {"layers": LAYERS, "networks": NETWORKS, "tabular": TABULAR}


class Outcome(NamedTuple):
    """How a child process ended."""

    status: int
    last: str  # the last line that it printed: the case that it was at, or "passed" and a number
    errors: str

    def __str__(self) -> str:
        return f"exit status {self.status} at the case: {self.last}\n{self.errors}"


def run_guarded(*arguments, **streams):
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", PROGRAM, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": str(max(THREADS))},
        stderr=subprocess.PIPE,
        text=True,
        timeout=600,
        check=False,
        **streams,
    )


def last_line(path):
    return "".join(path.read_text().splitlines()[-1:])


def pytest_generate_tests(metafunc):
    if "names" in metafunc.fixturenames:
        name = metafunc.config.getoption("kernel")
        groups = {operation_of(name): kernels_of(name)} if name else GROUPS
        metafunc.parametrize("names", groups.values(), ids=groups)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_kernels_stay_inside_their_arrays(names, dtype, tmp_path):
    lines = tmp_path / "cases"  # to a file and not to a pipe: nobody has to read along
    with lines.open("w") as file:
        result = run_guarded(",".join(names), dtype, ",".join(PLACES), stdout=file)
    outcome = Outcome(result.returncode, last_line(lines), result.stderr)
    assert outcome.status == 0, str(outcome)
    assert outcome.last.startswith("passed ") and int(outcome.last.split()[1]) > 100 * len(names), str(outcome)


def test_every_public_kernel_is_run():
    # what compiles a user's functions has no arrays: the result is run by its code
    no_kernels = {"ACTIVATIONS", "LOSSES", "OPTIMIZERS", "SETTINGS", "compile_activation", "compile_loss"}
    assert set(KERNELS) == set(kernels.__all__) - no_kernels
    assert {*NETWORKS, *TABULAR} < set(KERNELS)


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """How the run of each wrong kernel ended."""
    folder = tmp_path_factory.mktemp("wrong")
    result = run_guarded("wrong", folder)
    assert result.returncode == 0, result.stderr

    def outcome(name, place):
        path = folder / f"{name}-{place}"
        status, errors = (path.with_suffix(f".{kind}").read_text() for kind in ("status", "errors"))
        return Outcome(int(status), last_line(path.with_suffix(".cases")), errors)

    return outcome


@pytest.mark.parametrize(("name", "place"), [run[:2] for run in WRONG_RUNS if run[2] is None])
def test_a_wrong_kernel_ends_the_process(wrong, name, place):
    outcome = wrong(name, place)
    assert outcome.status in (-signal.SIGSEGV, -signal.SIGBUS), str(outcome)
    assert outcome.last.startswith(f"{name} float32 {place}"), str(outcome)


@pytest.mark.parametrize(("name", "place", "message"), [run for run in WRONG_RUNS if run[2] is not None])
def test_a_wrong_kernel_that_no_page_stops_is_found(wrong, name, place, message):
    outcome = wrong(name, place)
    assert outcome.status == 1 and message in outcome.errors, str(outcome)
