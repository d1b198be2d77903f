"""The pages of tools/dashboard.py: what they say, and that a browser without a network shows them."""

import contextlib
import html
import json
import pathlib
import re
import shutil
import sys
import threading

import pytest
from headless import absent, no_errors, phone, wait
from programs import ROOT, TOOLS, environment_without, git, run, tool, write

pytestmark = pytest.mark.skipif(not TOOLS.is_dir(), reason="the tools are not beside the tests")

dashboard, history_pages, peers_pages = map(tool, ("dashboard", "dashboard_history", "dashboard_peers"))
neighbours_pages, recorded = map(tool, ("dashboard_neighbours", "dashboard_recordings"))

# A benchmark with four series and one with a single series, which asv runs quickly.
SUITE = """
class Suite:
    params = [[1, 2], ["a", "b"]]
    param_names = ["size", "<i>kind</i>"]

    def track_size(self, size, kind):
        return size * (2 if kind == "b" else 1)

def time_sum():
    sum(range(100))

def time_that_is_not_run():
    pass
"""
CONFIG = {
    "version": 1,
    "project": "small",
    "repo": ".",
    "branches": ["main"],
    "environment_type": "existing",
    "results_dir": "results",
}


def recording(*cases, peers=("numpy", "torch")):
    """A result of `fastfnn bench` for these cases, with names that contain markup."""
    return {
        "machine": {"cpu": "<script>document.title = 'run'</script> & Co", "cores": 3, "system": "Linux"},
        "versions": {"fastfnn": "0.1.0", "numpy": '2.0"<b>'},
        "settings": {"dtype": "float32", "rounds": 7, "seconds": 0.5, "threads": None, "peers": list(peers)},
        "peak_gflops": 100.0,
        "cases": [
            {"name": name, "description": f"{name} <of> it", "libraries": libraries} for name, libraries in cases
        ],
    }


OURS = {"us": [2000.0], "median_us": 2000.0, "ratio": 1.0, "share_of_peak": 0.654, "variant": "", "remarks": []}
NUMPY = {"us": [5000.0], "median_us": 5000.0, "ratio": 2.5, "variant": "", "remarks": ["<warm>"]}
FAILED = {"us": [], "error": "it fell over: <Error>"}
UNSUPPORTED = {"us": [], "unsupported": "no such <loss>"}


@pytest.fixture
def peers(tmp_path):
    """A folder with one recording of two cases: PyTorch fails in the first and does not support the second."""
    folder = tmp_path / "peers"
    folder.mkdir()
    cases = [
        ("large", {"fastfnn": OURS, "numpy": NUMPY, "torch": FAILED}),
        ("tiny", {"fastfnn": OURS | {"median_us": 3.25, "share_of_peak": None}, "numpy": NUMPY, "torch": UNSUPPORTED}),
    ]
    (folder / "some machine.json").write_text(json.dumps(recording(*cases)), "utf-8")
    return folder


def make_history(folder):
    """A repository of three commits with results, asv's of the first for all; returns asv's configuration."""
    write(folder, {"benchmarks/__init__.py": "", "benchmarks/bench.py": SUITE, "asv.conf.json": json.dumps(CONFIG)})
    environment = environment_without("GIT_", HOME=str(folder), GIT_CONFIG_NOSYSTEM="1")

    def asv(*arguments):
        run(sys.executable, "-m", "asv", *arguments, cwd=folder, environment=environment)

    git(folder, "init", "--quiet", "--initial-branch=main")
    asv("machine", "--yes", "--machine=here", "--cpu=A processor", "--num_cpu=3")
    for number in range(3):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", number)
    first, *others = git(folder, "rev-list", "--reverse", "HEAD").split()
    measure = ("run", "--bench=track_size|time_sum", "--quick", "--python=same", "--machine=here")
    asv(*measure, "--set-commit-hash", first)
    (measured,) = (folder / "results/here").glob(f"{first[:8]}*.json")
    for commit in others:
        copy = measured.with_name(measured.name.replace(first[:8], commit[:8]))
        copy.write_text(json.dumps(json.loads(measured.read_text()) | {"commit_hash": commit}))
    return folder / "asv.conf.json"


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    if not shutil.which("git"):
        pytest.skip("needs git")
    pytest.importorskip("asv", reason="needs fastfnn[dev]")
    return make_history(tmp_path_factory.mktemp("history") / "repository")


