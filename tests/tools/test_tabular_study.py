"""tools/tabular_study.py: which rows a recipe sees, what is fitted again, and how recipes are compared."""

import json
import math
from typing import ClassVar

import numpy as np
import pytest
from programs import TOOLS, tool

pytest.importorskip("pandas", reason="needs fastfnn[tables]")
pytest.importorskip("sklearn", reason="needs fastfnn[tables]")

from fastfnn.bench.tabular import data

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

study, report = tool("tabular_study"), tool("tabular_study_report")


class Constant:
    """An estimator that predicts the mean of the targets, or a number of its recipe; `seen` holds the rows of fits."""

    seen: ClassVar[list] = []
    n_epochs_ = 3

    def __init__(self, changes):
        self.number = changes.get("number")

    def fit(self, x, y):
        self.seen.append(list(x.index))
        if self.number == "wrong":
            raise ValueError("number must be a number")
        self.mean = y.mean() if self.number is None else self.number

    def predict(self, x):
        return np.full(len(x), float(self.mean))


@pytest.fixture
def table(tmp_path):
    numbers = np.random.default_rng(0).normal(size=100)
    (tmp_path / "prices.csv").write_text("a,y\n" + "".join(f"{n:.4f},{2 * n:.4f}\n" for n in numbers))
    Constant.seen.clear()
    return tmp_path / "prices.csv"


def run(table, recipes, out, seeds=(0,)):
    study.study(recipes, [table], seeds, out, lambda classes, changes, seed: Constant(changes))
    return report.read([out])


def test_a_fit_is_a_line_and_never_repeated(table, tmp_path):
    out = tmp_path / "study.jsonl"
    first = run(table, {"default": {}, "one": {"number": 1}}, out)
    assert [(fit["recipe"], fit["seed"]) for fit in first] == [("default", 0), ("one", 0)]
    more = run(table, {"default": {}, "one": {"number": 2}, "two": {"number": 2}}, out, (0, 1))
    assert more[:2] == first
    assert [(fit["recipe"], fit["seed"]) for fit in more[2:]] == [
        ("one", 0), ("two", 0), ("default", 1), ("one", 1), ("two", 1),
    ]  # fmt: skip
    assert len(Constant.seen) == len(more)


def test_recipes_are_scored_by_rows_for_training_alone(table, tmp_path):
    (fit,) = run(table, {"default": {}}, tmp_path / "study.jsonl")
    whole = data.split(data.load(table), 0)
    assert set(Constant.seen[0]) < set(whole.x_train.index)
    rows = data.for_study(data.load(table), 0)
    want = np.sqrt(np.mean((rows.y_test - rows.y_train.mean()) ** 2))
    assert fit["scores"]["rmse"] == pytest.approx(want, abs=1e-6)
    assert fit["scores"]["error"] == pytest.approx(want / rows.y_test.std(), abs=1e-6)
    assert fit["epochs"] == 3


def test_a_failed_fit_is_a_result(table, tmp_path, capsys):
    runs = run(table, {"default": {}, "bad": {"number": "wrong"}}, tmp_path / "study.jsonl")
    assert runs[1]["error"] == "ValueError: number must be a number" and "scores" not in runs[1]
    assert "prices, seed 0, bad: ValueError: number must be a number" in report.report(runs)


def test_a_recipe_changes_fields_of_a_preset_and_parameters():
    from fastfnn.tabular.recipe import PRESETS

    model = study.estimator(0, {"preset": "fast", "members": 3, "hidden_layer_sizes": [5], "n_threads": 1}, 7)
    made = model.preset
    assert (made.members, made.hidden_layer_sizes, made.bins) == (3, (5,), PRESETS["fast"].bins)
    assert (model.n_threads, model.random_state) == (1, 7)
    assert study.estimator(2, {}, 0).preset == "default"


def test_the_recipes_of_the_study_can_be_made():
    for name, changes in json.loads((TOOLS / "tabular_recipes.json").read_text("utf-8")).items():
        assert study.estimator(0, changes, 0), name


def fits(**errors):
    """Results on two tables; each recipe has an error for each of them, or a pair of error and log loss."""
    return [
        {"recipe": name, "changes": {}, "table": table, "seed": 0, "seconds": 2.0, "scores": {"error": error}}
        for name, pair in errors.items()
        for table, error in zip("ab", pair, strict=False)
    ]


def test_recipes_are_ranked_and_relative_to_the_base():
    (best, base, worst), cells = report.summaries(fits(default=[0.2, 1.0], better=[0.1, 1.0], worse=[0.4, 2.0]))
    assert [best.recipe, base.recipe, worst.recipe] == ["better", "default", "worse"] and cells == 2
    assert [best.rank, base.rank, worst.rank] == [(1 + 1.5) / 2, (2 + 1.5) / 2, 3]
    assert best.tables == {"a": pytest.approx(0.5), "b": 1} and best.error == pytest.approx(math.sqrt(0.5))
    assert worst.error == pytest.approx(2) and base.error == 1
    assert best.seconds == 4 and math.isnan(best.log_loss)


def test_recipes_are_compared_on_what_all_of_them_have():
    found, cells = report.summaries(fits(default=[0.2, 1.0], better=[0.1]))
    assert cells == 1 and set(found[0].tables) == {"a"}


def test_only_the_last_definition_of_a_recipe_counts():
    old = fits(better=[0.1, 0.1])
    new = [run | {"changes": {"bins": 8}} for run in fits(better=[0.4])]
    found, cells = report.summaries([*fits(default=[0.2, 1.0]), *old, *new])
    assert cells == 1 and {item.recipe: item.error for item in found} == {"default": 1, "better": pytest.approx(2)}


def test_results_without_the_base_are_refused():
    with pytest.raises(ValueError, match=r"--base must name a recipe of the results, better; got 'default'"):
        report.report(fits(better=[0.1, 0.1]))
