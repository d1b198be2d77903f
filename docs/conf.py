"""The configuration of the documentation site, which tools/docs.py builds twice: with the tag en and with the tag ja.

A site of Sphinx has one language and one search index, so there is one for each language. A page and its translation
have the same name in both, and `link_to_other_language` makes them lead to each other.
"""

import importlib.util
import itertools
import pathlib
import re
import shutil
import sys

from docutils import nodes
from sphinx.search import SearchLanguage
from sphinx.util.nodes import make_refnode

import fastfnn

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))  # for written_once.py

language = "ja" if tags.has("ja") else "en"  # noqa: F821 (Sphinx defines tags)

project = html_title = "fastfnn"
copyright = author = "the fastfnn authors"
version = release = fastfnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "written_once",
]
templates_path = [str(HERE / "_templates")]  # absolute: the sources are in another folder
exclude_patterns = ["files"]  # what pages show or link to without being a page

# Markdown and notebooks; make notebooks has run these.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
highlight_language = "none"

smartquotes = False  # "relu" is code

# Docstrings: they say the types themselves.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
default_role = "py:obj"

# Pages
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css", "tables.css"]
html_favicon = "_static/favicon.svg"
html_sidebars = {"explanation/notes": []} if language == "ja" else {}  # no pages beside it
html_show_sourcelink = html_copy_source = html_domain_indices = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "navbar_end": ["language-switch", "theme-switcher"],
    "header_links_before_dropdown": 6,
    "show_toc_level": 3,
    "footer_start": ["copyright"],
    "footer_end": [],
    "article_footer_items": [],
}

# Formulas. This one file of MathJax has all fonts and extensions inside, so that pages need no network.
mathjax_path = "mathjax.js"
MATHJAX = (
    pathlib.Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg-full.js"
)


class JapaneseSearch(SearchLanguage):
    """An index of the characters and the pairs of neighbours in Japanese text, and of the words in other scripts.

    Japanese has no spaces. Sphinx's own index cuts pages into words, but not what a reader types, and so finds no
    compounds. Here both are cut into pairs, so that any part of a text is found.
    """

    lang = "ja"
    language_name = "Japanese"
    characters = r"\u3005\u3041-\u30fa\u30fc-\u30ff\u3400-\u9fff"
    runs = re.compile(rf"[{characters}]+|[^\W{characters}]+")
    js_splitter_code = r"""
function splitQuery(query) {
  const runs = query.match(/[CHARACTERS]+|(?:(?![CHARACTERS])[\p{Letter}\p{Number}_])+/gu) || [];
  const pairs = (run) => Array.from(run.slice(1), (_, i) => run.slice(i, i + 2));
  return runs.flatMap((run) => (/^[CHARACTERS]{2}/.test(run) ? pairs(run) : [run]));
}
""".replace("CHARACTERS", characters)

    def split(self, text):
        """Return what the index has for a text."""
        found = []
        for run in self.runs.findall(text):
            japanese = re.match(f"[{self.characters}]", run)
            found += [*run, *map("".join, itertools.pairwise(run))] if japanese else [run]
        return found


def link_to_other_language(app, page, template, context, doctree):
    """Give a page the address of its counterpart in the other language, or of the start page if it has none."""
    other = "en" if language == "ja" else "ja"
    folder = pathlib.Path(app.srcdir).parent / other
    translated = page in ("search", "genindex") or any(folder.glob(f"{page}.*"))
    up = "../" * (page.count("/") + (language == "ja"))
    context["other_language"] = f"{up}{'ja/' if other == 'ja' else ''}{page if translated else 'index'}.html"


def link_or_code(app, environment, node, content):
    """Resolve single backticks in a docstring: public names are links, the others, such as parameters, are code."""
    if node.get("reftype") != "obj":
        return None
    found = environment.domains["py"].objects.get(f"fastfnn.{node['reftarget']}")
    if found:
        return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content)
    return nodes.literal("", content.astext())


def leave_out(app, what, name, item, skip, options):
    """Leave out of a page what users do not call, also of the table of methods at its top.

    That is what another library defines, what a docstring marks by ``:meta private:``, and the methods of a callback,
    which `FNN.fit` calls: the page of `Callback` describes them.
    """
    function = getattr(item, "fget", item)
    module = getattr(function, "__module__", None) or "fastfnn"
    if not module.startswith("fastfnn") or ":meta private:" in (getattr(function, "__doc__", None) or ""):
        return True
    if module.startswith("fastfnn.callbacks.") and vars(fastfnn.Callback).get(name, function) is not function:
        return True
    return None


def keep_initials(app, what, name, described, options, lines):
    """Keep a reference that begins with an author's initial, as in "P. Huber", from becoming item P of a list."""
    lines[:] = [re.sub(r"^(\s*)(?=[A-Z]\. )", r"\1\\", line) for line in lines]


def add_mathjax(app, exception):
    """Copy MathJax to the other static files."""
    if exception is None:
        shutil.copyfile(MATHJAX, pathlib.Path(app.outdir) / "_static" / mathjax_path)


def setup(app):
    """Called by Sphinx."""
    app.add_search_language(JapaneseSearch)
    app.connect("html-page-context", link_to_other_language)
    app.connect("missing-reference", link_or_code)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-docstring", keep_initials)
    app.connect("build-finished", add_mathjax)
