"""The tables and charts that tools/site_*.py make of recordings, and asv's pages: what they show and what they refuse.

tests/tools/test_site.py opens the pages that show them.
"""

import json
import re
import shutil

import pytest
from programs import ROOT, TOOLS, git, tool, write

if not (TOOLS.is_dir() and (ROOT / "docs/conf.py").exists()):
    pytest.skip("the sources of the site are not beside the tests", allow_module_level=True)
pytest.importorskip("matplotlib", reason="needs fastfnn[plot]")

docs, figures, peers, neighbours = map(tool, ("docs", "site_figures", "site_peers", "site_neighbours"))
history, cold_pages, cold_start = map(tool, ("site_history", "site_cold_start", "cold_start"))

MACHINE = {"cpu": "<script> | $1 & *Co*", "cores": 3, "system": "a system"}
ESCAPED = r"\<script\> \| \$1 \& \*Co\*"


def pictures(markdown):
    return re.findall(r"!\[[^\]]+\]\(([^)]+)\)", markdown)


def rows(markdown):
    """The cells of the lines of tables."""
    lines = [line[1:-1].replace("\N{NO-BREAK SPACE}", " ") for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


# The comments on pages


@pytest.mark.parametrize("name", figures.FIGURES)
def test_the_recordings_of_the_repository_can_be_shown(name, tmp_path):
    markdown = figures.FIGURES[name](tmp_path)
    assert markdown.strip()
    assert all((tmp_path / file).stat().st_size > 1000 for file in pictures(markdown))
    assert {path.name for path in tmp_path.iterdir()} == set(pictures(markdown))


def test_every_figure_is_on_a_page():
    text = "\n".join((ROOT / file).read_text("utf-8") for file in docs.pages("en").values() if file.endswith(".md"))
    assert sorted({match["name"] for match in figures.MARK.finditer(text)}) == sorted([*figures.FIGURES, "asv"])


def test_comments_are_replaced_by_figures(tmp_path, monkeypatch):
    monkeypatch.setitem(figures.FIGURES, "place", lambda folder: f"in {folder.name}")
    page = "a\n\n<!-- figures: place -->\n\nb <!-- figures: place -->\n\n<!-- figures: given -->\n"
    got = figures.with_figures(page, tmp_path / "folder", {"given": r"c \1"})
    assert got == "a\n\nin folder\n\nb <!-- figures: place -->\n\nc \\1\n"


def test_a_comment_without_figures_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'<!-- figures: pears -->' must name one of peers, .*, asv"):
        figures.with_figures("<!-- figures: pears -->", tmp_path, {"asv": ""})


@pytest.mark.parametrize("text", ["{", "[]", "3", '{"machine": {}}'])
@pytest.mark.parametrize("module", [peers, neighbours, cold_pages])
def test_a_file_that_is_no_recording_is_refused(module, text, tmp_path):
    (tmp_path / "wrong.json").write_text(text)
    with pytest.raises(ValueError, match=r"wrong\.json must be a result of .* --json: "):
        module.figures(tmp_path, tmp_path)


def test_the_picture_of_the_readme_is_drawn(tmp_path):
    figures.main(tmp_path / "newest.png")
    figures.main(tmp_path / "named.png", peers.newest()[0])
    newest, named = ((tmp_path / name).read_bytes() for name in ("newest.png", "named.png"))
    assert newest == named and newest.startswith(b"\x89PNG")


# Other libraries

OURS = {"us": [2000.0], "median_us": 2000.0, "ratio": 1.0, "share_of_peak": 0.654, "variant": "", "remarks": []}
NUMPY = {"us": [5000.0], "median_us": 5000.0, "ratio": 2.5, "variant": "", "remarks": ["<warm>"]}
FAILED = {"us": [], "error": "it fell over: <Error>"}
UNSUPPORTED = {"us": [], "unsupported": "no such <loss>"}


def compared(*cases, names=("numpy", "torch"), date="2026-01-31"):
    """A result of `fastfnn bench` for these cases."""
    return {
        "date": date,
        "machine": MACHINE,
        "versions": {"fastfnn": "0.1.0", "numpy": '2.0"<b>'},
        "settings": {"dtype": "float32", "rounds": 7, "seconds": 0.5, "threads": None, "peers": list(names)},
        "peak_gflops": 100.0,
        "cases": [
            {"name": name, "description": f"{name} <of> it", "libraries": libraries} for name, libraries in cases
        ],
    }


@pytest.fixture
def comparison(tmp_path):
    """The Markdown of a recording of two cases: PyTorch fails in the first and does not support the second."""
    cases = [
        ("large", {"fastfnn": OURS, "numpy": NUMPY, "torch": FAILED}),
        ("mine", {"fastfnn": OURS | {"median_us": 3.25, "share_of_peak": None}, "numpy": NUMPY, "torch": UNSUPPORTED}),
    ]
    write(tmp_path, {"here/some machine.json": json.dumps(compared(*cases))})
    return peers.figures(tmp_path / "out", tmp_path / "here")


def test_the_comparison_has_every_figure(comparison, tmp_path):
    assert ["large<br>large \\<of\\> it", "2,000", "5,000<br>2.50x", "failed", "65%"] in rows(comparison)
    assert ["mine<br>mine \\<of\\> it", "3.2", "5,000<br>2.50x", "", ""] in rows(comparison)
    assert f"## {ESCAPED}, 3 cores (some machine)" in comparison
    assert "2026-01-31, float32; 7 rounds of about 0.5 s" in comparison
    (picture,) = pictures(comparison)
    assert " " not in picture and (tmp_path / "out" / picture).exists()


def test_the_comparison_says_what_is_missing(comparison):
    assert r"- PyTorch: it fell over: \<Error\> (large)" in comparison
    assert r"- PyTorch: no such \<loss\> (mine)" in comparison
    assert r"- NumPy: \<warm\> (large, mine)" in comparison
    assert "- Not measured on this machine: notes' code (f64), JAX, scikit-learn" in comparison


def test_usual_cases_are_described_once(tmp_path):
    case = peers.CASES["notes"]
    result = compared(("notes", {"fastfnn": OURS, "numpy": NUMPY}), names=["numpy"])
    result["cases"][0]["description"] = case.description
    assert ["notes", "2,000", "5,000<br>2.50x", "65%"] in rows(peers.section("a", result, tmp_path))
    assert ["notes", case.description] in rows(peers.cases(tmp_path))


def test_a_comparison_without_a_single_time_is_shown(tmp_path):
    failed = compared(("large", {"fastfnn": FAILED, "numpy": FAILED}), names=["numpy"])
    markdown = peers.section("a", failed, tmp_path)
    assert rows(markdown)[-1][1:3] == ["failed", "failed"]
    assert "- fastfnn: it fell over" in markdown


def test_the_newest_recording_is_the_picture_of_the_section(tmp_path):
    case = ("large", {"fastfnn": OURS})
    dates = {"a": "2026-01-31", "b": "2026-02-01", "c": "2025-12-31"}
    write(tmp_path, {f"{name}.json": json.dumps(compared(case, names=(), date=date)) for name, date in dates.items()})
    assert peers.newest(tmp_path)[0] == "b"


# Beside other processes


def beside_others():
    """A result of `fastfnn bench --neighbours` for one call, which is slow beside a busy process."""
    good = {"calls": 9, "median_us": 80.0, "mean_us": 90.5, "p99_us": 120.0, "max_us": 130.0, "round_means_us": [90.5]}
    good |= {"times_quiet": 1.0, "p99_over_quiet_us": 29.5, "times_one_thread": 0.7}
    slow = good | {"mean_us": 9050.0, "times_quiet": 100.0}
    one = good | {"times_one_thread": None}
    libraries = {"quiet": good, "busy": slow}
    absent = {"unsupported": "no <gradient>"}
    states = {name: {"fastfnn": ours, "fastfnn-1": one, "numpy": absent} for name, ours in libraries.items()}
    states["busy"]["fastfnn-1"] = {"error": "it fell over"}
    return {
        "date": "2026-01-31",
        "machine": MACHINE,
        "versions": {"fastfnn": "0.3.0"},
        "settings": {
            **{"dtype": "float32", "rounds": 3, "seconds": 0.3, "peers": ["numpy"]},
            **{"states": ["quiet", "busy"], "environment": {}},
        },
        "calls": [{"name": "gradient", "description": "gradient <of> it", "states": states}],
        "broken": [{"call": "gradient", "state": "busy", "promise": "times_quiet", "value": 100.0, "limit": 2.5}],
        "remarks": ["without <quota>: none"],
    }


def test_calls_beside_other_processes_have_every_figure():
    markdown = neighbours.section("here", beside_others())
    quiet, slow = "90.5<br>1.00x<br>120.0", "9,050 !<br>100.00x<br>120.0"
    assert ["gradient", quiet, slow] in rows(markdown)
    assert ":::{dropdown} gradient \\<of\\> it\n" in markdown
    assert ["fastfnn", quiet, slow] in rows(markdown)
    assert ["fastfnn, 1 thread", quiet, "failed"] in rows(markdown)
    assert "NumPy" not in [row[0] for row in rows(markdown)]  # it has no such call
    assert "- ! gradient, beside a busy process: mean 100.0 times the quiet mean (at most 2.5)" in markdown
    assert r"- without \<quota\>: none" in markdown and r"NumPy: no \<gradient\>" in markdown


def test_the_promise_is_that_of_the_verdict(tmp_path, monkeypatch):
    monkeypatch.setattr(neighbours.verdict, "MOST_TIMES_QUIET", 1234)
    assert "**1234 times**" in neighbours.promise(tmp_path)


# Versions


def measured(commit, date, results):
    """A file of asv with (values, parameters, version) for each benchmark."""
    columns = ["result", "params", "version", "stats_repeat"]
    return {"commit_hash": commit, "date": date, "result_columns": columns, "results": results}


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A folder of asv's results: three versions on one machine, one on another."""
    dtypes = [["'notes'", "'new'"], ["'float32'", "'float64'"]]
    old = {history.FIT: [[8e-3, 4e-3], [["'notes'"], dtypes[1]], "1", [1, None]], history.COLD: [[4.0], [], "0"]}
    middle = {history.FIT: [[4e-3, 1e-3, 1e-6, None], dtypes, "1", [600, 1, 1, None]], history.COLD: None}
    new = {history.FIT: [[1e-3, 1e-3, 2e-6, float("nan")], dtypes, "1"], history.COLD: [[2.0], [], "1"]}
    here, there = {"cpu": "A processor", "machine": "here"}, {"cpu": "B", "machine": "there"}
    files = {
        "benchmarks.json": {history.FIT: {"version": "1"}, history.COLD: {"version": "1"}, "version": 2},
        **{"b/machine.json": here, "b/2.json": measured("bbbbbbbbb", 2, middle)},
        **{"b/1.json": measured("ccccccccc", 3, new), "b/3.json": measured("aaaaaaaaa", 1, old)},
        **{"a/machine.json": there, "a/1.json": measured("ccccccccc", 3, new)},
    }
    write(tmp_path, {name: json.dumps(content) for name, content in files.items()})
    (tmp_path / "versions.txt").write_text("# versions\naaaaaaa 0.1.0: the first\nbbbbbbb 0.2.0, the second\n")
    monkeypatch.setattr(history, "VERSIONS", tmp_path / "versions.txt")
    return tmp_path


def test_versions_are_in_order_with_their_names(recorded):
    machines = history.read(recorded)
    assert list(machines) == ["A processor, here", "B, there"]
    assert [version.label for version in machines["A processor, here"]] == ["0.1.0", "0.2.0", "ccccccc"]


def test_results_that_cannot_be_compared_are_left_out(recorded):
    old, _, new = history.read(recorded)["A processor, here"]
    assert (history.COLD, ()) not in old.values  # the benchmark has changed since
    assert new.values[history.COLD, ()] == 2
    assert (history.FIT, ("'new'", "'float64'")) not in new.values


def test_times_are_relative_to_the_first_version(recorded):
    versions = history.read(recorded)["A processor, here"]
    lines = history.relative(versions, history.FIT, "")
    assert lines == [{0: 1, 1: 0.5, 2: 0.125}, {0: 1, 1: 0.25, 2: 0.25}]
    assert history.geometric_mean(lines) == pytest.approx({0: 1, 1: 0.125**0.5, 2: 0.03125**0.5})


def test_the_history_has_a_chart_and_a_table(recorded, tmp_path):
    markdown = history.figures(tmp_path / "out", recorded)
    assert ["fit, notes", "8.00 ms", "4.00 ms", "1.00 ms"] in rows(markdown)
    assert ["fit, new", "", "1.00 us", "2.00 us"] in rows(markdown)
    assert len(pictures(markdown)) == 1 and "One version has been measured on this machine" in markdown
    first = history.first_fit(tmp_path, recorded)
    assert ["ccccccc, A processor, here", "", "2.00 s", ""] in rows(first) and "0.1.0" not in first


def test_versions_that_were_measured_by_single_calls_are_named(recorded, tmp_path):
    markdown = history.figures(tmp_path / "out", recorded)
    assert markdown.count("single call") == 1
    assert "Each time of 0.1.0 is that of a single call, and may be far off." in markdown


def test_asv_writes_its_pages(tmp_path):
    pytest.importorskip("asv", reason="needs fastfnn[dev]")
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("needs the repository")
    try:
        shallow = git(ROOT, "rev-parse", "--is-shallow-repository", "--verify", "main")
    except AssertionError:
        pytest.skip("there is no branch main")
    assert docs.publish(tmp_path / "asv") is shallow.startswith("false")
    assert (tmp_path / "asv/index.html").exists() is shallow.startswith("false")


def test_the_site_does_without_asv(tmp_path, capsys):
    assert not docs.publish(tmp_path / "asv", tmp_path)
    assert "without asv's pages: this is no Git repository" in capsys.readouterr().err


@pytest.mark.parametrize("asv", [True, False])
def test_the_history_leads_to_the_pages_of_asv_if_they_are_there(asv, tmp_path):
    docs.stage("en", tmp_path, asv=asv)
    page = (tmp_path / "performance/history.md").read_text("utf-8")
    assert ('href="../asv/index.html"' in page) is asv and ("make dashboard" in page) is not asv


# The first call


def test_the_first_call_has_every_figure(tmp_path):
    times = {"import": [0.2, 0.3, 9], "first": [5.0, 4.0, 3.0], "second": [1e-4, 2e-4, 3e-4]}
    calls = [
        {"call": call, "dtype": "float32", "cache": cache, **times}
        for call, cache in (("predict", "empty"), ("predict", "full"), ("fit", "empty"))
    ]
    result = {"date": "2026-01-31", "machine": MACHINE, "versions": {"fastfnn": "0.3.0"}, "settings": {"rounds": 3}}
    result |= {"calls": calls, "compile": [{"dtype": "float32", "kernels": 123, "seconds": 30.04}]}
    write(tmp_path, {"here.json": json.dumps(result)})
    markdown = cold_pages.figures(tmp_path, tmp_path)
    assert rows(markdown)[2:] == [
        ["`import fastfnn`", "300 ms", ""],
        ["first `predict`", "4.00 s", "4.00 s"],
        ["second `predict`", "200 us", "200 us"],
        ["first `fit`", "4.00 s", ""],
        ["second `fit`", "200 us", ""],
        ["`fastfnn compile`, all kernels", "30.0 s<br>123 kernels", ""],
    ]
    assert "2026-01-31, medians of 3 processes. fastfnn 0.3.0." in markdown


def test_pages_without_a_recording_of_the_first_call_say_so(tmp_path):
    assert cold_pages.figures(tmp_path, tmp_path / "nothing") == "Nothing has been recorded for this version yet.\n"


@pytest.mark.jit
def test_the_first_call_is_timed_in_its_parts(tmp_path):
    times = json.loads(cold_start.run(tmp_path, "-c", cold_start.PROGRAM, "float32", "predict"))
    assert list(times) == ["import", "first", "second"]
    assert times["first"] > times["second"] > 0
    assert list(tmp_path.rglob("*.nbc"))
