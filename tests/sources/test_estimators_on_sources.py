"""The estimators train on sources as on arrays."""

import warnings

import numpy as np
import pytest
from source_samples import ArraySource, BatchSource, T, W, X, parts

pytest.importorskip("sklearn")

from fastfnn import EarlyStopping
from fastfnn.sklearn import MLPClassifier, MLPRegressor
from fastfnn.sources import ParquetSource

NAMES = np.array(["no", "perhaps", "yes"])[T]
Y = X[:, 0] * 2 - 1


def classifier(**options):
    return MLPClassifier((5,), **({"max_iter": 4, "random_state": 0, "batch_size": 8} | options))


def regressor(**options):
    return MLPRegressor(hidden_layer_sizes=(5,), **({"max_iter": 4, "random_state": 0, "batch_size": 8} | options))


@pytest.fixture(autouse=True)
def not_converged():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def same(first, second):
    bits = [[array.tobytes() for array in (*model.coefs_, *model.intercepts_)] for model in (first, second)]
    return bits[0] == bits[1] and first.loss_curve_ == second.loss_curve_ and first.t_ == second.t_


KINDS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive"},
    "in order": {"shuffle": False},
    "one sample": {"batch_size": 1},
    "auto": {"batch_size": "auto", "dtype": "float64"},
    "dropout": {"dropout": 0.3, "batch_norm": True},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [None, W])
def test_one_window_gives_the_bits_of_arrays(kind, weights):
    options = KINDS[kind]
    source = ArraySource(X, NAMES, weights)
    assert same(classifier(**options).fit(source), classifier(**options).fit(X, NAMES, weights))
    source = ArraySource(X, Y, weights)
    assert same(regressor(**options).fit(source), regressor(**options).fit(X, Y, weights))


def test_windows_in_order_give_the_bits_of_arrays_in_order():
    expected = classifier(shuffle=False).fit(X, NAMES)
    assert same(classifier(shuffle=False).fit(ArraySource(X, NAMES, window=24)), expected)
    assert same(classifier().fit(ArraySource(X, NAMES, window=24, shuffle=False)), expected)
    assert same(classifier(shuffle=False).fit(lambda: parts(7, X, NAMES)), expected)


def test_windows_are_shuffled_by_the_random_state():
    first, second, third = (
        classifier(random_state=seed, init=0.0).fit(ArraySource(X, NAMES, window=24)) for seed in (0, 0, 1)
    )
    assert same(first, second)
    assert not same(first, third)


def test_classes_are_found_in_all_targets():
    order = np.argsort(NAMES)  # the first chunk has only one class
    model = classifier().fit(BatchSource(parts(10, X[order], NAMES[order])))
    assert model.classes_.tolist() == ["no", "perhaps", "yes"]
    assert set(model.predict(X)) <= set(NAMES)


@pytest.mark.parametrize(
    "y", [NAMES == "yes", np.eye(3, dtype=int)[T], T[:, np.newaxis]], ids=["two", "several labels", "a column"]
)
def test_other_kinds_of_labels(y):
    assert same(classifier().fit(ArraySource(X, y)), classifier().fit(X, y))


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "quantile"])
def test_other_losses_and_several_targets(loss):
    y = abs(X[:, :2]) if loss != "quantile" else Y
    options = {"loss": loss} | ({"quantile": [0.1, 0.9]} if loss == "quantile" else {})
    assert same(regressor(**options).fit(ArraySource(X, y)), regressor(**options).fit(X, y))


def test_class_weights_and_early_stopping_on_an_evaluation_set():
    options = {"class_weight": {"no": 2.0}, "max_iter": 30, "n_iter_no_change": 2}
    arguments = {"eval_set": (X[:40], NAMES[:40])}
    first = classifier(**options).fit(ArraySource(X, NAMES), **arguments)
    second = classifier(**options).fit(X, NAMES, **arguments)
    assert same(first, second)
    assert first.validation_scores_ == second.validation_scores_


def test_a_warm_start_goes_on():
    first, second = classifier(warm_start=True), classifier(warm_start=True)
    for _ in range(2):
        first.fit(ArraySource(X, NAMES))
        second.fit(X, NAMES)
    assert same(first, second)
    with pytest.raises(ValueError, match="same classes as in the previous call"):
        first.fit(ArraySource(X, T))


def test_callbacks_watch():
    seen = []
    classifier(callbacks=[lambda _net, history: seen.append(history.epochs), EarlyStopping(9)], progress=True).fit(
        BatchSource(parts(10, X, NAMES)), eval_set=(X, NAMES)
    )
    assert seen == [1, 2, 3, 4]


def test_features_of_parquet_files_have_their_names(tmp_path):
    pa, pq, pd = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet", "pandas"))
    frame = pd.DataFrame(X, columns=list("abcd"))
    pq.write_table(pa.Table.from_pandas(frame.assign(y=NAMES)), tmp_path / "t.parquet", row_group_size=30)
    model = classifier().fit(ParquetSource(tmp_path / "t.parquet", "y", list("abcd")))
    assert model.feature_names_in_.tolist() == list("abcd")
    assert model.n_features_in_ == 4
    assert (model.predict(frame) == model.predict_proba(frame).argmax(axis=1).astype(int).choose(model.classes_)).all()


REFUSED = {
    "y": ({}, {"y": NAMES}, "y must be None with a source"),
    "sample_weight": ({}, {"sample_weight": W}, "sample_weight must be None with a source"),
    "lbfgs": ({"solver": "lbfgs"}, {}, "solver must be stochastic with a source"),
    "ensemble": ({"n_estimators": 2}, {}, "n_estimators must be 1 with a source, got 2"),
    "early_stopping": ({"early_stopping": True}, {}, "early_stopping must be False with a source, .* eval_set"),
    "balanced": ({"class_weight": "balanced"}, {}, "class_weight must be a dict with a source"),
    "monitor": (
        {"callbacks": [EarlyStopping(monitor="accuracy")]}, {"eval_set": (X, NAMES)},
        "to monitor 'accuracy': on a source only the loss is measured",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("parameters", "arguments", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_needs_all_samples_is_refused_and_changes_nothing(parameters, arguments, message):
    model = classifier(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(ArraySource(X, NAMES), **arguments)
    assert not hasattr(model, "classes_")


def test_partial_fit_takes_arrays():
    with pytest.raises(ValueError, match="X must be arrays for partial_fit, got a source"):
        regressor().partial_fit(ArraySource(X, Y), None)


def test_an_iterator_is_refused():
    with pytest.raises(ValueError, match="max_iter must be 1 or less with an iterator"):
        classifier(max_iter=1).fit(iter(parts(10, X, NAMES)))


def test_unknown_labels_are_found_in_the_epoch_that_has_them():
    chunks = parts(10, X, NAMES)

    def change(_net, _history):
        chunks[3] = (X[:10], np.array(["other"] * 10))

    with pytest.raises(ValueError, match="classes not in"):
        classifier(callbacks=[change]).fit(BatchSource(chunks))


def test_a_training_that_diverges_says_so():
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        regressor(solver="sgd", learning_rate_init=1e30).fit(ArraySource(X, Y, window=24))
