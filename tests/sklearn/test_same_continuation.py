"""When a training ends, and what a second one starts from, are as in scikit-learn."""

import copy

import numpy as np
import pytest
from estimator_twins import (
    PROBLEMS,
    SAMPLES,
    SMALL,
    WEIGHTS,
    X,
    assert_close,
    assert_same_training,
    fit_both,
    quiet,
    samples,
    weights,
    with_both,
)

from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

problems = pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)


@problems
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_early_stopping_keeps_the_same_best_weights(problem, solver, sample_weight):
    params = {"solver": solver, "early_stopping": True, "validation_fraction": 0.3, "learning_rate_init": 0.1}
    ours, theirs = fit_both(problem, sample_weight=sample_weight, max_iter=25, n_iter_no_change=3, alpha=0.5, **params)
    assert_same_training(ours, theirs)
    assert len(ours.validation_scores_) == ours.n_iter_
    assert ours.best_loss_ is None


@pytest.mark.parametrize("name", ["multiclass", "outputs"])
def test_the_learning_rate_adapts_to_the_validation_score(name):
    params = {"solver": "sgd", "learning_rate": "adaptive", "early_stopping": True, "tol": 0.5, "n_iter_no_change": 2}
    assert_same_training(*fit_both(PROBLEMS[name], max_iter=30, **params))


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("name", ["multiclass", "one output"])
def test_what_stays_equal_is_no_worse_without_a_tolerance(name, early_stopping):
    """A rate of 1e-300 changes neither loss nor score, and training does not stop."""
    params = {"solver": "sgd", "momentum": 0, "learning_rate_init": 1e-300, "tol": 0, "n_iter_no_change": 2}
    ours, theirs = fit_both(
        PROBLEMS[name], early_stopping=early_stopping, shuffle=False, batch_size=100, max_iter=9, **params
    )
    assert_same_training(ours, theirs)
    assert ours.n_iter_ == 9


@problems
def test_early_stopping_does_not_concern_lbfgs(problem):
    assert_same_training(*fit_both(problem, solver="lbfgs", early_stopping=True))


@problems
@pytest.mark.parametrize("n_iter_no_change", [1, 2, np.inf])
def test_training_ends_when_the_loss_does_not_improve(problem, n_iter_no_change):
    ours, theirs = fit_both(problem, tol=0.05, n_iter_no_change=n_iter_no_change, max_iter=30)
    assert_same_training(ours, theirs)
    assert (ours.n_iter_ == 30) == (n_iter_no_change == np.inf)


def test_training_ends_when_the_adapted_learning_rate_is_tiny():
    params = {"solver": "sgd", "learning_rate": "adaptive", "tol": 100.0, "n_iter_no_change": 1, "max_iter": 60}
    ours, theirs = fit_both(PROBLEMS["binary"], **params)
    assert_same_training(ours, theirs)
    assert ours.n_iter_ < 60


@pytest.mark.parametrize("limit", [{"max_fun": 5}, {"max_iter": 3}, {"max_iter": 1}, {"tol": 1.0}, {"tol": 0}])
@problems
def test_lbfgs_ends_at_the_same_limits(problem, limit):
    assert_same_training(*fit_both(problem, solver="lbfgs", **({"max_iter": 20} | limit)))


@problems
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_warm_start_goes_on_from_the_weights(problem, solver):
    def fit(cls):
        estimator = cls(**(SMALL | problem.params), solver=solver, warm_start=True).fit(X, problem.y)
        first = copy.deepcopy(estimator)
        return first, estimator.fit(X, problem.y, sample_weight=WEIGHTS)

    (first, ours), (_, theirs) = with_both(problem.estimator, fit)
    assert_same_training(ours, theirs)
    assert np.any(weights(first) != weights(ours))


def test_a_warm_start_may_change_parameters():
    problem = PROBLEMS["multiclass"]

    def fit(cls):
        estimator = cls(**SMALL, warm_start=True).fit(X, problem.y)
        estimator.set_params(solver="sgd", alpha=1.0, batch_size=5, learning_rate_init=0.1).fit(X, problem.y)
        return estimator.set_params(solver="lbfgs").fit(X, problem.y)

    assert_same_training(*with_both(problem.estimator, fit))


