"""The asv suite: that it covers what it should, and that it fails where it must. `tools/check.py` runs it."""

import ast
import collections
import contextlib
import importlib
import importlib.util
import inspect
import itertools
import json
import math
import sys
from dataclasses import dataclass

import numba
import numpy as np
import pytest
from programs import ROOT, tool

from fastfnn import kernels
from fastfnn.bench import cases as speed_table

FOLDER = ROOT / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not beside the tests")

check = tool("check")


@dataclass(frozen=True)
class Suite:
    """The modules of the suite by name. They are not installed, and imported from their folder."""

    modules: dict

    def __getattr__(self, name):
        return self.modules[name]

    @property
    def classes(self):
        """All benchmark classes, as asv finds them."""
        return [
            kind
            for name, module in self.modules.items()
            for kind in vars(module).values()
            if name.startswith("bench_") and inspect.isclass(kind) and kind.__module__ == module.__name__
            if not kind.__name__.startswith("_") and methods(kind, "time", "timeraw", "track", "peakmem")
        ]


def methods(kind, *prefixes):
    return [name for name in dir(kind) if name.startswith(tuple(f"{prefix}_" for prefix in prefixes))]


@pytest.fixture(scope="module")
def suite():
    # Not through the search path: ROOT also holds `kernels`, which must not be imported under that name.
    spec = importlib.util.spec_from_file_location("benchmarks", FOLDER / "__init__.py")
    package = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = package
    spec.loader.exec_module(package)
    names = ["arguments", "cases", "common", "measure", *(path.stem for path in FOLDER.glob("bench_*.py"))]
    yield Suite({name: importlib.import_module(f"benchmarks.{name}") for name in names})
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        del sys.modules[name]


# What is covered


def public_kernels():
    return {name for name in kernels.__all__ if callable(getattr(kernels, name))}


def test_every_kernel_is_timed(suite):
    timed = {
        name
        for kind in suite.classes
        if methods(kind, "time") and "kernel" in getattr(kind, "param_names", [])
        for name in kind.params[kind.param_names.index("kernel")]
    }
    missing = public_kernels() - timed
    assert not missing, f"{', '.join(missing)}: add each to the list of its class in benchmarks/bench_kernels.py"
    assert timed == public_kernels()


def test_every_kernel_has_its_accuracy_tracked(suite):
    accuracy = suite.bench_accuracy
    tracked = {name for kind in (accuracy.Activation, accuracy.Slope, accuracy.Other) for name in kind.params[0]}
    untracked = {"affine_forward", "affine_backward", "compile_activation", "compile_loss"}  # the first by Product
    missing = public_kernels() - tracked - untracked
    assert not missing, f"{', '.join(missing)}: add each to a list that a class in benchmarks/bench_accuracy.py takes"
    assert tracked | untracked == public_kernels()


def timed_by_regress(suite):
    """(class, parameters) of the benchmarks that the regression check times, by kernel."""
    found = collections.defaultdict(list)
    for kind in suite.classes:
        for entry in getattr(kind, "regress", []) if "kernel" in getattr(kind, "param_names", []) else []:
            found[entry[kind.param_names.index("kernel")]].append((kind, entry))
    return found


def test_regression_check_times_every_kernel_once_or_twice(suite):
    """So that it stays short: each benchmark takes about as long as any other."""
    found = timed_by_regress(suite)
    where = "the `regress` list of its class in benchmarks/bench_kernels.py"
    missing, often = public_kernels() - set(found), [name for name, entries in found.items() if len(entries) > 2]
    assert not missing, f"{', '.join(missing)}: add each to {where}"
    assert not often, f"{', '.join(often)}: leave one or two combinations in {where}"
    assert set(found) == public_kernels()


@pytest.mark.jit
@pytest.mark.parametrize("name", sorted(public_kernels()))
def test_the_benchmarks_of_a_kernel_run(suite, name):
    for kind, entry in timed_by_regress(suite)[name]:
        for method in methods(kind, "time"):
            life(kind(), method, *entry)
    accuracy = suite.bench_accuracy
    for kind in (accuracy.Activation, accuracy.Slope, accuracy.Other):
        if name in kind.params[0]:
            benchmark = kind()
            benchmark.setup(name)
            assert 0 <= benchmark.track_max_error_ulp(name) < math.inf
            benchmark.teardown(name)


