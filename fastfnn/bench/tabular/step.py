"""A training step of TabM-mini alone, ours and PyTorch's in turn: microseconds, and our share of the FMA peak.

`fastfnn bench --tabular --step` calls `run`. Each library has a process of its own, this file's `Worker`:
python -m fastfnn.bench.tabular.step torch. All begin with the same parameters and must reach the same losses.
"""

import contextlib
import dataclasses
import importlib
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

import fastfnn
from fastfnn import backend
from fastfnn.bench import runner
from fastfnn.bench.child import serve
from fastfnn.bench.peer import seconds_of
from fastfnn.bench.runner import PeerError, PeerUnsupportedError
from fastfnn.tabular.network import Feature, TabularNetwork

OURS = "fastfnn"
TORCH = ("torch", "torch-compiled")
TITLES = {OURS: "fastfnn", "torch": "PyTorch TabM", "torch-compiled": "PyTorch TabM, compiled"}

CHECKED_STEPS = 3
TOLERANCE = 1e-3  # relative, of the losses of the first steps; other arithmetic would change them by much more
STEPS = 16  # of a pass over the data
WARM_UP = 0.2  # of the time of a run


@dataclass(frozen=True)
class StepCase:
    """A network for tables and the batch of its step."""

    members: int = 16
    hidden: tuple[int, ...] = (256, 256, 256)
    batch_size: int = 256
    features: int = 8
    bins: int = 48
    width: int = 16
    scaled: bool = False

    @property
    def operations(self) -> int:
        """Operations in the products of a step: each has a product forward and two backward, heads of one output."""
        sizes = (self.features * self.width, *self.hidden, 1)
        return 6 * self.batch_size * self.members * sum(i * o for i, o in pairwise(sizes))

    @property
    def description(self) -> str:
        kind = "TabM" if self.scaled else "TabM-mini"
        layers = "-".join(map(str, self.hidden))
        return (
            f"{kind}, {self.members} members, {self.features} features of {self.bins} bins in {self.width} numbers "
            f"(D = {self.features * self.width}), {layers}, batch {self.batch_size}, AdamW"
        )

    def network(self) -> TabularNetwork:
        """Return our network with its initial parameters, the same in every process."""
        features = [Feature("bins", self.bins, self.width)] * self.features
        return TabularNetwork(features, self.hidden, 1, members=self.members, scaled=self.scaled, seed=0)

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return positions in bins (N, features) and targets (N, 1), the same in every process."""
        rng, rows = np.random.default_rng(0), STEPS * self.batch_size
        x = rng.uniform(0, self.bins, (rows, self.features)).astype(np.float32)
        return x, (1 + rng.standard_normal((rows, 1))).astype(np.float32)


class Peer:
    """This package, through `TabularNetwork.train`."""

    versions: ClassVar[dict[str, str]] = {"fastfnn": fastfnn.__version__}
    variant = ""

    def __init__(self, case: StepCase, _name: str) -> None:
        self.case: StepCase = case
        self.network: TabularNetwork = case.network()
        self.optimizer: fastfnn.AdamW = fastfnn.AdamW(1e-3)
        self.rng: np.random.Generator = np.random.default_rng(1)
        self.x: np.ndarray
        self.targets: np.ndarray
        self.x, self.targets = case.data()

    def losses(self) -> list[float]:
        """Return the losses of the first steps, on the first rows."""
        order = np.arange(CHECKED_STEPS * self.case.batch_size)[np.newaxis]
        return [float(loss) for loss in self._train(order)]

    def work(self, passes: int) -> None:
        for _ in range(passes):
            self._train(self.rng.permutation(len(self.x))[np.newaxis])

    def _train(self, order: np.ndarray) -> np.ndarray:
        rates = np.full(order.size // self.case.batch_size, 1e-3)
        return self.network.train(
            self.x, self.targets, order, rates, optimizer=self.optimizer, batch_size=self.case.batch_size
        )


class Worker:
    """Answers requests about one library: prepare, run and peak, as in fastfnn/bench/worker.py."""

    peer: Any
    seconds: float  # of a pass, the last time

    def __init__(self, name: str) -> None:
        self.name = name

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; an exception becomes an answer too."""
        try:
            match request["do"]:
                case "prepare":
                    made = request["case"]
                    case = StepCase(**made | {"hidden": tuple(made["hidden"])})
                    kind = (
                        importlib.import_module("fastfnn.bench.tabular.step_torch").Peer if self.name in TORCH else Peer
                    )
                    self.peer = kind(case, self.name)
                    losses = self.peer.losses()
                    self.peer.work(1)
                    self.seconds = seconds_of(lambda: self.peer.work(1))
                    return {"losses": losses, "variant": self.peer.variant, "versions": self.peer.versions}
                case "run":
                    passes = max(1, round(request["seconds"] / self.seconds))
                    self.peer.work(max(1, round(WARM_UP * passes)))
                    start = time.perf_counter()
                    self.peer.work(passes)
                    self.seconds = (time.perf_counter() - start) / passes
                    return {"seconds_per_step": self.seconds / STEPS}
                case "peak":
                    flops = backend.peak_flops("float32")
                    return {"flops": None if math.isnan(flops) else flops}
                case other:
                    raise ValueError(f"no such request: {other}")
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def run(
    case: StepCase,
    names: tuple[str, ...],
    *,
    rounds: int,
    seconds: float,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time the libraries in turn and return the result, ready for JSON."""
    say(f"step: {case.description}")
    libraries: dict[str, dict[str, Any]] = {name: {"us": []} for name in names}
    versions: dict[str, str] = {}
    peaks: list[float] = []
    with contextlib.ExitStack() as stack:
        ready, want = {}, None
        for name in names:
            process = runner.Process(name, threads, ["-m", "fastfnn.bench.tabular.step", name])
            stack.callback(process.close)
            with _reported(libraries[name], name, say):
                answer = process.ask(do="prepare", case=dataclasses.asdict(case))
                want = want or answer["losses"]
                if not np.allclose(answer["losses"], want, rtol=TOLERANCE, atol=0):
                    raise PeerError(f"it computes something else: losses {answer['losses']}, not {want}")
                libraries[name]["variant"] = answer["variant"]
                versions |= answer["versions"]
                ready[name] = process
        for number in range(rounds):
            say(f"step: round {number + 1} of {rounds}")
            for name, process in ready.items():
                if "error" in libraries[name]:
                    continue
                with _reported(libraries[name], name, say):
                    time.sleep(runner.PAUSE)
                    libraries[name]["us"].append(1e6 * process.ask(do="run", seconds=seconds)["seconds_per_step"])
                    if name == OURS and (peak := process.ask(do="peak")["flops"]) is not None:
                        peaks.append(peak)
    return _summary(case, libraries, versions, max(peaks, default=None))


@contextlib.contextmanager
def _reported(library: dict[str, Any], name: str, say: Callable[[str], None]) -> Any:
    """Turn a failure in the block into the library's result."""
    try:
        yield
    except (PeerError, PeerUnsupportedError) as error:
        library["error"] = str(error)
        say(f"step, {name}: {error}")


def _summary(
    case: StepCase, libraries: dict[str, dict[str, Any]], versions: dict[str, str], peak: float | None
) -> dict[str, Any]:
    """Return the result with medians, ratios to our time and shares of the peak, the largest that was measured."""
    for library in libraries.values():
        if library["us"] and "error" not in library:
            library["median_us"] = statistics.median(library["us"])
    ours = libraries.get(OURS, {}).get("median_us")
    for library in libraries.values():
        if "median_us" in library:
            flops = case.operations / library["median_us"] * 1e6
            library |= {"gflops": flops / 1e9, "share_of_peak": flops / peak if peak else None}
            library["ratio"] = library["median_us"] / ours if ours else None
    return {
        "description": case.description,
        "operations": case.operations,
        "peak_gflops": peak / 1e9 if peak else None,
        "versions": versions,
        "libraries": libraries,
    }


if __name__ == "__main__":
    serve(lambda: Worker(sys.argv[1]).answer)
