"""The browser of the tests in this folder."""

import headless
import pytest


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Headless Chromium that can reach this machine only."""
    with headless.started(tmp_path_factory.mktemp("browser")) as running:
        yield running
