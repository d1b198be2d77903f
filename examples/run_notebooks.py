"""Run notebooks, those named or all of this folder, and save their output: python run_notebooks.py [NOTEBOOK ...]

What differs from run to run is not saved: when a cell ran, the version of Python, the pieces in which output arrived,
and whether kernels had to be compiled.
"""

import pathlib
import re
import sys

import nbformat
from nbclient import NotebookClient

HERE = pathlib.Path(__file__).absolute().parent
COMPILING = re.compile(r"^fastfnn compiles its kernels.*\n", re.MULTILINE)
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


def main(paths):
    """Run each notebook and write it back to its file."""
    for path in map(pathlib.Path, paths or sorted(HERE.glob("*.ipynb"))):
        notebook = nbformat.read(path, as_version=4)
        run(notebook)
        nbformat.write(notebook, path)
        print(path.name)


if __name__ == "__main__":
    main(sys.argv[1:])
