"""tools/regress.py: how often its verdict errs, and that it builds, finds and reports what it should.

No test depends on the speed of this machine. The verdicts, also those of whole runs, are on simulated samples; of real
processes only the protocol is tested.
"""

import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from programs import ROOT, TOOLS, checkout, git, run, tool, write

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

builds, processes, verdict, report = map(tool, ("builds", "regress_processes", "regress_verdict", "regress_report"))
regress = tool("regress")


# How often the verdict errs


class Machine:
    """Simulates benchmarks of 1 ms with noise of every kind; `judge` is given the method `measure`.

    processes  standard deviation of the speed of a process
    samples    standard deviation of a sample
    bursts     share of the samples that are disturbed, by 30 % on average
    unlucky    share of the processes that are slower, and by how much
    slower     how much slower B truly is
    """

    def __init__(self, processes=0.01, samples=0.01, bursts=0.0, unlucky=(0.0, 0.0), slower=0.0):
        self.noise = processes, samples, bursts, unlucky
        self.slower, self.random, self.generations = slower, np.random.default_rng(0), 0

    def measure(self, names, _title):
        constant, samples, bursts, (share, much) = self.noise
        rounds = len(processes.ORDERS)
        size = len(names), rounds, 3
        logs = constant * self.random.standard_normal((len(names), 1, 3)) + samples * self.random.standard_normal(size)
        logs += np.cumsum(0.01 * self.random.standard_normal((len(names), rounds, 1)), axis=1)  # the clock rate drifts
        logs += (self.random.random(size) < bursts) * self.random.exponential(0.3, size)
        logs += much * (self.random.random((len(names), 1, 3)) < share)
        logs[:, :, verdict.B] += np.log1p(self.slower)
        self.generations += len(names)
        return dict(zip(names, 1e-3 * np.exp(logs), strict=True))


def share_of(word, machine, count):
    """The share of `count` benchmarks that get this verdict."""
    rows = verdict.judge([str(number) for number in range(count)], machine.measure, verdict.THRESHOLD)
    assert len(rows) == count
    return sum(row.verdict == word for row in rows) / count


NOISE = {
    "quiet": {},
    "bursts": {"bursts": 0.2},
    "processes": {"processes": 0.02, "samples": 0.02, "bursts": 0.1},
    "unlucky": {"unlucky": (0.1, 0.2)},
}


@pytest.mark.parametrize("kind", NOISE)
def test_false_alarms_are_rare(kind):
    # A run has about 50 verdicts: at most one run in 40 may raise a false alarm.
    assert share_of(verdict.SLOWER, Machine(**NOISE[kind]), 4000) <= 1 / 2000


@pytest.mark.parametrize("kind", NOISE)
def test_a_tenth_slower_is_found(kind):
    assert share_of(verdict.SLOWER, Machine(**NOISE[kind], slower=0.1), 500) >= 0.95


@pytest.mark.parametrize("kind", NOISE)
def test_this_noise_would_fool_a_single_generation(kind):
    # Otherwise the tests above would prove nothing.
    measured = Machine(**NOISE[kind]).measure([str(number) for number in range(4000)], "")
    alarms = [np.median(verdict.pairs_of(samples)[0]) > np.log1p(0.03) for samples in measured.values()]
    assert np.mean(alarms) > 1 / 200


def test_a_tenth_faster_is_found():
    assert share_of(verdict.FASTER, Machine(slower=1 / 1.1 - 1), 500) >= 0.95


def test_what_is_slower_by_less_than_the_threshold_is_not_a_regression():
    assert share_of(verdict.SLOWER, Machine(slower=0.03), 1000) <= 1 / 500


def test_a_threshold_is_kept():
    rows = verdict.judge([str(number) for number in range(500)], Machine(slower=0.1).measure, 0.15)
    assert sum(row.verdict == verdict.SLOWER for row in rows) == 0


def test_what_noise_hides_is_not_called_the_same():
    assert share_of(verdict.SAME, Machine(processes=0.15), 500) < 0.05


def test_most_benchmarks_of_a_quiet_machine_are_timed_once():
    machine = Machine(processes=0.008)
    share_of(verdict.SAME, machine, 1000)
    assert machine.generations < 1.5 * 1000


def test_the_order_of_rounds_is_balanced():
    for place in range(3):
        assert sorted(order[place] for order in processes.ORDERS) == [0, 0, 1, 1, 2, 2]


def test_the_estimate_is_the_ratio():
    samples = np.array([[1.0, 1.2, 1.0]] * 6)
    found = verdict.estimate([samples] * 5, 0.05)
    assert found.slower == pytest.approx(np.log(1.2))
    assert (found.noise, found.share) == (0, 1)


