"""The figures on pages of the site: tables and charts made from recorded measurements when the site is built.

A page asks for some by a comment, `<!-- figures: peers -->`, which tools/docs.py has replaced by `with_figures`. Charts
are written beside the page. `make picture` draws that of the README from the newest comparison with other libraries,
`make picture ARGS=xeon-2-cores` from one of that name.
"""

import pathlib
import re
import sys
from collections.abc import Callable, Mapping

import site_cold_start
import site_history
import site_neighbours
import site_peers
import site_scaling
import site_tabular

from fastfnn.bench import report

MARK = re.compile(r"^<!-- figures: (?P<name>.*?) -->$", re.MULTILINE)

# Each writes its charts into a folder and returns Markdown that shows them from there.
FIGURES: dict[str, Callable[[pathlib.Path], str]] = {
    "peers": site_peers.figures,
    "peers, newest chart": site_peers.newest_chart,
    "peers, cases": site_peers.cases,
    "peers, printed": site_peers.printed,
    "history": site_history.figures,
    "neighbours": site_neighbours.figures,
    "neighbours, states": site_neighbours.states,
    "neighbours, promise": site_neighbours.promise,
    "cold start": site_cold_start.figures,
    "cold start, by version": site_history.first_fit,
    "scaling, assumptions": site_scaling.assumptions,
    "scaling, machine": site_scaling.machine,
    "scaling, threads": site_scaling.on_threads,
    "scaling, ranks": site_scaling.on_ranks,
    "scaling, cores": site_scaling.on_cores,
    "scaling, machines": site_scaling.on_machines,
    "scaling, worth": site_scaling.worth,
    "scaling, even": site_scaling.even,
    "scaling, averages": site_scaling.averages,
    "tabular, conditions": site_tabular.conditions,
    "tabular, chart": site_tabular.chart,
    "tabular, scores": site_tabular.scores,
    "tabular, step": site_tabular.step,
    "tabular, study": site_tabular.study,
}


def with_figures(markdown: str, folder: pathlib.Path, given: Mapping[str, str]) -> str:
    """Return a page with figures in place of the comments.

    folder  where the page will lie
    given   more figures, by their names
    """

    def figures(match: re.Match[str]) -> str:
        name = match["name"]
        if name in given:
            return given[name]
        if name not in FIGURES:
            raise ValueError(f"'{match[0]}' must name one of {', '.join([*FIGURES, *given])}")
        return FIGURES[name](folder)

    return MARK.sub(figures, markdown)


def main(picture: str, name: str | None = None) -> None:
    """Draw the chart of the newest comparison, or of one in benchmarks/peers."""
    report.plot(site_peers.read()[name] if name else site_peers.newest()[1], picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
