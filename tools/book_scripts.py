"""Do the scripts of the book 'Deep Learning from Scratch' give its results on fastfnn, and how fast are they?

    python tools/book_scripts.py ~/deep-learning-from-scratch
    python tools/book_scripts.py FOLDER --scripts ch05/train_neuralnet.py ch06/overfit_dropout.py --repeat 3
    python tools/book_scripts.py FOLDER --csv book.csv

FOLDER holds the book's repository, oreilly-japan/deep-learning-from-scratch; it is copied and stays as it is. Without
dataset/mnist.pkl in it the scripts get the digits of fastfnn. Each script of chapters 3 to 6 runs with the book's own
`common` and with that of `fastfnn.book`, in turn, each time in a new process and from the same seed.

A table in Markdown compares the numbers that they print and the lines of their figures. Two numbers agree if they
differ by at most 1e-6 of themselves, or by 1e-11. Both sides compute in float64, but add in another order; in thousands
of steps of training such differences of 1e-16 grow to 1e-9 or so. What the gradient checks print is itself a difference
of numbers near 1e-2 or below, with a rounding error of eps / h, 1e-12 for the step h = 1e-4.

Seconds are medians, from the first line of a script to its last; those of `import fastfnn.book` stand below the table.
The exit status is 1 if a script fails with either, or prints other text or another count of numbers.
"""

import argparse
import csv
import os
import pathlib
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CHAPTERS = ("ch03", "ch04", "ch05", "ch06")
CHILD = pathlib.Path(__file__).resolve().with_name("book_child.py")
RELATIVE, ABSOLUTE = 1e-6, 1e-11
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)\b", re.IGNORECASE)
COLUMNS = ("script", "the book's result", "fastfnn's result", "numbers that agree", "largest difference",
           "seconds of the book", "of fastfnn", "ratio")  # fmt: skip


class Run(NamedTuple):
    """What one run of a script left: what it printed, the curves that it showed, and how long it took."""

    text: str
    curves: list[np.ndarray]
    seconds: float
    import_seconds: float
    error: str  # the last line of the traceback, or nothing


class Comparison(NamedTuple):
    """Two runs of a script, number by number."""

    agree: int
    count: int
    largest: float  # absolute difference of two numbers
    same_text: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    folder = args.folder.expanduser().resolve()
    if not (folder / "common").is_dir():
        print(f"{folder}: expected the book's repository, with a folder common", file=sys.stderr)
        return 2
    scripts = args.scripts or scripts_in(folder)
    for missing in (name for name in scripts if not (folder / name).is_file()):
        print(f"{folder / missing}: no such script", file=sys.stderr)
        return 2
    compile_kernels()
    rows, imports, status = [], [], 0
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary) / "book"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".git", "__pycache__"))
        add_digits(copy)
        print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
        for script in scripts:
            theirs, ours = runs(copy / script, args.seed, args.repeat)
            row, right = row_of(script, theirs, ours)
            print(f"| {' | '.join(row)} |", flush=True)
            rows.append(row)
            imports += [run.import_seconds for run in ours]
            status |= not right
    print(f"\n`import fastfnn.book` takes {statistics.median(imports):.2f} s.")
    if args.csv:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
    return status


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("folder", type=pathlib.Path, help="the book's repository")
    result.add_argument("--scripts", nargs="+", metavar="SCRIPT", help="such as ch05/train_neuralnet.py; default: all")
    result.add_argument("--seed", type=int, default=0, help="of np.random (default: 0)")
    result.add_argument("--repeat", type=int, default=1, help="runs of each script, for the times (default: 1)")
    result.add_argument("--csv", type=pathlib.Path, metavar="FILE", help="write the table to a file, too")
    return result


def scripts_in(folder: pathlib.Path) -> list[str]:
    """Return the programs of chapters 3 to 6: not the modules that hold classes for them."""
    paths = [path for chapter in CHAPTERS for path in sorted((folder / chapter).glob("*.py"))]
    return [path.relative_to(folder).as_posix() for path in paths if path.stem not in ("two_layer_net", "layer_naive")]


