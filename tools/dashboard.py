"""The pages that show how fast fastfnn is: its history, by asv, and the times of other libraries for the same work.

index.html         leads to the others (this file)
peers.html         the results of `fastfnn bench` that are kept in benchmarks/peers (dashboard_peers.py)
neighbours.html    those of `fastfnn bench --neighbours` in benchmarks/neighbours (dashboard_neighbours.py)
history/           asv's pages (dashboard_history.py), in a folder of their own because asv empties it first
"""

import argparse
import contextlib
import functools
import http.server
import json
import pathlib
import sys
import webbrowser

from dashboard_history import publish, results_folder
from dashboard_neighbours import neighbours_page, read_neighbours
from dashboard_neighbours import title_of as date_and_machine
from dashboard_page import DashboardError, bullets, escaped, page
from dashboard_peers import peers_page, title_of
from dashboard_recordings import read_recordings

ROOT = pathlib.Path(__file__).absolute().parents[1]
BENCHMARKS = ROOT / "benchmarks"
EXIT_BAD_INPUT = 2


def main(arguments=None):
    """Build the pages; returns the exit status: 0, or 2 after a message."""
    options = _parser().parse_args(arguments)
    try:
        build(options.config, options.peers, options.neighbours, options.web, options.out)
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
    add(
        "--peers",
        type=pathlib.Path,
        default=BENCHMARKS / "peers",
        help="folder with results of fastfnn bench (%(default)s)",
    )
    add(
        "--neighbours",
        type=pathlib.Path,
        default=BENCHMARKS / "neighbours",
        help="folder with results of fastfnn bench --neighbours (%(default)s)",
    )
    add("--web", type=pathlib.Path, default=ROOT / ".asv/web", help="folder with npm's packages (%(default)s)")
    return parser


def build(config, peers, neighbours, web, out):
    """Write the pages into `out`, without the parts for which nothing has been recorded yet."""
    results = results_folder(config)
    recordings, beside_others = read_recordings(peers), read_neighbours(neighbours)
    if not results and not recordings and not beside_others:
        raise DashboardError("nothing has been recorded yet: run make history, or make peers with --json, first")
    if out.exists() and not (out.is_dir() and ((out / "peers.html").exists() or not any(out.iterdir()))):
        raise DashboardError(f"--out must be a new or an empty folder, or an earlier dashboard, got {out}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "peers.html").write_text(peers_page(recordings), "utf-8")
    (out / "neighbours.html").unlink(missing_ok=True)
    if beside_others:
        (out / "neighbours.html").write_text(neighbours_page(beside_others), "utf-8")
    if results:
        publish(config, web, out / "history")
    (out / "index.html").write_text(start_page(results, recordings, beside_others), "utf-8")


def serve(out):
    """Show the pages in a browser until Ctrl-C."""
    with server(out) as running:
        url = f"http://127.0.0.1:{running.server_port}/"
        print(f"{url} until Ctrl-C", flush=True)
        webbrowser.open(url)
        with contextlib.suppress(KeyboardInterrupt):
            running.serve_forever()


def server(out):
    """A web server for the folder, on a free port, which only this machine can reach."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=out))


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        """Say nothing."""


def start_page(results, recordings, beside_others):
    """Links to the other pages, and the machines on which something has been recorded."""
    history = peers = "Nothing has been recorded yet."
    if results:
        history = (
            '<a href="history/index.html">All benchmarks, version by version</a>. A graph has a point for a version; '
            "lower times are better. The buttons beside it choose what is drawn; <q>even commit spacing</q> separates "
            "versions that lie close together."
        )
    if recordings:
        peers = '<a href="peers.html">What other libraries take for the same work</a>'
    return page(
        "How fast fastfnn is",
        f"<h2>Other libraries</h2>\n<p>{peers}</p>",
        bullets(map(title_of, recordings.values())),
        _beside_others(beside_others),
        f"<h2>History</h2>\n<p>{history}</p>",
        bullets(_machines(results)),
        _versions(results),
    )


def _beside_others(recordings):
    """The link to the page on calls beside other processes, if there is one."""
    if not recordings:
        return ""
    link = '<a href="neighbours.html">What short calls take while other processes want the same cores</a>'
    return f"<h2>Other processes</h2>\n<p>{link}</p>\n{bullets(map(date_and_machine, recordings.values()))}"


def _machines(results):
    """The processors on which asv's results were measured."""
    paths = sorted(results.glob("*/machine.json")) if results else []
    machines = [json.loads(path.read_text("utf-8")) for path in paths]
    return [
        f"{machine.get('cpu') or machine['machine']}, {machine.get('num_cpu') or '?'} cores" for machine in machines
    ]


def _versions(results):
    """The table of benchmarks/versions.txt, the versions that `make history` measures."""
    path = BENCHMARKS / "versions.txt"
    if not results or not path.exists():
        return ""
    lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    rows = "\n".join(f"<tr><td><code>{escaped(name)}</code></td><td>{escaped(what)}</td></tr>" for name, what in lines)
    return f'<table class="versions">\n{rows}\n</table>'


if __name__ == "__main__":
    sys.exit(main())
