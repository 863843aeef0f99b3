"""Subscribing: what changes is told, per key and at least once."""

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

_LONG_ENOUGH = 30.0
_TOLD = requires("events_every|events_coalesced")


class Heard:
    """A callback that keeps what it was told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._more = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._more:
            self.changes.append(change)
            self._more.notify_all()

    @property
    def state(self) -> dict[Key, Document]:
        """What who believes all of it takes for the channel's entries."""
        state: dict[Key, Document] = {}
        for change in list(self.changes):
            if change.op == "set":
                state[check_key(change.key)] = change.value
            elif change.op == "unset":
                state.pop(check_key(change.key), None)
        return state

    def values(self, key: Document) -> list[Document]:
        """Returns what was told to be stored at a key."""
        return [one.value for one in list(self.changes) if one.op == "set" and one.key == key]

    def until(self, true: Callable[[], bool]) -> None:
        """Waits until enough was told."""
        __tracebackhide__ = True
        with self._more:
            if not self._more.wait_for(true, _LONG_ENOUGH):
                pytest.fail(f"within {_LONG_ENOUGH:g} s no more was told than {self.changes}")

    def until_like(self, channel: Channel) -> None:
        """Waits until what was told amounts to what is in a channel that nobody changes."""
        __tracebackhide__ = True
        present = {check_key(key): value for key, value in channel.items()}
        self.until(lambda: self.state == present)


