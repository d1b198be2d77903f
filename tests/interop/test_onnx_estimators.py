"""`to_onnx` of the estimators: labels, probabilities and values, as users of skl2onnx expect them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import NotFittedError
from test_onnx import run, twice, two

import fastfnn as fnn
from fastfnn.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
OPTIONS = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}


def exported(model, X, path):
    model.to_onnx(path)
    return run(str(path), X=X.astype(model.network_.dtype if not hasattr(model, "estimators_") else model._dtype))


def check(model, X, path, classes):
    """A classifier and its file predict alike; return the outputs of the file."""
    got, dtype = exported(model, X, path), model._dtype
    assert list(got) == ["label", "probabilities"]
    assert got["label"].tolist() == model.predict(X.astype(dtype)).tolist()
    np.testing.assert_allclose(
        got["probabilities"], model.predict_proba(X.astype(dtype)), rtol=TOLERANCE[dtype.name], atol=1e-7
    )
    assert got["probabilities"].shape == (len(X), classes) and got["probabilities"].dtype == dtype
    return got


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [2, 3])
def test_labels_are_integers_or_strings(classes, dtype, tmp_path):
    X, y = make_classification(60, 6, n_informative=4, n_classes=classes, random_state=0)
    names = np.array(["no", "perhaps", "はい"])[-classes:]
    for labels, kind in ((y, np.int64), (y * 10 - 5, np.int64), (names[y], object), (y.astype(float), np.int64)):
        model = MLPClassifier(dtype=dtype, **OPTIONS).fit(X, labels)
        got = check(model, X, tmp_path / "model.onnx", classes)
        assert got["label"].dtype == kind and got["label"].shape == (60,)
    model = MLPClassifier(dtype=dtype, **OPTIONS).fit(X, names[y].astype(object))
    check(model, X, tmp_path / "model.onnx", classes)


def test_booleans_are_integers(tmp_path):
    X, y = make_classification(60, 6, random_state=0)
    model = MLPClassifier(**OPTIONS).fit(X, y == 1)
    assert exported(model, X, tmp_path / "model.onnx")["label"].tolist() == model.predict(X).astype(int).tolist()


def test_samples_of_one_class(tmp_path):
    X = np.ones((10, 3))
    model = MLPClassifier(**OPTIONS).fit(X, ["only"] * 10)
    assert exported(model, X, tmp_path / "model.onnx")["label"].tolist() == ["only"] * 10


@pytest.mark.parametrize("networks", [1, 3])
def test_several_labels_are_zeros_and_ones(networks, tmp_path):
    X, y = make_multilabel_classification(60, 6, n_classes=4, random_state=0)
    model = MLPClassifier(n_estimators=networks, **OPTIONS).fit(X, y)
    assert check(model, X, tmp_path / "model.onnx", 4)["label"].shape == (60, 4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_ensemble_is_one_file(dtype, tmp_path):
    X, y = make_classification(60, 6, random_state=0)
    options = OPTIONS | {"n_estimators": 3, "batch_norm": True, "dropout": 0.2, "activation": "gelu", "dtype": dtype}
    check(MLPClassifier(**options).fit(X, y), X, tmp_path / "model.onnx", 2)
    model = MLPRegressor(**options).fit(X, y)
    got = exported(model, X, tmp_path / "model.onnx")["variable"]
    np.testing.assert_allclose(got[:, 0], model.predict(X.astype(dtype)), rtol=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "poisson"},
        {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)},
        {"loss": "quantile"},
        {"loss": "huber"},
    ],
    ids=str,
)
def test_regressors_have_one_output(options, dtype, tmp_path):
    X, y = make_regression(60, 6, random_state=0)
    model = MLPRegressor(dtype=dtype, **OPTIONS, **options).fit(X, np.abs(y) / 100)
    got = exported(model, X, tmp_path / "model.onnx")
    want = model.predict(X.astype(dtype)).reshape(60, -1)
    assert list(got) == ["variable"] and got["variable"].shape == want.shape
    scale = np.abs(want).max()
    np.testing.assert_allclose(got["variable"] / scale, want / scale, rtol=0, atol=TOLERANCE[dtype])


def test_several_targets(tmp_path):
    X, y = make_regression(60, 6, n_targets=3, random_state=0)
    model = MLPRegressor(**OPTIONS).fit(X, y)
    np.testing.assert_allclose(exported(model, X, tmp_path / "m.onnx")["variable"], model.predict(X), rtol=1e-11)


def test_weights_that_a_user_has_changed_are_exported(tmp_path):
    X, y = make_regression(60, 6, random_state=0)
    model = MLPRegressor(**OPTIONS).fit(X, y)
    model.coefs_[0][...] = 0.25
    model.intercepts_[1] = np.array([7.0])
    np.testing.assert_allclose(exported(model, X, tmp_path / "m.onnx")["variable"][:, 0], model.predict(X), rtol=1e-11)


def test_names_of_features_are_in_the_file(tmp_path):
    import onnx

    X, y = make_regression(60, 3, random_state=0)
    MLPRegressor(**OPTIONS).fit(pd.DataFrame(X, columns=["a", "b", "c"]), y).to_onnx(tmp_path / "m.onnx")
    (entry,) = onnx.load(tmp_path / "m.onnx").metadata_props
    assert (entry.key, json.loads(entry.value)) == ("feature_names", ["a", "b", "c"])


def test_errors(tmp_path):
    with pytest.raises(NotFittedError):
        MLPRegressor().to_onnx(tmp_path / "m.onnx")
    X, y = make_regression(60, 3, random_state=0)
    model = MLPRegressor(activation=fnn.Activation(twice, two), **OPTIONS).fit(X, y)
    with pytest.raises(ValueError, match=r"activation\[0\] is your own 'twice'"):
        model.to_onnx(tmp_path / "m.onnx")
