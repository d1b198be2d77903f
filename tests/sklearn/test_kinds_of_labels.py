"""Classes may be labels of any kind, targets of any dtype and container."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from estimator_twins import (
    PROBLEMS,
    RTOL,
    SMALL,
    WEIGHTS,
    X,
    assert_same_error,
    assert_same_predictions,
    assert_same_training,
    assert_same_weights,
    fit_both,
    with_both,
)

from fastfnn.sklearn import MLPClassifier

pytestmark = pytest.mark.jit

BINARY, LABELS, SETS = (PROBLEMS[name].y for name in ("binary", "multiclass", "multilabel"))
WORDS = np.array(["red", "green", "blue"])

KINDS = {
    "words": WORDS[LABELS],
    "two words": WORDS[BINARY],
    "objects": WORDS.astype(object)[LABELS],
    "negative numbers": 5 * LABELS - 7,
    "signs": 2 * BINARY - 1,
    "bools": BINARY == 1,
    "floats": LABELS.astype(float),
    "int8": LABELS.astype(np.int8),
    "uint64": LABELS.astype(np.uint64) + np.uint64(2**63),
    "list": WORDS[LABELS].tolist(),
    "list of bools": (BINARY == 1).tolist(),
}
CONTAINERS = {
    "pandas series": pd.Series(WORDS[LABELS], index=np.arange(len(LABELS))[::-1]),
    "pandas categories": pd.Series(WORDS[LABELS], dtype="category"),
    "pandas integers": pd.Series(LABELS, dtype="Int64"),
    "polars series": pl.Series(WORDS[LABELS].tolist()),
    "polars integers": pl.Series(LABELS),
}


@pytest.mark.parametrize("y", list((KINDS | CONTAINERS).values()), ids=KINDS | CONTAINERS)
def test_labels_may_be_of_any_kind(y):
    ours, theirs = fit_both(PROBLEMS["multiclass"], y=y, learning_rate_init=0.05)
    assert_same_training(ours, theirs)
    assert ours.classes_.dtype == theirs.classes_.dtype
    assert ours.score(X, y) == theirs.score(X, y) > 0.5


@pytest.mark.parametrize("y", [np.zeros(len(X), int), np.full(len(X), "a"), np.full(len(X), -3)], ids=["0", "a", "-3"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_one_class_only_is_learned(y, solver):
    assert_same_training(*fit_both(PROBLEMS["binary"], y=y, solver=solver))


def test_partial_fit_takes_words():
    def fit(cls):
        return cls(**SMALL).partial_fit(X, WORDS[LABELS], classes=WORDS)

    assert_same_training(*with_both(MLPClassifier, fit))


@pytest.mark.parametrize("dtype", [int, bool, float, np.uint8])
def test_sets_of_labels_may_have_any_dtype(dtype):
    assert_same_training(*fit_both(PROBLEMS["multilabel"], y=SETS.astype(dtype)))


def test_sets_of_labels_may_be_a_list():
    """A list of lists of 0 and 1 was deprecated once; scikit-learn decides."""
    assert_same_training(*fit_both(PROBLEMS["multilabel"], y=SETS.tolist()))


def test_sets_of_labels_may_have_empty_and_full_rows_and_columns():
    y = SETS.copy()
    y[0], y[1], y[:, 2] = 0, 1, 1
    assert_same_training(*fit_both(PROBLEMS["multilabel"], y=y))


@pytest.mark.parametrize("container", [scipy.sparse.csr_array, scipy.sparse.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_sets_of_labels_train_the_network_of_dense_ones(container, solver):
    ours, theirs = fit_both(PROBLEMS["multilabel"], y=container(SETS), solver=solver)
    assert_same_weights(ours, fit_both(PROBLEMS["multilabel"], solver=solver)[0])
    assert_same_training(ours, theirs)
    assert scipy.sparse.issparse(ours.predict(X))  # as in scikit-learn


def test_bytes_are_no_labels():
    assert_same_error(MLPClassifier, lambda cls: cls(**SMALL).fit(X, WORDS.astype(bytes)[LABELS]))


@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        BINARY == 1,
        LABELS.astype(np.float32),
        LABELS.tolist(),
        pd.Series(LABELS, index=LABELS),
        pl.Series(LABELS),
        pd.DataFrame({"a": LABELS, "b": BINARY}),
        pl.DataFrame({"a": LABELS, "b": BINARY}),
        np.stack([LABELS, BINARY], axis=1)[:, ::-1],
        LABELS.astype(str).astype(object),
    ],
    ids=["int", "bool", "float32", "list", "pandas", "polars", "frame", "polars frame", "reversed", "numbers as str"],
)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_values_may_have_any_dtype_and_container(y, loss):
    assert_same_training(*fit_both(PROBLEMS["outputs"], y=y, loss=loss))


@pytest.mark.parametrize("sample_weight", [WEIGHTS.tolist(), WEIGHTS.astype(np.float32), pd.Series(WEIGHTS), 2, 0.5])
@pytest.mark.parametrize("name", ["binary", "one output"])
def test_weights_of_samples_may_have_any_dtype_and_container(sample_weight, name):
    single = isinstance(sample_weight, np.ndarray)  # scikit-learn multiplies in float32
    assert_same_training(*fit_both(PROBLEMS[name], sample_weight=sample_weight), rtol=1e-5 if single else RTOL)


def test_targets_of_float32_samples_may_be_large_integers():
    x, y = X.astype(np.float32), LABELS + 2**24 + 1
    assert_same_predictions(*fit_both(PROBLEMS["multiclass"], x, y=y), x, rtol=2e-3)
