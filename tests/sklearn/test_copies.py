"""Copies of estimators: cloned, copied, pickled, stored and loaded in another process."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, SMALL, X, assert_same_weights, quiet, weights
from helpers import run_python
from sklearn.base import clone

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y

COPIERS = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "old pickle": lambda estimator: pickle.loads(pickle.dumps(estimator, protocol=2)),
    "deepcopy": copy.deepcopy,
}
OBJECTS = {
    "optimizer": fnn.Adam(0.01),
    "schedule": fnn.schedules.Exponential(0.1, 0.9),
    "activation": ["tanh", "relu"],
    "callbacks": [fnn.EarlyStopping(3, monitor="loss")],
}

copiers = pytest.mark.parametrize("copier", list(COPIERS.values()), ids=COPIERS)


def fit(estimator, **params):
    return quiet(estimator(**(SMALL | {"learning_rate_init": 0.1} | params)).fit, X, Y)


@both
@copiers
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_a_copy_predicts_the_same_and_is_independent(estimator, copier, solver):
    original = fit(estimator, solver=solver)
    duplicate = copier(original)
    assert_same_weights(duplicate, original)
    assert duplicate.predict(X).tobytes() == original.predict(X).tobytes()
    before = weights(original)
    for array in duplicate.coefs_:
        array[...] = 0
    assert weights(original).tobytes() == before.tobytes()
    assert len(np.unique(duplicate.predict(X))) == 1
    assert len(np.unique(original.predict(X))) > 1


@both
@copiers
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_copy_goes_on_as_the_original_would(estimator, copier, solver):
    """With the state of the solver."""
    original = fit(estimator, solver=solver, random_state=np.random.RandomState(0))
    duplicate = copier(original)
    for each in (original, duplicate):
        each.partial_fit(X, Y).partial_fit(X, Y)
    assert_same_weights(duplicate, original)
    assert duplicate.loss_curve_ == original.loss_curve_


@both
@copiers
def test_an_untrained_estimator_is_copied(estimator, copier):
    assert copier(estimator(alpha=3)).get_params() == estimator(alpha=3).get_params()


@both
def test_a_clone_is_untrained_and_has_equal_parameters(estimator):
    original = fit(estimator, alpha=0.5)
    duplicate = clone(original)
    assert duplicate.get_params() == original.get_params()
    assert not hasattr(duplicate, "coefs_")
    assert_same_weights(quiet(duplicate.fit, X, Y), original)


@both
@pytest.mark.parametrize("name", OBJECTS)
def test_a_clone_keeps_objects_of_our_own(estimator, name):
    """scikit-learn copies them; the copies must be as good."""
    original = estimator(**(SMALL | {name: OBJECTS[name]}))
    assert getattr(original, name) is OBJECTS[name]
    duplicate = clone(original)
    assert type(getattr(duplicate, name)) is type(OBJECTS[name])
    assert_same_weights(quiet(duplicate.fit, X, Y), quiet(original.fit, X, Y))


@both
@copiers
def test_a_trained_estimator_with_an_optimizer_is_copied(estimator, copier):
    original = fit(estimator, optimizer=fnn.Momentum(0.05), dropout=0.2, batch_norm=True)
    duplicate = copier(original)
    assert duplicate.predict(X).tobytes() == original.predict(X).tobytes()


def twice(x):
    return 2 * x


def two(x):
    return 2.0 + 0 * x


def one_minus_square(x, y):
    return 1 - y * y


@both
@copiers
@pytest.mark.parametrize("functions", [(twice, two), (np.tanh, one_minus_square)], ids=["functions", "ufuncs"])
def test_a_trained_estimator_with_an_activation_of_a_user_is_copied(estimator, copier, functions, tmp_path):
    original = fit(estimator, activation=[fnn.Activation(*functions), "tanh"], hidden_layer_sizes=(5, 4))
    duplicate = copier(original)
    assert duplicate.predict(X).tobytes() == original.predict(X).tobytes()
    joblib.dump(original, tmp_path / "mlp")
    assert joblib.load(tmp_path / "mlp").predict(X).tobytes() == original.predict(X).tobytes()


@both
def test_the_activation_of_a_user_that_cannot_be_pickled_is_named(estimator):
    original = fit(estimator, activation=fnn.Activation(lambda x: 2 * x, two))
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(original)
    assert copy.deepcopy(original).predict(X).tobytes() == original.predict(X).tobytes()


@both
@pytest.mark.parametrize("compress", [0, 3])
def test_joblib_stores_an_estimator(estimator, tmp_path, compress):
    original = fit(estimator)
    joblib.dump(original, tmp_path / "mlp", compress=compress)
    loaded = joblib.load(tmp_path / "mlp")
    assert_same_weights(loaded, original)
    assert loaded.predict(X).tobytes() == original.predict(X).tobytes()


@both
def test_weights_may_be_mapped_into_memory(estimator, tmp_path):
    """As joblib hands large estimators to its workers: read-only."""
    original = fit(estimator)
    joblib.dump(original, tmp_path / "mlp")
    loaded = joblib.load(tmp_path / "mlp", mmap_mode="r")
    assert loaded.predict(X).tobytes() == original.predict(X).tobytes()
    quiet(loaded.set_params(warm_start=True).fit, X, Y)  # trains a copy


def test_another_process_loads_an_estimator(tmp_path):
    originals = [fit(estimator) for estimator in BOTH]
    for original in originals:
        joblib.dump(original, tmp_path / type(original).__name__)
    np.save(tmp_path / "x.npy", X)
    code = """
import sys, joblib, numpy as np
folder, *names = sys.argv[1:]
x = np.load(folder + "/x.npy")
for name in names:
    mlp = joblib.load(folder + "/" + name)
    np.save(folder + "/of_" + name, mlp.predict(x))
    mlp.partial_fit(x, np.arange(len(x)) % 3)
"""
    names = [type(original).__name__ for original in originals]
    run_python(code, tmp_path, *names)
    for name, original in zip(names, originals, strict=True):
        assert np.load(tmp_path / f"of_{name}.npy").tobytes() == original.predict(X).tobytes(), name


def test_a_pickle_holds_the_weights_once():
    """Not the samples, nor buffers of training."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2000, 50)), rng.integers(2, size=2000)
    mlp = quiet(MLPClassifier((100,), max_iter=1, solver="sgd", momentum=0).fit, x, y)
    assert len(pickle.dumps(mlp)) < 4 * weights(mlp).nbytes  # the best weights of early stopping, too


@both
def test_weights_of_a_wrong_shape_in_a_copy_are_refused(estimator):
    duplicate = pickle.loads(pickle.dumps(fit(estimator)))
    duplicate.coefs_[0] = np.ones(1)  # which NumPy would spread over all weights
    with pytest.raises(ValueError, match=r"^coefs_\[0\] must have shape"):
        duplicate.predict(X)