class SubscribeContract(Contract):
    """`subscribe`, by the capabilities `events_every` and `events_coalesced`."""

    @without("events_every", "events_coalesced")
    def test_subscribing_is_refused_where_nothing_tells_of_changes(self, channel: Channel) -> None:
        """With NotSupported, which says what to do instead."""
        with pytest.raises(NotSupported, match="items"):
            channel.subscribe(print)

    @_TOLD
    def test_what_another_handle_changes_is_told(self, subject: Subject) -> None:
        """Set and unset, with key and value as they were written."""
        heard = Heard()
        other = subject.open()
        with subject.open().subscribe(heard):
            other.set({"id": 1}, {"state": "new", "none": None})
            other.set("short", [2**53 + 1, []])
            heard.until_like(other)
            other.unset({"id": 1})
            heard.until(lambda: heard.changes[-1].op == "unset")
        assert [one.key for one in heard.changes] == [{"id": 1}, "short", {"id": 1}]
        assert repr(heard.changes[1].value) == "[9007199254740993, []]"

    @_TOLD
    def test_what_the_own_handle_changes_is_told_too(self, channel: Channel) -> None:
        """A subscription does not ask who did it."""
        heard = Heard()
        with channel.subscribe(heard):
            channel.set("key", 1)
            heard.until(lambda: heard.values("key") == [1])
            channel.set("key", 1)
            heard.until(lambda: heard.values("key") == [1, 1])

    @_TOLD
    def test_every_kind_of_change_is_told(self, subject: Subject) -> None:
        """Writes with and without fence, compared ones, batches, `pop`, `shift` and `destroy`."""
        heard = Heard()
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
        with subject.open().subscribe(heard, replay=True):
            for change in changes:
                change()
                heard.until_like(channel)

    @_TOLD
    def test_what_changes_nothing_is_not_told(self, channel: Channel) -> None:
        """A comparison that failed, a key that was not there, a lock."""
        heard = Heard()
        channel.set("key", 1)
        with channel.subscribe(heard):
            channel.get_set(2, "key", 3)
            channel.unset("nothing")
            with channel.lock("nightly", ttl=60):
                channel.set("last", 1)
            heard.until(lambda: heard.values("last") == [1])
        assert [one.key for one in heard.changes] == ["last"]

    @_TOLD
    def test_what_was_there_before_is_told_on_demand(self, channel: Channel) -> None:
        """With `replay` the present entries come first, oldest change first; else they do not."""
        with_replay, without_replay = Heard(), Heard()
        put_all(channel, [("b", 1), ("a", 2), ("c", 3)])
        channel.set("b", 4)
        with channel.subscribe(with_replay, replay=True), channel.subscribe(without_replay):
            channel.set("new", 5)
            for heard in with_replay, without_replay:
                heard.until(lambda heard=heard: heard.values("new") == [5])  # type: ignore[misc]
        told = [(one.op, one.key, one.value) for one in with_replay.changes]
        replayed = [("set", "a", 2), ("set", "c", 3), ("set", "b", 4)]
        assert told == [*replayed, ("set", "new", 5)]
        assert [one.key for one in without_replay.changes] == ["new"]

    @_TOLD
    def test_nothing_is_missed_between_replay_and_what_follows(
        self, subject: Subject, background: Background
    ) -> None:
        """Who believes all that is told knows the channel, however many write meanwhile."""
        heard = Heard()
        begun = threading.Barrier(4)

        def write(who: int) -> None:
            with subject.open() as channel:
                begun.wait()
                for n in range(15):
                    channel.set(n % 7, {"who": who, "n": n})
                    channel.set({"own": who, "n": n}, n)
                    channel.unset({"own": who, "n": n // 2})

        writers = [background(write, who) for who in range(3)]
        channel = subject.open()
        begun.wait()
        with channel.subscribe(heard, replay=True):
            for writer in writers:
                writer.result(_LONG_ENOUGH)
            heard.until_like(channel)
        assert not any(one.op == "resync" for one in heard.changes)

    @requires("events_every")
    def test_each_change_is_told_in_its_order(self, channel: Channel) -> None:
        """Also those that the next one made void."""
        heard = Heard()
        with channel.subscribe(heard):
            for n in range(50):
                channel.set("key", n)
                channel.set("other", 0)
                channel.unset("other")
            channel.set("last", 1)
            heard.until(lambda: heard.values("last") == [1])
        assert heard.values("key") == list(range(50))
        others = [one.op for one in heard.changes if one.key == "other"]
        assert others == ["set", "unset"] * 50

    @_TOLD
    def test_channels_are_told_apart(self, subject: Subject) -> None:
        """Another channel's changes are not told."""
        heard = Heard()
        channel, other = subject.open(), subject.open(f"{subject.name}-2")
        with channel.subscribe(heard):
            other.set("other", 1)
            channel.set("own", 1)
            other.destroy()
            channel.set("last", 1)
            heard.until(lambda: heard.values("last") == [1])
        assert [one.key for one in heard.changes] == ["own", "last"]

    @_TOLD
    def test_what_is_told_is_the_callbacks_own(self, channel: Channel) -> None:
        """Altering it alters neither the channel nor what others are told."""
        heard = Heard()

        def alter(change: Change) -> None:
            change.value["list"].append("mine")

        with channel.subscribe(alter), channel.subscribe(heard), channel.subscribe(alter):
            channel.set("a", {"list": []})
            channel.set("b", {"list": []})
            heard.until_like(channel)
        assert channel.get("a") == channel.get("b") == {"list": []}

    @_TOLD
    def test_a_callback_that_raises_ends_nothing(
        self, channel: Channel, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged, and the next change comes all the same."""
        heard = Heard()

        def fail(change: Change) -> None:
            heard(change)
            raise ValueError("of the callback")

        with caplog.at_level(logging.ERROR, "ojobchannels"), channel.subscribe(fail):
            channel.set("a", 1)
            heard.until_like(channel)
            channel.set("b", 2)
            heard.until_like(channel)
        assert caplog.text.count("ValueError: of the callback") == 2

    @_TOLD
    def test_a_callback_that_stays_holds_up_nobody_else(self, channel: Channel) -> None:
        """Neither writers nor other subscriptions; it gets what it missed when it comes back."""
        slow, quick, go_on = Heard(), Heard(), threading.Event()

        def stay(change: Change) -> None:
            go_on.wait(_LONG_ENOUGH)
            slow(change)

        with channel.subscribe(stay), channel.subscribe(quick):
            for n in range(20):
                channel.set(n, n)
            quick.until_like(channel)
            assert slow.changes == []
            go_on.set()
            slow.until_like(channel)

    @_TOLD
    def test_a_callback_may_use_the_channel_and_close_its_subscription(
        self, channel: Channel
    ) -> None:
        """Its own changes are told to it as well."""
        heard = Heard()

        def count_down(change: Change) -> None:
            heard(change)
            if change.value:
                channel.set("key", change.value - 1)
            else:
                subscription.close()

        subscription = channel.subscribe(count_down)
        channel.set("key", 3)
        heard.until(lambda: heard.values("key") == [3, 2, 1, 0])
        subscription.close()
        assert subscription.closed

    @_TOLD
    def test_nothing_is_told_after_close(self, subject: Subject) -> None:
        """Neither of the subscription, nor of the handle, whose threads are gone then."""
        heard = Heard()
        writing, listening = subject.open(), subject.open()
        before = set(threading.enumerate())
        first = listening.subscribe(heard)
        second = listening.subscribe(heard)
        writing.set("key", 1)
        heard.until(lambda: heard.values("key") == [1, 1])
        first.close()
        listening.close()
        writing.set("key", 2)
        assert first.closed
        assert second.closed
        assert heard.values("key") == [1, 1]
        ours = "ojobchannels-subscription"
        assert not [one for one in set(threading.enumerate()) - before if one.name == ours]
        with pytest.raises(ChannelClosed):
            listening.subscribe(heard)

    @_TOLD
    def test_close_waits_for_the_callback(self, channel: Channel, background: Background) -> None:
        """After it no callback is at work any more."""
        called, go_on, done = threading.Event(), threading.Event(), threading.Event()

        def work(_: Change) -> None:
            called.set()
            go_on.wait(_LONG_ENOUGH)
            done.set()

        subscription = channel.subscribe(work)
        channel.set("key", 1)
        assert called.wait(_LONG_ENOUGH)
        closing = background(subscription.close)
        assert not closing.done()
        go_on.set()
        closing.result(_LONG_ENOUGH)
        assert done.is_set()

    @requires("processes", "events_every|events_coalesced")
    def test_what_another_process_changes_is_told(
        self, subject: Subject, children: Children
    ) -> None:
        """Also while it goes on."""
        heard = Heard()
        channel = subject.open()
        child = children("while True: channel.set('key', receive())", subject)
        with channel.subscribe(heard):
            for n in range(3):
                child.send(n)
                heard.until(lambda n=n: n in heard.values("key"))  # type: ignore[misc]
        assert heard.values("key") == [0, 1, 2]
