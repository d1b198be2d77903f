"""Errors and warnings have the types and texts of scikit-learn's, which are asked at run time."""

import numpy as np
import pytest
from estimator_twins import (
    BOTH,
    PROBLEMS,
    SAMPLES,
    SMALL,
    THEIRS,
    WEIGHTS,
    X,
    assert_same_error,
    fit_both,
    report,
    samples,
    with_both,
)
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from fastfnn.sklearn import MLPClassifier, MLPRegressor

LABELS = PROBLEMS["multiclass"].y

both = pytest.mark.parametrize("estimator", BOTH)
jit = pytest.mark.jit

# Values that scikit-learn refuses, by parameter.
INVALID = {
    "solver": ["rmsprop", None, 1],
    "alpha": [-1e-9, "0", None, np.nan],
    "batch_size": [0, -1, 1.5, "all", None],
    "learning_rate": ["fast", 0.1, None],
    "learning_rate_init": [0, -1, "1", None],
    "power_t": [-1, "0"],
    "max_iter": [0, 1.5, None],
    "shuffle": [2, "yes", None],
    "random_state": ["seed", -1, 1.5],
    "tol": [-1, None],
    "verbose": ["yes", -1],
    "warm_start": ["no", None],
    "momentum": [-0.1, 1.1, "0"],
    "nesterovs_momentum": ["yes", None],
    "early_stopping": ["yes", None],
    "validation_fraction": [-0.1, 1, None],
    "beta_1": [-0.1, 1],
    "beta_2": [-0.1, 1],
    "epsilon": [0, -1, None],
    "n_iter_no_change": [0, 1.5, None],
    "max_fun": [0, 1.5, None],
    "hidden_layer_sizes": [0, -1, 1.5, None],
}
# Where more is valid here than there the texts differ: parameter, value, estimator.
WIDER = [
    *[("activation", value, estimator) for value in ("bad", None, 3) for estimator in BOTH],
    *[("loss", value, MLPRegressor) for value in ("bad", None, 3)],
]


@both
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_invalid_parameters_are_refused_alike(estimator, name, value):
    _, text = assert_same_error(estimator, lambda cls: cls(**{name: value}).fit(X, LABELS))
    assert name in text


@both
@pytest.mark.parametrize(("name", "value"), [(name, INVALID[name][0]) for name in INVALID if name != "solver"])
def test_partial_fit_refuses_the_same_parameters(estimator, name, value):
    classes = {"classes": range(3)} if estimator is MLPClassifier else {}
    assert_same_error(estimator, lambda cls: cls(**{name: value}).partial_fit(X, LABELS, **classes))


@pytest.mark.parametrize(("name", "value", "estimator"), WIDER)
def test_where_more_is_valid_the_error_has_the_same_type_and_begins_alike(name, value, estimator):
    _, error, _ = report(lambda: estimator(**{name: value}).fit(X, LABELS))
    _, their_error, _ = report(lambda: THEIRS[estimator](**{name: value}).fit(X, LABELS))
    assert error[0] is their_error[0] is InvalidParameterError
    beginning = f"The '{name}' parameter of {estimator.__name__} must be "
    assert error[1].startswith(beginning) and their_error[1].startswith(beginning)
    assert repr(value) in error[1]


@both
@pytest.mark.parametrize(
    "sizes", [(0,), (3, 0), [-2], (4, -1, 3), np.array([2, 0]), (1.5,), ("a",), ((2, 3),)], ids=str
)
def test_bad_hidden_layers_are_refused_alike(estimator, sizes):
    _, error, _ = report(lambda: THEIRS[estimator](hidden_layer_sizes=sizes).fit(X, LABELS))
    _, ours, _ = report(lambda: estimator(hidden_layer_sizes=sizes).fit(X, LABELS))
    if "hidden_layer_sizes" in error[1]:
        assert ours == error
    else:  # an error of NumPy that does not name the parameter
        assert issubclass(ours[0], ValueError | TypeError) and "hidden_layer_sizes" in ours[1]


