"""The page of the dashboard on calls beside other processes, from results of `fastfnn bench --neighbours`."""

from dashboard_page import bullets, escaped, page
from dashboard_recordings import read_recordings

from fastfnn.bench.neighbours import report, verdict
from fastfnn.bench.neighbours.states import STATES

OURS = "fastfnn"

EXPLANATION = (
    "A call that runs on several threads waits for the last of them, and that may be long if another process has taken "
    "its core. The table has the mean of each call in microseconds: on a quiet machine, beside other processes, with "
    "the time of one CPU, and after a pause. Below it stand its ratio to the library's own quiet mean, and the 99th "
    "percentile.",
    "What fastfnn promises for two cores, beside other processes and with the time of one CPU: a mean of at most "
    f"{verdict.MOST_TIMES_QUIET:g} times the quiet mean, a 99th percentile of at most "
    f"{verdict.MOST_P99_OVER_QUIET_US / 1000:g} ms above it; and in every state at most "
    f"{verdict.MOST_TIMES_ONE_THREAD:g} times the mean on one thread. A figure beyond that is marked by !.",
)


def read_neighbours(folder):
    """The results in a folder, by file name."""
    return read_recordings(
        folder, "fastfnn bench --neighbours", ("date", "machine", "versions", "settings", "calls", "broken", "remarks")
    )


def neighbours_page(recordings):
    """A section with a table for each machine."""
    return page(
        "Beside other processes",
        '<p><a href="index.html">Start</a></p>',
        bullets(EXPLANATION),
        "<p><code>make neighbours</code> measures the same on your machine.</p>",
        bullets(map(title_of, recordings.values()), recordings) if len(recordings) > 1 else "",
        *(_section(name, result) for name, result in recordings.items()),
    )


def title_of(result):
    """The heading of a result: its machine and date."""
    return f"{result['machine']['cpu']}, {result['machine']['cores']} cores, {result['date']}"


def _section(name, result):
    conditions = "<br>\n".join(map(escaped, report.conditions(result)))
    remarks = [*report.remarks(result), *(report.breaches(result) if result["broken"] else ())]
    return "\n".join(
        [
            f'<h2 id="{escaped(name)}">{escaped(title_of(result))}</h2>',
            f"<p>{conditions}</p>",
            _table(result),
            bullets(remarks),
        ]
    )


def _table(result):
    """A row for each call and library, a column for each state."""
    states = result["settings"]["states"]
    broken = {(entry["call"], entry["state"]) for entry in result["broken"]}
    rows = ""
    for call in result["calls"]:
        for library in dict.fromkeys(name for state in states for name in call["states"][state]):
            cells = [
                _cell(call["states"][state].get(library, {}), library == OURS and (call["name"], state) in broken)
                for state in states
            ]
            if not any("small" in cell for cell in cells):
                continue  # the library does not have the call
            what = f"<b>{escaped(call['name'])}</b><small>{escaped(call['description'])}</small>"
            title = what if library == OURS else ""
            rows += (
                f"<tr><td>{title}</td><td>{escaped(report.TITLES.get(library, library))}</td>{''.join(cells)}</tr>\n"
            )
    titles = "".join(f"<th>{escaped(STATES[state].title)}</th>" for state in states)
    head = f"<tr><th>microseconds a call</th><th></th>{titles}</tr>"
    table = f"<thead>\n{head}\n</thead>\n<tbody>\n{rows}</tbody>"
    return f'<div class="wide"><table class="times">\n{table}\n</table></div>'


def _cell(figures, marked):
    if "mean_us" not in figures:
        return f"<td>{'failed' if 'error' in figures else '-'}</td>"
    mean, p99 = report.microseconds(figures["mean_us"]), report.microseconds(figures["p99_us"])
    ratio = figures["times_quiet"]
    times = f"{ratio:.2f}x, " if ratio else ""
    return f"<td>{mean}{' !' if marked else ''}<small>{times}p99 {p99}</small></td>"
