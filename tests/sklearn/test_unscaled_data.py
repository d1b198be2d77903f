"""The estimators notice unscaled data on which training makes no progress, and name scikit-learn's cure."""

import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

WINE = load_wine(return_X_y=True)
SOME = {"max_iter": 20, "random_state": 0}


def messages(model, *arguments, **more):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(*arguments, **more)
    found = [item for item in caught if item.category is fnn.UnscaledDataWarning]
    assert all(item.filename == __file__ for item in found if isinstance(model, MLPClassifier | MLPRegressor))
    return [str(item.message) for item in found]


@pytest.mark.parametrize(
    "options",
    [{}, {"solver": "sgd"}, {"solver": "lbfgs", "alpha": 1e3}, {"dtype": "float32"}, {"early_stopping": True},
     {"n_estimators": 3}, {"n_estimators": 3, "n_jobs": 2}, {"activation": "logistic"}],
)  # fmt: skip
def test_a_table_as_it_comes_warns_once_and_standardized_not(options):
    x, y = WINE
    if options.get("solver") == "lbfgs":
        x = 1e6 * x
    model = MLPClassifier(**(SOME | options))
    (message,) = messages(model, x, y)
    assert message.startswith("training made little or no progress: the loss is ")
    assert message.endswith(". Standardize the columns: make_pipeline(StandardScaler(), MLPClassifier(...))")
    assert messages(make_pipeline(StandardScaler(), model), x, y) == []


def test_sparse_samples_warn_too():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    assert len(messages(MLPClassifier(**SOME), scipy_sparse.csr_array(WINE[0]), WINE[1])) == 1


def test_a_good_training_a_short_one_and_partial_fit_do_not_warn():
    assert messages(MLPClassifier(max_iter=200, random_state=0), *load_breast_cancer(return_X_y=True)) == []
    assert messages(MLPClassifier(max_iter=9, random_state=0), *WINE) == []
    model = MLPClassifier(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            model.partial_fit(*WINE, classes=range(3))


def test_large_targets_of_a_regression_warn():
    x, y = load_diabetes(return_X_y=True)
    (message,) = messages(MLPRegressor(**SOME), x, y)
    assert message.endswith("TransformedTargetRegressor(MLPRegressor(...), transformer=StandardScaler())")
    model = TransformedTargetRegressor(MLPRegressor(max_iter=100, random_state=0), transformer=StandardScaler())
    assert messages(model, x, y) == []
    assert model.score(x, y) > 0.4


def test_a_training_that_diverges_has_the_message_of_scikit_learn_and_a_note():
    x, y = 1e5 * np.vander(np.linspace(-1, 1, 60), 4), np.linspace(-1, 1, 60)
    options = {"solver": "sgd", "activation": "identity", "learning_rate_init": 1.0, "max_iter": 50, "random_state": 0}
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights") as caught:
        MLPRegressor(**options).fit(x, y)
    (note,) = caught.value.__notes__
    assert note.startswith("The data may be the reason: values of column ")
    assert note.endswith("make_pipeline(StandardScaler(), MLPRegressor(...))")
