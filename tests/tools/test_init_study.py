"""tools/init_study.py: what it reads, trains and reports. The study itself is not repeated."""

import gzip
import pathlib

import numpy as np
import pytest
from programs import ROOT, TOOLS, tool

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

study, data, report = map(tool, ("init_study", "init_study_data", "init_study_report"))


def write_tables(folder):
    """Tables named as two of the study: a regression with a category and missing values, and two classes."""
    random = np.random.default_rng(0)
    lines = {"abalone": ["Sex,Length,Rings"], "credit_g": ["a,b,class"]}
    for i in range(50):
        a, b = random.standard_normal(2)
        lines["abalone"].append(f"{'MFI'[i % 3]},{'' if i == 7 else f'{a:.3f}'},{3 * a + i % 3:.3f}")
        lines["credit_g"].append(f"{a:.3f},{b:.3f},{'good' if a > b else 'bad'}")
    for name, text in lines.items():
        with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
            file.write("\n".join(text) + "\n")
    return folder


def run_of(init, seed, score, name="abalone", scale=2.0, test_rows=10):
    return report.Run(name, "relu", "adamw", init, seed, test_rows, scale, 1, score, 0.0)


# Data


def test_categories_become_one_hot_columns_and_empty_cells_nan(tmp_path):
    table = data.load("abalone", write_tables(tmp_path))
    assert table.rows.shape == (50, 4)
    np.testing.assert_array_equal(table.rows[:3, :3], [[0, 0, 1], [1, 0, 0], [0, 1, 0]])  # M, F, I of F, I, M
    assert np.flatnonzero(np.isnan(table.rows[:, 3])).tolist() == [7]
    assert table.classes == 0


def test_classes_are_numbered_in_the_order_of_their_names(tmp_path):
    table = data.load("credit_g", write_tables(tmp_path))
    assert table.classes == 2
    np.testing.assert_array_equal(table.targets, table.rows[:, 0] > table.rows[:, 1])  # bad 0, good 1


def test_the_shipped_digits_keep_their_pixels():
    table = data.load("mnist10k", None)
    assert table.rows.shape == (10_000, 784)
    assert not table.standardize


def test_a_table_without_its_folder_is_an_error():
    with pytest.raises(ValueError, match=r"^abalone needs the folder"):
        data.load("abalone", None)


def test_split_scales_by_the_training_part_alone(tmp_path):
    table = data.load("abalone", write_tables(tmp_path))
    parts = data.split(table, 3)
    assert [len(rows) for rows, _ in parts[:3]] == [32, 8, 10]
    rows, targets = parts.train
    assert rows.dtype == targets.dtype == np.float32
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(axis=0), 1, rtol=1e-5)
    assert targets.std() == pytest.approx(1, rel=1e-5)
    unscaled = [part * parts.scale for _, part in parts[:3]]
    offsets = np.sort(np.concatenate(unscaled)) - np.sort(table.targets)
    np.testing.assert_allclose(offsets, offsets[0], atol=1e-4)  # every row is in one part
    assert not any(np.isnan(rows).any() for rows, _ in parts[:3])
    other = data.split(table, 4)
    assert not np.array_equal(other.train[1], targets)


def test_missing_values_become_the_median_of_the_training_part():
    rows = np.array([[np.nan], *([[float(i)] for i in range(1, 50)])])
    table = data.Table(rows, np.zeros(50, np.int64), standardize=False)
    for seed in range(10):
        parts = data.split(table, seed)
        filled = sum(part.sum() for part, _ in parts[:3]) - sum(range(50))
        assert filled == np.median(parts.train[0])


# Runs


def test_a_study_trains_every_task_with_every_init_and_reads_back_what_it_wrote(tmp_path, capsys):
    folder, file = write_tables(tmp_path), tmp_path / "runs.csv"
    arguments = ["--data", "abalone", "credit_g", "--networks", "relu", "--seeds", "2", "--epochs", "1"]
    assert study.main([str(folder), *arguments, "--processes", "1", "--csv", str(file)]) == 0
    printed = capsys.readouterr().out
    runs = study.read(file)
    assert len(runs) == len(set(runs)) == 2 * 2 * 2 * 4  # data sets, optimizers, seeds, inits
    assert {run.init for run in runs} == {"he", "xavier", "glorot", "torch"}
    assert all(run.best_epoch == 1 and 0 <= run.score < 10 for run in runs)
    assert {(run.data, run.scale == 1) for run in runs} == {("abalone", False), ("credit_g", True)}
    assert study.main(["--read", str(file)]) == 0
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("name", ["abalone", "credit_g"])
def test_the_score_is_that_of_the_test_part(tmp_path, monkeypatch, name):
    monkeypatch.setitem(study.OPTIMIZERS, "adamw", lambda: study.fnn.SGD(0.0))  # the initial weights stay
    folder = write_tables(tmp_path)
    x, t = data.split(data.load(name, folder), 1).test
    loss = "squared_error" if name == "abalone" else "softmax_cross_entropy"
    for run in study.train(study.Task(name, "relu", "adamw"), 1, folder, 1):
        net = study.fnn.FNN((x.shape[1], 64, 64, 2 - (name == "abalone")), loss=loss, init=run.init, seed=1)
        out = net.predict(x)
        want = np.sqrt(np.mean((out[:, 0] - t) ** 2)) if name == "abalone" else np.mean(out.argmax(axis=1) != t)
        assert run.score == pytest.approx(want, abs=1e-5)


