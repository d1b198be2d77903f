"""Every command, and all that shows something, where standard streams are None or closed."""

import ast
import contextlib
import io
import logging
import os
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import pytest
from helpers import ROOT
from small_tables import flats, model, run

import fastfnn as fnn
import fastfnn.book
from fastfnn import backend, streams
from fastfnn.book.common.trainer import Trainer
from fastfnn.kernels.compiler import cache
from fastfnn.sklearn import MLPClassifier, MLPRegressor
from fastfnn.tabular import TabularRegressor

FLATS = flats()
X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


class Closed(io.StringIO):
    """A stream that was closed, as by a daemon."""

    def __init__(self):
        super().__init__()
        self.close()


STATES = {"None": lambda: None, "closed": Closed}


@pytest.fixture(params=STATES)
def without_streams(request, monkeypatch):
    """A function that takes the standard streams away: pytest itself needs them before and after a test."""
    return lambda: [monkeypatch.setattr(sys, name, STATES[request.param]()) for name in ("stdin", "stdout", "stderr")]


# What shows something, without the command


def network():
    return fnn.FNN((4, 5, 2), seed=0)


SHOWS = {
    "a bar": lambda: network().fit(X, Y, epochs=2, progress=True),
    "a line": lambda: network().fit(X, Y, epochs=2, progress="line"),
    "a bar of an estimator": lambda: MLPClassifier((5,), max_iter=2, progress=True).fit(X, Y),
    "a verbose estimator": lambda: MLPRegressor(max_iter=2, verbose=True, early_stopping=True).fit(X, Y),
    "a bar of several networks": lambda: MLPClassifier((5,), max_iter=2, n_estimators=2, progress=True).fit(X, Y),
    "a line of a tabular estimator": lambda: TabularRegressor(
        preset="fast", max_epochs=2, hidden_layer_sizes=(4,), progress="line"
    ).fit(FLATS[["area", "rooms"]], FLATS["price"]),
    "a bar of a tabular estimator": lambda: TabularRegressor(
        preset="fast", max_epochs=2, hidden_layer_sizes=(4,), progress=True
    ).fit(FLATS[["area", "rooms"]], FLATS["price"]),
    "a summary": lambda: network().summary(),
    "the configuration": backend.show_config,
    "the trainer of the book": lambda: Trainer(
        fnn.TwoLayerNet(4, 5, 2), X, np.eye(2)[Y], X, np.eye(2)[Y], epochs=1, mini_batch_size=20
    ).train(),
    "an announcement": lambda: announced(),
}  # fmt: skip


def announced():
    cache._warned.discard("compiling")
    cache.announce("a_kernel")


@pytest.mark.parametrize("what", SHOWS)
def test_what_shows_something_works_where_nobody_sees_it(without_streams, monkeypatch, what):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest
    without_streams()
    SHOWS[what]()


@pytest.mark.parametrize("lost", ["sys.stderr.close()", "sys.stderr = None", "os.close(2)"])
def test_warnings_and_announcements_end_no_program(tmp_path, lost):
    code = f"""
import os, sys, numpy as np, fastfnn as fnn
from fastfnn.sklearn import MLPClassifier
{lost}
x = np.random.default_rng(0).normal(1e4, 1, (60, 4))
model = MLPClassifier(max_iter=3, activation="tanh").fit(x, x[:, 0] > 1e4)  # unscaled, and does not converge
print("trained", model.n_iter_)
"""
    cold = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "always"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)} | cold, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("trained 3\n", "")


