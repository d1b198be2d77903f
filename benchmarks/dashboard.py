"""The pages that show how fast fastfnn is: its history, by asv, and what other libraries take for the same work.

index.html leads to the others, peers.html shows the results of `fastfnn bench` that are kept in benchmarks/peers, and
history/ holds asv's pages: in a folder of their own, because asv empties it first.
"""

# asv imports every module of this folder, beside old versions of fastfnn too: only Python's own library stands here.
import argparse
import base64
import contextlib
import functools
import html
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import webbrowser

HERE = pathlib.Path(__file__).absolute().parent
ROOT = HERE.parent
EXIT_BAD_INPUT = 2

# What asv's page loads from the network, and the file of a package that takes its place: npm installs the packages that
# package.json names. Flot and its plug-ins are not minified there.
CDNJS = "https://cdnjs.cloudflare.com/ajax/libs"
JSDELIVR = "https://cdn.jsdelivr.net/npm"
PACKAGED = {
    "https://code.jquery.com/jquery-3.3.1.min.js": "jquery/dist/jquery.min.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.min.js": "jquery.flot/jquery.flot.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.time.min.js": "jquery.flot/jquery.flot.time.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.selection.min.js": "jquery.flot/jquery.flot.selection.js",
    f"{CDNJS}/flot/0.8.3/jquery.flot.categories.min.js": "jquery.flot/jquery.flot.categories.js",
    f"{JSDELIVR}/flot-orderbars@1.0.0/js/jquery.flot.orderBars.js": "flot-orderbars/js/jquery.flot.orderBars.js",
    f"{CDNJS}/stupidtable/1.0.1/stupidtable.min.js": "stupid-table-plugin/stupidtable.min.js",
    f"{CDNJS}/blueimp-md5/2.19.0/js/md5.min.js": "blueimp-md5/js/md5.min.js",
    f"{JSDELIVR}/bootstrap@3.1.1/dist/js/bootstrap.min.js": "bootstrap/dist/js/bootstrap.min.js",
    f"{JSDELIVR}/bootstrap@3.1.1/dist/css/bootstrap.min.css": "bootstrap/dist/css/bootstrap.min.css",
}

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

EXPLANATION = (
    "Every library trains the same network from the same weights on the same batches (or predicts the same rows), in a "
    "process of its own, in the form that its own users would write, and is timed only if its first losses (or "
    "predictions) agree with those of a plain NumPy reference.",
    "A time is that of one training step (or of predicting all rows), the median of several rounds in which the "
    "libraries take turns, and below it stands how many times as long as fastfnn the library took: above 1x, fastfnn "
    "is the faster one.",
    "The last column is the share of the processor's arithmetic that fastfnn turned into useful work: the operations "
    "of the network itself, beside what fastfnn's innermost loop reached at best on the same machine in the same run.",
)


class DashboardError(Exception):
    """What the user can mend; the message says how."""


