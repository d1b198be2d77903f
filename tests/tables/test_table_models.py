"""Models of tables: predictions, files, and files that pretend to be one."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers import run_python
from safetensors.numpy import save
from small_tables import flats, model

import fastfnn as fnn
from fastfnn import files, tables
from fastfnn.tables import stored
from fastfnn.tables.model import of_network

TABLE = flats()


@pytest.mark.parametrize("target", ["price", "kind", "garden", "rooms"])
@pytest.mark.parametrize("missing", ["refuse", "mean"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_saved_model_predicts_the_same_bits(tmp_path, target, missing, dtype):
    made = model(target, missing=missing, dtype=dtype)
    made.save(tmp_path / "m")
    loaded = tables.load(tmp_path / "m")
    assert (loaded.task, loaded.target, loaded.labels, loaded.columns) == (
        made.task, target, made.labels, made.columns,
    )  # fmt: skip
    assert loaded.origin == made.origin and loaded.origin["version"] == fnn.__version__
    assert loaded.predict(TABLE).tolist() == made.predict(TABLE).tolist()
    assert repr(loaded) == repr(made)
    np.testing.assert_array_equal(fnn.load(tmp_path / "m").params.flat, made.network.params.flat)


def test_predictions_are_labels_or_numbers_in_the_dtype_of_the_network():
    assert set(model("kind").predict(TABLE)) <= {"large", "small"}
    assert model("garden").predict(TABLE).dtype == bool
    assert model("price").predict(TABLE).dtype == np.float32
    made = model("kind")
    p = made.predict_proba(TABLE)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert made.predict(TABLE).tolist() == [made.labels[i] for i in p.argmax(axis=1)] == made.decide(p).tolist()
    assert made.predict(TABLE[:0]).tolist() == [] and made.predict_proba(TABLE[:0]).shape == (0, 2)
    with pytest.raises(ValueError, match="probabilities need a model of classes"):
        model("price").predict_proba(TABLE)


def test_frames_of_other_libraries_and_of_arrays_are_taken():
    import polars
    import pyarrow

    made = model("kind")
    want = made.predict(TABLE).tolist()
    assert made.predict(polars.from_pandas(TABLE)).tolist() == want
    assert made.predict(pyarrow.Table.from_pandas(TABLE)).tolist() == want
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert of_network(fnn.FNN((3, 2))).predict(pd.DataFrame(x)).shape == (5,)


def test_predictions_do_not_depend_on_other_rows():
    made = model("price")
    np.testing.assert_allclose(made.predict(TABLE)[7:8], made.predict(TABLE.iloc[[7]]), rtol=1e-6)


def test_a_network_without_a_table_is_no_model_unless_it_may_be_plain(tmp_path):
    net = fnn.FNN((3, 4, 2), seed=0)
    net.save(tmp_path / "net")
    with pytest.raises(ValueError, match="net holds a network, but no table"):
        tables.load(tmp_path / "net")
    plain = tables.load(tmp_path / "net", plain=True)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    frame = pd.DataFrame(x, columns=["0", "1", "2"])
    np.testing.assert_array_equal(plain.predict_proba(frame), net.predict(x))
    assert plain.predict(frame).tolist() == net.predict(x).argmax(axis=1).tolist()
    with pytest.raises(ValueError, match="must have classes or one real output"):
        of_network(fnn.FNN((3, 2), loss="squared_error"))


def test_a_table_with_too_many_columns_for_a_file_is_refused(monkeypatch):
    made = model("price")
    stored.check_size(made.preparation, made.about)
    monkeypatch.setattr(stored.files, "HEADER_LIMIT", 500)
    with pytest.raises(ValueError, match=r"must be described by at most 250 characters, got .*--ignore"):
        stored.check_size(made.preparation, made.about)


def test_without_pandas_the_error_names_the_extra():
    block = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
"""
    code = block + "try:\n    import fastfnn.tables\nexcept ImportError as error:\n    print(error)"
    assert "fastfnn[tables]" in run_python(code)
    code = block + "from fastfnn import cli\ncli.main(['train', 't.csv'])"
    assert "fastfnn train: tables need pandas" in subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(fnn.__file__))},
    ).stderr  # fmt: skip


# Hostile files

CLASSES, NUMBERS = model("kind"), model("price", missing="mean")


def content(made, table):
    arrays, description = {**made.network.params, **made.network._running()}, made.network._description()
    metadata = {"format": "fastfnn-2", "network": json.dumps(description)}
    if table is not None:
        metadata["table"] = table if isinstance(table, str) else json.dumps(table)
    return save({name: np.ascontiguousarray(value) for name, value in arrays.items()}, metadata)


def told(*path, value, made=CLASSES):
    """The description of a model with another value at a place; `...` takes the entry out."""
    table = json.loads(json.dumps(made.described()))
    place = table
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made, table


