"""The page of the dashboard that compares fastfnn with other libraries, from recorded results of `fastfnn bench`."""

import base64
import pathlib
import tempfile

from dashboard_page import bullets, escaped, page

from fastfnn.bench import report

EXPLANATION = (
    "Every library trains the same network from the same weights on the same batches (or predicts the same rows), in a "
    "process of its own and in the form that its users would write. It is timed only if its first losses (or "
    "predictions) agree with those of a plain NumPy reference.",
    "A time is that of one training step (or of predicting all rows): the median of several rounds in which the "
    "libraries take turns. The number below it is its ratio to fastfnn's time: above 1x, fastfnn is faster.",
    "The last column is the share of the processor's peak that fastfnn reaches: floating-point operations of the "
    "network per second, relative to the best rate of fastfnn's innermost loop on the same machine in the same run.",
)


def peers_page(recordings):
    """A section with a chart and a table for each machine."""
    sections = [_section(name, result) for name, result in recordings.items()]
    if not sections:
        sections = ["<p>Nothing has been recorded yet: run make peers with --json first.</p>"]
    return page(
        "fastfnn beside other libraries",
        '<p><a href="index.html">Start</a></p>',
        bullets(EXPLANATION),
        "<p><code>make peers</code> measures the same on your machine.</p>",
        bullets(map(title_of, recordings.values()), recordings) if len(recordings) > 1 else "",
        *sections,
    )


def _section(name, result):
    settings = result["settings"]
    conditions = (
        result["machine"]["system"],
        f"threads: {settings['threads'] or 'the default of each library'}",
        f"{settings['rounds']} rounds of about {settings['seconds']:g} s",
    )
    versions = (f"{library} {version}" for library, version in result["versions"].items())
    return "\n".join(
        [
            f'<h2 id="{escaped(name)}">{escaped(title_of(result))}</h2>',
            f"<p>{escaped('; '.join(conditions))}<br>\n{escaped(', '.join(versions))}</p>",
            f'<div class="wide"><img src="{_chart(result)}" alt="The ratios of the table below as bars"></div>',
            _table(result),
            bullets(_remarks(result)),
        ]
    )


def _chart(result):
    """The bar chart as a data URL."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "chart.png")
        report.plot(result, path)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _table(result):
    """The table of microseconds per step, each with its ratio to fastfnn's time below it."""
    names = ["fastfnn", *result["settings"]["peers"]]
    titles = "".join(f"<th>{escaped(report.TITLES.get(name, name))}</th>" for name in names)
    rows = ""
    for case in result["cases"]:
        share = case["libraries"]["fastfnn"].get("share_of_peak")
        cells = [_cell(case["libraries"].get(name, {}), ratio=name != "fastfnn") for name in names]
        cells.append(f"<td>{share:.0%}</td>" if share else "<td>-</td>")
        title = f"<td><b>{escaped(case['name'])}</b><small>{escaped(case['description'])}</small></td>"
        rows += f"<tr>{title}{''.join(cells)}</tr>\n"
    head = f"<tr><th>microseconds a step</th>{titles}<th>of peak</th></tr>"
    table = f"<thead>\n{head}\n</thead>\n<tbody>\n{rows}</tbody>"
    return f'<div class="wide"><table class="times">\n{table}\n</table></div>'


def _cell(library, *, ratio):
    if "median_us" not in library:
        return f"<td>{'failed' if 'error' in library else '-'}</td>"
    us = library["median_us"]
    time = f"{us:,.0f}" if us >= 1000 else f"{us:.1f}"
    multiple = f"<small>{library['ratio']:.2f}x</small>" if ratio and library.get("ratio") else ""
    return f"<td>{time}{multiple}</td>"


def _remarks(result):
    """Remarks on single figures, each once with the cases that it concerns, and the libraries that are missing."""
    concerned = {}
    for case in result["cases"]:
        for name, library in case["libraries"].items():
            said = [library.get(key) for key in ("error", "unsupported", "variant")] + library.get("remarks", [])
            for remark in filter(None, said):
                concerned.setdefault(f"{report.TITLES.get(name, name)}: {remark}", []).append(case["name"])
    lines = [f"{remark} ({', '.join(names)})" for remark, names in concerned.items()]
    absent = [title for name, title in report.TITLES.items() if name not in ("fastfnn", *result["settings"]["peers"])]
    return [*lines, f"Not measured on this machine: {', '.join(absent)}"] if absent else lines


def title_of(result):
    """The heading of a result: its machine and dtype."""
    return f"{result['machine']['cpu']}, {result['machine']['cores']} cores, {result['settings']['dtype']}"
