"""Test the wheel with each Python that is supported, and with the oldest and newest of its dependencies:

    make test-matrix
    python tools/matrix.py --only oldest 3.13 --python ~/python3.14/bin/python3.14
    python tools/matrix.py --all -- -n 2 --dist worksteal

One wheel is built from the working tree. Each environment is a new virtual environment in a temporary folder, with the
wheel and its extras, the tools of the tests and a cache of compiled kernels of its own. A copy of tests/ runs there
against the installed wheel: TESTS, or with --all everything but the tests of the repository in tests/tools. Options of
pytest follow `--`.

The Pythons are those of the classifiers in pyproject.toml, and the oldest versions its lower bounds. The exit status is
1 if an environment failed, else 0. An environment without an interpreter is shown as not tested.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXTRAS = ("onnx", "plot", "sklearn", "tables")  # what users install; the bounds of the others are developers' own
SHOWN = ("numpy", "numba", "llvmlite", "scikit-learn", "pandas")  # versions in the table

# What the tests import beside fastfnn with EXTRAS.
TOOLS = (
    *("pytest>=8", "pytest-xdist>=3.6", "hypothesis>=6.100", "mpmath>=1.3", "polars>=1.1", "tensorboardX>=2.6"),
    *("threadpoolctl>=3.2", "onnxruntime>=1.20; python_version < '3.15'"),  # no wheel for 3.15 yet
)

# Some minutes of tests: what depends on the insides of Numba, kernels of each kind, training, and all other libraries.
TESTS = (
    *("kernels/compiler/test_pipeline.py", "kernels/compiler/test_memory.py", "kernels/compiler/test_writer.py"),
    *("kernels/compiler/test_decorators.py", "kernels/compiler/test_processor.py"),
    "kernels/compiler/test_cache.py::test_the_first_call_compiles_and_the_next_process_loads",
    "kernels/compiler/test_cache.py::test_every_memory_layout_runs_the_same_compiled_version",
    "kernels/workers/test_pool.py::test_a_forked_child_starts_workers_of_its_own",
    *("kernels/elementwise/activations/test_activations.py", "kernels/elementwise/losses/test_losses.py"),
    *("kernels/elementwise/update_rules/test_rule_functions.py", "kernels/elementwise/test_user_losses.py"),
    *("kernels/elementwise/test_normalization.py", "kernels/elementwise/test_dropout.py"),
    *("kernels/products/test_affine.py", "kernels/products/test_multiply.py", "kernels/network/test_network.py"),
    *("kernels/training/test_steps.py", "api/test_imports.py", "api/test_arrays.py", "api/test_fit.py"),
    *("api/test_prediction.py", "api/test_files.py", "api/test_saved_trainings.py", "api/test_own_loss.py"),
    *("api/test_frames.py", "api/test_history.py", "api/test_callbacks_that_write.py", "api/test_threadpools.py"),
    *("sklearn/test_same_training.py", "sklearn/test_same_interface.py", "sklearn/test_estimator_checks.py"),
    *("sklearn/test_estimator_files.py", "sklearn/test_ecosystem.py", "tables/test_table_columns.py"),
    *("tables/test_table_files.py", "tables/test_table_models.py", "cli/test_cli_tables.py"),
    *("interop/test_onnx.py", "interop/test_onnx_tables.py", "interop/test_from_sklearn.py"),
    *("kernels/tabular/test_tabular.py", "tabular/test_columns_of_tables.py", "tabular/test_tabular_files.py"),
    *("tabular/test_tabular_training.py", "tabular/test_tabular_predictions.py", "cli/test_cli_tabular.py"),
    *("tabular/test_tabular_estimator_checks.py", "tables/test_tabular_models.py"),
)

ORIGIN = "import fastfnn, pathlib, sys; sys.exit(sys.prefix not in map(str, pathlib.Path(fastfnn.__file__).parents))"
VERSIONS = (
    "import importlib.metadata as m, platform, sys; print(platform.python_version(), *map(m.version, sys.argv[1:]))"
)
NAMED_BY_NUMBA = (
    "import importlib.metadata as m; print(*(c.split(' :: ')[-1] for c in m.metadata('numba').get_all('Classifier')))"
)


class MatrixError(Exception):
    """An environment could not be made; the message says why."""


@dataclass(frozen=True)
class Environment:
    """A Python, such as "3.11", and the versions that pip has to install there."""

    name: str
    python: str
    pins: tuple[str, ...] = ()


@dataclass
class Result:
    """What came of an environment: `status` is "passed", "failed" or "not tested", and why if it did not run."""

    environment: Environment
    status: str
    reason: str = ""
    versions: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def project() -> dict:
    """The table [project] of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def supported_pythons() -> list[str]:
    """The versions that the classifiers name, oldest first."""
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in project()["classifiers"])
    return sorted((match[1] for match in found if match), key=lambda version: int(version.split(".")[1]))


