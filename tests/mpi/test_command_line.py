"""`mpiexec -n N fastfnn train` trains one model on N ranks; rank 0 alone speaks."""

import json
import re

import numpy as np
import pytest
from mpi import needs_mpi, run, start
from small_tables import flats

import fastfnn as fnn

pytestmark = [pytest.mark.jit, needs_mpi]

SMALL = ["--layers", "6", "--threads", "1", "--quiet"]
PRICE = ["train", "flats.csv", "--target", "price", *SMALL]
STOPS = ["--epochs", "40", "--patience", "2", "--learning-rate", "0.1"]
LONG = ["--epochs", "1000000", "--patience", "1000000"]

# By name: a command line. What follows `--out` is told apart by the number of ranks, see `results`.
ON_ALL_NUMBERS = {
    "fixed table": [*PRICE, *STOPS, "--dropout", "0.1", "--fixed-order", "--out", "table", "--log", "log.csv"],
    "fixed digits": ["train", *SMALL, "--epochs", "1", "--batch-size", "500", "--fixed-order", "--out", "digits"],
}
ON_TWO = {
    "kind": ["train", "flats.csv", "--target", "kind", "--layers", "6", "--epochs", "3", "--balanced", "--plot", "p"],
    "averages": [*PRICE, "--epochs", "2", "--average-every", "2", "--valid", "0"],
    "few held out": [*PRICE, "--epochs", "2", "--valid", "one.csv"],
    "digits": ["train", "--layers", "6", "--epochs", "2", "--batch-size", "500", "--out", "fast"],
    "alone": [*PRICE, "--epochs", "1", "--alone"],
    "help": ["train", "--help"],
    "bad option": ["train", "--colour", "red"],
    "no file": ["train", "nothing.csv", "--target", "price"],
    "bad column": ["train", "flats.csv", "--target", "prize"],
    "bad folder": [*PRICE, "--out", "nowhere/model"],
    "bad average": [*PRICE, "--average-every", "0"],
    "two modes": [*PRICE, "--average-every", "auto", "--fixed-order"],
    "standard input": ["train", "-", "--target", "price"],
    "few rows": ["train", "one.csv", "--target", "price", "--valid", "0", "--task", "regression"],
    "diverges": [*PRICE, "--optimizer", "sgd", "--learning-rate", "1e30", "--out", "diverged"],
    "full disk": [*PRICE, "--epochs", "2", "--log", "/dev/full"],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    for name in ("empty", "other"):
        (folder / name).mkdir()
    flats(61).to_csv(folder / "flats.csv", index=False)
    flats(1).to_csv(folder / "one.csv", index=False)
    flats(61, seed=1).to_csv(folder / "other" / "flats.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def results(folder):
    """For 1, 2 and 4 ranks, by the name of a command: status, output and numbers of rows of each rank."""
    found = {}
    for ranks in (1, 2, 4):
        commands = {
            name: {"line": [f"{ranks}-{text}" if text in ("table", "digits", "log.csv") else text for text in line]}
            for name, line in ON_ALL_NUMBERS.items()
        }
        if ranks == 2:
            commands |= {name: {"line": line} for name, line in ON_TWO.items()}
            commands["absent on 1"] = {"line": PRICE, "folder_of_1": "empty"}
            commands["other on 1"] = {"line": PRICE, "folder_of_1": "other"}
        (folder / "commands.json").write_text(json.dumps(commands))
        run("command.py", ranks, folder, f"{ranks}.json")
        found[ranks] = json.loads((folder / f"{ranks}.json").read_text())
    return found


@pytest.mark.parametrize("name", ["table", "digits"])
def test_with_fixed_order_the_model_has_the_same_bits_on_1_2_and_4_ranks(results, folder, name):
    assert [told[0] for ranks in (1, 2, 4) for told in results[ranks][f"fixed {name}"]] == [0] * 7
    nets = [fnn.load(folder / f"{ranks}-{name}") for ranks in (1, 2, 4)]
    assert len(np.unique(nets[0].params.flat)) > 20
    for net in nets[1:]:
        assert np.array_equal(net.params.flat, nets[0].params.flat)


def test_the_best_model_is_kept_and_rank_0_writes_the_log(results, folder):
    logs = [np.loadtxt(folder / f"{ranks}-log.csv", delimiter=",", skiprows=1) for ranks in (1, 2, 4)]
    for ranks, log in zip((1, 2, 4), logs, strict=True):
        best = int(log[:, 2].argmin()) + 1
        on_ranks = f" on {ranks} ranks" if ranks > 1 else ""
        expected = rf"validation RMSE .* after {best + 2} epochs, the best is {best}, .* s of training{on_ranks}\n"
        assert re.search(expected, results[ranks]["fixed table"][0][1])
        assert len(log) == best + 2 < 40
        assert np.array_equal(log[:, 1:3], logs[0][:, 1:3])
    scores = {results[ranks]["fixed table"][0][1].split(" after ")[0] for ranks in (1, 2, 4)}
    assert len(scores) == 1


def test_a_rank_holds_its_share_of_the_rows(results):
    shares = {name: [told[2] for told in results[2][name]] for name in ("kind", "averages", "few held out", "digits")}
    assert shares == {
        "kind": [[27, 3], [28, 3]], "averages": [[30, None], [31, None]], "few held out": [[30, 1], [31, None]],
        "digits": [[4000, 1000], [4000, 1000]],
    }  # fmt: skip
    # in a fixed order rank 0 measures, so that the mean does not depend on the number of ranks
    assert [told[2] for told in results[4]["fixed digits"]] == [[2000, 2000], *[[2000, None]] * 3]


def test_rank_0_alone_speaks(results, folder):
    first, second = results[2]["kind"]
    assert first[:1] == second[:1] == [0] and second[1] == ""
    lines = first[1].splitlines()
    assert lines[0] == "flats.csv: 61 rows, 8 columns"
    assert re.fullmatch(
        r"validation accuracy .* after 3 epochs, the best is \d, .* s of training on 2 ranks", lines[-3]
    )
    assert (folder / "p").exists()
    assert "of training on 2 ranks, averages every 2 steps\n" in results[2]["averages"][0][1]
    digits = results[2]["digits"]
    assert digits[1][1] == "" and "\nepoch 2/2 " in digits[0][1] and (folder / "fast").exists()
    assert results[2]["help"][0][1].startswith("usage: fastfnn train") and results[2]["help"][1][:2] == [0, ""]


def test_alone_each_process_trains_by_itself(results):
    for status, output, rows in results[2]["alone"]:
        assert (status, rows) == (0, [55, 6])
        assert output.startswith("validation RMSE") and "ranks" not in output


ERRORS = {
    "bad option": "fastfnn: unrecognized arguments: --colour; fastfnn --help explains",
    "no file": "fastfnn train: [Errno 2] No such file or directory: 'nothing.csv'",
    "bad column": "fastfnn train: --target must name a column, id, area, rooms, city, garden, country, price, kind;",
    "bad folder": "fastfnn train: --out must name a file in an existing folder, got the folder",
    "bad average": "fastfnn train: --average-every must be at least 1, got 0",
    "two modes": "fastfnn train: --average-every must not be given with --fixed-order",
    "standard input": "fastfnn train: standard input reaches only one of the ranks: name a file",
    "full disk": "fastfnn train: [Errno 28] No space left on device",
    "absent on 1": "fastfnn train: rank 1 raised FileNotFoundError: [Errno 2] No such file or directory: 'flats.csv'",
    "other on 1": "fastfnn train: the table must be the same on all ranks, got",
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_said_once_and_ends_all_ranks(results, name):
    first, second = results[2][name]
    assert first[1].startswith(ERRORS[name]) and first[1].count("\n") == 1
    assert (first[0], *second[:2]) == (2, 2, "")


def test_a_training_that_diverges_ends_all_ranks(results, folder):
    first, second = results[2]["diverges"]
    assert first[1].startswith("fastfnn train: training diverged: ") and "\n" not in first[1].rstrip("\n")
    assert (first[0], *second[:2]) == (1, 1, "")


def test_ctrl_c_saves_the_best_model(folder):
    line = [*PRICE[1:], *LONG, "--log", folder / "long.csv", "--out", folder / "long"]
    line[0] = folder / "flats.csv"
    done = start("interrupted_command.py", 2, "train", *line, timeout=30)
    assert done.returncode == 130, done.stderr
    told = f"fastfnn train: interrupted; the best model so far is saved: {folder / 'long'}\n"
    assert done.stderr.count(told) == 1 and "Traceback" not in done.stderr
    assert np.isfinite(fnn.load(folder / "long").params.flat).all()
