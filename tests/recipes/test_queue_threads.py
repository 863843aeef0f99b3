"""One queue object that is used by many threads, and by workers of different jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.recipes.queue import Message, Queue


@pytest.fixture
def channel(request: pytest.FixtureRequest) -> Iterator[oc.Channel]:
    """The channel of the queue."""
    with oc.open_channel(request.node.name) as channel:
        yield channel
        channel.destroy()


def job_of(message: Message | None) -> str | None:
    """Process a message, and return its job."""
    if message is not None:
        message.done()
    return message.job if message else None


def test_workers_with_different_jobs_share_a_queue_object(channel: oc.Channel) -> None:
    """Also with more messages than are read again for each of them."""
    queue = Queue(channel)
    for number in range(101):
        queue.add("often", number)
    queue.add("seldom")
    for job in ("often", "seldom", "often"):
        message = queue.take(60, [job])
        assert message is not None
        assert message.job == job
        message.done()


def test_a_message_that_another_worker_removes_meanwhile_hides_none_that_is_due() -> None:
    """The next one is delivered; one that is added at that moment is delivered, too."""

    class Meanwhile:
        @oc.hookimpl(wrapper=True)
        def get(self) -> Iterator[None]:
            while between:
                between.pop()()
            return (yield)

    between: list[Callable[[], object]] = []
    with oc.open_channel("meanwhile", extensions=[Meanwhile()]) as channel:
        queue, other = Queue(channel), Queue(channel)
        first = queue.add("Removed", priority=0)
        queue.add("Due")
        between += [lambda: other.add("Late"), lambda: other.delete(first)]
        assert [job_of(queue.take(ttl=60)) for _ in range(3)] == ["Due", "Late", None]


def test_threads_add_to_and_take_from_one_queue_object(channel: oc.Channel) -> None:
    """Each message is delivered once, and no thread fails."""
    queue, count = Queue(channel), 120
    delivered: list[Any] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for value in range(number, count, 4):
                queue.add("Send", value)
            while (message := queue.take(ttl=60)) is not None:
                delivered.append(message.data)
                message.done()
        except BaseException as error:  # noqa: BLE001  the test shows it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, sorted(delivered)) == ([], list(range(count)))