def arguments(config, peers, out):
    """Of the command. Results beside other processes are looked for in the folder `neighbours` beside `peers`."""
    folders = ["--peers", str(peers), "--neighbours", str(peers.parent / "neighbours")]
    return ["--config", str(config), *folders, "--out", str(out)]


# What the pages say


def test_peers_page_holds_every_figure(peers):
    page = peers_pages.peers_page(recorded.read_recordings(peers))
    assert "<td>2,000</td><td>5,000<small>2.50x</small></td><td>failed</td><td>65%</td>" in page
    assert "<td>3.2</td><td>5,000<small>2.50x</small></td><td>-</td><td>-</td>" in page
    assert page.count('src="data:image/png;base64,') == 1
    assert "7 rounds of about 0.5 s" in page
    assert all(sentence in page for sentence in map(html.escape, peers_pages.EXPLANATION))


def test_peers_page_says_what_is_missing(peers):
    page = peers_pages.peers_page(recorded.read_recordings(peers))
    assert "<li>PyTorch: it fell over: &lt;Error&gt; (large)</li>" in page
    assert "<li>PyTorch: no such &lt;loss&gt; (tiny)</li>" in page
    assert "<li>NumPy: &lt;warm&gt; (large, tiny)</li>" in page
    assert "Not measured on this machine: notes&#x27; code (f64), JAX, scikit-learn" in page


def test_pages_are_escaped(peers):
    recordings = recorded.read_recordings(peers)
    for page in (peers_pages.peers_page(recordings), dashboard.start_page(None, recordings, {})):
        assert "&lt;script&gt;" in page
        assert not re.search('<(script|of|warm|Error|loss)|2.0"', page)


def test_peers_page_without_a_single_time(tmp_path):
    failed = recording(("large", {"fastfnn": FAILED, "numpy": FAILED}), peers=["numpy"])
    page = peers_pages.peers_page({"a": failed})
    assert page.count("<td>failed</td>") == 2
    assert "<li>fastfnn: it fell over" in page


def test_peers_page_has_a_section_for_each_machine():
    result = recording(("large", {"fastfnn": OURS, "numpy": NUMPY}), peers=["numpy"])
    page = peers_pages.peers_page({"a": result, "b": result})
    for name in "ab":
        assert f'<a href="#{name}">' in page and f'<h2 id="{name}">' in page


# Beside other processes


def beside_others():
    """A result of `fastfnn bench --neighbours` for one call, which is slow beside a busy process."""
    good = {"calls": 9, "median_us": 80.0, "mean_us": 90.5, "p99_us": 120.0, "max_us": 130.0, "round_means_us": [90.5]}
    good |= {"times_quiet": 1.0, "p99_over_quiet_us": 29.5, "times_one_thread": 0.7}
    slow = good | {"mean_us": 9050.0, "times_quiet": 100.0}
    one = good | {"times_one_thread": None}
    absent = {"unsupported": "no <gradient>"}
    libraries = {"quiet": good, "busy": slow}
    states = {name: {"fastfnn": ours, "fastfnn-1": one, "numpy": absent} for name, ours in libraries.items()}
    states["busy"]["fastfnn-1"] = {"error": "it fell over"}
    return {
        "date": "2026-01-31",
        "machine": {"cpu": "<script>document.title = 'run'</script> & Co", "cores": 2, "system": "Linux"},
        "versions": {"fastfnn": "0.3.0"},
        "settings": {
            **{"dtype": "float32", "rounds": 3, "seconds": 0.3, "peers": ["numpy"]},
            **{"states": ["quiet", "busy"], "environment": {}},
        },
        "calls": [{"name": "gradient", "description": "gradient <of> it", "states": states}],
        "broken": [{"call": "gradient", "state": "busy", "promise": "times_quiet", "value": 100.0, "limit": 2.5}],
        "remarks": ["without <quota>: none"],
    }


