"""How fast is a search of settings with fastfnn.sklearn, and what do two threads side by side gain?

    python tools/sklearn_grid.py                           60 settings x 5 folds on the table of breast cancer
    python tools/sklearn_grid.py --batch-size 32           the same with smaller batches
    python tools/sklearn_grid.py --data digits --json grid.json

GridSearchCV looks for the best MLPClassifier: scikit-learn's in two processes; fastfnn's one fit after the other, in
two threads side by side, in two processes, and in two threads with networks of float32. A short search before each
starts processes and loads code. Then fastfnn trains an ensemble of 20 networks, one after the other and two at a time.
The exit status is 1 if the results of fastfnn in float64 are not the same to the bit.
"""

import argparse
import functools
import importlib
import json
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler
from sklearn_data import SEED, WITH_SKLEARN, load
from sklearn_machine import describe, line

FOLDS = 5
JOBS = 2
NETWORKS = 20  # of the ensemble
GRID = {
    "hidden_layer_sizes": [(20,), (100,), (50, 50)],
    "alpha": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1],
    "learning_rate_init": [0.001, 0.005],
    "activation": ["relu", "tanh"],
}
FEWER = {"alpha": [1e-4, 1e-3], "activation": ["relu", "tanh"]}  # starts processes and loads code


class Way(NamedTuple):
    """A way to run the search: whose estimator, with which of its options, and how joblib runs the fits."""

    name: str
    module: str
    options: dict[str, Any]
    backend: str
    jobs: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is that of all
    table = load(args.data)
    x, y = StandardScaler().fit_transform(table.numbers), table.targets
    known = importlib.import_module(args.estimators).MLPClassifier().get_params()
    one_thread = {"n_threads": 1} if "n_threads" in known else {}
    ways = [
        Way(f"scikit-learn, {JOBS} processes", "sklearn.neural_network", {}, "loky", JOBS),
        Way("fastfnn, one after the other", args.estimators, one_thread, "threading", 1),
        Way(f"fastfnn, {JOBS} threads", args.estimators, one_thread, "threading", JOBS),
        Way(f"fastfnn, {JOBS} processes", args.estimators, one_thread, "loky", JOBS),
    ]
    if "dtype" in known:
        single = one_thread | {"dtype": "float32"}
        ways.append(Way(f"fastfnn in float32, {JOBS} threads", args.estimators, single, "threading", JOBS))
    grid = {key: values[: args.values] for key, values in GRID.items()}
    fixed = {"max_iter": args.max_iter, "batch_size": args.batch_size or "auto", "random_state": SEED}
    searches = [search(way, x, y, grid, fixed) for way in ways]
    result = {
        **describe(),
        "settings": {"data": args.data, "folds": FOLDS, **fixed, "grid": grid},
        "searches": searches,
        "same_searches": all(same(found, searches[1]) for found in searches[2:4]),
        "ensemble": ensembles(args.estimators, x, y, fixed) if "n_estimators" in known else None,
    }
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    print(report(result))
    same_ensembles = result["ensemble"] is None or result["ensemble"]["same"]
    return 0 if result["same_searches"] and same_ensembles else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description="Time a search of settings with scikit-learn's networks and with fastfnn's."
    )
    made.add_argument("--data", choices=WITH_SKLEARN[:4], default="breast_cancer", help="default: %(default)s")
    made.add_argument("--max-iter", type=int, default=200, metavar="N", help="epochs at most; default: 200")
    made.add_argument("--batch-size", type=int, metavar="N", help="samples a step; default: that of scikit-learn")
    made.add_argument("--values", type=int, metavar="N", help="only the first N values of each parameter")
    made.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all times and scores to this file")
    made.add_argument(
        "--estimators", default="fastfnn.sklearn", metavar="MODULE", help="where ours are; default: %(default)s"
    )
    return made


def search(way: Way, x: np.ndarray, y: np.ndarray, grid: dict[str, list[Any]], fixed: dict[str, Any]) -> dict[str, Any]:
    """The seconds of a search, the best parameters and all scores."""
    maker = importlib.import_module(way.module).MLPClassifier
    model = maker(**fixed, **way.options)
    with joblib.parallel_config(way.backend, n_jobs=way.jobs):
        run = functools.partial(_run, model, x, y)
        run(FEWER)
        seconds, found = timed(lambda: run(grid))
    scores = np.stack([found.cv_results_[f"split{fold}_test_score"] for fold in range(FOLDS)], axis=1)
    return {
        "name": way.name,
        "fits": scores.size,
        "seconds": seconds,
        "best": found.best_params_,
        "best_score": float(found.best_score_),
        "scores": scores.tolist(),
    }


def _run(model: Any, x: np.ndarray, y: np.ndarray, grid: dict[str, list[Any]]) -> GridSearchCV:
    return GridSearchCV(model, grid, cv=FOLDS, refit=False).fit(x, y)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return bool(a["best"] == b["best"] and a["scores"] == b["scores"])


def ensembles(module: str, x: np.ndarray, y: np.ndarray, fixed: dict[str, Any]) -> dict[str, Any]:
    """The seconds of an ensemble with one job and with several, and whether all weights have the same bits."""
    maker = functools.partial(importlib.import_module(module).MLPClassifier, n_estimators=NETWORKS)
    seconds, weights = [], []
    for jobs in (1, JOBS):
        maker(n_jobs=jobs, **(fixed | {"max_iter": 2})).fit(x, y)
        taken, model = timed(lambda jobs=jobs: maker(n_jobs=jobs, **fixed).fit(x, y))
        seconds.append(taken)
        weights.append(
            [array.tobytes() for network in model.estimators_ for array in (*network.coefs_, *network.intercepts_)]
        )
    return {"networks": NETWORKS, "jobs": [1, JOBS], "seconds": seconds, "same": weights[0] == weights[1]}


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    searches, settings = result["searches"], result["settings"]
    theirs, alone = searches[0]["seconds"], searches[1]["seconds"]
    lines = [
        f"{searches[0]['fits']} fits ({FOLDS} folds) on {settings['data']}, max_iter {settings['max_iter']}, "
        f"batch_size {settings['batch_size']}",
        "",
        "| search | seconds | fits a second | rate to scikit-learn's | to one after the other | best score |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for found in searches:
        seconds = found["seconds"]
        cells = [found["name"], f"{seconds:.2f}", f"{found['fits'] / seconds:.1f}", f"{theirs / seconds:.1f}x"]
        lines.append(f"| {' | '.join([*cells, f'{alone / seconds:.2f}x', format(found['best_score'], '.4f')])} |")
    lines += [
        "",
        f"fastfnn's three searches in float64: {_sameness(result['same_searches'])} scores and best parameters.",
    ]
    lines += [f"{found['name']}: {_settings(found['best'])}" for found in searches[:2]]
    ensemble = result["ensemble"]
    if ensemble:
        lines += [
            "",
            f"| ensemble of {ensemble['networks']} networks | seconds | networks a second |",
            "| --- | ---: | ---: |",
        ]
        for jobs, seconds in zip(ensemble["jobs"], ensemble["seconds"], strict=True):
            lines.append(f"| n_jobs={jobs} | {seconds:.2f} | {ensemble['networks'] / seconds:.1f} |")
        one, several = ensemble["seconds"]
        lines += ["", f"{one / several:.2f} times the rate; {_sameness(ensemble['same'])} weights."]
    return "\n".join([*lines, "", line(result)])


def _sameness(same: bool) -> str:
    return "the same" if same else "DIFFERENT"


def _settings(best: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in best.items())


if __name__ == "__main__":
    sys.exit(main())
