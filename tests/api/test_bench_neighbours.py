"""`fastfnn bench --neighbours`: what is timed beside other processes, what is reported, and that no process is left.

Times are short; speed is not tested here.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn import cli
from fastfnn.bench import cases, runner
from fastfnn.bench import worker as plain_worker
from fastfnn.bench.neighbours import calls, command, confined, quota, report, states, verdict, worker
from fastfnn.bench.neighbours import runner as neighbours
from fastfnn.bench.neighbours.calls import CALLS, ONE_THREAD, OURS

LINUX = pytest.mark.skipif(not states.has_affinity(), reason="needs Linux")
TIMEOUT = 300  # seconds


def status_of(arguments):
    try:
        return cli.main(["bench", *arguments])
    except SystemExit as stopped:
        return stopped.code


def wait_until(condition):
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:  # a zombie is not alive
        return file.read().rpartition(")")[2].split()[0] != "Z"


# The calls


@pytest.mark.parametrize("name", CALLS)
def test_each_call_runs_and_its_description_is_a_line(name):
    call = CALLS[name]
    small = replace(call, layers=(6, 5, 3)[: len(call.layers)], batch_size=4)
    for library in (OURS, ONE_THREAD):
        action, versions = calls.prepared(library, small)
        action()
        action()
        assert versions == {"fastfnn": fnn.__version__}
    assert re.fullmatch(r"[\w ,.-]+", call.description)


def test_a_call_takes_the_steps_that_its_name_says():
    assert (CALLS["fit"].steps, CALLS["fit"].samples) == (4, 400)
    assert all(call.steps == 1 for name, call in CALLS.items() if name != "fit")


def test_a_fit_trains_four_steps(monkeypatch):
    lengths = []
    plain = fnn.FNN.fit

    def fit(net, *arguments, **options):
        history = plain(net, *arguments, **options)
        lengths.append(len(history.step_loss))
        return history

    monkeypatch.setattr(fnn.FNN, "fit", fit)
    calls.prepared(OURS, CALLS["fit"])[0]()
    assert lengths == [4]


def test_layers_compute_the_gradient_of_the_network():
    call = replace(CALLS["layers"], layers=(6, 5, 3), batch_size=4)
    data = cases.make_data(call)
    dout = calls._by_layers(data)()
    (weight1, bias1), (weight2, bias2) = data.weights
    hidden = 1 / (1 + np.exp(-(data.x @ weight1 + bias1)))
    logits = hidden @ weight2 + bias2
    y = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    delta = (y - np.eye(3)[data.targets]) / 4
    want = (delta @ weight2.T * hidden * (1 - hidden)) @ weight1.T
    np.testing.assert_allclose(dout, want, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", ["fit", "partial_fit", "predict-64"])
@pytest.mark.parametrize("library", calls.PEERS)
def test_peers_train_and_predict(library, name):
    for package in runner.PACKAGES.get(library, []):
        pytest.importorskip(package)
    call = replace(CALLS[name], layers=(6, 5, 3), batch_size=4)
    if library == "onnxruntime" and not call.predict:
        with pytest.raises(plain_worker.Unsupported, match="predicts only"):
            calls.prepared(library, call)
    else:
        action, versions = calls.prepared(library, call)
        action()
        assert library in versions


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "identity"])
def test_onnxruntime_predicts_what_the_reference_predicts(activation, loss):
    for package in runner.PACKAGES["onnxruntime"]:
        pytest.importorskip(package)
    from fastfnn.bench.onnx_peer import Peer

    call = replace(CALLS["predict-64"], layers=(6, 5, 3), batch_size=12, activation=activation, loss=loss)
    data = cases.make_data(call)
    assert cases.agree(call, Peer(call, data).check(), cases.reference(call, data))


def test_a_peer_has_no_gradient():
    with pytest.raises(plain_worker.Unsupported, match="train and predict only"):
        calls.prepared("numpy", CALLS["gradient"])


# A worker's answers


def prepared_worker(library="numpy", names=("partial_fit", "loss")):
    process = worker.Worker(library)
    return process, process.answer({"do": "prepare", "calls": list(names), "dtype": "float32"})


def test_a_worker_times_each_call():
    process, answer = prepared_worker()
    assert answer["versions"] == {"numpy": np.__version__}
    assert answer["absent"] == {"loss": "peers train and predict only"}
    us = process.answer({"do": "run", "call": "partial_fit", "seconds": 0.001, "pause": 0})["us"]
    assert len(us) >= worker.FEWEST_CALLS and min(us) > 0


def test_the_pause_comes_before_each_call_and_is_not_timed(monkeypatch):
    events = []
    monkeypatch.setattr(worker.time, "sleep", lambda seconds: events.append(seconds))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: float(len(events)))
    took = worker._times(lambda: events.append("call"), 0.0, 0.002)
    assert events == [0.002, "call"] * worker.FEWEST_CALLS
    assert took == [1.0] * worker.FEWEST_CALLS  # the clock goes on by 1 for each event


def test_a_worker_works_until_it_shall_rest():
    for library in (worker.SPIN, "numpy"):
        process, answer = prepared_worker(library, [calls.TRAINING.name])
        assert answer["absent"] == {}
        count = []
        action = process.calls[calls.TRAINING.name]
        process.calls[calls.TRAINING.name] = lambda count=count, action=action: count.append(action())
        assert process.answer({"do": "work"}) == {}
        wait_until(lambda count=count: len(count) > 2)
        assert process.answer({"do": "rest"}) == {}
        rested = len(count)
        time.sleep(0.05)
        assert len(count) == rested


def test_a_worker_answers_with_its_error():
    process, _ = prepared_worker()
    assert process.answer({"do": "fly"}) == {"error": "ValueError: no such request: fly"}
    assert process.answer({"do": "work"}) == {"unsupported": "numpy does not train"}


# Limits


@LINUX
def test_a_limit_holds_before_the_import_and_no_module_is_shadowed(tmp_path):
    last = states.cpus()[-1]
    code = (
        "import os, runpy, sys\n"
        "runpy.run_module = lambda name, run_name: print(name, os.sched_getaffinity(0), 'numpy' in sys.modules)\n"
        f"sys.argv = ['confined.py', 'numpy', 'cpu', '{last}']\n"
        f"exec(compile(open({confined.__file__!r}).read(), 'confined', 'exec'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == f"fastfnn.bench.neighbours.worker {{{last}}} False\n"


@LINUX
def test_a_process_is_pinned_with_all_its_threads(monkeypatch):
    pinned = {}
    monkeypatch.setattr(worker.os, "sched_setaffinity", lambda thread, cpus: pinned.update({thread: cpus}))
    assert worker.Worker("numpy").answer({"do": "pin", "cpu": 0}) == {}
    assert pinned == {int(name): {0} for name in os.listdir("/proc/self/task")}


def write_proc(monkeypatch, tmp_path, mounts, memberships):
    """Let quota.py read these tables of mounts and groups; returns the folders that it removes, with their files."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/mountinfo").write_text(mounts)
    (tmp_path / "proc/cgroup").write_text(memberships)
    monkeypatch.setattr(quota, "PROC", tmp_path / "proc")
    removed = []
    monkeypatch.setattr(type(tmp_path), "rmdir", lambda self: removed.append(self))
    return removed


