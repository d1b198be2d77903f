"""The documentation site of tools/docs.py: built without a warning, no broken link, and pages that a browser shows."""

import contextlib
import fcntl
import html.parser
import inspect
import os
import re
import urllib.parse

import pytest
from headless import no_errors, phone, served, wait
from programs import ROOT, TOOLS, tool

import fastfnn

if not (TOOLS.is_dir() and (ROOT / "docs/conf.py").exists()):
    pytest.skip("the sources of the site are not beside the tests", allow_module_level=True)
for name in ("sphinx", "myst_nb", "numpydoc", "pydata_sphinx_theme", "sphinx_design"):
    pytest.importorskip(name, reason="needs fastfnn[docs]")

docs = tool("docs")

LANGUAGES = ("en", "ja")
WIDTHS = (1280, 390)
TUTORIALS = [page.removesuffix(".ipynb") for page in docs.pages("en") if page.endswith(".ipynb")]
OWN_PAGES = {name: [page.rpartition(".")[0] for page in docs.pages(name)] for name in LANGUAGES}
TRANSLATED = [page for page in OWN_PAGES["en"] if page in OWN_PAGES["ja"]]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder with both sites, which the processes of pytest-xdist share."""
    out = tmp_path_factory.getbasetemp()
    out = (out.parent if "PYTEST_XDIST_WORKER" in os.environ else out) / "site"
    out.mkdir(exist_ok=True)
    with (out / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "built").exists():
            assert docs.build(out) == 0, "Sphinx's warnings are in the captured output"
            (out / "built").touch()
    return out / "html"


# What is written


class Page(html.parser.HTMLParser):
    """The addresses that a page loads and links to, and the places that links may lead to."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.links, self.places, self.language = [], [], {""}, None
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.places |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "html":
            self.language = values["lang"]
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in ("canonical",):
            self.loaded.append(values["href"])
        elif "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="session")
def written(site):
    """Each page of the site."""
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path: Page(path) for path in paths}


def test_every_page_is_there(site, written):
    for name in LANGUAGES:
        for page in OWN_PAGES[name]:
            assert written[site / docs.PREFIX[name] / f"{page}.html"].language == name
    expected = {"index", "start", "start/doors", "explanation/notes", "tutorials", "tutorials/quick_start"}
    assert expected <= set(TRANSLATED)
    assert len(TUTORIALS) == len(list((ROOT / "examples").glob("*.ipynb")))


def test_every_public_name_is_in_the_reference(site):
    index = (site / "genindex.html").read_text("utf-8")
    for name in fastfnn.__all__:
        assert f'#fastfnn.{name}"' in index or inspect.ismodule(getattr(fastfnn, name)), name
    aliases = {"identity_function", "mean_squared_error", "step_function"}
    for name in ("layers", "functions"):
        for public in set(getattr(fastfnn, name).__all__) - aliases:
            assert f'#fastfnn.{name}.{public}"' in index


def test_every_link_leads_somewhere(site, written):
    broken = []
    for path, page in written.items():
        for address in page.links + page.loaded:
            parts = urllib.parse.urlsplit(address)
            if parts.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            fragment = urllib.parse.unquote(parts.fragment)
            if not target.is_file() or (target in written and fragment not in written[target].places):
                broken.append(f"{path.relative_to(site)}: {address}")
    assert broken == []


def test_no_page_loads_anything_from_the_network(written):
    assert [address for page in written.values() for address in page.loaded if re.match("(https?:)?//", address)] == []


def test_no_page_leads_to_a_file_of_the_repository_that_is_a_page(written):
    for page in written.values():
        assert [address for address in page.links if re.search(r"\.(md|ipynb|rst)$", address)] == []


# Links


def rewritten(tmp_path, markdown, language="en", page="index.md", file="docs/index.md"):
    return docs.with_links(markdown, docs.link_writer(language, page, file, tmp_path))


def test_links_lead_to_pages(tmp_path):
    assert rewritten(tmp_path, "[a](../NOTES.md), [b](explanation/minibatch.md#the-map)") == (
        "[a](explanation/notes.md), [b](explanation/minibatch.md#the-map)"
    )
    walk = ("en", "explanation/minibatch.md", "docs/explanation/minibatch.md")
    assert rewritten(tmp_path, "[a](../../NOTES.md)", *walk) == "[a](notes.md)"
    notebook = ("en", "tutorials/1_FN.ipynb", "examples/1_FN.ipynb")
    assert rewritten(tmp_path, "[a](../NOTES.md)\n[b](quick_start.ipynb)", *notebook) == (
        "[a](../explanation/notes.md)\n[b](quick_start.ipynb)"
    )
    assert (
        rewritten(tmp_path, "[`examples/`](../examples) [a](../README.md)")
        == "[`examples/`](tutorials.md) [a](index.md)"
    )
    assert list(tmp_path.iterdir()) == []


def test_links_to_the_other_language_are_addresses(tmp_path):
    page = ("ja", "tutorials/1_FN.ipynb", "examples/ja/1_FN.ipynb")
    assert rewritten(tmp_path, "[`a`](../../docs/explanation/minibatch.md)", *page) == (
        '<a href="../../explanation/minibatch.html">`a`</a>'
    )
    assert rewritten(tmp_path, "[a](../1_FN.ipynb)", *page) == '<a href="../../tutorials/1_FN.html">a</a>'
    assert rewritten(tmp_path, "[a](../NOTES.ja.md#b)") == '<a href="ja/explanation/notes.html#b">a</a>'


def test_what_pages_show_is_copied(tmp_path):
    got = rewritten(tmp_path, "![a](../benchmarks/pictures/peers.png) [b](../kernels/tuning.py)")
    assert got == "![a](files/benchmarks/pictures/peers.png) [b](files/kernels/tuning.py)"
    assert (tmp_path / "files/kernels/tuning.py").read_bytes() == (ROOT / "kernels/tuning.py").read_bytes()