def test_regression_check_times_every_case_but_the_largest(suite):
    assert {case for case, _ in suite.bench_training.Fit.regress} == set(suite.cases.CASES) - {"large", "all samples"}
    for benchmark in (suite.bench_training.Gradient, suite.bench_training.Loop, suite.bench_training.Predict):
        assert benchmark.regress


def test_regress_lists_combinations_of_parameters(suite):
    for kind in suite.classes:
        for entry in getattr(kind, "regress", []):
            assert entry in set(itertools.product(*kind.params)), f"{kind.__name__}: {entry}"
            assert methods(kind, "time")


def test_every_parameter_has_a_name_and_every_track_method_a_unit(suite):
    for kind in suite.classes:
        assert len(getattr(kind, "params", [])) == len(getattr(kind, "param_names", []))
        for name in methods(kind, "track"):
            assert getattr(kind, name).unit, f"{kind.__name__}.{name}"


def test_all_that_is_timed_in_this_process_is_guarded(suite):
    unguarded = {kind.__name__ for kind in suite.classes if not issubclass(kind, suite.common.Compiled)}
    assert unguarded == {"Import", "FirstFit", "Wheel"}  # they start processes, or read files


def test_cases_have_those_of_the_speed_table(suite):
    table = {name: case for name, case in speed_table.CASES.items() if not case.predict}
    assert set(suite.cases.CASES) == {*table, "all samples", "small data", "widening", "blocks"}
    for name, want in table.items():
        got = suite.cases.CASES[name]
        assert (got.layers, got.batch_size, got.activation) == (want.layers, want.batch_size, want.activation)
        assert (got.loss, got.init, got.optimizer.lower()) == (want.loss, want.init, want.optimizer)
        assert got.operations == want.operations
    assert speed_table.CASES["predict"].layers == suite.cases.CASES["medium"].layers
    assert speed_table.CASES["predict"].batch_size in suite.bench_training.Predict.params[0]


def test_only_public_kernels_are_used():
    used = set()
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        assert not [name for name in modules if name.startswith("fastfnn.")], path.name
        used |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kernels"
        }
    assert {"affine_forward", "SETTINGS"} <= used  # the search finds names
    assert used - {"__file__"} <= set(kernels.__all__)


def test_the_folder_holds_the_suite_only(suite):
    """asv imports every module, also with old versions of fastfnn."""
    assert {path.stem for path in FOLDER.glob("*.py")} == {"__init__", *suite.modules}


# A version that lacks something


def test_absent_kernel_and_unknown_argument_are_skipped(suite, monkeypatch):
    monkeypatch.delattr(kernels, "gelu_forward")
    with pytest.raises(NotImplementedError, match="no gelu_forward"):
        suite.arguments.arguments_of("gelu_forward", (2, 3), "float32")
    monkeypatch.setattr(kernels, "relu_forward", lambda out, unheard_of: None)
    with pytest.raises(NotImplementedError, match="takes unheard_of"):
        suite.arguments.arguments_of("relu_forward", (2, 3), "float32")


def test_arrays_begin_at_any_cache_line_of_a_page(suite):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    copies = [suite.common.scattered(array) for _ in range(200)]
    places = {copy.ctypes.data % 4096 for copy in copies}
    assert all(place % 64 == 0 for place in places) and len(places) > 30
    for copy in copies:
        np.testing.assert_array_equal(copy, array, strict=True)


def test_older_signature_is_called_with_fewer_arguments(suite, monkeypatch):
    monkeypatch.setattr(kernels, "network_gradient", lambda grad_params, params, x, loss: None)
    grad_params, params, x, loss = suite.arguments.arguments_of("network_gradient", "notes", "float64")
    assert grad_params.shape == params.shape == (784 * 50 + 50 + 50 * 10 + 10,)
    assert (x.shape[1], x.dtype, loss) == (784, np.float64, 0)


# The guard


def life(benchmark, method, *params):
    """Run a benchmark as asv does: with setup before each sample and teardown after it."""
    for _ in range(2):
        benchmark.setup(*params)
        getattr(benchmark, method)(*params)
        benchmark.teardown(*params)


