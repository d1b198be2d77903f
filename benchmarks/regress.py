"""Has fastfnn become slower? Times two versions of it in one run and says so, on a busy machine too:

    python benchmarks/regress.py main
    python benchmarks/regress.py v0.1.0 --new HEAD --bench 'tanh|softmax' --json regress.json

The base is compared with the working tree, or with another commit or folder. Both are timed by the benchmarks of this
folder, with the parameters that a class lists in `regress`. It ends with 1 if anything became slower, with 2 if
anything could not be measured, else with 0.

How it decides
--------------
Three processes take turns, each idle while another one works: the base twice (A1, A2), and the new version (B). What A1
and A2 differ by is noise, and B has as much of it: with two versions that are alike, any process could be any of the
three.

- A sample is the fastest of many loops of a quarter of a millisecond. Whatever disturbs a loop makes it longer, and
  short loops find gaps between disturbances that long ones do not. With new arrays for each sample, because where they
  lie matters.
- Kernels run on one thread, unless --threads says otherwise. Two threads need both cores at once, and on two cores with
  neighbours there are no such gaps. At a load of 8, tanh_forward takes its 104 us within 1 % on one thread; on two it
  seems to take 1.5 ms, a slower version too (AMD EPYC, Zen 5). What only concerns the work of several threads has to be
  timed on a machine that is idle.
- Samples are compared within a round, in which each process gives one, so that a slow change of the machine's speed
  cancels. Six rounds have the six orders. All is computed in logarithms, with medians.
- Processes of one version differ, and more rounds in the same process do not show it. So stage 1, one generation of
  three processes, acquits only: a benchmark is left alone if B is within SUSPICIOUS of the base, and A2 of A1, without
  which the first says little. Stage 2 times the others in generations of new processes.
- A generation gives two pairs, B/A1 and B/A2. The estimate is the median of all pairs of stage 2, in which one
  disturbed process counts little: B lifts two pairs of many, A1 or A2 lowers one. Stage 1 does not count, because what
  got a benchmark into stage 2 may be its noise.
- The noise is SIGMAS standard errors of the estimate. The error comes from the median size of A2/A1 and of the pairs'
  distances from the estimate: both spread alike, if it is noise.
- After ACQUIT generations a benchmark is "same" as soon as the estimate is within SUSPICIOUS and, with the noise, below
  twice the threshold.
- After CONVICT generations it is a regression if the estimate is above the threshold and above the noise, and MOST of
  the pairs exceed the threshold, each by itself. A version that is no slower must have bad luck in most generations for
  that, however bad luck is distributed; the error of a few numbers alone would not do.
- What is neither goes on, to GENERATIONS at most, or to CONVICT if all that is in doubt is whether the noise hides
  something. The rest is "unclear", which is no alarm.

Faster is found in the same way. tests/tools/test_regress.py counts how often this errs, with noise of several kinds.

In the table, a ratio is the estimate, not the quotient of the two times beside it, which are medians of all samples. In
stage 1, where there is no way to tell, the noise is the difference of A1 and A2.
"""

import argparse
import concurrent.futures
import contextlib
import hashlib
import io
import itertools
import json
import math
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
SUITE = ROOT / "benchmarks"
HOME = ROOT / ".asv/regress"
WORKER = pathlib.Path(__file__).resolve().with_name("regress_worker.py")

# What is slower by more than this is a regression. Two processes of the same version differ by 1 %, and by 3 to 6 %
# where arrays do not fit into a core's cache: to find half as much would take four times as many generations.
THRESHOLD = 0.05

# What is as good as no difference. A slowdown of twice the threshold is far above it, and noise of 1 %, which is
# usual, mostly below.
SUSPICIOUS = 0.03

ACQUIT, CONVICT, GENERATIONS = 3, 5, 9
SIGMAS = 3.0
MOST = 0.75

A1, B, A2 = range(3)
ORDERS = list(itertools.permutations((A1, B, A2)))

# Seconds. A loop is long against the clock's 50 ns, and short against the time that a system gives a process at once.
LOOP = 0.00025
SAMPLE = 0.015

