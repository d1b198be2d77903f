"""Times the calls in every state: the states in turn, in each of them the libraries in turn, for some rounds.

A library has a process of its own for each limit that it runs under. One process is timed at a time; a neighbour works
only while it is wanted; all others wait for a request.
"""

import contextlib
import datetime
import os
import pathlib
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastfnn.bench import runner
from fastfnn.bench.neighbours import confined, quota, states, verdict
from fastfnn.bench.neighbours.calls import ONE_THREAD, OURS, PEERS, TRAINING, Call
from fastfnn.bench.neighbours.states import STATES, State
from fastfnn.bench.neighbours.worker import SPIN
from fastfnn.bench.runner import PeerError, PeerUnsupportedError

# Seconds until a neighbour has reached its steady state; and between two libraries, since threads may spin on.
SETTLING = 0.1
PAUSE = runner.PAUSE

# A machine with a larger load, averaged over the last minute before the run, is not quiet.
QUIET_LOAD = 0.3


def installed() -> tuple[str, ...]:
    """The peers that can be measured here."""
    return tuple(name for name in runner.installed() if name in PEERS)


def run(
    calls: Sequence[Call],
    names: Sequence[str],
    peers: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    before: dict[str, Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure and return the whole result, ready for JSON.

    calls    what to time, all of one dtype
    names    of states, the quiet one among them
    peers    names from PEERS
    rounds   visits of each state
    seconds  of each call in each visit
    before   the result of an earlier version, for the verdict on calls after a pause
    say      called with a line of text about the progress
    """
    missing = [name for name in peers if name not in installed()]
    if missing:
        raise ValueError(f"{', '.join(missing)} cannot be imported: pip install {_packages(missing)}")
    libraries = (OURS, ONE_THREAD, *peers)
    with contextlib.ExitStack() as stack:
        company = _Company(calls, stack)
        left_out = company.missing(names)
        possible = [name for name in names if name not in left_out]
        remarks = [*_load(), *left_out.values()]
        for remark in remarks:
            say(remark)
        found = {call.name: {name: {library: _Times() for library in libraries} for name in possible} for call in calls}
        for number in range(rounds):
            for name in possible:
                say(f"round {number + 1} of {rounds}: {STATES[name].title}")
                for library in libraries:
                    times = {call.name: found[call.name][name][library] for call in calls}
                    company.visit(library, STATES[name], seconds, times)
    measured = []
    for call in calls:
        figures = {
            name: {library: times.figures() for library, times in by_library.items()}
            for name, by_library in found[call.name].items()
        }
        verdict.compare(figures)
        measured.append({"name": call.name, "description": call.description, "states": figures})
    broken = verdict.broken(measured, before["calls"] if before else None)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": runner.machine(),
        "versions": {"python": platform.python_version(), **company.versions},
        "settings": {
            "dtype": calls[0].dtype,
            "rounds": rounds,
            "seconds": seconds,
            "peers": list(peers),
            "states": possible,
            "environment": runner.environment(),
        },
        "calls": measured,
        "broken": [entry._asdict() for entry in broken],
        "remarks": remarks,
    }


def _load() -> list[str]:
    """A warning if the machine is not quiet before the run."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load <= QUIET_LOAD:
        return []
    return [f"the machine was not quiet before the run: its load was {load:.1f}, and no figure can be trusted"]


def _packages(peers: Sequence[str]) -> str:
    return " ".join(package for name in peers for package in runner.PACKAGES.get(name, []))


class _Times:
    """The microseconds of a call of a library in a state, from all rounds."""

    def __init__(self) -> None:
        self.rounds: list[list[float]] = []
        self.problem: dict[str, str] = {}

    def figures(self) -> dict[str, Any]:
        """What is reported of them, or why there are none."""
        if self.problem or not self.rounds:
            return self.problem
        us = np.concatenate(self.rounds)
        return {
            "calls": len(us),
            "median_us": float(np.median(us)),
            "mean_us": float(us.mean()),
            "p99_us": float(np.percentile(us, 99)),
            "max_us": float(us.max()),
            "round_means_us": [float(np.mean(part)) for part in self.rounds],
        }


class _Company:
    """The processes: those that are timed, and their neighbours. The stack closes them at its end, whatever happens."""

    def __init__(self, calls: Sequence[Call], stack: contextlib.ExitStack) -> None:
        self.calls, self.stack = calls, stack
        self.versions: dict[str, str] = {}
        self.group: pathlib.Path | None = None
        self.processes: dict[tuple[str, ...], runner.Process] = {}
        self.failed: dict[tuple[str, ...], Exception] = {}
        self.lacks: dict[tuple[str, ...], dict[str, str]] = {}

    def missing(self, names: Sequence[str]) -> dict[str, str]:
        """The states that cannot be had here, with the reason; makes the control group for the others."""
        remarks = {}
        for name in names:
            state = STATES[name]
            if (state.pinned or state.limit.endswith("affinity")) and not states.has_affinity():
                remarks[name] = f"without {name}: this system cannot keep a process on a CPU"
            elif state.limit == "quota":
                try:
                    self.group = self.stack.enter_context(quota.one_cpu())
                except quota.QuotaError as error:
                    remarks[name] = f"without {name}: {error}"
        return remarks

    def visit(self, library: str, state: State, seconds: float, times: dict[str, _Times]) -> None:
        """Time all calls of a library in a state, one after the other."""
        try:
            process, absent = self._timed(library, state.limit)
            with self._beside(library, state):
                for call in self.calls:
                    if call.name in absent:
                        times[call.name].problem = {"unsupported": absent[call.name]}
                    elif not times[call.name].problem:
                        answer = process.ask(do="run", call=call.name, seconds=seconds, pause=state.pause)
                        times[call.name].rounds.append(answer["us"])
        except (PeerError, PeerUnsupportedError) as error:
            kind = "error" if isinstance(error, PeerError) else "unsupported"
            for call_times in times.values():
                call_times.problem = call_times.problem or {kind: str(error)}

    def _timed(self, library: str, limit: str) -> tuple[runner.Process, dict[str, str]]:
        """The process of a library under a limit, and the calls that it does not have."""
        return self._process((library, limit), library, limit, [call.name for call in self.calls])

    @contextlib.contextmanager
    def _beside(self, library: str, state: State) -> Iterator[None]:
        """Let the neighbour work during the block. That of fastfnn on one thread is the same as that of fastfnn."""
        if not state.neighbour:
            time.sleep(PAUSE)
            yield
            return
        name = SPIN if state.neighbour == "spin" else OURS if library == ONE_THREAD else library
        limit = "last cpu" if state.pinned else ""
        process, absent = self._process(("neighbour", name, limit), name, limit, [TRAINING.name])
        if absent:
            raise PeerUnsupportedError(absent[TRAINING.name])
        time.sleep(PAUSE)
        process.ask(do="work")
        try:
            time.sleep(SETTLING)
            yield
        finally:
            process.ask(do="rest")

    def _process(
        self, key: tuple[str, ...], library: str, limit: str, calls: list[str]
    ) -> tuple[runner.Process, dict[str, str]]:
        """The process with this key, started if there is none, and the calls that it does not have."""
        if key in self.failed:
            raise self.failed[key]
        if key not in self.processes:
            process = self._start(library, limit)
            self.stack.callback(process.close)
            try:
                if limit == "late affinity":
                    process.ask(do="pin", cpu=states.cpus()[0])
                answer = process.ask(do="prepare", calls=calls, dtype=self.calls[0].dtype)
            except PeerError as error:
                self.failed[key] = error
                raise
            self.versions |= answer["versions"]
            self.processes[key], self.lacks[key] = process, answer["absent"]
        return self.processes[key], self.lacks[key]

    def _start(self, library: str, limit: str) -> runner.Process:
        options: list[str] = []
        if limit == "affinity":
            options = ["cpu", str(states.cpus()[0])]
        elif limit == "last cpu":
            options = ["cpu", str(states.cpus()[-1])]
        elif limit == "quota":
            options = ["group", str(self.group)]
        # Without -P the folder of the script would come first in the search path of modules.
        arguments = ["-P", str(confined.__file__), library, *options]
        return runner.Process(library, 1 if library == ONE_THREAD else None, arguments)
