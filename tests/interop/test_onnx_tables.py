"""`table_model`: a network on the columns of a table, as one ONNX model."""

import numpy as np
import pytest
from test_onnx import network, run

from fastfnn.interop.columns import CategoryColumn, NumberColumn
from fastfnn.interop.onnx import table_model

COLUMNS = (
    NumberColumn("age", 40.0, 38.5, 12.0),
    NumberColumn("income of 2025", None, 30_000.0, 9_000.0),
    CategoryColumn("city", ("Kyoto", "東京", "Naha"), "Kyoto"),
    NumberColumn("x", 0.0, 1e6, 1.0),
    CategoryColumn("plan", ("a", "b"), None),
)
TABLE = {
    "age": [20, np.nan, 60, 33, 41],
    "income of 2025": [1e4, 2e4, 3e4, 4e4, 5e4],
    "city": ["Kyoto", "東京", "", "Naha", "elsewhere"],
    "x": [1e6, 1e6 + 1, 1e6 - 2, np.nan, 1e6],
    "plan": ["a", "b", "c", "", "a"],
}
# What the network gets, but for the number of "x", which is -1e6 where it is missing.
CITIES = [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]
PLANS = [[1, 0], [0, 1], [0, 0], [0, 0], [1, 0]]


def inputs(dtype):
    return {
        name: np.array(values, object if isinstance(values[0], str) else dtype)[:, np.newaxis]
        for name, values in TABLE.items()
    }


def features(dtype):
    age, income, x = (np.array(TABLE[name]) for name in ("age", "income of 2025", "x"))
    numbers = [(np.where(np.isnan(age), 40, age) - 38.5) / 12, (income - 3e4) / 9e3, np.where(np.isnan(x), 0, x) - 1e6]
    return np.column_stack([numbers[0], numbers[1], CITIES, numbers[2] * 1, PLANS]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_table_gives_the_predictions_of_the_network_on_its_features(dtype):
    net = network((8, 6, 3), dtype=dtype)
    for labels in (["no", "perhaps", "yes"], [1, 2, 30]):
        got = run(table_model(COLUMNS, net, labels=labels, target=None), **inputs(dtype))
        want = net.predict(features(dtype))
        # Here and there a result below the smallest normal number is 0.
        tiny = np.finfo(dtype).tiny
        np.testing.assert_allclose(got["probabilities"], want, rtol=1e-5 if dtype == "float32" else 1e-12, atol=tiny)
        assert got["label"].tolist() == np.array(labels)[want.argmax(axis=1)].tolist()
        assert list(got) == ["label", "probabilities"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_target_is_scaled_back(dtype):
    net = network((8, 6, 1), dtype=dtype, loss="squared_error")
    got = run(table_model(COLUMNS, net, labels=None, target=(100.0, 15.0)), **inputs(dtype))
    want = net.predict(features(dtype)) * 15 + 100
    assert list(got) == ["variable"] and got["variable"].dtype == dtype
    np.testing.assert_allclose(got["variable"], want, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_two_classes_from_one_output():
    net = network((8, 6, 1), loss="sigmoid_cross_entropy")
    got = run(table_model(COLUMNS, net, labels=("bad", "good"), target=None), **inputs("float32"))
    want = net.predict(features("float32"))
    np.testing.assert_allclose(got["probabilities"], np.hstack([1 - want, want]), rtol=1e-5, atol=1e-7)
    assert got["label"].tolist() == [("bad", "good")[int(p > 0.5)] for p in want[:, 0]]


def test_tables_of_numbers_and_of_text_alone():
    net = network((1, 2))
    number = table_model([NumberColumn("x", None, 1.0, 2.0)], net, labels=["a", "b"], target=None)
    np.testing.assert_allclose(
        run(number, x=np.float32([[3], [5]]))["probabilities"], net.predict([[1.0], [2.0]]), rtol=1e-6
    )
    text = table_model([CategoryColumn("x", ("", "u"), "")] * 1, network((2, 2)), labels=["a", "b"], target=None)
    got = run(text, x=np.array([[""], ["u"], ["v"]], object))["probabilities"]
    np.testing.assert_allclose(got, network((2, 2)).predict([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), rtol=1e-6)


@pytest.mark.parametrize(
    "columns, options, message",
    [
        ([NumberColumn("label", None, 0, 1)], {}, "'label'"),
        ([NumberColumn("", None, 0, 1)], {}, "not empty"),
        ([NumberColumn("a", None, 0, 1)] * 2, {}, "different names"),
        ([NumberColumn("a", None, 0, 1), NumberColumn("b", None, 0, 1)], {}, "the 1 features of the network, got 2"),
        ([NumberColumn("a", None, 0, 1)], {"labels": ["a"]}, "labels must be those of 2 classes, got 1"),
        ([NumberColumn("variable", None, 0, 1)], {"labels": None}, "'variable'"),
    ],
)
def test_what_does_not_fit_is_named(columns, options, message):
    with pytest.raises(ValueError, match=message):
        table_model(columns, network((1, 2)), **({"labels": ["a", "b"], "target": None} | options))


def test_labels_need_a_classifier():
    column = NumberColumn("a", None, 0, 1)
    with pytest.raises(ValueError, match="labels need a network with a cross-entropy loss, got loss 'squared_error'"):
        table_model([column], network((1, 2), loss="squared_error"), labels=["a", "b"], target=None)
    with pytest.raises(TypeError, match="strings or whole numbers"):
        table_model([column], network((1, 2)), labels=[0.5, 1.5], target=None)
