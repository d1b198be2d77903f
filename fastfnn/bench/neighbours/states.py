"""The company that a call has: other processes, a limit of one CPU, or a pause before it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from fastfnn import validation

PAUSE_BEFORE = 0.002  # seconds of sleep before each call, after which waiting threads are asleep


@dataclass(frozen=True)
class State:
    """What holds while calls are timed.

    title      what the report says
    neighbour  "" for none, "spin" for a process that computes without end, "training" for one that trains
    pinned     whether the neighbour is kept on the last CPU
    limit      "" for none, or a limit of one CPU: "quota" of a control group, "affinity", "late affinity"
    pause      seconds before each call
    """

    title: str
    neighbour: str = ""
    pinned: bool = False
    limit: str = ""
    pause: float = 0.0


STATES = {
    "quiet": State("quiet"),
    "busy": State("beside a busy process", neighbour="spin"),
    "busy-pinned": State("beside a busy process on the last CPU", neighbour="spin", pinned=True),
    "training": State("beside a second training process", neighbour="training"),
    "quota": State("control group with the time of one CPU", limit="quota"),
    "affinity": State("one CPU by affinity, before the import", limit="affinity"),
    "late-affinity": State("one CPU by affinity, after the import", limit="late affinity"),
    "pause": State(f"after a pause of {1e3 * PAUSE_BEFORE:g} ms", pause=PAUSE_BEFORE),
}

QUIET = "quiet"


def chosen(names: Sequence[str]) -> list[str]:
    """The states with these names, in the order of the table, and the quiet one; all states if there are no names."""
    for name in names:
        validation.choice("--states", name, tuple(STATES))
    return [name for name in STATES if name in names or name == QUIET or not names]


def has_affinity() -> bool:
    """Whether this system can keep a process on some CPUs."""
    return hasattr(os, "sched_setaffinity")


def cpus() -> list[int]:
    """The CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0))
