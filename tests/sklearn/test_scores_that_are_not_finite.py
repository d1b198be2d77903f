"""Scores that are not finite, through every door that compares scores: they are never the best, and no improvement."""

import contextlib
import io
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingGridSearchCV
from small_tables import run

import fastfnn as fnn
from fastfnn import improvement
from fastfnn.held_out import Part
from fastfnn.sklearn import MLPClassifier, MLPRegressor
from fastfnn.tabular import Recipe, TabularClassifier, TabularRegressor
from fastfnn.tabular.target import LabelTarget, Measured, NumberTarget

pytestmark = pytest.mark.jit

PATIENCE, EPOCHS = 3, 9
NAN, INF = math.nan, math.inf
# What is measured after each epoch, lower is better; the epoch that is the best, None if none is.
PATTERNS = {
    "NaN first": ([NAN, 3, 2, 4, 5, 6], 3),
    "NaN twice first": ([NAN, NAN, 3, 4, 5, 6], 3),
    "inf first": ([INF, 3, 2, 4, 5, 6], 3),
    "-inf first": ([-INF, 3, 2, 4, 5, 6], 3),
    "NaN after good ones": ([3, 2, NAN, NAN, NAN], 2),
    "-inf after good ones": ([3, 2, -INF, -INF, NAN], 2),
    "inf after good ones": ([3, 2, INF, NAN, INF], 2),
    "NaN between": ([3, NAN, 2, NAN, 4, NAN], 3),
    "NaN always": ([NAN] * EPOCHS, None),
    "inf always": ([INF] * EPOCHS, None),
    "-inf always": ([-INF] * EPOCHS, None),
    "none is finite": ([NAN, INF, -INF, NAN], None),
}
WARNING = "was not finite after any epoch"

X, LABELS = make_classification(60, 4, random_state=0)
X = X.astype(np.float64)
NUMBERS = X @ [1.0, -1.0, 0.5, 0.0]


class Result:
    """What a door did: the epochs that it trained, the one whose weights it kept, and its warnings."""

    def __init__(self, weights_after, kept, caught):
        self.epochs = len(weights_after)
        self.kept = [i + 1 for i, weights in enumerate(weights_after) if np.array_equal(weights, kept)]
        self.warned = any(WARNING in str(each.message) for each in caught)


def recorder():
    after = []

    def record(net, history):
        after.append(net.params.flat.copy())

    return after, record


def by_network(values, monkeypatch, higher=False, comm=None):
    """`FNN.fit` with EarlyStopping; the values stand in for the loss on validation data."""
    after, record = recorder()
    net = fnn.FNN((4, 5, 2), seed=0)

    def play(net, history):
        history.val_loss[-1] = values[history.epochs - 1] * (-1 if higher else 1)

    stopping = fnn.EarlyStopping(PATIENCE, mode="max" if higher else "min")
    data = {"epochs": EPOCHS, "batch_size": 10, "validation_data": (X, LABELS)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, LABELS, callbacks=[play, record, stopping], **data)
    return Result(after, net.params.flat, caught)


def by_network_upward(values, monkeypatch):
    return by_network(values, monkeypatch, higher=True)


def by_estimator(kind, y, values, **how):
    after, record = recorder()

    def score(estimator, x, y, **more):
        return -values[estimator.n_iter_ - 1]

    model = kind(
        hidden_layer_sizes=(5,), max_iter=EPOCHS, n_iter_no_change=PATIENCE - 1, tol=0.0, random_state=0,
        eval_metric=score, callbacks=[record], learning_rate_init=0.01, **how.pop("parameters", {}),
    )  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        how.pop("fit")(model)
    return Result(after, model._net.params.flat, [each for each in caught if each.category is ConvergenceWarning])


def by_classifier(values, monkeypatch):
    return by_estimator(MLPClassifier, LABELS, values, fit=lambda model: model.fit(X, LABELS, eval_set=(X, LABELS)))


def by_regressor(values, monkeypatch):
    return by_estimator(
        MLPRegressor, NUMBERS, values, parameters={"early_stopping": True}, fit=lambda model: model.fit(X, NUMBERS)
    )


