"""The page, served on a free port for a test, and a browser that looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels_web import ACTIONS
from ojobchannels_web.testing import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[oc.JobManager]:
    """A manager whose channels are in a new database."""
    url = f"sqlite:///{tmp_path}/jobs.db"
    with oc.JobManager(url, url) as opened:
        yield opened


@pytest.fixture
def serve(manager: oc.JobManager) -> Iterator[Callable[..., Site]]:
    """Serves the page with some settings."""
    sites: list[Site] = []

    def open_site(**settings: Any) -> Site:
        sites.append(Site(manager, **settings))
        return sites[-1]

    yield open_site
    for site in sites:
        site.close()


@pytest.fixture
def site(serve: Callable[..., Site]) -> Site:
    """The page as it is by default: read-only."""
    return serve()


@pytest.fixture
def acting(serve: Callable[..., Site]) -> Site:
    """The page with all actions, and a token for ann."""
    return serve(allow=ACTIONS, tokens={"ann-0123456789abcdef": "ann"})


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; without it, the tests that look at the page skip."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        reason = "there is no Chromium: run apt-get install chromium"
        if os.environ.get("OJOBCHANNELS_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens tabs, and fails if one of them has reported an error or a refused resource."""
    contexts, reported = [], []

    def open_tab(url: str, refusals: bool = False, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: reported.append(str(error)))
        page.on("dialog", lambda dialog: reported.append(dialog.message))
        if not refusals:
            page.on("console", lambda log: reported.extend([log.text] * (log.type == "error")))
        page.goto(url)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert reported == []
