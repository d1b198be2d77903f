"""Lists of names outside the tables: complete, and if not, the message names the file that lacks one."""

import ast
import pathlib

import pytest
from programs import ROOT, TOOLS, tool

import fastfnn
from fastfnn.network import HIDDEN_ACTIVATIONS

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

PACKAGE = pathlib.Path(fastfnn.__file__).parent
# Where users read which activations there are.
LISTS = {
    "docs/start/features.md": "- **Activations**",
    "docs/ja/start/features.md": "- **活性化関数**",
    "fastfnn/network.py": "    activation : str",
    "fastfnn/sklearn/classifier.py": "    activation : str",
}


def assigned(path, name):
    """The value that a module gives a name in a literal, without importing the module."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} has no {name}")


@pytest.mark.parametrize("file", ["tools/names.py", "benchmarks/bench_kernels.py"])
def test_the_list_of_a_program_is_the_table_of_activations(file):
    found = assigned(ROOT / file, "ACTIVATIONS")
    assert tuple(found) == HIDDEN_ACTIVATIONS, f"ACTIVATIONS in {file} is not as in the table: edit that file"


@pytest.mark.parametrize("file", LISTS)
def test_documents_name_every_activation(file):
    _, start, text = (ROOT / file).read_text("utf-8").partition(LISTS[file])
    assert start, f"{file} has no line that begins with {LISTS[file]!r}"
    entry = " ".join("\n".join(text.split("\n")[:4]).split()).lower().replace('"', "")
    names = {name: name.replace("_", " ") if file.endswith(".md") else name for name in HIDDEN_ACTIVATIONS}
    missing = [name for name, written in names.items() if written not in entry]
    assert not missing, f"{file} does not name {', '.join(missing)} after {LISTS[file].strip()!r}: edit that file"


def test_fuzz_and_digest_take_the_list():
    digest, cases = tool("digest_worker"), tool("fuzz_cases")
    assert set(HIDDEN_ACTIVATIONS) <= {name.removesuffix(", float32") for name in digest.networks()}
    assert cases.ACTIVATIONS == HIDDEN_ACTIVATIONS