NUMBER, CATEGORY = 0, 4  # of the columns
VALUES = (None, 3, "x", [], {}, True, 1e400, -1, 10**400, [None], "\ud800", [["a"]])
PLACES = {
    **{("target", name): CLASSES for name in ("name", "labels")},
    **{("target", name): NUMBERS for name in ("name", "mean", "scale")},
    **{("columns", NUMBER, name): NUMBERS for name in ("kind", "name", "fill", "mean", "scale")},
    **{("columns", CATEGORY, name): CLASSES for name in ("kind", "name", "fill", "values")},
    **{("origin", name): CLASSES for name in ("version", "time")},
    **{(name,): CLASSES for name in ("target", "columns", "origin")},
}
HARMLESS = {
    *((("columns", i, "fill"), "None") for i in (NUMBER, CATEGORY)),
    *((path, repr(value)) for path in PLACES for value in ("x",) if path[-1] in ("name", "version", "time")),
    *((("columns", NUMBER, "fill"), text) for text in ("3", "-1")),
    *((("columns", NUMBER, "mean"), text) for text in ("3", "-1")),
    *((("target", "mean"), text) for text in ("3", "-1")),
    *((("columns", NUMBER, "scale"), "3"), (("target", "scale"), "3")),
}
CASES = {
    **{
        f"{'.'.join(map(str, path))} {value!r}"[:80]: told(*path, value=value, made=made)
        for path, made in PLACES.items()
        for value in (*VALUES, ...)
        if (path, repr(value)) not in HARMLESS
    },
    **{
        f"text {text!r}"[:40]: (CLASSES, text)
        for text in ("", "{", "[]", "null", "NaN", "[" * 10**5 + "]" * 10**5, '{"target": 1, "target": 1}')
    },
    "other entry": told("flavour", value="vanilla"),
    "other entry of a column": told("columns", NUMBER, "flavour", value="vanilla"),
    "labels of two types": told("target", "labels", value=["a", 1]),
    "equal labels": told("target", "labels", value=["a", "a"]),
    "true and 1": told("target", "labels", value=[True, 1]),
    "too many labels": told("target", "labels", value=["a", "b", "c"]),
    "large labels": told("target", "labels", value=[1, 2**63]),
    "floats as labels": told("target", "labels", value=[1.0, 2.0]),
    "mean with labels": told("target", "mean", value=0.0),
    "number of a network with classes": told("target", value={"name": "kind", "mean": 0.0, "scale": 1.0}),
    "labels of a network with a number": told("target", value={"name": "p", "labels": ["a", "b"]}, made=NUMBERS),
    "columns of one name": told("columns", NUMBER, "name", value="rooms"),
    "column of the target's name": told("columns", NUMBER, "name", value="kind"),
    "equal values": told("columns", CATEGORY, "values", value=["Kyoto", "Kyoto", "Tokyo"]),
    "values out of order": told("columns", CATEGORY, "values", value=["Osaka", "Kyoto", "Tokyo"]),
    "a value more": told("columns", CATEGORY, "values", value=["Kyoto", "Nara", "Osaka", "Tokyo"]),
    "fill is no value": told("columns", CATEGORY, "fill", value="Nara"),
    "scale 0": told("columns", NUMBER, "scale", value=0),
    "mean NaN": told("columns", NUMBER, "mean", value=float("nan")),
    "many columns": told("columns", value=[CLASSES.described()["columns"][NUMBER]] * 9999),
    "categories first": told("columns", value=CLASSES.described()["columns"][::-1]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_table_is_a_valueerror_that_names_the_file(tmp_path, case):
    made, table = CASES[case]
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(content(made, table))
    with pytest.raises(ValueError, match=r"hostile\.safetensors is damaged: ") as caught:
        tables.load(path)
    assert type(caught.value) is ValueError and len(str(caught.value)) < 1000
    try:
        files.parsed(table if isinstance(table, str) else json.dumps(table))
    except ValueError:
        with pytest.raises(ValueError, match=r"hostile\.safetensors is damaged: "):
            fnn.load(path)
    else:
        fnn.load(path)  # the network is good


def test_the_file_that_the_others_are_made_of_loads(tmp_path):
    path = tmp_path / "good"
    for made in (CLASSES, NUMBERS):
        path.write_bytes(content(made, made.described()))
        assert tables.load(path).predict(TABLE).tolist() == made.predict(TABLE).tolist()


def test_a_description_with_any_byte_changed_loads_or_is_a_valueerror(tmp_path):
    path, errors = tmp_path / "changed", 0
    text = json.dumps(CLASSES.described())
    for position in range(len(text)):
        for new in ("\0", '"', "9", "é"):
            path.write_bytes(content(CLASSES, text[:position] + new + text[position + 1 :]))
            try:
                tables.load(path).predict(TABLE)
            except ValueError:
                errors += 1
    assert errors > len(text)
