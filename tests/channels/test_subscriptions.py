"""Subscriptions, beyond what the conformance kit proves of each backend: gaps, errors, ends."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels import changes
from ojobchannels.plugins import Registry, registry
from ojobchannels.testing.contracts.documents.subscribing import ReceivedChanges

if TYPE_CHECKING:
    from tests.conftest import Storage

    StartWorker = Callable[..., Any]

LONG_ENOUGH = 30.0


class Unreadable:
    """An extension that makes the storage unreadable for a while."""

    def __init__(self) -> None:
        self.on = False
        self.met = threading.Event()

    @oc.hookimpl(wrapper=True)
    def items(self) -> Iterator[None]:
        if self.on:
            self.met.set()
            raise oc.ChannelUnavailable("orders", "the disk is away", "bring it back")
        return (yield)


@pytest.mark.parametrize(("bound", "limit"), [("LONGEST_BACKLOG", 10), ("LARGEST_BACKLOG", 30)])
def test_more_changes_than_are_kept_for_a_slow_callback_cause_a_resync(
    simple_storage: Storage, monkeypatch: pytest.MonkeyPatch, bound: str, limit: int
) -> None:
    """Then the differences from what was delivered, once per key, and later each change again."""
    monkeypatch.setattr(changes, bound, limit)
    channel, received = simple_storage.open(), ReceivedChanges()
    called, may_continue = threading.Event(), threading.Event()

    def stay(change: oc.Change) -> None:
        received(change)
        called.set()
        may_continue.wait(LONG_ENOUGH)

    channel.set("gone", 0)
    with channel.subscribe(stay, replay=True):
        assert called.wait(LONG_ENOUGH)
        channel.unset("gone")
        for n in range(100):
            channel.set(n % 4, n)
        may_continue.set()
        received.wait_for_state_of(channel)
        delivered = [(one.op, one.key, one.value) for one in received.changes]
        assert delivered == [
            ("set", "gone", 0),
            ("resync", None, None),
            ("unset", "gone", None),
            *(("set", n % 4, n) for n in range(96, 100)),
        ]
        channel.set("after", 1)
        channel.set("after", 2)
        received.wait_for_state_of(channel)
        assert received.values("after") == [1, 2]


def test_changes_while_the_storage_cannot_be_read_are_delivered_afterwards(
    shared_storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """After a `resync`; the error is logged once."""
    unreadable, received = Unreadable(), ReceivedChanges()
    listening = shared_storage.open(extensions=[unreadable])
    writing = shared_storage.open()
    writing.set("gone", 1)
    with (
        caplog.at_level(logging.WARNING, "ojobchannels"),
        listening.subscribe(received, replay=True),
    ):
        received.wait_for_state_of(writing)
        unreadable.on = True
        writing.set("key", 1)
        assert unreadable.met.wait(LONG_ENOUGH)
        writing.set("key", 2)
        writing.unset("gone")
        unreadable.on = False
        received.wait_for_state_of(writing)
    assert [one.op for one in received.changes] == ["set", "resync", "unset", "set"]
    assert caplog.text.count("the disk is away") == 1


def test_a_file_edited_by_hand_is_a_change(tmp_path: Path) -> None:
    """The callback gets the saved content."""
    file, received = tmp_path / "orders.json", ReceivedChanges()
    with oc.open_channel("orders", type="file", file=file) as channel:
        channel.set("key", "old")
        with channel.subscribe(received):
            text = json.loads(file.read_text("utf-8"))
            text["orders"]["7"] = {"key": "by hand", "value": "new"}
            file.write_text(json.dumps(text), "utf-8")
            received.wait_for(lambda: received.values("by hand") == ["new"])


def test_a_key_that_is_removed_and_stored_again_is_delivered_at_least_once(
    shared_storage: Storage,
) -> None:
    """With its latest value, however often it changed between two reads."""
    channel, received = shared_storage.open(), ReceivedChanges()
    with channel.subscribe(received):
        for n in range(20):
            channel.set("key", n)
            channel.pop()
            channel.set("other", n)
            channel.set("key", n)
        received.wait_for_state_of(channel)
    assert received.values("key")[-1] == 19


def test_a_forked_child_has_no_subscription(storage: Storage, start_worker: StartWorker) -> None:
    """It may still close it; that of the parent continues."""
    worker = start_worker(
        """
import os, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
received = threading.Semaphore(0)
subscription = channel.subscribe(lambda change: received.release())
channel.set("key", 1)
assert received.acquire(timeout=30)
child = os.fork()
if child == 0:
    try:
        assert subscription.closed
        channel.set("key", 2)
        subscription.close()
        own = threading.Event()
        with channel.subscribe(lambda change: own.set()):
            channel.set("key", 3)
            assert own.wait(30)
        channel.close()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
while received.acquire(blocking=False):
    pass
channel.set("key", 4)
send(received.acquire(timeout=30))
subscription.close()
""",
        storage,
    )
    assert worker.receive() == 0
    assert worker.receive() is True
    assert worker.end() == 0


def test_without_a_thread_there_is_no_subscription(
    simple_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says so, and no feed is left that collects changes."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    channel = simple_storage.open()
    backend: Any = channel.hook.get.get_hookimpls()[0].plugin
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(oc.ChannelUnavailable, match="no thread can be started"):
            channel.subscribe(print)
    assert backend._store.entries.feeds == []
    with channel.subscribe(print):
        assert len(backend._store.entries.feeds) == 1
    assert backend._store.entries.feeds == []


def test_a_backend_without_events_refuses_subscriptions(
    simple_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to do instead."""
    poor = replace(registry().find("simple"), capabilities=frozenset())
    monkeypatch.setattr(Registry, "find", lambda *_: poor)
    with pytest.raises(oc.NotSupported, match="events_every or events_coalesced"):
        simple_storage.open().subscribe(print)


def test_a_subscription_shows_whether_it_has_ended(channel: oc.Channel) -> None:
    """Also in its `repr`; closing twice does nothing."""
    with channel.subscribe(print) as subscription:
        states = [(subscription.closed, repr(subscription))]
    subscription.close()
    states.append((subscription.closed, repr(subscription)))
    name = f"<Subscription of {channel!r}"
    assert states == [(False, f"{name}>"), (True, f"{name} closed>")]


def test_a_callback_that_raises_system_exit_stays_subscribed(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """Like any other error: it is logged, and the next change is delivered."""
    received = ReceivedChanges()

    def leave(change: oc.Change) -> None:
        received(change)
        raise SystemExit("of the callback")

    channel = storage.open()
    with caplog.at_level(logging.ERROR, "ojobchannels"), channel.subscribe(leave):
        for number in range(2):
            channel.set("a", number)
            received.wait_for_state_of(channel)
    assert caplog.text.count("SystemExit: of the callback") == 2