def main(arguments=None):
    """Build the pages; returns the exit status: 0, or 2 after a message."""
    options = _parser().parse_args(arguments)
    try:
        build(options.config, options.peers, options.web, options.out)
    except (DashboardError, ImportError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(f"dashboard: {options.out / 'index.html'}")
    if options.open:
        serve(options.out)
    else:
        print("asv's pages load their data from a web server: --open starts one, and a browser")
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="dashboard", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--out", type=pathlib.Path, default=ROOT / ".asv/dashboard", help="folder for the pages (%(default)s)")
    add("--open", action="store_true", help="serve the pages on this machine and open them in a browser")
    add("--config", type=pathlib.Path, default=ROOT / "asv.conf.json", help="asv's configuration (%(default)s)")
    add("--peers", type=pathlib.Path, default=HERE / "peers", help="folder with results of fastfnn bench (%(default)s)")
    add("--web", type=pathlib.Path, default=ROOT / ".asv/web", help="folder with npm's packages (%(default)s)")
    return parser


def build(config, peers, web, out):
    """Write all pages into `out`, of which a part that nobody has recorded yet is left out."""
    results = results_folder(config)
    recordings = read_recordings(peers)
    if not results and not recordings:
        raise DashboardError("nothing has been recorded yet: run make history, or make peers with --json, first")
    if out.exists() and not (out.is_dir() and ((out / "peers.html").exists() or not any(out.iterdir()))):
        raise DashboardError(f"--out must be a new or an empty folder, or an earlier dashboard, got {out}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.html").write_text(peers_page(recordings), "utf-8")
    if results:
        publish(config, web, out / "history")
    (out / "index.html").write_text(start_page(results, recordings), "utf-8")


def serve(out):
    """Show the pages in a browser until Ctrl-C."""
    with server(out) as running:
        url = f"http://127.0.0.1:{running.server_port}/"
        print(f"{url} until Ctrl-C", flush=True)
        webbrowser.open(url)
        with contextlib.suppress(KeyboardInterrupt):
            running.serve_forever()


def server(out):
    """A web server for the folder, on a free port of this machine alone."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=out))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        """Say nothing."""


# The history


def results_folder(config):
    """The folder of asv's results; None if there are none yet."""
    from asv.config import Config
    from asv.util import UserError

    try:
        folder = config.absolute().parent / Config.load(config).results_dir
    except UserError as error:
        raise DashboardError(str(error)) from error
    return folder if (folder / "benchmarks.json").exists() and any(folder.glob("*/machine.json")) else None


def publish(config, web, out):
    """Let asv write its pages, then give them what they would load from the network, and links to the others."""
    command = [sys.executable, "-m", "asv", "publish", "--no-pull", "--config", config, "--html-dir", out.absolute()]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise DashboardError(f"asv publish ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    if unknown := done.stdout.count("Couldn't find"):
        print(f"dashboard: left out {unknown} results of commits that are not on the branches", file=sys.stderr)
    drop_unmeasured(out)
    page = out / "index.html"
    page.write_text(with_links(with_local_files(page.read_text("utf-8"), copy_packaged(web, out / "web"))), "utf-8")


def copy_packaged(web, out):
    """Copy what asv's page loads from the packages in `web`; returns the names of the copies by their addresses."""
    paths = {url: web / "node_modules" / path for url, path in PACKAGED.items()}
    found = {url: path for url, path in paths.items() if path.is_file()}
    if missing := len(paths) - len(found):
        print(
            f"dashboard: asv's pages will need the network: {missing} of their files are not in "
            f"{web / 'node_modules'}; install npm, then make dashboard puts them there",
            file=sys.stderr,
        )
    out.mkdir()
    for path in found.values():
        shutil.copyfile(path, out / path.name)
    return {url: path.name for url, path in found.items()}


def drop_unmeasured(out):
    """Take benchmarks without a result out of asv's list: it would show an empty graph for each."""
    from asv.util import sanitize_filename

    path = out / "index.json"
    index = json.loads(path.read_text("utf-8"))
    for name in list(index["benchmarks"]):
        if not (out / "graphs/summary" / f"{sanitize_filename(name)}.json").exists():
            del index["benchmarks"][name]
    path.write_text(json.dumps(index), "utf-8")


def with_local_files(page, copies):
    """asv's page, that loads the copies in web/ where there are any."""

    def local(match):
        if match["url"] in copies:
            return f'{match["attribute"]}="web/{copies[match["url"]]}"'
        if match["url"] not in PACKAGED:
            print(f"dashboard: asv's page needs the network for {match['url']}", file=sys.stderr)
        return match[0]

    # Among the links to other sites, only what is loaded has a checksum. That of a copy may differ: see PACKAGED.
    return re.sub(r'(?P<attribute>src|href)="(?P<url>https?://[^"]+)" integrity="[^"]*"', local, page)


def with_links(page):
    """asv's page, with the other pages at the end of its menu."""
    links = '<li><a href="../peers.html">Other libraries</a></li>\n<li><a href="../index.html">Start</a></li>'
    return re.sub(r'<li id="nav-li-regressions">.*?</li>', rf"\g<0>{links}", page, flags=re.DOTALL)


# The start page


def start_page(results, recordings):
    """Where to go, and what has been recorded on which machines."""
    history = peers = "Nothing has been recorded yet."
    if results:
        history = (
            '<a href="history/index.html">All benchmarks, version by version</a>. A graph has a point for a version; '
            "the lower a time, the better. The buttons beside it choose what is drawn; <q>even commit spacing</q> "
            "keeps versions from lying upon each other."
        )
    if recordings:
        peers = '<a href="peers.html">What other libraries take for the same work</a>'
    return _page(
        "How fast fastfnn is",
        f"<h2>Other libraries</h2>\n<p>{peers}</p>",
        _list(map(_title, recordings.values())),
        f"<h2>History</h2>\n<p>{history}</p>",
        _list(_machines(results)),
        _versions(results),
    )


def _machines(results):
    """The processors of the machines that asv's results are from."""
    paths = sorted(results.glob("*/machine.json")) if results else []
    machines = [json.loads(path.read_text("utf-8")) for path in paths]
    return [
        f"{machine.get('cpu') or machine['machine']}, {machine.get('num_cpu') or '?'} cores" for machine in machines
    ]


def _versions(results):
    """What benchmarks/versions.txt says of the versions that `make history` measures."""
    path = HERE / "versions.txt"
    if not results or not path.exists():
        return ""
    lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    rows = "\n".join(f"<tr><td><code>{_text(name)}</code></td><td>{_text(what)}</td></tr>" for name, what in lines)
    return f'<table class="versions">\n{rows}\n</table>'


# The comparison with other libraries


def read_recordings(folder):
    """The results of `fastfnn bench --json` in a folder by the names of their files."""
    recordings = {}
    for path in sorted(folder.glob("*.json")):
        try:
            result = json.loads(path.read_text("utf-8"))
            missing = {"machine", "versions", "settings", "cases"} - set(result)
        except (ValueError, TypeError) as error:
            raise DashboardError(f"{path} must be a result of fastfnn bench --json: {error}") from error
        if missing:
            raise DashboardError(f"{path} must be a result of fastfnn bench --json: it lacks {', '.join(missing)}")
        recordings[path.stem] = result
    return recordings


def peers_page(recordings):
    """A section with a chart and a table for each machine."""
    sections = [_section(name, result) for name, result in recordings.items()]
    if not sections:
        sections = ["<p>Nothing has been recorded yet: run make peers with --json first.</p>"]
    return _page(
        "fastfnn beside other libraries",
        '<p><a href="index.html">Start</a></p>',
        _list(EXPLANATION),
        "<p><code>make peers</code> measures the same on your machine.</p>",
        _list(map(_title, recordings.values()), recordings) if len(recordings) > 1 else "",
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
            f'<h2 id="{_text(name)}">{_text(_title(result))}</h2>',
            f"<p>{_text('; '.join(conditions))}<br>\n{_text(', '.join(versions))}</p>",
            f'<div class="wide"><img src="{_chart(result)}" alt="The ratios of the table below as bars"></div>',
            _table(result),
            _list(_remarks(result)),
        ]
    )


def _chart(result):
    """The bar chart as an address that holds the whole picture."""
    from fastfnn.bench import report

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "chart.png")
        report.plot(result, path)
        return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def _table(result):
    """Microseconds a step, and below them the ratio to fastfnn's."""
    from fastfnn.bench import report

    names = ["fastfnn", *result["settings"]["peers"]]
    titles = "".join(f"<th>{_text(report.TITLES.get(name, name))}</th>" for name in names)
    rows = ""
    for case in result["cases"]:
        share = case["libraries"]["fastfnn"].get("share_of_peak")
        cells = [_cell(case["libraries"].get(name, {}), ratio=name != "fastfnn") for name in names]
        cells.append(f"<td>{share:.0%}</td>" if share else "<td>-</td>")
        title = f"<td><b>{_text(case['name'])}</b><small>{_text(case['description'])}</small></td>"
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
    """What needs saying on single figures, each thing once, and which libraries are missing."""
    from fastfnn.bench import report

    concerned = {}
    for case in result["cases"]:
        for name, library in case["libraries"].items():
            said = [library.get(key) for key in ("error", "unsupported", "variant")] + library.get("remarks", [])
            for remark in filter(None, said):
                concerned.setdefault(f"{report.TITLES.get(name, name)}: {remark}", []).append(case["name"])
    lines = [f"{remark} ({', '.join(names)})" for remark, names in concerned.items()]
    absent = [title for name, title in report.TITLES.items() if name not in ("fastfnn", *result["settings"]["peers"])]
    return [*lines, f"Not measured on this machine: {', '.join(absent)}"] if absent else lines


# HTML


def _page(title, *parts):
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # a browser would look for favicon.ico otherwise
            f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<h1>{_text(title)}</h1>",
            *filter(None, parts),
            "</body>\n</html>\n",
        ]
    )


def _list(lines, targets=None):
    """A list, each line of which leads to a section of the page if `targets` names them."""
    items = list(map(_text, lines))
    if targets:
        items = [f'<a href="#{_text(target)}">{item}</a>' for item, target in zip(items, targets, strict=True)]
    return "<ul>\n" + "\n".join(f"<li>{item}</li>" for item in items) + "\n</ul>" if items else ""


def _title(result):
    return f"{result['machine']['cpu']}, {result['machine']['cores']} cores, {result['settings']['dtype']}"


def _text(value):
    return html.escape(str(value))


if __name__ == "__main__":
    sys.exit(main())
