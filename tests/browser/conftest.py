"""Pages of `specc graph` in a real Chromium, with real clicks and keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from specc.cli.boundary import guarded
from specc.cli.group import cli

NAMES = ("chromium", "chromium-browser", "google-chrome")
# It reaches for nothing by itself, so that every request that is seen is the page's.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def executable() -> str:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(
            "tests/browser need Chromium: apt-get install chromium, or CHROMIUM=/path/to/chromium",
            pytrace=False,
        )
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable(), args=FLAGS.split())
        yield started
        started.close()


@pytest.fixture(scope="session")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the page of a spec, once for all tests that look at it."""
    folder = tmp_path_factory.mktemp("pages")
    written: dict[tuple[str, ...], Path] = {}

    def page(*arguments: str) -> Path:
        if arguments not in written:
            path = folder / f"net{len(written)}.html"
            assert guarded(cli, ["graph", *arguments, "-o", str(path)]) == 0
            written[arguments] = path
        return written[arguments]

    return page


@pytest.fixture
def show(browser: Browser, write: Callable[..., Path]) -> Iterator[Callable[..., Page]]:
    """Opens the page of a spec. No page may report an error or ask for anything."""
    pages: list[Page] = []
    reports: list[str] = []

    def opened(spec: Path | str, *options: str, **context: object) -> Page:
        path = write(str(spec), *options)
        size = context.pop("viewport", {"width": 1440, "height": 900})
        page = browser.new_context(viewport=size, **context).new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: reports.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: reports.append(str(error)))
        page.on(
            "request", lambda request: request.url == path.as_uri() or reports.append(request.url)
        )
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.context.close()
    assert not reports