def test_a_quota_by_version_2_of_control_groups(monkeypatch, tmp_path):
    removed = write_proc(monkeypatch, tmp_path, f"1 2 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw", "0::/user/session")
    (tmp_path / "user/session").mkdir(parents=True)
    (tmp_path / "user/session/cgroup.subtree_control").write_text("memory")
    (tmp_path / "user/cgroup.subtree_control").write_text("memory cpu")
    with quota.one_cpu() as group:
        assert group == tmp_path / f"user/fastfnn-bench-{os.getpid()}"
        assert (group / "cpu.max").read_text() == "100000 100000"
        assert not removed
    assert removed == [group]


def test_a_quota_by_version_1_of_control_groups(monkeypatch, tmp_path):
    write_proc(monkeypatch, tmp_path, f"1 2 0:1 / {tmp_path} rw - cgroup cgroup rw,cpu,cpuacct", "3:cpu,cpuacct:/own")
    (tmp_path / "own").mkdir()
    with quota.one_cpu() as group:
        assert group.parent == tmp_path / "own"
        assert (group / "cpu.cfs_quota_us").read_text() == (group / "cpu.cfs_period_us").read_text() == "100000"


def test_groups_of_runs_that_were_killed_are_removed(monkeypatch, tmp_path):
    removed = write_proc(monkeypatch, tmp_path, f"1 2 0:1 / {tmp_path} rw - cgroup cgroup rw,cpu", "3:cpu:/")
    monkeypatch.setattr(quota, "PROC", tmp_path / "proc/self")
    (tmp_path / "proc/7").mkdir()
    for name in ("fastfnn-bench-7", "fastfnn-bench-8", "other-8"):
        (tmp_path / name).mkdir()
    quota._remove_abandoned(tmp_path)
    assert removed == [tmp_path / "fastfnn-bench-8"]


