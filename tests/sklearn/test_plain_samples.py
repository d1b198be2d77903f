"""`predict` of a plain array skips scikit-learn's validation, which takes longer than a small network."""

import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network as peer
from sklearn.exceptions import ConvergenceWarning

from fastfnn.sklearn import MLPClassifier, MLPRegressor, base

pytestmark = [
    pytest.mark.jit,
    pytest.mark.filterwarnings(f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
TARGETS = {
    "two classes": np.where(X[:, 0] > 0, "yes", "no"),
    "three classes": np.digitize(X[:, 0], [-0.5, 0.5]) * 10,
    "one class": np.full(len(X), "same"),
    "several labels": (X[:, :2] > 0).astype(int),
}
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0}
PLAIN = {"float64": X, "float32": X.astype(np.float32), "one row": X[:1], "by columns": np.asfortranarray(X)}
VALIDATED = {
    "lists": X.tolist(),
    "integers": X.astype(int),
    "objects": X.astype(object),
    "a frame": pd.DataFrame(X),
}
REFUSED = {
    "a NaN": np.where(np.arange(3) == 1, np.nan, X),
    "an infinity": np.where(np.arange(3) == 1, np.inf, X),
    "no row": X[:0],
    "one dimension": X[0],
    "three dimensions": X[np.newaxis],
    "another width": X[:, :2],
    "complex numbers": X + 0j,
}


@pytest.fixture
def validations(monkeypatch):
    """The arrays that scikit-learn validates."""
    seen = []

    def counted(estimator, x, *args, **options):
        seen.append(x)
        return validate(estimator, x, *args, **options)

    validate = base.validate_data
    monkeypatch.setattr(base, "validate_data", counted)
    return seen


@pytest.mark.parametrize("target", TARGETS)
def test_labels_are_those_that_the_outputs_stand_for(target):
    model = MLPClassifier(**SMALL).fit(X, TARGETS[target])
    out = model._outputs(X)
    expected = model._label_binarizer.inverse_transform(out.ravel() if out.shape[1] == 1 else out)
    predicted = model.predict(X)
    np.testing.assert_array_equal(predicted, expected)
    assert predicted.dtype == expected.dtype


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_array_is_not_validated_again(validations, name):
    model = MLPRegressor(**SMALL).fit(X, X[:, 0])
    validated = model.predict(PLAIN[name].tolist())
    assert len(validations) == 1
    np.testing.assert_allclose(model.predict(PLAIN[name]), validated, rtol=1e-5, atol=1e-6)
    assert len(validations) == 1


@pytest.mark.parametrize("name", VALIDATED)
def test_all_else_is_validated(validations, name):
    model = MLPRegressor(**SMALL).fit(X, X[:, 0])
    model.predict(VALIDATED[name])
    assert len(validations) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_what_scikit_learn_refuses_is_refused_alike(name):
    ours = MLPRegressor(**SMALL).fit(X, X[:, 0])
    theirs = peer.MLPRegressor(**SMALL).fit(X, X[:, 0])
    with pytest.raises(ValueError) as expected:
        theirs.predict(REFUSED[name])
    with pytest.raises(ValueError) as got:
        ours.predict(REFUSED[name])
    first_line = str(expected.value).splitlines()[0]
    assert first_line in str(got.value)


def test_an_array_for_a_network_that_knows_names_is_warned_about():
    model = MLPRegressor(**SMALL).fit(pd.DataFrame(X, columns=list("abc")), X[:, 0])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
