"""Every check that scikit-learn has for estimators."""

import unittest

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastfnn.tabular import TabularClassifier, TabularRegressor

# Large enough for the checks that ask for a score.
SETTINGS = {"preset": "fast", "hidden_layer_sizes": 24, "members": 2, "embedding_size": 4, "bins": 16,
            "learning_rate": 0.01, "max_epochs": 60}  # fmt: skip
ESTIMATORS = (TabularClassifier, TabularRegressor)
COUNTS = {TabularClassifier: 62, TabularRegressor: 59}  # in scikit-learn 1.9; later versions have more

SKIPPED = {"check_array_api_input"}  # without a variable that must be set before SciPy is imported

pytestmark = pytest.mark.jit


def checks_of(estimator):
    """The checks of a quick estimator, as scikit-learn yields them: (estimator, check) pairs."""
    return list(estimator_checks_generator(estimator(**SETTINGS)))


def name_of(check):
    return getattr(check, "func", check).__name__


CASES = [
    pytest.param(instance, check, id=f"{estimator.__name__}-{number}-{name_of(check)}")
    for estimator in ESTIMATORS
    for number, (instance, check) in enumerate(checks_of(estimator))
]


@pytest.mark.parametrize(("instance", "check"), CASES)
def test_check_passes(instance, check):
    try:
        check(instance)
    except unittest.SkipTest:
        assert name_of(check) in SKIPPED


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_check_is_missing(estimator):
    assert len(checks_of(estimator)) >= COUNTS[estimator]