# Builds


def files_of(build):
    return {path.relative_to(build.site).as_posix() for path in build.site.rglob("*") if path.is_file()}


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit, and a change that is not committed."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    folder = checkout(tmp_path / "repository")
    (folder / "fastfnn/kernels").symlink_to("../kernels")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    (folder / "kernels/__init__.py").write_text("changed = True")
    (folder / "kernels/__pycache__").mkdir()
    (folder / "kernels/__pycache__/a.pyc").write_bytes(b"a")
    return folder


def test_a_commit_and_the_working_tree_are_built(repository, tmp_path):
    home = tmp_path / "home"
    old, new = builds.build("HEAD", home, repository), builds.build(str(repository), home, repository)
    assert old.folder != new.folder
    assert files_of(old) == files_of(new) == {"fastfnn/__init__.py", "fastfnn/kernels/__init__.py"}
    assert (old.site / "fastfnn/kernels/__init__.py").read_text() == ""
    assert (new.site / "fastfnn/kernels/__init__.py").read_text() == "changed = True"
    assert (old.title, new.title) == ("HEAD", "the working tree")


def test_the_same_files_are_built_once(repository, tmp_path):
    first = builds.build("HEAD", tmp_path / "home", repository)
    (first.cache / "code").touch()
    git(repository, "checkout", "--quiet", "--", ".")
    assert builds.build(str(repository), tmp_path / "home", repository).folder == first.folder
    assert (first.cache / "code").exists()
    assert list((tmp_path / "home").iterdir()) == [first.folder]


