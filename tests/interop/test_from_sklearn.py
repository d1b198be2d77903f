"""`from_sklearn`: a fitted network of scikit-learn goes on as an estimator of fastfnn.sklearn."""

import copy

import numpy as np
import pandas as pd
import pytest
from estimator_twins import PROBLEMS, SMALL, THEIRS, X, assert_same_training, quiet
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastfnn as fnn

problems = pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)


def fitted(problem, x=X, **params):
    return quiet(THEIRS[problem.estimator](**(SMALL | problem.params | params)).fit, x, problem.y)


@problems
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_parameters_attributes_and_predictions_are_equal(problem, activation):
    theirs = fitted(problem, activation=activation)
    ours = fnn.from_sklearn(theirs)
    assert type(ours) is problem.estimator
    assert_same_training(ours, theirs, rtol=1e-13)
    assert theirs.get_params().items() <= ours.get_params().items()
    np.testing.assert_allclose(ours.network_.predict(X), ours._outputs(X), rtol=1e-15)


@problems
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam"},
        {"solver": "sgd", "momentum": 0.9},
        {"solver": "sgd", "nesterovs_momentum": False},
        {"solver": "sgd", "momentum": 0},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"solver": "adam", "warm_start": True},
    ],
    ids=str,
)
def test_training_goes_on_as_in_scikit_learn(problem, params):
    theirs = fitted(problem, **params)
    ours = fnn.from_sklearn(theirs)
    for estimator in (ours, theirs):
        for _ in range(3):
            quiet(estimator.partial_fit, X, problem.y)
    assert_same_training(ours, theirs, rtol=1e-10)


@problems
@pytest.mark.parametrize("params", [{"early_stopping": True, "validation_fraction": 0.3}, {"solver": "lbfgs"}], ids=str)
def test_a_warm_start_goes_on_as_in_scikit_learn(problem, params):
    theirs = fitted(problem, warm_start=True, **params)
    ours = fnn.from_sklearn(theirs)
    for estimator in (ours, theirs):
        quiet(estimator.fit, X, problem.y)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-6)
    assert ours.n_iter_ == theirs.n_iter_


def test_float32_stays_float32():
    theirs = fitted(PROBLEMS["multiclass"], X.astype(np.float32))
    ours = fnn.from_sklearn(theirs)
    assert ours.network_.dtype == np.float32
    np.testing.assert_allclose(
        ours.predict_proba(X.astype(np.float32)), theirs.predict_proba(X.astype(np.float32)), rtol=1e-5
    )


def test_names_of_classes_and_features_come_along():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    labels = np.array(["no", "perhaps", "yes"])[PROBLEMS["multiclass"].y]
    theirs = quiet(MLPClassifier(**SMALL).fit, frame, labels)
    ours = fnn.from_sklearn(theirs)
    assert ours.classes_.tolist() == ["no", "perhaps", "yes"]
    assert ours.feature_names_in_.tolist() == list("abcdef")
    assert (ours.predict(frame) == theirs.predict(frame)).all()


def test_the_model_is_not_changed_and_shares_nothing():
    theirs = fitted(PROBLEMS["outputs"])
    before = copy.deepcopy(theirs)
    ours = fnn.from_sklearn(theirs)
    ours.coefs_[0][...] = 0
    ours.loss_curve_.append(1.0)
    quiet(ours.partial_fit, X, PROBLEMS["outputs"].y)
    for got, want in zip(theirs.coefs_, before.coefs_, strict=True):
        assert (got == want).all()
    assert theirs.loss_curve_ == before.loss_curve_


def test_what_is_no_fitted_network_is_refused():
    with pytest.raises(NotFittedError):
        fnn.from_sklearn(MLPRegressor())
    with pytest.raises(TypeError, match="MLPClassifier or MLPRegressor of scikit-learn, got LogisticRegression"):
        fnn.from_sklearn(LogisticRegression())
    with pytest.raises(TypeError, match="a step of it, got Pipeline"):
        fnn.from_sklearn(make_pipeline(StandardScaler(), MLPRegressor()))
    with pytest.raises(TypeError, match="got MLPClassifier"):
        fnn.from_sklearn(fnn.from_sklearn(fitted(PROBLEMS["binary"])))