def lower_bounds() -> dict[str, str]:
    """The oldest supported version of each dependency and of those of EXTRAS."""
    extras = project()["optional-dependencies"]
    lines = project()["dependencies"] + [line for extra in EXTRAS for line in extras[extra]]
    return dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in lines)


def environments() -> list[Environment]:
    """All environments: each Python with the newest of everything, then the oldest and mixed versions."""
    oldest, pythons = lower_bounds(), supported_pythons()
    return [
        *(Environment(python, python) for python in pythons),
        Environment("oldest", pythons[0], tuple(f"{name}=={version}" for name, version in oldest.items())),
        Environment("oldest-numba", pythons[0], (f"numba=={oldest['numba']}",)),
        Environment("oldest-numpy", pythons[0], (f"numpy=={oldest['numpy']}",)),
    ]


def find_python(version: str, given: Iterable[pathlib.Path]) -> pathlib.Path | None:
    """An interpreter of this version: one that was given, one on PATH, or one of pyenv's."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv"), "versions")
    on_path = shutil.which(f"python{version}")
    candidates = [*given, *([pathlib.Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    ask = "import sys; print('{}.{}'.format(*sys.version_info))"
    for path in candidates:
        done = subprocess.run([path, "-c", ask], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def checked(*command: str | pathlib.Path, cwd: pathlib.Path) -> str:
    """What a command prints; MatrixError with the end of it if it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise MatrixError("\n".join(done.stdout.strip().splitlines()[-8:]))
    return done.stdout


