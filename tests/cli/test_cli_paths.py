"""No command overwrites a file that it reads, or writes two of its files to one place, whatever their names are."""

import importlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from small_tables import flats, model, run

from fastfnn import datasets

main = importlib.import_module("fastfnn.cli.main")

IMAGES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
QUICK = ("--epochs", "1", "--quiet", "--layers", "3")
BEFORE = '{"calls": {}, "broken": []}'

# A command line, the files that it reads and the options of what it writes. Files are in the folder of the test.
COMMANDS = {
    "train on a table": (
        ["train", "t.csv", "--target", "price", "--valid", "valid.csv", *QUICK],
        {"DATA": ["t.csv"], "--valid": ["valid.csv"]},
        {"--out": "new.st", "--plot": "new.png", "--log": "log.csv"},
    ),
    "train the tabular network": (
        ["train", "t.csv", "--target", "price", "--preset", "fast", "--epochs", "1", "--quiet"],
        {"DATA": ["t.csv"]},
        {"--out": "new.st", "--plot": "new.png", "--log": "log.csv"},
    ),
    "train on an array": (
        ["train", "x.npy", "--target", "y.npy", *QUICK],
        {"DATA": ["x.npy"], "--target": ["y.npy"]},
        {"--out": "new.st", "--plot": "new.png", "--log": "log.csv"},
    ),
    "train on images": (
        ["train", "images", *QUICK],
        {"DATA": [f"images/{name}" for name in IMAGES]},
        {"--out": "new.st", "--plot": "new.png", "--log": "log.csv"},
    ),
    "train on the digits of the package": (
        ["train", *QUICK],
        {"DATA": ["package.npz"]},
        {"--out": "new.st", "--plot": "new.png", "--log": "log.csv"},
    ),
    "predict": (["predict", "m.st", "t.csv"], {"MODEL": ["m.st"], "ROWS": ["t.csv"]}, {"--out": "new.csv"}),
    "predict images": (
        ["predict", "digits.st", "images"],
        {"MODEL": ["digits.st"], "ROWS": [f"images/{name}" for name in IMAGES]},
        {"--out": "new.csv"},
    ),
    "evaluate": (["evaluate", "m.st", "t.csv"], {"MODEL": ["m.st"], "ROWS": ["t.csv"]}, {"--plot": "new.png"}),
    "evaluate on an array": (
        ["evaluate", "digits.st", "x.npy", "--target", "y.npy"],
        {"MODEL": ["digits.st"], "ROWS": ["x.npy"], "--target": ["y.npy"]},
        {"--plot": "new.png"},
    ),
    "info": (["info", "m.st"], {"MODEL": ["m.st"]}, {}),
    "export": (["export", "m.st", "--onnx", "new.onnx"], {"MODEL": ["m.st"]}, {"--onnx": "new.onnx"}),
    "compile": (["compile"], {}, {}),
    "bench": (["bench", "--case", "tiny", "--peers", ""], {}, {"--json": "new.json", "--plot": "new.png"}),
    "bench beside neighbours": (
        ["bench", "--neighbours", "--before", "before.json", "--states", "quiet", "--calls", "tiny", "--peers", ""],
        {"--before": ["before.json"]},
        {"--json": "new.json"},
    ),
    "bench on tables": (
        ["bench", "--tabular", "--data", "t.csv", "other", "--data-folder", "images", "--peers", ""],
        {"--data": ["t.csv", "images/other.csv"]},
        {"--json": "new.json", "--plot": "new.png"},
    ),
}  # fmt: skip

# How an output may name the file of something else; each returns its name and has made what it needs.
SPELLINGS = {
    "the same name": str,
    "another relative name": lambda path: os.path.join("elsewhere", os.pardir, path),
    "an absolute name": os.path.abspath,
    "a symbolic link": lambda path: linked(path, os.symlink),
    "a hard link": lambda path: linked(path, os.link),
}