@both
def test_an_untrained_estimator_refuses_to_predict(estimator):
    methods = {"predict": (X,), "score": (X, LABELS)}
    if estimator is MLPClassifier:
        methods |= {"predict_proba": (X,), "predict_log_proba": (X,)}
    for method, arguments in methods.items():
        kind, _ = assert_same_error(estimator, lambda cls, do=method, args=arguments: getattr(cls(), do)(*args))
        assert kind is NotFittedError


@both
def test_lbfgs_has_no_partial_fit(estimator):
    """The error is that of scikit-learn's classifier: its regressor does have it, by an oversight."""
    _, error, _ = report(lambda: estimator(solver="lbfgs").partial_fit(X, LABELS))
    _, their_error, _ = report(lambda: THEIRS[MLPClassifier](solver="lbfgs").partial_fit(X, LABELS))
    assert error[0] is their_error[0] is AttributeError
    assert error[1].split("' has no")[1:] == their_error[1].split("' has no")[1:]


@both
def test_partial_fit_refuses_early_stopping(estimator):
    classes = {"classes": range(3)} if estimator is MLPClassifier else {}
    kind, text = assert_same_error(estimator, lambda cls: cls(early_stopping=True).partial_fit(X, LABELS, **classes))
    assert kind is ValueError and "early_stopping" in text


def test_the_first_partial_fit_needs_classes():
    assert_same_error(MLPClassifier, lambda cls: cls().partial_fit(X, LABELS))


@jit
def test_partial_fit_refuses_other_classes_later():
    def fit(cls):
        cls(**SMALL).partial_fit(X, LABELS, classes=range(3)).partial_fit(X, LABELS, classes=range(4))

    assert_same_error(MLPClassifier, fit)


@jit
def test_partial_fit_refuses_labels_that_are_not_among_the_classes():
    def fit(cls):
        cls(**SMALL).partial_fit(X, LABELS, classes=range(3)).partial_fit(X, LABELS + 1)

    _, text = assert_same_error(MLPClassifier, fit)
    assert "classes_" in text


@jit
@pytest.mark.parametrize("labels", [LABELS + 1, np.minimum(LABELS, 1), LABELS.astype(str)], ids=["other", "few", "str"])
def test_a_warm_start_refuses_other_classes(labels):
    _, text = assert_same_error(MLPClassifier, lambda cls: cls(**SMALL, warm_start=True).fit(X, LABELS).fit(X, labels))
    assert "warm_start" in text


@jit
@both
@pytest.mark.parametrize(
    "params", [{"max_iter": 2}, {"max_iter": 2, "solver": "lbfgs"}, {"max_fun": 2, "solver": "lbfgs"}]
)
def test_a_training_that_does_not_converge_warns(estimator, params):
    def fit(cls):
        return report(lambda: cls(**(SMALL | params)).fit(X, LABELS))[2]

    ours, theirs = fit(estimator), fit(THEIRS[estimator])
    assert ours == theirs
    assert [kind for kind, _ in ours] == [ConvergenceWarning]


@jit
@both
def test_a_batch_larger_than_the_samples_warns(estimator):
    ours, theirs = (
        report(lambda cls=cls: cls(**(SMALL | {"batch_size": SAMPLES + 1})).fit(X, LABELS))[2]
        for cls in (estimator, THEIRS[estimator])
    )
    assert ours == theirs
    assert any("batch_size" in text for _, text in ours)


@both
@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.99])
def test_a_validation_set_of_few_samples_is_refused(estimator, fraction):
    params = SMALL | {"early_stopping": True, "validation_fraction": fraction}
    count = 40 if fraction == 0.01 else SAMPLES
    kind, _ = assert_same_error(estimator, lambda cls: cls(**params).fit(X[:count], LABELS[:count]))
    assert issubclass(kind, ValueError)


