"""Runs the cases: each library has a process of its own, and one of them works at a time, in turn, for some rounds."""

import contextlib
import datetime
import importlib.util
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import fastfnn
from fastfnn.bench.cases import Case, agree, make_data, reference
from fastfnn.bench.child import Child, ChildEnded
from fastfnn.bench.worker import MODULES

OURS = "fastfnn"

# The packages that must be installed for a library. Those without an entry need NumPy only.
PACKAGES = {"torch": ["torch"], "jax": ["jax"], "sklearn": ["sklearn"], "onnxruntime": ["onnxruntime", "onnx"]}
PEERS = tuple(name for name in MODULES if name != OURS)

# Seconds between two libraries: threads may spin after their work is done, in OpenBLAS for a tenth of a second.
PAUSE = 0.2

# The variables that set the number of threads of the libraries and of what they are built on.
THREAD_VARIABLES = (
    *("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NPROC"),
)

# Environment variables that change what a library does begin with one of these.
TELLING = ("OPENBLAS_", "OMP_", "MKL_", "KMP_", "GOMP_", "NUMBA_", "XLA_FLAGS", "TORCH_")


class PeerError(Exception):
    """A worker failed; the message says how."""


class PeerUnsupportedError(Exception):
    """The library cannot do the case; the message says why."""


class Process(Child):
    """A worker with one library. Close it after use.

    threads    at most this number, None for the default of the library
    arguments  of the Python interpreter, if it runs something else than the worker of this folder
    """

    def __init__(self, name: str, threads: int | None, arguments: Sequence[str] | None = None) -> None:
        home = str(pathlib.Path(fastfnn.__file__).absolute().parents[1])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        variables = {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
        if threads is not None:
            variables |= dict.fromkeys(THREAD_VARIABLES, str(threads))
        super().__init__("its process", arguments or ["-m", "fastfnn.bench.worker", name], variables)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The worker's answer; PeerError if it is an error, or if the worker has ended; PeerUnsupportedError."""
        try:
            answer = super().ask(**request)
        except ChildEnded as how:
            raise PeerError(str(how)) from None
        if "error" in answer:
            raise PeerError(answer["error"])
        if "unsupported" in answer:
            raise PeerUnsupportedError(answer["unsupported"])
        return answer


def installed() -> tuple[str, ...]:
    """The peers that can be measured here."""
    return tuple(name for name in PEERS if all(map(importlib.util.find_spec, PACKAGES.get(name, []))))


def run(
    cases: Sequence[Case],
    peers: Sequence[str],
    *,
    rounds: int,
    seconds: float,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure the cases and return the whole result, ready for JSON.

    cases    what to measure, all of one dtype
    peers    names from PEERS
    rounds   measurements of each library in each case
    seconds  length of a measurement, roughly
    threads  at most this number in every library; None leaves each library its own default
    say      called with a line of text about the progress
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
    peak = max(peaks, default=None)  # the largest: disturbances only lower it
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
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
    """The environment variables that are set and by which libraries choose their code or threads."""
    telling = (name for name in sorted(os.environ) if name.startswith(TELLING) and not name.endswith("_DIR"))
    return {name: os.environ[name] for name in telling}


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
    """Measure a case: the measurements by library. Adds to `versions` and to `peaks`."""
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
    """Turn a failure in the block into the library's result."""
    try:
        yield
    except PeerError as error:
        library["error"] = str(error)
        say(f"{title}: {error}")
    except PeerUnsupportedError as reason:
        library["unsupported"] = str(reason)


def _summary(case: Case, libraries: dict[str, dict[str, Any]], peak: float | None) -> dict[str, Any]:
    """The result of a case, with medians, rates and ratios to this package's time."""
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
