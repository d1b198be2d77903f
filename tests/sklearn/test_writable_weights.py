"""coefs_ and intercepts_ are lists of arrays that may be written to and replaced; predictions follow."""

import numpy as np
import pytest
from estimator_twins import BOTH, PROBLEMS, SMALL, X, assert_close, quiet, weights, with_both

from fastfnn.sklearn import MLPClassifier

pytestmark = pytest.mark.jit

both = pytest.mark.parametrize("estimator", BOTH)
Y = PROBLEMS["multiclass"].y
RNG = np.random.default_rng(6)


def write_in_place(mlp):
    for array in (*mlp.coefs_, *mlp.intercepts_):
        array *= 0.5


def replace_item(mlp):
    mlp.coefs_[1] = np.ones_like(mlp.coefs_[1])
    mlp.intercepts_[0] = np.linspace(-1, 1, len(mlp.intercepts_[0]))


def replace_list(mlp):
    mlp.coefs_ = [0.5 * array for array in mlp.coefs_]
    mlp.intercepts_ = [array + 1 for array in mlp.intercepts_]


def replace_by_other_layouts(mlp):
    mlp.coefs_[0] = np.asfortranarray(2 * mlp.coefs_[0])
    mlp.coefs_[1] = mlp.coefs_[1][::-1]


def replace_by_other_dtypes(mlp):
    mlp.coefs_[0] = np.ones(mlp.coefs_[0].shape, np.float32)
    mlp.intercepts_[0] = np.ones(len(mlp.intercepts_[0]), np.float32)


def write_single_numbers(mlp):
    mlp.coefs_[0][2, 1] = 7.0
    mlp.intercepts_[-1][0] -= 3.0


def write_after_replacing(mlp):
    mine = np.zeros_like(mlp.coefs_[0])
    mlp.coefs_[0] = mine
    mlp.predict(X)
    mine[...] = 0.3


def keep_a_reference(mlp):
    held = mlp.coefs_[0]
    mlp.predict(X)
    held[...] = 0.1


CHANGES = [
    write_in_place,
    replace_item,
    replace_list,
    replace_by_other_layouts,
    replace_by_other_dtypes,
    write_single_numbers,
    write_after_replacing,
    keep_a_reference,
]
changes = pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)


def outputs(mlp):
    return mlp.predict_proba(X) if hasattr(mlp, "predict_proba") else mlp.predict(X)


@both
@changes
def test_predictions_follow_the_weights(estimator, change):
    def changed(cls):
        mlp = cls(**SMALL).fit(X, Y)
        before = outputs(mlp)
        change(mlp)
        assert not np.array_equal(outputs(mlp), before)
        return outputs(mlp)

    assert_close(*with_both(estimator, changed), 1e-7, "outputs")


@both
@changes
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_training_goes_on_from_the_changed_weights(estimator, change, method):
    def trained(cls):
        mlp = cls(**SMALL, warm_start=True, solver="sgd", momentum=0).fit(X, Y)
        change(mlp)
        getattr(mlp, method)(X, Y)
        return weights(mlp)

    if change in (replace_by_other_dtypes, replace_by_other_layouts):  # which scikit-learn cannot all train in place
        changed, copied = (quiet(estimator(**SMALL, warm_start=True).fit, X, Y) for _ in range(2))
        change(changed)
        for array, new in zip(copied.coefs_ + copied.intercepts_, changed.coefs_ + changed.intercepts_, strict=True):
            array[...] = new
        for mlp in (changed, copied):
            quiet(getattr(mlp, method), X, Y)
        np.testing.assert_allclose(weights(changed), weights(copied), rtol=1e-12)
    else:
        ours, theirs = with_both(estimator, trained)
        assert_close(ours, theirs, 1e-7, "weights")


@both
def test_partial_fit_trains_the_arrays_that_are_there(estimator):
    mlp = quiet(estimator(**SMALL).fit, X, Y)
    held = mlp.coefs_[0]
    before = held.copy()
    mlp.partial_fit(X, Y)
    assert np.array_equal(held, mlp.coefs_[0]) and not np.array_equal(held, before)


@both
@pytest.mark.parametrize(
    "bad",
    [
        lambda mlp: mlp.coefs_.__setitem__(0, mlp.coefs_[0].T),
        lambda mlp: mlp.coefs_.__setitem__(1, mlp.coefs_[1][:-1]),
        lambda mlp: mlp.intercepts_.__setitem__(0, mlp.intercepts_[0][:, None]),
        lambda mlp: mlp.intercepts_.__setitem__(0, np.float64(0)),
        lambda mlp: setattr(mlp, "coefs_", mlp.coefs_[:-1]),
        lambda mlp: setattr(mlp, "intercepts_", [*mlp.intercepts_, mlp.intercepts_[0]]),
        lambda mlp: mlp.coefs_.__setitem__(0, "weights"),
    ],
    ids=["transposed", "rows", "2-D", "0-D", "few", "many", "str"],
)
def test_weights_of_wrong_shapes_are_an_error(estimator, bad):
    """When they are set or when they are used."""
    mlp = quiet(estimator(**SMALL).fit, X, Y)
    with pytest.raises((ValueError, TypeError), match=r"coefs_|intercepts_"):
        bad(mlp)
        mlp.predict(X)


@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_weights_are_a_list_of_arrays(name):
    mlp = quiet(MLPClassifier(**SMALL).fit, X, Y)
    assert type(getattr(mlp, name)) is list
    assert all(type(array) is np.ndarray and array.flags.writeable for array in getattr(mlp, name))
