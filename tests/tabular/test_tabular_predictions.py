"""Predictions of the estimators for tables: numbers, several targets, quantiles, labels; importances."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fastfnn.tabular import TabularClassifier, TabularRegressor
from fastfnn.tabular.network import Feature, TabularNetwork
from fastfnn.tabular.target import LabelTarget, NumberTarget

pytestmark = pytest.mark.jit


def test_predictions_stay_in_the_range_of_the_targets(quick):
    X = np.linspace(0, 1, 200).reshape(-1, 1)
    model = TabularRegressor(**quick).fit(X, 5 + 3 * X[:, 0])
    out = model.predict([[-100.0], [0.5], [100.0]])
    assert 5 <= out[0] < 5.3
    assert out[1] == pytest.approx(6.5, abs=0.2)
    assert 7.7 < out[2] <= 8
    assert out.dtype == np.float64


@pytest.mark.parametrize("power", [530, -600])
def test_the_unit_of_the_target_does_not_matter(quick, power):
    X = np.linspace(0, 1, 200).reshape(-1, 1)
    unit = 2.0**power
    for options in ({}, {"quantiles": (0.2, 0.7)}):
        model, other = (TabularRegressor(**quick | {"max_epochs": 3}, **options) for _ in range(2))
        want, got = model.fit(X, X[:, 0]).predict(X), other.fit(X, unit * X[:, 0]).predict(X)
        assert np.array_equal(got, unit * want)
        assert other.validation_scores_ == [unit * score for score in model.validation_scores_]


def test_several_targets_are_learnt_at_once_whatever_their_units(quick):
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    y = np.stack([1e6 * X[:, 0], 1e-3 * X[:, 1]], axis=1)
    model = TabularRegressor(**quick | {"max_epochs": 60}).fit(X, y)
    assert model.predict(X).shape == (400, 2)
    assert model.score(X, y) > 0.95
    assert min(model.validation_scores_) < 0.3  # in standard deviations


def test_quantiles_have_their_share_of_the_targets_below_and_do_not_cross(quick):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(1500, 1))
    y = X[:, 0] * rng.exponential(size=1500)
    levels = (0.1, 0.4, 0.9)
    model = TabularRegressor(**quick, quantiles=levels).fit(X, y)
    quantiles = model.predict_quantiles(X)
    assert quantiles.shape == (1500, 3)
    assert np.all(np.diff(quantiles, axis=1) >= 0)
    np.testing.assert_allclose((y[:, np.newaxis] < quantiles).mean(axis=0), levels, atol=0.05)
    assert np.array_equal(model.predict(X), quantiles[:, 1])
    error = y[:, np.newaxis] - quantiles
    pinball = np.maximum(np.array(levels) * error, (np.array(levels) - 1) * error).mean()
    assert min(model.validation_scores_) == pytest.approx(pinball, rel=0.2)


def test_outputs_that_cross_are_put_in_order():
    target = NumberTarget.fit(np.arange(10.0)[:, np.newaxis], np.ones(10), (0.1, 0.9))
    assert target.decode(np.array([[0.5, -0.5]])).tolist() == target.decode(np.array([[-0.5, 0.5]])).tolist()


def test_rows_of_labels_are_measured_by_their_weights_and_a_wrong_certainty_is_finite():
    out, labels = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0, 1])
    for metric, score in (("log_loss", 0.75 * np.log(1e7)), ("error", 0.75)):
        measured = LabelTarget(np.arange(2), 0.0, metric).measure(out, labels, np.array([1.0, 3.0]))
        assert (measured.score, measured.accuracy) == (pytest.approx(score), 0.25)


def test_embeddings_begin_as_linear_layers_and_members_differ():
    features = [Feature("bins", 3, 5, (99.0, 100.0, 102.0, 103.0)), Feature("plain")]
    network = TabularNetwork(features, (7,), 1, members=4, seed=0)
    at_knots = np.cumsum(network.arrays["embedding0"], axis=0)
    slope = (at_knots[3] - at_knots[0]) / 4
    np.testing.assert_allclose(at_knots, at_knots[0] + slope * np.array([[0], [1], [3], [4]]), rtol=1e-5)
    assert np.abs(at_knots[0] - 99 * slope).max() <= 5**-0.5 + 1e-3
    assert network.arrays["scale1"].std(axis=0).min() > 0.1


@pytest.mark.parametrize("levels", [(), (0.5, 0.1), (0.5, 0.5), (0.1, 1.0), (0.0,)])
def test_quantiles_must_be_rising_levels(quick, levels):
    with pytest.raises(ValueError, match="quantiles"):
        TabularRegressor(**quick, quantiles=levels).fit([[0.0], [1.0]], [0.0, 1.0])


def test_quantiles_need_one_target_and_an_estimator_that_learnt_them(quick):
    with pytest.raises(ValueError, match="single target"):
        TabularRegressor(**quick, quantiles=(0.5,)).fit([[0.0], [1.0]], [[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(ValueError, match="fitted with quantiles"):
        TabularRegressor(**quick).fit([[0.0], [1.0]], [0.0, 1.0]).predict_quantiles([[0.0]])


@pytest.mark.parametrize(
    "labels", [np.array(["no", "yes"]), np.array(["no", "yes"], object), np.array([False, True]), np.array([3, 8])]
)
def test_labels_of_any_kind_come_back(quick, labels):
    X = np.repeat([[0.0], [1.0]], 60, axis=0)
    y = np.repeat(labels, 60)
    model = TabularClassifier(**quick).fit(X, y)
    assert np.array_equal(model.classes_, labels)
    assert np.array_equal(model.predict([[1.0], [0.0]]), labels[::-1])
    assert model.predict([[1.0]]).dtype == labels.dtype
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-12)


def test_series_of_polars_are_labels(quick):
    frame = pl.DataFrame({"x": [0.0, 1.0] * 60})
    model = TabularClassifier(**quick).fit(frame, pl.Series(["no", "yes"] * 60))
    assert model.predict(frame[:2]).tolist() == ["no", "yes"]


def test_a_single_class_is_always_predicted(quick):
    model = TabularClassifier(**quick).fit([[0.0], [1.0], [2.0]], ["only"] * 3)
    assert model.predict([[5.0]]).tolist() == ["only"]


def test_importances_find_the_columns_that_matter(table, quick):
    frame, rent = table
    model = TabularRegressor(**quick).fit(frame, rent)
    found = model.feature_importances(frame, rent, repeats=3, random_state=0)
    assert found.names == tuple(frame.columns)
    assert found.ranked()[0][0] == "area"
    by_name = dict(zip(found.names, found.mean, strict=True))
    assert by_name["area"] > 0.5 > by_name["rooms"] > 0.02 > abs(by_name["built"])
    assert by_name["country"] == by_name["empty"] == by_name["tenant"] == 0
    assert found.std.shape == (9,)
    assert found.std[0] > 0
    again = model.feature_importances(frame, rent, repeats=3, random_state=0)
    assert np.array_equal(again.mean, found.mean)


def test_importances_take_a_scorer(table, quick):
    frame, rent = table
    model = TabularClassifier(**quick | {"max_epochs": 5}).fit(frame, rent > 300)
    found = model.feature_importances(frame, rent > 300, scoring="neg_log_loss", random_state=0)
    assert found.ranked()[0][0] == "area"
    with pytest.raises(ValueError, match="repeats"):
        model.feature_importances(frame, rent > 300, repeats=0)
    with pytest.raises(TypeError, match="scoring must be the name of a scorer or a callable, got dict"):
        model.feature_importances(frame, rent > 300, scoring={"a": "r2"})


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", None] * 10, "y must have no missing labels, got 10 in 20 rows"),
        (["a", float("nan")] * 10, "y must have no missing labels, got 10 in 20 rows"),
        (pd.Series(["a", pd.NA] * 10), "y must have no missing labels, got 10 in 20 rows"),
        (pl.Series(["a", None] * 10), "y must have no missing labels, got 10 in 20 rows"),
        (np.array(["a", 1] * 10, object), "y must hold labels of one type that can be sorted, got int and str"),
        (np.ma.masked_equal(np.arange(20) % 2, 1), "y must have no masked elements, got 10 of 20"),
        ([0, 1], "y must have an entry for each row of X, 20; got 2"),
    ],
)
def test_wrong_labels_are_named(quick, y, message):
    X, right = np.zeros((20, 1)), np.array(["a", "b"] * 10, object)
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        TabularClassifier(**quick).fit(X, y)
    with pytest.raises((TypeError, ValueError), match=r"^eval_set must be rows and targets like those of fit: y must"):
        TabularClassifier(**quick).fit(X, right, eval_set=(X, y))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a"] * 20, "y must be finite numbers of float64: could not convert string"),
        (np.array([10**400] * 20, object), "y must be finite numbers of float64: int too large"),
        ([1e308] * 20, "y must be numbers of at most 4.49e[+]307"),
        (np.ma.masked_equal(np.arange(20.0), 1), "y must have no masked elements, got 1 of 20"),
    ],
)
def test_wrong_numbers_are_named(quick, y, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        TabularRegressor(**quick).fit(np.zeros((20, 1)), y)
