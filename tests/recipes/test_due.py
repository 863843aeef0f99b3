"""A queue on a backend with indexes: it reads the messages that are first, and misses none."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.recipes.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


class Reads:
    """Counts the entries that are read."""

    def __init__(self) -> None:
        self.entries = 0

    @oc.hookimpl(wrapper=True)
    def items(self) -> Generator[None, Any, Any]:
        return self._count((yield))

    @oc.hookimpl(wrapper=True)
    def below(self) -> Generator[None, Any, Any]:
        return self._count((yield))

    def _count(self, page: Any) -> Any:
        self.entries += len(page)
        return page


class Clock:
    """The clock of the queue, which a test moves."""

    seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def reads() -> Reads:
    """What the queue reads."""
    return Reads()


@pytest.fixture
def channel(tmp_path: Path, reads: Reads) -> Iterator[oc.Channel]:
    """A channel whose backend has indexes."""
    file = str(tmp_path / "queue.db")
    with oc.open_channel(
        "queue", type="db", file=file, durable=False, extensions=[reads]
    ) as opened:
        yield opened


def fill(channel: oc.Channel, messages: list[dict[str, Any]]) -> None:
    """Store messages, as producers have left them; each is a thousandth of a second younger."""
    usual = {"job": "Send", "status": "waiting", "priority": 1, "attempts": 0}
    whole = [
        {"added": 1000 + at, "notBefore": 1000 + at, **usual, "id": str(at), "data": at} | message
        for at, message in enumerate(messages)
    ]
    channel.set_all([({"id": one["id"]}, one) for one in whole])


def take(queue: Queue, *jobs: str) -> Any:
    """Process the next message, and return its content."""
    message = queue.take(60, jobs or None)
    if message is None:
        return None
    message.done()
    return message.data


def test_the_first_take_does_not_read_all_that_waits(channel: oc.Channel, reads: Reads) -> None:
    """Nor the next ones, nor the question when a message is due."""
    fill(channel, [{}] * 2000)
    queue = Queue(channel)
    assert [take(queue) for _ in range(50)] == list(range(50))
    assert queue.next_due() == 0
    assert reads.entries <= 1000


def test_messages_are_delivered_by_priority_then_age_although_few_are_read(
    channel: oc.Channel,
) -> None:
    """Also if more messages of a priority wait than are read at a time."""
    chosen = random.Random(7)
    messages = [{"priority": chosen.choice([-1, 0.5, 3, 3, 3])} for _ in range(250)]
    fill(channel, messages)
    queue = Queue(channel)
    expected = sorted(range(250), key=lambda at: (messages[at]["priority"], at))
    assert [take(queue) for _ in range(250)] == expected
    assert take(queue) is None


def test_messages_for_other_jobs_hide_none(channel: oc.Channel) -> None:
    """However many are due before; nor do those that are kept as failed, or are in progress."""
    other = [{"job": "Other"}] * 150 + [{"status": "failed"}] * 150
    fill(channel, [*other, {}])
    queue = Queue(channel)
    held = [queue.take(60, ["Other"]) for _ in range(10)]
    assert take(queue, "Send") == 300
    assert take(queue, "Send") is None
    assert queue.next_due() == 0
    for message in held:
        assert message is not None
        message.leave()


def test_messages_that_become_due_are_found_behind_many_others(
    channel: oc.Channel, reads: Reads
) -> None:
    """Those that are delayed are not read before."""
    later = {"notBefore": 2_000_000_000}
    fill(channel, [*[later] * 1500, {"priority": 5}, {"notBefore": 1_000_000_500}])
    clock = Clock()
    queue = Queue(channel, now=clock)
    assert [take(queue), take(queue)] == [1500, None]
    assert queue.next_due() == pytest.approx(0.5)
    assert reads.entries <= 1500
    clock.seconds += 1
    assert [take(queue), take(queue)] == [1501, None]
    clock.seconds = 2_000_000.0
    assert take(queue) == 0


def test_the_messages_of_dead_workers_come_first(channel: oc.Channel) -> None:
    """They are the oldest, however many have been added since."""
    fill(channel, [{}] * 300)
    message = Queue(channel).take(60)
    assert message is not None
    queue = Queue(channel)
    assert take(queue) == 1
    channel.force_unlock(channel.locks()[0].name)
    assert take(Queue(channel)) == 0


def test_a_message_of_a_producer_whose_clock_is_ahead_is_found(
    channel: oc.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is corrected when it is read: at once if few have been added since."""
    clock = Clock()
    hour = {"added": 1_003_600_000, "notBefore": 1_003_600_000}
    fill(channel, [hour, *[{"job": "Other"}] * 200])
    monkeypatch.setattr("ojobchannels.recipes.waiting._REREAD_SECONDS", -1)
    assert take(Queue(channel, now=clock), "Send") == 0
