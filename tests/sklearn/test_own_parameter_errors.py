"""Bad values of our own parameters are refused by an error that names the parameter, and change nothing."""

import inspect

import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, SMALL, X, quiet, weights

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y

INVALID = {
    "dropout": [-0.1, 1.0, "half", None, np.nan, True],
    "batch_norm": ["yes", None, 2],
    "class_weight": ["heavy", 3, [1.0]],
    "label_smoothing": [-0.1, 1.0, "some", None],
    "delta": [0, -1.0, "small", None],
    "optimizer": ["adma", fnn.Adam, 0.1],
    "schedule": [0.1, "cosine", fnn.Adam(0.1)],
    "clip_norm": [0, -1.0, "one"],
    "init": ["random", -0.1, None, np.nan],
    "eval_metric": [3, ["accuracy"]],
    "callbacks": [3, [3], "stop"],
    "progress": ["yes", None],
    "n_estimators": [0, -1, 1.5, None],
    "n_jobs": ["all", 1.5],
    "n_threads": [0, -1, 1.5, "all"],
    "dtype": ["float16", "int", int, 32, np.complex128],
    "activation": ["bad", None, 3, ["tanh"], ["tanh"] * 3, ["tanh", "bad"], ["tanh", None], fnn.Activation, max],
}
CASES = [
    (estimator, name, value)
    for estimator in BOTH
    for name, values in INVALID.items()
    if name in inspect.signature(estimator).parameters
    for value in values
]


@pytest.mark.parametrize(("estimator", "name", "value"), CASES)
def test_a_bad_value_is_refused_by_name(estimator, name, value):
    mlp = estimator(**SMALL, **{name: value})
    if name == "delta":
        mlp.set_params(loss="huber")
    before = set(vars(mlp))
    with pytest.raises((ValueError, TypeError), match=name):
        mlp.fit(X, Y)
    assert "coefs_" not in set(vars(mlp)) - before


@pytest.mark.jit
@pytest.mark.parametrize(("estimator", "name", "value"), CASES)
def test_a_bad_value_leaves_a_trained_network(estimator, name, value):
    mlp = fit(estimator, max_iter=1)
    before, good = weights(mlp), mlp.get_params()
    with pytest.raises((ValueError, TypeError)):
        mlp.set_params(**({name: value} | ({"loss": "huber"} if name == "delta" else {}))).fit(X, Y)
    mlp.set_params(**good)
    assert weights(mlp).tobytes() == before.tobytes()
    mlp.predict(X)


def fit(estimator, **params):
    return quiet(estimator(**(SMALL | params)).fit, X, Y)


# Values that contradict each other

ONLY_STOCHASTIC = {
    "dropout": 0.5,
    "batch_norm": True,
    "schedule": fnn.schedules.Constant(0.1),
    "clip_norm": 1.0,
    "callbacks": [fnn.EarlyStopping(monitor="loss")],
    "progress": True,
}


@both
@pytest.mark.parametrize("name", ONLY_STOCHASTIC)
def test_what_has_no_meaning_for_lbfgs_is_refused(estimator, name):
    with pytest.raises(ValueError, match=f"{name}.*lbfgs"):
        fit(estimator, solver="lbfgs", **{name: ONLY_STOCHASTIC[name]})


@both
def test_an_evaluation_set_has_no_meaning_for_lbfgs(estimator):
    with pytest.raises(ValueError, match=r"eval_set.*lbfgs"):
        estimator(**SMALL, solver="lbfgs").fit(X, Y, eval_set=(X, Y))


@both
@pytest.mark.parametrize("name", ["schedule", "clip_norm"])
def test_a_rate_and_a_limit_belong_to_an_optimizer_that_is_given(estimator, name):
    with pytest.raises(ValueError, match=f"{name}.*optimizer"):
        fit(estimator, optimizer=fnn.Adam(0.1), **{name: ONLY_STOCHASTIC[name]})


@both
@pytest.mark.parametrize("learning_rate", ["invscaling", "adaptive"])
def test_a_schedule_leaves_no_other_rate(estimator, learning_rate):
    with pytest.raises(ValueError, match=r"learning_rate.*schedule"):
        fit(estimator, solver="sgd", learning_rate=learning_rate, schedule=fnn.schedules.Constant(0.1))


@pytest.mark.parametrize("class_weight", [{0: 1}, [{0: 1, 1: 2}]], ids=["dict", "short list"])
def test_weights_of_classes_must_fit_sets_of_labels(class_weight):
    with pytest.raises(ValueError, match="class_weight"):
        MLPClassifier(**SMALL, class_weight=class_weight).fit(X, PROBLEMS["multilabel"].y)


def test_weights_of_unknown_classes_are_refused():
    with pytest.raises(ValueError, match=r"class|weight"):
        MLPClassifier(**SMALL, class_weight={7: 1.0, 8: 2.0}).fit(X, Y)


def test_balanced_weights_have_no_meaning_for_partial_fit():
    with pytest.raises(ValueError, match=r"class_weight.*partial_fit"):
        MLPClassifier(**SMALL, class_weight="balanced").partial_fit(X, Y, classes=range(3))


@both
def test_a_schedule_that_gives_a_bad_rate_is_refused(estimator):
    with pytest.raises(ValueError, match=r"^schedule\(0\)"):
        fit(estimator, schedule=lambda step: -1.0)


def test_the_parameters_of_other_losses_are_not_looked_at():
    assert fit(MLPRegressor, max_iter=1, quantile=0.3).loss_ == fit(MLPRegressor, max_iter=1).loss_
