"""An extension of Sphinx for what pages show of the repository: written once, there, and not copied into a page.

    ```{kernels-contract}         the contract, of the docstring of `fastfnn.kernels`
    ```{kernels-map}              its list of sub-packages
    ```{kernels-list}             every kernel by its signature and first sentence, the rest of its docstring to unfold
    ```{command-options} train    the options of `fastfnn train`, with their help
    ```{literalinclude} PATH      PATH is that from the page in the repository, wherever the page is built
    ![text](../_static/x.svg)     a drawing becomes part of the page: its text can be selected, and follows the theme

The rows of the tables of Experiments get anchors, so that other pages link to them: experiments.md#register-tiles
Long names in tables may break at their underscores and dots, so that they leave room for the other columns.
"""

import html
import importlib
import inspect
import os
import pathlib
import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from fastfnn import kernels

HERE = pathlib.Path(__file__).parent
EXPERIMENTS = "explanation/experiments"
LONG_NAME = 20  # letters

# Titles of the list, by the folder or file in kernels/ that holds the kernel.
GROUPS = {
    "elementwise.activations": "Activations",
    "elementwise.losses": "Losses",
    "products": "Affine map",
    "elementwise.dropout": "Dropout",
    "elementwise.normalization": "Batch normalization",
    "elementwise.update_rules": "Update rules",
    "network": "Networks: predictions and losses",
    "training": "Networks: gradient and training",
    "tabular": "Networks for tables",
    "elementwise.user": "Functions of your own",
}


