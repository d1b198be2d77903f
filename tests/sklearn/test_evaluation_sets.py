"""Validation data of a user's own, and what early stopping goes by."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from estimator_twins import BOTH, PROBLEMS, SAMPLES, SMALL, WEIGHTS, X, assert_same_weights, quiet, samples
from sklearn.metrics import get_scorer, log_loss, make_scorer, mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split

from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
problems = pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)
LABELS, VALUES = PROBLEMS["multiclass"].y, PROBLEMS["one output"].y
TARGETS = {MLPClassifier: LABELS, MLPRegressor: VALUES}
OTHERS = samples(5, SAMPLES)  # with targets that do not belong to them: the best score comes early
LONG = {"max_iter": 30, "n_iter_no_change": 4, "tol": 0}


def fit(problem, eval_set=None, **params):
    mlp = problem.estimator(**(SMALL | LONG | problem.params | params))
    return quiet(mlp.fit, X, problem.y, eval_set=eval_set)


@problems
def test_training_stops_by_the_score_on_the_evaluation_set(problem):
    mlp = fit(problem, (OTHERS, problem.y))
    assert len(mlp.validation_scores_) == mlp.n_iter_
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)
    np.testing.assert_allclose(mlp.score(OTHERS, problem.y), mlp.best_validation_score_, rtol=1e-9)
    assert mlp.best_loss_ is None


@problems
def test_every_sample_is_trained_on_beside_an_evaluation_set(problem):
    mlp = fit(problem, (OTHERS, problem.y))
    assert mlp.t_ == mlp.n_iter_ * SAMPLES
    best = int(np.argmax(mlp.validation_scores_)) + 1
    assert_same_weights(mlp, fit(problem, None, max_iter=best))


@both
def test_early_stopping_takes_the_evaluation_set_instead_of_a_split(estimator):
    problem = PROBLEMS["multiclass"]._replace(estimator=estimator)
    one, two = (fit(problem, (OTHERS, problem.y), early_stopping=early) for early in (False, True))
    assert_same_weights(one, two)
    assert one.validation_scores_ == two.validation_scores_


def test_an_evaluation_set_equal_to_the_split_scores_the_same():
    """The split takes numbers from the random stream, so only its score before the second epoch can be compared."""
    mlp = quiet(MLPRegressor(**SMALL, early_stopping=True, shuffle=False).fit, X, VALUES)
    state = np.random.RandomState(SMALL["random_state"])
    for rows, columns in ((6, 7), (7, 5), (5, 1)):
        state.uniform(size=rows * columns + columns)
    x, x_val, y, y_val = train_test_split(X, VALUES, random_state=state, test_size=0.1)
    own = quiet(MLPRegressor(**SMALL, shuffle=False).fit, x, y, eval_set=(x_val, y_val))
    np.testing.assert_allclose(own.validation_scores_, mlp.validation_scores_, rtol=1e-9)
    assert_same_weights(own, mlp)


NEGATIVE_LOG_LOSS = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba")
NEGATIVE_ERROR = make_scorer(mean_absolute_error, greater_is_better=False)
METRICS = [
    *[(MLPClassifier, metric) for metric in ("neg_log_loss", "balanced_accuracy", "f1_macro", NEGATIVE_LOG_LOSS)],
    *[(MLPRegressor, metric) for metric in ("neg_mean_absolute_error", "neg_max_error", NEGATIVE_ERROR)],
]


@pytest.mark.parametrize(("estimator", "metric"), METRICS)
@pytest.mark.parametrize("own", [True, False], ids=["evaluation set", "split"])
def test_early_stopping_goes_by_the_metric(estimator, metric, own):
    y = TARGETS[estimator]
    mlp = estimator(**(SMALL | LONG), eval_metric=metric, early_stopping=not own)
    quiet(mlp.fit, X, y, **({"eval_set": (OTHERS, y)} if own else {}))
    assert len(mlp.validation_scores_) == mlp.n_iter_
    assert mlp.best_validation_score_ == max(mlp.validation_scores_)
    if own:
        score = get_scorer(metric) if isinstance(metric, str) else metric
        np.testing.assert_allclose(score(mlp, OTHERS, y), mlp.best_validation_score_, rtol=1e-9)


@both
def test_a_metric_may_be_a_function_of_the_estimator(estimator):
    """It sees the network after each epoch."""
    seen = []

    def metric(mlp, x, y):
        seen.append(mlp.predict(x))
        assert np.array_equal(x, OTHERS) and np.array_equal(y, TARGETS[estimator])
        return -len(seen)

    mlp = estimator(**(SMALL | LONG), eval_metric=metric)
    quiet(mlp.fit, X, TARGETS[estimator], eval_set=(OTHERS, TARGETS[estimator]))
    assert mlp.validation_scores_ == [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]
    np.testing.assert_array_equal(mlp.predict(OTHERS), seen[0])  # the best epoch


def test_weights_of_samples_reach_the_metric_on_a_split():
    seen = []

    def metric(mlp, x, y, sample_weight=None):
        seen.append(sample_weight)
        return 0.0

    mlp = MLPRegressor(**SMALL, eval_metric=metric, early_stopping=True)
    quiet(mlp.fit, X, VALUES, sample_weight=WEIGHTS)
    assert set(seen[0]) <= set(WEIGHTS) and len(seen[0]) == 6


@both
def test_the_first_score_is_accuracy_or_r2(estimator):
    y = TARGETS[estimator]
    mlp = quiet(estimator(**(SMALL | {"max_iter": 1})).fit, X, y, eval_set=(OTHERS, y))
    out = mlp.predict(OTHERS)
    want = np.mean(out == y) if estimator is MLPClassifier else r2_score(y, out)
    np.testing.assert_allclose(mlp.validation_scores_, [want], rtol=1e-9)


FORMS = {
    "list": lambda x, y: [x.tolist(), y.tolist()],
    "sparse": lambda x, y: (scipy.sparse.csr_array(x), y),
    "float32": lambda x, y: (x.astype(np.float32).astype(np.float64), y),
    "Fortran": lambda x, y: (np.asfortranarray(x), y),
}


@both
@pytest.mark.parametrize("form", list(FORMS.values()), ids=FORMS)
def test_an_evaluation_set_may_have_any_form(estimator, form):
    y = TARGETS[estimator]
    one, two = (
        quiet(estimator(**(SMALL | LONG)).fit, X, y, eval_set=eval_set) for eval_set in ((OTHERS, y), form(OTHERS, y))
    )
    np.testing.assert_allclose(one.validation_scores_, two.validation_scores_, rtol=1e-5)


def test_labels_of_an_evaluation_set_may_be_words_in_frames():
    words = np.array(["red", "green", "blue"])[LABELS]
    names = list("abcdef")
    frames = [pd.DataFrame(x, columns=names) for x in (X, OTHERS)]
    named = MLPClassifier(**(SMALL | LONG)).fit(frames[0], words, eval_set=(frames[1], words))
    plain = quiet(MLPClassifier(**(SMALL | LONG)).fit, X, words, eval_set=(OTHERS, words))
    assert named.validation_scores_ == plain.validation_scores_


@both
@pytest.mark.parametrize(
    "eval_set",
    [
        OTHERS,
        (OTHERS,),
        (OTHERS, LABELS, WEIGHTS),
        (OTHERS[:, :-1], LABELS),
        (OTHERS, LABELS[:-1]),
        (np.where(OTHERS > 1, np.nan, OTHERS), LABELS),
        (OTHERS[:0], LABELS[:0]),
        "eval",
        {"x": OTHERS},
        (OTHERS, np.stack([LABELS, LABELS], axis=1)),
    ],
    ids=["array", "one", "three", "features", "lengths", "NaN", "empty", "str", "dict", "columns"],
)
def test_bad_evaluation_sets_are_refused(estimator, eval_set):
    with pytest.raises((ValueError, TypeError), match=r"eval_set|X |y |feature|sample|label|pair"):
        estimator(**SMALL).fit(X, LABELS, eval_set=eval_set)


def test_unknown_labels_in_an_evaluation_set_are_refused():
    with pytest.raises(ValueError, match="classes"):
        MLPClassifier(**SMALL).fit(X, LABELS, eval_set=(OTHERS, LABELS + 1))


@both
@pytest.mark.parametrize("metric", ["no such scorer", 3, ["accuracy"]])
def test_bad_metrics_are_refused(estimator, metric):
    with pytest.raises((ValueError, TypeError), match=r"eval_metric|no such scorer"):
        estimator(**SMALL, eval_metric=metric).fit(X, LABELS, eval_set=(OTHERS, LABELS))