def by_estimator_on_a_source(values, monkeypatch):
    source = fnn.sources.ArraySource(X, NUMBERS)
    return by_estimator(MLPRegressor, NUMBERS, values, fit=lambda model: model.fit(source, eval_set=(X, NUMBERS)))


def by_table(kind, target, y, values, monkeypatch):
    after, record = recorder_of_tables()
    count = iter(values)

    def measure(self, out, y, weights):
        score = next(count)
        return Measured(score, score, 0.5 if target is LabelTarget else None)

    monkeypatch.setattr(target, "measure", measure)
    model = kind(Recipe(bags=1, small_bags=1), max_epochs=EPOCHS, patience=PATIENCE, random_state=0)
    model._watchers = [record]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, eval_set=(X, y))
    return Result(after, model.network_.params, caught)


def recorder_of_tables():
    after = []

    class Recorder(fnn.Callback):
        def epoch(self, net, history):
            after.append(net.params.copy())

    return after, Recorder()


def by_table_of_classes(values, monkeypatch):
    return by_table(TabularClassifier, LabelTarget, LABELS, values, monkeypatch)


def by_table_of_numbers(values, monkeypatch):
    return by_table(TabularRegressor, NumberTarget, NUMBERS, values, monkeypatch)


def by_command_line(values, monkeypatch):
    """`fastfnn train` with a plain network, which saves the model."""
    after = []

    def evaluate(part, net, metrics):
        after.append(net.params.flat.copy())
        return {"loss": float(values[len(after) - 1])}

    monkeypatch.setattr(Part, "evaluate", evaluate)
    pd.DataFrame(X, columns=list("abcd")).assign(y=NUMBERS).to_csv("numbers.csv", index=False)
    options = ["--epochs", EPOCHS, "--patience", PATIENCE, "--preset", "plain", "--out", "model"]
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        run("train", "numbers.csv", "--target", "y", *options)
    warned = [warnings.WarningMessage(shown.getvalue(), RuntimeWarning, "", 0)]
    return Result(after, fnn.tables.load("model").network.params.flat, warned)


