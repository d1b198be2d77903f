"""Workers share large samples: our estimators copy none of them, and a recipe avoids the copies of scikit-learn."""

import functools

import joblib
import numpy as np
import pytest
from private_memory import Growth, needs_linux, pid_after_a_while
from searching import rows
from sklearn.model_selection import PredefinedSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fastfnn.sklearn import MLPClassifier

pytestmark = [
    pytest.mark.jit,
    needs_linux,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of distributed
]

processes = pytest.mark.parametrize("backend", ["loky", "dask"], indirect=True)

COUNT, FEATURES = 80_000, 150
MODEL = MLPClassifier((4,), max_iter=1, random_state=0, dtype="float32")  # which the samples are not
FOLDS = PredefinedSplit(np.repeat([-1, 0], COUNT // 2))  # the first half trains, the second one measures


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The path of a file of samples, of about 100 MB."""
    path = tmp_path_factory.mktemp("samples") / "x.npy"
    x = np.lib.format.open_memmap(path, "w+", np.float64, (COUNT, FEATURES))
    x[...] = np.random.default_rng(0).standard_normal((1000, FEATURES))[np.arange(COUNT) % 1000]
    return path


@pytest.fixture
def workers(backend):
    """The numbers of the two processes of a back-end, which have loaded what a fit needs."""
    x, y = np.random.default_rng(0).standard_normal((80, FEATURES)), np.arange(80) % 2
    pids = {int(pid) for _ in range(2) for pid in cross_val_score(MODEL, x, y, cv=2, scoring=pid_after_a_while)}
    assert len(pids) == 2
    return pids


def labels(file):
    return (np.load(file, mmap_mode="r")[:, 0] > 0).astype(int)


@pytest.mark.parametrize("backend", ["loky"], indirect=True)
def test_an_estimator_in_a_process_of_joblib_copies_no_samples(workers, file):
    x, y = np.load(file), labels(file)
    with Growth(workers) as growth:
        one, two = joblib.Parallel()(joblib.delayed(MODEL.fit)(x, y) for _ in range(2))
        joblib.Parallel()(joblib.delayed(one.predict)(x) for _ in range(2))
    assert growth.bytes < 0.25 * x.nbytes
    assert one.loss_ == two.loss_


@processes
def test_folds_are_the_only_copies_of_a_search_beside_those_that_dask_sends(workers, backend, file):
    x, y = np.load(file, mmap_mode="r"), labels(file)
    with Growth(workers) as growth:
        cross_val_score(MODEL, x, y, cv=FOLDS)
    assert 0.4 * x.nbytes < growth.bytes < (1.25 if backend == "loky" else 2.25) * x.nbytes


@processes
def test_numbers_of_rows_in_place_of_samples_avoid_all_copies(workers, file):
    x, y = np.load(file, mmap_mode="r"), labels(file)
    want = cross_val_score(MODEL, x, y, cv=FOLDS, n_jobs=1)
    model = make_pipeline(FunctionTransformer(functools.partial(rows, path=file)), MODEL)
    with Growth(workers) as growth:
        got = cross_val_score(model, np.arange(COUNT)[:, np.newaxis], y, cv=FOLDS)
    assert growth.bytes < 0.25 * x.nbytes
    np.testing.assert_array_equal(got, want)
