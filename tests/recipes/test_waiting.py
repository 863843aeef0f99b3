"""What one process knows of the waiting messages: little is read, and nothing is missed."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.recipes import waiting
from ojobchannels.recipes.queue import Queue


class Reads:
    """Counts the entries that are read, and may hide some from readers of changes."""

    def __init__(self) -> None:
        self.entries = 0
        self.hidden = False

    @oc.hookimpl(wrapper=True)
    def items(self, after: int | None) -> Generator[None, Any, Any]:
        page = yield
        self.entries += len(page)
        return [] if self.hidden and after is not None else page


@pytest.fixture
def reads() -> Reads:
    """What the queue reads."""
    return Reads()


@pytest.fixture
def channel(request: pytest.FixtureRequest, reads: Reads) -> Iterator[oc.Channel]:
    """The channel of the queue."""
    with oc.open_channel(request.node.name, extensions=[reads]) as channel:
        yield channel
        channel.destroy()


def take(queue: Queue) -> Any:
    """Process the next message, and return its content."""
    message = queue.take(ttl=60)
    if message is None:
        return None
    message.done()
    return message.data


def test_a_take_reads_what_has_changed_and_not_what_waits(
    channel: oc.Channel, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many messages wait."""
    monkeypatch.setattr(waiting, "_FRESH_SECONDS", 0)
    monkeypatch.setattr(waiting, "_REREAD_SECONDS", 1e9)
    queue = Queue(channel)
    for number in range(300):
        queue.add("Send", number)
    assert take(queue) == 0
    reads.entries = 0
    assert [take(queue) for _ in range(100)] == list(range(1, 101))
    assert reads.entries <= 2 * 100


def test_a_message_of_another_process_with_a_lower_priority_is_next(channel: oc.Channel) -> None:
    """It is found among the changes."""
    queue, other = Queue(channel), Queue(channel)
    queue.add("Send", "usual")
    queue.add("Send", "later")
    assert take(queue) == "usual"
    other.add("Send", "urgent", priority=0)
    assert [take(queue) for _ in range(3)] == ["urgent", "later", None]


def test_a_change_of_priority_counts(channel: oc.Channel) -> None:
    """Also if the message was known with another one."""
    queue = Queue(channel)
    first, second = queue.add("Send", "first"), queue.add("Send", "second")
    assert take(queue) == "first"
    queue.add("Send", "third")
    entry: Any = channel.get({"id": second})
    channel.set({"id": second}, entry | {"priority": 5})
    assert (first, [take(queue) for _ in range(3)]) == (first, ["third", "second", None])


def test_a_change_that_was_not_shown_in_order_is_found_by_a_look_without_a_result(
    channel: oc.Channel, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storages may show changes that happen at the same time in another order."""
    monkeypatch.setattr(waiting, "_REREAD_IDLE_SECONDS", 0)
    monkeypatch.setattr(waiting, "_REST", 0)
    queue, other = Queue(channel), Queue(channel)
    queue.add("Send", "first")
    assert take(queue) == "first"
    other.add("Send", "not shown")
    reads.hidden = True
    assert take(queue) == "not shown"


def test_messages_of_dead_workers_are_delivered_beside_those_that_never_began(
    channel: oc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which they were added."""
    monkeypatch.setattr(waiting, "_FRESH_SECONDS", 0)
    seconds = itertools.count(1000)
    queue, other = (Queue(channel, now=lambda: next(seconds)) for _ in range(2))
    for text in ("first", "second", "third"):
        queue.add("Send", text)
    message = other.take(ttl=60)
    assert message is not None
    assert take(queue) == "second"
    channel.force_unlock(channel.locks()[0].name)
    assert [take(queue) for _ in range(3)] == ["first", "third", None]


def test_a_message_that_could_not_be_taken_is_delivered_later(channel: oc.Channel) -> None:
    """As after an outage of the server, at its lock."""
    refusing = Refusing()
    with oc.open_channel(channel.name, extensions=[refusing]) as failing:
        queue = Queue(failing)
        queue.add("Send", "once")
        refusing.refuses = True
        with pytest.raises(oc.ChannelUnavailable):
            queue.take(ttl=60)
        refusing.refuses = False
        assert [take(queue) for _ in range(2)] == ["once", None]


class Refusing:
    """Refuses locks."""

    refuses = False

    @oc.hookimpl(wrapper=True)
    def lock(self) -> Iterator[None]:
        if self.refuses:
            raise oc.ChannelUnavailable("queue", "the server is down", "start it")
        return (yield)
