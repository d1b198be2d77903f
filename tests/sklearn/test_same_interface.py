"""Signatures, methods, attributes and tags are those of scikit-learn's classes, and ours come after theirs."""

import inspect

import numpy as np
import pytest
import sklearn.base
from estimator_twins import BOTH, PROBLEMS, SMALL, THEIRS, X, fit_both, fitted_attributes, own_parameters, quiet
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from fastfnn.sklearn import MLPClassifier, MLPRegressor

OWN = {
    "dropout": 0.0,
    "batch_norm": False,
    "optimizer": None,
    "schedule": None,
    "clip_norm": None,
    "init": "glorot",
    "eval_metric": None,
    "callbacks": None,
    "progress": False,
    "n_estimators": 1,
    "n_jobs": None,
    "n_threads": None,
    "dtype": None,
}
OWN_OF = {
    MLPClassifier: OWN | {"class_weight": None, "label_smoothing": 0.0},
    MLPRegressor: OWN | {"delta": 1.0, "quantile": 0.5},
}

both = pytest.mark.parametrize("estimator", BOTH)


def parameters(function):
    """(name, kind, default) of the parameters of a function."""
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


def public_names(cls):
    return {name for name in dir(cls) if not name.startswith("_")}


@both
def test_the_constructor_begins_with_the_same_parameters(estimator):
    theirs = parameters(THEIRS[estimator])
    assert parameters(estimator)[: len(theirs)] == theirs


@both
def test_own_parameters_are_keyword_only_and_have_these_defaults(estimator):
    own = parameters(estimator)[len(parameters(THEIRS[estimator])) :]
    assert {kind for _, kind, _ in own} == {inspect.Parameter.KEYWORD_ONLY}
    assert own_parameters(estimator) == OWN_OF[estimator]


@both
@pytest.mark.parametrize("method", ["partial_fit", "predict", "predict_proba", "predict_log_proba", "score"])
def test_methods_have_the_same_parameters(estimator, method):
    assert hasattr(estimator, method) == hasattr(THEIRS[estimator], method)
    if hasattr(estimator, method):
        assert parameters(getattr(estimator, method)) == parameters(getattr(THEIRS[estimator], method))


@both
def test_fit_has_the_same_parameters_and_some_of_its_own_by_keyword(estimator):
    theirs = parameters(THEIRS[estimator].fit)
    ours = parameters(estimator.fit)
    (name, kind, _) = theirs[2]
    theirs[2] = name, kind, None  # y, which is not given with a source
    assert name == "y"
    assert ours[: len(theirs)] == theirs
    own = [("eval_set", None), ("checkpoint", None), ("resume", False), ("comm", None)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    assert parameters(estimator.fit)[len(theirs) :] == [(name, keyword, default) for name, default in own]


@both
def test_every_public_method_is_there(estimator):
    assert public_names(THEIRS[estimator]) <= public_names(estimator)
    for name in public_names(THEIRS[estimator]):
        assert callable(getattr(estimator, name, None)) == callable(getattr(THEIRS[estimator], name, None)), name


@both
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_partial_fit_is_there_for_stochastic_solvers(estimator, solver):
    """By an oversight scikit-learn's regressor has it with lbfgs, too; ours is like the classifier."""
    assert hasattr(estimator(solver=solver), "partial_fit") == (solver != "lbfgs")
    assert hasattr(THEIRS[MLPClassifier](solver=solver), "partial_fit") == (solver != "lbfgs")


@both
def test_a_decision_function_is_not_there(estimator):
    assert not hasattr(estimator(), "decision_function")


@pytest.mark.jit
@pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_training_sets_the_same_attributes(problem, solver):
    ours, theirs = fit_both(problem, solver=solver, max_iter=2)
    assert fitted_attributes(theirs) <= fitted_attributes(ours)
    for name in fitted_attributes(theirs):
        assert isinstance(getattr(theirs, name), type(getattr(ours, name))), name  # NumPy's float64 is a float
    for name in ("coefs_", "intercepts_"):
        assert {type(array) for array in getattr(ours, name)} == {np.ndarray}


@both
def test_tags_are_the_same(estimator):
    assert get_tags(estimator()) == get_tags(THEIRS[estimator]())


@both
def test_the_kind_of_estimator_is_the_same(estimator):
    for question in (sklearn.base.is_classifier, sklearn.base.is_regressor):
        assert question(estimator()) == question(THEIRS[estimator]())


@both
def test_an_estimator_shows_the_parameters_that_were_given(estimator):
    params = {"alpha": 1.5, "hidden_layer_sizes": (3, 2), "random_state": 1}
    assert repr(estimator(**params)) == repr(THEIRS[estimator](**params))
    assert "hidden_layer_sizes" in estimator(**params)._repr_html_()


@both
def test_parameters_are_set_and_read_by_name(estimator):
    instance = estimator()
    assert instance.get_params() == THEIRS[estimator]().get_params() | OWN_OF[estimator]
    changed = {name: object() for name in instance.get_params()}
    assert instance.set_params(**changed) is instance
    assert instance.get_params() == changed


@both
def test_the_constructor_does_not_check(estimator):
    assert estimator(solver="none", alpha=-1, dropout=7, init=None).dropout == 7


@pytest.mark.jit
@both
def test_an_estimator_knows_whether_it_is_trained(estimator):
    problem = PROBLEMS["multiclass"]
    instance = estimator(**SMALL)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(instance)
    assert quiet(instance.fit, X, problem.y) is instance
    check_is_fitted(instance)


@pytest.mark.jit
@both
def test_partial_fit_returns_the_estimator(estimator):
    instance = estimator(**SMALL)
    first = {"classes": range(3)} if estimator is MLPClassifier else {}
    assert instance.partial_fit(X, PROBLEMS["multiclass"].y, **first) is instance


@both
def test_every_parameter_and_attribute_is_documented(estimator):
    text = inspect.getdoc(estimator)
    for name in inspect.signature(estimator).parameters:
        assert name in text, name
    for name in ("coefs_", "intercepts_", "loss_", "best_loss_", "loss_curve_", "validation_scores_", "n_iter_", "t_"):
        assert name in text, name
