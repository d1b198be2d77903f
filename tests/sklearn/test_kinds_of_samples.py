"""Samples may be arrays of any layout, sparse matrices and frames."""

import re

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from estimator_twins import (
    BOTH,
    PROBLEMS,
    SMALL,
    X,
    assert_close,
    assert_same_error,
    assert_same_predictions,
    assert_same_training,
    assert_same_weights,
    fit_both,
    quiet,
    with_both,
)
from helpers import LAYOUTS, arrange

from fastfnn.sklearn import MLPClassifier

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y
NAMES = [f"feature {i}" for i in range(X.shape[1])]

# Two thirds of the numbers are zeros.
ZEROS = np.where(np.random.default_rng(4).uniform(size=X.shape) < 2 / 3, 0, X)
SPARSE = {
    "csr array": scipy.sparse.csr_array,
    "csc array": scipy.sparse.csc_array,
    "csr matrix": scipy.sparse.csr_matrix,
    "csc matrix": scipy.sparse.csc_matrix,
    "coo array": scipy.sparse.coo_array,
    "lil array": scipy.sparse.lil_array,
}


@both
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_of_any_layout_give_the_same_network(estimator, layout, dtype):
    x = X.astype(dtype)
    plain = quiet(estimator(**SMALL).fit, x, Y)
    arranged = quiet(estimator(**SMALL).fit, arrange(x, layout), Y)
    assert_same_weights(arranged, plain)
    np.testing.assert_array_equal(arranged.predict(arrange(x, layout)), plain.predict(x))


@both
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, bool, np.float16, np.longdouble, object])
def test_samples_of_other_dtypes_are_taken_as_float64(estimator, dtype):
    x = np.round(3 * X).clip(0, 5).astype(dtype)
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(x, Y))
    assert ours.coefs_[0].dtype == np.float64
    assert_same_training(ours, theirs, x.astype(np.float64))
    np.testing.assert_array_equal(ours.predict(x), ours.predict(x.astype(np.float64)))
    assert_same_weights(ours, quiet(estimator(**SMALL).fit, x.astype(np.float64), Y))


@both
def test_samples_may_be_lists(estimator):
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(X.tolist(), Y.tolist()))
    assert_same_training(ours, theirs, X[:3].tolist())


@both
def test_arrays_may_be_read_only(estimator):
    x, y, weight = X.copy(), Y.copy(), np.ones(len(X))
    for array in (x, y, weight):
        array.flags.writeable = False
    ours = quiet(estimator(**SMALL).fit, x, y, sample_weight=weight)
    assert len(ours.predict(x)) == len(x)


@both
def test_arrays_may_be_memory_maps(estimator, tmp_path):
    joblib.dump((X, Y), tmp_path / "data")
    x, y = joblib.load(tmp_path / "data", mmap_mode="r")
    assert isinstance(x, np.memmap)
    mapped = quiet(estimator(**SMALL).fit, x, y)
    assert_same_weights(mapped, quiet(estimator(**SMALL).fit, X, Y))
    np.testing.assert_array_equal(mapped.predict(x), mapped.predict(X))


@both
def test_predictions_do_not_depend_on_the_other_samples(estimator):
    ours = quiet(estimator(**SMALL).fit, X, Y)
    each = np.concatenate([ours.predict(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(each, ours.predict(X), rtol=1e-12)


# Sparse


@pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)
@pytest.mark.parametrize("container", list(SPARSE.values()), ids=SPARSE)
def test_sparse_samples_train_the_same_network(problem, container):
    x = container(ZEROS)
    assert_same_training(*fit_both(problem, x), x)


@pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=PROBLEMS)
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "lbfgs", "activation": "tanh"},
        {"solver": "sgd", "shuffle": False},
        {"early_stopping": True, "n_iter_no_change": 2},
        {"batch_size": 1000},
    ],
    ids=lambda params: next(iter(params)),
)
def test_every_kind_of_training_takes_sparse_samples(problem, params):
    x = scipy.sparse.csr_array(ZEROS)
    assert_same_training(*fit_both(problem, x, **params), x)


@both
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_sparse_samples_may_have_other_dtypes(estimator, dtype):
    x = scipy.sparse.csr_array(np.round(ZEROS).clip(0).astype(dtype))
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(x, Y))
    assert_same_training(ours, theirs, x, rtol=2e-3 if dtype == np.float32 else 1e-7)


@both
def test_sparse_samples_train_the_network_of_dense_ones(estimator):
    dense = quiet(estimator(**SMALL).fit, ZEROS, Y)
    sparse = quiet(estimator(**SMALL).fit, scipy.sparse.csr_array(ZEROS), Y)
    assert_close(sparse.coefs_[0], dense.coefs_[0], 1e-9, "coefs_[0]")
    assert_close(sparse.predict(scipy.sparse.csc_array(ZEROS)), dense.predict(ZEROS), 1e-9, "predict")


