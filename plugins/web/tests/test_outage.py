"""What the page does while its channels do not respond."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels_web.testing import Reply, Site
from ojobchannels_web.view import watcher

PATIENCE = 60


class Hanging:
    """An operation that does not end before the test lets it."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.continues = threading.Event()

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.entered.release()
        self.continues.wait(PATIENCE)
        return None


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """An operation that hangs until the end of the test."""
    operation = Hanging()
    yield operation
    operation.continues.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits for a read, and a read that takes any time is an outage."""
    monkeypatch.setattr(watcher, "_SHORT_WAIT", 0.01)
    monkeypatch.setattr(watcher, "_LONGEST_WAIT", 0.01)


@pytest.mark.usefixtures("impatient")
def test_a_read_that_does_not_end_is_an_outage(
    manager: oc.JobManager, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page comes at once, says that nothing is known yet, and a monitor sees it."""
    with manager.run("report"):
        pass
    monkeypatch.setattr(manager.locks, "locks", hanging)
    site = Site(manager)
    try:
        assert hanging.entered.acquire(timeout=PATIENCE)
        text = site.request("GET", "/").text
        assert "being read for the first time" in text
        assert "No runs are recorded" not in text
        assert "they have not responded" in text
        assert site.request("GET", "/healthz").status == 503
    finally:
        hanging.continues.set()
        site.close()


def test_requests_do_not_pile_up_while_the_channels_do_not_respond(
    site: Site, manager: oc.JobManager, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few try whether they respond again; the others are refused at once, and the rest works."""
    manager.locks.close()
    site.app.state.watcher.refresh()
    monkeypatch.setattr(manager.jobs, "get", hanging)
    replies: list[Reply] = []

    def ask() -> None:
        replies.append(site.request("GET", "/run?name=x&start=1"))

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for _ in asking:
        assert hanging.entered.acquire(timeout=PATIENCE)
    refused = [site.request("GET", "/run?name=x&start=1") for _ in range(50)]
    assert {reply.status for reply in refused} == {503}
    assert "cannot be read" in refused[0].text
    assert not hanging.entered.acquire(blocking=False)
    assert site.request("GET", "/").status == 200
    assert site.request("GET", "/static/style.css").status == 200
    hanging.continues.set()
    for thread in asking:
        thread.join(PATIENCE)
    assert {reply.status for reply in replies} == {404}


def test_a_job_is_shown_without_what_cannot_be_read(site: Site, manager: oc.JobManager) -> None:
    """Its runs are known; only their errors are not."""
    manager.start("report").fail("disk full")
    assert "disk full" in site.get("/job?name=report").text
    manager.jobs.close()
    site.app.state.watcher.refresh()
    reply = site.get("/job?name=report")
    assert reply.status == 200
    assert "failed" in reply.text
    assert "disk full" not in reply.text
