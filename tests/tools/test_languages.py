"""README, NOTES, first pages and notebooks say the same in English and in Japanese, with the same code; links work."""

import copy
import json

import languages
import nbformat
import pytest
from programs import ROOT

PAGES = [ROOT / "README.md", ROOT / "NOTES.md"]
SITE = [ROOT / "docs/start.md", *sorted((ROOT / "docs/start").glob("*.md"))]  # whose header leads to the other language
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
JAPANESE = [languages.translated(path) for path in PAGES + SITE + NOTEBOOKS]
JAPANESE_NOTEBOOKS = JAPANESE[-len(NOTEBOOKS) :]
LANGUAGE_LINES = ("English | [日本語]({0}.ja.md)", "[English]({0}.md) | 日本語")


def name(path):
    return str(path.relative_to(ROOT))


def without_line(text, line):
    """The text of a page without the line that leads to the other language, which stands below its heading."""
    assert text.splitlines()[1:4] == ["", line, ""]
    return text.replace(f"{line}\n\n", "", 1)


def test_every_page_exists_in_both_languages():
    assert len(NOTEBOOKS) == 8
    assert {name(path) for path in JAPANESE} == {
        *("README.ja.md", "NOTES.ja.md"),
        *("docs/ja/start.md", *(f"docs/ja/start/{path.name}" for path in SITE[1:])),
        *(f"examples/ja/{path.name}" for path in NOTEBOOKS),
    }
    assert sorted((ROOT / "examples/ja").iterdir()) == JAPANESE_NOTEBOOKS, "a translation without an original"
    assert len(list((ROOT / "docs/ja/start").iterdir())) == len(SITE) - 1, "a translation without an original"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_correspond_block_by_block(page):
    english, japanese = (
        without_line(languages.text_of(path), line.format(page.stem))
        for path, line in zip((page, languages.translated(page)), LANGUAGE_LINES, strict=True)
    )
    assert not languages.differences(english, japanese)


@pytest.mark.parametrize("page", SITE, ids=name)
def test_pages_of_the_site_correspond_block_by_block(page):
    translated = languages.translated(page)
    texts = (languages.text_of(path) for path in (page, translated))
    assert not languages.differences(*texts, (page.parent, translated.parent))


@pytest.mark.parametrize("page", NOTEBOOKS, ids=name)
def test_notebooks_have_the_same_code_and_output_and_corresponding_text(page):
    translated = languages.translated(page)
    english, japanese = (nbformat.read(path, as_version=4) for path in (page, translated))
    assert not languages.notebook_differences(english, japanese, (page.parent, translated.parent))


@pytest.mark.parametrize("page", JAPANESE, ids=name)
def test_japanese_pages_are_in_japanese_and_typed_alike(page):
    assert not languages.faults(languages.text_of(page))


@pytest.mark.parametrize("page", [*PAGES, *SITE, *NOTEBOOKS, *JAPANESE], ids=name)
def test_a_page_has_one_title_and_its_links_work(page):
    text = languages.text_of(page)
    assert [block.level for block in languages.blocks(text)].count("#") == 1
    paths = [link for link in languages.links(text, page.parent) if not isinstance(link, str)]
    assert [path for path in paths if not path.exists()] == []


@pytest.mark.parametrize("page", JAPANESE_NOTEBOOKS, ids=name)
def test_japanese_notebooks_are_readable_as_files(page):
    text = page.read_text(encoding="utf-8")
    assert json.dumps(json.loads(text), ensure_ascii=False, indent=1, sort_keys=True) + "\n" == text


# The comparison itself

