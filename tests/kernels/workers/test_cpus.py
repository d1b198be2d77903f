"""How many CPUs a process may use: its affinity, and the limits of its control groups."""

import os

import pytest
from helpers import run_python

from fastfnn.kernels.workers import cpus


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups of a test's own: a function that writes their files, and the line of the process."""
    monkeypatch.setattr(cpus, "CGROUPS", tmp_path)
    monkeypatch.setattr(cpus, "OF_PROCESS", tmp_path / "of-process")
    monkeypatch.setattr(cpus, "_bound", lambda: 16)

    def write(of_process, files):
        (tmp_path / "of-process").write_text(of_process)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


VERSION_1 = "7:memory:/a\n4:cpu,cpuacct:/a/b\n"


@pytest.mark.parametrize(
    ("of_process", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n"}, 16),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),  # of the parent
        ("0::/a/b\n", {"cpu.max": "400000 100000\n"}, 4),  # as a container sees its own
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1),  # two threads would use up the time of a period
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "3200000 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "nonsense\n"}, 16),
        ("0::/\n", {}, 16),
        (VERSION_1, {"cpu/a/b/cpu.cfs_quota_us": "200000", "cpu/a/b/cpu.cfs_period_us": "100000"}, 2),
        (VERSION_1, {"cpu/a/b/cpu.cfs_quota_us": "-1", "cpu/a/b/cpu.cfs_period_us": "100000"}, 16),
        (VERSION_1, {"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "100000"}, 5),
    ],
)
def test_the_time_that_control_groups_allow_is_a_limit(of_process, files, expected, groups):
    groups(of_process, files)
    assert cpus.usable_cpus() == expected


def test_a_system_without_control_groups_has_no_limit_of_time(tmp_path, monkeypatch):
    monkeypatch.setattr(cpus, "OF_PROCESS", tmp_path / "nothing")
    monkeypatch.setattr(cpus, "_bound", lambda: 3)
    assert cpus.usable_cpus() == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform binds no processes")
def test_a_process_that_is_bound_to_a_cpu_has_one_thread(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import fastfnn
assert fastfnn.get_num_threads() == 1
"""
    run_python(code)
