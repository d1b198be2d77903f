"""`fastfnn bench`: every library gets the same work, the report is complete, failures are reported.

Sizes are tiny and times short; speed is not tested here.
"""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn import backend, cli
from fastfnn.bench import cases, notes_peer, numpy_peer, ours, report, runner, worker
from fastfnn.bench.cases import Case

SMALL = Case("small", (5, 4, 3), 4)

QUICK = ["--rounds", "2", "--seconds", "0.001"]
OWN = ["--layers", "5,4,3", "--predict", "--batch-size", "64"]


@pytest.fixture(autouse=True)
def short_passes(monkeypatch):
    """Limit a pass over the data to 10 steps in this process, which plain Python can run."""
    monkeypatch.setattr(cases, "MOST_STEPS", 10)


def status_of(arguments):
    try:
        return cli.main(["bench", *arguments])
    except SystemExit as stopped:
        return stopped.code


# The cases


def test_the_cases_are_those_of_the_table():
    assert [case.name for case in cases.chosen([], "float32")] == list(cases.CASES)
    found = cases.chosen(["tiny", "notes"], "float64")
    assert [(case.name, case.dtype) for case in found] == [("notes", "float64"), ("tiny", "float64")]


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        # training: 2 B (3 times all weights - those of the first layer); prediction: 2 N times all weights
        ("notes", 2 * 100 * (3 * (784 * 50 + 50 * 10) - 784 * 50)),
        ("online", 2 * (3 * (784 * 50 + 50 * 10) - 784 * 50)),
        ("tabular", 2 * 32 * (3 * (30 * 64 + 64 * 64 + 64) - 30 * 64)),
        ("predict", 2 * 10_000 * (784 * 512 + 512 * 512 + 512 * 10)),
    ],
)
def test_the_number_of_operations_of_a_case_is_correct(name, operations):
    assert cases.CASES[name].operations == operations


@pytest.mark.parametrize("case", cases.CASES.values(), ids=cases.CASES)
def test_a_pass_consists_of_whole_batches(case):
    assert case.samples == case.steps * case.batch_size
    assert case.samples >= case.layers[-1]
    assert re.fullmatch(r"[\w ,-]+", case.description)


def test_the_data_are_reproducible_and_contain_every_class():
    first, second = cases.make_data(SMALL), cases.make_data(SMALL)
    assert first.x.tobytes() == second.x.tobytes()
    assert first.targets.tobytes() == second.targets.tobytes()
    assert set(first.targets) == set(range(SMALL.layers[-1]))
    assert [(w.shape, b.shape) for w, b in first.weights] == [((5, 4), (4,)), ((4, 3), (3,))]


# Every library does the same work

NETWORKS = {
    "relu": SMALL,
    "sigmoid": replace(SMALL, activation="sigmoid", init=0.01),
    "tanh, squared error, adam": replace(SMALL, activation="tanh", loss="squared_error", optimizer="adam"),
    "identity, sigmoid cross-entropy": replace(SMALL, activation="identity", loss="sigmoid_cross_entropy"),
    "one output": replace(SMALL, layers=(5, 4, 6, 1), loss="squared_error", optimizer="adam"),
    "batch of 1": replace(SMALL, batch_size=1),
    "one layer": replace(SMALL, layers=(5, 3)),
    "predict": replace(SMALL, predict=True, batch_size=20),
    "predict, sigmoid": replace(SMALL, predict=True, batch_size=20, loss="sigmoid_cross_entropy"),
    "predict, squared error": replace(SMALL, predict=True, batch_size=20, loss="squared_error"),
}


def check(peer, case):
    data = cases.make_data(case)
    library = peer(case, data)
    got = library.check()
    library.work(2)
    assert library.check() == got  # check restores the initial weights and state
    return got, cases.reference(case, data)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("peer", [ours.Peer, numpy_peer.Peer], ids=["ours", "numpy"])
def test_each_library_agrees_with_the_reference(peer, network, dtype):
    case = replace(NETWORKS[network], dtype=dtype)
    got, want = check(peer, case)
    assert cases.agree(case, got, want)
    assert len(got) == (cases.CHECKED_ROWS * case.layers[-1] if case.predict else cases.CHECKED_STEPS)


