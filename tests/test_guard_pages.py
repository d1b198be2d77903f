"""Nothing out of bounds is read or written: kernels run in child processes, on arrays that touch protected pages.

What they run on, and how the pages are laid, stands in guarded.py.
"""

import os
import pathlib
import signal
import subprocess
import sys
from typing import NamedTuple

import pytest
from guarded import ACTIVATION_KERNELS, KERNELS, THREADS, UPDATES
from helpers import DTYPES, ROOT

from fastfnn import kernels

pytestmark = [
    pytest.mark.jit,
    pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="protects memory by mprotect"),
]

PROGRAM = pathlib.Path(__file__).with_name("guarded.py")
PLACES = ("end", "begin")

# What one child process runs: to start one takes longer than most kernels do.
GROUPS = {
    "affine": ("affine_forward", "affine_backward"),
    "activations": ACTIVATION_KERNELS,
    "losses": kernels.LOSSES,
    "updates": tuple(UPDATES),
    "networks": ("network_forward", "network_gradient", "train_steps"),
}


class Outcome(NamedTuple):
    """How a child process ended."""

    status: int
    last: str  # the last line that it printed: the case that it was at, or "passed" and a number
    errors: str

    def __str__(self) -> str:
        return f"exit status {self.status} at the case: {self.last}\n{self.errors}"


def run_guarded(names, dtype, place, folder):
    lines = folder / "cases"  # to a file and not to a pipe: nobody has to read along
    with lines.open("w") as file:
        result = subprocess.run(
            [sys.executable, "-X", "faulthandler", PROGRAM, ",".join(names), str(dtype), place],
            env=os.environ | {"PYTHONPATH": str(ROOT), "NUMBA_NUM_THREADS": str(max(THREADS))},
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=600,
            check=False,
        )
    return Outcome(result.returncode, "".join(lines.read_text().splitlines()[-1:]), result.stderr)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("group", GROUPS)
def test_kernels_stay_inside_their_arrays(group, dtype, place, tmp_path):
    outcome = run_guarded(GROUPS[group], dtype, place, tmp_path)
    assert outcome.status == 0, str(outcome)
    assert outcome.last.startswith("passed ") and int(outcome.last.split()[1]) > 1000, str(outcome)


def test_every_public_kernel_is_run():
    assert set(KERNELS) == set(kernels.__all__) - {"ACTIVATIONS", "LOSSES", "OPTIMIZERS", "SETTINGS"}
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(KERNELS)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("read_after", "end"),
        ("read_before", "begin"),
        ("write_after", "end"),
        ("write_before", "begin"),
        ("read_empty", "end"),
        ("read_empty", "begin"),
        ("write_input", "end"),
    ],
)
def test_a_wrong_kernel_ends_the_process(name, place, tmp_path):
    outcome = run_guarded([name], "float32", place, tmp_path)
    assert outcome.status in (-signal.SIGSEGV, -signal.SIGBUS), str(outcome)
    assert outcome.last.startswith(f"{name} float32 {place}"), str(outcome)


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("read_after", "begin", "outside the bound"),  # no page is in the way, but what it reads is NaN
        ("write_after", "begin", "written outside an output"),
        ("forget_last", "end", "outside the bound"),
    ],
)
def test_a_wrong_kernel_that_no_page_stops_is_found(name, place, message, tmp_path):
    outcome = run_guarded([name], "float32", place, tmp_path)
    assert outcome.status == 1 and message in outcome.errors, str(outcome)