# OpenMP's threads look for more work for a while before they sleep, and would do so on the other core while the next
# process is timed: by default for about 10 ms with GNU's library, 200 ms with LLVM's. In workers it is about 2 ms. That
# is still longer than any pause inside a loop, so that calls find the threads awake as ever.
SPINNING = {"GOMP_SPINCOUNT": "30000", "KMP_BLOCKTIME": "2"}
PAUSE = 0.005

# Builds, with their compiled code, that are kept for the next run: 10 to 20 MB each.
KEPT = 10

# Lines of a worker's standard error that are shown if it ends before its time.
LAST_LINES = 3

Say = Callable[[str], None]


class RegressError(Exception):
    """The run cannot go on; the message says why."""


# Builds


@dataclass(frozen=True)
class Build:
    """A version of fastfnn as it lies when it is installed."""

    title: str
    folder: pathlib.Path

    @property
    def site(self) -> pathlib.Path:
        """The folder to import it from."""
        return self.folder / "site"

    @property
    def cache(self) -> pathlib.Path:
        """The folder of its compiled code."""
        return self.folder / "cache"


def sources(version: str, root: pathlib.Path) -> dict[str, bytes]:
    """The package's files by their place in an installation, of a commit of the repository or of a folder."""
    folder = pathlib.Path(version)
    is_folder = (folder / "fastfnn").is_dir() and (folder / "kernels").is_dir()
    found = dict(_installed(_files(folder) if is_folder else _committed(version, root)))
    for name in ("fastfnn/__init__.py", "fastfnn/kernels/__init__.py"):
        if name not in found:
            raise RegressError(
                f"{version} has no {name.replace('fastfnn/kernels', 'kernels')}, expected all of fastfnn"
            )
    return found