def test_a_bar_does_not_go_to_standard_output_instead(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    network().fit(X, Y, epochs=2, progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith("epoch ") for line in lines)


def test_messages_do_not_go_to_standard_output_instead(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert run("info", "none.st") == 2
    assert capsys.readouterr().out == ""


def test_streams_are_restored_after_a_command(without_streams):
    without_streams()
    before = sys.stdout, sys.stderr
    run("compile", "--dtype", "float16")
    assert (sys.stdout, sys.stderr) == before


# Commands

TABLE = ("t.csv", "--target", "price")

# A command line, and the file that comes of it; "" for what is printed, None for what nobody needs to see.
COMMANDS = {
    "train the tabular network": (["train", *TABLE, "--preset", "fast", "--epochs", "1", "--out", "new.st"], "new.st"),
    "train a plain network": (["train", *TABLE, "--layers", "3", "--epochs", "1", "--out", "new.st"], "new.st"),
    "train on digits": (["train", "--layers", "3", "--epochs", "1", "--out", "new.st"], "new.st"),
    "predict": (["predict", "m.st", "t.csv"], ""),
    "predict into a file": (["predict", "m.st", "t.csv", "--out", "new.csv"], "new.csv"),
    "evaluate": (["evaluate", "m.st", "t.csv"], ""),
    "evaluate as JSON": (["evaluate", "m.st", "t.csv", "--json"], ""),
    "evaluate with a picture": (["evaluate", "m.st", "t.csv", "--plot", "new.png"], "new.png"),
    "info": (["info", "m.st"], ""),
    "export": (["export", "m.st", "--onnx", "new.onnx"], "new.onnx"),
    "compile": (["compile"], None),
    "bench": (
        ["bench", "--case", "tiny", "--peers", "", "--rounds", "1", "--seconds", "0.01", "--json", "new.json"],
        "new.json",
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FLATS.to_csv("t.csv", index=False)
    model().save("m.st")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_does_its_work_without_streams(here, without_streams, command):
    arguments, made = COMMANDS[command]
    without_streams()
    assert run(*arguments) == (2 if made == "" else 0)
    if made:
        assert os.path.getsize(made)


def shell(arguments, closed, output):
    """Run a command by a shell that closes some of its descriptors before."""
    quoted = " ".join(f"'{each}'" for each in (sys.executable, "-m", "fastfnn", *arguments))
    return subprocess.run(
        ["sh", "-c", f"exec {quoted} {closed}"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=300,
        check=False,
    )


CLOSED = {"input": "<&-", "output": ">&-", "error": "2>&-", "all": "<&- >&- 2>&-"}


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_does_its_work_with_closed_descriptors(here, command, closed):
    arguments, made = COMMANDS[command]
    done = shell(arguments, CLOSED[closed], subprocess.PIPE)
    lost = made == "" and closed in ("output", "all")
    assert done.returncode == (2 if lost else 0), done.stderr
    if closed == "output":
        cure = {"predict": ": --out names a file", "evaluate": ": --plot names a file", "info": ""}
        expected = f"standard output is closed, and the result would be lost{cure[arguments[0]]}\n" if lost else ""
        assert done.stderr in (expected, f"fastfnn {arguments[0]}: {expected}") or (not lost and command == "bench")
    assert "Traceback" not in done.stderr
    if made:
        content = pathlib.Path(made).read_bytes()
        assert content and b"fastfnn" not in content[:8], "nothing else is printed into the file"
        if made.endswith(".st"):
            assert run("info", made) == 0
    elif not lost and made == "" and closed != "error":
        assert done.stdout


def test_a_table_from_closed_standard_input_is_an_error_of_one_line(here, monkeypatch, capsys):
    for stream in (None, Closed()):
        monkeypatch.setattr(sys, "stdin", stream)
        assert run("predict", "m.st", "-") == 2
        assert capsys.readouterr() == ("", "fastfnn predict: standard input is closed: name a table\n")


# The accessor


def test_a_stream_without_methods_is_none_in_a_terminal():
    class Logged:
        def write(self, text):
            return len(text)

    assert not streams.is_terminal(Logged())
    assert streams.is_open(Logged())
    assert not streams.is_open(None) and not streams.is_open(Closed())


def test_a_stream_whose_file_is_closed_below_it_is_closed(tmp_path):
    stream = open(tmp_path / "file", "w")  # noqa: SIM115
    assert streams.is_open(stream)
    os.close(stream.fileno())
    assert not streams.is_open(stream)
    with contextlib.suppress(OSError):
        stream.close()


def test_a_warning_that_is_an_error_stays_one(monkeypatch):
    with warnings.catch_warnings(), pytest.raises(RuntimeWarning, match="text"):
        warnings.simplefilter("error")
        streams.warn("text", RuntimeWarning)


def test_a_warning_names_the_line_of_its_caller():
    with pytest.warns(RuntimeWarning, match="text") as caught:
        streams.warn("text", RuntimeWarning)
    assert caught[0].filename == __file__


def sources():
    """The modules that must use the accessor: all but itself, and a module that must not import others."""
    for folder in ("fastfnn", "kernels", "examples"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.relative_to(ROOT).as_posix() not in ("fastfnn/streams.py", "fastfnn/bench/child.py"):
                yield path


OF_THE_ACCESSOR = {"sys.stdin", "sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "warnings.warn"}


def test_nothing_uses_a_standard_stream_but_the_accessor():
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in OF_THE_ACCESSOR:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_the_library_prints_by_the_accessor():
    """The command may use `print`: its streams are complete."""
    found = []
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(("fastfnn/cli/", "fastfnn/bench/", "examples/")):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                found.append(f"{name}:{node.lineno}")
    assert found == []
