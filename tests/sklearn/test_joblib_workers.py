"""Trainings side by side in the workers of joblib have the bits of trainings one by one. Searches: test_searches.py."""

import joblib
import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, SMALL, X, quiet, weights
from sklearn.model_selection import GridSearchCV, cross_val_score

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.jit,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("processes_of_joblib"),
]

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y
SEEDS = range(4)


def train(estimator, seed):
    """The weights of a small training, as bytes, and how many threads it could use."""
    mlp = quiet(estimator(**(SMALL | {"random_state": seed})).fit, X, Y)
    return weights(mlp).tobytes(), fnn.get_num_threads()


@both
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_trainings_in_workers_have_the_same_bits(estimator, backend):
    want = [train(estimator, seed)[0] for seed in SEEDS]
    tasks = (joblib.delayed(train)(estimator, seed) for seed in SEEDS)
    got = joblib.Parallel(n_jobs=2, backend=backend)(tasks)
    assert [bits for bits, _ in got] == want


def test_a_worker_of_loky_uses_its_share_of_the_cores():
    """joblib sets OMP_NUM_THREADS in its processes: one thread per network if there is a worker for every core."""
    tasks = (joblib.delayed(train)(MLPClassifier, seed) for seed in SEEDS)
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        got = joblib.Parallel(n_jobs=2)(tasks)
    assert {threads for _, threads in got} == {1}


def test_functions_of_a_user_reach_workers_even_without_a_name():
    """Which cloudpickle writes, not pickle. They have been compiled in this process, at addresses of its own."""
    loss = fnn.Loss(lambda y, t: (y - t) ** 4, lambda y, t: 4 * (y - t) ** 3)
    mlp = MLPRegressor(loss=loss, activation=fnn.Activation(lambda x: x / 2, lambda x: 0.5), **SMALL)
    quiet(mlp.fit, X, Y / 2)
    one, two = (GridSearchCV(mlp, {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=n_jobs).fit(X, Y / 2) for n_jobs in (None, 2))
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])


def test_large_samples_reach_workers_as_read_only_memory_maps():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30_000, 8))  # joblib maps arrays of 1 MB and more
    y = (x[:, 0] > 0).astype(int)
    mlp = MLPClassifier((4,), max_iter=1, random_state=0)
    alone, together = (cross_val_score(mlp, x, y, cv=2, n_jobs=n_jobs) for n_jobs in (None, 2))
    np.testing.assert_array_equal(alone, together)


def test_threads_may_share_a_trained_estimator():
    mlp = quiet(MLPClassifier(**SMALL).fit, X, Y)
    want = mlp.predict_proba(X)
    results = joblib.Parallel(n_jobs=4, backend="threading")(
        joblib.delayed(mlp.predict_proba)(X[i:]) for i in range(20)
    )
    for i, got in enumerate(results):
        np.testing.assert_allclose(got, want[i:], rtol=1e-12)
