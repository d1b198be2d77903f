"""scikit-learn routes weights of samples and evaluation sets to the estimators that ask for them."""

import numpy as np
import pytest
import sklearn
from estimator_twins import BOTH, PROBLEMS, SMALL, WEIGHTS, X, assert_same_weights, quiet, samples, weights, with_both
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastfnn.sklearn import MLPClassifier

pytestmark = [pytest.mark.jit, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y


@pytest.fixture(autouse=True)
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@both
def test_weights_of_samples_reach_the_network_in_a_pipeline(estimator):
    scaled = StandardScaler().fit_transform(X)
    mlp = estimator(**SMALL).set_fit_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = quiet(make_pipeline(scaler, mlp).fit, X, Y, sample_weight=WEIGHTS)
    assert_same_weights(pipeline[-1], quiet(estimator(**SMALL).fit, scaled, Y, sample_weight=WEIGHTS))


@both
def test_weights_of_samples_reach_the_folds(estimator):
    def score(cls):
        mlp = cls(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        return cross_validate(mlp, X, Y, cv=2, params={"sample_weight": WEIGHTS})["test_score"]

    ours, theirs = with_both(estimator, score)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@both
def test_weights_that_nobody_asked_for_are_an_error(estimator):
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        make_pipeline(StandardScaler(), estimator(**SMALL)).fit(X, Y, sample_weight=WEIGHTS)


@both
def test_requests_of_partial_fit_are_there(estimator):
    mlp = estimator().set_partial_fit_request(sample_weight=True)
    assert mlp.get_metadata_routing().partial_fit.requests["sample_weight"] is True


@both
def test_an_evaluation_set_reaches_the_network_through_a_pipeline(estimator):
    """As it is: the steps before do not transform it."""
    scaler = StandardScaler().fit(X)
    held_out = scaler.transform(samples(5, 20)), Y[:20]
    direct = estimator(**SMALL).fit(scaler.transform(X), Y, eval_set=held_out)
    mlp = estimator(**SMALL).set_fit_request(eval_set=True)
    pipeline = make_pipeline(StandardScaler(), mlp).fit(X, Y, eval_set=held_out)
    assert pipeline[-1].validation_scores_ == direct.validation_scores_
    assert_same_weights(pipeline[-1], direct)


def test_a_search_passes_weights_of_samples_on():
    mlp = MLPClassifier(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
    search = GridSearchCV(mlp, {"alpha": [1e-4, 1.0]}, cv=2).fit(X, Y, sample_weight=WEIGHTS)
    direct = MLPClassifier(**(SMALL | search.best_params_)).fit(X, Y, sample_weight=WEIGHTS)
    assert_same_weights(search.best_estimator_, direct)
    assert np.any(weights(direct) != weights(MLPClassifier(**(SMALL | search.best_params_)).fit(X, Y)))
