"""How long does a search take where joblib can run its fits, and how much memory does a worker need?

    python tools/searches.py                                 100,000 samples of 100 numbers, a few minutes
    python tools/searches.py --samples 2000 --features 20    where starting a fit counts
    python tools/searches.py --json searches.json --backends loky threading

A grid search with scikit-learn's MLPClassifier and with fastfnn's: one fit after the other, then two at a time in
processes (loky), in threads and in the worker processes of a cluster of Dask. Before each, a short search starts
workers and loads code. Memory is what a worker has for itself, behind no file and shared with nobody, while a fold is
scored: more than after the short search. Of threads it is that of the one process. The exit status is 1 if the searches
of fastfnn do not have the same scores to the bit.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import joblib
import numpy as np
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn_machine import describe, line

import fastfnn.sklearn

LIBRARIES = {"scikit-learn": sklearn.neural_network.MLPClassifier, "fastfnn": fastfnn.sklearn.MLPClassifier}
BACKENDS = {"loky": "processes", "threading": "threads", "dask": "workers of Dask"}
JOBS = 2
FOLDS = 3
GRID = {"alpha": [1e-4, 1e-3, 1e-2, 1e-1]}
SHORT = {"alpha": [1e-4, 1e-3]}
SHORT_SAMPLES = 1000
MB = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)  # of few epochs
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # in processes, too
    x = np.random.default_rng(0).standard_normal((args.samples, args.features))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    fixed = {"hidden_layer_sizes": (args.hidden,), "max_iter": args.max_iter, "random_state": 0}
    searches = []
    for name, estimator in LIBRARIES.items():
        searches.append(search(name, "sequential", 1, estimator(**fixed), x, y))
        for backend in args.backends:
            searches.append(search(name, backend, JOBS, estimator(**fixed), x, y))
    ours = [found["scores"] for found in searches if found["library"] == "fastfnn"]
    settings = {"samples": args.samples, "features": args.features, "megabytes": x.nbytes / MB, **fixed}
    same = all(scores == ours[0] for scores in ours)
    result = {**describe(), "settings": settings, "searches": searches, "same": same}
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    print(report(result))
    return 0 if same else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Time a search in processes, in threads and on a cluster of Dask.")
    made.add_argument("--samples", type=int, default=100_000, metavar="N", help="default: %(default)s")
    made.add_argument("--features", type=int, default=100, metavar="N", help="default: %(default)s")
    made.add_argument("--hidden", type=int, default=50, metavar="N", help="units of the layer; default: %(default)s")
    made.add_argument("--max-iter", type=int, default=5, metavar="N", help="epochs; default: %(default)s")
    made.add_argument("--backends", nargs="*", choices=BACKENDS, default=list(BACKENDS), help="default: all")
    made.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all times and scores to this file")
    return made


def search(library: str, backend: str, jobs: int, model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """The seconds, the scores and the memory of a worker of one search."""
    with workers(backend, jobs):
        short = GridSearchCV(model, SHORT, cv=FOLDS, scoring=measure, refit=False)
        short.fit(x[:SHORT_SAMPLES], y[:SHORT_SAMPLES])
        found = GridSearchCV(model, GRID, cv=FOLDS, scoring=measure, refit=False)
        start = time.perf_counter()
        found.fit(x, y)
        seconds = time.perf_counter() - start
    memory = of_splits(found, "private_bytes").max() - of_splits(short, "private_bytes").max()
    scores = of_splits(found, "score").tolist()
    return {
        "library": library, "backend": backend, "jobs": jobs, "seconds": seconds, "worker_bytes": memory,
        "scores": scores,
    }  # fmt: skip


@contextlib.contextmanager
def workers(backend: str, jobs: int) -> Iterator[None]:
    """Let joblib run fits on a back-end, with workers that end with the context."""
    with contextlib.ExitStack() as stack:
        if backend == "dask":
            import distributed

            cluster = distributed.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=":0")
            stack.enter_context(distributed.Client(stack.enter_context(cluster)))
        stack.enter_context(joblib.parallel_config(backend, n_jobs=jobs))
        yield
    if backend == "loky":
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown(wait=True)


def measure(model: Any, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The score of a fold, and what memory the worker has for itself while it holds this fold."""
    lines = pathlib.Path("/proc/self/smaps_rollup").read_text()
    found = re.search(r"^Anonymous:\s+(\d+) kB", lines, re.MULTILINE)
    assert found, lines
    return {"score": model.score(x, y), "private_bytes": 1024.0 * int(found[1])}


def of_splits(search: GridSearchCV, name: str) -> np.ndarray:
    """What was measured of each candidate (first axis) in each fold."""
    return np.stack([search.cv_results_[f"split{fold}_test_{name}"] for fold in range(FOLDS)], axis=1)


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    settings, searches = result["settings"], result["searches"]
    fits = len(GRID["alpha"]) * FOLDS
    lines = [
        f"{fits} fits ({FOLDS} folds) on {settings['samples']:,} samples of {settings['features']} numbers "
        f"({settings['megabytes']:.0f} MB), one layer of {settings['hidden_layer_sizes'][0]}, "
        f"{settings['max_iter']} epochs",
        "",
        "| search | seconds | rate to one after the other | rate to scikit-learn's | MB a worker |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    count = len(searches) // len(LIBRARIES)
    for number, found in enumerate(searches):
        how = f"{found['jobs']} {BACKENDS[found['backend']]}" if found["backend"] in BACKENDS else "one after the other"
        alone, theirs = searches[number - number % count], searches[number % count]
        lines.append(
            f"| {found['library']}, {how} | {found['seconds']:.2f} | {alone['seconds'] / found['seconds']:.2f}x "
            f"| {theirs['seconds'] / found['seconds']:.1f}x | {found['worker_bytes'] / MB:.0f} |"
        )
    sameness = "the same" if result["same"] else "DIFFERENT"
    return "\n".join([*lines, "", f"fastfnn's searches: {sameness} scores.", "", line(result)])


if __name__ == "__main__":
    sys.exit(main())