def linked(path, link):
    name = f"elsewhere/link{pathlib.Path(path).suffix}"
    link(os.path.abspath(path), name)
    return name


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The tests are in a folder with all that commands read; the digits of the package are a copy there."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "elsewhere"):
        os.mkdir(folder)
    rng = np.random.default_rng(0)
    for name in ("t.csv", "valid.csv", "images/other.csv"):
        flats().to_csv(name, index=False)
    np.save("x.npy", rng.normal(size=(20, 12)))
    np.save("y.npy", np.arange(20) % 3)
    for name in IMAGES:
        sizes = (20, 3, 4) if "images" in name else (20,)
        content = bytes((0, 0, 8, len(sizes))) + b"".join(size.to_bytes(4, "big") for size in sizes)
        pathlib.Path("images", name).write_bytes(content + (np.arange(np.prod(sizes)) % 3).astype(np.uint8).tobytes())
    shutil.copy(datasets.SHIPPED, "package.npz")
    monkeypatch.setattr(datasets, "SHIPPED", tmp_path / "package.npz")
    model().save("m.st")
    main_run("train", "images", *QUICK, "--out", "digits.st")
    pathlib.Path("before.json").write_text(BEFORE)


def main_run(*arguments):
    assert run(*arguments) == 0


def contents():
    return {str(path): path.read_bytes() for path in pathlib.Path().rglob("*") if path.is_file()}


def line(arguments, outputs):
    """Return a command line with these outputs in place of its own."""
    kept = [each for i, each in enumerate(arguments) if each not in outputs and arguments[i - 1] not in outputs]
    return [*kept, *(part for each in outputs.items() for part in each)]


def refused(capsys, arguments, message):
    before = contents()
    capsys.readouterr()
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"fastfnn {arguments[0]}: {message}\n", error), error
    assert contents() == before


READ_AND_WRITTEN = [
    (command, label, path, option)
    for command, (_, reads, writes) in COMMANDS.items()
    for label, paths in reads.items()
    for path in paths
    for option in writes
]
WRITTEN_TWICE = [
    (command, first, second)
    for command, (_, _, writes) in COMMANDS.items()
    for i, first in enumerate(writes)
    for second in list(writes)[i + 1 :]
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(("command", "label", "path", "option"), READ_AND_WRITTEN)
def test_no_output_is_an_input(capsys, command, label, path, option, spelling):
    name = SPELLINGS[spelling](path)
    message = f"{option} must not name the file of {label}, got {name}(?: and .*{path})?"
    refused(capsys, line(COMMANDS[command][0], {option: name}), message)


@pytest.mark.parametrize(
    ("spelling", "is_there"),
    [(name, there) for name in SPELLINGS for there in (True, False) if there or name != "a hard link"],
)
@pytest.mark.parametrize(("command", "first", "second"), WRITTEN_TWICE)
def test_no_output_is_another_output(capsys, command, first, second, spelling, is_there):
    if is_there:
        pathlib.Path("new.png").write_bytes(b"earlier")
    name = SPELLINGS[spelling]("new.png")
    both = "new.png" if name == "new.png" else f"{name} and new.png"
    message = f"{second} must not name the file of {first}, got {both}"
    refused(capsys, line(COMMANDS[command][0], {first: "new.png", second: name}), message)


@pytest.mark.parametrize(
    ("command", "label", "path"), sorted({each[:3] for each in READ_AND_WRITTEN} | {("info", "MODEL", "m.st")})
)
def test_no_input_is_where_standard_output_goes(capsys, monkeypatch, command, label, path):
    arguments = COMMANDS[command][0]
    with open(path, "a", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        refused(capsys, arguments, f"standard output must not be the file of {label}, got standard output and .*{path}")


def test_standard_input_is_no_output_either(capsys, monkeypatch):
    with open("t.csv", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        message = "--out must not name the file of ROWS, got t.csv and standard input"
        refused(capsys, ["predict", "m.st", "--out", "t.csv"], message)


@pytest.mark.parametrize("command", [name for name, (_, _, writes) in COMMANDS.items() if "train" in name])
def test_null_devices_may_be_several_outputs(command):
    before = contents()
    arguments, _, writes = COMMANDS[command]
    assert run(*line(arguments, dict.fromkeys(writes, os.devnull))) == 0
    assert contents() == before


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout")
def test_standard_output_may_be_named_and_a_dash_is_standard_output(capfd):
    main_run("predict", "m.st", "t.csv")
    expected = capfd.readouterr().out
    assert expected.startswith("prediction\n")
    for name in ("/dev/stdout", "-"):
        main_run("predict", "m.st", "t.csv", "--out", name)
        assert capfd.readouterr().out == expected
    pathlib.Path("all.csv").write_text("earlier\n")
    with open("all.csv", "a", encoding="utf-8") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "fastfnn", "predict", "m.st", "t.csv", "--out", "/dev/stdout"],
            stdout=stream,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 0
    assert pathlib.Path("all.csv").read_text() == f"earlier\n{expected}"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (name, option)
        for name, (arguments, _, writes) in COMMANDS.items()
        for option in writes
        if arguments[0] != "predict"
    ],
)
def test_other_outputs_are_no_dash(capsys, command, option):
    refused(capsys, line(COMMANDS[command][0], {option: "-"}), f"{option} must name a file, got -: ./- names .*")


