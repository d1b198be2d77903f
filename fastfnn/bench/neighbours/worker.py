"""A process with one library, which runner.py starts through confined.py; "spin" is the busy process.

Requests and answers are lines of JSON, see fastfnn/bench/child.py:

    {"do": "pin", "cpu": 0}                                   {}
    {"do": "prepare", "calls": ["fit"], "dtype": "float32"}   {"versions": {...}, "absent": {"loss": "why"}}
    {"do": "run", "call": "fit", "seconds": 0.3, "pause": 0}  {"us": [81.2, 80.9, ...]}
    {"do": "work"}                                            {}
    {"do": "rest"}                                            {}

or {"error": "why"}, or {"unsupported": "why"}. Between two requests the process is idle, unless it has been told to
work: then it is a neighbour, and trains or spins until it shall rest or its parent has ended.
"""

import os
import pathlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastfnn import streams
from fastfnn.bench.child import serve
from fastfnn.bench.neighbours.calls import TRAINING, chosen, prepared
from fastfnn.bench.peer import Unsupported

SPIN = "spin"

# Length of the warm-up before a run, relative to the run.
WARM_UP = 0.1

PARENT_CHECK = 0.5  # seconds

FEWEST_CALLS, MOST_CALLS = 3, 20_000


class Worker:
    """Answers requests about one library."""

    def __init__(self, library: str) -> None:
        self.library = library
        self.calls: dict[str, Callable[[], object]] = {}
        self.working: threading.Thread | None = None
        self.tired: threading.Event = threading.Event()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; an exception becomes an answer too."""
        try:
            match request["do"]:
                case "pin":
                    return self._pin(request["cpu"])
                case "prepare":
                    return self._prepare(request["calls"], request["dtype"])
                case "run":
                    return {"us": self._run(request["call"], request["seconds"], request["pause"])}
                case "work":
                    return self._work()
                case "rest":
                    return self._rest()
                case other:
                    raise ValueError(f"no such request: {other}")
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _pin(self, cpu: int) -> dict[str, Any]:
        """Keep all threads of this process, libraries' too, on a CPU."""
        for thread in pathlib.Path("/proc/self/task").iterdir():
            os.sched_setaffinity(int(thread.name), {cpu})
        return {}

    def _prepare(self, names: list[str], dtype: str) -> dict[str, Any]:
        """Import the library, build the networks and compile; TRAINING, for a neighbour, has no place in the table."""
        versions: dict[str, str] = {}
        absent: dict[str, str] = {}
        if self.library == SPIN:
            self.calls[TRAINING.name] = _spin
            return {"versions": {}, "absent": {}}
        calls = [replace(TRAINING, dtype=dtype)] if names == [TRAINING.name] else chosen(names, dtype)
        for call in calls:
            try:
                action, found = prepared(self.library, call)
            except Unsupported as reason:
                absent[call.name] = str(reason)
                continue
            for _ in range(FEWEST_CALLS):
                action()
            self.calls[call.name] = action
            versions |= found
        return {"versions": versions, "absent": absent}

    def _run(self, name: str, seconds: float, pause: float) -> list[float]:
        """Microseconds of each call."""
        action = self.calls[name]
        _times(action, WARM_UP * seconds, pause)
        return [round(1e6 * took, 2) for took in _times(action, seconds, pause)]

    def _work(self) -> dict[str, Any]:
        if TRAINING.name not in self.calls:
            raise Unsupported(f"{self.library} does not train")
        self.tired.clear()
        self.working = threading.Thread(target=self._repeat, daemon=True)
        self.working.start()
        return {}

    def _repeat(self) -> None:
        while not self.tired.is_set():
            self.calls[TRAINING.name]()

    def _rest(self) -> dict[str, Any]:
        self.tired.set()
        if self.working:
            self.working.join()
        self.working = None
        return {}


def _times(action: Callable[[], object], seconds: float, pause: float) -> list[float]:
    """Seconds of each call, for so long as `seconds`; the pauses before the calls count as part of it."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < FEWEST_CALLS or (time.perf_counter() < end and len(took) < MOST_CALLS):
        if pause:
            time.sleep(pause)
        start = time.perf_counter()
        action()
        took.append(time.perf_counter() - start)
    return took


def _spin() -> None:
    for _ in range(1_000_000):
        pass


def _end_with(parent: int) -> None:
    """End this process, whatever it does, soon after its parent has ended."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    serve(lambda: Worker(sys.argv[1]).answer)
    streams.errors().flush()
    os._exit(0)  # a neighbour whose parent has ended does not finish its training
