"""What the tests of the estimators share: small problems, and comparisons with scikit-learn's classes at run time."""

import inspect
import re
import types
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import sklearn.neural_network

from fastfnn.sklearn import MLPClassifier, MLPRegressor

THEIRS = {
    MLPClassifier: sklearn.neural_network.MLPClassifier,
    MLPRegressor: sklearn.neural_network.MLPRegressor,
}
BOTH = tuple(THEIRS)

RTOL = 1e-7  # of float64 trainings, whose sums are rounded in another order
RTOL32 = 2e-3  # of float32 trainings
SAMPLES, FEATURES = 53, 6


def samples(seed=0, count=SAMPLES, features=FEATURES):
    return np.random.default_rng(seed).standard_normal((count, features))


X = samples()
MIX = np.random.default_rng(1).standard_normal((FEATURES, 3))  # targets depend on the samples through it


class Problem(NamedTuple):
    estimator: Any  # the class under test
    y: np.ndarray  # targets of X
    params: Mapping[str, Any] = types.MappingProxyType({})


PROBLEMS = {
    "binary": Problem(MLPClassifier, (X @ MIX[:, 0] > 0).astype(int)),
    "multiclass": Problem(MLPClassifier, np.argmax(X @ MIX, axis=1)),
    "multilabel": Problem(MLPClassifier, (X @ MIX > 0.5).astype(int)),
    "one output": Problem(MLPRegressor, np.tanh(X @ MIX[:, 0])),
    "outputs": Problem(MLPRegressor, X @ MIX),
    "poisson": Problem(MLPRegressor, np.floor(np.exp(0.3 * X @ MIX[:, 1])), {"loss": "poisson"}),
}
WEIGHTS = np.random.default_rng(2).uniform(0.1, 3.0, SAMPLES)
SMALL = {"hidden_layer_sizes": (7, 5), "max_iter": 6, "batch_size": 16, "learning_rate_init": 0.02, "random_state": 3}

NUMBERS = ("loss_", "best_loss_", "loss_curve_", "validation_scores_", "best_validation_score_")


def quiet(function, *args, **kwargs):
    """The result of a call whose warnings do not matter, such as those of few iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def report(action):
    """What an action does: its result; type and text of its exception, or None; type and text of its warnings."""
    result = error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = action()
        except Exception as exception:
            error = type(exception), _with_sorted_sets(str(exception))
    return result, error, [(warning.category, _with_sorted_sets(str(warning.message))) for warning in caught]


def _with_sorted_sets(text):
    """Sort what stands in braces: equal sets of strings are printed in any order."""
    return re.sub(r"\{([^{}]*)\}", lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text)


def with_both(estimator, action):
    """The results of `action` on a class and on its twin of scikit-learn, which must give the same warnings."""
    theirs, their_error, they_said = report(lambda: action(THEIRS[estimator]))
    assert their_error is None, their_error
    ours, error, said = report(lambda: action(estimator))
    assert error is None, error
    assert said == they_said
    return ours, theirs


def assert_same_error(estimator, action):
    """Assert that `action` fails on both classes with the same type, text and warnings; returns type and text."""
    _, their_error, they_said = report(lambda: action(THEIRS[estimator]))
    assert their_error is not None, "the test expects that scikit-learn fails"
    _, error, said = report(lambda: action(estimator))
    assert error == their_error
    assert said == they_said
    return error


def fit_both(problem, x=X, *, y=None, sample_weight=None, **params):
    """Train the estimator of a problem and its twin with equal parameters; warnings must be equal, too."""
    y = problem.y if y is None else y

    def fit(estimator):
        return estimator(**(SMALL | problem.params | params)).fit(x, y, sample_weight=sample_weight)

    return with_both(problem.estimator, fit)


def fitted_attributes(estimator):
    """The names of the public attributes that training has set."""
    return {name for name in vars(estimator) if name.endswith("_") and not name.startswith("_")}


def assert_close(got, want, rtol, name):
    """Assert |got - want| <= rtol * the largest |want|; both may be None."""
    assert (got is None) == (want is None), name
    if want is None:
        return
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, name
    if want.size:
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * np.nanmax(np.abs(want)), err_msg=name)


def assert_same_training(ours, theirs, x=X, rtol=RTOL):
    """Assert that two trained estimators have the same weights, history and predictions."""
    assert fitted_attributes(theirs) <= fitted_attributes(ours)
    for name in NUMBERS:
        assert hasattr(ours, name) == hasattr(theirs, name), name
        if hasattr(theirs, name):
            assert_close(getattr(ours, name), getattr(theirs, name), rtol, name)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "n_features_in_", "out_activation_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for name in ("coefs_", "intercepts_"):
        assert len(getattr(ours, name)) == len(getattr(theirs, name)), name
        for layer, (got, want) in enumerate(zip(getattr(ours, name), getattr(theirs, name), strict=True)):
            assert got.dtype == want.dtype
            assert_close(got, want, rtol, f"{name}[{layer}]")
    assert_same_predictions(ours, theirs, x, rtol)


def assert_same_predictions(ours, theirs, x=X, rtol=RTOL):
    """Assert that two trained estimators predict the same from samples."""
    got, want = ours.predict(x), theirs.predict(x)
    assert got.dtype == want.dtype
    if not hasattr(theirs, "classes_"):
        assert_close(got, want, rtol, "predict")
        return
    if scipy.sparse.issparse(want):  # as y was
        got, want = got.toarray(), want.toarray()
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    got, want = ours.predict_proba(x), theirs.predict_proba(x)
    assert got.dtype == want.dtype
    assert_close(got, want, rtol, "predict_proba")
    logarithms = quiet(ours.predict_log_proba, x)  # of 0, too
    np.testing.assert_array_equal(logarithms, quiet(np.log, got))


def weights(estimator):
    """All weights of a trained estimator in one vector, copied."""
    return np.concatenate([array.ravel() for array in (*estimator.coefs_, *estimator.intercepts_)])


def assert_same_weights(estimator, other):
    """Assert that two trained estimators have the same bits."""
    assert weights(estimator).tobytes() == weights(other).tobytes()


def own_parameters(estimator):
    """Names and defaults of the parameters that scikit-learn's class does not have."""
    ours, theirs = (inspect.signature(cls).parameters for cls in (estimator, THEIRS[estimator]))
    return {name: parameter.default for name, parameter in ours.items() if name not in theirs}