@pytest.mark.parametrize("name", ["binary", "outputs"])
def test_a_warm_start_with_early_stopping_has_the_same_scores_and_restores_the_best_weights(name):
    """scikit-learn's second fit writes over its copy of the best weights, and restores the last ones."""
    problem = PROBLEMS[name]

    def fit(cls):
        estimator = cls(**SMALL, warm_start=True, early_stopping=True, n_iter_no_change=2, shuffle=False)
        return estimator.fit(X, problem.y).fit(X, problem.y)

    ours, theirs = with_both(problem.estimator, fit)
    assert_close(ours.validation_scores_, theirs.validation_scores_, 1e-7, "validation_scores_")
    assert_close(ours.loss_curve_, theirs.loss_curve_, 1e-7, "loss_curve_")
    assert ours.best_validation_score_ == max(ours.validation_scores_)


@problems
def test_without_warm_start_a_second_fit_forgets_the_first(problem):
    once, _ = fit_both(problem)
    again = quiet(once.set_params(max_iter=2).fit, samples(7), problem.y)
    again = quiet(again.set_params(max_iter=SMALL["max_iter"]).fit, X, problem.y)
    assert_same_training(again, fit_both(problem)[1])


@problems
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS], ids=["equal", "weighted"])
def test_partial_fit_takes_the_same_passes(problem, solver, sample_weight):
    def fit(cls):
        estimator = cls(**(SMALL | problem.params), solver=solver)
        first = {"classes": np.arange(3)} if cls.__name__ == "MLPClassifier" else {}
        for _ in range(4):
            estimator.partial_fit(X, problem.y, sample_weight=sample_weight, **first)
            first = {}
        return estimator

    ours, theirs = with_both(problem.estimator, fit)
    assert_same_training(ours, theirs)
    assert ours.t_ == 4 * SAMPLES


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_partial_fit_keeps_the_state_of_the_solver(learning_rate):
    """Batches of other sizes, few enough for one step each; the velocity and the learning rate come from before."""
    problem = PROBLEMS["one output"]

    def fit(cls):
        estimator = cls(
            hidden_layer_sizes=(4,), solver="sgd", learning_rate=learning_rate, random_state=0, learning_rate_init=0.1
        )
        for start in range(0, SAMPLES, 10):
            estimator.partial_fit(X[start : start + 10], problem.y[start : start + 10])
        return estimator

    assert_same_training(*with_both(problem.estimator, fit))


@pytest.mark.parametrize("name", ["multiclass", "poisson"])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_fit_and_partial_fit_follow_each_other_alike(name, solver):
    problem = PROBLEMS[name]

    def fit(cls):
        estimator = cls(**(SMALL | problem.params), solver=solver).fit(X, problem.y)
        estimator.partial_fit(X[:20], problem.y[:20])
        estimator.partial_fit(X[20:], problem.y[20:])
        passed = copy.deepcopy(estimator)
        return passed, estimator.fit(X, problem.y)

    (passed, ours), (they_passed, theirs) = with_both(problem.estimator, fit)
    assert_same_training(passed, they_passed)
    assert_same_training(ours, theirs)


@pytest.mark.parametrize("classes", [[0, 1, 2], [2, 1, 0], np.arange(5)], ids=["sorted", "reversed", "more"])
def test_partial_fit_knows_classes_that_come_later(classes):
    y = PROBLEMS["multiclass"].y

    def fit(cls):
        estimator = cls(**SMALL)
        for label in (0, 2, 1):
            estimator.partial_fit(X[y == label], y[y == label], classes=classes)
        return estimator

    assert_same_training(*with_both(MLPClassifier, fit))


def test_a_training_that_fails_leaves_the_weights_of_before():
    """Unlike scikit-learn's, whose attributes are overwritten at the start."""
    problem = PROBLEMS["one output"]
    ours, _ = fit_both(problem)
    before = weights(ours)
    with pytest.raises(ValueError):
        ours.fit(X, problem.y[:-1])
    np.testing.assert_array_equal(weights(ours), before)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_constant_parameters_of_fit_are_not_written_to(estimator):
    y = PROBLEMS["binary"].y
    x, weight = X.copy(), WEIGHTS.copy()
    quiet(estimator(max_iter=3).fit, x, y, sample_weight=weight)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(weight, WEIGHTS)