ENGLISH = """\
# Title

A network $W x$ by `fit`, see [NOTES](NOTES.md): 41 of 1,000.

    make train      # set up

- First item,
  which goes on.
- Second item.

$$x^2$$

```python
net.fit(x, epochs=3)  # three times
```

<!-- run:
assert net.loss < 1
-->

```console
$ fastfnn info  # prints 1
```

| name | time |
| --- | ---: |
| a | 12 |
"""
TRANSLATION = """\
# 題名

`fit` によるネットワーク $W x$。1,000 個中 41 個（[NOTES](NOTES.ja.md)）。

    make train      # 環境を整える

- 一つ目の項目。
- 二つ目の項目。

$$x^2$$

```python
net.fit(x, epochs=3)  # 3 回
```

<!-- run:
assert net.loss < 1
-->

```console
$ fastfnn info  # prints 1
```

| 名前 | 時間 |
| --- | ---: |
| a | 12 |
"""
CHANGES = {
    "a heading": ("# Title", "## Title"),
    "a paragraph more": ("- First", "More.\n\n- First"),
    "an item more": ("- Second", "- Another.\n- Second"),
    "a formula in a sentence": ("$W x$", "$x W$"),
    "a formula": ("$$x^2$$", "$$x^3$$"),
    "a name in a sentence": ("`fit`", "`predict`"),
    "a number in a sentence": ("41", "42"),
    "a link": ("(NOTES.md)", "(README.md)"),
    "a command": ("make train", "make test"),
    "a program": ("epochs=3", "epochs=4"),
    "a hidden program": ("net.loss", "net.error"),
    "a command with its output": ("prints 1", "prints 2"),
    "a language": ("```python", "```text"),
    "a row": ("| a | 12 |", "| a | 12 |\n| b | 13 |"),
    "a column": ("| a | 12 |", "| a | 12 | 5 |"),
    "a number in a table": ("| 12 |", "| 13 |"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_in_one_language_alone_is_found(change):
    assert not languages.differences(ENGLISH, TRANSLATION)
    assert ENGLISH.count(change[0]) == 1
    assert languages.differences(ENGLISH.replace(*change), TRANSLATION)


def test_comments_in_code_may_be_translated():
    assert not languages.differences(ENGLISH.replace("three times", "thrice").replace("set up", "install"), TRANSLATION)


def change_code(cells):
    cells[1].source += "\n# a comment"


def change_output(cells):
    next(output for cell in cells for output in cell.get("outputs", ()) if "text" in output).text += "more"


def change_order(cells):
    cells[3], cells[5] = cells[5], cells[3]


def change_formula(cells):
    cells[0].source = cells[0].source.replace("$W$", "$V$")


def leave_out(cells):
    del cells[2]


def leave_out_a_description(cells):
    del next(cell for cell in cells if languages.alt(cell)).metadata["mystnb"]


@pytest.mark.parametrize(
    "change", [change_code, change_output, change_order, change_formula, leave_out, leave_out_a_description]
)
@pytest.mark.parametrize("language", [0, 1], ids=["English", "Japanese"])
def test_a_change_in_one_notebook_alone_is_found(change, language):
    folders = NOTEBOOKS[0].parent, NOTEBOOKS[0].parent / "ja"
    pair = [nbformat.read(folder / NOTEBOOKS[0].name, as_version=4) for folder in folders]
    assert not languages.notebook_differences(*pair, folders)
    pair[language] = copy.deepcopy(pair[language])
    change(pair[language].cells)
    assert languages.notebook_differences(*pair, folders)


FAULTS = {
    "left in English": "# 題名\n\nThis is not translated.",
    "an English sentence": "# 題名\n\n初めの文です。Then one more sentence in English.",
    "no space": "# 題名\n\n学習にはfit を使います。",
    "no space before code": "# 題名\n\n学習には`fit` を使います。",
    "an ASCII comma": "# 題名\n\n学習, そして予測。",
    "full-width digits": "# 題名\n\n全部で １０ 個です。",
    "italics": "# 題名\n\n学習は*速く*なります。",
    "a line break": "# 題名\n\n学習には\n関数を使います。",
}


@pytest.mark.parametrize("page", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_japanese_text_is_found(page):
    assert not languages.faults(TRANSLATION)
    assert len(languages.faults(page)) >= 1