def test_an_output_beside_the_images_and_a_column_with_the_name_of_a_file_are_no_conflicts():
    main_run("train", "images", *QUICK, "--out", "images/new.st")
    pathlib.Path("price").write_text("a model of an earlier training")
    pathlib.Path("0.1").write_text("a model of an earlier training")
    main_run("train", "t.csv", "--target", "price", *QUICK, "--out", "price")
    main_run("train", "t.csv", "--target", "price", *QUICK, "--valid", "0.1", "--out", "0.1")


# Arguments that are no paths, by what the help calls their values.
NO_PATHS = {
    "NAME", "NAME[,NAME...]", "CHAR", "N", "N[,N...]", "N,N[,N...]", "P", "RATE", "STD", "SECONDS", "S", "Q[,Q...]",
    "DTYPE", "COLUMN", "TEXT[,TEXT...]",
}  # fmt: skip


def test_every_argument_that_is_a_path_is_registered():
    parser = main._parser()
    (commands,) = (action.choices for action in parser._actions if action.dest == "command")
    assert set(commands) == {arguments[0] for arguments, _, _ in COMMANDS.values()}
    for name, command in commands.items():
        registered = command.get_default("paths")
        tried = [(set(reads), set(writes)) for arguments, reads, writes in COMMANDS.values() if arguments[0] == name]
        assert set(registered.reads) == set().union(*(reads for reads, _ in tried)), "the tests try every input"
        assert set(registered.writes) == set().union(*(writes for _, writes in tried)), "the tests try every output"
        for action in command._actions:
            takes_value = action.nargs != 0 and action.choices is None and action.help != "==SUPPRESS=="
            label = action.option_strings[0] if action.option_strings else action.metavar
            if takes_value and label not in (*registered.reads, *registered.writes, "--data-folder"):
                assert action.metavar in NO_PATHS, f"{name} {label} is a path that is not registered"


def test_missing_inputs_are_what_is_said_of_them(capsys):
    for arguments in (["predict", "none.st", "t.csv", "--out", "new.csv"], ["predict", "m.st", "none.csv"]):
        refused(capsys, arguments, ".*No such file.*none.*")


def test_files_of_a_folder_are_those_that_are_read():
    assert [path.name for path in datasets.files_in("images")] == list(IMAGES)
    os.remove(f"images/{IMAGES[0]}")
    assert [path.name for path in datasets.files_in("images")] == list(IMAGES[1:])