def test_a_class_of_one_sample_cannot_be_in_two_sets():
    """Here the error names the class as y does; scikit-learn names what it encodes it by, True or False."""
    labels = np.where(np.arange(SAMPLES) == 0, "rare", "often")
    _, ours, _ = report(lambda: MLPClassifier(**SMALL, early_stopping=True).fit(X, labels))
    _, theirs, _ = report(lambda: THEIRS[MLPClassifier](**SMALL, early_stopping=True).fit(X, labels))
    beginning, _ = theirs[1].split("['")
    assert ours == (ValueError, f"{beginning}['rare']")


@jit
@both
@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_are_not_finite_are_an_error(estimator, solver):
    """NumPy's warnings of overflows on the way are scikit-learn's own."""
    params = SMALL | {"solver": solver, "activation": "identity", "learning_rate_init": 1e300, "momentum": 0}
    x = X * 1e160
    errors = []
    for cls in (estimator, THEIRS[estimator]):
        _, error, _ = report(lambda cls=cls: cls(**params).fit(x, PROBLEMS["one output"].y > 0))
        errors.append(error)
    assert errors[0] == errors[1]
    if solver == "sgd":
        assert errors[0][0] is ValueError and "non-finite" in errors[0][1]


@both
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (X[:, 0], LABELS),
        (X[:-1], LABELS),
        (np.where(X > 1, np.nan, X), LABELS),
        (np.where(X > 1, np.inf, X), LABELS),
        (X[:0], LABELS[:0]),
        (X[:, :0], LABELS),
        (X + 1j, LABELS),
        (X.astype(str), LABELS),
        (X, None),
        (X, np.full(SAMPLES, np.nan)),
        (X[None], LABELS),
    ],
    ids=["1-D", "lengths", "NaN", "infinity", "no samples", "no features", "complex", "str", "no y", "NaN in y", "3-D"],
)
def test_bad_samples_and_targets_are_refused_alike(estimator, x, y):
    _, error, _ = report(lambda: THEIRS[estimator](**SMALL).fit(x, y))
    if error is None:  # numbers in strings
        with_both(estimator, lambda cls: cls(**SMALL).fit(x, y))
    else:
        assert_same_error(estimator, lambda cls: cls(**SMALL).fit(x, y))


@both
@pytest.mark.parametrize(
    "weight",
    [WEIGHTS[:-1], WEIGHTS[:, None], np.where(WEIGHTS > 1, np.nan, WEIGHTS), 0 * WEIGHTS],
    ids=["length", "2-D", "NaN", "zeros"],
)
def test_bad_weights_of_samples_are_refused_alike(estimator, weight):
    assert_same_error(estimator, lambda cls: cls(**SMALL).fit(X, LABELS, sample_weight=weight))


def test_continuous_labels_are_refused():
    assert_same_error(MLPClassifier, lambda cls: cls(**SMALL).fit(X, PROBLEMS["one output"].y))


def test_several_classes_of_several_outputs_are_refused():
    assert_same_error(MLPClassifier, lambda cls: cls(**SMALL).fit(X, np.stack([LABELS, LABELS], axis=1)))


def test_words_are_no_values():
    """Here by an error that names y."""
    with pytest.raises(TypeError, match="y must hold real numbers"):
        MLPRegressor(**SMALL).fit(X, LABELS.astype(str))


@jit
@both
def test_other_features_are_refused_when_predicting(estimator):
    for method in ("predict", "predict_proba"):
        if hasattr(estimator, method):
            assert_same_error(
                estimator, lambda cls, method=method: getattr(cls(**SMALL).fit(X, LABELS), method)(X[:, 1:])
            )


@jit
@both
def test_a_column_as_target_warns(estimator):
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(X, LABELS[:, None]))
    assert ours.predict(X).shape == theirs.predict(X).shape == (SAMPLES,)
    said = report(lambda: estimator(**SMALL).fit(X, LABELS[:, None]))[2]
    assert DataConversionWarning in [kind for kind, _ in said]


@jit
def test_training_of_many_epochs_warns_once():
    ours, _ = fit_both(PROBLEMS["binary"], max_iter=4, tol=0)
    said = report(lambda: ours.fit(samples(1), PROBLEMS["binary"].y))[2]
    assert len(said) == 1
