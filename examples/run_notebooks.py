"""Run notebooks, those named or all of this folder, and save their output: python run_notebooks.py [NOTEBOOK ...]

What differs from run to run is not saved: when a cell ran, the version of Python, the pieces in which output arrived,
and whether kernels had to be compiled.

The Japanese notebooks in ja/ are not run: they have the same code, so code and output are copied from the English ones.
They keep their own texts, and their own descriptions of pictures: the "alt" in the metadata of a cell.
"""

import copy
import pathlib
import re
import sys

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).absolute().parent
COMPILING = re.compile(r"^fastfnn compiles .*\n", re.MULTILINE)
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def run(notebook):
    """Clear all outputs, then run all cells in the folder of the notebooks."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)


def joined(outputs):
    """The outputs of a cell, with consecutive pieces of text joined."""
    result = []
    for output in outputs:
        if output.get("name") == "stderr":
            output.text = COMPILING.sub("", output.text)
            if not output.text:
                continue
        last = result[-1] if result else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def in_step(translated, notebook):
    """`notebook` with the text of `translated`, cell by cell, and the ids of the cells that have no translation yet."""
    texts = {cell.id: text for cell in translated.cells if (text := text_of(cell))}
    result = copy.deepcopy(notebook)
    result.metadata = translated.metadata
    missing = []
    for cell in result.cells:
        if not text_of(cell):
            continue
        if cell.id not in texts:
            missing.append(cell.id)
        elif cell.cell_type == "markdown":
            cell.source = texts[cell.id]
        else:
            cell.metadata.mystnb.image.alt = texts[cell.id]
    return result, missing


def text_of(cell):
    """What is translated of a cell: a text cell itself, and the alternative text of a picture, which the site shows."""
    if cell.cell_type == "markdown":
        return cell.source
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt")


def main(paths):
    """Run each notebook and write it back to its file, and its code and output to its translation."""
    for path in map(pathlib.Path, paths or sorted(HERE.glob("*.ipynb"))):
        if path.parent.name == "ja":
            sys.exit(f"{path} is a translation: run {path.parents[1] / path.name}, whose output is copied to it")
        notebook = nbformat.read(path, as_version=4)
        run(notebook)
        nbformat.write(notebook, path)
        print(path.name)
        translation = path.parent / "ja" / path.name
        if translation.exists():
            translated, missing = in_step(nbformat.read(translation, as_version=4), notebook)
            nbformat.write(translated, translation)
            print(f"ja/{path.name}" + (f": still in English: {', '.join(missing)}" if missing else ""))


if __name__ == "__main__":
    main(sys.argv[1:])
