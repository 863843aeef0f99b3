"""The page, served on a free port for a test, and a browser that looks at it."""

from __future__ import annotations

import http.client
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import pytest
import uvicorn

import ojobchannels as oc
from ojobchannels_web import create_app
from ojobchannels_web.serve import Address, PageServer, listen

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TOKEN = "ann-0123456789abcdef"
LOGGED_IN = {"Authorization": f"Bearer {TOKEN}"}
ALL = ("pause", "resume", "now", "rerun", "cancel", "unlock")


class Reply(NamedTuple):
    """What the page has answered."""

    status: int
    headers: Message
    text: str


class Site:
    """The page on a free port of the loopback interface."""

    def __init__(
        self, manager: oc.JobManager, app: Any = None, watcher: Any = None, **settings: Any
    ) -> None:
        self.app = app or create_app(manager, **settings)
        watcher = watcher or self.app.state.watcher
        self._socket = listen(Address("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=2)
        self._server = PageServer(config, watcher)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))
        self._thread.start()

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, **headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Reply:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, urlencode(fields), **form, **headers)

    def request(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read().decode())
        finally:
            connection.close()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()


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
    return serve(allow=ALL, tokens={TOKEN: "ann"})


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

    def open_tab(url: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: reported.append(str(error)))
        page.on("dialog", lambda dialog: reported.append(dialog.message))
        page.on("console", lambda log: reported.append(log.text) if log.type == "error" else None)
        page.goto(url)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert reported == []
