"""How many CPUs this process may use, which may be fewer than the machine has.

A batch system or `taskset` binds a process to some CPUs; a container limits its time on them. Threads beyond the first
limit share a CPU, and wait for each other; threads beyond the second use up the time of a period in a part of it, and
all of them stand still for the rest.
"""

import os
import pathlib

CGROUPS = pathlib.Path("/sys/fs/cgroup")
OF_PROCESS = pathlib.Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """The number of CPUs that this process may use, at least 1: those it is bound to, within its limit of time."""
    return max(1, int(min(_bound(), _quota())))


def _bound() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> float:
    """CPUs' worth of time that the control groups of this process allow, infinite if none has a limit (Linux only)."""
    least = float("inf")
    try:
        lines = OF_PROCESS.read_text().splitlines()
    except OSError:
        return least
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers == "":  # version 2
            root, read = CGROUPS, _quota_of
        elif "cpu" in controllers.split(","):
            root, read = CGROUPS / "cpu", _quota_of_version_1
        else:
            continue
        group = root / name.strip("/")
        while True:  # a group that is not visible in this container counts as its parent
            least = min(least, read(group))
            if group == root:
                break
            group = group.parent
    return least


def _quota_of(group: pathlib.Path) -> float:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return float("inf") if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return float("inf")


def _quota_of_version_1(group: pathlib.Path) -> float:
    try:
        quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else float("inf")
    except (OSError, ValueError, ZeroDivisionError):
        return float("inf")