@pytest.mark.parametrize("name", ["notes", "online"])
def test_the_code_of_the_notes_agrees_with_the_reference(name):
    case = replace(cases.CASES[name], layers=(20, 6, 4))
    got, want = check(notes_peer.Peer, case)
    assert cases.agree(case, got, want)


def test_the_code_of_the_notes_predicts():
    case = replace(SMALL, activation="sigmoid")
    data = cases.make_data(case)
    peer = notes_peer.Peer(case, data)
    peer.reset()
    np.testing.assert_allclose(peer.predict(), cases.build(case, data, dtype="float64").predict(data.x), rtol=1e-6)


@pytest.mark.parametrize("peer", [ours.Peer, numpy_peer.Peer], ids=["ours", "numpy"])
def test_full_batch_training_agrees_with_the_reference(peer, monkeypatch):
    monkeypatch.setattr(cases, "MOST_SAMPLES", 4)
    assert SMALL.steps == 1
    got, want = check(peer, SMALL)
    assert cases.agree(SMALL, got, want)


@pytest.mark.parametrize("library", runner.PACKAGES)
@pytest.mark.parametrize("network", NETWORKS)
def test_each_framework_agrees_with_the_reference(library, network):
    for package in runner.PACKAGES[library]:
        pytest.importorskip(package, reason="needs fastfnn[peers]")
    import importlib

    peer = importlib.import_module(worker.MODULES[library]).Peer
    case = NETWORKS[network]
    try:
        got, want = check(peer, case)
    except worker.Unsupported:
        pytest.skip("the library cannot do it")
    assert cases.agree(case, got, want)


def test_onnxruntime_runs_on_the_threads_of_the_option(monkeypatch):
    for package in runner.PACKAGES["onnxruntime"]:
        pytest.importorskip(package, reason="needs fastfnn[peers]")
    from fastfnn.bench.onnx_peer import Peer

    case = NETWORKS["predict"]
    for threads in (1, 2):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        session = Peer(case, cases.make_data(case)).session
        assert session.get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize(
    "change",
    [{"optimizer": "adam"}, {"activation": "tanh"}, {"loss": "sigmoid_cross_entropy"}, {"init": "xavier"}],
    ids=lambda change: next(iter(change)),
)
def test_agree_detects_different_work(change):
    want = cases.reference(SMALL, cases.make_data(SMALL))
    other = replace(SMALL, **change)
    assert not cases.agree(SMALL, cases.reference(other, cases.make_data(other)), want)
    assert cases.agree(SMALL, want, want)
    assert not cases.agree(SMALL, want[:-1], want)
    assert not cases.agree(SMALL, [math.nan] * len(want), want)


@pytest.mark.parametrize("case", [SMALL, *cases.CASES.values()], ids=lambda case: case.name)
def test_agree_detects_a_different_learning_rate(case):
    if case.predict or case.name == "large":  # the large case is slow
        return
    data = cases.make_data(case)
    want = cases.reference(case, data)
    assert (np.diff(want) < 0).all()  # the learning rate is small enough for the loss to fall
    assert not cases.agree(case, cases.reference(replace(case, learning_rate=1.5 * case.learning_rate), data), want)


# A worker's answers


def test_a_worker_prepares_and_runs_a_case():
    process = worker.Worker("numpy")
    case = replace(SMALL, optimizer="adam")
    answer = process.answer({"do": "prepare", "case": asdict(case)})
    assert cases.agree(case, answer["check"], cases.reference(case, cases.make_data(case)))
    assert answer["versions"] == {"numpy": np.__version__}
    assert process.answer({"do": "run", "seconds": 0.001})["seconds_per_step"] > 0


def test_a_worker_answers_with_its_error(monkeypatch):
    assert "two layers" in worker.Worker("notes").answer({"do": "prepare", "case": asdict(SMALL)})["unsupported"]
    assert worker.Worker("numpy").answer({"do": "fly"}) == {"error": "ValueError: no such request: fly"}
    monkeypatch.setitem(worker.MODULES, "numpy", "fastfnn.bench.no_such_peer")
    answer = worker.Worker("numpy").answer({"do": "prepare", "case": asdict(SMALL)})
    assert answer["error"].startswith("ModuleNotFoundError: ")


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_peak_is_a_positive_number(dtype):
    assert 0 < backend.peak_flops(dtype, 0.001) < math.inf