def benchmark_of(suite, setup):
    class Benchmark(suite.common.Compiled):
        def setup(self):
            self.function = numba.njit(lambda x: x + 1)
            setup(self.function)

        def time_it(self):
            self.function(1)

        def track_it(self):
            return self.function(1)

    return Benchmark()


@pytest.mark.jit
@pytest.mark.parametrize("method", ["time_it", "track_it"])
def test_guard_fails_on_compilation(suite, method):
    benchmark = benchmark_of(suite, lambda function: None)
    with pytest.raises(RuntimeError, match="inside the timed part"):
        life(benchmark, method)


@pytest.mark.jit
@pytest.mark.parametrize("method", ["time_it", "track_it"])
def test_guard_passes_what_setup_has_compiled(suite, method):
    life(benchmark_of(suite, lambda function: function(1)), method)


@pytest.mark.jit
def test_guard_fails_on_compilation_for_another_type(suite):
    benchmark = benchmark_of(suite, lambda function: function(1.0))
    with pytest.raises(RuntimeError, match="inside the timed part"):
        life(benchmark, "time_it")


@pytest.mark.jit
def test_guard_counts_what_is_loaded_from_disk(suite, tmp_path, monkeypatch):
    (tmp_path / "cached.py").write_text("import numba\n\n@numba.njit(cache=True)\ndef function(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    module = importlib.import_module("cached")
    module.function(1)
    module = importlib.reload(module)
    guard = suite.common.Guard()
    module.function(1)
    assert guard.stop() > 0
    assert sum(module.function.stats.cache_hits.values()) == 1


def test_setup_runs_once_for_the_same_parameters(suite):
    calls = []

    class Benchmark(suite.common.Compiled):
        def setup(self, *params):
            calls.append(params)

        def time_it(self, *params):
            pass

    benchmark = Benchmark()
    life(benchmark, "time_it", 1)
    life(benchmark, "time_it", 2)
    assert calls == [(1,), (2,)]


def test_teardown_after_a_setup_that_skips(suite):
    class Benchmark(suite.common.Compiled):
        def setup(self):
            raise NotImplementedError

    benchmark = Benchmark()
    with pytest.raises(NotImplementedError):
        benchmark.setup()
    benchmark.teardown()


def test_small_takes_the_first_of_each_parameter(suite, monkeypatch):
    monkeypatch.setattr(suite.common, "SMALL", True)

    class Benchmark(suite.common.Compiled):
        params = (["a", "b"], [1, 2, 3])

    assert Benchmark.params == [["a"], [1]]


# Beside a busy process


def test_a_call_is_timed_beside_a_process_that_ends_with_the_block(suite, monkeypatch):
    monkeypatch.setattr(suite.bench_neighbours, "SECONDS", 0.0)
    busy, seen = suite.bench_neighbours.busy_process, []

    @contextlib.contextmanager
    def watched():
        with busy() as process:
            seen.append(process)
            yield process

    monkeypatch.setattr(suite.bench_neighbours, "busy_process", watched)
    states = []
    took = suite.bench_neighbours.microseconds(lambda: states.append(seen[0].poll()))
    assert states == [None] * suite.bench_neighbours.FEWEST_CALLS and len(took) == len(states)  # it ran in each call
    assert seen[0].poll() is not None
    with pytest.raises(ZeroDivisionError):
        suite.bench_neighbours.microseconds(lambda: 1 / 0)
    assert len(seen) == 2 and seen[1].poll() is not None


def test_the_busy_process_ends_with_its_parent(suite):
    with suite.bench_neighbours.busy_process() as process:
        process.stdin.close()  # as the end of the parent does
        assert process.wait(60) == 0


def test_mean_and_percentile_are_tracked(suite, monkeypatch):
    benchmark = suite.bench_neighbours.BesideBusyProcess()
    benchmark.setup("gradient")
    monkeypatch.setattr(suite.bench_neighbours, "microseconds", lambda call: [1.0] * 99 + [101.0])
    assert benchmark.track_mean("gradient") == 2.0
    assert benchmark.track_p99("gradient") == np.percentile([1.0] * 99 + [101.0], 99)
    benchmark.teardown("gradient")


# Measuring


@pytest.fixture
def clock(suite, monkeypatch):
    """A clock that stands still but for `tick`."""

    class Clock:
        now = 0.0

        def tick(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(suite.measure.time, "perf_counter", lambda: clock.now)
    return clock


def test_ratio_is_that_of_medians_in_turn(suite, clock):
    order = []

    def call(name, durations):
        order.append(name)
        clock.tick(next(durations))

    slow = itertools.chain([9.0], itertools.cycle([3.0, 3.0, 90.0]))  # every third sample is disturbed
    fast = itertools.repeat(1.5)
    assert suite.measure.ratio(lambda: call("slow", slow), lambda: call("fast", fast)) == 2
    assert order == ["slow", "fast"] * (len(order) // 2) and len(order) >= 8


def test_short_calls_are_repeated_in_a_sample(suite, clock):
    (seconds,) = suite.measure.medians(lambda: clock.tick(1e-6))
    assert seconds == pytest.approx(1e-6)
    assert suite.measure.rate(lambda: clock.tick(1e-6), 5) == pytest.approx(5e6)


def test_errors_are_counted_in_ulps(suite):
    exact = np.array([1.0, 2.0, 3.0, 1e-42, -1.0])
    got = exact.astype(np.float32)
    got[1], got[3] = np.nextafter(np.float32(2), np.float32(3)), 0  # below the smallest normal number, 0 is allowed
    np.testing.assert_array_equal(suite.bench_accuracy.errors(got, exact, np.abs), [0, 1, 0, 0, 0])


def test_nan_is_an_error_and_not_taken_for_a_skipped_benchmark(suite, monkeypatch):
    monkeypatch.setattr(kernels, "relu_forward", lambda out, x: out.fill(np.nan))
    arguments = [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)]
    with pytest.raises(ArithmeticError, match="largest error is nan"):
        suite.bench_accuracy.largest_error("relu_forward", arguments, np.abs)


def test_bytes_in_place_count_twice(suite):
    array = np.zeros(4, np.float32)
    assert suite.arguments.bytes_moved("relu_forward", [array, array]) == 32
    assert suite.arguments.bytes_moved("momentum_update", [array, array, array, 0.1]) == 80


# What tools/check.py reads in asv's files


def results(folder, by_name, known=None):
    """Write the files of a run: the results of each benchmark for all combinations, and what asv found."""
    (folder / "machine").mkdir()
    (folder / "machine" / "machine.json").write_text('{"machine": "machine"}')
    names = by_name if known is None else known
    (folder / "benchmarks.json").write_text(json.dumps({"version": 2, **{name: {} for name in names}}))
    rows = {name: [] if column is None else [column, [], "hash"] for name, column in by_name.items()}
    file = {"result_columns": ["result", "params", "version"], "results": rows}
    (folder / "machine" / "0123abcd-existing.json").write_text(json.dumps(file))
    return folder


def test_check_passes_numbers_and_some_skipped(tmp_path):
    outcome = check.read(results(tmp_path, {"a.B.time_c": [1.5, math.nan], "a.B.track_d": [0.0]}))
    assert outcome.good
    assert (outcome.ran, outcome.combinations, outcome.skipped) == (2, 2, 1)
    assert str(outcome).startswith("2 benchmarks ran, with 2 combinations")


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        ([1.5, None], "failed with 1 of 2"),
        ([None], "failed with 1 of 1"),
        (None, "failed with 1 of 1"),  # asv leaves an empty column out
        ([math.nan, math.nan], "skipped with all"),
    ],
)
def test_check_fails(tmp_path, column, problem):
    outcome = check.read(results(tmp_path, {"a.B.time_c": column, "a.B.time_good": [1.5]}))
    assert not outcome.good
    assert [line for line in outcome.problems if line.startswith(f"a.B.time_c {problem}") or problem in line]
    assert outcome.ran == 1 + bool(column and 1.5 in column)


def test_check_fails_without_results(tmp_path):
    assert not check.read(tmp_path).good
    assert not check.read(results(tmp_path, {})).good


def test_check_fails_if_a_known_benchmark_did_not_run(tmp_path):
    folder = results(tmp_path, {"a.B.time_c": [1.5]}, known=["a.B.time_c", "a.B.time_lost"])
    assert check.read(folder).problems == ["a.B.time_lost has no result"]
    assert check.read(folder, regex_given=True).good
