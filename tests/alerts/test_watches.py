"""The threads that watch for alerts: what they cost, and what they survive."""

from __future__ import annotations

import logging
import queue
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.alerts import Alert, Webhook
from ojobchannels.alerts import watch as alert_watch
from ojobchannels.alerts.delivery import Delivery
from ojobchannels.alerts.ledger import Ledger
from ojobchannels.errors import AlertNotSent
from ojobchannels.ojob import run_file
from tests.alerts.conftest import Receiver, Store, fail

FILE = """\
include: [oJobManager.yaml]
ojob: {{alerts: [{{webhook: {{url: '{url}'}}}}]}}
jobs:
- name: Work
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: work}}
  exec: raise ValueError
todo: [oJobManager Init, Work]
"""


def test_the_end_of_a_job_file_waits_a_bounded_time(
    store: Store, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver that hangs delays the end of a process by seconds; the notice is kept."""
    monkeypatch.setattr(alert_watch, "LONGEST_CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(alert_watch, "ENDING_SECONDS", 0.1)
    receiver.responds.clear()
    (tmp_path / "f.yaml").write_text(FILE.format(url=receiver.url))
    begun = time.monotonic()
    result = run_file(tmp_path / "f.yaml", jobs=store.config, locks=store.config)
    assert time.monotonic() - begun < 15
    assert result.exit_status == 1
    receiver.responds.set()
    rule = Alert(Webhook(receiver.url))
    kept: Any = store.manager().state.get({"alerts": rule.id})
    assert [notice["event"] for notice in kept["notices"]] == ["failed"]


def test_rules_can_be_replaced(store: Store, receiver: Receiver) -> None:
    """A reloaded file has other alerts: the old ones end, the new ones begin, equal ones stay."""
    notices: queue.SimpleQueue[str] = queue.SimpleQueue()

    def first(notice: dict[str, Any]) -> None:
        notices.put(f"first {notice['job']}")

    kept = Alert(Webhook(receiver.url), every=1)
    manager = store.manager([Alert(first), kept])
    fail(manager, "a")
    assert notices.get(timeout=20) == "first a"
    assert receiver.next().body["job"] == "a"
    manager.alerts.replace([kept])
    fail(manager, "b")
    assert receiver.next().body["job"] == "b"
    manager.close()
    assert notices.empty()


def test_invalid_rules_are_refused_at_once(store: Store) -> None:
    """A mistake names the rule and the attribute."""
    with pytest.raises(oc.InvalidOption, match=r"alerts\[1\]\.target\.url: ftp://x/\*\*\* is not"):
        store.manager([Alert("pager"), Alert(Webhook("ftp://x/s3cret"))])
    with pytest.raises(oc.InvalidOption, match="VARIABLE"):
        store.manager([Alert(Webhook("${env:NO_SUCH_VARIABLE}"))])
    with pytest.raises(oc.InvalidOption, match=r"equal to alerts\[0\]"):
        store.manager([Alert("pager"), Alert("pager")])


def test_a_managed_job_as_the_receiver(store: Store) -> None:
    """It is launched with the notice, and its own failure is not reported to itself."""
    notices: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    manager = store.manager([Alert("pager", every=1)])

    @manager.job("pager")
    def pager(notice: dict[str, Any]) -> None:
        notices.put(notice)

    fail(manager)
    assert notices.get(timeout=20)["job"] == "nightly"
    manager.close()
    assert notices.empty()


def test_a_notice_that_is_refused_holds_up_no_other_job(store: Store) -> None:
    """A receiver that refuses one notice gets those of other jobs; those of its job stay behind."""
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()

    def receive(notice: dict[str, Any]) -> None:
        jobs.put(notice["job"])
        if notice["job"] == "hostile":
            raise ValueError("cannot be shown")

    rule = Alert(receive, name="x", every=1)
    manager = store.manager([rule])
    for name in ("hostile", "hostile", "nightly"):
        fail(manager, name)
    assert [jobs.get(timeout=20) for _ in range(2)] == ["hostile", "nightly"]
    manager.close()
    kept: Any = store.manager().state.get({"alerts": rule.id})
    assert [notice["job"] for notice in kept["notices"]] == ["hostile", "hostile"]


@pytest.mark.parametrize(("away", "is_due"), [(1, False), (600_000, False), (3_600_000, True)])
def test_a_wrong_clock_puts_off_no_notice(store: Store, away: int, is_due: bool) -> None:
    """A retry that another host planned by a clock an hour ahead is made now."""
    manager = store.manager()
    ledger = Ledger(Alert(lambda _: None, name="x"), manager)
    fail(manager)
    ledger.begin()
    fail(manager)
    ledger.evaluate(None)
    (notice,) = ledger.pending()
    ledger.postpone(notice, 1_000_000 + away, is_refused=False)
    assert (ledger.due(1_000_000) is not None) is is_due


def test_a_failure_that_a_retry_mends_is_not_reported(store: Store) -> None:
    """Only a failure after which no further attempt follows is one."""
    events: list[str] = []
    manager = store.manager([Alert(lambda notice: events.append(notice["event"]), name="x")])
    attempts = iter([ValueError("first"), None])

    @manager.job("flaky", retries=1, backoff=0)
    def flaky() -> None:
        if (error := next(attempts)) is not None:
            raise error

    flaky()
    manager.close()
    assert events == []


def test_an_unreachable_store_is_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch continues when the store is back."""
    monkeypatch.setattr(alert_watch, "_OUTAGE_SECONDS", 0.0)
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    manager = store.manager([Alert(lambda notice: events.put(notice["event"]), name="x")])
    failures = iter(range(3))
    read = manager._before_reading

    def interrupted() -> None:
        if next(failures, None) is not None:
            raise oc.ChannelUnavailable("store", "no connection", "wait")
        read()

    with caplog.at_level(logging.WARNING, "ojobchannels.alerts"):
        monkeypatch.setattr(manager, "_before_reading", interrupted)
        fail(manager)
        assert events.get(timeout=20) == "failed"
    assert caplog.text.count("cannot be reached") == 1


def test_a_receiver_that_never_ends_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an attempt hangs, no other one begins: hanging receivers do not use up threads."""
    hanging = threading.Event()
    delivery = Delivery(Alert(lambda _: hanging.wait(30), name="x"), lambda *_: None)  # type: ignore[arg-type]  # launches nothing
    monkeypatch.setattr(Delivery, "longest", 0.05)
    try:
        with pytest.raises(AlertNotSent, match="no response within"):
            delivery.attempt({"id": "1"})
        before = threading.active_count()
        with pytest.raises(AlertNotSent, match="last attempt"):
            delivery.attempt({"id": "1"})
        assert threading.active_count() == before
    finally:
        hanging.set()
        complete_attempt(delivery)


def complete_attempt(delivery: Delivery) -> None:
    """Wait until the attempt of a delivery has ended."""
    assert delivery._attempt is not None
    assert delivery._attempt.wait(20)
