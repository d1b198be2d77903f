"""The same fault has the same kind of message whatever reads the file, and the message names the file."""

import importlib
import itertools
import pathlib
import re

import numpy as np
import pandas as pd
import pytest
from small_tables import flats, model, run

import fastfnn as fnn
from fastfnn.sources import ArraySource, ParquetSource, ShardSource
from fastfnn.tables import reading

pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def read_source(path, target="t"):
    """Read all of a Parquet file as a source."""
    return list(ParquetSource(path, target).chunks())


def read_parts(path):
    return list(reading.parts(path, rows=5))


PARQUET_READERS = {"a table": reading.read, "a table in parts": read_parts, "a source": read_source}
READERS = {
    ".csv": {"a table": reading.read, "a table in parts": read_parts},
    ".csv.gz": {"a table": reading.read, "a table in parts": read_parts},
    ".parquet": PARQUET_READERS,
    ".npy": {"a table": reading.read, "a source": lambda path: ArraySource(path, np.zeros(3))},
    ".npz": {
        "a table": reading.read,
        "a source": lambda path: ArraySource(path),
        "a source of shards": lambda path: ShardSource([path]),
    },
}
ALL = [(suffix, reader) for suffix, readers in READERS.items() for reader in readers]


def write_parquet(path, names, *columns):
    pq.write_table(pa.Table.from_arrays([pa.array(column) for column in columns], names=list(names)), path)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("suffix", "reader"), ALL)
def test_a_file_that_is_not_there_is_named(suffix, reader):
    with pytest.raises(FileNotFoundError, match=f"none{suffix}"):
        READERS[suffix][reader](f"none{suffix}")


@pytest.mark.parametrize(("suffix", "reader"), [each for each in ALL if each[0] in (".csv", ".parquet")])
def test_two_columns_of_one_name_are_refused(suffix, reader):
    pathlib.Path("t.csv").write_text("a,a,t\n1,2,0\n")
    write_parquet("t.parquet", "aat", [1.0, 2.0], [3.0, 4.0], [0, 1])
    with pytest.raises(ValueError, match=f"^t{suffix} has more than one column 'a': the names"):
        READERS[suffix][reader](f"t{suffix}")


def test_columns_of_one_name_that_a_source_does_not_use_do_not_matter():
    write_parquet("t.parquet", "aabt", [1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [0, 1])
    (chunk,) = ParquetSource("t.parquet", "t", ["b"]).chunks()
    assert chunk.x[:, 0].tolist() == [5, 6]


@pytest.mark.parametrize(("target", "features"), [("t", ["a", "a"]), (["t", "t"], None)])
def test_a_column_is_asked_for_once(target, features):
    write_parquet("t.parquet", "at", [1.0, 2.0], [0, 1])
    with pytest.raises(ValueError, match=r"^(features|target) must name each column once, got '(a|t)' twice"):
        ParquetSource("t.parquet", target, features)


def test_the_second_file_of_a_source_is_checked_like_the_first():
    write_parquet("1.parquet", "at", [1.0, 2.0], [0, 1])
    for names, message in (("bt", "must have the column 'a', got b, t"), ("aat", "has more than one column 'a'")):
        write_parquet("2.parquet", names, *[[1.0, 2.0]] * len(names))
        with pytest.raises(ValueError, match=rf"^2.parquet {message}"):
            ParquetSource(["1.parquet", "2.parquet"], "t")


# No files, no rows


@pytest.mark.parametrize("features", [None, ["a"]])
@pytest.mark.parametrize("paths", ["folder", pathlib.Path("folder"), [], ()])
def test_a_folder_without_files_is_said_to_have_none(paths, features):
    pathlib.Path("folder").mkdir()
    pathlib.Path("folder/t.csv").touch()
    where = f" in the folder {paths}" if paths else ""
    with pytest.raises(ValueError, match=f"^paths must be at least one file .parquet or .pq, got none{where}$"):
        ParquetSource(paths, "t", features)


def write_without_rows(path, names):
    frame = pd.DataFrame({name: pd.Series(dtype=float) for name in names})
    if path.endswith(".parquet"):
        write_parquet(path, names, *[pa.array([], pa.float64())] * len(names))
    elif path.endswith(".npy"):
        np.save(path, frame.to_numpy())
    elif path.endswith(".npz"):
        np.savez(path, x=frame.to_numpy(), t=np.zeros(0))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.endswith(".tsv") else ",")


SUFFIXES = (".csv", ".csv.gz", ".tsv", ".parquet", ".npy", ".npz")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_without_rows_cannot_be_trained_on(capsys, suffix):
    write_without_rows(f"t{suffix}", ["a", "t"])
    assert run("train", f"t{suffix}", "--target", "t" if suffix[:3] != ".np" else "1") == 2
    assert capsys.readouterr().err == f"fastfnn train: t{suffix} has no rows\n"


def test_a_source_without_rows_is_refused():
    write_without_rows("t.parquet", ["a", "t"])
    with pytest.raises(ValueError, match=r"at least one row of one feature, got 0 rows of \['a'\] in t.parquet"):
        ParquetSource("t.parquet", "t")


