"""Headless Chromium for the tests that open pages: the fixture `browser` of tests/tools starts it once."""

import contextlib
import functools
import http.server
import importlib.util
import os
import shutil
import threading

import pytest

SECONDS = 30  # timeout of a page


def absent(what):
    """Skip the test, or fail it in CI, where everything must be installed."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"needs {what}")


@contextlib.contextmanager
def started(profile):
    """Chromium, with its files in the folder `profile`. It can reach this machine only."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        absent("Chromium and its driver: the Debian packages chromium and chromium-driver")
    if not importlib.util.find_spec("selenium"):
        absent("selenium: pip install 'fastfnn[dev]'")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # Chromium has no sandbox for root. The other flags keep it from using the network by itself.
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.add_argument("--disable-background-networking")
    options.add_argument("--disable-component-update")
    options.add_argument("--disable-dev-shm-usage")  # it is small in containers
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1")
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1400,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SE_OFFLINE", "true")
        running = webdriver.Chrome(options=options, service=Service(driver))
        running.set_page_load_timeout(SECONDS)
        try:
            yield running
        finally:
            running.quit()


@contextlib.contextmanager
def no_errors(browser):
    """Assert that there are no errors in the browser's log at the end."""
    browser.get_log("browser")  # empties the log
    yield
    severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    browser.get("about:blank")
    assert severe == []


def wait(browser, code):
    """Run JavaScript code until its value is true; returns the value."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, SECONDS).until(lambda browser: browser.execute_script(f"return {code}"), code)


@contextlib.contextmanager
def phone(browser):
    """Show pages as on a phone, whose screen is 390 pixels wide."""
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        """Say nothing."""


@contextlib.contextmanager
def served(folder):
    """A web server for a folder; its address, which ends with a slash."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
