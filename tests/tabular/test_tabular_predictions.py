"""Predictions of the estimators for tables: numbers, several targets, quantiles, labels; importances."""

import numpy as np
import polars as pl
import pytest

from fastfnn.tabular import TabularClassifier, TabularRegressor
from fastfnn.tabular.target import NumberTarget

pytestmark = pytest.mark.jit


def test_predictions_stay_in_the_range_of_the_targets(quick):
    X = np.linspace(0, 1, 200).reshape(-1, 1)
    model = TabularRegressor(**quick).fit(X, 5 + 3 * X[:, 0])
    out = model.predict([[-100.0], [0.5], [100.0]])
    assert 5 <= out[0] < 5.3
    assert out[1] == pytest.approx(6.5, abs=0.2)
    assert 7.7 < out[2] <= 8
    assert out.dtype == np.float64


def test_several_targets_are_learnt_at_once_whatever_their_units(quick):
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    y = np.stack([1e6 * X[:, 0], 1e-3 * X[:, 1]], axis=1)
    model = TabularRegressor(**quick | {"max_epochs": 60}).fit(X, y)
    assert model.predict(X).shape == (400, 2)
    assert model.score(X, y) > 0.95
    assert min(model.validation_scores_) < 0.3  # in standard deviations
    assert TabularRegressor(**quick | {"max_epochs": 1}).fit(X, y[:, :1]).predict(X).shape == (400, 1)


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