def saved(kind):
    """Save a model of the flats, and return the names of its columns."""
    if kind == "a plain network":
        net = model()
        net.save("m.st")
        return net.columns
    elif kind == "a network of arrays":
        fnn.FNN((2, 3, 1), loss="squared_error", seed=0).save("m.st")
        return ["0", "1"]
    else:
        flats().to_csv("flats.csv", index=False)
        tabular = ["--preset", "fast", "--epochs", "1", "--layers", "3", "--quiet"]
        assert run("train", "flats.csv", "--target", "price", "--ignore", "kind", "--out", "m.st", *tabular) == 0
    return ["area", "rooms", "city", "garden"]


KINDS = ("a plain network", "a tabular network", "a network of arrays")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_table_without_rows_has_no_predictions(capsys, suffix, kind):
    write_without_rows(f"t{suffix}", saved(kind))
    capsys.readouterr()
    status, output, error = run("predict", "m.st", f"t{suffix}"), *capsys.readouterr()
    if suffix[:3] != ".np" or kind == "a network of arrays":
        assert (status, output, error) == (0, "prediction\n", "")
    else:  # an array has numbers for names
        assert (status, output) == (2, "") and error.startswith("fastfnn predict: the table must have the column ")


@pytest.mark.parametrize("rows", [0, 3])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(("kind", "command"), list(itertools.product(KINDS[:2], ("predict", "evaluate"))))
def test_missing_columns_are_named_whether_there_are_rows_or_not(capsys, suffix, kind, command, rows):
    saved(kind)
    frame = pd.DataFrame({"p": [1.0] * rows, "q": [2.0] * rows, "price": [3.0] * rows})
    frame.to_csv("t.csv", index=False)
    frame.to_parquet("t.parquet")
    capsys.readouterr()
    assert run(command, "m.st", f"t{suffix}") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert re.fullmatch(rf"fastfnn {command}: the table must have the column 'area', .*\n", output.err)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_without_rows_cannot_be_evaluated(capsys, suffix):
    write_without_rows(f"t{suffix}", [*saved("a plain network"), "price"])
    assert run("evaluate", "m.st", f"t{suffix}") == 2
    assert capsys.readouterr().err == "fastfnn evaluate: there are no rows to evaluate\n"


def test_the_methods_of_a_model_check_the_columns_of_a_frame_without_rows():
    net = model()
    for predict in (net.predict, model("kind").predict_proba):
        with pytest.raises(ValueError, match="the table must have the column 'area'"):
            predict(pd.DataFrame({"p": []}))
        assert len(predict(flats().iloc[:0])) == 0


# Damaged files


def damaged(content):
    """Yield a file with some bytes overwritten, and the file cut short, in many places."""
    for first in range(4, len(content), max(len(content) // 60, 1)):
        yield content[:first] + b"\xff\x00\xff\x7f"[: len(content) - first] + content[first + 4 :]
        yield content[:first]


@pytest.mark.parametrize("reader", PARQUET_READERS)
def test_every_error_of_pyarrow_names_the_file(reader):
    rng = np.random.default_rng(0)
    names = ["a", "b", "t"]
    write_parquet("good.parquet", names, rng.normal(size=50), [f"text {i}" for i in range(50)], np.arange(50) % 2)
    seen = 0
    for content in damaged(pathlib.Path("good.parquet").read_bytes()):
        pathlib.Path("bad.parquet").write_bytes(content)
        try:
            if reader == "a source":
                list(ParquetSource("bad.parquet", "t", ["a"]).chunks())
            else:
                PARQUET_READERS[reader]("bad.parquet")
        except (ValueError, TypeError, OSError) as error:
            seen += 1
            assert "bad.parquet" in str(error)
    assert seen > 50


ERRORS = {
    "pyarrow": (lambda: pa.ArrowInvalid("what"), ValueError),
    "a type that it cannot convert": (lambda: pa.ArrowNotImplementedError("what"), ValueError),
    "a key": (lambda: pa.ArrowKeyError("what"), ValueError),
    "an index": (lambda: pa.ArrowIndexError("what"), ValueError),
    "its own OSError": (lambda: OSError("what"), ValueError),
    "the system": (lambda: OSError(5, "what"), OSError),
    "memory": (lambda: pa.ArrowMemoryError("what"), MemoryError),
    "text": (lambda: "é".encode("latin-1").decode(), ValueError),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_within_a_file_name_it(case):
    make, kind = ERRORS[case]
    parquet = importlib.import_module("fastfnn.parquet")
    write_parquet("t.parquet", "at", [1.0, 2.0], [0, 1])
    with pytest.raises(kind, match=r"t\.parquet"), parquet.opened("t.parquet"):
        raise make()


@pytest.mark.parametrize("reader", READERS[".npz"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_error_about_an_archive_names_it(reader, save):
    save("good.npz", x=np.random.default_rng(0).normal(size=(20, 3)), t=np.arange(20) % 2)
    seen = 0
    for content in damaged(pathlib.Path("good.npz").read_bytes()):
        pathlib.Path("bad.npz").write_bytes(content)
        try:
            source = READERS[".npz"][reader]("bad.npz")
            if reader == "a source of shards":
                list(source.chunks())
        except (ValueError, TypeError, OSError) as error:
            seen += 1
            assert "bad.npz" in str(error)
    assert seen > 20


@pytest.mark.parametrize("reader", READERS[".npz"])
def test_objects_in_an_archive_are_not_unpickled_and_it_is_named(reader):
    np.savez("t.npz", x=np.array([[1.0], ["text"]], object), t=np.arange(2))
    with pytest.raises(ValueError, match=r"t\.npz"):
        list(getattr(READERS[".npz"][reader]("t.npz"), "chunks", list)())