def test_neighbours_page_holds_every_figure():
    page = neighbours_pages.neighbours_page({"a": beside_others()})
    quiet, slow = "<td>90.5<small>1.00x, p99 120.0</small></td>", "<td>9,050 !<small>100.00x, p99 120.0</small></td>"
    assert f"<td>fastfnn</td>{quiet}{slow}</tr>" in page
    assert f"<td>fastfnn, 1 thread</td>{quiet}<td>failed</td></tr>" in page
    assert "<td>NumPy</td>" not in page  # it has no such call
    assert "<th>quiet</th><th>beside a busy process</th>" in page
    assert "<li>! gradient, beside a busy process: mean 100.0 times the quiet mean (at most 2.5)</li>" in page
    assert "<li>without &lt;quota&gt;: none</li>" in page and "NumPy: no &lt;gradient&gt;" in page
    assert "& Co, 2 cores, 2026-01-31</h2>".replace("&", "&amp;") in page and "3 rounds, 0.3 s" in page
    assert not re.search("<(script|of|quota|gradient)", page)


def test_neighbours_page_has_a_link_if_something_has_been_recorded(peers, tmp_path):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    (tmp_path / "neighbours").mkdir()
    (tmp_path / "neighbours/here.json").write_text(json.dumps(beside_others()))
    line = arguments(tmp_path / "asv.conf.json", peers, tmp_path / "out")
    assert dashboard.main(line) == 0
    start = (tmp_path / "out/index.html").read_text("utf-8")
    assert 'href="neighbours.html"' in start and "2 cores, 2026-01-31" in start
    assert "<h2" in (tmp_path / "out/neighbours.html").read_text("utf-8")
    (tmp_path / "neighbours/here.json").unlink()
    assert dashboard.main(line) == 0
    assert "neighbours.html" not in (tmp_path / "out/index.html").read_text("utf-8")
    assert not (tmp_path / "out/neighbours.html").exists()