def sections(docstring):
    """Return the sections of a docstring, by their titles, as Markdown."""
    parts = re.split(r"^(.+)\n-{4,}\n", inspect.cleandoc(docstring), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


class Contract(SphinxDirective):
    """The contract of the kernels."""

    title = "The contract of every public kernel"

    def run(self):
        """Called by Sphinx."""
        return self.parse_text_to_nodes(sections(kernels.__doc__)[self.title])


class Map(Contract):
    """The sub-packages and the letters of dimensions."""

    title = "How to read this folder"


def first_sentence(docstring):
    """Return the first paragraph of a docstring, and the rest."""
    first, _, rest = inspect.cleandoc(docstring).partition("\n\n")
    return " ".join(first.split()), rest


def with_code(text):
    """Return a text whose parts in backticks are code, as nodes."""
    return [nodes.literal("", part) if i % 2 else nodes.Text(part) for i, part in enumerate(text.split("`"))]


def groups():
    """Return the kernels of each group, in the order of `GROUPS`."""
    found = {title: [] for title in GROUPS.values()}
    for name in kernels.__all__:
        kernel = getattr(kernels, name)
        if callable(kernel):
            place = inspect.unwrap(kernel).__module__.removeprefix("fastfnn.kernels.")
            title = next(title for folder, title in GROUPS.items() if place.startswith(folder))
            found[title].append((name, kernel))
    return {title: sorted(members, key=forward_first) for title, members in found.items()}


def forward_first(member):
    """Return what sorts a kernel by its name, forward before backward."""
    name = member[0]
    return name.replace("_backward", "_z")


class List(SphinxDirective):
    """All kernels, in groups."""

    def run(self):
        """Called by Sphinx."""
        return [node for title, members in groups().items() for node in (self.heading(title), self.group(members))]

    def heading(self, title):
        """Return the title of a group."""
        return nodes.rubric("", title)

    def group(self, members):
        """Return the kernels of a group as a definition list."""
        listed = nodes.definition_list(classes=["kernels"])
        for name, kernel in members:
            arguments = ", ".join(inspect.signature(kernel).parameters)
            term = nodes.term("", "", nodes.strong("", "", nodes.literal("", name)), ids=[name])
            term += nodes.literal("", f"({arguments})")
            first, rest = first_sentence(kernel.__doc__)
            definition = nodes.definition("", nodes.paragraph("", "", *with_code(first)))
            if rest:
                unfolded = f"<details><summary>Arguments and details</summary><pre>{html.escape(rest)}</pre></details>"
                definition += nodes.raw("", unfolded, format="html")
            listed += nodes.definition_list_item("", term, definition)
            self.env.metadata[self.env.docname].setdefault("myst_slugs", {})[name] = (self.lineno, name, name)
        return listed


def commands():
    """Return the parsers of the commands by their names."""
    return importlib.import_module("fastfnn.cli.main")._parser()._subparsers._group_actions[0].choices


class Options(SphinxDirective):
    """The options of a command, in their groups."""

    required_arguments = 1

    def run(self):
        """Called by Sphinx."""
        parser = commands()[self.arguments[0]]
        formatter, shown = parser._get_formatter(), []
        for group in parser._action_groups:
            actions = [action for action in group._group_actions if action.dest != "help"]
            if actions:
                title = "arguments" if group.title == "positional arguments" else group.title
                shown += [nodes.rubric("", title), nodes.definition_list(classes=["options"])]
            for action in actions:
                told = formatter._expand_help(action) if action.help else ""
                name = formatter._format_action_invocation(action)
                term = nodes.term("", "", nodes.literal("", name))
                shown[-1] += nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", told)))
        return shown


def find_included(app, page, content):
    """Give `literalinclude` the path of a file of the repository from the folder that Sphinx reads."""
    folder = (HERE / page).parent

    def path(match):
        return f"{match[1]}/{os.path.relpath((folder / match[2]).resolve(), app.srcdir)}"

    content[0] = re.sub(r"(\{literalinclude\} +)(\S+)", path, content[0])


def name_rows(app, doctree):
    """Give each row of the tables of Experiments an anchor, its id, which links to itself."""
    if app.env.docname != EXPERIMENTS:
        return
    slugs = app.env.metadata[EXPERIMENTS].setdefault("myst_slugs", {})
    for table in doctree.findall(nodes.table):
        titles = [entry.astext() for entry in next(table.findall(nodes.thead)).findall(nodes.entry)]
        if titles[0] != "Id":
            continue
        table["classes"].append("experiments" if len(titles) == 6 else "special-cases")
        for row in next(table.findall(nodes.tbody)).findall(nodes.row):
            name = row[0].astext()
            literal = next(row[0].findall(nodes.literal))
            literal.replace_self(nodes.reference("", "", literal.deepcopy(), refid=name, internal=True))
            row["ids"].append(name)
            slugs[name] = (row.line or 0, name, name)


def break_names(app, doctree):
    """Let long names in tables break behind underscores, slashes, dots and the like."""
    for entry in doctree.findall(nodes.entry):
        for literal in entry.findall(nodes.literal):
            name = literal.astext()
            if len(name) > LONG_NAME:
                literal.clear()
                for part in re.findall(r"[^_/.(=]*[_/.(=]|[^_/.(=]+", name):
                    literal += [nodes.Text(part), nodes.raw("", "<wbr>", format="html")]


def inline_drawings(app, doctree):
    """Put drawings into the page itself."""
    for image in list(doctree.findall(nodes.image)):
        path = HERE / "_static" / pathlib.PurePosixPath(image["uri"]).name
        if path.suffix == ".svg" and path.is_file():
            drawing, text = path.read_text("utf-8"), html.escape(image.get("alt", ""), quote=True)
            drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{text}" ', 1)
            image.replace_self(nodes.raw("", f'<span class="drawing">{drawing}</span>', format="html"))


def setup(app):
    """Called by Sphinx."""
    app.add_directive("kernels-contract", Contract)
    app.add_directive("kernels-map", Map)
    app.add_directive("kernels-list", List)
    app.add_directive("command-options", Options)
    app.connect("source-read", find_included)
    app.connect("doctree-read", name_rows)
    app.connect("doctree-read", break_names)
    app.connect("doctree-read", inline_drawings, priority=400)  # before Sphinx collects pictures
    return {"parallel_read_safe": True}
