"""Are the scores of fastfnn.sklearn those of scikit-learn, and how much faster is `fit`?

    python tools/sklearn_scores.py                             the data sets that come with scikit-learn and fastfnn
    python tools/sklearn_scores.py --tables FOLDER             and the tables in a folder, see sklearn_data.py
    python tools/sklearn_scores.py --data iris wine --json scores.json

For each data set it fits MLPClassifier or MLPRegressor of both libraries with the same parameters, the default ones and
a fixed random_state, on each fold of a cross-validation: on samples of float64, where fastfnn also trains a network of
float32, and on samples of float32. The five fits take turns in this process, after a fit of two epochs that loads all
code; scikit-learn uses BLAS with as many threads as it comes with. A table says scores, seconds and their ratio, and a
second one what a new process takes until its first fit is done. The exit status is 1 if scores differ by more than a
standard error.
"""

import argparse
import importlib
import inspect
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn_data import MNIST, SEED, Fold, Table, folds, load, names
from sklearn_machine import describe, line

THEIRS, OURS = "scikit-learn", "fastfnn"
MODULES = {THEIRS: "sklearn.neural_network", OURS: "fastfnn.sklearn"}

# What is compared: the dtype of the samples, and parameters of ours.
DTYPES = ("float64", "float32")
SINGLE = 'dtype="float32"'
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "float64": ("float64", {}),
    SINGLE: ("float64", {"dtype": "float32"}),
    "float32": ("float32", {}),
}
DEFAULT_MAX_ITER = 200
MAX_ITER = {MNIST: 30}  # scikit-learn takes minutes for the default

# Seconds between two fits: threads look for more work for a while before they sleep, and would disturb the next one.
PAUSE = 0.1
# A fit that takes scikit-learn longer than this is measured once for each fold.
LONG = 2.0

