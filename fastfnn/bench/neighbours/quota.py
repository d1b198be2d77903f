"""A control group of Linux whose processes get the time of one CPU, as a container with such a limit does.

Version 2 of the interface, or the controller "cpu" of version 1. Both need the right to create a group, which root
has, outside of most containers.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

PROC = pathlib.Path("/proc/self")

NAME = "fastfnn-bench-"  # of a group, followed by the number of the process that has made it

PERIOD_US = 100_000  # the default of Linux and of Docker

# Attempts to remove the group, 10 ms apart: a process leaves it a moment after its end.
REMOVALS = 100


class QuotaError(Exception):
    """A control group cannot be made here; the message says why."""


@contextlib.contextmanager
def one_cpu() -> Iterator[pathlib.Path]:
    """A new control group, removed at the end, when its processes must have ended; QuotaError."""
    group = _create()
    try:
        yield group
    finally:
        for _ in range(REMOVALS):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.01)


def _create() -> pathlib.Path:
    places = _places()
    if not places:
        raise QuotaError("no control groups with the controller cpu")
    for place, version in places:
        _remove_abandoned(place)
        group = place / f"{NAME}{os.getpid()}"
        try:
            group.mkdir()
        except OSError as error:
            why = f"{error.strerror}: {group}"
            continue
        try:
            _limit(group, version)
            return group
        except OSError as error:
            why = f"{error.strerror}: {error.filename}"
            group.rmdir()
    raise QuotaError(f"a control group cannot be made: {why}")


def _remove_abandoned(place: pathlib.Path) -> None:
    """Remove the groups of runs that were killed. Linux refuses to remove a group that still has processes."""
    for group in place.glob(f"{NAME}*"):
        if not (PROC.parent / group.name.removeprefix(NAME)).exists():
            with contextlib.suppress(OSError):
                group.rmdir()


def _limit(group: pathlib.Path, version: int) -> None:
    if version == 2:
        (group / "cpu.max").write_text(f"{PERIOD_US} {PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(PERIOD_US))


def _places() -> list[tuple[pathlib.Path, int]]:
    """Groups in which a group with a quota can be made, with the version of their interface; this process's first."""
    try:
        mounts = (PROC / "mountinfo").read_text().splitlines()
        memberships = (PROC / "cgroup").read_text().splitlines()
    except OSError:
        return []
    own = {controllers: path for _, controllers, path in (line.split(":", 2) for line in memberships)}
    places = []
    for line in mounts:
        before, _, after = line.partition(" - ")
        mount, kind = pathlib.Path(before.split()[4]), after.split()[0]
        if kind == "cgroup2":
            group = mount / own.get("", "/").lstrip("/")
            places += [(up, 2) for up in (group, *group.parents) if up.is_relative_to(mount) and _passes_cpu_on(up)]
        elif kind == "cgroup" and "cpu" in after.split()[-1].split(","):
            path = next((path for controllers, path in own.items() if "cpu" in controllers.split(",")), "/")
            places.append((mount / path.lstrip("/"), 1))
    return places


def _passes_cpu_on(group: pathlib.Path) -> bool:
    """Whether groups in this group of version 2 have the controller cpu."""
    try:
        return "cpu" in (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
