"""`fastfnn bench --tabular`: all learners get the same rows, the report is complete, failures are reported.

Tables and networks are tiny; neither scores nor speed are tested here.
"""

import contextlib
import copy
import io
import json
import math
import os
import pathlib
import re

import numpy as np
import pytest

pytest.importorskip("pandas", reason="needs fastfnn[tables]")
pytest.importorskip("sklearn", reason="needs fastfnn[tables]")

from fastfnn import cli
from fastfnn.bench.tabular import data, learners, report, runner, step, worker
from fastfnn.bench.tabular.scores import scores
from fastfnn.bench.tabular.step import StepCase

SMALL = StepCase(members=2, hidden=(8, 8), batch_size=4, features=2, bins=3, width=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table of classes and one of numbers, both with a text column and missing values."""
    path, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    for name, classes in (("pets", True), ("prices", False)):
        lines = ["weight,kind,target"]
        for number in range(120):
            weight, kind = rng.normal(), rng.choice(["cat", "dog", "snake"])
            value = ("yes" if weight > 0.8 else "no") if classes else f"{weight + rng.normal():.4f}"
            lines.append(f"{'' if number % 10 == 0 else weight:.8},{'' if number % 15 == 0 else kind},{value}")
        (path / f"{name}.csv").write_text("\n".join(lines))
    return path


# Tables


def test_the_kind_of_the_target_is_found(folder):
    pets, prices = (data.load(folder / f"{name}.csv") for name in ("pets", "prices"))
    assert (pets.name, pets.classes, prices.classes) == ("pets", 2, 0)
    assert set(pets.y) == {0, 1} and prices.y.dtype == np.float64
    assert [str(dtype) for dtype in prices.x.dtypes] == ["float64", "category"]
    assert data.load(folder / "pets.csv", "weight").classes == 0
    assert len(data.load(folder / "pets.csv", "weight").y) == 108  # rows without a target are left out


def test_a_split_is_that_of_its_seed_and_stratified(folder):
    table = data.load(folder / "pets.csv")
    first, again, other = data.split(table, 0), data.split(table, 0), data.split(table, 1)
    assert list(first.x_test.index) == list(again.x_test.index) != list(other.x_test.index)
    assert sorted([*first.x_train.index, *first.x_test.index]) == list(range(120))
    assert len(first.y_test) == 24
    assert abs(first.y_test.mean() - table.y.mean()) < 1 / 24
    np.testing.assert_array_equal(table.y[first.x_test.index], first.y_test)


def test_the_only_row_of_a_class_is_for_training(folder):
    table = data.load(folder / "pets.csv")
    table = table._replace(y=np.where(np.arange(len(table.y)) == 7, 2, table.y), classes=3)
    for parts in (data.split(table, 0), data.for_study(table, 0)):
        assert list(parts.y_train).count(2) == 1 and 2 not in parts.y_test


@pytest.mark.parametrize("seed", [0, 1])
def test_the_study_never_sees_rows_of_the_test(folder, seed):
    table = data.load(folder / "pets.csv")
    test, study = data.split(table, seed).x_test.index, data.for_study(table, seed)
    assert not set(test) & {*study.x_train.index, *study.x_test.index}
    assert not set(study.x_train.index) & set(study.x_test.index)
    assert len(study.x_train) + len(study.x_test) + len(test) == 120


def test_a_table_is_found_by_its_name(folder, monkeypatch):
    assert data.find("pets", str(folder)) == folder / "pets.csv"
    monkeypatch.setenv(data.FOLDER_VARIABLE, str(folder))
    assert data.find("prices", None) == folder / "prices.csv"
    with pytest.raises(ValueError, match=r"--data must name files or tables: 'cars' is no file, in "):
        data.find("cars", None)
    monkeypatch.delenv(data.FOLDER_VARIABLE)
    with pytest.raises(ValueError, match="neither --data-folder nor FASTFNN_TABLES"):
        data.find("cars", None)


def test_scores_are_those_of_their_definitions():
    rmse = scores(np.array([1.0, 2.0]), np.array([1.0, 4.0]), 0)
    assert rmse == {"rmse": math.sqrt(2), "error": math.sqrt(2)}
    got = scores(np.array([0, 1, 1]), np.array([[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]]), 2)
    assert got["accuracy"] == pytest.approx(2 / 3) and got["error"] == pytest.approx(1 / 3)
    assert got["log_loss"] == pytest.approx(-(math.log(0.5) + math.log(0.8) + math.log(1e-15)) / 3)
    with pytest.raises(ArithmeticError, match="not finite"):
        scores(np.array([1.0]), np.array([math.nan]), 0)


# Learners


@pytest.mark.parametrize("table", ["pets", "prices"])
@pytest.mark.parametrize("name", ["boosting", "mlp"])
def test_each_learner_fits_mixed_columns(folder, name, table):
    process = worker.Worker(name)
    assert "scikit-learn" in process.answer({"do": "prepare"})["versions"]
    request = {"do": "fit", "file": str(folder / f"{table}.csv"), "target": None, "shared": None}
    first, again = (process.answer(request | {"seed": 0}) for _ in range(2))
    assert first["scores"] == again["scores"] != process.answer(request | {"seed": 1})["scores"]
    assert set(first["scores"]) == ({"rmse", "error"} if table == "prices" else {"accuracy", "log_loss", "error"})
    assert (first["epochs"] is None) == (name == "boosting")
    if name == "mlp":
        assert first["epoch_seconds"] == pytest.approx(first["seconds"] / first["epochs"])


def test_a_worker_answers_with_its_error(folder):
    assert worker.Worker("boosting").answer({"do": "fly"}) == {"error": "ValueError: no such request: fly"}
    missing = worker.Worker("boosting").answer({"do": "fit", "file": "none.csv", "target": None, "seed": 0})
    assert missing["error"].startswith("FileNotFoundError")


@pytest.mark.jit
@pytest.mark.parametrize("table", ["pets", "prices"])
def test_pytorchs_tabm_takes_the_samples_and_epochs_of_ours(folder, table, tmp_path):
    pytest.importorskip("tabm")
    ours, theirs = worker.Worker("fastfnn fast"), worker.Worker("tabm")
    for process in (ours, theirs):
        assert "versions" in process.answer({"do": "prepare"})
    request = {"do": "fit", "file": str(folder / f"{table}.csv"), "target": None, "seed": 0}
    nothing = theirs.answer(request | {"shared": str(tmp_path / "none.npz")})
    assert nothing == {"unsupported": "it takes the samples of fastfnn, with which no preset was compared"}
    shared = str(tmp_path / "shared.npz")
    left, got = ours.answer(request | {"shared": shared}), theirs.answer(request | {"shared": shared})
    assert got["epochs"] == left["epochs"]
    assert 0 <= got["scores"]["error"] < 2


def test_positions_become_the_numbers_between_the_knots():
    pytest.importorskip("tabm")
    from fastfnn.bench.tabular.tabm_learner import _Network

    features = [{"kind": "plain", "width": 1}, {"kind": "bins", "width": 2, "knots": [-1.0, 0.0, 4.0]}]
    settings = {"features": features, "hidden": [4], "members": 2, "scaled": False, "dropout": 0.0}
    x = np.array([[7, 0], [7, 0.5], [7, 1.5], [7, 2], [7, 2.5]], np.float32)
    got = _Network(settings, 1).numbers(x).numpy()
    np.testing.assert_array_equal(got, [[7, -1], [7, -0.5], [7, 2], [7, 4], [7, 6]])


class Prepared:
    """A worker of the comparison: that of fastfnn leaves a file on the first split, and fails on the second."""

    def __init__(self, name, *_):
        self.name = name

    def ask(self, do, seed=0, shared=None, **_):
        if do == "prepare":
            return {"versions": {}}
        if self.name == "fastfnn" and seed:
            raise runner.PeerError("it diverged")
        if self.name == "fastfnn":
            pathlib.Path(shared).touch()
        elif not os.path.exists(shared):
            raise runner.PeerUnsupportedError("no samples")
        return {"scores": {"rmse": 1.0, "error": 1.0}, "seconds": 1.0, "epochs": 1, "epoch_seconds": 1.0}

    def close(self):
        pass


def test_samples_of_another_split_are_never_taken(folder, monkeypatch):
    monkeypatch.setattr(runner.runner, "Process", Prepared)
    monkeypatch.setattr(runner, "PAUSE", 0)
    once, twice = (
        runner.run([folder / "prices.csv"], ["default"], ["tabm"], seeds=seeds)["tables"][0]["learners"]
        for seeds in (1, 2)
    )
    assert "scores" in once["fastfnn"] and "scores" in once["tabm"]
    assert twice == {"fastfnn": {"error": "it diverged"}, "tabm": {"unsupported": "no samples"}}


# The step


def test_the_operations_of_the_step_are_those_of_its_products():
    case = StepCase()
    assert case.operations == 2 * 3 * 256 * 16 * (128 * 256 + 2 * 256 * 256 + 256)
    assert "(D = 128)" in case.description


@pytest.mark.parametrize("scaled", [False, True])
def test_pytorchs_step_computes_what_ours_does(scaled):
    pytest.importorskip("tabm")
    from fastfnn.bench.tabular import step_torch

    case = StepCase(**vars(SMALL) | {"scaled": scaled})
    ours, theirs = step.Peer(case, step.OURS), step_torch.Peer(case, "torch")
    np.testing.assert_allclose(theirs.losses(), ours.losses(), rtol=1e-5)


@pytest.mark.jit
def test_a_worker_times_the_step():
    process = step.Worker(step.OURS)
    case = vars(SMALL) | {"hidden": [8, 8]}
    answer = process.answer({"do": "prepare", "case": case})
    assert len(answer["losses"]) == step.CHECKED_STEPS
    assert process.answer({"do": "run", "seconds": 0.001})["seconds_per_step"] > 0
    assert process.answer({"do": "land"}) == {"error": "ValueError: no such request: land"}


class Answering:
    """A process whose answers are given; losses of its first steps differ by library."""

    def __init__(self, name, *_):
        self.name = name

    def ask(self, do, **_):
        losses = {"fastfnn": [2.0, 1.0], "torch": [2.0002, 1.0], "torch-compiled": [2.0, 1.1]}[self.name]
        return {
            "prepare": {"losses": losses, "variant": "", "versions": {self.name: "1"}},
            "run": {"seconds_per_step": 0.002 if self.name == "torch" else 0.001},
            "peak": {"flops": 2.5e9},
        }[do]

    def close(self):
        pass


def test_the_step_is_compared_by_medians_and_other_work_is_refused(monkeypatch):
    monkeypatch.setattr(step.runner, "Process", Answering)
    monkeypatch.setattr(step.runner, "PAUSE", 0)
    result = step.run(SMALL, (step.OURS, *step.TORCH), rounds=2, seconds=1)
    ours, theirs, other = result["libraries"].values()
    assert (ours["median_us"], ours["ratio"], theirs["ratio"]) == (1000, 1, 2)
    assert ours["share_of_peak"] == pytest.approx(SMALL.operations * 1000 / 2.5e9)
    assert "computes something else" in other["error"] and "median_us" not in other
    assert "PyTorch TabM, compiled: it computes something else" in "\n".join(report.step_lines(result))


# The command


@pytest.fixture(scope="module")
def measured(folder):
    """Run the command with boosting and scikit-learn's network; return its output and the result."""
    files = ["--json", str(folder / "bench.json"), "--plot", str(folder / "bench.svg")]
    tables = ["--data", str(folder / "pets.csv"), "prices", "--data-folder", str(folder)]
    options = ["--tabular", *tables, "--presets", "", "--peers", "boosting,mlp", "--seeds", "2", "--threads", "1"]
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(runner, "PAUSE", 0)
        assert cli.main(["bench", *options, *files]) == 0
    return (out.getvalue(), err.getvalue()), json.loads((folder / "bench.json").read_text("utf-8")), folder


def test_the_command_prints_saves_and_draws(measured):
    (out, err), result, folder = measured
    assert set(result) == {"date", "machine", "versions", "settings", "tables", "step"}
    assert result["settings"]["learners"] == ["boosting", "mlp"] and result["step"] is None
    assert [table["name"] for table in result["tables"]] == ["pets", "prices"]
    for table in result["tables"]:
        for found in table["learners"].values():
            errors = [run["scores"]["error"] for run in found["runs"]]
            assert len(errors) == 2
            assert found["scores"]["error"]["mean"] == pytest.approx(np.mean(errors))
            assert found["scores"]["error"]["std"] == pytest.approx(np.std(errors, ddof=1))
    assert "pets: 120 rows, 2 columns, 2 classes, accuracy" in out
    assert re.search(r"^HistGradientBoosting .* 1\.000 ", out, re.MULTILINE)
    assert "prices, seed 1, mlp: error" in err
    assert os.path.getsize(folder / "bench.svg") > 10_000


def test_a_learner_without_scores_is_told_and_not_drawn(measured, tmp_path):
    result = copy.deepcopy(measured[1])
    result["tables"][0]["learners"]["mlp"] = {"error": "it ended"}
    assert "scikit-learn MLP: it ended" in report.text(result)
    report.plot(result, tmp_path / "chart.svg")


def test_each_learner_has_a_colour_of_its_own():
    names = ["fastfnn", "fastfnn best", *learners.PEERS]
    assert len(set(report.colours(names).values())) == len(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tabular"], "--tabular needs --data, the tables to compare on, or --step"),
        (["--tabular", "--data", "cars"], "'cars' is no file"),
        (["--tabular", "--step", "--peers", "numpy"], "--peers must be one of"),
        (["--tabular", "--step", "--presets", "better"], "--presets must be one of"),
        (["--tabular", "--step", "--seeds", "0"], "--seeds must be"),
        (["--tabular", "--step", "--case", "notes"], "--case does not go with --tabular"),
        (["--tabular", "--neighbours"], "--tabular does not go with --neighbours"),
        (["--data", "pets.csv"], "--data needs --tabular"),
        (["--presets", "best"], "--presets needs --tabular"),
    ],
)
def test_wrong_options_are_refused(options, message, capsys):
    assert cli.main(["bench", *options]) == 2
    assert message in capsys.readouterr().err
