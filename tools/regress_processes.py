"""The processes of regress.py: each runs regress_worker.py with one version of fastfnn, and times on request."""

import contextlib
import itertools
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from builds import Build
from child import Child, ChildEnded
from regress_verdict import ROLES

WORKER = pathlib.Path(__file__).resolve().with_name("regress_worker.py")

# The order in which three processes take turns: a round each.
ORDERS = list(itertools.permutations(range(len(ROLES))))

# Seconds. A loop is long against the clock's 50 ns, and shorter than the time slice that a system gives a process.
LOOP = 0.00025
SAMPLE = 0.015

# OpenMP's threads spin before they sleep, and would still spin on the other core while the next process is timed: by
# default for about 10 ms with GNU's library, 200 ms with LLVM's. In workers they spin for about 2 ms, which is longer
# than any pause inside a loop, so that calls find the threads awake.
SPINNING = {"GOMP_SPINCOUNT": "30000", "KMP_BLOCKTIME": "2"}
PAUSE = 0.005

Say = Callable[[str], None]


class RegressError(Exception):
    """The run cannot go on; the message says why."""


class Process(Child):
    """A worker with one version of fastfnn. Close it after use.

    suite    the folder of the benchmarks
    threads  how many the kernels run on
    """

    def __init__(self, build: Build, suite: pathlib.Path, threads: int) -> None:
        self.build = build
        arguments = [str(WORKER), str(suite), str(build.site)]
        variables = SPINNING | build.variables(threads)
        # Python processes that a benchmark starts look for fastfnn in their working directory first.
        super().__init__(f"the process with {build.title}", arguments, variables, folder=build.site)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The worker's answer; RegressError if the worker has ended."""
        try:
            answer: dict[str, Any] = super().ask(**request)
        except ChildEnded as how:
            raise RegressError(f"{how}; it was asked for {request}") from None
        return answer


Start = Callable[[Build], Process]


@contextlib.contextmanager
def running(start: Start, builds: Sequence[Build]) -> Iterator[list[Process]]:
    """A process for each build, ended when the block is left."""
    with contextlib.ExitStack() as stack:
        processes = []
        for build in builds:
            processes.append(start(build))
            stack.callback(processes[-1].close)
        yield processes


def survey(start: Start, build: Build, wanted: re.Pattern[str], say: Say) -> dict[str, dict[str, Any]]:
    """Try each benchmark once: the answer to "try" by name, and for a broken module why it is broken.

    This also fills the cache of compiled code.
    """
    with running(start, [build]) as (process,):
        listed = process.ask(do="list")
    found: dict[str, dict[str, Any]] = {name: {"error": why} for name, why in listed["broken"].items()}
    names = [name for name in listed["benchmarks"] if wanted.search(name)]
    for first in range(len(names)):
        if names[first] in found:
            continue
        # One process tries all of them. If a benchmark ends it, another one tries those that are left.
        with contextlib.suppress(RegressError), running(start, [build]) as (process,):
            for number, name in enumerate(names[first:], first + 1):
                say(f"{build.title}: {number} of {len(names)}: {name}")
                found[name] = {"error": "it ends the process"}
                found[name] = process.ask(do="try", name=name)
    return found


@dataclass
class Timer:
    """Times benchmarks of two versions, in three new processes with each call.

    calls   calls in a loop, by name of the benchmark
    failed  why a benchmark could not be timed, by name: filled by the calls
    """

    start: Start
    base: Build
    new: Build
    calls: dict[str, int]
    say: Say
    failed: dict[str, str] = field(default_factory=dict)

    def __call__(self, names: Sequence[str], title: str) -> dict[str, np.ndarray]:
        """Seconds per call by name: arrays (6, 3) with a row for each round and a column for each of A1, B and A2."""
        samples = {name: np.full((len(ORDERS), len(ROLES)), np.nan) for name in names}
        with running(self.start, [self.base, self.new, self.base]) as processes:
            for number, order in enumerate(ORDERS):
                self.say(f"{title}: {len(samples)} benchmarks, round {number + 1} of {len(ORDERS)}")
                for name in list(samples):
                    for role in order:
                        settings = {"calls": self.calls[name], "seconds": SAMPLE, "pause": PAUSE}
                        answer = processes[role].ask(do="time", name=name, **settings)
                        if "seconds" not in answer:
                            why = answer.get("error") or f"it is absent: {answer['absent']}"
                            self.failed[name] = f"{processes[role].build.title}: {why}"
                            del samples[name]
                            break
                        samples[name][number, role] = answer["seconds"]
        return samples
