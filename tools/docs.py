"""Build the documentation site, in English and in Japanese: make docs

The pages are files of the repository, wherever they lie: those of docs/, the README, the notebooks, and so on. `stage`
copies them into a folder for each language and makes their links lead to each other there; Sphinx, configured by
docs/conf.py, builds a site from each folder. The Japanese site lies in the folder ja of the English one, and a page has
the name of its translation. The pages on performance get their tables and charts from site_figures.py. asv's own pages
of the recorded versions lie in the folder asv, if asv and all commits are there.
"""

import importlib.util
import json
import pathlib
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

from site_figures import with_figures

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "docs/_build"

# Each page that is not in docs/, and its file.
TUTORIALS = (
    *("quick_start", "digits", "table_scikit_learn", "1_FN", "2_activation_functions"),
    *("3_output_layer", "4_gradient_descent", "5_back_propagation"),
)
ELSEWHERE = {
    "en": {
        "explanation/notes.md": "NOTES.md",
        "changelog.md": "CHANGELOG.md",
        "contributing.md": "CONTRIBUTING.md",
        **{f"tutorials/{name}.ipynb": f"examples/{name}.ipynb" for name in TUTORIALS},
    },
    "ja": {
        "explanation/notes.md": "NOTES.ja.md",
        **{f"tutorials/{name}.ipynb": f"examples/ja/{name}.ipynb" for name in TUTORIALS},
    },
}
DOCS = {"en": "docs", "ja": "docs/ja"}
PREFIX = {"en": "", "ja": "ja/"}  # of an address on the site
# What is no page itself, and the page that links to it lead to.
INSTEAD = {
    **{"README.md": "docs/index.md", "README.ja.md": "docs/ja/index.md"},
    **{"examples": "docs/tutorials.md", "examples/ja": "docs/ja/tutorials.md"},
}
NOT_PAGES = ("_build", "_templates", "ja")  # folders of docs/; the pages in ja are those of the other site
OTHER_FILES = "files"  # the folder of what pages show or link to without being a page: pictures, programs

CODE_BLOCK = re.compile(r"(^```.*?^```[ \t]*$|^(?: {4}|\t)[^\n]*$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<text>!?\[(?:`[^`]*`|[^\[\]])*\])\((?P<target>[^()\s#]+)(?P<anchor>#[^()\s]*)?\)")


def pages(language: str) -> dict[str, str]:
    """Return the file of each page, as paths from the root of the site and of the repository."""
    folder = ROOT / DOCS[language]
    found = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix in (".md", ".rst"))
    own = [path.as_posix() for path in found if path.parts[0] not in NOT_PAGES]
    return {name: f"{DOCS[language]}/{name}" for name in own} | ELSEWHERE[language]


# What the page on earlier versions says where it asks for asv's pages.
ASV = """\
<a href="../asv/index.html">asv's pages</a> show every benchmark by itself, with a point for each version. They load
their JavaScript from the network, and their data from the web server: opened from the disk, they show nothing.
"""
NO_ASV = "asv's own pages show every benchmark by itself; in a checkout, `make dashboard` builds them.\n"


def stage(language: str, out: pathlib.Path, *, asv: bool = False) -> None:
    """Write the pages of a language, and the files that they show or link to, into the folder `out`.

    asv  whether asv's pages will be part of the site
    """
    figures = {"asv": ASV if asv else NO_ASV}
    for page, file in pages(language).items():
        target = out / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (ROOT / file).is_file():
            raise FileNotFoundError(f"{file} is a page of the site, and there is no such file")
        text = (ROOT / file).read_text("utf-8")
        link = link_writer(language, page, file, out)
        if target.suffix == ".md":
            text = with_figures(with_links(text, link), target.parent, figures)
        elif target.suffix == ".ipynb":
            notebook = json.loads(text)
            for cell in notebook["cells"]:
                if cell["cell_type"] == "markdown":
                    cell["source"] = with_links("".join(cell["source"]), link)
            text = json.dumps(notebook)
        target.write_text(text, "utf-8")


