"""Parameters that scikit-learn does not have, about the network: each has its effect."""

import math

import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, RTOL, SMALL, WEIGHTS, X, assert_close, assert_same_weights, quiet, weights
from sklearn.utils.class_weight import compute_sample_weight

import fastfnn as fnn
from fastfnn.network import HIDDEN_ACTIVATIONS
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
BINARY, LABELS, SETS = (PROBLEMS[name].y for name in ("binary", "multiclass", "multilabel"))
VALUES = PROBLEMS["one output"].y
WORDS = np.array(["red", "green", "blue"])[LABELS]
UNMOVED = {"solver": "sgd", "momentum": 0, "learning_rate_init": 1e-12, "max_iter": 1}  # keeps the initial weights


def fit(estimator, y=LABELS, x=X, **params):
    return quiet(estimator(**(SMALL | params)).fit, x, y)


# Dropout and batch normalization


@both
def test_dropout_changes_training_and_not_prediction(estimator):
    plain, dropped = fit(estimator), fit(estimator, dropout=0.4)
    assert np.any(weights(plain) != weights(dropped))
    assert plain.loss_curve_[0] != dropped.loss_curve_[0]
    assert dropped.predict(X).tobytes() == dropped.predict(X).tobytes()


@both
def test_dropout_begins_with_the_same_weights_and_repeats_its_choices(estimator):
    assert_close(weights(fit(estimator, dropout=0.4, **UNMOVED)), weights(fit(estimator, **UNMOVED)), 1e-9, "weights")
    assert_same_weights(fit(estimator, dropout=0.4), fit(estimator, dropout=0.4))
    assert fit(estimator, dropout=0.4, random_state=4).loss_ != fit(estimator, dropout=0.4).loss_


@both
def test_the_random_state_decides_what_is_dropped(estimator):
    """Of networks with equal weights, samples in the same order."""
    params = UNMOVED | {"dropout": 0.4, "shuffle": False, "warm_start": True}
    one, same, other = (fit(estimator, random_state=seed, **params) for seed in (3, 3, 4))
    other.coefs_, other.intercepts_ = ([array.copy() for array in arrays] for arrays in (one.coefs_, one.intercepts_))
    for mlp in (one, same, other):
        quiet(mlp.fit, X, LABELS)
    assert one.loss_ == same.loss_ != other.loss_


@both
def test_batch_normalization_makes_the_scale_of_a_layer_immaterial(estimator):
    """Also in prediction, by running statistics."""
    one, thousand = (fit(estimator, x=x, batch_norm=True, alpha=0, **UNMOVED) for x in (X, 1000 * X))
    assert_close(one.loss_, thousand.loss_, 1e-3, "loss_")
    assert "gamma1" in one.network_.params
    trained = fit(estimator, batch_norm=True, max_iter=60, n_iter_no_change=100)
    assert trained.loss_ < trained.loss_curve_[0]
    assert trained.score(X, LABELS) > 0.5


@both
def test_a_partial_fit_goes_on_with_running_statistics(estimator):
    mlp = fit(estimator, batch_norm=True)
    before = mlp.predict(100 * X)
    for _ in range(20):
        quiet(mlp.partial_fit, 100 * X, LABELS)
    assert np.any(mlp.predict(100 * X) != before)


# Activations


@both
def test_hidden_layers_may_have_activations_of_their_own(estimator):
    mlp = fit(estimator, activation=["tanh", "relu"])
    (w1, w2, w3), (b1, b2, b3) = mlp.coefs_, mlp.intercepts_
    out = np.maximum(np.tanh(X @ w1 + b1) @ w2 + b2, 0) @ w3 + b3
    if estimator is MLPClassifier:
        np.testing.assert_allclose(mlp.predict_proba(X), fnn.functions.softmax(out), rtol=1e-9)
    else:
        np.testing.assert_allclose(mlp.predict(X), out.ravel(), rtol=1e-9, atol=1e-12)


@both
@pytest.mark.parametrize("name", sorted({*HIDDEN_ACTIVATIONS} - {"identity", "sigmoid", "tanh", "relu"}))
def test_every_activation_of_fastfnn_is_there(estimator, name):
    mlp, relu = fit(estimator, activation=name, max_iter=30), fit(estimator, max_iter=30)
    assert mlp.loss_ < mlp.loss_curve_[0]
    assert mlp.loss_ != relu.loss_


@both
def test_sigmoid_is_another_name_of_logistic(estimator):
    assert_same_weights(fit(estimator, activation="sigmoid"), fit(estimator, activation="logistic"))
    assert_same_weights(fit(estimator, activation=("tanh", "tanh")), fit(estimator, activation="tanh"))


def squashed(x):
    return math.tanh(x)


def slope(x, y):
    return 1 - y * y


@both
def test_an_activation_of_a_user_is_trained(estimator):
    """Here it computes tanh."""
    activation = fnn.Activation(squashed, slope)
    assert_close(weights(fit(estimator, activation=activation)), weights(fit(estimator, activation="tanh")), RTOL, "")
    mixed = fit(estimator, activation=[activation, "relu"])
    assert_close(weights(mixed), weights(fit(estimator, activation=["tanh", "relu"])), RTOL, "weights")


# Initial weights


@both
@pytest.mark.parametrize(
    ("init", "std"),
    [("he", math.sqrt(2 / 300)), ("xavier", math.sqrt(1 / 300)), ("torch", math.sqrt(1 / 300 / 3)), (0.01, 0.01)],
)
def test_initial_weights_have_the_deviation_that_was_asked_for(estimator, init, std):
    x = np.random.default_rng(0).standard_normal((30, 300))
    mlp = quiet(estimator(hidden_layer_sizes=(100,), init=init, random_state=0, **UNMOVED).fit, x, np.arange(30) % 3)
    assert abs(np.std(mlp.coefs_[0]) / std - 1) < 0.02
    assert np.any(mlp.intercepts_[0] > 1e-6) == (init == "torch")


