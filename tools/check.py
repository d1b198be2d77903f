"""Runs every benchmark of benchmarks/ once, quickly, and fails if one of them failed or none ran:

    python tools/check.py                  each with all its parameters
    python tools/check.py --small          each with the first of its parameters
    python tools/check.py --bench REGEX    those whose name contains a match

asv's own exit status does not say whether anything ran, so this program reads asv's result files. asv writes them into
a temporary folder: neither the recorded results nor the home folder change.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).absolute().parents[1]
SUITE = ROOT / "benchmarks"
CONFIG = ROOT / "asv.conf.json"
GIT = ("git", "-c", "user.name=check", "-c", "user.email=check@localhost", "-c", "commit.gpgsign=false")


class Outcome(NamedTuple):
    """What the result files say about a run."""

    ran: int  # benchmarks with at least one number
    combinations: int  # of parameters that gave a number
    skipped: int  # combinations that this version of fastfnn does not have
    problems: list[str]

    def __str__(self) -> str:
        return (
            f"{self.ran} benchmarks ran, with {self.combinations} combinations of parameters; "
            f"{self.skipped} combinations skipped; {len(self.problems)} problems"
        )

    @property
    def good(self) -> bool:
        return self.ran > 0 and not self.problems


def read(results: pathlib.Path, regex_given: bool = False) -> Outcome:
    """The outcome of a run, from the folder of its results.

    asv writes null where a benchmark failed, NaN where it was skipped. A benchmark that was skipped with all its
    parameters is a problem, and so is one without a result, unless a regular expression chose the benchmarks.
    """
    known = (
        json.loads((results / "benchmarks.json").read_text("utf-8")) if (results / "benchmarks.json").exists() else {}
    )
    values: dict[str, list[Any]] = {}
    for path in results.glob("*/*.json"):
        if path.name != "machine.json":
            values |= _values(json.loads(path.read_text("utf-8")))
    missing = set() if regex_given else {name for name in known if name != "version"} - set(values)
    problems = [f"{name} has no result" for name in sorted(missing)]
    for name, column in sorted(values.items()):
        failed = sum(value is None for value in column)
        if failed:
            problems.append(f"{name} failed with {failed} of {len(column)} combinations of parameters")
        elif all(map(math.isnan, column)):
            problems.append(f"{name} was skipped with all its parameters")
    numbers = [[value for value in column if value is not None and not math.isnan(value)] for column in values.values()]
    skipped = sum(value is not None and math.isnan(value) for column in values.values() for value in column)
    return Outcome(sum(map(bool, numbers)), sum(map(len, numbers)), skipped, problems)


def _values(file: dict[str, Any]) -> dict[str, list[Any]]:
    """The results by benchmark, with a value for each combination; [None] if the benchmark failed as a whole."""
    place = file["result_columns"].index("result")
    return {name: (row[place] if len(row) > place else None) or [None] for name, row in file["results"].items()}


def run(folder: pathlib.Path, arguments: list[str], small: bool) -> pathlib.Path:
    """Run asv so that it writes inside `folder` only; returns the folder of the results."""
    # asv needs a commit to record results for. An empty repository will do, also where the sources are in none.
    repository = folder / "repository"
    subprocess.run([*GIT, "init", "--quiet", "--initial-branch=main", repository], check=True)
    subprocess.run([*GIT, "commit", "--quiet", "--allow-empty", "--message=check"], cwd=repository, check=True)
    results = folder / "results"
    config = json.loads(CONFIG.read_text("utf-8")) | {
        **{"repo": str(repository), "benchmark_dir": str(SUITE), "results_dir": str(results)},
        **{"env_dir": str(folder / "env"), "html_dir": str(folder / "html")},
    }
    (folder / "asv.conf.json").write_text(json.dumps(config), "utf-8")
    # asv keeps a description of the machine in the home folder, and asks for it if there is none.
    environment = os.environ | {"HOME": str(folder), "FASTFNN_BENCH_SMALL": str(int(small))}
    asv = [sys.executable, "-m", "asv"]
    subprocess.run([*asv, "machine", "--yes"], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    quick = ["run", "--quick", "--python=same", "--set-commit-hash=HEAD", "--show-stderr"]
    subprocess.run([*asv, *quick, *arguments], cwd=folder, env=environment, check=False)
    return results


def main() -> int:
    """Run the command and return its exit status: 0 if every benchmark ran."""
    parser = argparse.ArgumentParser(description="Run every benchmark once, and fail if one of them failed.")
    parser.add_argument("--small", action="store_true", help="each with the first of its parameters only")
    parser.add_argument("--bench", metavar="REGEX", help="only benchmarks whose name contains a match")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = [f"--bench={options.bench}"] if options.bench else []
        outcome = read(run(pathlib.Path(folder), chosen, options.small), bool(options.bench))
    print(*outcome.problems, outcome, sep="\n")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
