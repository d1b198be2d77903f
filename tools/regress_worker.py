"""A process with one version of fastfnn, which times benchmarks on request from regress.py:

    python tools/regress_worker.py benchmarks .asv/regress/0123456789abcdef/site

The first argument is the folder of the benchmarks, the second the one that fastfnn must come from. Requests and answers
are lines of JSON, see fastfnn/bench/child.py:

    {"do": "list"}                        {"benchmarks": ["Loss.time_loss(float32)"], "broken": {"bench_x": "why"}}
    {"do": "try", "name": "..."}          {"seconds": 0.0001}, of one call, roughly
    {"do": "time", "name": "...", "calls": 30,
     "seconds": 0.015, "pause": 0.005}    {"seconds": 0.0001}, of one call

or {"absent": "why"} where `setup` raises NotImplementedError, as in asv, or {"error": "why"}. Between two requests the
process is idle.
"""

import contextlib
import gc
import importlib
import importlib.util
import inspect
import itertools
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from builds import check_origin
from child import serve

# Seconds for which "try" times single calls.
TRIAL = 0.01

# Seconds of calls before any is timed: threads that slept wake up, and caches fill.
SPIN_UP = 0.0015

FEWEST_LOOPS = 3


class Absent(Exception):
    """This version does not have what the benchmark times; the message says what."""


class Benchmark:
    """A method of a benchmark class with one combination of parameters."""

    def __init__(self, kind: type, method: str, params: tuple[Any, ...]) -> None:
        self.kind, self.method, self.params = kind, method, params

    def __str__(self) -> str:
        return f"{self.kind.__name__}.{self.method}({', '.join(map(str, self.params))})"

    @contextlib.contextmanager
    def ready(self) -> Iterator[Callable[..., object]]:
        """The method of a new instance, after `setup` and one call; `teardown` runs at the end.

        A new instance has its arrays at new addresses, which matters: with the same arrays in all samples, two
        processes differ by 2 to 3 % in tanh_backward of 100 x 50, with new arrays for each sample by 1 %.
        """
        instance = self.kind()
        try:
            getattr(instance, "setup", lambda *params: None)(*self.params)
        except NotImplementedError as reason:
            raise Absent(str(reason)) from None
        try:
            method = getattr(instance, self.method)
            method(*self.params)
            yield method
        finally:
            getattr(instance, "teardown", lambda *params: None)(*self.params)

    def best(self, calls: int, seconds: float, spin_up: float = SPIN_UP) -> float:
        """Seconds per call in the fastest of the loops of `calls` calls that fit into `seconds`."""
        with self.ready() as method, _no_collection():
            _fastest_loop(method, self.params, calls, spin_up, 1)
            return _fastest_loop(method, self.params, calls, seconds, FEWEST_LOOPS) / calls


def _fastest_loop(
    method: Callable[..., object], params: tuple[Any, ...], calls: int, seconds: float, fewest: int
) -> float:
    """Seconds of the fastest loop of `calls` calls. Loops go on for `seconds`; at least `fewest` of them run."""
    best, count = float("inf"), 0
    end = time.perf_counter() + seconds
    while count < fewest or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in itertools.repeat(None, calls):
            method(*params)
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Switch off Python's garbage collector, which would run in some of the loops."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def load_suite(folder: pathlib.Path) -> tuple[list[Benchmark], dict[str, str]]:
    """The benchmarks of all modules bench_*.py of a package, and why a module could not be imported.

    The package is loaded by its path: the folder around it holds another fastfnn, so it must not be on the search path.
    """
    spec = importlib.util.spec_from_file_location(folder.name, folder / "__init__.py")
    assert spec and spec.loader
    package = importlib.util.module_from_spec(spec)
    sys.modules[folder.name] = package
    spec.loader.exec_module(package)
    found: list[Benchmark] = []
    broken = {}
    for path in sorted(folder.glob("bench_*.py")):
        try:
            found.extend(benchmarks_of(importlib.import_module(f"{folder.name}.{path.stem}")))
        except Exception as error:
            broken[path.stem] = describe(error)
    return found, broken


def benchmarks_of(module: Any) -> Iterator[Benchmark]:
    """Every time_* method of the module's own classes, with each combination that the class lists in `regress`."""
    for kind in list(vars(module).values()):
        if not inspect.isclass(kind) or kind.__module__ != module.__name__ or kind.__name__.startswith("_"):
            continue
        combinations = getattr(kind, "regress", [])
        if combinations and hasattr(kind, "setup_cache"):
            raise ValueError(f"{kind.__name__} has both regress and setup_cache, expected one of them")
        for params in combinations:
            names = getattr(kind, "param_names", [])
            if not isinstance(params, tuple) or len(params) != len(names):
                raise ValueError(f"{kind.__name__}.regress holds {params!r}, expected tuples of ({', '.join(names)})")
            yield from (Benchmark(kind, method, params) for method in dir(kind) if method.startswith("time_"))


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Worker:
    """Answers requests about one suite of benchmarks."""

    def __init__(self, suite: pathlib.Path) -> None:
        found, self.broken = load_suite(suite)
        names = [str(benchmark) for benchmark in found]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"several benchmarks are called {', '.join(sorted(twice))}, expected one of each name")
        self.benchmarks = dict(zip(names, found, strict=True))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; an exception becomes an answer too."""
        try:
            match request:
                case {"do": "list"}:
                    return {"benchmarks": list(self.benchmarks), "broken": self.broken}
                case {"do": "try", "name": name}:
                    return {"seconds": self.benchmarks[name].best(1, TRIAL, 0.0)}
                case {"do": "time", "name": name, "calls": calls, "seconds": seconds, "pause": pause}:
                    time.sleep(pause)
                    return {"seconds": self.benchmarks[name].best(calls, seconds)}
                case other:
                    raise ValueError(f"the request is {other}, expected one of list, try and time with their arguments")
        except Absent as reason:
            return {"absent": str(reason)}
        except Exception as error:
            return {"error": describe(error)}


def main(suite: str, site: str) -> None:
    """Answer requests until standard input ends."""

    def prepare() -> Callable[[dict[str, Any]], dict[str, Any]]:
        check_origin(pathlib.Path(site))
        return Worker(pathlib.Path(suite).resolve()).answer

    serve(prepare)


if __name__ == "__main__":
    main(*sys.argv[1:])
