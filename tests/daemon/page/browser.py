"""A headless Chromium: the system's (Debian's package `chromium`), driven by Playwright, which brings none here."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # each worker of the tests reads this file, and one needs a browser
    from playwright.sync_api import Browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HEIGHT = 900  # pixels


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Launch a browser with an empty profile."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "there is no Chromium: install the package chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