@both
def test_sparse_samples_are_not_changed(estimator):
    x = scipy.sparse.csr_array(ZEROS)
    x.indices = x.indices[::-1].copy()  # any order
    before = x.indptr.copy(), x.indices.copy(), x.data.copy()
    quiet(estimator(**SMALL).fit, x, Y).predict(x)
    for got, want in zip((x.indptr, x.indices, x.data), before, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", ["binary", "one output"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_samples_may_be_larger_than_what_is_made_dense_at_once(name, solver):
    """As dense float64 they would take 480 MB."""
    x = scipy.sparse.random_array((3000, 20_000), density=2e-4, rng=np.random.default_rng(0), format="csr")
    y = (np.asarray(x[:, :500].sum(axis=1)) > 0).astype(int)
    params = {"hidden_layer_sizes": (3,), "max_iter": 2, "batch_size": 500, "solver": solver}
    ours, theirs = fit_both(PROBLEMS[name], x, y=y, **params)
    assert_same_training(ours, theirs, x)


@both
def test_sparse_samples_with_numbers_that_are_not_finite_are_refused(estimator):
    x = scipy.sparse.csr_array(np.where(X > 2, np.nan, ZEROS))
    assert_same_error(estimator, lambda cls: cls(**SMALL).fit(x, Y))


@both
def test_partial_fit_takes_sparse_and_dense_samples_in_turn(estimator):
    first = {"classes": range(3)} if estimator is MLPClassifier else {}

    def fit(cls):
        instance = cls(**SMALL).partial_fit(scipy.sparse.csr_array(ZEROS), Y, **first)
        return instance.partial_fit(ZEROS, Y).partial_fit(scipy.sparse.csc_array(ZEROS), Y)

    assert_same_training(*with_both(estimator, fit))


# Frames

FRAMES = {
    "pandas": lambda columns: pd.DataFrame(X, columns=columns, index=np.arange(len(X))[::-1]),
    "pandas with nullable numbers": lambda columns: pd.DataFrame(X, columns=columns).convert_dtypes(),
    "polars": lambda columns: pl.DataFrame(X, schema=columns, orient="row"),
}
frames = pytest.mark.parametrize("frame", list(FRAMES.values()), ids=FRAMES)


@both
@frames
def test_frames_give_names_of_features(estimator, frame):
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(frame(NAMES), Y))
    assert ours.feature_names_in_.tolist() == theirs.feature_names_in_.tolist() == NAMES
    assert_same_training(ours, theirs, frame(NAMES))


@both
def test_frames_of_different_columns_are_taken(estimator):
    frame = pd.DataFrame(X, columns=NAMES).astype({NAMES[0]: np.float32, NAMES[1]: int, NAMES[2]: np.int8})
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(frame, Y))
    assert_same_training(ours, theirs, frame)


@both
@frames
@pytest.mark.parametrize("columns", [NAMES[::-1], ["other", *NAMES[1:]]], ids=["order", "name"])
@pytest.mark.parametrize("method", ["predict", "partial_fit"])
def test_other_names_are_refused(estimator, frame, columns, method):
    arguments = (Y,) if method == "partial_fit" else ()
    assert_same_error(
        estimator, lambda cls: getattr(cls(**SMALL).fit(frame(NAMES), Y), method)(frame(columns), *arguments)
    )


@both
@frames
def test_names_on_one_side_only_warn(estimator, frame):
    """The warnings are compared with those of scikit-learn."""
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(frame(NAMES), Y))
    with_both(estimator, lambda cls: (ours if cls is estimator else theirs).predict(X))
    ours, theirs = with_both(estimator, lambda cls: cls(**SMALL).fit(X, Y))
    with_both(estimator, lambda cls: (ours if cls is estimator else theirs).predict(frame(NAMES)))


@both
def test_early_stopping_does_not_warn_of_names(estimator):
    params = SMALL | {"early_stopping": True}
    ours, theirs = with_both(estimator, lambda cls: cls(**params).fit(pd.DataFrame(X, columns=NAMES), Y))
    assert_same_predictions(ours, theirs, pd.DataFrame(X, columns=NAMES))


@both
def test_a_fit_without_names_forgets_them(estimator):
    ours = quiet(estimator(**SMALL).fit, pd.DataFrame(X, columns=NAMES), Y)
    assert not hasattr(quiet(ours.fit, X, Y), "feature_names_in_")


@both
def test_nullable_and_boolean_columns_are_numbers(estimator):
    frame = pd.DataFrame(X, columns=NAMES).assign(sea=X[:, 0] > 0, rooms=np.arange(len(X)))
    nullable = frame.astype({"sea": "boolean", "rooms": "Int64", NAMES[0]: "Float64"})
    first, second = (quiet(estimator(**SMALL).fit, x, Y) for x in (frame, nullable))
    for ours, theirs in zip(first.coefs_, second.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@both
@pytest.mark.parametrize(
    ("columns", "note"),
    [
        (
            {"city": "Kyoto", "sea": True},
            "X must hold real numbers, got column 'city' of dtype .*: encode .*",
        ),
        ({"rooms": pd.NA}, f"X must have no missing values, got {len(X)} in column 'rooms', of {len(X)} rows: drop .*"),
    ],
)
def test_a_note_names_the_columns_that_are_no_numbers(estimator, columns, note):
    """The message is that of scikit-learn."""
    frame = pd.DataFrame(X, columns=NAMES).assign(**{name: [value] * len(X) for name, value in columns.items()})
    if "rooms" in columns:
        frame = frame.astype({"rooms": "Int64"})
    assert_same_error(estimator, lambda cls: cls(**SMALL).fit(frame, Y))
    with pytest.raises(ValueError) as caught:
        estimator(**SMALL).fit(frame, Y)
    assert re.fullmatch(note, *caught.value.__notes__)
