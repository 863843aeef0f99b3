"""Subscriptions: changes are delivered, per key and at least once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from ojobchannels.changes import Change
from ojobchannels.channels.channel import Channel
from ojobchannels.documents import Document, Key, check_key
from ojobchannels.errors import ChannelClosed, NotSupported
from ojobchannels.hookspecs import ABSENT
from ojobchannels.testing.contracts.base import Contract, put_all, requires, without
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.children import Children
from ojobchannels.testing.kit.subject import Subject

_TIMEOUT = 30.0
_EVENTS = requires("events_every|events_coalesced")


class ReceivedChanges:
    """A callback that records the changes."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._more = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._more:
            self.changes.append(change)
            self._more.notify_all()

    @property
    def state(self) -> dict[Key, Document]:
        """The entries that result from the changes."""
        state: dict[Key, Document] = {}
        for change in list(self.changes):
            if change.op == "set":
                state[check_key(change.key)] = change.value
            elif change.op == "unset":
                state.pop(check_key(change.key), None)
        return state

    def values(self, key: Document) -> list[Document]:
        """Return the values that were set at a key, in order."""
        return [
            change.value
            for change in list(self.changes)
            if change.op == "set" and change.key == key
        ]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition()` is true; check it after each change."""
        __tracebackhide__ = True
        with self._more:
            if not self._more.wait_for(condition, _TIMEOUT):
                pytest.fail(
                    f"after {_TIMEOUT:g} s only these changes were delivered: {self.changes}"
                )

    def wait_for_state_of(self, channel: Channel) -> None:
        """Wait until the changes add up to the entries of a channel, which must not change."""
        __tracebackhide__ = True
        present = {check_key(key): value for key, value in channel.items()}
        self.wait_for(lambda: self.state == present)


class SubscribeContract(Contract):
    """`subscribe`, with the capabilities `events_every` and `events_coalesced`."""

    @without("events_every", "events_coalesced")
    def test_subscribe_is_refused_without_the_capability(self, channel: Channel) -> None:
        """NotSupported says what to do instead."""
        with pytest.raises(NotSupported, match="items"):
            channel.subscribe(print)

    @_EVENTS
    def test_changes_of_another_handle_are_delivered(self, subject: Subject) -> None:
        """Set and unset, with key and value as written."""
        received = ReceivedChanges()
        other = subject.open()
        with subject.open().subscribe(received):
            other.set({"id": 1}, {"state": "new", "none": None})
            other.set("short", [2**53 + 1, []])
            received.wait_for_state_of(other)
            other.unset({"id": 1})
            received.wait_for(lambda: received.changes[-1].op == "unset")
        assert [change.key for change in received.changes] == [{"id": 1}, "short", {"id": 1}]
        assert repr(received.changes[1].value) == "[9007199254740993, []]"

    @_EVENTS
    def test_changes_of_the_same_handle_are_delivered(self, channel: Channel) -> None:
        """A subscription does not depend on writer made the change."""
        received = ReceivedChanges()
        with channel.subscribe(received):
            channel.set("key", 1)
            received.wait_for(lambda: received.values("key") == [1])
            channel.set("key", 1)
            received.wait_for(lambda: received.values("key") == [1, 1])

    @_EVENTS
    def test_every_kind_of_change_is_delivered(self, subject: Subject) -> None:
        """Writes with and without a fence, batches, `get_set`, `pop`, `shift` and `destroy`."""
        received = ReceivedChanges()
        channel = subject.open()
        put_all(channel, {n: n for n in range(6)})
        changes: list[Callable[[], object]] = [
            lambda: channel.set("plain", 1),
            lambda: channel.set("fenced", 1, fence=5),
            lambda: channel.get_set(1, "plain", 2),
            lambda: channel.get_set(ABSENT, "added", 3),
            lambda: put_all(channel, {"one": 1, "two": 2}),
            channel.pop,
            channel.shift,
            lambda: channel.unset(2),
            lambda: channel.unset("fenced", fence=6),
            lambda: channel.unset_all([3]),
            channel.destroy,
            lambda: channel.set("after", 1),
        ]
        with subject.open().subscribe(received, replay=True):
            for change in changes:
                change()
                received.wait_for_state_of(channel)

    @_EVENTS
    def test_operations_without_effect_are_not_delivered(self, channel: Channel) -> None:
        """Failed comparisons, missing keys and locks do not count as changes."""
        received = ReceivedChanges()
        channel.set("key", 1)
        with channel.subscribe(received):
            channel.get_set(2, "key", 3)
            channel.unset("nothing")
            with channel.lock("nightly", ttl=60):
                channel.set("last", 1)
            received.wait_for(lambda: received.values("last") == [1])
        assert [change.key for change in received.changes] == ["last"]

    @_EVENTS
    def test_replay_delivers_the_present_entries_first(self, channel: Channel) -> None:
        """They come in the order of their last change, and only with `replay`."""
        with_replay, without_replay = ReceivedChanges(), ReceivedChanges()
        put_all(channel, [("b", 1), ("a", 2), ("c", 3)])
        channel.set("b", 4)
        with channel.subscribe(with_replay, replay=True), channel.subscribe(without_replay):
            channel.set("new", 5)
            for received in with_replay, without_replay:
                received.wait_for(lambda received=received: received.values("new") == [5])  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        delivered = [(change.op, change.key, change.value) for change in with_replay.changes]
        replayed = [("set", "a", 2), ("set", "c", 3), ("set", "b", 4)]
        assert delivered == [*replayed, ("set", "new", 5)]
        assert [change.key for change in without_replay.changes] == ["new"]

    @_EVENTS
    def test_no_change_is_missed_after_a_replay(
        self, subject: Subject, background: Background
    ) -> None:
        """The delivered changes add up to the channel, also with concurrent writers."""
        received = ReceivedChanges()
        begun = threading.Barrier(4)

        def write(writer: int) -> None:
            with subject.open() as channel:
                begun.wait()
                for n in range(15):
                    channel.set(n % 7, {"writer": writer, "n": n})
                    channel.set({"own": writer, "n": n}, n)
                    channel.unset({"own": writer, "n": n // 2})

        writers = [background(write, writer) for writer in range(3)]
        channel = subject.open()
        begun.wait()
        with channel.subscribe(received, replay=True):
            for writer in writers:
                writer.result(_TIMEOUT)
            received.wait_for_state_of(channel)
        assert not any(change.op == "resync" for change in received.changes)

    @requires("events_every")
    def test_each_change_is_delivered_in_order(self, channel: Channel) -> None:
        """Also a change that the next one overwrites."""
        received = ReceivedChanges()
        with channel.subscribe(received):
            for n in range(50):
                channel.set("key", n)
                channel.set("other", 0)
                channel.unset("other")
            channel.set("last", 1)
            received.wait_for(lambda: received.values("last") == [1])
        assert received.values("key") == list(range(50))
        others = [change.op for change in received.changes if change.key == "other"]
        assert others == ["set", "unset"] * 50

    @_EVENTS
    def test_changes_of_other_channels_are_not_delivered(self, subject: Subject) -> None:
        """A subscription belongs to one channel."""
        received = ReceivedChanges()
        channel, other = subject.open(), subject.open(f"{subject.name}-2")
        with channel.subscribe(received):
            other.set("other", 1)
            channel.set("own", 1)
            other.destroy()
            channel.set("last", 1)
            received.wait_for(lambda: received.values("last") == [1])
        assert [change.key for change in received.changes] == ["own", "last"]

    @_EVENTS
    def test_a_callback_gets_its_own_copy(self, channel: Channel) -> None:
        """Changing a delivered value affects neither the channel nor other subscriptions."""
        received = ReceivedChanges()

        def alter(change: Change) -> None:
            change.value["list"].append("mine")

        with channel.subscribe(alter), channel.subscribe(received), channel.subscribe(alter):
            channel.set("a", {"list": []})
            channel.set("b", {"list": []})
            received.wait_for_state_of(channel)
        assert channel.get("a") == channel.get("b") == {"list": []}

    @_EVENTS
    def test_a_callback_that_raises_stays_subscribed(
        self, channel: Channel, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The error is logged, and the next change is delivered."""
        received = ReceivedChanges()

        def fail(change: Change) -> None:
            received(change)
            raise ValueError("of the callback")

        with caplog.at_level(logging.ERROR, "ojobchannels"), channel.subscribe(fail):
            channel.set("a", 1)
            received.wait_for_state_of(channel)
            channel.set("b", 2)
            received.wait_for_state_of(channel)
        assert caplog.text.count("ValueError: of the callback") == 2

    @_EVENTS
    def test_a_slow_callback_does_not_delay_others(self, channel: Channel) -> None:
        """Neither writers nor other subscriptions; the missed changes follow."""
        slow, quick, resume = ReceivedChanges(), ReceivedChanges(), threading.Event()

        def block(change: Change) -> None:
            resume.wait(_TIMEOUT)
            slow(change)

        with channel.subscribe(block), channel.subscribe(quick):
            for n in range(20):
                channel.set(n, n)
            quick.wait_for_state_of(channel)
            assert slow.changes == []
            resume.set()
            slow.wait_for_state_of(channel)

    @_EVENTS
    def test_a_callback_may_use_the_channel_and_close_its_subscription(
        self, channel: Channel
    ) -> None:
        """Its own changes are delivered to it as well."""
        received = ReceivedChanges()

        def count_down(change: Change) -> None:
            received(change)
            if change.value:
                channel.set("key", change.value - 1)
            else:
                subscription.close()

        subscription = channel.subscribe(count_down)
        channel.set("key", 3)
        received.wait_for(lambda: received.values("key") == [3, 2, 1, 0])
        subscription.close()
        assert subscription.closed

    @_EVENTS
    def test_nothing_is_delivered_after_close(self, subject: Subject) -> None:
        """Neither after closing the subscription nor the handle, whose threads end."""
        received = ReceivedChanges()
        writing, listening = subject.open(), subject.open()
        before = set(threading.enumerate())
        first = listening.subscribe(received)
        second = listening.subscribe(received)
        writing.set("key", 1)
        received.wait_for(lambda: received.values("key") == [1, 1])
        first.close()
        listening.close()
        writing.set("key", 2)
        assert first.closed
        assert second.closed
        assert received.values("key") == [1, 1]
        ours = "ojobchannels-subscription"
        assert ours not in {thread.name for thread in set(threading.enumerate()) - before}
        with pytest.raises(ChannelClosed):
            listening.subscribe(received)

    @_EVENTS
    def test_close_waits_for_the_callback(self, channel: Channel, background: Background) -> None:
        """No callback runs after `close` has returned."""
        called, resume, done = threading.Event(), threading.Event(), threading.Event()

        def work(_: Change) -> None:
            called.set()
            resume.wait(_TIMEOUT)
            done.set()

        subscription = channel.subscribe(work)
        channel.set("key", 1)
        assert called.wait(_TIMEOUT)
        closing = background(subscription.close)
        assert not closing.done()
        resume.set()
        closing.result(_TIMEOUT)
        assert done.is_set()

    @_EVENTS
    def test_more_than_a_thousand_changes_are_delivered(self, subject: Subject) -> None:
        """To each of two subscriptions, on two handles: in a batch, and one after the other."""
        writing, other = subject.open(), subject.open()
        one, two = ReceivedChanges(), ReceivedChanges()
        with writing.subscribe(one), other.subscribe(two):
            put_all(writing, [(n, n) for n in range(1100)])
            for n in range(0, 1100, 50):
                other.unset(n) if n % 100 else other.set(n, "new")
            for received in (one, two):
                received.wait_for_state_of(writing)

    @requires("processes", "events_every|events_coalesced")
    def test_changes_of_another_process_are_delivered(
        self, subject: Subject, children: Children
    ) -> None:
        """Also while that process continues."""
        received = ReceivedChanges()
        channel = subject.open()
        child = children("while True: channel.set('key', receive())", subject)
        with channel.subscribe(received):
            for n in range(3):
                child.send(n)
                received.wait_for(lambda n=n: n in received.values("key"))  # type: ignore[misc]  # likewise
        assert received.values("key") == [0, 1, 2]
