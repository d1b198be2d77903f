"""Losses of regression that scikit-learn's network does not have, checked by hand."""

import math
import pickle

import joblib
import numpy as np
import pytest
from estimator_twins import PROBLEMS, RTOL, SMALL, WEIGHTS, X, assert_close, quiet, samples, weights
from sklearn.base import clone
from sklearn.metrics import d2_pinball_score, r2_score

import fastfnn as fnn
from fastfnn.sklearn import MLPRegressor

pytestmark = pytest.mark.jit

Y = 3 * PROBLEMS["one output"].y
TABLE = PROBLEMS["outputs"].y
UNMOVED = {"solver": "sgd", "momentum": 0, "learning_rate_init": 1e-12, "max_iter": 1, "alpha": 0, "batch_size": 53}


def fit(y=Y, x=X, sample_weight=None, **params):
    return quiet(MLPRegressor(**(SMALL | params)).fit, x, y, sample_weight=sample_weight)


def huber(r, delta=1.0):
    return np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2))


def pinball(r, level=0.5):
    """r is the prediction minus the target."""
    return np.maximum(-level * r, (1 - level) * r)


def log_cosh(y, t):
    return abs(y - t) + math.log1p(math.exp(-2 * abs(y - t))) - math.log(2)


def slope_of_log_cosh(y, t):
    return math.tanh(y - t)


def own_huber(y, t):
    return abs(y - t) - 0.5 if abs(y - t) > 1 else (y - t) ** 2 / 2


def slope_of_own_huber(y, t):
    return max(-1, min(1, y - t))


LOG_COSH = fnn.Loss(log_cosh, slope_of_log_cosh)
LOSSES = {
    "huber": ({"loss": "huber"}, huber),
    "huber of delta": ({"loss": "huber", "delta": 0.3}, lambda r: huber(r, 0.3)),
    "absolute error": ({"loss": "absolute_error"}, np.abs),
    "median": ({"loss": "quantile"}, pinball),
    "quantile": ({"loss": "quantile", "quantile": 0.9}, lambda r: pinball(r, 0.9)),
    "a user's": ({"loss": LOG_COSH}, lambda r: np.log(np.cosh(r))),
}
losses = pytest.mark.parametrize(("params", "loss"), list(LOSSES.values()), ids=LOSSES)


@losses
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_the_loss_is_that_of_its_equation(params, loss, sample_weight):
    mlp = fit(sample_weight=sample_weight, **UNMOVED, **params)
    want = np.average(loss(mlp.predict(X) - Y), weights=sample_weight)
    np.testing.assert_allclose(mlp.loss_, want, rtol=1e-8)


@losses
def test_the_loss_of_several_outputs_is_the_sum(params, loss):
    mlp = fit(TABLE, **UNMOVED, **params)
    np.testing.assert_allclose(mlp.loss_, np.mean(np.sum(loss(mlp.predict(X) - TABLE), axis=1)), rtol=1e-8)


@losses
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_a_step_follows_the_gradient(params, loss, sample_weight):
    """By central differences of the last bias, of networks that start from it."""
    rate, h = 1e-6, 1e-5
    step = UNMOVED | {"learning_rate_init": rate}
    before = fit(sample_weight=sample_weight, **UNMOVED, **params)
    after = fit(sample_weight=sample_weight, **step, **params)
    out = before.predict(X)
    up, down = (np.average(loss(out + shift - Y), weights=sample_weight) for shift in (h, -h))
    moved = after.intercepts_[-1][0] - before.intercepts_[-1][0]
    np.testing.assert_allclose(moved, -rate * (up - down) / (2 * h), rtol=1e-3)


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_huber_loss_of_large_delta_is_the_squared_error(solver):
    large, squared = fit(loss="huber", delta=1e6, solver=solver), fit(solver=solver)
    assert_close(weights(large), weights(squared), RTOL, "weights")
    assert_close(large.loss_, squared.loss_, RTOL, "loss_")


def test_outliers_weigh_less_with_huber_and_absolute_error():
    y = Y.copy()
    y[:3] += 1000
    params = {"solver": "lbfgs", "max_iter": 300, "hidden_layer_sizes": ()}
    errors = {
        loss: np.median(np.abs(fit(y, loss=loss, **params).predict(X) - Y)[3:])
        for loss in ("squared_error", "huber", "absolute_error")
    }
    assert errors["huber"] < errors["squared_error"] / 10
    assert errors["absolute_error"] < errors["squared_error"] / 10


def test_quantiles_have_their_share_of_the_targets_below():
    rng = np.random.default_rng(0)
    x, y = samples(count=2000, features=2), rng.exponential(size=2000)
    levels = [0.1, 0.5, 0.9]
    params = {"loss": "quantile", "quantile": levels, "max_iter": 60, "batch_size": 100, "hidden_layer_sizes": (5,)}
    mlp = fit(y, x, learning_rate_init=0.01, **params)
    predicted = mlp.predict(x)
    assert predicted.shape == (2000, 3)
    np.testing.assert_allclose(np.mean(y[:, None] < predicted, axis=0), levels, atol=0.04)
    assert mlp.n_outputs_ == 3


