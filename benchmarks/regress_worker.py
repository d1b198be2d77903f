"""A process with one version of fastfnn in it, which times benchmarks when `regress.py` asks:

    python -P regress_worker.py benchmarks .asv/regress/0123456789abcdef/site

The first argument is the folder of the benchmarks, the second the one that fastfnn must come from. It reads a request
from each line of standard input and answers on a line of standard output, both in JSON:

    {"do": "list"}                        {"benchmarks": ["Loss.time_loss(float32)"], "broken": {"bench_x": "why"}}
    {"do": "try", "name": "..."}          {"seconds": 0.0001}, of one call, roughly
    {"do": "time", "name": "...", "calls": 30,
     "seconds": 0.015, "pause": 0.005}    {"seconds": 0.0001}, of one call

or {"absent": "why"} where `setup` raises NotImplementedError, as for asv, or {"error": "why"}. Between two requests it
does nothing.
"""

import contextlib
import gc
import importlib
import importlib.util
import inspect
import itertools
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

# In "try", single calls are timed for so long.
TRIAL = 0.01

# Loops run for so long before any is timed. Threads that slept are then awake, and what the method uses is in caches.
SPIN_UP = 0.0015

FEWEST_LOOPS = 3


class Absent(Exception):
    """This version has no such thing; the message says what."""


class Benchmark:
    """A method of a benchmark class with one combination of parameters."""

    def __init__(self, kind: type, method: str, params: tuple[Any, ...]) -> None:
        self.kind, self.method, self.params = kind, method, params

    def __str__(self) -> str:
        return f"{self.kind.__name__}.{self.method}({', '.join(map(str, self.params))})"

    @contextlib.contextmanager
    def ready(self) -> Iterator[Callable[..., object]]:
        """The method of a new instance after one call; `setup` has run, `teardown` will.

        A new instance has its arrays at new addresses. That matters: with the same arrays throughout, processes differ
        by 2 to 3 % for tanh_backward of 100 x 50 and its like, and with new ones for each sample by 1 %.
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
        """Seconds of a call in the fastest loop of so many calls; loops go on for `seconds`."""
        with self.ready() as method, _no_collection():
            _loops(method, self.params, calls, spin_up, 1)
            return _loops(method, self.params, calls, seconds, FEWEST_LOOPS) / calls


def _loops(method: Callable[..., object], params: tuple[Any, ...], calls: int, seconds: float, fewest: int) -> float:
    """Seconds of the fastest loop; there are at least `fewest`, and they go on for `seconds`."""
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
    """Without Python's garbage collector, which would run in some of the loops."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def load_suite(folder: pathlib.Path) -> tuple[list[Benchmark], dict[str, str]]:
    """The benchmarks of all modules bench_*.py of a package, and why a module could not be read.

    The package is loaded from its path: the folder around it holds another fastfnn and must not be searched.
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
    """Every time_* method of the module's own classes with each combination in the class attribute `regress`."""
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
    """Answers requests about one suite."""

    def __init__(self, suite: pathlib.Path) -> None:
        found, self.broken = load_suite(suite)
        names = [str(benchmark) for benchmark in found]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"several benchmarks are called {', '.join(sorted(twice))}, expected one of each name")
        self.benchmarks = dict(zip(names, found, strict=True))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; what goes wrong is an answer too."""
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
                    raise ValueError(f"the request is {other}, expected one of list, try and time with all they need")
        except Absent as reason:
            return {"absent": str(reason)}
        except Exception as error:
            return {"error": describe(error)}


def check_origin(build: pathlib.Path) -> None:
    """Raise ImportError unless fastfnn comes from `build`."""
    import fastfnn

    path = pathlib.Path(fastfnn.__file__).resolve()
    if not path.is_relative_to(build.resolve()):
        raise ImportError(f"fastfnn was imported from {path}, expected from {build.resolve()}")


def main(suite: str, build: str) -> None:
    """Answer every line of standard input, until it ends."""
    # Answers keep the pipe for themselves: what a benchmark prints goes to standard error.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        check_origin(pathlib.Path(build))
        worker = Worker(pathlib.Path(suite).resolve())
        for line in sys.stdin:
            print(json.dumps(worker.answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
