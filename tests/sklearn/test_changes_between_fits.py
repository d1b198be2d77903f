"""Parameters may be changed between two trainings of one estimator; a warm start goes on where that makes sense."""

import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, SMALL, X, assert_close, assert_same_weights, quiet, samples, weights

from fastfnn.sklearn import MLPRegressor

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y
ONE_EPOCH = SMALL | {"solver": "sgd", "momentum": 0, "max_iter": 1, "warm_start": True, "alpha": 0}


def fit(estimator, **params):
    return quiet(estimator(**(SMALL | {"warm_start": True} | params)).fit, X, Y)


def again(mlp, **params):
    return quiet(mlp.set_params(**params).fit, X, Y)


@both
@pytest.mark.parametrize("after", ["adam", "sgd"])
def test_gradient_descent_goes_on_from_lbfgs(estimator, after):
    """Which scikit-learn's cannot: it has no list of losses then."""
    mlp = fit(estimator, solver="lbfgs")
    before = mlp.loss_
    again(mlp, solver=after, learning_rate_init=1e-9)
    assert len(mlp.loss_curve_) == mlp.n_iter_ == SMALL["max_iter"]
    assert_close(mlp.loss_, before, 1e-3, "loss_")
    assert mlp.best_loss_ == min(mlp.loss_curve_)


@both
def test_early_stopping_may_be_switched_on_and_off(estimator):
    """Which scikit-learn's cannot: it has no scores, or no best loss, to go on from."""
    mlp = again(fit(estimator), early_stopping=True)
    assert len(mlp.validation_scores_) == mlp.n_iter_
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)
    mlp = again(mlp, early_stopping=False)
    assert mlp.best_loss_ == min(mlp.loss_curve_[-mlp.n_iter_ :])


@both
def test_an_evaluation_set_is_needed_only_once(estimator):
    mlp = estimator(**SMALL, warm_start=True)
    quiet(mlp.fit, X, Y, eval_set=(samples(5), Y))
    before = weights(mlp)
    quiet(mlp.partial_fit, X, Y)
    assert np.any(weights(mlp) != before)
    quiet(mlp.fit, X, Y)
    assert mlp.best_loss_ == min(mlp.loss_curve_[-mlp.n_iter_ :])


@both
@pytest.mark.parametrize(
    "change",
    [{"activation": "tanh"}, {"dropout": 0.5}, {"init": "he"}, {"batch_size": 5}, {"alpha": 9.0}, {"clip_norm": 1e-3}],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_parameter_takes_effect_in_a_warm_start(estimator, change):
    """All but the initial weights, which are drawn once."""
    same = again(fit(estimator, **ONE_EPOCH))
    changed = again(fit(estimator, **ONE_EPOCH), **change)
    assert np.any(weights(changed) != weights(same)) == ("init" not in change)


@both
def test_a_changed_activation_counts_from_the_next_training_on(estimator):
    mlp = fit(estimator, **ONE_EPOCH)
    before = mlp.predict(X)
    np.testing.assert_array_equal(mlp.set_params(activation="tanh").predict(X), before)
    start = weights(mlp)
    moved = weights(again(mlp, learning_rate_init=1e-300))
    np.testing.assert_array_equal(moved, start)
    (w1, w2, w3), (b1, b2, b3) = mlp.coefs_, mlp.intercepts_
    out = np.tanh(np.tanh(X @ w1 + b1) @ w2 + b2) @ w3 + b3
    if estimator is MLPRegressor:
        np.testing.assert_allclose(mlp.predict(X), out.ravel(), rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_array_equal(mlp.predict(X), np.argmax(out, axis=1))


def test_a_changed_loss_takes_effect_in_a_warm_start():
    start = fit(MLPRegressor, **ONE_EPOCH)
    out = start.predict(X)
    mlp = again(start, loss="absolute_error", learning_rate_init=1e-300)
    np.testing.assert_allclose(mlp.loss_, np.mean(np.abs(out - Y)), rtol=1e-9)


@both
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_hidden_layers_cannot_change_in_a_warm_start(estimator, method):
    mlp = fit(estimator)
    before = weights(mlp)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        getattr(mlp.set_params(hidden_layer_sizes=(3,)), method)(X, Y)
    np.testing.assert_array_equal(weights(mlp), before)
    mlp.set_params(hidden_layer_sizes=SMALL["hidden_layer_sizes"]).predict(X)


def test_levels_cannot_become_more_in_a_warm_start():
    mlp = fit(MLPRegressor, loss="quantile")
    with pytest.raises(ValueError, match="quantile"):
        again(mlp, quantile=[0.1, 0.9])


@both
def test_the_dtype_stays_in_a_warm_start(estimator):
    mlp = again(fit(estimator), dtype="float32")
    assert mlp.coefs_[0].dtype == np.float64
    assert again(mlp, warm_start=False).coefs_[0].dtype == np.float32


@both
def test_without_a_warm_start_everything_is_as_new(estimator):
    mlp = fit(estimator, solver="lbfgs", activation="tanh", hidden_layer_sizes=(3,))
    again(mlp, **SMALL, warm_start=False, solver="adam", activation="relu")
    assert_same_weights(mlp, fit(estimator, warm_start=False))
    assert len(mlp.loss_curve_) == mlp.n_iter_
