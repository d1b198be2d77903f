"""Run the cases: each library in a process of its own, at work alone, in turn, round after round."""

import contextlib
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import IO, Any

import fastfnn
from fastfnn.bench.cases import Case, agree, make_data, reference
from fastfnn.bench.worker import MODULES

OURS = "fastfnn"

# What has to be installed for a library; the others are always there.
PACKAGES = {"torch": "torch", "jax": "jax", "sklearn": "sklearn"}
PEERS = tuple(name for name in MODULES if name != OURS)

# Threads may spin after their work is done (OpenBLAS: a tenth of a second): the next library waits for so many seconds.
PAUSE = 0.2

# Each is read by one of the libraries, or by what one of them is built on.
THREAD_VARIABLES = (
    *("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NPROC"),
)

# Lines of a worker's standard error that are shown if it ends before its time.
LAST_LINES = 3


# What the names of environment variables begin with that change what a library does.
TELLING = ("OPENBLAS_", "OMP_", "MKL_", "KMP_", "GOMP_", "NUMBA_", "XLA_FLAGS", "TORCH_")


class PeerError(Exception):
    """A worker failed; the message says how."""


class PeerUnsupportedError(Exception):
    """The library cannot do the case; the message says why."""


class Process:
    """A worker and the pipes to it. Close it after use."""

    def __init__(self, name: str, threads: int | None) -> None:
        variables = {"JAX_PLATFORMS": "cpu"}
        if threads is not None:
            variables |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        home = str(pathlib.Path(fastfnn.__file__).absolute().parents[1])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        self.errors: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed by close)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "fastfnn.bench.worker", name],
            env=os.environ | variables | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The worker's answer; PeerError if it is an error, or if the worker has ended; PeerUnsupportedError."""
        assert self.process.stdin and self.process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"its process ended with {self.process.wait()}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        if "unsupported" in answer:
            raise PeerUnsupportedError(answer["unsupported"])
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return " / ".join(lines[-LAST_LINES:]) or "nothing on standard error"


def installed() -> tuple[str, ...]:
    """The peers that can be measured here."""
    return tuple(name for name in PEERS if importlib.util.find_spec(PACKAGES.get(name, "numpy")))


def run(
    cases: Sequence[Case],
    peers: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure the cases and return all that there is to report, ready for JSON.

    cases    what to measure, of one dtype
    peers    names of PEERS
    rounds   measurements of each library in each case
    seconds  of a measurement, about
    threads  at most so many for every library; None leaves each its own default
    say      is called with a line on what happens
    """
    missing = [name for name in peers if name not in installed()]
    if missing:
        raise ValueError(f"{', '.join(missing)} cannot be imported: pip install 'fastfnn[peers]'")
    versions = {"python": platform.python_version()}
    peaks: list[float] = []
    measured = []
    for case in cases:
        say(f"{case.name}: {case.description}")
        measured.append(_run_case(case, (OURS, *peers), rounds, seconds, threads, versions, peaks, say))
    peak = max(peaks, default=None)  # what disturbs it can only lower it
    return {
        "machine": machine(),
        "versions": versions,
        "settings": {
            "dtype": cases[0].dtype,
            "rounds": rounds,
            "seconds": seconds,
            "threads": threads,
            "peers": list(peers),
            "environment": environment(),
        },
        "peak_gflops": peak / 1e9 if peak else None,
        "cases": [_summary(case, libraries, peak) for case, libraries in zip(cases, measured, strict=True)],
    }


def environment() -> dict[str, str]:
    """The environment variables by which libraries choose their code or threads, as far as they are set."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(TELLING)}


def machine() -> dict[str, Any]:
    """The processor, the cores that this process may use, and the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu_name(), "cores": cores, "system": platform.platform()}


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _run_case(
    case: Case,
    names: Sequence[str],
    rounds: int,
    seconds: float,
    threads: int | None,
    versions: dict[str, str],
    peaks: list[float],
    say: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """The measurements of each library; adds to `versions` and to `peaks`."""
    want = reference(case, make_data(case))
    libraries: dict[str, dict[str, Any]] = {name: {"us": []} for name in names}
    with contextlib.ExitStack() as stack:
        ready: dict[str, Process] = {}
        for name in names:
            process = Process(name, threads)
            stack.callback(process.close)
            with _reported(libraries[name], f"{case.name}: {name}", say):
                answer = process.ask(do="prepare", case=asdict(case))
                if not agree(case, answer["check"], want):
                    raise PeerError(f"it computes something else: {answer['check'][:5]}, not {want[:5]}")
                versions |= answer["versions"]
                libraries[name] |= {"variant": answer["variant"], "remarks": answer["remarks"]}
                ready[name] = process
        for number in range(rounds):
            say(f"{case.name}: round {number + 1} of {rounds}")
            for name, process in ready.items():
                if "error" in libraries[name]:
                    continue
                with _reported(libraries[name], f"{case.name}: {name}", say):
                    time.sleep(PAUSE)
                    libraries[name]["us"].append(1e6 * process.ask(do="run", seconds=seconds)["seconds_per_step"])
                    if name == OURS and (peak := process.ask(do="peak")["flops"]) is not None:
                        peaks.append(peak)
    return libraries


@contextlib.contextmanager
def _reported(library: dict[str, Any], title: str, say: Callable[[str], None]) -> Any:
    """A failure inside becomes the library's result."""
    try:
        yield
    except PeerError as error:
        library["error"] = str(error)
        say(f"{title}: {error}")
    except PeerUnsupportedError as reason:
        library["unsupported"] = str(reason)


def _summary(case: Case, libraries: dict[str, dict[str, Any]], peak: float | None) -> dict[str, Any]:
    for library in libraries.values():
        if library["us"] and "error" not in library:
            library["median_us"] = statistics.median(library["us"])
    ours = libraries[OURS].get("median_us")
    for library in libraries.values():
        if "median_us" in library:
            speed = case.operations / library["median_us"] * 1e6
            library["gflops"] = speed / 1e9
            library["ratio"] = library["median_us"] / ours if ours else None
            library["share_of_peak"] = speed / peak if peak else None
    return {
        **asdict(case),
        "description": case.description,
        "operations": case.operations,
        "libraries": libraries,
    }
