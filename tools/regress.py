"""Has fastfnn become slower? Times two versions of it in one run, on a busy machine too:

    python tools/regress.py main
    python tools/regress.py v0.1.0 --new HEAD --bench 'tanh|softmax' --json regress.json

The base is compared with the working tree, or with another commit or folder. Both are timed by the benchmarks in
benchmarks/, with the parameters that a class lists in `regress`. The exit status is 1 if a benchmark became slower, 2
if one could not be measured, else 0.

    builds.py              lays a version out in a folder
    regress_processes.py   three processes that time benchmarks in turn; regress_worker.py runs in them
    regress_verdict.py     from samples to a verdict: how it decides, and why
    regress_report.py      the table and the JSON file
"""

import argparse
import concurrent.futures
import json
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from builds import HOME, ROOT, Build, BuildError, build, remove_old_builds
from regress_processes import LOOP, Process, RegressError, Say, Start, Timer, survey
from regress_report import report, status, summary, table
from regress_verdict import ERROR, NEW, REMOVED, THRESHOLD, Row, judge

SUITE = ROOT / "benchmarks"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    threshold = args.threshold / 100

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def start(version: Build) -> Process:
        return Process(version, args.suite, args.threads)

    try:
        base, new = build(args.base, args.home), build(args.new, args.home)
        remove_old_builds(args.home)
        if base.folder == new.folder:
            say("both versions have the same files")
        rows = compare(base, new, start, re.compile(args.bench), threshold, say)
        if not rows:
            raise RegressError(f"no benchmark with a list called regress in {args.suite} matches {args.bench!r}")
    except (BuildError, RegressError, re.error, OSError) as error:
        say(f"regress: {error}")
        return 2
    if args.json:
        settings = {"base": args.base, "new": args.new, "threshold": threshold, "threads": args.threads}
        args.json.write_text(json.dumps(report(rows, settings), indent=1))
    print(table(rows))
    print(summary(rows, threshold))
    return status(rows)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Time two versions of fastfnn and say whether the new one is slower.")

    def add(name: str, metavar: str, text: str, **settings: Any) -> None:
        made.add_argument(name, metavar=metavar, help=text, **settings)

    add("base", "BASE", "a commit, or a folder with fastfnn/ and kernels/ in it")
    add("--new", "VERSION", "the version to compare with it; default: the working tree as it is", default=str(ROOT))
    add("--bench", "REGEX", "only benchmarks in whose name the expression is found", default="")
    add("--threshold", "PERCENT", "a slowdown above this is a regression; default: 5", type=float)
    add(
        "--threads", "N", "threads of the kernels; more than 1 only on an idle machine; default: 1", type=int, default=1
    )
    add("--json", "FILE", "write all samples to this file", type=pathlib.Path)
    add("--suite", "DIR", "the package of benchmarks", type=pathlib.Path, default=SUITE)
    add("--home", "DIR", "the folder where builds are kept", type=pathlib.Path, default=HOME)
    made.set_defaults(threshold=100 * THRESHOLD)
    return made


def compare(base: Build, new: Build, start: Start, wanted: re.Pattern[str], threshold: float, say: Say) -> list[Row]:
    """The rows of the table, sorted."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        # Equal builds share a cache, which two processes must not fill at the same time.
        both = [base] if base.folder == new.folder else [base, new]
        surveys = list(pool.map(lambda version: survey(start, version, wanted, say), both))
    old, new_answers = surveys[0], surveys[-1]
    rows = [row for name in old | new_answers if (row := _not_comparable(name, old.get(name), new_answers.get(name)))]
    left_out = {row.name for row in rows}
    seconds = {
        name: min(answer["seconds"], new_answers[name]["seconds"])
        for name, answer in old.items()
        if name not in left_out and "seconds" in answer
    }
    calls = {name: max(1, round(LOOP / each)) for name, each in seconds.items()}
    timer = Timer(start, base, new, calls, say)
    rows += judge(list(calls), timer, threshold)
    rows = [row for row in rows if row.name not in timer.failed]  # a benchmark may fail after stage 1
    rows += [Row(name, ERROR, why) for name, why in timer.failed.items()]
    return sorted(rows, key=lambda row: row.rank)


def _not_comparable(name: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> Row | None:
    """The row of a benchmark that one of the versions could not run; None if both ran it."""
    absent = {"absent": "not among its benchmarks"}
    old, new = old or absent, new or absent
    if "error" in new:
        return Row(name, ERROR, new["error"])
    if "absent" in new:
        return Row(name, REMOVED, new["absent"]) if "seconds" in old else None
    if "seconds" not in old:
        return Row(name, NEW, old.get("absent") or f"the base fails: {old['error']}")
    return None


if __name__ == "__main__":
    sys.exit(main())