def test_a_file_that_is_no_recording_beside_others(peers, tmp_path, capsys):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    (tmp_path / "neighbours").mkdir()
    (tmp_path / "neighbours/wrong.json").write_text(json.dumps(recording()))
    assert dashboard.main(arguments(tmp_path / "asv.conf.json", peers, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "wrong.json must be a result of fastfnn bench --neighbours --json: it lacks broken, calls, date" in error


# The command


def test_nothing_recorded(tmp_path, capsys):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    assert dashboard.main(arguments(tmp_path / "asv.conf.json", tmp_path / "peers", tmp_path / "out")) == 2
    assert "nothing has been recorded yet: run make history, or make peers" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_configuration(peers, tmp_path, capsys):
    assert dashboard.main(arguments(tmp_path / "asv.conf.json", peers, tmp_path / "out")) == 2
    assert "asv.conf.json not found" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"machine": {}}'])
def test_a_file_that_is_no_recording(text, tmp_path, capsys):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    (tmp_path / "peers").mkdir()
    (tmp_path / "peers/wrong.json").write_text(text)
    assert dashboard.main(arguments(tmp_path / "asv.conf.json", tmp_path / "peers", tmp_path / "out")) == 2
    assert "wrong.json must be a result of fastfnn bench --json" in capsys.readouterr().err


def test_a_folder_with_other_things_is_left_alone(peers, tmp_path, capsys):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    (tmp_path / "out/history").mkdir(parents=True)
    assert dashboard.main(arguments(tmp_path / "asv.conf.json", peers, tmp_path / "out")) == 2
    assert "--out must be a new or an empty folder" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out/history"]


def test_without_a_history(peers, tmp_path, capsys):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    for _ in range(2):  # the second time over the pages of the first
        assert dashboard.main(arguments(tmp_path / "asv.conf.json", peers, tmp_path / "out")) == 0
    assert str(tmp_path / "out/index.html") in capsys.readouterr().out
    assert "Nothing has been recorded yet" in (tmp_path / "out/index.html").read_text("utf-8")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["index.html", "peers.html"]


def test_without_a_comparison(history, tmp_path):
    assert dashboard.main(arguments(history, tmp_path, tmp_path / "out")) == 0
    start = (tmp_path / "out/index.html").read_text("utf-8")
    assert 'href="history/index.html"' in start and "A processor, 3 cores" in start
    assert "Nothing has been recorded yet" in (tmp_path / "out/peers.html").read_text("utf-8")


def test_asv_that_fails(history, peers, tmp_path, capsys):
    shutil.copytree(history.parent, tmp_path / "other")
    config = tmp_path / "other/asv.conf.json"
    config.write_text(json.dumps(CONFIG | {"branches": ["no-such-branch"]}))
    assert dashboard.main(arguments(config, peers, tmp_path / "out")) == 2
    assert "no-such-branch" in capsys.readouterr().err


def test_commits_that_are_not_on_the_branch_are_reported(history, peers, tmp_path, capsys):
    shutil.copytree(history.parent, tmp_path / "other")
    git(tmp_path / "other", "reset", "--quiet", "--soft", "HEAD~")
    assert dashboard.main(arguments(tmp_path / "other/asv.conf.json", peers, tmp_path / "out")) == 0
    assert "left out 1 results" in capsys.readouterr().err


def test_open_serves_the_pages(peers, tmp_path, monkeypatch, capsys):
    (tmp_path / "asv.conf.json").write_text(json.dumps(CONFIG))
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def interrupted(server):
        raise KeyboardInterrupt

    monkeypatch.setattr("http.server.ThreadingHTTPServer.serve_forever", interrupted)
    assert dashboard.main([*arguments(tmp_path / "asv.conf.json", peers, tmp_path / "out"), "--open"]) == 0
    assert opened[0].startswith("http://127.0.0.1:")
    assert f"{opened[0]} until Ctrl-C" in capsys.readouterr().out


# asv's page without a network


def asv_page():
    asv = pytest.importorskip("asv", reason="needs fastfnn[dev]")
    return pathlib.Path(asv.__file__).with_name("www") / "index.html"


def make_web(folder, paths):
    """A folder as npm leaves it, with these files in its packages. The text of a file is its path."""
    for path in paths:
        file = folder / "node_modules" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return folder


def loaded_addresses(page):
    """The addresses on other machines that a page loads."""
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page)
    return re.findall(r'(?:src|href)="((?:https?:)?//[^"]+)"', "\n".join(tags))


def test_all_that_asv_loads_from_the_network_is_in_a_package(tmp_path, capsys):
    before = asv_page().read_text("utf-8")
    assert sorted(loaded_addresses(before)) == sorted(history_pages.PACKAGED)
    paths = list(history_pages.PACKAGED.values())
    web = make_web(tmp_path / "web", [*paths, "jquery/dist/jquery.js"])
    page = history_pages.with_local_files(before, history_pages.copy_packaged(web, tmp_path / "copies"))
    assert capsys.readouterr().err == ""
    assert "integrity=" not in page and not loaded_addresses(page)
    copies = {path.name: path.read_text() for path in (tmp_path / "copies").iterdir()}
    assert sorted(copies.values()) == sorted(paths)
    assert all(f'"web/{name}"' in page for name in copies)


def test_what_is_not_installed_still_comes_from_the_network(tmp_path, capsys):
    before = asv_page().read_text("utf-8")
    assert history_pages.with_local_files(before, history_pages.copy_packaged(tmp_path, tmp_path / "none")) == before
    assert capsys.readouterr().err.count("\n") == 1
    url, *others = history_pages.PACKAGED
    web = make_web(tmp_path / "web", [history_pages.PACKAGED[url]])
    page = history_pages.with_local_files(before, history_pages.copy_packaged(web, tmp_path / "one"))
    assert sorted(loaded_addresses(page)) == sorted(others)
    assert page.count("integrity=") == len(others)
    said = capsys.readouterr().err
    assert f"{len(others)} of their files are not in {web / 'node_modules'}" in said and "make dashboard" in said


