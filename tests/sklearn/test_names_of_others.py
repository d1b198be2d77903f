"""The estimators understand other libraries' names of activations and optimizers, too."""

import numpy as np
import pytest
from estimator_twins import PROBLEMS, SMALL, X
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

LABELS = PROBLEMS["multiclass"].y
SMALL = {**SMALL, "max_iter": 3}

pytestmark = [pytest.mark.jit, pytest.mark.filterwarnings("ignore:Stochastic Optimizer")]


@pytest.mark.parametrize(
    ("other", "name"), [("ReLU", "relu"), ("swish", "silu"), (["Logistic", "ELU"], ["logistic", "elu"])]
)
def test_activations_of_other_names_train_alike(other, name):
    models = [MLPClassifier(activation=value, **SMALL).fit(X, LABELS) for value in (other, name)]
    assert models[0].activation == other  # a parameter stays as it was given
    np.testing.assert_array_equal(models[0].predict_proba(X), models[1].predict_proba(X))


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_the_name_of_an_optimizer_stands_for_a_new_one(estimator):
    models = [estimator(optimizer=value, **SMALL) for value in ("RMSprop", "rmsprop", fnn.RMSprop())]
    weights = [clone(model).fit(X, LABELS).fit(X, LABELS).coefs_[0] for model in models]
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[0], weights[2])


def test_partial_fit_continues_with_a_named_optimizer():
    models = [MLPRegressor(optimizer=value, **SMALL) for value in ("adam", fnn.Adam())]
    for model in models:
        for _ in range(3):
            model.partial_fit(X, LABELS)
        assert model._optimizer.steps == 3 * -(-len(X) // min(len(X), model._batch_size(len(X))))
    np.testing.assert_array_equal(models[0].coefs_[0], models[1].coefs_[0])


@pytest.mark.parametrize(("name", "value"), [("optimizer", "adma"), ("activation", "rellu")])
def test_unknown_names_are_refused_as_scikit_learn_refuses_them(name, value):
    message = f"^The '{name}' parameter of MLPClassifier must be .* Got '{value}' instead"
    with pytest.raises(InvalidParameterError, match=message):
        MLPClassifier(**{name: value}).fit(X, LABELS)
