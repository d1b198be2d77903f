"""Unscaled data are noticed when training makes no progress on them, and only then."""

import re
import warnings

import numpy as np
import pytest
from sklearn import datasets
from small_networks import bits

import fastfnn as fnn
from fastfnn import scaling
from fastfnn.losses import BY_NAME

pytestmark = pytest.mark.jit

RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 4))
T = (X[:, 0] + X[:, 1] > 0).astype(int)
UNSCALED = X * [1, 1, 1, 1000] + [0, 0, 0, 5000]


def wine():
    x, t = datasets.load_wine(return_X_y=True)
    return x, t


def standardized(x):
    return (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-8)


def warned(x, t, sizes=(8,), *, loss="softmax_cross_entropy", outputs=None, options=(), **fit):
    """The messages of warnings about unscaled data."""
    outputs = outputs or (int(np.max(t)) + 1 if loss == "softmax_cross_entropy" else 1)
    net = fnn.FNN((x.shape[1], *sizes, outputs), loss=loss, seed=0, **dict(options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(x, t, **({"epochs": 20} | fit))
    assert all(item.filename == __file__ for item in caught)  # it points to the caller of fit
    return [str(item.message) for item in caught if item.category is fnn.UnscaledDataWarning]


@pytest.mark.parametrize("backend", ["kernels", "reference"])
def test_a_table_as_it_comes_warns_once_with_columns_and_cure(backend):
    x, t = wine()
    (message,) = warned(x, t, options={"backend": backend})
    assert re.fullmatch(
        r"training made little or no progress: the loss is [\d.]+, that of the best constant prediction is 1\.086; "
        r"values of column 12 are about 810, of column 7 about 0\.383\. Standardize the columns: .*",
        message,
    )


def test_the_line_in_the_message_helps():
    x, t = wine()
    (message,) = warned(x, t)
    names = {"x": x, "np": np}
    exec(re.search("columns: (mean, .*), and later", message).group(1), names)
    np.testing.assert_allclose(names["x"].std(axis=0), 1)
    assert warned(names["x"], t) == []


def test_the_line_survives_constant_columns():
    x = np.hstack([wine()[0], np.ones((178, 1)), np.zeros((178, 1))])
    (message,) = warned(x, wine()[1])
    names = {"x": x, "np": np}
    exec(re.search("columns: (mean, .*), and later", message).group(1), names)
    assert np.isfinite(names["x"]).all()


TABLES = ("wine", "breast_cancer", "iris", "digits")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("optimizer", [fnn.SGD(0.1), fnn.SGD(0.001), fnn.Adam()])
def test_standardized_tables_never_warn(table, activation, optimizer):
    """Not even where a small learning rate makes no progress."""
    x, t = getattr(datasets, f"load_{table}")(return_X_y=True)
    assert warned(standardized(x), t, (50,), options={"activation": activation}, optimizer=optimizer, epochs=10) == []


@pytest.mark.parametrize("optimizer", [fnn.SGD(1e-9), fnn.SGD(0.1)])
def test_digits_and_their_constant_and_rare_pixels_never_warn(optimizer):
    (x, t), _ = fnn.datasets.load_mnist()
    assert (x.max(axis=0) == 0).any()
    x = x[:1000].copy()
    x[0, 0] = 1 / 255  # of one image only
    assert warned(x, t[:1000], (50,), optimizer=optimizer, epochs=2) == []


def test_one_hot_columns_and_rare_features_never_warn():
    one_hot = np.eye(50)[RNG.integers(50, size=200)]
    rare = np.where(np.arange(200) == 7, 1e-6, 0)[:, np.newaxis]
    assert warned(np.hstack([X, one_hot, rare]), T, optimizer=fnn.SGD(1e-9)) == []


def test_unscaled_data_on_which_training_goes_well_do_not_warn():
    x = np.hstack([X, X[:, :1] * 1e-4])  # scales differ, and the network learns from the others
    assert warned(x, T) == []
    assert len(warned(x, T, optimizer=fnn.SGD(1e-9))) == 1


def test_a_training_loss_that_is_high_by_itself_does_not_warn():
    """It may contain dropout and a penalty: the loss of predictions decides."""
    net = fnn.FNN((4, 8, 2), seed=0)
    net.fit(X, T, epochs=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = X.astype(np.float32) * np.float32([1, 1, 1, 1000])
        net.params["W1"][3] /= 1000
        scaling.warn_if_unscaled(net, 1e9, 100, x, T, None, level=1)
    assert scaling.findings(x, None) != ""


def test_few_steps_and_partial_fit_do_not_warn():
    assert warned(UNSCALED, T, epochs=4) == []  # of two steps each
    assert len(warned(UNSCALED, T, epochs=5)) == 1
    net = fnn.FNN((4, 8, 2), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            net.partial_fit(UNSCALED, T, batch_size=10)


def test_features_of_one_large_scale_warn():
    (message,) = warned(255 * np.abs(X), T)
    assert re.search(r"values of column \d are about 2\d\d\. Standardize the columns", message)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "absolute_error", "quantile"])
def test_large_targets_warn(loss):
    t = 500 + 100 * X[:, 0]
    (message,) = warned(X, t, loss=loss, optimizer=fnn.SGD(1e-4))
    assert re.search(
        r"prediction is [\d.e+]+; targets are about 5\d\d\. Standardize them: mean, std = t\.mean", message
    )
    assert warned(X, (t - t.mean()) / t.std(), loss=loss) == []


def test_targets_that_are_constant_or_not_to_be_learned_do_not_warn():
    assert warned(UNSCALED, np.zeros(200, int), outputs=2) == []
    assert warned(np.ones((200, 4)), 500 + 100 * X[:, 0], loss="squared_error", optimizer=fnn.SGD(0.01)) == []


def test_weights_count():
    weights = np.where(T == 1, 1.0, 0.01)  # the best constant prediction has a small loss then
    assert len(warned(UNSCALED, T, sample_weight=weights)) == 1
    assert warned(X, T, sample_weight=weights) == []


@pytest.mark.parametrize("name", BY_NAME)
def test_no_constant_prediction_is_better_than_the_best(name):
    loss = BY_NAME[name](0.2) if "cross_entropy" in name else BY_NAME[name]()
    t = np.eye(3)[RNG.integers(3, size=50)] if "cross_entropy" in name else RNG.random((50, 3))
    weights = RNG.random(50)
    for w in (None, weights) if name not in ("huber", "absolute_error", "quantile") else (None,):
        best = scaling.constant_loss(loss, t, 3, w)
        least = min(
            np.average(scaling.metrics.loss_of_each(loss, np.tile(z, (50, 1)), t) * (1 if w is None else w))
            for z in RNG.standard_normal((2000, 3))
        )
        assert best <= least * 1.01  # the median is not quite the best of the Huber loss


def test_labels_and_their_one_hot_rows_have_the_same_constant_loss():
    labels = RNG.integers(4, size=60)
    for loss in (fnn.losses.SoftmaxCrossEntropy(), fnn.losses.SoftmaxCrossEntropy(0.3)):
        want = scaling.constant_loss(loss, np.eye(5)[labels], 5)
        assert scaling.constant_loss(loss, labels, 5) == pytest.approx(want, rel=1e-12)


def test_looking_changes_nothing():
    x, t = wine()
    nets = [fnn.FNN((13, 8, 3), dropout=0.2, batch_norm=True, seed=0) for _ in range(2)]
    with pytest.warns(fnn.UnscaledDataWarning):
        fnn.FNN((13, 8, 3), seed=0).fit(x, t)
    for net, steps in zip(nets, (scaling.LEAST_STEPS, 10**9), strict=True):
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(scaling, "LEAST_STEPS", steps)
            net.fit(x, t, optimizer=fnn.SGD(1e-6))
            net.fit(x, t, optimizer=fnn.SGD(1e-6))
    assert bits(nets[0]) == bits(nets[1])


def test_a_bounded_number_of_rows_is_looked_at(monkeypatch):
    seen = []
    monkeypatch.setattr(scaling, "findings", lambda x, *_: seen.append(x.shape))
    x = np.broadcast_to(np.float32(1000), (50_000, 3))
    t = np.arange(50_000) % 2
    fnn.FNN((3, 2), seed=0).fit(x, t, epochs=1, optimizer=fnn.SGD(1e-9))
    assert seen == [(32, 3)]
    monkeypatch.setattr(scaling, "findings", lambda x, *_: seen.append(x.shape) or "something")
    with pytest.warns(fnn.UnscaledDataWarning, match="something"):
        fnn.FNN((3, 2), seed=0).fit(x, t, epochs=1, optimizer=fnn.SGD(1e-9))
    assert seen[1:] == [(32, 3), (1000, 3)]
    seen.clear()
    fnn.FNN((3, 2), seed=0).fit(X[:, :3], T, epochs=10)
    assert seen == []  # not if training goes well


def linear():
    return fnn.FNN((4, 8, 1), activation="identity", loss="squared_error", seed=0)


def test_a_training_that_diverges_names_the_columns_and_the_cure():
    with pytest.raises(fnn.DivergenceError, match=r"^training diverged: .* The data may be the reason: val") as caught:
        linear().fit(UNSCALED, X[:, 0], epochs=20)
    assert "values of column 3 are about 5.16e+03" in str(caught.value)
    assert "x = (x - mean) / std" in str(caught.value)
    assert caught.value.epoch >= 1
    with pytest.raises(fnn.DivergenceError, match="reason: targets are about 5"):
        linear().fit(X, 500 + X[:, 0], optimizer=fnn.SGD(1e6))
    with pytest.raises(fnn.DivergenceError) as caught:
        linear().fit(X, X[:, 0], optimizer=fnn.SGD(1e6))
    assert "The data may be" not in str(caught.value)


def test_a_training_that_goes_on_after_divergence_warns_of_both():
    unscaled = pytest.warns(fnn.UnscaledDataWarning, match="the loss is nan")
    with pytest.warns(RuntimeWarning, match="not finite"), unscaled:
        linear().fit(UNSCALED, X[:, 0], epochs=20, on_divergence="warn")