def test_the_peak_without_the_jit_is_nan(monkeypatch):
    monkeypatch.setattr("numba.config.DISABLE_JIT", True)
    assert math.isnan(backend.peak_flops("float32"))


# The command


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Run the command with NumPy as the only peer; return its exit status, output and folder of files."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-c", "import sys; from fastfnn.cli import main; sys.exit(main())", "bench"]
    files = ["--json", str(folder / "bench.json"), "--plot", str(folder / "bench.png")]
    root = os.path.dirname(os.path.dirname(os.path.abspath(fnn.__file__)))
    done = subprocess.run(
        [*command, *OWN, "--peers", "numpy", "--threads", "1", *QUICK, *files],
        env=os.environ | {"PYTHONPATH": root},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, folder


def test_the_table_shows_every_case_and_library(measured):
    done, _ = measured
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("case "))
    row = lines[head + 1]
    assert row.startswith("custom")
    assert len(row) == len(lines[head])
    assert re.search(r"\d\.\d\dx", row)
    assert "float32: median of 2 rounds" in lines[0]
    assert "cores" in lines[1]
    assert f"numpy {np.__version__}" in lines[2]
    assert "round 2 of 2" in done.stderr


def test_the_json_file_holds_all_measurements(measured):
    result = json.loads((measured[1] / "bench.json").read_text("utf-8"))
    assert set(result) == {"date", "machine", "versions", "settings", "peak_gflops", "cases"}
    assert result["machine"]["cpu"] and result["machine"]["cores"] >= 1
    assert result["versions"]["fastfnn"] == fnn.__version__
    settings = {"dtype": "float32", "rounds": 2, "seconds": 0.001, "threads": 1, "peers": ["numpy"]}
    assert result["settings"] == settings | {"environment": runner.environment()}
    (case,) = result["cases"]
    assert (case["layers"], case["batch_size"], case["operations"]) == ([5, 4, 3], 64, 2 * 64 * 32)
    assert set(case["libraries"]) == {"fastfnn", "numpy"}
    for library in case["libraries"].values():
        assert len(library["us"]) == 2
        assert library["median_us"] == pytest.approx(sum(library["us"]) / 2)
        assert library["ratio"] == pytest.approx(library["median_us"] / case["libraries"]["fastfnn"]["median_us"])
        assert library["gflops"] == pytest.approx(case["operations"] / library["median_us"] / 1e3)


def test_the_environment_lists_variables_that_affect_libraries(monkeypatch):
    for name in runner.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("HOME_OF_OPENBLAS_", "elsewhere")
    assert runner.environment() == {"OPENBLAS_CORETYPE": "Haswell"}


