"""The notebooks: that they run from beginning to end, and that those in the repository hold what a run gives."""

import copy
import pathlib
import re
import subprocess
import sys

import nbformat
import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
import run_notebooks  # noqa: E402

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

pytestmark = pytest.mark.jit  # too slow without the compiler


def pictures(notebook):
    """The number of images that each cell shows."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in cells]


def test_there_is_one_for_each_section_of_the_notes():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_", "5_", "qu"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    fresh = copy.deepcopy(kept)
    run_notebooks.run(fresh)
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "kept as it came out of one run"
    assert pictures(kept) == pictures(fresh)
    said = [output.text for cell in fresh.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"]
    assert not said, "a warning"


@pytest.mark.parametrize("program", ["main_job_against_numpy.py", "notes_loop_against_numpy.py 3"])
def test_program_beside_numpy(program):
    name, *arguments = program.split()
    run = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], check=True, capture_output=True, text=True, timeout=300
    )
    differences = re.findall(r"largest difference of the losses (\S+)$", run.stdout, re.MULTILINE)
    assert len(differences) == len(run.stdout.splitlines()) and all(float(number) < 1e-5 for number in differences)