@pytest.mark.parametrize("levels", [[0.1, 0.9], (0.5,), np.array([0.2, 0.5, 0.8])], ids=["list", "one", "array"])
def test_several_levels_have_the_loss_of_each(levels):
    mlp = fit(**UNMOVED, loss="quantile", quantile=levels)
    out = mlp.predict(X).reshape(len(X), -1)
    want = sum(np.mean(pinball(out[:, k] - Y, level)) for k, level in enumerate(levels))
    np.testing.assert_allclose(mlp.loss_, want, rtol=1e-8)


def test_a_single_level_is_one_output():
    assert fit(loss="quantile", quantile=0.3).predict(X).shape == Y.shape
    assert fit(loss="quantile", quantile=[0.3]).predict(X).shape == Y.shape


@losses
def test_the_score_of_one_output_is_r2(params, loss):
    mlp = fit(**params)
    np.testing.assert_allclose(mlp.score(X, Y), r2_score(Y, mlp.predict(X)), rtol=1e-12)


def test_the_score_of_several_quantiles_is_the_mean_of_their_pinball_scores():
    levels = [0.2, 0.8]
    mlp = fit(loss="quantile", quantile=levels)
    out = mlp.predict(X)
    for weight in (None, WEIGHTS):
        want = np.mean(
            [d2_pinball_score(Y, out[:, k], alpha=level, sample_weight=weight) for k, level in enumerate(levels)]
        )
        np.testing.assert_allclose(mlp.score(X, Y, sample_weight=weight), want, rtol=1e-12)


@losses
@pytest.mark.parametrize("params_of_training", [{"early_stopping": True}, {"solver": "lbfgs"}, {"dtype": "float32"}])
def test_every_kind_of_training_takes_every_loss(params, loss, params_of_training):
    mlp = fit(max_iter=25, **params, **params_of_training)
    assert np.mean(loss(mlp.predict(X) - Y)) < np.mean(loss(fit(**UNMOVED, **params).predict(X) - Y))


@pytest.mark.parametrize("quantile", [[], [0.5, 1.0], [0.0], "half", 1.0, 0.0, [[0.1, 0.9]], [np.nan]], ids=str)
def test_bad_levels_are_refused(quantile):
    with pytest.raises((ValueError, TypeError), match="quantile"):
        fit(loss="quantile", quantile=quantile)


def test_several_levels_need_one_column_of_targets():
    with pytest.raises(ValueError, match="y must have one column"):
        fit(TABLE, loss="quantile", quantile=[0.1, 0.9])


def test_counts_below_0_are_refused():
    """Unlike scikit-learn, which trains on them."""
    with pytest.raises(ValueError, match="y must not be negative"):
        fit(loss="poisson")


# A loss of the user's own


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "sgd"}, {"solver": "lbfgs"}, {"early_stopping": True}, {"n_estimators": 2}, {"dtype": "float32"},
        {"batch_size": 1}, {"warm_start": True, "dropout": 0.2, "batch_norm": True},
    ],
    ids=str,
)  # fmt: skip
def test_a_loss_of_a_user_trains_as_the_built_in_one_that_it_is(params):
    twins = [fit(loss=loss, **params) for loss in ("huber", fnn.Loss(own_huber, slope_of_own_huber))]
    for mlp in twins:
        mlp.set_params(random_state=1)
        quiet(mlp.fit, X, Y)
    want, got = twins
    np.testing.assert_array_equal(got.predict(X), want.predict(X))
    if "n_estimators" not in params:
        assert got.loss_ == want.loss_ and got.out_activation_ == "identity"


def test_copies_of_an_estimator_keep_a_loss_of_a_user(tmp_path):
    original = fit(loss=LOG_COSH)
    fresh = clone(original)
    assert fresh.loss == LOG_COSH and fresh.get_params()["loss"] == LOG_COSH
    assert quiet(fresh.fit, X, Y).predict(X).tobytes() == original.predict(X).tobytes()
    joblib.dump(original, tmp_path / "mlp")
    copies = [pickle.loads(pickle.dumps(original)), joblib.load(tmp_path / "mlp")]
    assert all(duplicate.predict(X).tobytes() == original.predict(X).tobytes() for duplicate in copies)
    after = {quiet(mlp.partial_fit, X, Y).predict(X).tobytes() for mlp in (original, *copies)}
    assert len(after) == 1


def test_a_loss_that_no_file_can_hold_is_a_pickling_error_that_names_it():
    mlp = fit(loss=fnn.Loss(lambda y, t: (y - t) ** 2, lambda y, t: 2 * (y - t)))
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(mlp)
    assert clone(mlp).loss is mlp.loss


def test_what_is_no_loss_is_an_error_of_the_parameter():
    with pytest.raises(ValueError, match=r"The 'loss' parameter of MLPRegressor must be .* an instance of"):
        fit(loss=log_cosh)
