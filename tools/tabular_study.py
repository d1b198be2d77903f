"""The study that chose the defaults of the estimators for tables: recipes x tables x seeds, resumable.

    python tools/tabular_study.py run --recipes tools/tabular_recipes.json --tables FOLDER \
        --out benchmarks/tabular/study.jsonl
    python tools/tabular_study.py report benchmarks/tabular/study.jsonl

A recipe is a name and what it changes: fields of a preset, or parameters of the estimators. It is fitted to a part of
the rows for training of each seed and scored on the others: no recipe is chosen by rows that `fastfnn bench --tabular`
tests with. A line of the results is a fit; fits that are there are not repeated.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tabular_study_report import BASE, Run, read, report

import fastfnn
from fastfnn import tabular
from fastfnn.bench.tabular import data
from fastfnn.bench.tabular.scores import scores
from fastfnn.tabular.recipe import PRESETS

SUFFIX = ".csv.gz"

Recipes = dict[str, dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    if args.command == "report":
        print(report(read(args.results), args.base))
        return 0
    recipes = json.loads(args.recipes.read_text("utf-8"))
    chosen = {name: recipes[name] for name in args.only or recipes}
    files = [data.find(name, args.tables) for name in args.data or names(args.tables)]
    study(chosen, files, range(args.seeds), args.out)
    print(report(read([args.out]), args.base))
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Choose defaults for tables by validation scores.")
    commands = made.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="fit what is missing in the results")
    run.add_argument("--recipes", type=pathlib.Path, required=True, metavar="FILE", help="JSON: changes by recipe")
    run.add_argument("--only", nargs="+", metavar="NAME", help="only these recipes")
    run.add_argument("--tables", default=os.environ.get(data.FOLDER_VARIABLE), metavar="FOLDER", help="*.csv.gz")
    run.add_argument("--data", nargs="+", metavar="NAME", help="only these tables")
    run.add_argument("--seeds", type=int, default=3, metavar="N", help="splits of each table; default: 3")
    run.add_argument("--out", type=pathlib.Path, required=True, metavar="FILE", help="results, a line of JSON a fit")
    shown = commands.add_parser("report", help="compare the recipes")
    shown.add_argument("results", type=pathlib.Path, nargs="+", metavar="FILE")
    for command in (run, shown):
        command.add_argument("--base", default=BASE, metavar="NAME", help="errors are relative to those of this recipe")
    return made


def names(folder: str | None) -> list[str]:
    """Return the names of the tables in a folder."""
    if folder is None:
        raise ValueError(f"--tables or {data.FOLDER_VARIABLE} must name a folder of tables")
    return sorted(path.name.removesuffix(SUFFIX) for path in pathlib.Path(folder).glob(f"*{SUFFIX}"))


# Fits


def estimator(classes: int, changes: dict[str, Any], seed: int) -> Any:
    """Return an estimator with what a recipe changes: fields of its preset, or else parameters."""
    kind = tabular.TabularClassifier if classes else tabular.TabularRegressor
    names_of_fields = {field.name for field in dataclasses.fields(tabular.Recipe)}
    options = {name: value for name, value in changes.items() if name not in names_of_fields}
    fields = {name: as_tuple(value) for name, value in changes.items() if name in names_of_fields}
    if fields:
        options["preset"] = dataclasses.replace(PRESETS[options.pop("preset", BASE)], **fields)
    return kind(**options, random_state=seed)


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def study(
    recipes: Recipes,
    files: Iterable[pathlib.Path],
    seeds: Iterable[int],
    out: pathlib.Path,
    make: Callable[[int, dict[str, Any], int], Any] = estimator,
) -> None:
    """Append a line to `out` for each fit that it lacks: all recipes on a table and a seed before the next ones."""
    done = {key(run) for run in read([out])}
    tables = [data.load(file) for file in files]
    for seed in seeds:
        for table in tables:
            for name, changes in recipes.items():
                run = {"recipe": name, "changes": changes, "table": table.name, "seed": seed}
                if key(run) not in done:
                    run |= fit(table, make(table.classes, changes, seed), seed)
                    with out.open("a", encoding="utf-8") as file:
                        print(json.dumps(run), file=file)
                    result = (
                        f"{run['scores']['error']:.4f} in {run['seconds']:.1f} s" if "scores" in run else run["error"]
                    )
                    print(f"{table.name}, seed {seed}, {name}: {result}", file=sys.stderr, flush=True)


def key(run: Run) -> str:
    """Return what tells a fit from others; a recipe that has changed is fitted again."""
    return json.dumps([run["recipe"], run["changes"], run["table"], run["seed"]], sort_keys=True)


def fit(table: data.Table, model: Any, seed: int) -> Run:
    """Fit a model to a part of the rows for training and score it on the others; a failure is a result, too."""
    rows = data.for_study(table, seed)
    start = time.perf_counter()
    try:
        model.fit(rows.x_train, rows.y_train)
        seconds = time.perf_counter() - start
        predicted = np.asarray(model.predict_proba(rows.x_test) if table.classes else model.predict(rows.x_test))
        found = scores(rows.y_test, predicted, table.classes)
    except (ArithmeticError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}", "version": fastfnn.__version__}
    if not table.classes:
        found["error"] = found["rmse"] / float(rows.y_test.std())
    return {
        "scores": {name: round(value, 6) for name, value in found.items()},
        "seconds": round(seconds, 2),
        "epochs": int(model.n_epochs_),
        "version": fastfnn.__version__,
    }


if __name__ == "__main__":
    sys.exit(main())
