"""A process with one learner, which runner.py starts: python -m fastfnn.bench.tabular.worker boosting

Requests and answers are lines of JSON, see fastfnn/bench/child.py:

    {"do": "prepare"}                                            {"versions": {...}}
    {"do": "fit", "file": "...", "target": null, "seed": 0,
     "shared": null}                                             {"scores": {...}, "seconds": 1.2, "epochs": 30, ...}

or {"error": "why"}, or {"unsupported": "why"}. Between two requests the process is idle.
"""

import functools
import importlib
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

from fastfnn.bench.child import serve
from fastfnn.bench.peer import Unsupported
from fastfnn.bench.tabular import data
from fastfnn.bench.tabular.learner import Learner
from fastfnn.bench.tabular.learners import module_of
from fastfnn.bench.tabular.scores import scores


class Worker:
    """Answers requests about one learner."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.load: Callable[[pathlib.Path, str | None], data.Table] = functools.lru_cache(1)(data.load)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; an exception becomes an answer too."""
        try:
            match request["do"]:
                case "prepare":
                    module = importlib.import_module(module_of(self.name))
                    self.learner: Learner = module.Learner(self.name)
                    return {"versions": module.VERSIONS}
                case "fit":
                    table = self.load(pathlib.Path(request["file"]), request["target"])
                    return self._fit(table, request["seed"], request["shared"])
                case other:
                    raise ValueError(f"no such request: {other}")
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _fit(self, table: data.Table, seed: int, shared: str | None) -> dict[str, Any]:
        rows = data.split(table, seed)
        fitted = self.learner.fit(rows, seed, shared)
        start = time.perf_counter()
        predicted = self.learner.predict(fitted, rows.x_test)
        seconds = time.perf_counter() - start
        return {
            "scores": scores(rows.y_test, predicted, table.classes),
            "seconds": fitted.seconds,
            "epochs": fitted.epochs,
            "epoch_seconds": fitted.epoch_seconds,
            "predict_seconds": seconds,
        }


if __name__ == "__main__":
    serve(lambda: Worker(sys.argv[1]).answer)