DOORS = [
    by_network, by_network_upward, by_classifier, by_regressor, by_estimator_on_a_source, by_table_of_classes,
    by_table_of_numbers, by_command_line,
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_score_that_is_not_finite_is_never_the_best(door, pattern, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    values, best = PATTERNS[pattern]
    result = door(values, monkeypatch)
    assert result.epochs == (PATIENCE if best is None else min(best + PATIENCE, EPOCHS))
    assert result.kept == [result.epochs if best is None else best]
    assert result.warned == (best is None)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_model_checkpoint_saves_no_network_by_a_value_that_is_not_finite(pattern, tmp_path):
    values, best = PATTERNS[pattern]

    def play(net, history):
        history.val_loss[-1] = values[history.epochs - 1]

    checkpoint = fnn.callbacks.ModelCheckpoint(tmp_path / "{epoch}", save_best_only=True)
    net = fnn.FNN((4, 5, 2), seed=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, LABELS, epochs=len(values), validation_data=(X, LABELS), callbacks=[play, checkpoint])
    finite = [i + 1 for i in range(len(values)) if improvement.best_place(values[: i + 1], higher=False) == i]
    assert [int(path.name) for path in sorted(tmp_path.iterdir())] == finite
    assert checkpoint.best_epoch == best
    assert any("no network was saved" in str(each.message) for each in caught) == (best is None)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_value_that_is_not_finite_is_an_epoch_without_improvement_for_the_learning_rate(pattern):
    values, best = PATTERNS[pattern]

    def play(net, history):
        history.val_loss[-1] = values[history.epochs - 1]

    plateau = fnn.callbacks.ReduceLROnPlateau(patience=2)
    optimizer = fnn.SGD(0.1)
    net = fnn.FNN((4, 5, 2), seed=0)
    count = min(best + 2 if best else 2, len(values))
    data = {"validation_data": (X, LABELS), "optimizer": optimizer, "callbacks": [play, plateau]}
    net.fit(X, LABELS, epochs=count, **data)
    assert plateau.reductions[-1:] == ([count] if best is None or len(values) >= best + 2 else [])
    assert plateau.best == (None if best is None else values[best - 1])


def test_the_best_value_of_a_history_is_finite():
    history = fnn.History()
    for loss in (-INF, 2.0, 1.0, NAN, INF):
        history._extend(loss=[3.0], val_loss=[loss], seconds=[0.1], samples_per_second=[1.0])
    assert "val_loss inf, best 1 in epoch 3" in repr(history)


@pytest.mark.parametrize(("value", "best"), [(1.0, 2.0), (1.0, None), (1.0, NAN), (1.0, -INF), (1.0, INF)])
def test_a_finite_value_is_better_than_none_and_than_those_that_are_not_finite(value, best):
    assert improvement.improves(value, best, higher=False)
    assert improvement.improves(-value, None if best is None else -best, higher=True)
    for never in (NAN, INF, -INF):
        assert not improvement.improves(never, best, higher=False)
        assert not improvement.improves(never, best, higher=True)


def test_a_gain_of_min_delta_counts_unless_it_must_be_more():
    assert not improvement.improves(1.0, 2.0, higher=False, min_delta=1.0)
    assert improvement.improves(1.0, 2.0, higher=False, min_delta=1.0, strict=False)
    assert not improvement.improves(3.0, 2.0, higher=True, min_delta=1.0)
    assert improvement.improves(3.0, 2.0, higher=True, min_delta=1.0, strict=False)
    assert not improvement.improves(1.5, 2.0, higher=False, min_delta=1.0, strict=False)


# What measures


class Weird:
    pass


@pytest.mark.parametrize("value", ["0.9", np.ones(2), np.array([1.0]), None, 1j, True, Weird(), [0.5]])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_an_eval_metric_must_return_a_number(kind, value):
    y = LABELS if kind is MLPClassifier else NUMBERS
    model = kind(hidden_layer_sizes=(5,), max_iter=3, random_state=0, eval_metric=lambda estimator, x, y: value)
    with pytest.raises(TypeError, match="eval_metric must return a number, got "):
        model.fit(X, y, eval_set=(X, y))


@pytest.mark.parametrize("value", [np.float32(0.5), np.array(0.5), 1, np.int64(1)])
def test_an_eval_metric_may_return_a_number_of_numpy(value):
    model = MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0, eval_metric=lambda estimator, x, y: value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, NUMBERS, eval_set=(X, NUMBERS))
    assert model.validation_scores_ == [float(value)] * 2


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "auc"])
def test_metrics_of_classes_are_nan_where_an_output_is(name):
    net = fnn.FNN((4, 5, 2), seed=0)
    net.params["W2"][...] = NAN
    assert math.isnan(net.evaluate(X, LABELS, metrics=[name])[name])


# Divergence


def test_early_stopping_with_divergence_ends_as_in_scikit_learn_by_its_own_test(monkeypatch):
    theirs = pytest.importorskip("sklearn.neural_network.tests.test_mlp")
    monkeypatch.setattr(theirs, "MLPRegressor", MLPRegressor)
    theirs.test_mlp_diverging_loss()


@pytest.mark.parametrize("metric", [None, "r2"])
@pytest.mark.parametrize("source", [False, True])
def test_a_training_that_diverges_keeps_the_weights_of_its_best_score(metric, source):
    weights = []
    options = {"solver": "sgd", "learning_rate_init": 1.0, "activation": "identity", "max_iter": 40}
    model = MLPRegressor(hidden_layer_sizes=(50,), **options, random_state=0, eval_metric=metric, callbacks=[
        lambda net, history: weights.append(net.params.flat.copy())
    ])  # fmt: skip
    given = (fnn.sources.ArraySource(X, NUMBERS),) if source else (X, NUMBERS)
    with pytest.warns(ConvergenceWarning, match="training diverged: the weights are those of the best validation"):
        model.fit(*given, eval_set=(X, NUMBERS))
    best = int(np.nanargmax(model.validation_scores_))
    assert np.isfinite(model.validation_scores_[best]) and math.isnan(model.validation_scores_[-1])
    assert np.array_equal(model._net.params.flat, weights[best])
    assert np.isfinite(model.predict(X)).all()