@pytest.mark.parametrize("mounted", [True, False])
def test_no_quota_without_the_right_to_make_one(monkeypatch, tmp_path, mounted):
    mounts = f"1 2 0:1 / {tmp_path}/absent rw - cgroup cgroup rw,cpu" if mounted else ""
    write_proc(monkeypatch, tmp_path, mounts, "3:cpu:/")
    message = "cannot be made: No such file or directory: " if mounted else "no control groups with the controller cpu"
    with pytest.raises(quota.QuotaError, match=message), quota.one_cpu():
        pass


# The run, with workers in this process


class FakeProcess:
    """A worker that has times of its own and keeps a record of all requests."""

    record: list[tuple[str, str]]

    def __init__(self, name, threads, arguments):
        self.name = name
        self.options = tuple(arguments[3:])
        assert threads == (1 if name == ONE_THREAD else None)
        self.record.append((name, "start", *self.options))

    def ask(self, do, **request):
        self.record.append((self.name, do, *map(str, request.values())))
        if (self.name, do) == self.broken:
            raise runner.PeerError("it fell over")
        if do == "prepare":
            absent = {"loss": "no loss"} if self.name == "numpy" and "loss" in request["calls"] else {}
            return {"versions": {self.name: "1"}, "absent": absent}
        return {"us": self.times(self.name, do, request)} if do == "run" else {}

    def close(self):
        self.record.append((self.name, "close"))


