"""n_estimators: networks of different seeds, trained side by side, whose outputs are averaged."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import scipy.sparse
from estimator_twins import BOTH, PROBLEMS, SMALL, WEIGHTS, X, quiet, samples, weights
from sklearn.base import clone

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier

pytestmark = [pytest.mark.jit, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

both = pytest.mark.parametrize("estimator", BOTH)
problems = pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)
LABELS = PROBLEMS["multiclass"].y


def fit(problem, x=X, sample_weight=None, **params):
    mlp = problem.estimator(**(SMALL | problem.params | {"n_estimators": 3} | params))
    return quiet(mlp.fit, x, problem.y, sample_weight=sample_weight)


def of(estimator):
    return PROBLEMS["multiclass"]._replace(estimator=estimator)


def outputs(mlp, x=X):
    return mlp.predict_proba(x) if isinstance(mlp, MLPClassifier) else mlp.predict(x)


def assert_same_ensembles(one, two):
    assert len(one.estimators_) == len(two.estimators_)
    for member, other in zip(one.estimators_, two.estimators_, strict=True):
        assert weights(member).tobytes() == weights(other).tobytes()
    assert outputs(one).tobytes() == outputs(two).tobytes()


@problems
def test_the_outputs_are_the_mean_of_the_members(problem):
    mlp = fit(problem)
    assert len(mlp.estimators_) == 3
    assert {type(member) for member in mlp.estimators_} == {problem.estimator}
    np.testing.assert_allclose(
        outputs(mlp), np.mean([outputs(member) for member in mlp.estimators_], axis=0), rtol=1e-12
    )


@both
def test_members_differ(estimator):
    members = fit(of(estimator)).estimators_
    assert len({weights(member).tobytes() for member in members}) == 3
    assert len({member.loss_curve_[0] for member in members}) == 3


@both
def test_a_class_is_predicted_from_the_mean_probability(estimator):
    mlp = fit(of(MLPClassifier), max_iter=2)
    np.testing.assert_array_equal(mlp.predict(X), mlp.classes_[np.argmax(mlp.predict_proba(X), axis=1)])


@problems
@pytest.mark.parametrize("n_jobs", [2, -1])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_number_of_jobs_does_not_change_a_bit(problem, n_jobs, solver):
    assert_same_ensembles(fit(problem, n_jobs=n_jobs, solver=solver), fit(problem, solver=solver))


@both
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_the_backend_of_joblib_does_not_change_a_bit(estimator, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        two = fit(of(estimator))
    assert_same_ensembles(two, fit(of(estimator)))


@both
def test_the_same_random_state_gives_the_same_ensemble(estimator):
    assert_same_ensembles(fit(of(estimator)), fit(of(estimator)))
    other = fit(of(estimator), random_state=99)
    assert outputs(other).tobytes() != outputs(fit(of(estimator))).tobytes()


@both
def test_more_members_keep_those_of_before(estimator):
    few, many = fit(of(estimator), n_estimators=2), fit(of(estimator), n_estimators=4)
    for member, other in zip(few.estimators_, many.estimators_[:2], strict=True):
        assert weights(member).tobytes() == weights(other).tobytes()


@both
def test_a_member_is_a_network_of_its_own(estimator):
    member = fit(of(estimator)).estimators_[1]
    alone = quiet(clone(member).fit, X, LABELS)
    assert weights(alone).tobytes() == weights(member).tobytes()
    assert member.n_estimators == 1


@both
def test_an_ensemble_reports_the_mean_loss_and_the_longest_training(estimator):
    mlp = fit(of(estimator))
    np.testing.assert_allclose(mlp.loss_, np.mean([member.loss_ for member in mlp.estimators_]))
    assert mlp.n_iter_ == max(member.n_iter_ for member in mlp.estimators_)
    assert mlp.n_features_in_ == X.shape[1]


@both
def test_an_ensemble_takes_weights_and_sparse_samples(estimator):
    x = scipy.sparse.csr_array(np.where(X > 0, X, 0))
    sparse, dense = (fit(of(estimator), each, WEIGHTS) for each in (x, x.toarray()))
    np.testing.assert_allclose(outputs(sparse, x), outputs(dense, x.toarray()), rtol=1e-9)


@both
def test_members_stop_early_each_by_its_own_validation_set(estimator):
    mlp = fit(of(estimator), early_stopping=True, n_iter_no_change=2, max_iter=25)
    assert len({tuple(member.validation_scores_) for member in mlp.estimators_}) == 3


@both
def test_an_evaluation_set_is_shared_by_the_members(estimator):
    mlp = estimator(**SMALL, n_estimators=2)
    quiet(mlp.fit, X, LABELS, eval_set=(samples(5), LABELS))
    assert all(len(member.validation_scores_) == member.n_iter_ for member in mlp.estimators_)


@both
def test_partial_fit_trains_every_member(estimator):
    first = {"classes": range(3)} if estimator is MLPClassifier else {}
    mlp = estimator(**SMALL, n_estimators=2).partial_fit(X, LABELS, **first)
    before = [weights(member) for member in mlp.estimators_]
    mlp.partial_fit(X, LABELS)
    for member, old in zip(mlp.estimators_, before, strict=True):
        assert np.any(weights(member) != old)
        assert member.t_ == 2 * len(X)


@both
def test_a_warm_start_goes_on_with_every_member(estimator):
    mlp = fit(of(estimator), warm_start=True)
    losses = [member.loss_ for member in mlp.estimators_]
    quiet(mlp.fit, X, LABELS)
    assert all(member.loss_ < loss for member, loss in zip(mlp.estimators_, losses, strict=True))


@both
def test_an_ensemble_may_become_a_single_network_and_back(estimator):
    mlp = fit(of(estimator))
    single = quiet(mlp.set_params(n_estimators=1).fit, X, LABELS)
    assert not hasattr(single, "estimators_")
    assert weights(single).tobytes() == weights(fit(of(estimator), n_estimators=1)).tobytes()
    again = quiet(single.set_params(n_estimators=3).fit, X, LABELS)
    assert not hasattr(again, "coefs_")
    assert_same_ensembles(again, fit(of(estimator)))


@both
@pytest.mark.parametrize("copier", [copy.deepcopy, lambda mlp: pickle.loads(pickle.dumps(mlp))], ids=["copy", "pickle"])
def test_an_ensemble_is_copied(estimator, copier):
    mlp = fit(of(estimator))
    assert_same_ensembles(copier(mlp), mlp)


COUNTS = []


def note_threads(net, history):
    COUNTS.append(fnn.get_num_threads())


@both
def test_members_side_by_side_have_one_thread_each(estimator):
    COUNTS.clear()
    fit(of(estimator), n_jobs=2, callbacks=[note_threads], max_iter=1)
    assert COUNTS == [1, 1, 1]


@both
@pytest.mark.parametrize("bad", [{"n_estimators": 0}, {"n_estimators": 2.5}, {"n_jobs": "all"}, {"n_jobs": 0}], ids=str)
def test_bad_numbers_of_networks_and_jobs_are_refused(estimator, bad):
    with pytest.raises((ValueError, TypeError), match=next(iter(bad))):
        fit(of(estimator), **bad)