def test_pages_are_built_without_the_packages(history, peers, tmp_path, capsys):
    command = [*arguments(history, peers, tmp_path / "out"), "--web", str(tmp_path / "none")]
    assert dashboard.main(command) == 0
    page = (tmp_path / "out/history/index.html").read_text("utf-8")
    assert sorted(loaded_addresses(page)) == sorted(history_pages.PACKAGED)
    make_web(tmp_path / "web", history_pages.PACKAGED.values())
    command[-1] = str(tmp_path / "web")
    capsys.readouterr()
    assert dashboard.main(command) == 0
    assert capsys.readouterr().err == ""
    assert not loaded_addresses((tmp_path / "out/history/index.html").read_text("utf-8"))
    assert (tmp_path / "out/history/web/jquery.flot.js").read_text() == "jquery.flot/jquery.flot.js"


def test_what_is_in_no_package_is_reported(capsys):
    page = '<script src="https://example.org/new.js" integrity="sha256-0"></script>'
    assert history_pages.with_local_files(page, {}) == page
    assert "asv's page needs the network for https://example.org/new.js" in capsys.readouterr().err


def test_packages_are_pinned():
    """Each package has a version and a checksum, but no address: any registry will do."""
    wanted = json.loads((TOOLS / "package.json").read_text("utf-8"))
    text = (TOOLS / "package-lock.json").read_text("utf-8")
    locked = json.loads(text)["packages"]
    assert wanted["private"]
    assert set(wanted["dependencies"]) == {path.split("/")[0] for path in history_pages.PACKAGED.values()}
    assert all(re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) for version in wanted["dependencies"].values())
    assert locked.pop("")["dependencies"] == wanted["dependencies"]
    assert {name.removeprefix("node_modules/"): entry["version"] for name, entry in locked.items()} == wanted[
        "dependencies"
    ]
    assert all(entry["integrity"].startswith("sha512-") for entry in locked.values())
    assert "://" not in text


def test_asv_page_leads_to_the_others():
    page = history_pages.with_links(asv_page().read_text("utf-8"))
    assert 'href="../peers.html"' in page and 'href="../index.html"' in page


# In a browser


@pytest.fixture(scope="module")
def packages():
    """Skip the test unless the files that asv's pages load are installed."""
    folder = ROOT / ".asv/web/node_modules"
    if not all((folder / path).is_file() for path in history_pages.PACKAGED.values()):
        absent("what npm installs into .asv/web: make .asv/web/.installed")


@pytest.fixture
def visit(browser):
    """A function that builds the pages and returns another one, which opens an address below them in the browser.

    At the end there must be no errors in the browser's log.
    """

    def build(config, peers, out):
        assert dashboard.main(arguments(config, peers, out)) == 0
        server = servers.enter_context(dashboard.server(out))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.callback(server.shutdown)
        return lambda address: browser.get(f"http://127.0.0.1:{server.server_port}/{address}")

    with contextlib.ExitStack() as servers, no_errors(browser):
        yield build


TEXTS = "Array.from(document.querySelectorAll('{}'), element => element.textContent)"
# The number of finite points in each series of asv's graph, and the number of its pixels that have a colour.
POINTS = """(() => {
    const plot = $('#main-graph').data('plot')
    return plot && plot.getData().map(series => series.data.filter(([x, y]) => y !== null && isFinite(y)).length)
})()"""
PIXELS = """(() => {
    const canvas = document.querySelector('#main-graph canvas.flot-base')
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data
    let coloured = 0
    for (let i = 0; i < pixels.length; i += 4) {
        const colour = pixels.slice(i, i + 3)
        coloured += pixels[i + 3] > 128 && Math.max(...colour) - Math.min(...colour) > 60
    }
    return coloured
})()"""