def test_the_table_shows_variables_of_the_environment(measured):
    result = json.loads((measured[1] / "bench.json").read_text("utf-8"))
    result["settings"]["environment"] = {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"}
    assert "set in the environment: OPENBLAS_CORETYPE=Haswell, OMP_NUM_THREADS=1" in report.table(result)
    result["settings"]["environment"] = {}
    assert "set in the environment" not in report.table(result)


def test_the_chart_is_not_blank(measured):
    from matplotlib import image

    pixels = image.imread(measured[1] / "bench.png")
    assert min(pixels.shape[:2]) > 400
    colours = {
        tuple(colour) for colour in np.unique((255 * pixels[..., :3]).round().astype(int).reshape(-1, 3), axis=0)
    }
    for name in ("fastfnn", "numpy"):
        assert tuple(bytes.fromhex(report.COLOURS[name][1:])) in colours


def compared(**ratios):
    """A result with one case in which fastfnn takes 100 us and the others a multiple of that."""
    libraries = {
        name: {"us": [100 * ratio], "median_us": 100 * ratio, "ratio": ratio} for name, ratio in ratios.items()
    }
    return {
        "machine": {"cpu": "a processor", "cores": 2, "system": "a system"},
        "settings": {"dtype": "float32", "peers": list(ratios)},
        "cases": [{"name": "notes", "libraries": {"fastfnn": {"us": [100], "median_us": 100, "ratio": 1}} | libraries}],
    }


def texts_of(tmp_path, result):
    """The texts of the chart of a result, as an SVG."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none"}):
        report.plot(result, tmp_path / "chart.svg")
    return re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "chart.svg").read_text("utf-8"))


def test_the_chart_has_a_bar_with_its_ratio_for_each_library(tmp_path):
    texts = texts_of(tmp_path, compared(numpy=4.44, torch=0.98, jax=1, sklearn=123.4, onnxruntime=1234))
    assert {"4.4", "0.98", "1.0", "123", "1,234"} < set(texts)
    assert {"fastfnn", "NumPy", "PyTorch", "JAX", "scikit-learn", "ONNX Runtime"} < set(texts)
    assert {"notes", "100.0 us", "a processor, 2 cores, float32"} < set(texts)


def test_each_bar_of_the_chart_goes_from_fastfnns_time_to_that_of_a_library(monkeypatch):
    from matplotlib.figure import Figure

    figures, ratios = [], {"numpy": 4.44, "torch": 0.98, "sklearn": 123.4}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: figures.append(figure))
    report.plot(compared(**ratios), "unused.png")
    (axes,) = figures[0].axes
    bars = {bars.get_label(): bar for bars in axes.containers for bar in bars}
    assert bars.keys() == {report.TITLES[name] for name in ratios}
    for name, ratio in ratios.items():
        bar = bars[report.TITLES[name]]
        assert sorted([bar.get_x(), bar.get_x() + bar.get_width()]) == pytest.approx(sorted([1, ratio]))


def fake_processes(monkeypatch, broken, request="prepare"):
    """Replace the processes by workers in this process; that of `broken` fails at `request`."""

    class Process:
        def __init__(self, name, threads):
            self.name, self.worker = name, worker.Worker(name)

        def ask(self, **given):
            if self.name == broken and given["do"] == request:
                raise runner.PeerError("it fell over")
            answer = self.worker.answer(given)
            if "unsupported" in answer:
                raise runner.PeerUnsupportedError(answer["unsupported"])
            assert "error" not in answer
            return answer

        def close(self):
            pass

    monkeypatch.setattr(runner, "Process", Process)
    monkeypatch.setattr(runner, "PAUSE", 0)
    monkeypatch.setattr(backend, "peak_flops", lambda dtype: 1e9)


@pytest.mark.parametrize("request_", ["prepare", "run"])
@pytest.mark.parametrize("broken", ["numpy", "fastfnn"])
def test_a_failing_library_is_reported_and_the_others_run(monkeypatch, tmp_path, broken, request_):
    fake_processes(monkeypatch, broken, request_)
    case = replace(SMALL, activation="sigmoid")
    said = []
    result = runner.run([case], ["notes", "numpy"], rounds=2, seconds=0.001, say=said.append)
    libraries = result["cases"][0]["libraries"]
    assert libraries[broken]["error"] == "it fell over"
    assert "median_us" not in libraries[broken]
    assert all(len(library["us"]) == 2 for name, library in libraries.items() if name != broken)
    assert f"small: {broken}: it fell over" in said
    text = report.table(result)
    assert f"small, {report.TITLES[broken]}: it fell over" in text
    report.plot(result, tmp_path / "chart.png")
    json.dumps(result, allow_nan=False)


def test_a_case_that_a_library_cannot_do_is_left_out(monkeypatch):
    fake_processes(monkeypatch, broken=None)
    result = runner.run([SMALL], ["notes", "numpy"], rounds=1, seconds=0.001)
    assert "median_us" not in result["cases"][0]["libraries"]["notes"]
    assert result["cases"][0]["libraries"]["fastfnn"]["share_of_peak"] > 0
    assert "not for small: notes' code (f64): the notes train two layers" in report.table(result)


def test_a_library_with_different_results_is_reported(monkeypatch):
    fake_processes(monkeypatch, broken=None)
    monkeypatch.setattr(numpy_peer.Peer, "check", lambda self: [1.0] * cases.CHECKED_STEPS)
    result = runner.run([SMALL], ["numpy"], rounds=1, seconds=0.001)
    libraries = result["cases"][0]["libraries"]
    assert "computes something else" in libraries["numpy"]["error"]
    assert "median_us" in libraries["fastfnn"]


@pytest.mark.jit
def test_the_processes_train():
    result = runner.run([replace(SMALL, batch_size=1024)], ["numpy"], rounds=1, seconds=0.001)
    libraries = result["cases"][0]["libraries"]
    assert all(library["median_us"] > 0 for library in libraries.values())
    assert libraries["fastfnn"]["share_of_peak"] > 0


def test_a_process_that_ends_is_reported_with_its_last_output():
    process = runner.Process("no-such-library", None)
    try:
        with pytest.raises(runner.PeerError, match=r"its process ended with 1: .*KeyError: 'no-such-library'"):
            process.ask(do="prepare", case=asdict(SMALL))
    finally:
        process.close()


BAD = {
    "case": (["--case", "huge"], "--case must be one of notes, .*'huge'"),
    "peer": (["--peers", "numpy,matlab"], "--peers must be one of notes, .*'matlab'"),
    "dtype": (["--dtype", "float16"], "--dtype must be one of float32, float64; got 'float16'"),
    "rounds": (["--rounds", "0"], "--rounds must be at least 1, got 0"),
    "seconds": (["--seconds", "0"], "--seconds must be finite and above 0, got 0"),
    "seconds infinite": (["--seconds", "inf"], "--seconds must be finite and above 0, got inf"),
    "threads": (["--threads", "0"], "--threads must be at least 1, got 0"),
    "case and layers": (["--case", "notes", "--layers", "3,2"], "--case and --layers exclude each other"),
    "no layers": (["--batch-size", "10"], "--batch-size describes a network of your own and needs --layers"),
    "one layer": (["--layers", "3"], "--layers must have at least two entries"),
    "layers": (["--layers", "3,0"], "--layers must be at least 1, got 0"),
    "layers text": (["--layers", "a,b"], "expected integers separated by commas"),
    "batch size": (["--layers", "3,2", "--batch-size", "0"], "--batch-size must be at least 1, got 0"),
    "activation": (["--layers", "3,2", "--activation", "gelu"], "--activation must be one of .*'gelu'"),
    "loss": (["--layers", "3,2", "--loss", "hinge"], "--loss must be one of .*'hinge'"),
    "loss of no other library": (["--layers", "3,2", "--loss", "huber"], "--loss must be one of .*'huber'"),
    "optimizer": (["--layers", "3,2", "--optimizer", "lion"], "--optimizer must be one of sgd, adam; got 'lion'"),
    "json": (["--json", "no-such-folder/file"], "--json must name a file in an existing folder"),
    "plot": (["--plot", "."], "--plot must name a file, got the folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_input_exits_with_2_and_a_message(case, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "run", lambda *arguments, **options: pytest.fail("it ran"))
    arguments, message = BAD[case]
    assert status_of(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(rf"fastfnn bench: .*{message}", error)
    assert "Traceback" not in error


def test_a_peer_that_is_not_installed_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(runner, "installed", lambda: ("notes", "numpy"))
    assert status_of(["--peers", "torch"]) == 2
    assert capsys.readouterr().err == "fastfnn bench: torch cannot be imported: pip install 'fastfnn[peers]'\n"


def test_chart_without_matplotlib_is_refused_before_the_run(monkeypatch, tmp_path, capsys):
    for name in ("matplotlib", *(name for name in sys.modules if name.startswith("matplotlib."))):
        monkeypatch.setitem(sys.modules, name, None)
    assert status_of(["--plot", str(tmp_path / "chart.png")]) == 2
    assert "fastfnn[plot]" in capsys.readouterr().err


@pytest.mark.parametrize("module", ["fastfnn", "fastfnn.cli"])
def test_importing_the_package_does_not_import_the_benchmark(module):
    code = f"import {module}, sys; print(*(name for name in sys.modules if name.startswith('fastfnn.bench')))"
    root = os.path.dirname(os.path.dirname(os.path.abspath(fnn.__file__)))
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_the_benchmark_does_not_import_the_frameworks():
    code = "import sys, fastfnn.bench.report, fastfnn.bench.runner; print(*sys.modules)"
    root = os.path.dirname(os.path.dirname(os.path.abspath(fnn.__file__)))
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert {"torch", "jax", "sklearn", "onnxruntime", "onnx", "matplotlib"}.isdisjoint(done.stdout.split())
