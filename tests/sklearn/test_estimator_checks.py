"""Every check that scikit-learn has for estimators."""

import unittest

import pytest
from helpers import run_python
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastfnn.sklearn import MLPClassifier, MLPRegressor

ESTIMATORS = (MLPClassifier, MLPRegressor)
COUNTS = {MLPClassifier: 67, MLPRegressor: 60}  # in scikit-learn 1.9; later versions have more

# Checks that skip themselves: the first without a variable that must be set before SciPy is imported (see below), the
# second for estimators without decision_function, which scikit-learn's networks do not have either.
SKIPPED = {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}

pytestmark = [
    pytest.mark.jit,
    pytest.mark.filterwarnings("ignore::fastfnn.UnscaledDataWarning"),  # values of the checks' samples are about 100
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),  # the checks train for few epochs
]


def checks_of(estimator):
    """The checks of an estimator with default parameters, as scikit-learn yields them: (estimator, check) pairs."""
    return list(estimator_checks_generator(estimator()))


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


def test_check_of_the_array_api_passes():
    code = """
from sklearn.utils.estimator_checks import check_array_api_input
from fastfnn.sklearn import MLPClassifier, MLPRegressor
for estimator in (MLPClassifier, MLPRegressor):
    check_array_api_input(estimator.__name__, estimator(), array_namespace="numpy", expect_only_array_outputs=False)
print("passed")
"""
    assert run_python(code, SCIPY_ARRAY_API=1) == "passed\n"
