"""Samples in frames of pandas and polars: what counts as numbers, and what is said of other columns."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from small_networks import bits

import fastfnn as fnn
from fastfnn import validation

RNG = np.random.default_rng(0)
PLAIN = pd.DataFrame(
    {"age": RNG.random(12), "rooms": np.arange(12) % 5, "sea": np.arange(12) % 2 == 0, "small": np.int8(3)}
)
T = np.arange(12) % 2

FRAMES = {
    "mixed": PLAIN,
    "nullable": PLAIN.astype({"age": "Float64", "rooms": "Int64", "sea": "boolean", "small": "UInt8"}),
    "objects of numbers as categories": PLAIN.astype({"rooms": "category"}),
    "other index": PLAIN.set_index(np.arange(12)[::-1]),
    "same names": PLAIN.set_axis(["a", "a", "b", "b"], axis=1),
    "numbered columns": PLAIN.set_axis(range(4), axis=1),
    "polars": pl.DataFrame({name: PLAIN[name].to_numpy() for name in PLAIN}),
}


@pytest.mark.parametrize("form", FRAMES)
def test_frames_of_numbers_train_like_their_array(form):
    x = PLAIN.to_numpy(float)
    results = []
    for given_x in (x, FRAMES[form]):
        net = fnn.FNN((4, 3, 2), seed=0)
        history = net.fit(given_x, T, epochs=2, batch_size=4, validation_data=(given_x, T))
        grad = net.gradient(given_x, T)["W1"].tobytes()
        results.append((bits(net), history.val_loss, grad, net.predict(given_x).tobytes(), net.evaluate(given_x, T)))
    assert results[0] == results[1]


def test_pyarrow_columns_are_numbers():
    pytest.importorskip("pyarrow")
    np.testing.assert_array_equal(
        validation.as_array("x", PLAIN.convert_dtypes(dtype_backend="pyarrow")), PLAIN.to_numpy(float)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_frames_of_one_dtype_keep_it_and_are_not_copied(dtype):
    frame = pd.DataFrame(np.ones((5, 3), dtype))
    got = validation.as_array("x", frame)
    assert got.dtype == dtype
    assert np.shares_memory(got, frame.to_numpy())


def test_nullable_columns_of_one_dtype_keep_it():
    assert validation.as_array("x", PLAIN[["rooms"]].astype("Int16")).dtype == np.int16
    assert validation.as_array("x", PLAIN[["sea", "sea"]].astype("boolean")).dtype == bool


MISSING = {
    "NaN": (PLAIN.assign(age=[np.nan] * 2 + [1.0] * 10), "2 in column 'age'"),
    "NaN in floats alone": (pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, np.nan]}), "1 in column 'b'"),
    "NA": (PLAIN.assign(rooms=pd.array([None] * 3 + [1] * 9, "Int64")), "3 in column 'rooms'"),
    "two columns": (
        PLAIN.assign(age=[np.nan] + [1.0] * 11, sea=pd.array([None] * 2 + [True] * 10, "boolean")),
        "1 in column 'age', 2 in column 'sea'",
    ),
    "null in polars": (pl.DataFrame({"a": [1, None, 3], "b": [1.0, 2.0, 3.0]}), "1 in column 'a'"),
    "many": (pd.DataFrame({name: [np.nan, 1.0] for name in "abcdefg"}), "1 in column 'a', .* 'e' and 2 more"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSING)
def test_missing_values_are_counted_by_column(case):
    frame, found = MISSING[case]
    message = rf"^{{}} must have no missing values, got {found}, of {len(frame)} rows: drop these rows \(dropna .*"
    net = fnn.FNN((frame.shape[1], 2))
    with pytest.raises(ValueError, match=message.format("x")):
        net.predict(frame)
    with pytest.raises(ValueError, match=message.format(r"validation_data\[0\]")):
        net.fit(np.ones(frame.shape), np.zeros(len(frame), int), validation_data=(frame, np.zeros(len(frame), int)))
    assert net.history is None


OTHERS = {
    "words": (PLAIN.assign(city="Kyoto"), "'city' of dtype (str|object)"),
    "categories": (PLAIN.assign(city=pd.Categorical(["a", "b"] * 6)), "'city' of dtype category"),
    "dates": (PLAIN.assign(day=pd.to_datetime(["2020-01-01"] * 12)), "'day' of dtype datetime64.*"),
    "two": (PLAIN.assign(city="Kyoto", name="A"), "'city' of dtype (str|object), 'name' of dtype (str|object)"),
    "polars": (pl.DataFrame({"a": [1.0, 2.0], "b": ["1", "2"]}), "'b' of dtype String"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_columns_that_hold_no_numbers_are_named_with_the_cure(case):
    frame, found = OTHERS[case]
    message = rf"^x must hold real numbers, got column {found}: encode categories .* pandas\.get_dummies .*"
    with pytest.raises(TypeError, match=message):
        fnn.FNN((frame.shape[1], 2)).fit(frame, np.zeros(len(frame), int))


def test_the_cure_for_categories_is_one():
    frame = PLAIN.assign(city=["a", "b", "c"] * 4)
    x = pd.get_dummies(frame)
    fnn.FNN((x.shape[1], 2)).fit(x, T, epochs=1)


@pytest.mark.parametrize("x", [PLAIN.to_numpy(str), PLAIN.to_numpy(object), PLAIN.to_numpy(str).tolist()])
def test_arrays_of_text_and_objects_are_refused_with_the_cure(x):
    message = r"^x must hold real numbers, got dtype .*; convert numbers by x\.astype\(float\), and encode categories"
    with pytest.raises(TypeError, match=message):
        fnn.FNN((4, 2)).predict(x)


def test_frames_without_rows_or_columns_are_refused_by_their_shape():
    with pytest.raises(ValueError, match=r"^x must have 4 columns, got shape \(12, 0\)"):
        fnn.FNN((4, 2)).predict(PLAIN[[]])
    with pytest.raises(ValueError, match=r"^x must have at least one row, got shape \(0, 4\)"):
        fnn.FNN((4, 2)).predict(PLAIN[:0])


def test_the_package_imports_neither_pandas_nor_polars():
    program = "import sys, fastfnn; print({'pandas', 'polars', 'pyarrow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
