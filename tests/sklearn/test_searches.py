"""Searches give the same bits in processes, in threads and on a cluster of Dask as one fit after the other."""

import itertools

import joblib
import numpy as np
import pytest
import scipy.stats
from estimator_twins import SMALL, assert_same_weights, samples, weights
from searching import KillOnce, NoteThreads
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, workers

pytestmark = [
    pytest.mark.jit,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of distributed
]

X = samples(count=300)  # joblib sends arrays of more than 1 kB to Dask's workers once, not with each task
Y = (X[:, 0] + X[:, 1] ** 2 > 1).astype(int)
GRID = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (5, 4)]}


def assert_same_search(search, **parameters):
    """Assert that a search gives in workers what it gives with n_jobs=1."""
    two, one = search(**parameters).fit(X, Y), search(**parameters, n_jobs=1)
    with joblib.parallel_config("sequential"):
        one.fit(X, Y)
    assert two.best_params_ == one.best_params_
    for name in (name for name in one.cv_results_ if name.endswith("_test_score")):
        np.testing.assert_array_equal(two.cv_results_[name], one.cv_results_[name])
    assert_same_weights(two.best_estimator_, one.best_estimator_)
    return one


def test_a_grid_search_is_the_same(backend):
    assert_same_search(GridSearchCV, estimator=MLPClassifier(**SMALL), param_grid=GRID, cv=2)


def test_a_halving_search_is_the_same_with_epochs_as_its_resource(backend):
    found = assert_same_search(
        HalvingRandomSearchCV, estimator=MLPClassifier(**SMALL), cv=2, random_state=0, resource="max_iter",
        param_distributions={"alpha": scipy.stats.loguniform(1e-5, 1)}, n_candidates=6, min_resources=2,
        max_resources=18,
    )  # fmt: skip
    assert found.n_resources_ == [2, 6]
    assert found.best_estimator_.n_iter_ == 6


def test_a_halving_search_is_the_same_with_samples_as_its_resource(backend):
    assert_same_search(
        HalvingRandomSearchCV, estimator=MLPClassifier(**SMALL), cv=2, random_state=0,
        param_distributions={"alpha": scipy.stats.loguniform(1e-5, 1)}, n_candidates=4, min_resources=60,
    )  # fmt: skip


def test_cross_validation_is_the_same(backend):
    scores = cross_val_score(MLPClassifier(**SMALL), X, Y, cv=3)
    np.testing.assert_array_equal(scores, cross_val_score(MLPClassifier(**SMALL), X, Y, cv=3, n_jobs=1))


# Cores


def noted_threads(model, **options):
    """How many threads each fit of a cross-validation could use."""
    model.set_params(callbacks=[NoteThreads()])
    trained = cross_validate(model, X, Y, cv=4, return_estimator=True, **options)["estimator"]
    return {estimator.callbacks[0].threads for estimator in trained}


def test_a_fit_in_a_worker_has_one_thread(backend):
    assert noted_threads(MLPClassifier(**SMALL)) == {1}
    assert noted_threads(MLPClassifier(**SMALL), n_jobs=1) == {1 if backend == "dask" else fnn.get_num_threads()}


def test_a_fit_in_a_thread_of_dask_has_one_thread(threads_of_dask):
    with joblib.parallel_config("dask"):
        assert noted_threads(MLPClassifier(**SMALL)) == {1}
    future = threads_of_dask.submit(MLPClassifier(**SMALL, callbacks=[NoteThreads()]).fit, X, Y)  # without joblib
    assert future.result().callbacks[0].threads == 1


def test_the_user_may_give_a_fit_in_a_worker_more_threads(threads_of_dask):
    with joblib.parallel_config("dask"):
        assert noted_threads(MLPClassifier(n_threads=2, **SMALL)) == {min(2, fnn.get_num_threads())}


def test_the_last_fit_of_a_search_has_all_threads(threads_of_dask):
    with joblib.parallel_config("dask"):
        search = GridSearchCV(MLPClassifier(**SMALL, callbacks=[NoteThreads()]), {"alpha": [0.1, 1.0]}, cv=2).fit(X, Y)
    assert search.best_estimator_.callbacks[0].threads == fnn.get_num_threads()


def test_an_ensemble_counts_the_cores_of_its_machine_not_those_of_a_cluster():
    distributed = pytest.importorskip("distributed")
    many = {"n_workers": 1, "threads_per_worker": 50, "processes": False, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**many) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        assert joblib.effective_n_jobs(3) == 50
        assert [workers.jobs_here(count) for count in (1, 3)] == [1, 3]
        assert workers.jobs_here(-1) <= fnn.backend.max_threads()
        assert workers.jobs_here(None) <= fnn.backend.max_threads()
        # In a task, where other tasks run beside it.
        assert client.submit(workers.jobs_here, None).result() == 1
        (one,) = joblib.Parallel()([joblib.delayed(workers.jobs_here)(None)])
        assert one == 1


# Workers that die


def test_fits_of_a_worker_that_dies_are_repeated_with_the_same_scores(cluster, tmp_path):
    folds = list(StratifiedKFold(3).split(X, Y))
    want = GridSearchCV(MLPClassifier(**SMALL), GRID, cv=folds).fit(X, Y)
    before = cluster.run(int, 0).keys()
    cluster.amm.stop()
    with joblib.parallel_config("dask", scatter=[X, Y, *itertools.chain(*folds)]):
        got = GridSearchCV(MLPClassifier(**SMALL), GRID, cv=folds, scoring=KillOnce(tmp_path / "killed")).fit(X, Y)
    assert (tmp_path / "killed").exists()
    cluster.wait_for_workers(2, timeout=60)
    assert len(before - cluster.run(int, 0).keys()) == 1  # its address
    np.testing.assert_array_equal(got.cv_results_["mean_test_score"], want.cv_results_["mean_test_score"])
    assert weights(got.best_estimator_).tobytes() == weights(want.best_estimator_).tobytes()
