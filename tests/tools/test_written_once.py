"""What pages show of the repository, docs/written_once.py: nothing is left out, and what they link to exists."""

import importlib.util
import pathlib
import re

import pytest
from programs import ROOT

from fastfnn import kernels

if not (ROOT / "docs/written_once.py").is_file():
    pytest.skip("the pages are not beside the tests", allow_module_level=True)
pytest.importorskip("sphinx", reason="needs fastfnn[docs]")

spec = importlib.util.spec_from_file_location("written_once", ROOT / "docs/written_once.py")
written_once = importlib.util.module_from_spec(spec)
spec.loader.exec_module(written_once)

PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in path.parts]


def test_every_kernel_is_in_the_list_once():
    listed = [name for members in written_once.groups().values() for name, _ in members]
    assert sorted(listed) == sorted(name for name in kernels.__all__ if callable(getattr(kernels, name)))
    assert all(written_once.groups().values()), "a group without kernels"
    assert len(written_once.groups()) == len(written_once.GROUPS), "two groups with one title"


def test_forward_comes_before_backward():
    listed = [name for name, _ in written_once.groups()["Activations"]]
    for name in listed:
        if name.endswith("_backward"):
            assert listed.index(name.replace("_backward", "_forward")) == listed.index(name) - 1


def test_every_kernel_has_a_first_sentence_that_fits_into_the_list():
    for members in written_once.groups().values():
        for name, kernel in members:
            first, _ = written_once.first_sentence(kernel.__doc__)
            assert first.endswith(".") and first.count("`") % 2 == 0, name


def test_the_contract_and_the_map_are_in_the_docstring():
    found = written_once.sections(kernels.__doc__)
    assert {written_once.Contract.title, written_once.Map.title} <= set(found)
    assert found[written_once.Contract.title].startswith("- Outputs come first")


def test_the_options_of_every_command_are_in_the_reference():
    text = (ROOT / "docs/reference/command-line.md").read_text("utf-8")
    assert re.findall(r"^```\{command-options\} (\w+)$", text, re.MULTILINE) == list(written_once.commands())


def test_files_that_pages_include_exist():
    included = [
        (page, pathlib.Path(page.parent, path))
        for page in PAGES
        for path in re.findall(r"^```\{literalinclude\} (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert included and [str(path) for _, path in included if not path.is_file()] == []


def test_files_that_the_walk_and_its_drawing_name_exist():
    walk, drawing = ROOT / "docs/explanation/minibatch.md", ROOT / "docs/_static/minibatch.svg"
    named = set(re.findall(r"(?:kernels|fastfnn)/[a-z_/]+\.py", walk.read_text("utf-8")))
    assert len(named) > 40 and [name for name in sorted(named) if not (ROOT / name).is_file()] == []
    files = {path.name for folder in ("fastfnn", "kernels") for path in (ROOT / folder).rglob("*.py")}
    assert set(re.findall(r"[a-z_]+\.py", walk.read_text("utf-8") + drawing.read_text("utf-8"))) <= files


@pytest.mark.parametrize("drawing", sorted((ROOT / "docs/_static").glob("*.svg")), ids=lambda path: path.name)
def test_drawings_keep_their_style_to_themselves(drawing):
    text = drawing.read_text("utf-8")
    ids = re.findall(r'id="([\w-]+)"', text)
    assert all(name.startswith(drawing.stem) for name in ids)  # two drawings may be on a page
    for style in re.findall(r"<style>(.*?)</style>", text, re.DOTALL):
        selectors = [selector.strip() for selector in re.findall(r"([^{};]+)\{", style)]
        assert all(selector.startswith("@") or f"#{drawing.stem}" in selector for selector in selectors)