@pytest.fixture
def fake(monkeypatch):
    """Replace the processes; returns a class whose attributes say what they do."""

    class Fake(FakeProcess):
        record: ClassVar = []
        broken = None

        @staticmethod
        def times(name, do, request):
            return [100.0] * 99 + [200.0]

    monkeypatch.setattr(runner, "Process", Fake)
    monkeypatch.setattr(neighbours, "PAUSE", 0)
    monkeypatch.setattr(neighbours, "SETTLING", 0)
    monkeypatch.setattr(neighbours.states, "cpus", lambda: [3, 5])
    monkeypatch.setattr(neighbours.states, "has_affinity", lambda: True)
    monkeypatch.setattr(neighbours.os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    return Fake


def measure(names, *, peers=("numpy",), chosen=("fit", "loss"), rounds=2, **options):
    return neighbours.run(
        calls.chosen(chosen, "float32"), states.chosen(names), peers, rounds=rounds, seconds=0.01, **options
    )


def test_figures_are_those_of_all_rounds(fake):
    by_round = iter([[1.0, 3.0], [5.0, 7.0, 9.0]])
    fake.times = staticmethod(lambda name, do, request: next(by_round) if name == OURS else [2.0])
    result = measure(["quiet"], chosen=["fit"])
    figures = result["calls"][0]["states"]["quiet"]["fastfnn"]
    assert (figures["calls"], figures["median_us"], figures["mean_us"], figures["max_us"]) == (5, 5, 5, 9)
    assert figures["p99_us"] == np.percentile([1, 3, 5, 7, 9], 99)
    assert figures["round_means_us"] == [2, 7]
    assert figures["times_one_thread"] == 2.5


def test_states_and_libraries_take_turns(fake):
    measure(["quiet", "pause"], chosen=["fit"])
    runs = [(entry[0], entry[-1]) for entry in fake.record if entry[1] == "run"]
    libraries = (OURS, ONE_THREAD, "numpy")
    assert runs == [(name, pause) for pause in ("0.0", "0.002") for name in libraries] * 2


def test_a_neighbour_works_during_the_calls_only(fake):
    measure(["quiet", "busy"], chosen=["fit"], rounds=1)
    steps = [entry[:2] for entry in fake.record if entry[1] in ("run", "work", "rest")]
    beside = [(worker.SPIN, "work"), (OURS, "run"), (worker.SPIN, "rest")]
    assert steps[:6] == [(OURS, "run"), (ONE_THREAD, "run"), ("numpy", "run"), *beside]


def test_one_thread_has_the_same_neighbour_as_all_threads(fake):
    measure(["training"], chosen=["fit"], rounds=1)
    steps = [entry[:2] for entry in fake.record if entry[1] in ("run", "work", "rest")][3:]
    assert steps == [
        *[(OURS, "work"), (OURS, "run"), (OURS, "rest")],
        *[(OURS, "work"), (ONE_THREAD, "run"), (OURS, "rest")],
        *[("numpy", "work"), ("numpy", "run"), ("numpy", "rest")],
    ]
    assert sum(entry[:2] == (OURS, "start") for entry in fake.record) == 2  # the one that is timed, and the neighbour


def test_limits_reach_the_processes(fake, monkeypatch, tmp_path):
    @quota.contextlib.contextmanager
    def one_cpu():
        yield tmp_path

    monkeypatch.setattr(neighbours.quota, "one_cpu", one_cpu)
    measure(["busy-pinned", "quota", "affinity", "late-affinity"], peers=(), chosen=["fit"], rounds=1)
    starts = [entry[2:] for entry in fake.record if entry[:2] == (OURS, "start")]
    assert starts == [(), ("group", str(tmp_path)), ("cpu", "3"), ()]
    assert (worker.SPIN, "start", "cpu", "5") in fake.record
    ours = [entry for entry in fake.record if entry[0] == OURS]
    assert ours[ours.index((OURS, "pin", "3")) + 1][1] == "prepare"


def test_states_that_cannot_be_had_are_left_out_with_the_reason(fake, monkeypatch):
    monkeypatch.setattr(neighbours.states, "has_affinity", lambda: False)
    monkeypatch.setattr(quota, "_places", lambda: [])
    said = []
    result = measure(["busy-pinned", "quota", "affinity"], peers=(), say=said.append)
    assert result["settings"]["states"] == ["quiet"]
    assert [line.partition(":")[0] for line in result["remarks"]] == [
        "without busy-pinned",
        "without quota",
        "without affinity",
    ]
    assert set(result["remarks"]) < set(said) and all(line in report.table(result) for line in result["remarks"])


def test_a_machine_that_is_not_quiet_is_reported(fake, monkeypatch):
    monkeypatch.setattr(neighbours.os, "getloadavg", lambda: (1.25, 0.0, 0.0), raising=False)
    assert "its load was 1.2" in report.table(measure(["quiet"]))


@pytest.mark.parametrize("request_", ["prepare", "run"])
@pytest.mark.parametrize("broken", [OURS, "numpy", worker.SPIN])
def test_a_failing_process_is_reported_and_the_others_run(fake, broken, request_):
    fake.broken = (broken, request_ if broken != worker.SPIN else "work")
    result = measure(["quiet", "busy"])
    by_library = result["calls"][0]["states"]["busy"]
    failed = set(by_library) if broken == worker.SPIN else {broken}
    assert {name for name, figures in by_library.items() if figures.get("error") == "it fell over"} == failed
    assert "it fell over: fit (" in report.table(result)
    assert {entry["promise"] for entry in result["broken"]} == (set() if broken == "numpy" else {"error"})
    json.dumps(result, allow_nan=False)


def test_every_process_is_closed_whatever_happens(fake):
    for failure in (KeyboardInterrupt, ZeroDivisionError):
        fake.record.clear()

        def fail(name, do, request, failure=failure):
            if any(entry[:2] == (worker.SPIN, "work") for entry in fake.record):
                raise failure
            return [1.0]

        fake.times = staticmethod(fail)
        with pytest.raises(failure):
            measure(["quiet", "busy", "training"])
        started = [entry[0] for entry in fake.record if entry[1] == "start"]
        closed = [entry[0] for entry in fake.record if entry[1] == "close"]
        assert sorted(started) == sorted(closed) and worker.SPIN in closed


# The verdict


def figures_of(states_, **changed):
    """Calls with figures within the limits in all states; `changed` has others by state."""
    good = {"mean_us": 100.0, "times_quiet": 1.0, "p99_over_quiet_us": 50.0, "times_one_thread": 0.6}
    return [{"name": "fit", "states": {name: {OURS: good | changed.get(name, {})} for name in states_}}]


@pytest.mark.parametrize(
    ("state", "figure", "within", "beyond"),
    [
        ("busy", "times_quiet", 2.5, 2.6),
        ("busy-pinned", "times_quiet", 2.5, 2.6),
        ("training", "p99_over_quiet_us", 10_000, 10_001),
        ("quota", "p99_over_quiet_us", 10_000, 10_001),
        ("affinity", "times_quiet", 2.5, 2.6),
        ("late-affinity", "times_quiet", 2.5, 2.6),
        ("quiet", "times_one_thread", 1.3, 1.31),
        ("pause", "times_one_thread", 1.3, 1.31),
        ("busy", "times_one_thread", 1.3, 1.31),
    ],
)
def test_a_figure_beyond_its_limit_is_broken(state, figure, within, beyond):
    names = list(states.STATES)
    assert verdict.broken(figures_of(names)) == []
    assert verdict.broken(figures_of(names, **{state: {figure: within}})) == []
    (found,) = verdict.broken(figures_of(names, **{state: {figure: beyond}}))
    assert (found.call, found.state, found.promise, found.value) == ("fit", state, figure, beyond)
    assert found.limit == within


def test_a_pause_is_compared_with_an_earlier_version_only():
    now = figures_of(["quiet", "pause"], pause={"mean_us": 200.0, "times_quiet": 9.0, "p99_over_quiet_us": 1e6})
    assert verdict.broken(now) == []
    assert verdict.broken(now, now) == []
    (found,) = verdict.broken(now, figures_of(["pause"]))
    assert (found.promise, found.value) == ("times_before", 2.0)


def test_ratios_are_those_of_means(fake):
    means = {(OURS, 0): 10.0, (ONE_THREAD, 0): 20.0, (OURS, 0.002): 30.0, (ONE_THREAD, 0.002): 60.0}
    fake.times = staticmethod(lambda name, do, request: [means[name, request["pause"]]])
    result = measure(["pause"], peers=(), chosen=["fit"])
    ours = result["calls"][0]["states"]["pause"][OURS]
    assert (ours["times_quiet"], ours["p99_over_quiet_us"], ours["times_one_thread"]) == (3, 20, 0.5)
    alone = result["calls"][0]["states"]["pause"][ONE_THREAD]
    assert (alone["times_quiet"], alone["times_one_thread"]) == (3, None)


# The command


def test_the_exit_status_says_whether_a_promise_is_broken(fake, tmp_path, capsys):
    def slow_when_busy(name, do, request):
        works = [entry[1] for entry in fake.record if entry[0] == worker.SPIN]
        return [9000.0 if name == OURS and works and works[-1] == "work" else 100.0] * 10

    quick = ["--neighbours", "--peers", "", "--calls", "fit", "--states", "busy", "--rounds", "1"]
    assert status_of(quick) == 0
    assert "all calls of fastfnn are within what is promised" in capsys.readouterr().out
    fake.times = staticmethod(slow_when_busy)
    file = tmp_path / "found.json"
    assert status_of([*quick, "--json", str(file)]) == 1
    out = capsys.readouterr().out
    assert "! fit, beside a busy process: mean 90.00 times that on one thread (at most 1.3), mean 90.0 times" in out
    assert re.search(
        r"^busy !  fastfnn  +9,000  9,000  9,000  9,000     10   90\.00x        8,900      90\.00x$", out, re.M
    )
    assert {entry["promise"] for entry in json.loads(file.read_text())["broken"]} == {"times_quiet", "times_one_thread"}
    assert status_of([*quick, "--no-fail"]) == 0
    assert status_of([*quick, "--before", str(file)]) == 1


def test_the_json_file_says_where_and_when(fake, tmp_path):
    file = tmp_path / "found.json"
    assert status_of(["--neighbours", "--peers", "numpy", "--states", "busy", "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert set(result) == {"date", "machine", "versions", "settings", "calls", "broken", "remarks"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", result["date"]) and result["machine"]["cpu"]
    assert result["settings"]["rounds"] == command.ROUNDS and result["settings"]["states"] == ["quiet", "busy"]
    assert [call["name"] for call in result["calls"]] == list(CALLS)
    loss = result["calls"][list(CALLS).index("loss")]["states"]["busy"]
    assert loss["numpy"] == {"unsupported": "no loss"} and loss[OURS]["calls"] == 100 * command.ROUNDS


BAD = {
    "call": (["--neighbours", "--calls", "fly"], "--calls must be one of fit, .*'fly'"),
    "state": (["--neighbours", "--states", "loud"], "--states must be one of quiet, .*'loud'"),
    "peer": (["--neighbours", "--peers", "sklearn"], "--peers must be one of numpy, .*'sklearn'"),
    "dtype": (["--neighbours", "--dtype", "int8"], "--dtype must be one of float32, float64; got 'int8'"),
    "rounds": (["--neighbours", "--rounds", "0"], "--rounds must be at least 1, got 0"),
    "seconds": (["--neighbours", "--seconds", "nan"], "--seconds must be finite and above 0, got nan"),
    "case": (["--neighbours", "--case", "notes"], "--case does not go with --neighbours"),
    "threads": (["--neighbours", "--threads", "1"], "--threads does not go with --neighbours"),
    "layers": (["--neighbours", "--layers", "3,2"], "--layers does not go with --neighbours"),
    "plot": (["--neighbours", "--plot", "a.png"], "--plot does not go with --neighbours"),
    "calls alone": (["--calls", "fit"], "--calls needs --neighbours"),
    "states alone": (["--states", "busy"], "--states needs --neighbours"),
    "no fail alone": (["--no-fail"], "--no-fail needs --neighbours"),
    "before alone": (["--before", "a.json"], "--before needs --neighbours"),
    "before absent": (["--neighbours", "--before", "a.json"], "No such file or directory: 'a.json'"),
    "before text": (["--neighbours", "--before", "text"], "--before must name a result of fastfnn bench --neighbours"),
    "before other": (["--neighbours", "--before", "other"], "--before must name a result .*, got other"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_input_exits_with_2_and_a_message(case, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("{")
    (tmp_path / "other").write_text('{"cases": []}')
    for module in (runner, neighbours):
        monkeypatch.setattr(module, "run", lambda *arguments, **options: pytest.fail("it ran"))
    arguments, message = BAD[case]
    assert status_of(arguments) == 2
    assert re.search(rf"fastfnn bench: .*{message}", capsys.readouterr().err)


def test_a_peer_that_is_not_installed_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(neighbours, "installed", lambda: ("numpy",))
    assert status_of(["--neighbours", "--peers", "onnxruntime"]) == 2
    assert "onnxruntime cannot be imported: pip install onnxruntime onnx" in capsys.readouterr().err


# Real processes


def command_line(*arguments):
    return [sys.executable, "-c", "import sys; from fastfnn.cli import main; sys.exit(main())", "bench", *arguments]


@pytest.fixture
def environment():
    root = os.path.dirname(os.path.dirname(os.path.abspath(fnn.__file__)))
    return os.environ | {"PYTHONPATH": root}


@pytest.mark.jit
def test_a_whole_run(environment, tmp_path):
    arguments = ["--neighbours", "--peers", "", "--calls", "partial_fit,kernel", "--states", "busy,training,pause"]
    files = ["--rounds", "1", "--seconds", "0.005", "--json", "found.json", "--no-fail"]
    line = command_line(*arguments, *files)
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "found.json").read_text())
    for call in result["calls"]:
        assert list(call["states"]) == ["quiet", "busy", "training", "pause"]
        for libraries in call["states"].values():
            for name in (OURS, ONE_THREAD):
                assert libraries[name]["calls"] >= worker.FEWEST_CALLS
                assert 0 < libraries[name]["median_us"] <= libraries[name]["max_us"]
    assert result["versions"]["fastfnn"] == fnn.__version__


@LINUX
@pytest.mark.jit
def test_a_run_on_one_cpu(environment, tmp_path):
    arguments = ["--neighbours", "--peers", "", "--calls", "kernel", "--states", "affinity,late-affinity"]
    line = command_line(*arguments, "--rounds", "1", "--seconds", "0.005", "--no-fail")
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^(late-)?affinity( !)? +fastfnn .* \d", done.stdout, re.M)) == 2
    assert "failed" not in done.stdout


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return list(map(int, file.read().split()))


@LINUX
@pytest.mark.jit
@pytest.mark.parametrize(
    ("number", "seconds", "processes"),
    [(signal.SIGINT, "0.2", 3), (signal.SIGTERM, "0.2", 3), (signal.SIGKILL, "0.2", 3), (signal.SIGKILL, "600", 1)],
)
def test_no_process_is_left_after_a_signal(number, seconds, processes, environment, tmp_path):
    """With the third process, the busy one, in a long run; or in the midst of a measurement."""
    arguments = ["--neighbours", "--peers", "", "--calls", "kernel", "--states", "busy", "--rounds", "10000"]
    line = command_line(*arguments, "--seconds", seconds)
    with subprocess.Popen(line, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: process.poll() is not None or len(children(process.pid)) >= processes)
            time.sleep(3)  # it imports the library
            started = children(process.pid)
            process.send_signal(number)
            process.wait(TIMEOUT)
        finally:
            process.kill()
    assert len(started) >= processes
    wait_until(lambda: not any(map(alive, started)))
