"""Files become frames: CSV in its variants, Parquet, arrays; what is wrong with one is said."""

import gzip
import io
import sys

import numpy as np
import pandas as pd
import pytest
from small_tables import flats

from fastfnn.tables import reading
from fastfnn.tables.reading import Format

TABLE = flats(20)


def written(path, frame=TABLE):
    {".parquet": frame.to_parquet}.get(path.suffix, lambda name: frame.to_csv(name, index=False))(path)
    return str(path)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.bz2", "t.csv.xz", "t.parquet", "t"])
def test_every_format_gives_the_same_table(tmp_path, name):
    path = written(tmp_path / name)
    pd.testing.assert_frame_equal(reading.read(path), TABLE, check_dtype=False)
    parts = list(reading.parts(path, rows=7))
    assert [len(part) for part in parts] == [7, 7, 6]
    pd.testing.assert_frame_equal(pd.concat(parts), TABLE, check_dtype=False)


@pytest.mark.parametrize(
    ("suffix", "separator", "form"),
    [(".tsv", "\t", Format()), (".csv", ";", Format(";")), (".tsv.gz", "\t", Format()), (".txt", "|", Format("|"))],
)
def test_separators(tmp_path, suffix, separator, form):
    path = str(tmp_path / f"t{suffix}")
    TABLE.to_csv(path, index=False, sep=separator)
    pd.testing.assert_frame_equal(reading.read(path, form), TABLE, check_dtype=False)


def test_standard_input_is_csv_and_stays_open(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(b"a,b\n1,x\n2,y\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert reading.read("-").to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    assert not stream.closed


@pytest.mark.parametrize(("encoding", "given"), [("utf-8-sig", "utf-8"), ("cp932", "cp932"), ("utf-16", "utf-16")])
def test_encodings(tmp_path, encoding, given):
    path = tmp_path / "t.csv"
    path.write_text("都市,値\n京都,1\n", encoding=encoding)
    assert reading.read(str(path), Format(encoding=given)).to_dict("list") == {"都市": ["京都"], "値": [1]}


def test_quoted_names_and_values_over_several_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('"a,\nb",c\n"1\n2",3\n4,5\n')
    assert reading.read(str(path)).to_dict("list") == {"a,\nb": ["1\n2", "4"], "c": [3, 5]}


def test_text_keeps_what_looks_like_a_number(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("zip,n\n01,01\n,2\n")
    frame = reading.read(str(path), text=["zip"])
    assert frame["zip"].iloc[0] == "01" and frame["zip"].isna().tolist() == [False, True]
    assert frame["n"].tolist() == [1, 2]


WRONG = {
    "empty": (b"", "t.csv is empty"),
    "only blank lines": (b"\n\n", "t.csv is empty"),
    "a name twice": (b"a,b,a\n1,2,3\n", "t.csv has more than one column 'a'"),
    "semicolons": (b"a;b\n1;2\n", "t.csv has one column, 'a;b': is it separated by ';'\\? --sep ';'"),
    "a long row": (b"a,b\n1,2\n3,4,5\n", "t.csv, line 3: expected 2 values, got 3"),
    "a long first row": (b"a,b\n1,2,3\n", "t.csv: a row has more values than the first line has names"),
    "another encoding": (b"a,b\n\xe9,2\n", "t.csv is not encoded in utf-8 .* --encoding"),
    "an open quote": (b'a,b\n"1,2\n', "t.csv cannot be read: "),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("rows", [None, 5], ids=["whole", "parts"])
def test_a_csv_file_that_is_wrong_is_a_valueerror_that_says_why(tmp_path, case, rows):
    content, message = WRONG[case]
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(reading.parts(str(path), rows=rows) if rows else [reading.read(str(path))])


# Without a time in it: contents are in the names of the tests, which must not change while they are collected.
CUT_GZIP = gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9]


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.xz", ".parquet", ".npy", ".npz"])
@pytest.mark.parametrize("content", [b"", b"hello", CUT_GZIP, b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_a_valueerror_that_names_it(tmp_path, suffix, content):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"t{suffix}"):
        reading.read(str(path))


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    for name in ("t.csv", "t.csv.gz", "t.parquet", "t.npy", "t.npz"):
        with pytest.raises(FileNotFoundError):
            reading.read(str(tmp_path / name))
    with pytest.raises(ValueError, match="is a folder"):
        reading.read(str(tmp_path))


def test_an_unknown_encoding(tmp_path):
    with pytest.raises(ValueError, match="--encoding must be known to Python, got 'klingon'"):
        reading.read(written(tmp_path / "t.csv"), Format(encoding="klingon"))


# The column to predict


def test_a_wrong_target_is_told_with_the_most_similar_name(tmp_path):
    path = written(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"--target must name a column, id, .*; got 'prise'; did you mean 'price'"):
        reading.read_with_target(path, "prise")
    with pytest.raises(ValueError, match="--target must name the column to predict: id, area"):
        reading.read_with_target(path, None)


def test_a_table_without_rows(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    with pytest.raises(ValueError, match=r"t.csv has no rows"):
        reading.read_with_target(str(path), "b")


X = np.arange(12, dtype=np.float32).reshape(4, 3)
T = np.array([0, 1, 0, 1])


def test_an_array_stays_on_the_disk(tmp_path):
    np.save(tmp_path / "x.npy", X)
    frame = reading.read(str(tmp_path / "x.npy"))
    assert list(frame.columns) == ["0", "1", "2"]
    np.testing.assert_array_equal(frame.to_numpy(), X)
    values = frame.to_numpy()
    while values.base is not None and not isinstance(values, np.memmap):
        values = values.base
    assert isinstance(values, np.memmap)


@pytest.mark.parametrize(("target", "name"), [("1", "1"), ("-1", "2"), ("t.npy", "t")])
def test_the_target_of_an_array_is_a_column_or_another_array(tmp_path, monkeypatch, target, name):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("t.npy", T[:, np.newaxis])
    frame, found = reading.read_with_target("x.npy", target)
    assert found == name
    np.testing.assert_array_equal(frame[name], T if name == "t" else X[:, int(name)])


def test_arrays_x_and_t(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=X.reshape(4, 3, 1), t=T, other=[1])
    frame, name = reading.read_with_target(str(path), None)
    assert name == "t" and list(frame.columns) == ["0", "1", "2", "t"]
    np.testing.assert_array_equal(frame["t"], T)
    for arrays, message in (
        ({"images": X}, "must hold the arrays x, of samples, and t, of targets; got images"),
        ({"x": X, "t": T[:2]}, r"t of .* must have shape \(4,\), got \(2,\)"),
        ({"x": np.array(["a"]), "t": T}, "must hold real numbers"),
        ({"x": T, "t": T}, "must have shape"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=message):
            reading.read_with_target(str(path), None)


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, 1], object))
    np.savez(tmp_path / "x.npz", x=np.array([{}, 1], object))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(ValueError):
            reading.read(str(tmp_path / name))
