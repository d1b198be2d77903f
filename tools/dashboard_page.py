"""What the pages of dashboard.py share: the document around them, lists, escaped text, the error for bad input."""

import html

STYLE = """
body { max-width: 80rem; margin: 0 auto; padding: 1rem; background: #fff; color: #1a1a1a;
       font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
p, ul { max-width: 50rem; }
ul { padding-left: 1.2rem; }
a { color: #0050a0; }
small { display: block; color: #555; font-size: .85rem; }
.wide { overflow-x: auto; overflow-wrap: normal; margin: 1rem 0; }
img { display: block; max-width: 100%; min-width: 40rem; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid #ccc; text-align: right; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
.times td:first-child { min-width: 11rem; }
.versions td { text-align: left; }
"""


class DashboardError(Exception):
    """Something that the user can correct; the message says how."""


def page(title, *parts):
    """A document with a heading; empty parts are left out."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # else a browser asks for favicon.ico
            f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{escaped(title)}</h1>",
            *filter(None, parts),
            "</body>\n</html>\n",
        ]
    )


def bullets(lines, targets=None):
    """A list of lines. With `targets`, the ids of sections of the page, each line is a link to one."""
    items = list(map(escaped, lines))
    if targets:
        items = [f'<a href="#{escaped(target)}">{item}</a>' for item, target in zip(items, targets, strict=True)]
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>" if items else ""


def escaped(value):
    """Text that HTML does not take for markup."""
    return html.escape(str(value))