FIRST_FIT = """
import sys
from importlib import import_module
from sklearn.datasets import load_iris
import_module(sys.argv[1]).MLPClassifier(max_iter=2).fit(*load_iris(return_X_y=True))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    modules = {**MODULES, OURS: args.estimators}
    rows = []
    for name in args.data or names(args.tables):
        max_iter = args.max_iter or MAX_ITER.get(name, DEFAULT_MAX_ITER)
        rows.append(compare(load(name, args.tables), modules, max_iter, args.folds, args.repeats))
        print(f"{name}: {len(rows[-1]['float64'][OURS]['seconds'])} fits in float64", file=sys.stderr, flush=True)
    result = {
        **describe(),
        "settings": {"folds": args.folds, "repeats": args.repeats, "seed": SEED},
        "data": rows,
        "first_fit": first_fits(modules) if args.first_fit else None,
    }
    if args.json:
        args.json.write_text(json.dumps(result, indent=1))
    print(report(result))
    return 0 if all(row[way]["agree"] for row in rows for way in WAYS if way in row) else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Compare scores and the time of fit with scikit-learn's.")
    made.add_argument("--data", nargs="+", metavar="NAME", help="only these data sets")
    made.add_argument("--tables", type=pathlib.Path, metavar="FOLDER", help="a folder with tables NAME.csv.gz")
    made.add_argument("--folds", type=int, default=5, metavar="N", help="folds of the cross-validation; default: 5")
    made.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="how often a fold is fitted if that is short; default: 5"
    )
    made.add_argument("--max-iter", type=int, metavar="N", help="epochs at most, for all data sets")
    made.add_argument("--no-first-fit", dest="first_fit", action="store_false", help="start no new processes")
    made.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all scores and times to this file")
    made.add_argument(
        "--estimators",
        default=MODULES[OURS],
        metavar="MODULE",
        help="where ours are; default: %(default)s",
    )
    return made


def compare(table: Table, modules: dict[str, str], max_iter: int, count: int, repeats: int) -> dict[str, Any]:
    """Scores and times of both libraries on a data set, and what follows from them."""
    kind = "MLPRegressor" if table.regression else "MLPClassifier"
    makers = {name: getattr(importlib.import_module(module), kind) for name, module in modules.items()}
    row: dict[str, Any] = {
        "name": table.name,
        "metric": "R^2" if table.regression else "accuracy",
        "max_iter": max_iter,
        "rows": len(table.targets),
        **{dtype: {name: {"scores": [], "seconds": [], "epochs": []} for name in makers} for dtype in DTYPES},
    }
    takes_dtype = "dtype" in inspect.signature(makers[OURS]).parameters
    ways = {way: kind for way, kind in WAYS.items() if takes_dtype or not kind[1]}
    if takes_dtype:
        row[SINGLE] = {THEIRS: row["float64"][THEIRS], OURS: {"scores": [], "seconds": [], "epochs": []}}
    fits = [(THEIRS, dtype, dtype, {}) for dtype in DTYPES] + [(OURS, way, *kind) for way, kind in ways.items()]
    for number, fold in enumerate(folds(table, count)):
        row["columns"] = fold.x.shape[1]
        by_dtype = {dtype: fold.as_dtype(dtype) for dtype in DTYPES}
        if not number:
            for name, _, dtype, options in fits:
                fit(makers[name], by_dtype[dtype], 2, options)
        for repeat in range(repeats):
            for name, way, dtype, options in fits:
                time.sleep(PAUSE)
                model, seconds = fit(makers[name], by_dtype[dtype], max_iter, options)
                seen = row[way][name]
                seen["seconds"].append(seconds)
                if not repeat:
                    seen["scores"].append(float(model.score(by_dtype[dtype].x_test, fold.y_test)))
                    seen["epochs"].append(model.n_iter_)
            if row[DTYPES[0]][THEIRS]["seconds"][-1] > LONG:
                break
    for way in ways:
        row[way] |= conclusion(row[way][THEIRS], row[way][OURS])
    return row


def fit(maker: type, fold: Fold, max_iter: int, options: dict[str, str]) -> tuple[Any, float]:
    """A fitted estimator, and the seconds that `fit` took."""
    model = maker(random_state=SEED, max_iter=max_iter, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is that of both
        start = time.perf_counter()
        model.fit(fold.x, fold.y)
        return model, time.perf_counter() - start


def conclusion(theirs: dict[str, list[float]], ours: dict[str, list[float]]) -> dict[str, Any]:
    """The ratio of the median times, and whether the mean scores are within one standard error of theirs."""
    error = statistics.stdev(theirs["scores"]) / len(theirs["scores"]) ** 0.5
    difference = statistics.fmean(ours["scores"]) - statistics.fmean(theirs["scores"])
    return {
        "ratio": statistics.median(theirs["seconds"]) / statistics.median(ours["seconds"]),
        "standard_error": error,
        "difference": difference,
        "agree": abs(difference) <= error,
    }


def first_fits(modules: dict[str, str], rounds: int = 3) -> dict[str, float]:
    """Seconds from the start of Python to the end of a short fit of the iris flowers: medians, and one first time."""

    def seconds(module: str, **variables: str) -> float:
        command = [sys.executable, "-W", "ignore", "-c", FIRST_FIT, module]
        start = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | variables, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start

    theirs, filled = [], []
    with tempfile.TemporaryDirectory() as cache:
        empty = seconds(modules[OURS], NUMBA_CACHE_DIR=cache)
        for _ in range(rounds):
            theirs.append(seconds(modules[THEIRS]))
            filled.append(seconds(modules[OURS], NUMBA_CACHE_DIR=cache))
    medians = {THEIRS: statistics.median(theirs), f"{OURS}, compiled before": statistics.median(filled)}
    return {**medians, f"{OURS}, first time": empty}


def report(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    rows = result["data"]
    lines = [
        "| data | rows x columns | score | scikit-learn | fastfnn "
        "| fit: scikit-learn | fastfnn | its longest | times as fast "
        f"| {SINGLE}: score | fit | times as fast | float32 samples: fit | times as fast |",
        "| --- | ---: | --- " + "| ---: " * 11 + "|",
        *map(_line, rows),
        "",
        f"Score: mean of {result['settings']['folds']} folds ± standard error. `fit`: median of the times, and "
        f"fastfnn's longest. {SINGLE}: fastfnn's network is float32, the samples are float64 for both. "
        "float32 samples: both networks are float32.",
    ]
    fewer = [f"{row['name']}: {row['max_iter']}" for row in rows if row["max_iter"] != DEFAULT_MAX_ITER]
    if fewer:
        lines.append(f"max_iter is smaller for both: {', '.join(fewer)}; else {DEFAULT_MAX_ITER}.")
    for way in [way for way in WAYS if way in rows[0]]:
        ratios = {row["name"]: row[way]["ratio"] for row in rows}
        least = min(ratios, key=ratios.__getitem__)
        apart = [row["name"] for row in rows if not row[way]["agree"]]
        lines.append(
            f"{way}: scores within one standard error on {len(rows) - len(apart)} of {len(rows)}"
            f"{''.join(f', not {name}' for name in apart)}; "
            f"{statistics.median(ratios.values()):.1f} times as fast (median), at least {ratios[least]:.1f} ({least})"
        )
    if result["first_fit"]:
        lines += ["", "| a new process, until two epochs on iris are done | seconds |", "| --- | ---: |"]
        lines += [f"| {name} | {seconds:.1f} |" for name, seconds in result["first_fit"].items()]
    lines += ["", line(result)]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    cells = [row["name"], f"{row['rows']:,} x {row['columns']}", row["metric"]]
    double = row["float64"]
    cells += [f"{np.mean(double[THEIRS]['scores']):.4f} ± {double['standard_error']:.4f}"]
    cells += [f"{np.mean(double[OURS]['scores']):.4f}"]
    cells += [seconds_text(statistics.median(double[name]["seconds"])) for name in (THEIRS, OURS)]
    cells += [seconds_text(max(double[OURS]["seconds"])), f"{double['ratio']:.1f}"]
    if SINGLE in row:
        cells.append(f"{np.mean(row[SINGLE][OURS]['scores']):.4f}")
    for way in (SINGLE, "float32"):
        if way in row:
            cells += [seconds_text(statistics.median(row[way][OURS]["seconds"])), f"{row[way]['ratio']:.1f}"]
        else:
            cells += ["", "", ""]
    return f"| {' | '.join(cells)} |"


def seconds_text(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