def with_links(markdown: str, link: Callable[[re.Match[str]], str]) -> str:
    """Return Markdown with each of its links replaced by what `link` returns for it, except in blocks of code."""
    pieces = CODE_BLOCK.split(markdown)
    pieces[::2] = [LINK.sub(link, piece) for piece in pieces[::2]]
    return "".join(pieces)


def link_writer(language: str, page: str, file: str, out: pathlib.Path) -> Callable[[re.Match[str]], str]:
    """Return a function that rewrites a link of `file` for `page`, unless it leads to no file of the repository."""
    other = "en" if language == "ja" else "ja"
    here, there = ({file: page for page, file in pages(name).items()} for name in (language, other))
    folder = posixpath.dirname(page)

    def link(match: re.Match[str]) -> str:
        text, anchor = match["text"], match["anchor"] or ""
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(file), match["target"]))
        wanted = INSTEAD.get(wanted, wanted)
        if wanted in here:
            return f"{text}({posixpath.relpath(here[wanted], folder or '.')}{anchor})"
        if wanted in there:  # Sphinx does not know the pages of the other language, so this is HTML
            address = PREFIX[other] + str(pathlib.PurePosixPath(there[wanted]).with_suffix(".html"))
            return f'<a href="{posixpath.relpath(address, PREFIX[language] + folder or ".")}{anchor}">{text[1:-1]}</a>'
        if (ROOT / wanted).is_dir():  # no page shows a folder: only its name stays
            return text[1:-1]
        if not (ROOT / wanted).is_file():
            return match[0]
        copy = out / OTHER_FILES / wanted
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / wanted, copy)
        return f"{text}({posixpath.relpath(f'{OTHER_FILES}/{wanted}', folder or '.')}{anchor})"

    return link


def publish(out: pathlib.Path, root: pathlib.Path = ROOT) -> bool:
    """Let asv write its pages into a folder; False, and a line that says why, where it cannot."""
    branch = ["git", "rev-parse", "--is-shallow-repository", "--verify", "--quiet", "main"]
    if not importlib.util.find_spec("asv"):
        missing = "asv is not installed"
    elif not (shutil.which("git") and (root / ".git").exists()):
        missing = "this is no Git repository"
    elif not subprocess.run(branch, cwd=root, capture_output=True, text=True).stdout.startswith("false"):
        missing = "the branch main is not here with all its commits"
    else:
        command = [sys.executable, "-m", "asv", "publish", "--no-pull", "--html-dir", out.absolute()]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"asv publish ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        if unknown := done.stdout.count("Couldn't find"):
            print(f"asv's pages lack {unknown} results, whose commits are not on main", file=sys.stderr)
        return True
    print(f"without asv's pages: {missing}", file=sys.stderr)
    return False


def build(out: pathlib.Path, *, asv: bool = False) -> int:
    """Build both sites into `out`/html, from nothing; the exit status is that of Sphinx, which takes no warning.

    asv  whether asv's pages become part of the site, if they can be made
    """
    html, work = out / "html", out / "work"
    for folder in (html, work):
        shutil.rmtree(folder, ignore_errors=True)
    asv = asv and publish(work / "asv")
    for language in DOCS:
        stage(language, work / "source" / language, asv=asv)
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", "-c", ROOT / "docs"]
    runs = [
        subprocess.Popen(
            [*sphinx, "-t", name, "-d", work / name / "doctrees", work / "source" / name, work / name / "html"]
        )
        for name in DOCS
    ]
    status = max(run.wait() for run in runs)
    for language in DOCS:
        built, target = work / language / "html", html / PREFIX[language]
        if built.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.move(built, target)
    if asv and html.exists():
        shutil.move(work / "asv", html / "asv")
    return status


def main() -> int:
    status = build(BUILD, asv=True)
    if not status:
        print(f"{BUILD / 'html/index.html'} is the site")
    return status


if __name__ == "__main__":
    sys.exit(main())
