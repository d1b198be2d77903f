"""The history in the dashboard: asv's own pages, changed so that they load nothing from the network."""

import json
import re
import shutil
import subprocess
import sys

from dashboard_page import DashboardError

# The addresses that asv's page loads, and the files that take their place, in the packages that npm installs as
# package.json says. Flot and its plug-ins are not minified there.
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


def results_folder(config):
    """The folder of asv's results; None if nothing has been measured yet."""
    from asv.config import Config
    from asv.util import UserError

    try:
        folder = config.absolute().parent / Config.load(config).results_dir
    except UserError as error:
        raise DashboardError(str(error)) from error
    return folder if (folder / "benchmarks.json").exists() and any(folder.glob("*/machine.json")) else None


def publish(config, web, out):
    """Let asv write its pages into `out`, then add the files that they load and links to the other pages."""
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
    """Copy the files that asv's page loads from the packages in `web`; returns the names of the copies by address."""
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
    """Remove benchmarks without a result from asv's list, which would show an empty graph for each."""
    from asv.util import sanitize_filename

    path = out / "index.json"
    index = json.loads(path.read_text("utf-8"))
    for name in list(index["benchmarks"]):
        if not (out / "graphs/summary" / f"{sanitize_filename(name)}.json").exists():
            del index["benchmarks"][name]
    path.write_text(json.dumps(index), "utf-8")


def with_local_files(page, copies):
    """asv's page, changed to load the copies in web/ as far as there are any."""

    def local(match):
        if match["url"] in copies:
            return f'{match["attribute"]}="web/{copies[match["url"]]}"'
        if match["url"] not in PACKAGED:
            print(f"dashboard: asv's page needs the network for {match['url']}", file=sys.stderr)
        return match[0]

    # asv's page has checksums for what it loads, and for nothing else. A copy may differ: it is not minified.
    return re.sub(r'(?P<attribute>src|href)="(?P<url>https?://[^"]+)" integrity="[^"]*"', local, page)


def with_links(page):
    """asv's page with links to the other pages at the end of its menu."""
    links = '<li><a href="../peers.html">Other libraries</a></li>\n<li><a href="../index.html">Start</a></li>'
    return re.sub(r'<li id="nav-li-regressions">.*?</li>', rf"\g<0>{links}", page, flags=re.DOTALL)