def test_old_builds_are_removed(tmp_path):
    for number in range(builds.KEPT + 2):
        (tmp_path / str(number)).mkdir()
        os.utime(tmp_path / str(number), (number, number))
    builds.remove_old_builds(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {str(number) for number in range(2, builds.KEPT + 2)}


def test_this_package_is_built_as_it_is_installed(tmp_path):
    build = builds.build(str(ROOT), tmp_path)
    want = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fastfnn").glob("*.py")}
    want |= {f"fastfnn/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "kernels").rglob("*.py")}
    assert want | {"fastfnn/data/mnist10k.npz"} <= files_of(build)
    code = "import fastfnn.kernels as k; print(k.__file__)"
    environment = os.environ | {"PYTHONPATH": str(build.site)}
    printed = run(sys.executable, "-P", "-c", code, cwd=tmp_path, environment=environment)
    assert pathlib.Path(printed.strip()) == build.site / "fastfnn/kernels/__init__.py"


def test_unknown_versions(repository, tmp_path):
    with pytest.raises(builds.BuildError, match="the version is 'nothing', expected a commit or a folder"):
        builds.build("nothing", tmp_path / "home", repository)
    git(repository, "rm", "--quiet", "--cached", "kernels/__init__.py")
    git(repository, "commit", "--quiet", "--message", "no kernels")
    with pytest.raises(builds.BuildError, match=r"HEAD cannot be exported: .*kernels"):
        builds.build("HEAD", tmp_path / "home", repository)


# The worker

SUITE = """
import fastfnn

class Loop:
    params = [[1, 1000], ["a", "b"]]
    param_names = ["count", "letter"]
    regress = [(1000, "a"), (1000, "b")]

    def setup(self, count, letter):
        self.count = count

    def time_loop(self, count, letter):
        for _ in range(self.count):
            fastfnn.work(count)

    def time_length(self, count, letter):
        len(range(self.count))

    def track_size(self, count, letter):
        raise AssertionError

class NotListed:
    def time_nothing(self):
        raise AssertionError

class Later:
    regress = [()]

    def setup(self):
        if not hasattr(fastfnn, "later"):
            raise NotImplementedError("fastfnn has no later")

    def time_later(self):
        print("must not be read as an answer")

class Broken:
    regress = [()]

    def time_broken(self):
        raise RuntimeError("broken")

class TornDown:
    regress = [()]

    def time_nothing(self):
        pass

    def teardown(self):
        raise RuntimeError("compiled inside the timed part")
"""
BAD = "class Bad:\n    param_names = ['size']\n    regress = [{}]\n    def time_bad(self, size): pass\n"


@pytest.fixture
def suite(tmp_path):
    modules = {"bench_a": SUITE, "bench_bad": BAD.format("3"), "bench_old": "import fastfnn.nothing", "__init__": ""}
    return write(tmp_path / "suite", {f"{name}.py": text for name, text in modules.items()})


@pytest.fixture
def process(suite, tmp_path):
    build = builds.build(str(checkout(tmp_path / "checkout")), tmp_path / "home")
    worker = processes.Process(build, suite, 1)
    yield worker
    worker.close()


def test_worker_lists_what_regress_names(process):
    answer = process.ask(do="list")
    assert answer["benchmarks"] == [
        *("Loop.time_length(1000, a)", "Loop.time_loop(1000, a)", "Loop.time_length(1000, b)"),
        *("Loop.time_loop(1000, b)", "Later.time_later()", "Broken.time_broken()", "TornDown.time_nothing()"),
    ]
    assert answer["broken"] == {
        "bench_bad": "ValueError: Bad.regress holds 3, expected tuples of (size)",
        "bench_old": "ModuleNotFoundError: No module named 'fastfnn.nothing'",
    }


def test_worker_times(process):
    name = "Loop.time_loop(1000, a)"
    assert 0 < process.ask(do="try", name=name)["seconds"] < 60
    assert 0 < process.ask(do="time", name=name, calls=2, seconds=0.001, pause=0)["seconds"] < 60


def test_worker_says_what_goes_wrong(process):
    assert process.ask(do="try", name="Later.time_later()") == {"absent": "fastfnn has no later"}
    assert process.ask(do="try", name="Broken.time_broken()") == {"error": "RuntimeError: broken"}
    torn = process.ask(do="try", name="TornDown.time_nothing()")
    assert torn == {"error": "RuntimeError: compiled inside the timed part"}
    assert "the request is {'do': 'dance'}, expected one of list" in process.ask(do="dance")["error"]


def test_worker_refuses_another_fastfnn(suite, tmp_path):
    other, site = checkout(tmp_path / "other"), tmp_path / "site"
    command = [sys.executable, processes.WORKER, suite, site]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(other)}, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"fastfnn was imported from {other / 'fastfnn/__init__.py'}, expected from {site}" in done.stderr


def test_a_worker_that_ends_says_its_last_words(tmp_path):
    build = builds.build(str(checkout(tmp_path / "checkout")), tmp_path / "home")
    worker = processes.Process(build, tmp_path / "no_suite", 1)
    try:
        with pytest.raises(
            processes.RegressError, match=r"the process with .*checkout ended with 1: .*FileNotFoundError"
        ):
            worker.ask(do="list")
    finally:
        worker.close()


# The run, with simulated processes


class Fake:
    """Replaces Process. The package of a build is JSON with its answers: seconds or words by name of the benchmark."""

    seeds = itertools.count()

    def __init__(self, build, _suite=None, _threads=None):
        self.build = build
        self.answers = json.loads((build.site / "fastfnn/__init__.py").read_text())
        self.random = np.random.default_rng(next(self.seeds))

    def ask(self, do, name="", **settings):
        if do == "list":
            return {"benchmarks": list(self.answers), "broken": {}}
        answer = self.answers[name]
        if answer == "ends":
            raise processes.RegressError("the process ended")
        if isinstance(answer, str):
            return dict([answer.split(": ", 1)])
        if answer < 0 and do == "time":
            return {"error": "late"}
        return {"seconds": abs(answer) * np.exp(0.002 * self.random.standard_normal())}

    def close(self):
        pass


@pytest.fixture
def compared(tmp_path, monkeypatch, capsys):
    """A function that runs the command on two versions with these answers; returns its status and its output."""
    monkeypatch.setattr(regress, "Process", Fake)
    monkeypatch.setattr(Fake, "seeds", itertools.count())

    def run(old, new, *options):
        for name, answers in (("old", old), ("new", new)):
            checkout(tmp_path / name, json.dumps(answers))
        places = ["--new", str(tmp_path / "new"), "--home", str(tmp_path / "home"), "--suite", str(tmp_path)]
        status = regress.main([str(tmp_path / "old"), *places, *options])
        return status, capsys.readouterr()

    return run


def lines_of(written):
    return [re.sub(" +", " ", line) for line in written.out.splitlines()]


def test_alike(compared):
    status, written = compared({"A.time_a(1)": 1e-3}, {"A.time_a(1)": 1e-3 + 1e-6})
    assert status == 0
    heading, row, summary = lines_of(written)
    assert heading == "benchmark base new ratio noise"
    assert re.fullmatch(r"A.time_a\(1\) (1 ms|99\d us) (1 ms|99\d us) (1.00|0.99)\d 0.\d % same", row)
    assert summary == "slower by more than 5 %: none, of 1 benchmarks"


def test_slower_comes_first(compared):
    old = {"A.time_a(1)": 1e-3, "A.time_b(2)": 1e-3, "A.time_c(3)": 1e-3}
    status, written = compared(old, old | {"A.time_b(2)": 1.2e-3, "A.time_c(3)": 0.8e-3})
    assert status == 1
    _, first, second, third, summary = lines_of(written)
    assert re.fullmatch(r"A.time_b\(2\) .* 1.(20|19)\d 0.\d % REGRESSION", first)
    assert re.fullmatch(r"A.time_c\(3\) .* 0.(80|79)\d 0.\d % faster", second)
    assert third.endswith("same")
    assert summary == "slower by more than 5 %: A.time_b(2), of 3 benchmarks, 1 faster"


def test_new_and_removed_are_no_error(compared):
    old = {"A.time_a(1)": 1e-3, "old": 1e-3, "gone": 1e-3, "new": "absent: no such kernel", "never": "absent: never"}
    new = {"A.time_a(1)": 1e-3, "old": "absent: not any more", "new": 1e-3, "fixed": 1e-3, "never": "absent: never"}
    status, written = compared(old | {"fixed": "error: it failed"}, new)
    assert status == 0
    assert lines_of(written)[1:5] == [
        "new new no such kernel",
        "fixed new the base fails: it failed",
        "old removed not any more",
        "gone removed not among its benchmarks",
    ]
    assert lines_of(written)[-1] == "slower by more than 5 %: none, of 1 benchmarks, 2 new, 2 removed"


@pytest.mark.parametrize(
    ("answer", "words"), [("error: it fails", "it fails"), (-1.0, "late"), ("ends", "it ends the process")]
)
def test_failures_of_the_new_version_are_errors(answer, words, compared):
    old = {"A.time_a(1)": 1e-3, "A.time_b(2)": 1e-3, "A.time_c(3)": 1e-3}
    status, written = compared(old, old | {"A.time_b(2)": answer})
    assert status == 2
    assert re.fullmatch(rf"A.time_b\(2\) ERROR .*{words}", lines_of(written)[1])
    assert len(lines_of(written)) == 5  # the others are measured
    assert lines_of(written)[-1].endswith("of 2 benchmarks; could not be measured: A.time_b(2)")


def test_only_the_benchmarks_asked_for(compared):
    status, written = compared({"A.time_a(1)": 1e-3, "B": 1e-3}, {"A.time_a(1)": 1e-3, "B": 2e-3}, "--bench", "time_")
    assert (status, len(lines_of(written))) == (0, 3)
    status, written = compared({"A": 1e-3}, {"A": 1e-3}, "--bench", "nothing")
    assert (status, written.out) == (2, "")
    assert "matches 'nothing'" in written.err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.5, "1.5 s"), (0.9999, "1 s"), (2.346e-3, "2.35 ms"), (0.99999e-3, "1 ms"), (1.2e-6, "1.2 us")],
)
def test_duration(seconds, text):
    assert report.duration(seconds) == text


