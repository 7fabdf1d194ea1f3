"""Debian's Chromium without a screen, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.needs import need

PACKAGE: Final = "chromium"
# It draws 3D without a graphics card, and sends nothing by itself.
_FLAGS: Final = (
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, and end it after use. Skip the test where it is not installed."""
    program = shutil.which("chromium")
    need([] if program else ["chromium"], PACKAGE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Watched]:
    """Open a page in a fresh profile, and close it after use."""
    context = browser.new_context(**options)
    try:
        watched = Watched(context.new_page())
        watched.page.goto(url)
        yield watched
    finally:
        context.close()


class Watched:
    """A page, and what it asked of the network and complained about.

    Attributes:
        page: Playwright's.
        requests: addresses of all requests, also those that a policy blocked.
        errors: of scripts, and of the console.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def sent(self) -> list[str]:
        """Return the addresses of requests other than for the page itself."""
        return [each for each in self.requests[1:] if not each.startswith("data:")]