def _files(folder: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    for top in ("fastfnn", "kernels"):
        for path in (folder / top).rglob("*"):
            if path.is_file():
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def _committed(revision: str, root: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)

    commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").stdout.decode()
    if not commit:
        raise RegressError(
            f"the version is {revision!r}, expected a commit or a folder with fastfnn/ and kernels/ in it"
        )
    done = git("archive", commit.strip(), "fastfnn", "kernels")
    if done.returncode:
        raise RegressError(f"{revision} cannot be exported: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member)
                assert content
                yield member.name, content.read()


def _installed(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """kernels/ becomes fastfnn/kernels/, and what Python or an editor keeps beside the sources is left out."""
    for name, content in files:
        parts = name.split("/")
        if "__pycache__" in parts or any(part.startswith(".") for part in parts):
            continue
        # a link in the checkout; where Git cannot make links, a file, or with the files of kernels/ once more
        if parts[:2] != ["fastfnn", "kernels"]:
            yield ("fastfnn/" if parts[0] == "kernels" else "") + name, content


def build(version: str, home: pathlib.Path, root: pathlib.Path = ROOT) -> Build:
    """Lay the version out in a folder of `home` named by its content, unless it lies there already."""
    files = sources(version, root)
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    folder = home / digest.hexdigest()[:16]
    if not folder.exists():
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as unfinished:
            for name, content in files.items():
                path = pathlib.Path(unfinished, "whole/site", name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            pathlib.Path(unfinished, "whole/cache").mkdir()
            pathlib.Path(unfinished, "whole").rename(folder)
    os.utime(folder)
    return Build("the working tree" if pathlib.Path(version) == root else version, folder)


def remove_old_builds(home: pathlib.Path) -> None:
    """All but those used last."""
    for folder in sorted(home.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(folder)


# Processes


@dataclass
class Process:
    """A worker with one build, and the pipes to it. Close it after use."""

    build: Build
    suite: pathlib.Path
    threads: int

    def __post_init__(self) -> None:
        variables = SPINNING | {"NUMBA_CACHE_DIR": str(self.build.cache), "NUMBA_NUM_THREADS": str(self.threads)}
        variables["PYTHONPATH"] = os.pathsep.join([str(self.build.site), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.errors: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (closed by close)
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(self.suite), str(self.build.site)],
            # Python that a benchmark starts imports from its working folder first.
            cwd=self.build.site,
            env=os.environ | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """The worker's answer; RegressError if the worker has ended."""
        assert self.process.stdin and self.process.stdout
        line = ""
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            title = f"the process with {self.build.title} ended with {self.process.returncode}"
            raise RegressError(f"{title} at {request}: {self._last_words()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return " / ".join(lines[-LAST_LINES:]) or "nothing on standard error"


Start = Callable[[Build], Process]


@contextlib.contextmanager
def running(start: Start, builds: Sequence[Build]) -> Iterator[list[Process]]:
    """A process for each build."""
    with contextlib.ExitStack() as stack:
        processes = []
        for each in builds:
            processes.append(start(each))
            stack.callback(processes[-1].close)
        yield processes


def survey(start: Start, version: Build, wanted: re.Pattern[str], say: Say) -> dict[str, dict[str, Any]]:
    """What "try" answers for each benchmark, and why a module is broken. It fills the cache of compiled code."""
    with running(start, [version]) as (process,):
        listed = process.ask(do="list")
    found: dict[str, dict[str, Any]] = {name: {"error": why} for name, why in listed["broken"].items()}
    names = [name for name in listed["benchmarks"] if wanted.search(name)]
    for first in range(len(names)):
        if names[first] in found:
            continue
        # once, and again for the rest if a benchmark ends the process
        with contextlib.suppress(RegressError), running(start, [version]) as (process,):
            for number, name in enumerate(names[first:], first + 1):
                say(f"{version.title}: {number} of {len(names)}: {name}")
                found[name] = {"error": "it ends the process"}
                found[name] = process.ask(do="try", name=name)
    return found


@dataclass
class Timer:
    """Times benchmarks, in three new processes each time it is called."""

    start: Start
    base: Build
    new: Build
    calls: dict[str, int]
    say: Say
    failed: dict[str, str] = field(default_factory=dict)

    def __call__(self, names: Sequence[str], title: str) -> dict[str, np.ndarray]:
        """Seconds of a call (6, 3) by name: a row for each round, a column for A1, B and A2. Adds to `failed`."""
        samples = {name: np.full((len(ORDERS), 3), np.nan) for name in names}
        with running(self.start, [self.base, self.new, self.base]) as processes:
            for number, order in enumerate(ORDERS):
                self.say(f"{title}: {len(samples)} benchmarks, round {number + 1} of {len(ORDERS)}")
                for name in list(samples):
                    for who in order:
                        settings = {"calls": self.calls[name], "seconds": SAMPLE, "pause": PAUSE}
                        answer = processes[who].ask(do="time", name=name, **settings)
                        if "seconds" not in answer:
                            why = answer.get("error") or f"it is absent: {answer['absent']}"
                            self.failed[name] = f"{processes[who].build.title}: {why}"
                            del samples[name]
                            break
                        samples[name][number, who] = answer["seconds"]
        return samples


# Statistics


@dataclass(frozen=True)
class Estimate:
    """How much slower B is, as a logarithm; what may be noise of it; the share of pairs beyond the threshold."""

    slower: float
    noise: float
    share: float


def pairs_of(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Of a generation's samples (rounds, 3): log B/A1 and log B/A2, and log A2/A1."""
    logs = np.log(samples)
    difference = np.median(logs - logs[:, [A1]], axis=0)
    return np.array([difference[B], np.median(logs[:, B] - logs[:, A2])]), float(difference[A2])


def suspicious(samples: np.ndarray) -> bool:
    """Whether stage 1 cannot acquit."""
    pairs, apart = pairs_of(samples)
    return bool(max(abs(np.median(pairs)), abs(apart)) > SUSPICIOUS)


def estimate(generations: Sequence[np.ndarray], threshold: float) -> Estimate:
    """What the generations of stage 2 say together."""
    both = [pairs_of(samples) for samples in generations]
    pairs = np.concatenate([pair for pair, _ in both])
    slower = float(np.median(pairs))
    # Both kinds of difference are of two processes. 1.48 makes a median size a standard deviation, sqrt(1/2) that of
    # one process; B minus the mean of A1 and A2 has sqrt(3/2) of it, and a median 1.25 times the error of a mean.
    sizes = [*(abs(apart) for _, apart in both), *abs(pairs - slower)]
    error = 1.48 * float(np.median(sizes)) * math.sqrt(1 / 2) * math.sqrt(3 / 2) * 1.25 / math.sqrt(len(both))
    beyond = pairs * math.copysign(1, slower) > math.log1p(threshold)
    return Estimate(slower, SIGMAS * error, float(np.mean(beyond)))


def proven(found: Estimate, threshold: float) -> bool:
    return abs(found.slower) > max(math.log1p(threshold), found.noise) and found.share >= MOST


# The same for both: what is slower by 10 % and its reverse, faster by 1 - 1/1.1, are alike in logarithms.
SLOWER, FASTER, UNCLEAR, SAME = "REGRESSION", "faster", "unclear", "same"
ERROR, NEW, REMOVED = "ERROR", "new", "removed"
RANKS = {word: rank for rank, word in enumerate((SLOWER, ERROR, UNCLEAR, FASTER, NEW, REMOVED, SAME))}


@dataclass
class Row:
    """What the table says of a benchmark."""

    name: str
    verdict: str
    why: str = ""
    slower: float = 0.0
    noise: float = math.nan
    generations: list[np.ndarray] = field(default_factory=list)  # those that the verdict is based on

    @property
    def seconds(self) -> tuple[float, float]:
        """Median seconds of a call, of the base and of the new version."""
        if not self.generations:
            return math.nan, math.nan
        samples = np.concatenate(self.generations)
        return float(np.median(samples[:, [A1, A2]])), float(np.median(samples[:, B]))

    @property
    def rank(self) -> tuple[int, float]:
        """Its place in the table."""
        return RANKS[self.verdict], -self.slower


Measure = Callable[[Sequence[str], str], dict[str, np.ndarray]]


def judge(names: Sequence[str], measure: Measure, threshold: float) -> list[Row]:
    """The verdicts on all benchmarks that could be measured.

    measure  called with names and a title; returns samples (rounds, 3) by name, from new processes each time
    """
    first = measure(names, "stage 1")
    rows = []
    for name, samples in first.items():
        pairs, apart = pairs_of(samples)
        rows.append(Row(name, SAME, "", float(np.median(pairs)), abs(apart), [samples]))
    undecided = {row.name: row for row in rows if suspicious(first[row.name])}
    for row in undecided.values():
        row.generations = []
    for number in range(1, GENERATIONS + 1):
        if not undecided:
            break
        measured = measure(list(undecided), f"stage 2, generation {number}")
        undecided = {name: row for name, row in undecided.items() if name in measured}
        for name, row in list(undecided.items()):
            row.generations.append(measured[name])
            decided = verdict(row, threshold)
            if decided:
                row.verdict = decided
                del undecided[name]
    return rows


def verdict(row: Row, threshold: float) -> str | None:
    """On the generations so far, None if more are needed; writes the estimate into the row."""
    found, count = estimate(row.generations, threshold), len(row.generations)
    row.slower, row.noise = found.slower, found.noise
    size = abs(found.slower)
    if count < ACQUIT:
        return None
    hidden = size + found.noise > math.log1p(2 * threshold)
    if size <= SUSPICIOUS and (count >= CONVICT or not hidden):
        return UNCLEAR if hidden else SAME
    if count >= CONVICT and proven(found, threshold):
        return SLOWER if found.slower > 0 else FASTER
    if count < GENERATIONS:
        return None
    return UNCLEAR if hidden or size > math.log1p(threshold) else SAME


# The run


def compare(base: Build, new: Build, start: Start, wanted: re.Pattern[str], threshold: float, say: Say) -> list[Row]:
    """All rows, sorted."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        # the same build twice is the same cache, which two processes would fill at once
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
    rows = [row for row in rows if row.name not in timer.failed]  # it may fail after stage 1
    rows += [Row(name, ERROR, why) for name, why in timer.failed.items()]
    return sorted(rows, key=lambda row: row.rank)


def _not_comparable(name: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> Row | None:
    """The row of what one of the versions could not run."""
    absent = {"absent": "not among its benchmarks"}
    old, new = old or absent, new or absent
    if "error" in new:
        return Row(name, ERROR, new["error"])
    if "absent" in new:
        return Row(name, REMOVED, new["absent"]) if "seconds" in old else None
    if "seconds" not in old:
        return Row(name, NEW, old.get("absent") or f"the base fails: {old['error']}")
    return None


def table(rows: Sequence[Row]) -> str:
    lines = [("benchmark", "base", "new", "ratio", "noise", "", "")]
    for row in rows:
        numbers = ("", "", "", "")
        if row.generations:
            ratio, noise = f"{math.exp(row.slower):.3f}", f"{100 * math.expm1(row.noise):.1f} %"
            numbers = (*map(duration, row.seconds), ratio, noise)
        lines.append((row.name, *numbers, row.verdict, row.why))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        " ".join([line[0].ljust(widths[0]), *(f"{line[i]:>{widths[i]}}" for i in range(1, 5)), *line[5:]]).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:  # from here on it would be rounded to 1000 of the next unit
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def summary(rows: Sequence[Row], threshold: float) -> str:
    def named(verdict: str) -> list[str]:
        return [row.name for row in rows if row.verdict == verdict]

    timed = sum(bool(row.generations) for row in rows)
    slower = named(SLOWER)
    text = f"slower by more than {100 * threshold:g} %: {'; '.join(slower) or 'none'}, of {timed} benchmarks"
    others = [f"{len(named(word))} {word}" for word in (FASTER, UNCLEAR, NEW, REMOVED) if named(word)]
    text = ", ".join([text, *others])
    return f"{text}; could not be measured: {'; '.join(named(ERROR))}" if named(ERROR) else text


def status(rows: Sequence[Row]) -> int:
    """What the program ends with."""
    verdicts = {row.verdict for row in rows}
    return 2 if ERROR in verdicts else 1 if SLOWER in verdicts else 0


def report(rows: Sequence[Row], settings: dict[str, Any]) -> dict[str, Any]:
    """All that was measured, ready for JSON."""
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "settings": settings,
        "status": status(rows),
        "benchmarks": [
            {
                "name": row.name,
                "verdict": row.verdict,
                "why": row.why,
                "ratio": math.exp(row.slower) if row.generations else None,
                "noise": math.expm1(row.noise) if row.generations else None,
                "seconds": row.seconds if row.generations else None,
                "generations": [samples.tolist() for samples in row.generations],
            }
            for row in rows
        ],
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Time two versions of fastfnn and say whether the new one is slower.")

    def add(name: str, metavar: str, text: str, **settings: Any) -> None:
        made.add_argument(name, metavar=metavar, help=text, **settings)

    add("base", "BASE", "a commit, or a folder with fastfnn/ and kernels/ in it")
    add("--new", "VERSION", "the same; default: the working tree as it is", default=str(ROOT))
    add("--bench", "REGEX", "only the benchmarks in whose names it is found", default="")
    add("--threshold", "PERCENT", "what is slower by more is a regression; default: 5", type=float)
    add("--threads", "N", "that kernels run on, more than 1 only on an idle machine; default: 1", type=int, default=1)
    add("--json", "FILE", "write all samples to it", type=pathlib.Path)
    add("--suite", "DIR", "the package of benchmarks", type=pathlib.Path, default=SUITE)
    add("--home", "DIR", "where builds are kept", type=pathlib.Path, default=HOME)
    made.set_defaults(threshold=100 * THRESHOLD)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    threshold = args.threshold / 100

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        base, new = build(args.base, args.home), build(args.new, args.home)
        remove_old_builds(args.home)
        if base.folder == new.folder:
            say("both versions have the same files")
        rows = compare(
            base, new, lambda each: Process(each, args.suite, args.threads), re.compile(args.bench), threshold, say
        )
        if not rows:
            raise RegressError(f"no benchmark with a list called regress in {args.suite} matches {args.bench!r}")
    except (RegressError, re.error, OSError) as error:
        say(f"regress: {error}")
        return 2
    if args.json:
        settings = {"base": args.base, "new": args.new, "threshold": threshold, "threads": args.threads}
        args.json.write_text(json.dumps(report(rows, settings), indent=1))
    print(table(rows))
    print(summary(rows, threshold))
    return status(rows)


if __name__ == "__main__":
    sys.exit(main())
