"""English pages and their Japanese translations: what must be the same in both, and how Japanese text is typed.

Used by tests/tools/test_languages.py. A page is split into blocks; `differences` compares two pages block by block,
`faults` looks at a Japanese page alone. Both return sentences for a failing test to print, none if all is well.
"""

import copy
import io
import itertools
import pathlib
import re
import tokenize
from typing import NamedTuple

import nbformat
from programs import ROOT

KINDS = (  # the first pattern that the first line of a block matches decides
    ("fence", re.compile(r"```")),
    ("comment", re.compile("<!-- ")),
    ("formula", re.compile(r"\$\$")),
    ("heading", re.compile(r"#+ ")),
    ("table", re.compile(r"\|")),
    ("item", re.compile(r"- |\d+\. ")),
    ("indented", re.compile(r" {4}")),
    ("paragraph", re.compile("")),
)
DOCS = ROOT / "docs"  # its Japanese pages are in the folder ja there

CODE_SPAN = re.compile(r"`[^`]+`")
FORMULA = re.compile(r"\$[^$]+\$")
LINK = re.compile(r"\]\(([^)]+)\)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

JAPANESE = "ぁ-んァ-ヶー一-龥々"
TYPING = {
    "no space between Japanese and": re.compile(f"[{JAPANESE}][A-Za-z0-9`$]+|[A-Za-z0-9`$]+[{JAPANESE}]"),
    "an ASCII mark after Japanese:": re.compile(f"[{JAPANESE}][,.;:!?(]"),
    "full-width letters or digits:": re.compile("[０-９Ａ-Ｚａ-ｚ]"),
    "italics in Japanese:": re.compile(r"(?<!\*)\*[^* ][^*]*\*(?!\*)"),
    "English:": re.compile(r"(?:[A-Za-z]+,? ){4,}[A-Za-z]+"),
}


class Block(NamedTuple):
    kind: str
    lines: list[str]

    @property
    def level(self):
        """A heading's kind with its level, a code block's with its language; the kind of any other block."""
        return self.lines[0].split(" ")[0] if self.kind in ("heading", "fence") else self.kind


def blocks(text):
    """The blocks of a Markdown page. Each item of a list is a block."""
    found, closing = [], None
    for line in text.splitlines():
        if closing:  # inside a fence or a formula
            found[-1].lines.append(line)
            closing = None if line.endswith(closing) else closing
            continue
        if not line:
            found.append(Block("blank", []))
            continue
        kind = next(kind for kind, pattern in KINDS if pattern.match(line))
        last = found[-1] if found else Block("blank", [])
        continues = last.kind == kind in ("table", "indented", "paragraph") or (
            last.kind == "item" and kind in ("paragraph", "indented")
        )
        if continues:
            last.lines.append(line)
            continue
        found.append(Block(kind, [line]))
        closing = {"fence": "```", "comment": "-->", "formula": "$$"}.get(kind)
        if kind in ("comment", "formula") and len(line) > 2 and line.endswith(closing):
            closing = None
    return [block for block in found if block.kind != "blank"]


def code(block):
    """The code of a block, without comments. In an indented block two spaces end the code of a line.

    Commands and what they print are the same in both languages, and so is what tests run and no reader sees.
    """
    if block.kind == "indented":
        return [re.split(" {2,}", line[4:])[0] for line in block.lines if line[4:5] != " "]
    if block.level != "```python":
        return block.lines
    program = io.StringIO("\n".join(block.lines[1:-1]) + "\n")
    passed_over = (tokenize.COMMENT, tokenize.NL)
    return [token[:2] for token in tokenize.generate_tokens(program.readline) if token.type not in passed_over]


def translated(path):
    """The Japanese counterpart of a page or of a folder of pages, if it has one, else the path itself."""
    path = path.resolve()
    candidates = [path.parent / f"{path.stem}.ja{path.suffix}", path.parent / "ja" / path.name, path / "ja"]
    if path.is_relative_to(DOCS):
        candidates = [DOCS / "ja" / path.relative_to(DOCS)]
    return next((candidate for candidate in candidates if candidate.exists()), path)


def links(text, folder):
    """The targets of the links: addresses, and paths without the part after #."""
    targets = {target.split("#")[0] for target in LINK.findall(text)}
    return {target if "://" in target else (folder / target).resolve() for target in targets}


def prose_differences(english, japanese, folders):
    """What a paragraph, an item, a heading or a row of a table must have in common with its translation."""
    for name, pattern in (("code", CODE_SPAN), ("formulas", FORMULA)):
        want, got = set(pattern.findall(english)), set(pattern.findall(japanese))
        if want != got:
            yield f"{name}: {sorted(want - got)} only in English, {sorted(got - want)} only in Japanese"
    want = {link if isinstance(link, str) else translated(link) for link in links(english, folders[0])}
    got = links(japanese, folders[1])
    if want != got:
        yield f"links: expected {sorted(map(str, want))}, got {sorted(map(str, got))}"
    want, got = (set(NUMBER.findall(bare(text))) for text in (english, japanese))
    if not want <= got:
        yield f"numbers: {sorted(want - got)} only in English"


def bare(text):
    """Text without its formulas and the targets of its links, and with code spans emptied."""
    return LINK.sub("]", FORMULA.sub("$$", CODE_SPAN.sub("``", text)))


def block_differences(english, japanese, folders):
    """What a block must have in common with its translation, which is of the same kind."""
    if english.kind in ("fence", "comment", "indented"):
        if code(english) != code(japanese):
            yield "the code is another"
    elif english.kind == "formula":
        if english != japanese:
            yield "the formula is another"
    elif english.kind == "table":
        want, got = ([len(re.split(r"(?<!\\)\|", line)) for line in block.lines] for block in (english, japanese))
        if want != got:
            yield f"cells of rows: {want} in English, {got} in Japanese"
        for rows in zip(english.lines, japanese.lines, strict=False):
            yield from prose_differences(*rows, folders)
    else:
        yield from prose_differences(" ".join(english.lines), " ".join(japanese.lines), folders)


def differences(english, japanese, folders=(ROOT, ROOT)):
    """How a Japanese page differs from the English one, where it must not. `folders` are those of the two pages."""
    pages = blocks(english), blocks(japanese)
    for i, pair in enumerate(itertools.zip_longest(*pages)):
        if None in pair or pair[0].level != pair[1].level:
            return [f"block {i}: {' and '.join(repr(block and block.lines[0]) for block in pair)} do not correspond"]
    return [
        f"{theirs.lines[0]!r}: {sentence}"
        for ours, theirs in zip(*pages, strict=True)
        for sentence in block_differences(ours, theirs, folders)
    ]


def faults(japanese):
    """What is not Japanese in a Japanese page, or not typed as the other pages are.

    A space divides Japanese from Latin letters, numbers, code and formulas. A paragraph is a single line, because
    browsers show a line break as a space.
    """
    found = []
    for block in blocks(japanese):
        if block.kind in ("fence", "comment", "indented", "formula"):
            continue
        text = bare(" ".join(block.lines))
        wrong = [f"{name} {match[0]!r}" for name, pattern in TYPING.items() for match in pattern.finditer(text)]
        if not re.search(f"[{JAPANESE}]", text) and text != "# fastfnn":
            wrong.append("no Japanese")
        if len(block.lines) > 1 and block.kind != "table":
            wrong.append("more than one line")
        found += [f"{block.lines[0]!r}: {sentence}" for sentence in wrong]
    return found


def notebook_differences(english, japanese, folders):
    """How a Japanese notebook differs from the English one: code and output must be the same, text must correspond."""
    ids = [[(cell.id, cell.cell_type) for cell in notebook.cells] for notebook in (english, japanese)]
    if ids[0] != ids[1]:
        return [f"cells in one of them alone: {sorted(set(ids[0]) ^ set(ids[1]))}; or their order differs"]
    found = []
    for ours, theirs in zip(english.cells, japanese.cells, strict=True):
        if ours.cell_type == "markdown":
            found += [f"{ours.id}: {sentence}" for sentence in differences(ours.source, theirs.source, folders)]
        elif without_alt(ours) != without_alt(theirs):
            found.append(f"{ours.id}: another code or output; make notebooks copies both from the English notebook")
        else:
            texts = alt(ours), alt(theirs)
            if not all(texts) and any(texts):
                found.append(f"{ours.id}: its picture is described in one language alone")
            found += [f"{ours.id}: {sentence}" for sentence in prose_differences(*texts, folders)]
    return found


def alt(cell):
    """The alternative text of the picture that a cell draws, or an empty one."""
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")


def without_alt(cell):
    """A cell without what is translated of it."""
    cell = copy.deepcopy(cell)
    cell.metadata.pop("mystnb", None)
    return cell


def text_of(path: pathlib.Path):
    """A page as Markdown: the text cells of a notebook and the descriptions of its pictures, or the file itself."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    texts = (cell.source if cell.cell_type == "markdown" else alt(cell) for cell in cells)
    return "\n\n".join(text for text in texts if text)