@both
def test_initial_weights_may_be_zeros(estimator):
    mlp = fit(estimator, init=0, **UNMOVED)
    assert np.max(np.abs(weights(mlp))) < 1e-9


@both
def test_glorot_is_the_default(estimator):
    assert_same_weights(fit(estimator, init="glorot"), fit(estimator))


# Classes


def by_class(y, class_weight, sample_weight=1.0):
    return sample_weight * compute_sample_weight(class_weight, y)


@pytest.mark.parametrize(
    ("y", "class_weight"),
    [
        (BINARY, {0: 1.0, 1: 5.0}),
        (BINARY == 1, {True: 0.5}),
        (LABELS, {0: 3, 2: 0.1}),
        (WORDS, {"red": 2.0, "blue": 7.0}),
        (SETS, [{0: 1, 1: 4}, {0: 2, 1: 1}, {0: 1, 1: 1}]),
        (BINARY, "balanced"),
        (WORDS, "balanced"),
        (SETS, "balanced"),
    ],
    ids=["binary", "bools", "some", "words", "sets", "balanced binary", "balanced words", "balanced sets"],
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_weights_of_classes_multiply_those_of_samples(y, class_weight, solver, sample_weight):
    """As scikit-learn's compute_sample_weight defines them."""
    classes = MLPClassifier(**SMALL, solver=solver, class_weight=class_weight)
    quiet(classes.fit, X, y, sample_weight=sample_weight)
    each = by_class(y, class_weight, 1.0 if sample_weight is None else sample_weight)
    assert_same_weights(classes, quiet(MLPClassifier(**SMALL, solver=solver).fit, X, y, sample_weight=each))


def test_weights_of_classes_count_in_partial_fit():
    class_weight = {0: 3.0, 1: 0.5}
    classes = MLPClassifier(**SMALL, class_weight=class_weight).partial_fit(X, LABELS, classes=range(3))
    plain = MLPClassifier(**SMALL)
    plain.partial_fit(X, LABELS, sample_weight=by_class(LABELS, class_weight), classes=range(3))
    assert_same_weights(classes, plain)


def smoothed(targets, share, classes):
    return (1 - share) * targets + share / classes


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_label_smoothing_moves_the_targets(share):
    """The loss of the initial weights, by hand."""
    params = UNMOVED | {"label_smoothing": share, "alpha": 0, "batch_size": 53}
    mlp = fit(MLPClassifier, LABELS, **params)
    targets = smoothed(np.eye(3)[LABELS], share, 3)
    np.testing.assert_allclose(mlp.loss_, -np.mean(np.sum(targets * mlp.predict_log_proba(X), axis=1)), rtol=1e-8)
    mlp = fit(MLPClassifier, BINARY, **params)
    targets = smoothed(np.stack([1 - BINARY, BINARY], axis=1), share, 2)
    np.testing.assert_allclose(mlp.loss_, -np.mean(np.sum(targets * mlp.predict_log_proba(X), axis=1)), rtol=1e-8)
    mlp = fit(MLPClassifier, SETS, **params)
    p, targets = mlp.predict_proba(X), smoothed(SETS, share, 2)
    each = targets * np.log(p) + (1 - targets) * np.log1p(-p)
    np.testing.assert_allclose(mlp.loss_, -np.mean(np.sum(each, axis=1)), rtol=1e-8)


def test_label_smoothing_keeps_probabilities_away_from_1():
    params = {"solver": "lbfgs", "max_iter": 200, "alpha": 0, "label_smoothing": 0.3}
    assert abs(np.mean(fit(MLPClassifier, **params).predict_proba(X).max(axis=1)) - 0.8) < 0.02


# Precision


@both
@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32"), "float64", np.float64])
@pytest.mark.parametrize("of_samples", [np.float32, np.float64])
def test_the_dtype_may_be_chosen(estimator, dtype, of_samples):
    mlp = fit(estimator, x=X.astype(of_samples), dtype=dtype)
    assert {array.dtype for array in mlp.coefs_ + mlp.intercepts_} == {np.dtype(dtype)}
    same = fit(estimator, x=X.astype(of_samples).astype(dtype))
    assert_close(weights(mlp), weights(same), 1e-5 if np.dtype(dtype) == np.float32 else 1e-12, "weights")
    output = mlp.predict_proba(X) if estimator is MLPClassifier else mlp.predict(X)
    assert output.dtype == dtype


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_network_can_be_taken_out(name):
    problem = PROBLEMS[name]
    mlp = fit(problem.estimator, problem.y, **problem.params)
    outputs = mlp.network_.predict(X)
    if problem.estimator is MLPRegressor:
        np.testing.assert_array_equal(outputs.reshape(problem.y.shape), mlp.predict(X))
    else:
        np.testing.assert_array_equal(outputs, mlp.predict_proba(X)[:, -outputs.shape[1] :])


@both
def test_every_effect_together_can_be_trained(estimator):
    mlp = fit(
        estimator,
        activation=["gelu", "elu"],
        dropout=0.1,
        batch_norm=True,
        init="he",
        dtype="float32",
        optimizer=fnn.AdamW(0.01, clip_norm=1.0),
        early_stopping=True,
    )
    assert np.isfinite(weights(mlp)).all()