def graphs(browser):
    """The links in asv's summary: the address of the graph of each benchmark."""
    return wait(browser, "(links => links.length && links)(Array.from($('#summarygrid-display a'), link => link.href))")


def test_history_in_a_browser(browser, packages, visit, history, peers, tmp_path):
    page = visit(history, peers, tmp_path / "out")
    page("history/index.html")
    addresses = graphs(browser)
    assert [address.rpartition("#")[2] for address in addresses] == [
        "bench.Suite.track_size",
        "bench.time_sum",
    ]
    assert {"Other libraries", "Start"} <= set(browser.execute_script(f"return {TEXTS.format('#nav li a')}"))
    assert len(browser.find_elements("css selector", "#summarygrid-display canvas")) > 0
    for address, series in zip(addresses, (4, 1), strict=True):
        browser.get(address)
        points = wait(browser, f"({POINTS} || []).length === {series} && {POINTS}")
        assert points == [3] * series
        assert wait(browser, PIXELS) > 100
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert any("web/jquery.flot.js" in name for name in loaded)
    assert all(name.startswith("http://127.0.0.1:") for name in loaded)


def test_lists_of_the_history_in_a_browser(browser, packages, visit, history, peers, tmp_path):
    page = visit(history, peers, tmp_path / "out")
    page("history/index.html#/summarylist")
    rows = wait(browser, f"(rows => rows.length && rows)({TEXTS.format('#summarylist-body tbody tr')})")
    assert len(rows) == 5
    browser.execute_script("$('#summarylist-body thead th').eq(1).click()")
    assert wait(browser, "$('#summarylist-body thead th.asc, #summarylist-body thead th.desc').length")
    page("history/index.html#/regressions")
    wait(browser, "$('#regressions-body').text().length")


def test_comparison_in_a_browser(browser, packages, visit, peers, history, tmp_path):
    page = visit(history, peers, tmp_path / "out")
    page("peers.html")
    assert browser.title == "fastfnn beside other libraries"  # the script in the processor's name did not run
    assert wait(browser, "document.querySelector('img').naturalWidth") > 400
    assert browser.execute_script(f"return {TEXTS.format('table tbody b')}") == ["large", "tiny"]
    assert "document.title" in browser.find_element("tag name", "h2").text
    browser.find_element("link text", "Start").click()
    browser.find_element("partial link text", "All benchmarks").click()
    graphs(browser)
    browser.find_element("link text", "Other libraries").click()
    wait(browser, "document.title === 'fastfnn beside other libraries'")


@pytest.mark.parametrize("address", ["index.html", "peers.html", "neighbours.html"])
def test_pages_fit_on_a_phone(browser, visit, peers, history, tmp_path, address):
    write(tmp_path, {"neighbours/here.json": json.dumps(beside_others())})
    page = visit(history, peers, tmp_path / "out")
    with phone(browser):
        page(address)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def has_main_with_its_history():
    """Whether ROOT is a repository with the branch main and all its commits."""
    if not (ROOT / ".git").exists():
        return False
    try:
        return git(ROOT, "rev-parse", "--is-shallow-repository", "--verify", "main").startswith("false")
    except AssertionError:  # there is no such branch
        return False


def test_recorded_history_in_a_browser(browser, packages, visit, tmp_path, capsys):
    if not (ROOT / "benchmarks/results/benchmarks.json").exists():
        pytest.skip("no history in benchmarks/results")
    if not has_main_with_its_history():
        pytest.skip("the commits of the history are not here")
    page = visit(ROOT / "asv.conf.json", ROOT / "benchmarks/peers", tmp_path / "out")
    assert "left out" not in capsys.readouterr().err
    page("history/index.html")
    browser.get(graphs(browser)[0])
    assert max(wait(browser, POINTS)) >= 1
    assert wait(browser, PIXELS) > 100