def test_a_training_that_diverges_before_any_score_is_an_error():
    model = MLPRegressor(
        hidden_layer_sizes=(50,), solver="sgd", learning_rate_init=1e300, activation="identity", random_state=0
    )
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        model.fit(X, NUMBERS, eval_set=(X, NUMBERS))
    assert not hasattr(model, "coefs_") or not np.isfinite(model.coefs_[0]).all()


def test_a_search_by_halving_finds_networks_that_have_learned_although_early_stopping_measures_nothing():
    def never(estimator, x, y):
        return NAN

    model = MLPClassifier(hidden_layer_sizes=(16,), early_stopping=True, eval_metric=never, random_state=0)
    x = np.random.default_rng(0).normal(size=(400, 4))
    y = (x[:, 0] > 0).astype(int)
    search = HalvingGridSearchCV(
        model, {"learning_rate_init": [0.04, 0.05]}, resource="n_samples", min_resources=200, cv=2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(x, y)
    assert search.best_score_ > 0.85


# Weights of what is held out

ZERO = r"must not be 0 for all samples that (validation_fraction=0\.1|validation_split=0\.1) holds out"


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_held_out_samples_of_no_weight_are_refused(kind):
    y = LABELS if kind is MLPClassifier else NUMBERS
    weights = np.zeros(60)
    weights[:2] = 1.0
    model = kind(hidden_layer_sizes=(5,), early_stopping=True, random_state=1)
    with pytest.raises(ValueError, match="sample_weight.*" + ZERO):
        model.fit(X, y, sample_weight=weights)
    assert not hasattr(model, "coefs_")


def test_samples_that_a_split_holds_out_without_weight_are_refused():
    net = fnn.FNN((4, 5, 2), seed=0)
    before = net.params.flat.copy()
    others = fnn.held_out.split("validation_split", 0.1, 60)[1]
    weights = np.ones(60)
    weights[others] = 0
    with pytest.raises(ValueError, match="sample_weight.*" + ZERO):
        net.fit(X, LABELS, validation_split=0.1, sample_weight=weights)
    assert np.array_equal(net.params.flat, before)


def test_a_source_to_measure_on_needs_some_weight():
    source = fnn.sources.ArraySource(X, LABELS, np.zeros(60))
    with pytest.raises(ValueError, match="weights of a source to measure on must not be 0"):
        fnn.FNN((4, 5, 2), seed=0).fit(X, LABELS, validation_data=source)


# What was saved


def test_an_infinite_best_value_of_an_older_checkpoint_is_none():
    net, stopping = fnn.FNN((4, 5, 2), seed=0), fnn.EarlyStopping()
    stopping.begin(net, fnn.History())
    state = {"best": INF, "best_epoch": 1, "stopped_epoch": None}
    stopping.restore(state | {"params": net.params.flat, "statistics": net._statistics})
    assert (stopping.best, stopping.best_epoch) == (None, None)


def test_a_saved_estimator_without_a_finite_score_goes_on_to_its_first(tmp_path):
    values = [NAN, NAN, 0.5]
    model = MLPRegressor(
        hidden_layer_sizes=(5,),
        max_iter=2,
        random_state=0,
        warm_start=True,
        eval_metric=lambda estimator, x, y: values.pop(0),
    )
    with pytest.warns(ConvergenceWarning, match=WARNING):
        model.fit(X, NUMBERS, eval_set=(X, NUMBERS))
    model.eval_metric = None
    model.save(tmp_path / "model")
    loaded = fnn.sklearn.load(tmp_path / "model")
    assert loaded.best_validation_score_ == -INF
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded.set_params(max_iter=1).fit(X, NUMBERS, eval_set=(X, NUMBERS))
    assert np.isfinite(loaded.best_validation_score_) and not any(WARNING in str(each.message) for each in caught)
