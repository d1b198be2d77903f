"""The notebooks run from beginning to end, and the saved ones hold the output of a run. So do programs and examples."""

import copy
import re
import sys

import nbformat
import programs
import pytest

EXAMPLES = programs.ROOT / "examples"
sys.path.insert(0, str(EXAMPLES))
import run_notebooks  # noqa: E402

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

pytestmark = pytest.mark.jit  # without the compiler they take too long


def pictures(notebook):
    """The number of images in the output of each cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in cells]


def test_there_is_one_for_each_section_of_the_notes_and_three_more():
    assert [path.stem[:2] for path in NOTEBOOKS[:5]] == ["1_", "2_", "3_", "4_", "5_"]
    assert [path.stem for path in NOTEBOOKS[5:]] == ["digits", "quick_start", "table_scikit_learn"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_picture_is_described_for_those_who_do_not_see_it(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    described = [bool(run_notebooks.text_of(cell)) for cell in cells]
    assert described == [bool(count) for count in pictures(notebook)]
    assert max(pictures(notebook)) == 1, "a description is of one picture"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    fresh = copy.deepcopy(kept)
    run_notebooks.run(fresh)
    counts = [cell.execution_count for cell in kept.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "saved from one run"
    assert pictures(kept) == pictures(fresh)
    said = [output.text for cell in fresh.cells for output in cell.get("outputs", ()) if output.get("name") == "stderr"]
    assert not said, "a warning"


def test_running_keeps_the_japanese_notebook_in_step(tmp_path, monkeypatch, capsys):
    (tmp_path / "ja").mkdir()
    cell, text = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    english = [text("Sum", id="a"), cell("1 + 1", id="b"), text("More", id="c"), cell("2 + 2", id="d")]
    japanese = [cell("3 + 3", id="d"), text("和", id="a"), text("前の章", id="e"), cell("1 + 1", id="b")]
    english[1].metadata = nbformat.from_dict({"mystnb": {"image": {"alt": "a sum"}}})
    japanese[3].metadata = nbformat.from_dict({"mystnb": {"image": {"alt": "和の図"}}})
    for folder, cells in ((tmp_path, english), (tmp_path / "ja", japanese)):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "sums.ipynb")
    runs = []

    def run(notebook):
        runs.append(notebook)
        for number, index in enumerate((1, 3), 1):
            notebook.cells[index].execution_count = number
            notebook.cells[index].outputs = [nbformat.v4.new_output("stream", text=f"{2 * number}")]

    monkeypatch.setattr(run_notebooks, "run", run)
    run_notebooks.main([tmp_path / "sums.ipynb"])
    want, got = (nbformat.read(folder / "sums.ipynb", as_version=4) for folder in (tmp_path, tmp_path / "ja"))
    assert len(runs) == 1
    assert [cell.source for cell in want.cells] == ["Sum", "1 + 1", "More", "2 + 2"]
    assert [cell.source for cell in got.cells] == ["和", "1 + 1", "More", "2 + 2"]
    assert [run_notebooks.text_of(book.cells[1]) for book in (want, got)] == ["a sum", "和の図"]
    got.cells[1].metadata = want.cells[1].metadata
    assert got.cells[1] == want.cells[1] and got.cells[3] == want.cells[3] and want.cells[3].outputs[0].text == "4"
    assert "和" in (tmp_path / "ja/sums.ipynb").read_text(encoding="utf-8")
    assert capsys.readouterr().out == "sums.ipynb\nja/sums.ipynb: still in English: c\n"


def test_a_translation_cannot_be_run(tmp_path):
    with pytest.raises(SystemExit, match=r"ja/sums\.ipynb is a translation: run .*sums\.ipynb"):
        run_notebooks.main([tmp_path / "ja/sums.ipynb"])


# Fewer epochs and turns than by default: the losses would leave each other in the first steps.
PROGRAMS = {
    "main_job_against_numpy": "program.EPOCHS = 3; program.main()",
    "notes_loop_against_numpy": "program.main(turns=3)",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_beside_numpy(program):
    printed = programs.run(sys.executable, "-c", f"import {program} as program; {PROGRAMS[program]}", cwd=EXAMPLES)
    differences = re.findall(r"largest difference of the losses (\S+)$", printed, re.MULTILINE)
    assert len(differences) == len(printed.splitlines()) and all(float(number) < 1e-5 for number in differences)


def test_search_in_threads():
    pytest.importorskip("sklearn")
    smaller = "del program.GRID['alpha'], program.GRID['hidden_layer_sizes'][2:]"
    code = f"import search_in_threads as program; {smaller}; program.main()"
    printed = programs.run(sys.executable, "-c", code, cwd=EXAMPLES)
    assert "40 fits one after the other" in printed and "the same scores" in printed
    accuracies = re.search(r"test samples: (\S+), of 10 networks together (\S+)$", printed, re.MULTILINE)
    assert min(map(float, accuracies.groups())) > 0.9
