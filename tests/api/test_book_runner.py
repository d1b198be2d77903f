"""`python -m fastfnn.book` and `import fastfnn.book` in processes of their own."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from helpers import ROOT
from programs import write

from fastfnn.book import __main__ as command

# What is said, in one line, where the book's own digits are not found.
OTHER_DIGITS = r"fastfnn.book: .* the 10,000 digits of fastfnn, 8,000 .* 2,000 .*; for MNIST's 60,000 .*folder.*\n"

# A program in the manner of the book: it adds the parent of the working folder to the path and reads a file from it.
PROGRAM = """
import sys, os
sys.path.append(os.pardir)
from beside import number
from dataset.mnist import load_mnist
from common.optimizer import *
(x, t), (x_test, t_test) = load_mnist(normalize=True, one_hot_label=True)
print(__name__, sys.argv, number, open("weights.txt").read(), x.shape, t.shape, np.__name__)
print(SGD.__module__)
"""
BOOK = {
    "ch05/program.py": PROGRAM,
    "ch05/beside.py": "number = 7",
    "ch05/weights.txt": "0.5",
    "common/__init__.py": "",
    "common/optimizer.py": "raise AssertionError('the book\\'s own module')",
}
OWN_DATA = {
    "dataset/__init__.py": "",
    "dataset/mnist.py": "import numpy as np\ndef load_mnist(**_): return ((np.ones((3, 2)), np.ones(3)),) * 2",
}


def python(*arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def book(tmp_path):
    return write(tmp_path, BOOK)


@pytest.mark.parametrize(
    ("folder", "script", "own_data"), [(".", "ch05/program.py", True), ("ch05", "program.py", False)]
)
def test_a_program_runs_from_its_own_folder_and_from_above(folder, script, own_data, book):
    shapes = "(8000, 784) (8000, 10)"
    if own_data:
        write(book, OWN_DATA)
        shapes = "(3, 2) (3,)"
    done = python("-m", "fastfnn.book", script, "--fast", cwd=book / folder)
    assert re.fullmatch("" if own_data else OTHER_DIGITS, done.stderr)
    want = f"__main__ ['program.py', '--fast'] 7 0.5 {shapes} numpy\nfastfnn.book.common.optimizer\n"
    assert (done.returncode, done.stdout) == (0, want)


def test_the_error_of_a_program_is_that_of_python(book):
    write(book, {"ch05/wrong.py": "import sys\nif len(sys.argv) > 1:\n    sys.exit(3)\n1 / 0"})
    done = python("-m", "fastfnn.book", "ch05/wrong.py", cwd=book)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr
    assert python("-m", "fastfnn.book", "ch05/wrong.py", "1", cwd=book).returncode == 3


def test_wrong_command_lines_say_what_is_expected(capsys):
    for arguments, status in (([], 2), (["--help"], 0)):
        assert command.main(arguments) == status
        assert capsys.readouterr().out.startswith("usage: python -m fastfnn.book SCRIPT")
    assert command.main(["ch09/none.py"]) == 2
    error = capsys.readouterr().err
    assert "there is no file" in error and "none.py" in error


def test_an_import_serves_programs_of_any_folder(tmp_path):
    code = (
        "import fastfnn.book\nfrom common.layers import *\nfrom dataset.mnist import load_mnist\n"
        "print(Affine(np.eye(2), np.zeros(2)).forward(np.ones((1, 2))), len(load_mnist()[1][0]))"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout == "[[1. 1.]] 2000\n", done.stderr


def test_another_package_of_that_name_is_not_replaced(book):
    write(book, {"common/optimizer.py": "", "common/functions.py": ""})
    done = python("-c", "import common.functions\nimport fastfnn.book", cwd=book)
    assert done.returncode == 1
    assert "ImportError: import fastfnn.book before anything from common: common came from " in done.stderr


def test_to_install_again_changes_nothing(tmp_path):
    code = "import fastfnn.book, sys\nonce = list(sys.meta_path)\nfastfnn.book.install()\nprint(sys.meta_path == once)"
    assert python("-c", code, cwd=tmp_path).stdout == "True\n"


def test_the_offered_digits_have_the_options_of_the_book(tmp_path):
    code = (
        "import fastfnn.book\nfrom dataset.mnist import load_mnist\n"
        "(x, t), _ = load_mnist(normalize=False, flatten=False, one_hot_label=False)\n"
        "print(x.shape, x.dtype, t.shape)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout == f"(8000, 1, 28, 28) {np.dtype(np.uint8)} (8000,)\n", done.stderr


def test_the_other_digits_are_told_once_and_not_where_a_folder_is_named(data, tmp_path):
    code = (
        "import fastfnn.book, inspect\nfrom dataset.mnist import load_mnist\n"
        f"(x, t), _ = load_mnist(folder={str(data)!r})\nprint(x.shape, flush=True)\n"
        "load_mnist(), load_mnist(True)\nprint(*inspect.signature(load_mnist).parameters)"
    )
    done = python("-c", code, cwd=tmp_path)
    assert done.stdout == "(30, 12)\nnormalize flatten one_hot_label folder\n"
    assert re.fullmatch(OTHER_DIGITS, done.stderr)


def test_without_standard_error_nothing_is_told(tmp_path):
    code = (
        "import sys\nsys.stderr = None\nimport fastfnn.book\n"
        "from dataset.mnist import load_mnist\nprint(len(load_mnist()[0][0]))"
    )
    assert python("-c", code, cwd=tmp_path).stdout == "8000\n"
