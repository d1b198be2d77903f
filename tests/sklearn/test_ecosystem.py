"""In pipelines, searches, ensembles and inspections the estimators give what scikit-learn's give."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimator_twins import BOTH, PROBLEMS, RTOL, SMALL, THEIRS, X, assert_close, quiet, with_both
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = [pytest.mark.jit, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]

both = pytest.mark.parametrize("estimator", BOTH)
BINARY, LABELS, SETS = (PROBLEMS[name].y for name in ("binary", "multiclass", "multilabel"))
VALUES = PROBLEMS["one output"].y
TARGETS = {MLPClassifier: LABELS, MLPRegressor: VALUES}
CITIES = np.array(["Kyoto", "Osaka", "Nara"])[np.random.default_rng(9).integers(3, size=len(X))]
COLUMNS = {**{f"x{i}": X[:, i] for i in range(3)}, "city": CITIES}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


@both
def test_a_pipeline_scales_samples(estimator):
    ours, theirs = with_both(
        estimator, lambda cls: make_pipeline(StandardScaler(), cls(**SMALL)).fit(5 * X + 3, TARGETS[estimator])
    )
    assert_close(ours.score(X, TARGETS[estimator]), theirs.score(X, TARGETS[estimator]), RTOL, "score")
    assert ours[-1].n_features_in_ == X.shape[1]


@both
@pytest.mark.parametrize("container", FRAMES)
def test_a_pipeline_hands_over_frames_with_names(estimator, container):
    frame = FRAMES[container](COLUMNS)

    def fit(cls):
        columns = ColumnTransformer(
            [("numbers", StandardScaler(), ["x0", "x1", "x2"]), ("city", OneHotEncoder(sparse_output=False), ["city"])]
        )
        return make_pipeline(columns, cls(**SMALL)).set_output(transform=container).fit(frame, TARGETS[estimator])

    ours, theirs = with_both(estimator, fit)
    assert ours[-1].feature_names_in_.tolist() == theirs[-1].feature_names_in_.tolist()
    assert "city__city_Nara" in ours[-1].feature_names_in_
    if estimator is MLPClassifier:
        assert_close(ours.predict_proba(frame), theirs.predict_proba(frame), RTOL, "predict_proba")
    else:
        assert_close(ours.predict(frame), theirs.predict(frame), RTOL, "predict")


@both
def test_sparse_columns_come_from_an_encoder(estimator):
    frame = pd.DataFrame(COLUMNS)

    def fit(cls):
        return make_pipeline(OneHotEncoder(), cls(**SMALL)).fit(frame[["city"]], TARGETS[estimator])

    ours, theirs = with_both(estimator, fit)
    assert_close(ours.score(frame[["city"]], LABELS), theirs.score(frame[["city"]], LABELS), RTOL, "score")


@both
def test_a_grid_search_finds_the_same(estimator):
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(3,), (5, 4)], "solver": ["adam", "lbfgs"]}

    def search(cls):
        return GridSearchCV(cls(**SMALL), grid, cv=3).fit(X, TARGETS[estimator])

    ours, theirs = quiet(search, estimator), quiet(search, THEIRS[estimator])
    assert ours.best_params_ == theirs.best_params_
    assert_close(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], 1e-6, "mean_test_score")
    assert isinstance(ours.best_estimator_, estimator)


def test_a_search_varies_parameters_of_our_own_inside_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**SMALL))
    grid = {"mlpclassifier__dropout": [0.0, 0.5], "mlpclassifier__batch_norm": [False, True]}
    search = RandomizedSearchCV(pipeline, grid, n_iter=3, cv=2, random_state=0).fit(X, LABELS)
    assert search.cv_results_["mean_test_score"].shape == (3,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_halving_search_gives_more_samples_to_better_candidates():
    def search(cls):
        halving = HalvingGridSearchCV(cls(**SMALL), {"alpha": [1e-4, 1.0, 10.0]}, cv=2, random_state=0)
        return halving.fit(X, BINARY)

    ours, theirs = quiet(search, MLPClassifier), quiet(search, THEIRS[MLPClassifier])
    assert ours.best_params_ == theirs.best_params_


@both
def test_cross_validation_gives_the_same_scores(estimator):
    def scores(cls):
        return cross_val_score(cls(**SMALL), X, TARGETS[estimator], cv=KFold(3))

    assert_close(*with_both(estimator, scores), 1e-6, "scores")


def test_cross_validation_predicts_probabilities():
    def predict(cls):
        return cross_val_predict(cls(**SMALL), X, LABELS, cv=3, method="predict_proba")

    assert_close(*with_both(MLPClassifier, predict), RTOL, "probabilities")


@both
def test_a_learning_curve_is_the_same(estimator):
    def curve(cls):
        return learning_curve(cls(**SMALL), X, TARGETS[estimator], train_sizes=[20, 30], cv=KFold(3))[2]

    assert_close(*with_both(estimator, curve), 1e-6, "scores")


@both
def test_a_learning_curve_takes_one_pass_more_for_each_size(estimator):
    """It calls partial_fit."""

    def curve(cls):
        options = {"train_sizes": [20, 30], "cv": KFold(3), "exploit_incremental_learning": True}
        return learning_curve(cls(**SMALL), X, TARGETS[estimator], **options)[2]

    assert_close(*with_both(estimator, curve), 1e-6, "scores")


@pytest.mark.parametrize("ensemble", [True, False])
def test_probabilities_are_calibrated(ensemble):
    def fit(cls):
        return CalibratedClassifierCV(cls(**SMALL), cv=2, ensemble=ensemble).fit(X, BINARY).predict_proba(X)

    assert_close(*with_both(MLPClassifier, fit), 1e-6, "probabilities")


# Ensembles and wrappers

WRAPPERS = {
    "bagging": (MLPClassifier, LABELS, lambda mlp: BaggingClassifier(mlp, 3, max_samples=0.7, random_state=0)),
    "bagging of regressors": (
        MLPRegressor,
        VALUES,
        lambda mlp: BaggingRegressor(mlp, 3, max_features=4, random_state=0),
    ),
    "boosting": (MLPRegressor, VALUES, lambda mlp: AdaBoostRegressor(mlp, n_estimators=2, random_state=0)),
    "stacking": (MLPClassifier, LABELS, lambda mlp: StackingClassifier([("a", mlp)], LogisticRegression(), cv=2)),
    "voting": (MLPClassifier, LABELS, lambda mlp: VotingClassifier([("a", mlp), ("b", mlp)], voting="soft")),
    "mean": (MLPRegressor, VALUES, lambda mlp: VotingRegressor([("a", mlp), ("b", mlp)])),
    "one against the rest": (MLPClassifier, LABELS, OneVsRestClassifier),
    "chain": (MLPClassifier, SETS, ClassifierChain),
    "several regressors": (MLPRegressor, PROBLEMS["outputs"].y, MultiOutputRegressor),
    "transformed targets": (
        MLPRegressor,
        np.exp(VALUES),
        lambda mlp: TransformedTargetRegressor(mlp, func=np.log, inverse_func=np.exp),
    ),
}


@pytest.mark.parametrize(("estimator", "y", "wrapper"), list(WRAPPERS.values()), ids=WRAPPERS)
def test_ensembles_and_wrappers_give_the_same(estimator, y, wrapper):
    ours, theirs = with_both(estimator, lambda cls: wrapper(cls(**SMALL)).fit(X, y))
    if estimator is MLPClassifier:
        assert_close(ours.predict_proba(X), theirs.predict_proba(X), 1e-6, "predict_proba")
    else:
        assert_close(ours.predict(X), theirs.predict(X), 1e-6, "predict")


# Inspection


@both
def test_importances_of_features_are_the_same(estimator):
    def importances(cls):
        mlp = cls(**SMALL).fit(X, TARGETS[estimator])
        return permutation_importance(mlp, X, TARGETS[estimator], n_repeats=2, random_state=0).importances

    assert_close(*with_both(estimator, importances), 1e-6, "importances")


@both
def test_partial_dependence_is_the_same(estimator):
    def dependence(cls):
        return partial_dependence(cls(**SMALL).fit(X, TARGETS[estimator]), X, [0], grid_resolution=5)["average"]

    assert_close(*with_both(estimator, dependence), 1e-6, "average")
