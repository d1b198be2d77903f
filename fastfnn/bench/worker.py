"""A process with one library, which runner.py starts: python -m fastfnn.bench.worker torch

Requests and answers are lines of JSON, see child.py:

    {"do": "prepare", "case": {...}}     {"check": [...], "variant": "", "remarks": [], "versions": {...}}
    {"do": "run", "seconds": 0.3}        {"seconds_per_step": 0.0001}
    {"do": "peak"}                       {"flops": 2e11 or null}

or {"error": "why"}, or {"unsupported": "why"}. Between two requests the process is idle.
"""

import importlib
import math
import sys
import time
from typing import Any

from fastfnn import backend
from fastfnn.bench.cases import Case, make_data
from fastfnn.bench.child import serve
from fastfnn.bench.peer import Peer, Unsupported, seconds_of

MODULES = {
    "fastfnn": "fastfnn.bench.ours",
    "notes": "fastfnn.bench.notes_peer",
    "numpy": "fastfnn.bench.numpy_peer",
    "torch": "fastfnn.bench.torch_peer",
    "jax": "fastfnn.bench.jax_peer",
    "sklearn": "fastfnn.bench.sklearn_peer",
    "onnxruntime": "fastfnn.bench.onnx_peer",
}

# Length of the warm-up before a run, relative to the run: caches fill, and the clock rate settles.
WARM_UP = 0.2


class Worker:
    """Answers requests about one library."""

    def __init__(self, name: str) -> None:
        self.module: str = MODULES[name]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; an exception becomes an answer too."""
        try:
            match request["do"]:
                case "prepare":
                    return self._prepare(Case(**request["case"] | {"layers": tuple(request["case"]["layers"])}))
                case "run":
                    return {"seconds_per_step": self._run(request["seconds"])}
                case "peak":
                    flops = backend.peak_flops(self.case.dtype)
                    return {"flops": None if math.isnan(flops) else flops}
                case other:
                    raise ValueError(f"no such request: {other}")
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _prepare(self, case: Case) -> dict[str, Any]:
        self.case = case
        peer: Peer = importlib.import_module(self.module).Peer(case, make_data(case))
        self.peer = peer
        check = peer.check()
        peer.reset()
        peer.work(1)  # compiles
        self.seconds_per_pass: float = seconds_of(lambda: peer.work(1))
        return {"check": check, "variant": peer.variant, "remarks": peer.remarks, "versions": peer.versions}

    def _run(self, seconds: float) -> float:
        """Seconds per step of a run from the initial weights, with as many passes as take about `seconds`."""
        passes = max(1, round(seconds / self.seconds_per_pass))
        self.peer.reset()
        self.peer.work(max(1, round(WARM_UP * passes)))
        start = time.perf_counter()
        self.peer.work(passes)
        took = time.perf_counter() - start
        self.seconds_per_pass = took / passes
        return took / (passes * self.case.steps)


if __name__ == "__main__":
    serve(lambda: Worker(sys.argv[1]).answer)
