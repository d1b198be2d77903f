"""The Python examples of each page of docs/ run, from top to bottom, as a reader would run them.

The blocks of a page that begin with ```python are one program, run in an empty folder. Comments of HTML, which no
reader sees, say what differs from that:

    <!-- run: CODE -->      run this, too, where it stands: a file that the page takes for granted, or an assertion
    <!-- not run: WHY -->   leave out the block below
    <!-- needs: MODULE -->  leave out the block below where this module is not installed
"""

import ast
import importlib.util
import re
import sys

import programs
import pytest

PAGES = programs.ROOT / "docs"
if not PAGES.is_dir():
    pytest.skip("the pages are not beside the tests", allow_module_level=True)

PART = re.compile(
    r"^```python\n(?P<block>.*?)^```$|^<!-- (?P<command>run|not run|needs):\s(?P<text>.*?)-->$",
    re.MULTILINE | re.DOTALL,
)
# Pages warn of few epochs and the like, which keep examples fast.
QUIET = "import warnings\nwarnings.simplefilter('ignore')\n"


def program(text):
    """Return the program of a page."""
    pieces, leave_out = [], False
    for part in PART.finditer(text):
        said = (part["text"] or "").strip()
        if part["command"]:
            assert said, f"a comment '{part['command']}:' without a text"
        if part["command"] == "run":
            pieces.append(f"{said}\n")
        elif part["command"]:
            leave_out = part["command"] == "not run" or not importlib.util.find_spec(said)
        else:
            pieces.append("" if leave_out else part["block"])
            leave_out = False
    return "".join(pieces)


EXAMPLES = sorted(
    path for path in PAGES.rglob("*.md") if "_build" not in path.parts and program(path.read_text("utf-8"))
)


# A translation whose program is the same, but for comments, need not run, too.
PROGRAMS = {
    ast.dump(ast.parse(program(path.read_text("utf-8")))): path
    for path in sorted(EXAMPLES, key=lambda path: "ja" not in path.parts)  # of equal ones the last, in English
}


@pytest.mark.jit  # without the compiler they take too long
@pytest.mark.parametrize("page", PROGRAMS.values(), ids=lambda path: str(path.relative_to(PAGES)))
def test_the_examples_of_a_page_run(page, tmp_path):
    (tmp_path / "page.py").write_text(QUIET + program(page.read_text("utf-8")), "utf-8")
    programs.run(sys.executable, "page.py", cwd=tmp_path)


def test_pages_with_examples_are_found():
    assert {"index.md", "callbacks.md", "scikit-learn.md", "interop.md"} <= {path.name for path in EXAMPLES}


def test_what_a_page_says_about_its_examples_is_followed():
    text = """
```python
a = 1
```
<!-- run: assert a == 1 -->
<!-- not run: it takes an hour -->

```python
train()
```
<!-- run:
b = 2
c = 3
-->
```console
$ ls
```
<!-- needs: sys -->
```python
d = 4
```
<!-- needs: no_such_module -->
```python
e = 5
```
```python
f = 6
```
"""
    assert program(text) == "a = 1\nassert a == 1\nb = 2\nc = 3\nd = 4\nf = 6\n"
    assert program("no code") == ""
    with pytest.raises(AssertionError, match="without a text"):
        program("<!-- not run: -->")