def test_a_training_that_diverges_has_an_infinite_score(tmp_path, monkeypatch):
    monkeypatch.setitem(study.OPTIMIZERS, "adamw", lambda: study.fnn.SGD(1e30))
    runs = study.train(study.Task("abalone", "relu", "adamw"), 0, write_tables(tmp_path), 1)
    assert [(run.score, run.best_epoch) for run in runs] == [(np.inf, 0)] * 4


def test_tables_without_a_folder_are_refused(capsys):
    with pytest.raises(SystemExit):
        study.main(["--data", "abalone"])
    assert "FOLDER must be given" in capsys.readouterr().err


# Report


def test_the_report_compares_mean_scores_with_the_best_and_with_he():
    scores = {"he": (0.2, 0.4), "xavier": (0.2, 0.2), "glorot": (0.3, 0.36), "torch": (0.1, 0.28)}
    runs = [run_of(init, seed, score) for init, pair in scores.items() for seed, score in enumerate(pair)]
    text = report.report(runs, study.INITS)
    assert "| abalone | 30.00 ± 10.00 | 20.00 ± 0.00 | 33.00 ± 3.00 | 19.00 ± 9.00 |" in text
    assert "| relu, adamw | 1 | 57.9 (at most 58), 3.25 | 5.3 (at most 5), 1.75 | 73.7 (at most 74), 3.50 |" in text
    changes = "-33.3 ± nan; 0 better, 0 worse | +10.0 ± nan; 0 better, 0 worse | -36.7 ± nan; 1 better, 0 worse |"
    assert f"| relu, adamw | 1 | {changes}" in text
    assert f"| all regressions | 1 | {changes}" in text
    assert "all classifications" not in text


def test_changes_are_averaged_within_a_data_set_first_and_then_over_data_sets():
    changes = {("a", "relu"): 0.5, ("a", "deep"): 2.0, ("b", "relu"): 4.0, ("c", "relu"): 4.0}
    runs = [
        report.Run(name, network, "adamw", init, seed, 10, 2.0, 1, 1.0 if init == "he" else change + seed / 1e5, 0.0)
        for (name, network), change in changes.items()
        for init in study.INITS
        for seed in (0, 1)
    ]
    mean = 16 ** (1 / 3)  # of 1, 4 and 4
    error = mean * np.std(np.log([1, 4, 4]), ddof=1) / np.sqrt(3)
    last = report.report(runs, study.INITS).splitlines()[-1]
    cells = [cell.strip() for cell in last.split("|")[3:-1]]
    assert cells == [f"+{100 * (mean - 1):.1f} ± {100 * error:.1f}; 1 better, 3 worse"] * 3


def test_california_is_reported_in_units_of_its_target():
    runs = [run_of(init, seed, 0.2 + seed, name="california") for init in study.INITS for seed in (0, 1)]
    assert "| adamw | 1.4000 ± 1.0000 |" in report.california(runs, study.INITS)


def test_no_mistakes_are_comparable_by_half_a_mistake():
    runs = [run_of(init, 0, 0.1 * (init == "torch"), scale=1.0) for init in study.INITS]
    (found,) = report.collect(runs, study.INITS).values()
    np.testing.assert_allclose(np.exp(found.log_means()), [0.05, 0.05, 0.05, 0.15])


def test_equal_scores_share_their_ranks_and_diverged_runs_are_counted():
    found = report.Scores(np.array([[0.1, 0.2], [0.1, 0.1], [0.3, np.inf]]), 0.0)
    assert found.values[2, 1] == 1
    np.testing.assert_allclose(report.mean_ranks(found), [(1.5 + 2) / 2, (1.5 + 1) / 2, 3])
    assert report.with_error([1.0, np.inf, 3.0], 1, 1) == "2.0 ± 1.0 (1 diverged)"


def test_the_tables_of_the_documentation_are_those_of_the_recorded_runs():
    page = (ROOT / "docs/explanation/initialization.md").read_text()
    runs = study.read(pathlib.Path(study.__file__).with_suffix(".csv"))
    parts = report.report(runs, study.INITS).split("\n\n")
    tables = dict(zip(parts[::2], parts[1::2], strict=True))
    shown = [name for name in tables if name.startswith(("Test RMSE", "relu, adamw", "All tasks", "Score against"))]
    assert len(shown) == 4
    for name in shown:
        assert tables[name] in page, name
    assert f"{len(runs):,} runs" in page


def test_the_recorded_runs_are_those_of_the_study_as_it_is():
    runs = study.read(pathlib.Path(study.__file__).with_suffix(".csv"))
    planned = study.tasks(data.NAMES, tuple(study.NETWORKS))
    want = [(*task, init, seed) for seed in range(5) for task in planned for init in study.INITS]
    assert [run[:5] for run in runs] == want
