"""Experiments, docs/explanation/experiments.md: the code and other pages refer to its rows by their ids."""

import re

import pytest
from programs import ROOT

TABLE = ROOT / "docs/explanation/experiments.md"
if not TABLE.is_file():
    pytest.skip("the pages are not beside the tests", allow_module_level=True)

IDS = re.findall(r"^\| `([\w-]+)` \|", TABLE.read_text("utf-8"), re.MULTILINE)
SOURCES = ("kernels", "fastfnn", "benchmarks", "tools", "docs")
# "Experiments: first-layer-halves, widening-layers." A list may go on in the next line of a comment.
REFERENCE = re.compile(r"Experiments: ((?:[a-z0-9-]+(?:,[\s#]+)?)+)")


def references():
    """Each reference to a row: the file and the id."""
    paths = {path.resolve() for name in SOURCES for path in (ROOT / name).rglob("*") if path.suffix in (".py", ".md")}
    for path in sorted(path for path in paths if "_build" not in path.parts):
        for match in REFERENCE.finditer(path.read_text("utf-8")):
            for row in re.findall(r"[a-z0-9-]+", match[1]):
                yield str(path.relative_to(ROOT)), row
    for path in sorted(path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts):
        for row in re.findall(r"experiments\.md#([\w-]+)", path.read_text("utf-8")):
            yield str(path.relative_to(ROOT)), row


def headings():
    """The anchors of the headings, which pages may link to as well."""
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", TABLE.read_text("utf-8"), re.MULTILINE)
    }


def test_every_id_names_one_row():
    assert len(IDS) == len(set(IDS)) > 100


def test_every_reference_to_an_experiment_leads_to_a_row():
    found = list(references())
    assert {"first-layer-halves", "register-tiles"} <= {row for _, row in found}
    assert [(file, row) for file, row in found if row not in {*IDS, *headings()}] == []