def test_the_name_of_a_folder_is_no_link(tmp_path):
    assert rewritten(tmp_path, "see [`kernels/`](../kernels), [b](../benchmarks/)") == "see `kernels/`, b"


@pytest.mark.parametrize("text", ["[a](https://example.org/NOTES.md)", "[a](no_such_file.md)", "x[0](1)", "[a](#b)"])
def test_other_links_stay(tmp_path, text):
    assert rewritten(tmp_path, text) == text


def test_links_in_code_stay(tmp_path):
    text = "a\n\n    [a](../NOTES.md)\n\n```python\n[a](../NOTES.md)\n```\n"
    assert rewritten(tmp_path, text) == text
    assert rewritten(tmp_path, f"{text}[a](../NOTES.md)") == f"{text}[a](explanation/notes.md)"


def test_a_page_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(docs.ELSEWHERE["ja"], "more.md", "no_such_file.md")
    with pytest.raises(FileNotFoundError, match=r"no_such_file\.md is a page of the site"):
        docs.stage("ja", tmp_path)


# In a browser


@pytest.fixture(scope="module")
def address(site):
    with served(site) as address:
        yield address


@contextlib.contextmanager
def width(browser, pixels):
    """Show pages in a window, or on a phone if it is narrow."""
    if pixels < 1000:
        with phone(browser):
            yield
    else:
        browser.set_window_size(pixels, 900)
        yield


# Pictures and formulas below what is shown would else be left out.
LOADED = """document.readyState === 'complete' && Array.from(document.images).every(image => {
    image.loading = 'eager'
    return image.complete
}) && document.querySelectorAll('.math').length <= document.querySelectorAll('mjx-container svg').length"""
MISSING_PICTURES = "Array.from(document.images).filter(image => !image.naturalWidth).map(image => image.src)"
# The theme lets an article scroll sideways as a whole, and so hides what is too wide for it.
TOO_WIDE = """Array.from(document.querySelectorAll('.bd-article-container, .bd-article'))
    .filter(part => part.scrollWidth > part.clientWidth).map(part => part.className)"""
WRONG_FORMULAS = "Array.from(document.querySelectorAll('mjx-merror, [data-mml-node=merror]')).map(e => e.textContent)"


@pytest.mark.parametrize("pixels", WIDTHS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_in_a_browser(browser, address, language, pixels):
    """No errors in the log, pictures and formulas are there, and only tables and code scroll sideways."""
    api = ["FNN", "sklearn.MLPRegressor", "functions.cross_entropy_error"]  # the last has the longest names
    pages = [*OWN_PAGES[language], "search", "genindex"]
    pages += [f"reference/api/fastfnn.{name}" for name in api if language == "en"]
    with width(browser, pixels), no_errors(browser):
        for page in pages:
            browser.get(f"{address}{docs.PREFIX[language]}{page}.html")
            wait(browser, LOADED)
            assert browser.execute_script(f"return {MISSING_PICTURES}") == [], page
            assert browser.execute_script(f"return {WRONG_FORMULAS}") == [], page
            assert browser.execute_script("return document.documentElement.scrollWidth") <= pixels, page
            assert browser.execute_script(f"return {TOO_WIDE}") == [], page
            loaded = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
            assert all(name.startswith((address, "data:")) for name in loaded), page


@pytest.mark.parametrize("pixels", [970, 1280])
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_header_is_on_one_line(browser, address, language, pixels):
    browser.set_window_size(pixels, 900)
    browser.get(f"{address}{docs.PREFIX[language]}start.html")
    height = browser.execute_script("return document.querySelector('.bd-header').offsetHeight")
    assert height < 90, "one line takes 80 pixels, two take 100"


RESULTS = "Array.from(document.querySelectorAll('#search-results li a'), link => link.href)"


@pytest.mark.parametrize("language, words", [("en", "FNN"), ("ja", "FNN"), ("ja", "学習係数"), ("ja", "層")])
def test_search_finds(browser, address, language, words):
    with no_errors(browser):
        browser.get(f"{address}{docs.PREFIX[language]}search.html?q={urllib.parse.quote(words)}")
        # Results come one by one.
        found = r"/tutorials\/|api\/fastfnn\.FNN/.test(link)"
        results = wait(browser, f"(links => links.some(link => {found}) && links)({RESULTS})")
        browser.get(results[0])
        assert words.lower() in browser.find_element("tag name", "body").text.lower()


@pytest.mark.parametrize("page", TRANSLATED)
def test_the_language_switch_leads_to_the_translation_and_back(browser, address, page):
    browser.set_window_size(1280, 900)
    browser.get(f"{address}{page}.html")
    browser.find_element("id", "language-switch").click()
    wait(browser, "document.documentElement.lang === 'ja'")
    assert browser.current_url.partition("#")[0] == f"{address}ja/{page}.html"
    browser.find_element("id", "language-switch").click()
    wait(browser, "document.documentElement.lang === 'en'")
    assert browser.current_url.partition("#")[0] == f"{address}{page}.html"


def test_a_page_without_translation_leads_to_the_start_page(browser, address):
    browser.get(f"{address}reference/api/fastfnn.FNN.html")
    assert browser.find_element("id", "language-switch").get_attribute("href") == f"{address}ja/index.html"


def test_pages_open_from_the_disk(browser, site):
    with no_errors(browser):
        browser.get((site / "tutorials/1_FN.html").as_uri())
        wait(browser, LOADED)
        assert browser.execute_script("return document.querySelectorAll('mjx-container svg').length") > 20
