"""Random cases against the reference: networks, data, options, kernels, files, tables and wrong input.

    python tools/fuzz.py --seconds 600 --seed 1     as many cases as fit into the time
    python tools/fuzz.py --seed 1 --case 123        case 123 of seed 1, which is shown and run alone
    python tools/fuzz.py --run '{"kind": ...}'      a case as this program prints it

Case n of a seed is always the same (fuzz_cases.py). A process of its own runs the cases (fuzz_worker.py), so that a
crash or a hang is found, too, and attributed to its case. The kinds of cases:

    network  predictions, losses, gradients, training; every option, dtype and layout (fuzz_network.py)
    kernel   single functions of fastfnn.kernels (fuzz_kernels.py)
    layers   the textbook API (fuzz_layers.py)
    file     save and load, and damaged files (fuzz_files.py)
    wrong    wrong arguments (fuzz_wrong.py)
    tabular  networks for tables (fuzz_tabular.py)
    table    estimators of fastfnn.tabular on frames (fuzz_table.py)

Results must have the same bits for every number of threads, and differ from the reference's by no more than rounding
explains (fuzz_rounding.py). No call may change its inputs. A failure is printed with the command that repeats it and
with a smaller case that fails in the same way. The exit status is 1 if there is one, 2 if nothing could run, else 0.
"""

import argparse
import collections
import json
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import fuzz_cases
import fuzz_shrink
from child import Child, ChildEnded
from fuzz_cases import Case

WORKER = pathlib.Path(__file__).resolve().with_name("fuzz_worker.py")

# Threads of the kernels, more than most cores of a CI machine: 3 divide most sizes unevenly. NumPy gets one.
THREADS = {"NUMBA_NUM_THREADS": "3", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

HANG_SECONDS = 120.0  # a case may compile kernels
SHRINK_SECONDS = 20.0
MOST_SHRUNK = 4


class Process:
    """The process that runs cases, started again after one that ended it."""

    def __init__(self) -> None:
        self.child: Child | None = None

    def run(self, case: Case) -> dict[str, Any]:
        """The worker's answer; an end of the process, or its silence, is wrong too."""
        if self.child is None:
            self.child = Child("the process", [str(WORKER)], THREADS)
        hung = threading.Event()

        def stop(child: Child) -> None:
            hung.set()
            child.process.kill()

        timer = threading.Timer(HANG_SECONDS, stop, [self.child])
        timer.start()
        try:
            return self.child.ask(case=case)
        except ChildEnded as error:
            self.close()
            sentence = f"hang: no answer in {HANG_SECONDS:g} seconds" if hung.is_set() else f"crash: {error}"
            return {"wrong": [sentence], "compared": 0, "loose": 0}
        finally:
            timer.cancel()

    def close(self) -> None:
        """End the process."""
        if self.child:
            self.child.close()
            self.child = None


class Campaign:
    """Runs cases and says what is wrong in them."""

    def __init__(self, process: Process, say: Callable[[str], object]) -> None:
        self.process, self.say = process, say
        self.kinds: collections.Counter[str] = collections.Counter()
        self.failed = self.compared = self.loose = 0
        self.shrunk: set[tuple[str, str]] = set()

    def run(self, case: Case, title: str, command: str) -> None:
        """Run a case; if it fails, say how to repeat it, and shrink it if it is the first of its kind."""
        answer = self.process.run(case)
        self.kinds[case["kind"]] += 1
        self.compared += answer["compared"]
        self.loose += answer["loose"]
        if not answer["wrong"]:
            return
        self.failed += 1
        self.say(f"FAILED {title} ({case['kind']}): {'; '.join(answer['wrong'])}")
        self.say(f"    {command}")
        failure = (case["kind"], fuzz_shrink.kind_of(answer["wrong"][0]))
        if failure not in self.shrunk and len(self.shrunk) < MOST_SHRUNK:
            self.shrunk.add(failure)
            less = self._shrink(case, failure[1])
            self.say(f"    python tools/fuzz.py --run '{fuzz_cases.describe(less)}'")

    def _shrink(self, case: Case, kind: str) -> Case:
        end = time.monotonic() + SHRINK_SECONDS

        def failing(candidate: Case) -> bool:
            if time.monotonic() > end:
                return False
            return any(fuzz_shrink.kind_of(sentence) == kind for sentence in self.process.run(candidate)["wrong"])

        return fuzz_shrink.shrink(case, failing)

    def summary(self, seconds: float) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        cases = f"{self.kinds.total()} cases ({kinds}) in {seconds:.0f} s, {self.failed} failed"
        return f"{cases}; {self.compared} columns of results compared, {self.loose} of them loosely"


def main(arguments: Sequence[str] | None = None, say: Callable[[str], object] = print) -> int:
    """Run cases and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="time to fill with cases (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the cases (default: 1)")
    parser.add_argument("--case", type=int, help="run this case of the seed alone")
    parser.add_argument("--run", help="run this case, given as JSON")
    parser.add_argument("--kind", choices=list(fuzz_cases.KINDS), help="only cases of this kind")
    chosen = parser.parse_args(arguments)
    process = Process()
    campaign = Campaign(process, say)
    start = time.monotonic()
    try:
        if chosen.run is not None or chosen.case is not None:
            case = json.loads(chosen.run) if chosen.run is not None else fuzz_cases.draw(chosen.seed, chosen.case)
            say(fuzz_cases.describe(case))
            campaign.run(case, "the case", "")
        else:
            number = 0
            while time.monotonic() < start + chosen.seconds:
                case = fuzz_cases.draw(chosen.seed, number)
                if chosen.kind in (None, case["kind"]):
                    command = f"python tools/fuzz.py --seed {chosen.seed} --case {number}"
                    campaign.run(case, f"case {number}", command)
                number += 1
    finally:
        process.close()
    say(campaign.summary(time.monotonic() - start))
    return 1 if campaign.failed or not campaign.kinds else 0


if __name__ == "__main__":
    sys.exit(main())
