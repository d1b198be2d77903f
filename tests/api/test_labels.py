"""Labels of classes in the forms that tables have, and what is said of others."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
from small_networks import bits, network, samples

import fastfnn as fnn

LABELS = np.arange(11) % 3
NUMBER = re.escape("; give each class a number: classes, t = np.unique(t, return_inverse=True); ")

FORMS = {
    "column": LABELS[:, np.newaxis],
    "floats": LABELS.astype(float),
    "column of floats": LABELS[:, np.newaxis].astype(np.float32),
    "list of whole floats": LABELS.astype(float).tolist(),
    "objects": LABELS.astype(object),
    "pandas series": pd.Series(LABELS),
    "pandas frame": pd.DataFrame({"class": LABELS}),
    "pandas nullable": pd.Series(LABELS, dtype="Int64"),
    "pandas nullable frame": pd.DataFrame({"class": pd.Series(LABELS, dtype="UInt8")}),
    "pandas objects": pd.Series(LABELS, dtype=object),
    "pandas categories": pd.Series(LABELS, dtype="category"),
    "pandas index": pd.Index(LABELS),
    "polars series": pl.Series(LABELS),
    "polars frame": pl.DataFrame({"class": LABELS}),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_in_any_form_train_the_same_network(form):
    x, _ = samples(count=11)
    results = []
    for t in (LABELS, FORMS[form]):
        net = network(dtype="float32")
        net.fit(x, t, epochs=2, batch_size=4, validation_data=(x, t))
        results.append((bits(net), net.evaluate(x, t), net.gradient(x, t)["W1"].tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("sizes_and_loss", [((4, 3, 2), "softmax_cross_entropy"), ((4, 3, 1), "sigmoid_cross_entropy")])
def test_booleans_are_the_labels_of_two_classes(sizes_and_loss):
    sizes, loss = sizes_and_loss
    x, _ = samples(count=11)
    nets = [fnn.FNN(sizes, loss=loss, seed=0) for _ in range(3)]
    for net, t in zip(nets, (LABELS > 0, (LABELS > 0) * 1, pd.Series(LABELS > 0, dtype="boolean")), strict=True):
        net.fit(x, t, epochs=2, batch_size=4)
    assert bits(nets[0]) == bits(nets[1]) == bits(nets[2])


def test_booleans_are_no_labels_of_three_classes():
    with pytest.raises(TypeError, match=f"^t must hold integer labels if it has one axis, got dtype bool{NUMBER}"):
        network().loss(samples(count=11)[0], LABELS > 0)


WORDS = np.array(["red", "green", "blue"])[LABELS]


@pytest.mark.parametrize(
    "t", [WORDS, WORDS.astype(object), WORDS.tolist(), WORDS[:, np.newaxis], 10 * LABELS - 7, pd.Series(WORDS),
          pd.Series(WORDS, dtype="category"), pd.DataFrame({"colour": WORDS}), pl.Series(WORDS.tolist())]
)  # fmt: skip
def test_the_line_in_the_error_makes_labels_of_anything(t):
    x, _ = samples(count=11)
    net = network()
    with pytest.raises((TypeError, ValueError), match=f"^t must hold .*{NUMBER}") as caught:
        net.fit(x, t)
    line, again = re.search("number: (.*); for further samples: (.*)$", str(caught.value)).groups()
    names = {"np": np, "t": np.ravel(t)}
    exec(line, names)
    net.fit(x, names["t"], epochs=1)
    labels, names["t"] = names["t"], np.ravel(t)
    exec(again, names)
    np.testing.assert_array_equal(names["t"], labels)


@pytest.mark.parametrize("t", [[-1, 1, 1], [1, 2, 1], ["no", "yes", "no"]])
def test_two_classes_of_one_output_are_numbered_alike(t):
    net = fnn.FNN((2, 1), loss="sigmoid_cross_entropy")
    with pytest.raises((TypeError, ValueError), match=f"^t must hold .*{NUMBER}"):
        net.loss(np.ones((3, 2)), t)


def test_probabilities_out_of_range_are_no_classes_to_number():
    net = fnn.FNN((2, 1), loss="sigmoid_cross_entropy")
    with pytest.raises(ValueError, match=r"^t must hold numbers from 0 to 1, got 1\.5$"):
        net.loss(np.ones((3, 2)), [0.5, 1.5, 0.25])


def test_labels_of_two_classes_for_one_output_name_the_loss():
    with pytest.raises(ValueError, match=r"got 1; two classes need two outputs, or one with the loss sigmoid_"):
        fnn.FNN((2, 1)).fit(np.ones((3, 2)), [0, 1, 1])


@pytest.mark.parametrize(
    "t", [pd.Series([0, 1, None], dtype="Int64"), pd.Series([0, 1, np.nan]), pl.Series([0, 1, None])]
)
def test_missing_labels_are_counted(t):
    with pytest.raises(ValueError, match=r"^t must have no missing values, got 1 of 3: drop these samples$"):
        fnn.FNN((2, 2)).fit(np.ones((3, 2)), t)