def compile_kernels() -> None:
    """Compile what is not on disk yet, so that no run has to."""
    code = "from fastfnn.backend import compile_kernels; compile_kernels('float32'); compile_kernels('float64')"
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


def add_digits(folder: pathlib.Path) -> None:
    """Write fastfnn's digits to where the book's `load_mnist` keeps MNIST, unless there is one."""
    path = folder / "dataset" / "mnist.pkl"
    if path.exists():
        return
    from fastfnn.datasets import load_mnist

    (x, t), (x_test, t_test) = load_mnist(normalize=False)
    data = {"train_img": x, "train_label": t, "test_img": x_test, "test_label": t_test}
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps({name: array.astype(np.uint8) for name, array in data.items()}))
    print("scripts train on the digits of fastfnn, 8,000 and 2,000 for test: there is no dataset/mnist.pkl\n")


def runs(script: pathlib.Path, seed: int, repeat: int) -> tuple[list[Run], list[Run]]:
    """Run a script with the modules of the book and with those of fastfnn, in turn."""
    pairs = [(run(script, "theirs", seed), run(script, "ours", seed)) for _ in range(repeat)]
    theirs, ours = zip(*pairs, strict=True)
    return list(theirs), list(ours)


def run(script: pathlib.Path, whose: str, seed: int) -> Run:
    """Run a script in a new process."""
    result = script.with_suffix(f".{whose}.npz")
    command = [sys.executable, str(CHILD), str(script), whose, str(seed), str(result)]
    environment = os.environ | {"MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    lines = done.stderr.strip().splitlines()
    error = (lines or [f"exit status {done.returncode}"])[-1] if done.returncode else ""
    if not result.exists():
        return Run(done.stdout, [], float("nan"), float("nan"), error)
    with np.load(result) as data:
        curves = [data[name] for name in data.files if name.startswith("curve")]
        return Run(done.stdout, curves, float(data["seconds"]), float(data["import_seconds"]), error)


def row_of(script: str, theirs: list[Run], ours: list[Run]) -> tuple[list[str], bool]:
    """Return the row of the table about a script, and whether nothing is wrong with it."""
    first, second = theirs[0], ours[0]
    compared = compare(first, second)
    seconds, own_seconds = (statistics.median(run.seconds for run in runs) for runs in (theirs, ours))
    row = [
        script, last_line(first), last_line(second), f"{compared.agree:,} of {compared.count:,}",
        f"{compared.largest:.1e}" if compared.largest else "0", f"{seconds:.2f}", f"{own_seconds:.2f}",
        f"{own_seconds / seconds:.2f}",
    ]  # fmt: skip
    if not compared.same_text:
        row[3] += "; other text"
    return row, compared.same_text and not first.error and not second.error


def last_line(run: Run) -> str:
    """Return what a script printed last, or how it failed."""
    if run.error:
        return f"fails: {run.error}"
    lines = run.text.strip().splitlines()
    text = lines[-1] if lines else f"{len(run.curves)} curves" if run.curves else ""
    return text.replace("|", "/")


def compare(first: Run, second: Run) -> Comparison:
    """Compare two runs: the printed numbers and the points of the curves, and the text between the numbers."""
    texts = [" ".join(NUMBER.sub("0", run.text).split()) for run in (first, second)]
    shapes = [[curve.shape for curve in run.curves] for run in (first, second)]
    same = texts[0] == texts[1] and shapes[0] == shapes[1]
    a, b = numbers(first), numbers(second)
    if len(a) != len(b):
        return Comparison(0, max(len(a), len(b)), float("nan"), False)
    agree = np.isclose(a, b, RELATIVE, ABSOLUTE, equal_nan=True)
    finite = np.isfinite(a) & np.isfinite(b)
    largest = np.abs(a[finite] - b[finite]).max(initial=0.0)
    return Comparison(int(agree.sum()), len(agree), float(largest), same)


def numbers(run: Run) -> np.ndarray:
    """Return all numbers that a script printed, then those of its curves."""
    printed = np.array([float(found) for found in NUMBER.findall(run.text)])
    return np.concatenate([printed, *(curve.ravel() for curve in run.curves)])


if __name__ == "__main__":
    sys.exit(main())
