"""tools/book_scripts.py: what it runs, compares and reports, on a small folder in the form of the book's repository."""

import csv
import os
import pickle

import numpy as np
import pytest
from programs import TOOLS, tool, write

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

scripts = tool("book_scripts")

TRAINING = """
import sys, os
sys.path.append(os.pardir)
import numpy as np
import matplotlib.pyplot as plt
from common.functions import *
from dataset.mnist import load_mnist
(x, t), _ = load_mnist()
history = [sigmoid(np.random.randn()) for _ in range(3)]
print("accuracy:" + str(history[-1]), len(x))
plt.plot(history)
plt.show()
"""
FUNCTIONS = "import numpy as np\ndef sigmoid(x):\n    return 1 / (1 + np.exp(-x))"
LOADER = """
import os, pickle
def load_mnist():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mnist.pkl"), "rb") as file:
        data = pickle.load(file)
    return (data["train_img"], data["train_label"]), (data["test_img"], data["test_label"])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(scripts, "compile_kernels", lambda: None)  # all of them: the programs here need only one
    return write(
        tmp_path / "book",
        {
            "common/__init__.py": "",
            "common/functions.py": FUNCTIONS,
            "dataset/__init__.py": "",
            "dataset/mnist.py": LOADER,
            "ch05/train.py": TRAINING,
            "ch05/two_layer_net.py": "raise AssertionError('not a program')",
            "ch07/convolution.py": "raise AssertionError('not a chapter of ours')",
        },
    )


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.jit
def test_the_table_compares_all_programs(folder, tmp_path, capsys):
    before = sorted(path for path in folder.rglob("*"))
    table = tmp_path / "table.csv"
    assert scripts.main([str(folder), "--repeat", "2", "--csv", str(table)]) == 0
    assert sorted(path for path in folder.rglob("*")) == before
    lines = capsys.readouterr().out.splitlines()
    assert "8,000 and 2,000 for test" in lines[0]
    header, _, *rows = [line for line in lines if line.startswith("|")]
    assert cells(header) == list(scripts.COLUMNS)
    (row,) = map(cells, rows)
    assert row[0] == "ch05/train.py"
    assert row[1].startswith("accuracy:0.") and row[1].endswith(" 8000")
    assert row[3] == "8 of 8"  # two printed numbers and three points
    assert all(float(cell) >= 0 for cell in row[4:])
    assert lines[-1].startswith("`import fastfnn.book` takes ")
    assert list(csv.reader(table.open())) == [list(scripts.COLUMNS), row]


@pytest.mark.jit
def test_the_seed_decides_and_own_data_stay(folder, capsys):
    data = {"train_img": np.ones((5, 4)), "train_label": np.ones(5), "test_img": np.ones(1), "test_label": np.ones(1)}
    (folder / "dataset/mnist.pkl").write_bytes(pickle.dumps(data))
    results = []
    for seed in ("0", "1"):
        assert scripts.main([str(folder), "--seed", seed, "--scripts", "ch05/train.py"]) == 0
        results.append(cells(capsys.readouterr().out.splitlines()[2]))
    assert results[0][1] == results[0][2] != results[1][1]
    assert results[0][1].endswith(" 5")


@pytest.mark.jit
def test_failures_and_other_text_give_the_exit_status_1(folder, capsys):
    write(folder, {
        "ch06/absent.py": "import sys, os\nsys.path.append(os.pardir)\nfrom common.functions import own\nprint(own)",
        "ch06/other.py": "import sys, os\nsys.path.append(os.pardir)\nimport common.functions as f\nprint(f.__name__)",
        "common/functions.py": FUNCTIONS + "\nown = 5",
    })  # fmt: skip
    assert scripts.main([str(folder), "--scripts", "ch06/absent.py"]) == 1
    row = cells(capsys.readouterr().out.splitlines()[4])
    assert row[1] == "5" and row[2].startswith("fails: ImportError: cannot import name 'own'")
    assert scripts.main([str(folder), "--scripts", "ch06/other.py"]) == 1
    row = cells(capsys.readouterr().out.splitlines()[4])
    assert row[1:4] == ["common.functions", "fastfnn.book.common.functions", "0 of 0; other text"]


def test_wrong_folders_and_scripts_are_named(folder, tmp_path, capsys):
    assert scripts.main([str(tmp_path)]) == 2
    assert "expected the book's repository" in capsys.readouterr().err
    assert scripts.main([str(folder), "--scripts", "ch05/none.py"]) == 2
    assert f"{os.path.join(folder, 'ch05/none.py')}: no such script" in capsys.readouterr().err


def run_of(text, *curves):
    return scripts.Run(text, [np.asarray(curve, float) for curve in curves], 1.0, 0.5, "")


COMPARISONS = {
    "equal": ("loss 0.25, 3 of 4", "loss 0.25, 3 of 4", (3, 3, 0.0, True)),
    "rounding": ("loss 0.25", "loss 0.2500001", (1, 1, 1e-7, True)),
    "far": ("loss 0.25", "loss 0.26", (0, 1, 0.01, True)),
    "tiny": ("b:1e-12", "b:7.5e-12", (1, 1, 6.5e-12, True)),
    "not finite": ("nan inf -inf", "nan inf -inf", (3, 3, 0.0, True)),
    "NaN on one side": ("1.0 nan", "1.0 2.0", (1, 2, 0.0, True)),
    "other words": ("good 1", "bad 1", (1, 1, 0.0, False)),
}


@pytest.mark.parametrize("case", COMPARISONS)
def test_numbers_agree_to_rounding(case):
    first, second, want = COMPARISONS[case]
    got = scripts.compare(run_of(first), run_of(second))
    assert (got.agree, got.count, got.same_text) == (want[0], want[1], want[3])
    assert got.largest == pytest.approx(want[2], rel=1e-3)


def test_curves_are_compared_point_by_point():
    got = scripts.compare(run_of("1", [[0, 1], [1, 2]]), run_of("1", [[0, 1], [1, 2.5]]))
    assert (got.agree, got.count, got.same_text) == (4, 5, True)
    assert not scripts.compare(run_of("1", [[0, 1]]), run_of("1")).same_text