def test_threshold_option(compared):
    assert compared({"A": 1e-3}, {"A": 1.2e-3}, "--threshold", "30")[0] == 0


def test_json(compared, tmp_path):
    compared({"A": 1e-3, "B": 1e-3}, {"A": 1.2e-3}, "--json", str(tmp_path / "out.json"))
    written = json.loads((tmp_path / "out.json").read_text())
    slow, removed = written["benchmarks"]
    assert (written["status"], slow["verdict"], removed["verdict"]) == (1, "REGRESSION", "removed")
    assert np.shape(slow["generations"]) == (verdict.CONVICT, 6, 3)
    assert slow["ratio"] == pytest.approx(1.2, rel=0.01)
    assert removed["ratio"] is None


def test_unknown_commit(tmp_path, capsys):
    assert regress.main(["no-such-commit", "--home", str(tmp_path)]) == 2
    assert "the version is 'no-such-commit', expected a commit or a folder" in capsys.readouterr().err


def test_a_real_run(suite, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "SAMPLE", 0.0005)
    monkeypatch.setattr(processes, "PAUSE", 0.0)
    old, new = checkout(tmp_path / "old"), checkout(tmp_path / "new", "later = True")
    arguments = [str(old), "--new", str(new), "--suite", str(suite), "--home", str(tmp_path / "home")]
    assert regress.main([*arguments, "--bench", "Later|length|Broken"]) == 2
    lines = [re.sub(" +", " ", line) for line in capsys.readouterr().out.splitlines()]
    assert "Later.time_later() new fastfnn has no later" in lines
    assert "Broken.time_broken() ERROR RuntimeError: broken" in lines
    assert sum(line.startswith("Loop.time_length") for line in lines) == 2
