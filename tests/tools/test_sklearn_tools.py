"""tools/sklearn_scores.py and sklearn_grid.py: what they read, compare and report. Here scikit-learn is both sides."""

import gzip
import json

import numpy as np
import pytest
from programs import TOOLS, tool

pytest.importorskip("sklearn")
from joblib.externals.loky import get_reusable_executor

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

data, scores, grid = tool("sklearn_data"), tool("sklearn_scores"), tool("sklearn_grid")

# Estimators that differ from scikit-learn's: these guess, and draw other weights each time.
GUESSING = """
from sklearn.neural_network import MLPClassifier as Base, MLPRegressor

class MLPClassifier(Base):
    def predict(self, X):
        return super().predict(X)[::-1]
"""
UNSTEADY = """
import itertools, os
from sklearn.neural_network import MLPClassifier as Base

seeds = itertools.count(os.getpid())

class MLPClassifier(Base):
    def fit(self, X, y):
        self.random_state = next(seeds)
        return super().fit(X, y)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that makes a module of a text, which child processes can import too; returns its name."""

    def make(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


def write_table(folder, name, text):
    with gzip.open(folder / f"{name}.csv.gz", "wt") as file:
        file.write(text)


# Tables


def test_a_table_has_numbers_categories_and_a_target(tmp_path):
    write_table(tmp_path, "pets", "age,kind,price\n1,cat,10\n,dog,20.5\n3,,30\n")
    assert data.names(tmp_path) == [*data.WITH_SKLEARN, data.MNIST, "pets"]
    table = data.load("pets", tmp_path)
    np.testing.assert_array_equal(table.numbers, [[1], [np.nan], [3]])
    np.testing.assert_array_equal(table.categories, [["cat"], ["dog"], [""]])
    np.testing.assert_array_equal(table.targets, [10, 20.5, 30])
    assert table.regression


def test_a_target_called_class_is_one_even_if_it_looks_like_a_number(tmp_path):
    write_table(tmp_path, "digits8", "a,class\n1,0\n2,8\n")
    table = data.load("digits8", tmp_path)
    assert not table.regression and list(table.targets) == ["0", "8"] and table.categories.shape == (2, 0)


def test_a_table_needs_a_folder():
    with pytest.raises(ValueError, match="no data set 'pets' without a folder"):
        data.load("pets")


def test_folds_are_prepared_from_their_training_part():
    numbers = np.array([[1.0], [2.0], [np.nan], [5.0]])
    categories = np.array([["a"], ["b"], ["c"], ["d"]], object)
    table = data.Table("t", numbers, categories, np.array([0.0, 1.0, 2.0, 3.0]), True)
    tested = []
    for fold in data.folds(table, 2):
        assert fold.x.shape == (2, 3) and fold.x_test.shape == (2, 3)  # a number, and the categories seen in training
        np.testing.assert_allclose(fold.x[:, 0].mean(), 0, atol=1e-15)
        np.testing.assert_allclose([fold.y.mean(), fold.y.std()], [0, 1], atol=1e-15)
        np.testing.assert_array_equal(fold.x_test[:, 1:], 0)
        assert np.isfinite(fold.x_test).all()
        tested += list(fold.x_test)
    assert len(tested) == 4


# Scores


def run_scores(tmp_path, estimators):
    file = tmp_path / "scores.json"
    options = ["--folds=2", "--repeats=2", "--max-iter=40", "--no-first-fit"]
    status = scores.main([*options, f"--estimators={estimators}", f"--json={file}", "--data", "iris", "diabetes"])
    return status, json.loads(file.read_text())


def test_equal_estimators_have_equal_scores(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scores, "PAUSE", 0)
    status, result = run_scores(tmp_path, "sklearn.neural_network")
    assert status == 0
    assert [(row["name"], row["metric"], row["rows"]) for row in result["data"]] == [
        ("iris", "accuracy", 150),
        ("diabetes", "R^2", 442),
    ]
    for row in result["data"]:
        for dtype in scores.DTYPES:
            assert row[dtype]["difference"] == 0 and row[dtype]["ratio"] > 0
            assert len(row[dtype]["fastfnn"]["seconds"]) == 4 and len(row[dtype]["fastfnn"]["scores"]) == 2
    printed = capsys.readouterr().out
    assert "| iris | 150 x 4 | accuracy |" in printed and "one standard error on 2 of 2;" in printed
    assert "max_iter is smaller for both: iris: 40, diabetes: 40" in printed


def test_other_scores_are_an_error(tmp_path, monkeypatch, capsys, module):
    monkeypatch.setattr(scores, "PAUSE", 0)
    status, _ = run_scores(tmp_path, module("guessing", GUESSING))
    assert status == 1
    assert "one standard error on 1 of 2, not iris;" in capsys.readouterr().out


def test_a_new_process_is_timed():
    seconds = scores.first_fits(dict.fromkeys(scores.MODULES, "sklearn.neural_network"), rounds=1)
    assert len(seconds) == 3 and min(seconds.values()) > 0


# Grid


@pytest.fixture
def processes():
    """Child processes of joblib that are new, and end with the test."""
    yield
    get_reusable_executor().shutdown(wait=True)


def test_searches_of_equal_estimators_are_the_same(tmp_path, capsys, processes):
    file = tmp_path / "grid.json"
    options = ["--values=1", "--max-iter=5", f"--json={file}"]
    assert grid.main([*options, "--estimators=sklearn.neural_network"]) == 0
    result = json.loads(file.read_text())
    assert [found["fits"] for found in result["searches"]] == [grid.FOLDS] * 4
    assert result["same_searches"] and min(found["seconds"] for found in result["searches"]) > 0
    assert "three searches in float64: the same scores" in capsys.readouterr().out


def test_searches_that_differ_are_an_error(capsys, module, processes):
    options = ["--values=1", "--max-iter=5", f"--estimators={module('unsteady', UNSTEADY)}"]
    assert grid.main(options) == 1
    assert "three searches in float64: DIFFERENT scores" in capsys.readouterr().out