def build_wheel(folder: pathlib.Path) -> pathlib.Path:
    """Build the wheel of the working tree into a folder, which also gets the newest pip."""
    # By way of an sdist: the folder build/ of the working tree may hold modules that are no longer there.
    checked(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    checked(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "pip", cwd=folder)
    (wheel,) = folder.glob("fastfnn-*.whl")
    return wheel


def install(environment: Environment, interpreter: pathlib.Path, wheel: pathlib.Path, folder: pathlib.Path) -> str:
    """Make the virtual environment `folder`/venv and return its Python."""
    python = folder / "venv/bin/python"
    checked(interpreter, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    # pip runs from its wheel: one that came with a Python may be too old for it, and some Pythons come without.
    (pip,) = wheel.parent.glob("pip-*.whl")
    # A package without a wheel must be an error that names it, not an attempt to compile it.
    options = ("--quiet", "--no-compile", "--only-binary", ":all:", "--disable-pip-version-check")
    requirements = (f"{wheel}[{','.join(EXTRAS)}]", *TOOLS, *environment.pins)
    checked(python, pip / "pip", "install", *options, *requirements, cwd=folder)
    checked(python, "-c", ORIGIN, cwd=folder)
    return str(python)


def warn_of_newer_python(python: str, folder: pathlib.Path) -> None:
    """Say so if the Numba in an environment supports a Python that no classifier names."""
    named = re.findall(r"3\.(\d+)", checked(python, "-c", NAMED_BY_NUMBA, cwd=folder))
    newest = f"3.{max(map(int, named))}"
    if newest not in supported_pythons():
        print(f"Numba supports Python {newest}, which pyproject.toml does not name", flush=True)


def test(environment: Environment, interpreter: pathlib.Path, wheel: pathlib.Path, args: argparse.Namespace) -> Result:
    """Install and test in one environment; its folder is removed unless the tests failed."""
    start = time.monotonic()
    result = Result(environment, "failed")
    folder = args.folder / environment.name
    folder.mkdir(parents=True)
    try:
        python = install(environment, interpreter, wheel, folder)
    except MatrixError as error:
        result.reason = str(error)
        return result
    if environment == Environment(supported_pythons()[-1], supported_pythons()[-1]):
        warn_of_newer_python(python, folder)
    result.versions = tuple(checked(python, "-c", VERSIONS, *SHOWN, cwd=folder).split())
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)  # the settings of pytest
    chosen = ["tests", "--ignore=tests/tools"] if args.all else [f"tests/{path}" for path in TESTS]
    report = folder / "report.xml"
    pytest = [python, "-m", "pytest", "-q", "-rfEs", "--continue-on-collection-errors", f"--junitxml={report}"]
    variables = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": ""}
    with open(folder / "pytest.log", "w") as log:
        command = [*pytest, *chosen, *args.pytest]
        subprocess.run(command, cwd=folder, env=variables, stdout=log, stderr=subprocess.STDOUT)
    result.seconds = time.monotonic() - start
    if not report.exists():
        result.reason = "\n".join((folder / "pytest.log").read_text().splitlines()[-8:])
        return result
    result.counts = read_counts(report)
    result.status = "failed" if result.counts["failed"] or not result.counts["passed"] else "passed"
    if result.status == "passed":
        for part in ("venv", "cache", "tests"):
            shutil.rmtree(folder / part)
    return result


def read_counts(report: pathlib.Path) -> dict[str, int]:
    """How many tests passed, failed and were skipped, from pytest's report."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    count = {key: sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return {"passed": count["tests"] - failed - count["skipped"], "failed": failed, "skipped": count["skipped"]}


def table(results: Sequence[Result]) -> str:
    """The results as a table of Markdown."""
    header = ("environment", "Python", *SHOWN, "result", "passed", "failed", "skipped", "seconds")
    rows = [header, ("---",) * 2 + ("---",) * (len(SHOWN) + 1) + ("---:",) * 4]
    for result in results:
        versions = result.versions or (result.environment.python, *[""] * len(SHOWN))
        counts = [str(result.counts.get(key, "")) for key in ("passed", "failed", "skipped")]
        status = result.status if result.status != "not tested" else f"not tested: {result.reason}"
        rows.append((result.environment.name, *versions, status, *counts, f"{result.seconds:.0f}"))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", nargs="+", metavar="NAME", help="the environments to test, by the names of the table")
    made.add_argument("--list", action="store_true", help="show the environments and test nothing")
    made.add_argument("--python", type=pathlib.Path, nargs="+", default=[], help="interpreters that are not on PATH")
    made.add_argument("--all", action="store_true", help="all tests but those of the repository, not only TESTS")
    made.add_argument("--folder", type=pathlib.Path, help="an empty folder for environments and logs, which it keeps")
    made.add_argument("pytest", nargs="*", metavar="-- OPTION", help="options of pytest")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    args = parser().parse_args(arguments)
    chosen = [each for each in environments() if not args.only or each.name in args.only]
    if unknown := set(args.only or ()) - {each.name for each in chosen}:
        print(f"there is no environment {', '.join(sorted(unknown))}: --list shows all", file=sys.stderr)
        return 2
    if missing := [path for path in args.python if not path.is_file()]:
        print(f"there is no interpreter {', '.join(map(str, missing))}", file=sys.stderr)
        return 2
    if args.list:
        for each in chosen:
            print(f"{each.name}: Python {each.python} {' '.join(each.pins)}".rstrip())
        return 0
    args.folder = (args.folder or pathlib.Path(tempfile.mkdtemp(prefix="fastfnn-matrix-"))).absolute()
    args.folder.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(args.folder)
    results = []
    for each in chosen:
        interpreter = find_python(each.python, [path.absolute() for path in args.python])
        if interpreter is None:
            results.append(Result(each, "not tested", "no interpreter"))
        else:
            print(f"{each.name}: {interpreter}", flush=True)
            results.append(test(each, interpreter, wheel, args))
        if results[-1].status == "failed":
            print(f"{each.name} failed; its environment and pytest.log are in {args.folder / each.name}", flush=True)
            print(results[-1].reason, flush=True)
    print(table(results))
    return int(any(result.status == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main())
