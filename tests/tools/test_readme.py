"""The README: its programs and commands run as a reader would run them, and it is short enough to be read."""

import csv
import os
import pathlib
import re
import sys
import sysconfig

import programs
import pytest
from helpers import run_python

README = programs.ROOT / "README.md"
FEATURES = programs.ROOT / "docs/start/features.md"
if not FEATURES.is_file():
    pytest.skip("the README and the pages are not beside the tests", allow_module_level=True)

# How many kernels `fastfnn compile` compiles for float32, counted without compiling them.
COUNT = """
import numpy as np
from fastfnn import backend
from fastfnn.kernels.compiler import decorators
wanted = [*decorators.everything(np.dtype("float32")), (backend.region.work, backend.pool.WORK_DTYPE)]
print(len(decorators._callees_first(wanted)))
"""
COUNTED = ("docs/start/install.md", "docs/ja/start/install.md", "docs/how-to/containers.md")
LONGEST = 120  # lines
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMPARISON = "| | fastfnn | scikit-learn |"
FEWEST_RIGHT = {"sklearn": 0.95, "TwoLayerNet": 0.85}  # 0.97; 0.88 to 0.90 over seeds


def blocks(*names):
    """The blocks of code that contain one of the names, in order."""
    return [block for _, block in BLOCK.findall(README.read_text("utf-8")) if any(name in block for name in names)]


@pytest.mark.jit
@pytest.mark.parametrize("page", COUNTED)
def test_pages_say_how_many_kernels_are_compiled(page):
    said = re.findall(r"\b(\d{3}) (?:kernels|files|個のカーネル)", (programs.ROOT / page).read_text("utf-8"))
    assert said and set(said) == {run_python(COUNT).strip()}


@pytest.mark.jit  # without the compiler they take too long
@pytest.mark.parametrize("name", FEWEST_RIGHT)
def test_a_program_of_the_readme_runs_and_learns(name, tmp_path):
    (block,) = blocks(name)
    (tmp_path / "program.py").write_text(block, "utf-8")
    accuracy = float(programs.run(sys.executable, "program.py", cwd=tmp_path))
    assert accuracy > FEWEST_RIGHT[name]


def write_flats(path, numbers):
    """Write a table of flats, whose price a network can learn."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["area", "rooms", "district", "price"])
        for i in numbers:
            area, rooms, district = 20 + i * 37 % 100, 1 + i % 5, ("north", "south", "port")[i % 7 % 3]
            table.writerow([area, rooms, district, 1000 * area + 5000 * rooms + (20000 if district == "port" else 0)])


@pytest.mark.jit
def test_the_commands_of_the_readme_run_on_a_table(tmp_path):
    write_flats(tmp_path / "flats.csv", range(600))
    write_flats(tmp_path / "new.csv", range(1000, 1050))
    (block,) = blocks("fastfnn train")
    commands = [line.removeprefix("$ ") for line in block.splitlines()]
    assert all(command.startswith("fastfnn ") for command in commands)
    folders = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    for command in commands:
        programs.run("sh", "-c", command, cwd=tmp_path, environment={**os.environ, "PATH": folders})
    with (tmp_path / "new.csv").open() as file:
        want = [float(row["price"]) for row in csv.DictReader(file)]
    with (tmp_path / "predictions.csv").open() as file:
        got = [float(row["prediction"]) for row in csv.DictReader(file)]
    assert len(got) == len(want) == 50
    mean = sum(want) / len(want)
    residual = sum((g - w) ** 2 for g, w in zip(got, want, strict=True))
    assert residual < 0.05 * sum((w - mean) ** 2 for w in want)  # R2 above 0.95


def test_all_blocks_of_the_readme_are_tested():
    found = BLOCK.findall(README.read_text("utf-8"))
    assert [block for _, block in found] == blocks(*FEWEST_RIGHT, "fastfnn train")
    assert [language for language, _ in found] == ["python", "console", "python"]


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_readme_is_short(name):
    assert len((programs.ROOT / name).read_text("utf-8").splitlines()) < LONGEST


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_readme_is_plain_markdown(name):
    """It is shown where nobody knows the directives, roles and formulas of the documentation site."""
    text = (programs.ROOT / name).read_text("utf-8")
    assert not re.search(r"^(:::|```\{)|\{[\w:]+\}`|\$\$|<[a-z!]", text, re.MULTILINE)


def comparison(path: pathlib.Path):
    """The table that compares the library with others."""
    _, start, rest = path.read_text("utf-8").partition(COMPARISON)
    assert start, f"{path} has no table that begins with {COMPARISON!r}"
    return rest.partition("\n\n")[0]


@pytest.mark.parametrize("names", [("README.md", "docs"), ("README.ja.md", "docs/ja")], ids=["English", "Japanese"])
def test_the_site_compares_the_library_as_the_readme_does(names):
    readme, folder = (programs.ROOT / name for name in names)
    assert comparison(readme) == comparison(folder / "start/features.md")


def test_a_cell_in_bold_is_better_than_the_first_one():
    rows = [row.strip("| ").split(" | ") for row in comparison(README).splitlines()[2:]]
    assert all(len(row) == 7 for row in rows)
    assert not any("**" in row[1] for row in rows)
