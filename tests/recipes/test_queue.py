"""The queue on a channel: each message once at a time, until it is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import InvalidOption
from ojobchannels.recipes.queue import Queue, RetryPolicy

WORKER = """\
import sys
import ojobchannels as oc
from ojobchannels.recipes.queue import Queue
queue = Queue(oc.open_channel("queue", sys.argv[1]))
while (message := queue.take(ttl=60)) is not None:
    print(message.data, flush=True)
    if sys.argv[2:] == ["stays"]:
        sys.stdin.readline()
    message.done()
"""
TYPES = {"file": "file", "db": "sqlite"}


class Time:
    """A clock to set."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Time:
    """The clock of the queue."""
    return Time()


def url_of(type: str, folder: Path) -> str:
    """A channel of that type."""
    return "simple:" if type == "simple" else f"{TYPES[type]}:///{folder}/queue"


@pytest.fixture(params=["simple", *TYPES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the messages are."""
    return url_of(request.param, tmp_path)


@pytest.fixture
def channel(url: str) -> Iterator[oc.Channel]:
    """The channel of the queue."""
    with oc.open_channel("queue", url) as channel:
        yield channel
        channel.destroy()


@pytest.fixture
def queue(channel: oc.Channel, now: Time) -> Queue:
    """A queue that tries three times, after 10 and 20 seconds."""
    return Queue(channel, RetryPolicy(attempts=3, pause=10), now)


def taken(queue: Queue) -> str | None:
    """Take a message, process it, and return its job."""
    message = queue.take(ttl=60)
    if message is not None:
        message.done()
    return message.job if message else None


def test_messages_are_delivered_by_priority_then_age(queue: Queue, now: Time) -> None:
    """The lowest first; a number is a number."""
    for job, priority in (("old", 10), ("young", 10), ("first", 9)):
        queue.add(job, priority=priority)
        now.seconds += 1
    assert [taken(queue) for _ in range(4)] == ["first", "old", "young", None]


def test_messages_of_one_moment_are_delivered_in_the_order_of_adding(queue: Queue) -> None:
    """They have one time; the channel knows their order."""
    for number in range(30):
        queue.add(str(number))
    assert [taken(queue) for _ in range(30)] == [str(number) for number in range(30)]


AHEAD = 10 * 365 * 86_400


def test_a_producer_whose_clock_is_ahead_does_not_hide_its_messages(
    queue: Queue, now: Time
) -> None:
    """Their delays count from the moment at which another clock sees them."""
    now.seconds += AHEAD
    queue.add("early")
    queue.add("later", delay=20)
    queue.add("dropped", ttl=5, delay=10)
    now.seconds -= AHEAD
    queue.add("young")
    assert [taken(queue) for _ in range(3)] == ["early", "young", None]
    assert queue.next_due() == 10
    now.seconds += 20
    assert [taken(queue) for _ in range(2)] == ["later", None]
    assert queue.messages() == []


def test_a_worker_whose_clock_is_ahead_does_not_hide_a_message_that_failed(
    queue: Queue, now: Time
) -> None:
    """The pause before the next attempt counts from the moment at which another clock sees it."""
    queue.add("Send")
    now.seconds += AHEAD
    message = queue.take(ttl=60)
    assert message is not None
    message.failed("no route")
    now.seconds -= AHEAD
    assert (taken(queue), queue.next_due()) == (None, 10)
    now.seconds += 10
    assert taken(queue) == "Send"


def test_a_message_in_progress_is_not_delivered_again(queue: Queue) -> None:
    """And is seen with its worker."""
    queue.add("Send", {"to": "Ada"})
    message = queue.take(ttl=60)
    assert message is not None
    assert queue.take(ttl=60) is None
    (listed,) = queue.messages()
    assert f"pid {os.getpid()}" in listed["worker"]
    message.done()
    assert queue.messages() == []


def test_a_failing_message_is_retried_with_growing_pauses_and_then_kept(
    queue: Queue, now: Time
) -> None:
    """It is kept with its error until it is retried."""
    name = queue.add("Send")
    for rest in (10, 20):
        message = queue.take(ttl=60)
        assert message is not None
        assert message.failed(ValueError("no route"))
        assert queue.next_due() == rest
        assert queue.take(ttl=60) is None
        now.seconds += rest
    last = queue.take(ttl=60)
    assert last is not None
    assert last.attempts == 3
    assert not last.failed("no route")
    now.seconds += 1000
    assert queue.take(ttl=60) is None
    (kept,) = queue.messages()
    assert (kept["status"], kept["error"]) == ("failed", "no route")
    assert queue.retry(name)
    assert not queue.retry(name)
    assert taken(queue) == "Send"


def test_pauses_double_up_to_the_longest() -> None:
    """However often it was tried."""
    retries = RetryPolicy(pause=2, longest_pause=50)
    assert [retries.pause_after(each) for each in (1, 2, 3, 6, 10_000)] == [2, 4, 8, 50, 50]


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"pause": -1}])
def test_an_invalid_retry_policy_is_rejected(wrong: dict[str, int]) -> None:
    """With what to pass."""
    with pytest.raises(InvalidOption, match="pass"):
        RetryPolicy(**wrong)


def test_a_delayed_message_is_delivered_later_and_an_expired_one_never(
    queue: Queue, now: Time
) -> None:
    """The one is kept back, the other dropped."""
    queue.add("later", delay=5)
    queue.add("soon", ttl=3)
    now.seconds += 4
    assert taken(queue) is None
    now.seconds += 1
    assert taken(queue) == "later"
    assert queue.messages() == []


def test_a_message_that_is_given_back_does_not_count_an_attempt(queue: Queue) -> None:
    """A worker does that when it shuts down."""
    queue.add("Send")
    message = queue.take(ttl=60)
    assert message is not None
    message.give_back()
    again = queue.take(ttl=60)
    assert again is not None
    assert again.attempts == 1
    again.done()


def test_a_message_in_progress_does_not_make_the_next_one_due(queue: Queue) -> None:
    """Else its worker's neighbours would never rest."""
    queue.add("Send")
    message = queue.take(ttl=60)
    assert message is not None
    assert queue.next_due() is None
    queue.add("Later", delay=7)
    assert queue.next_due() == 7
    message.done()


def test_messages_leave_no_locks_behind(queue: Queue) -> None:
    """There are as many locks as messages were in progress at once."""
    for number in range(20):
        queue.add(str(number))
    both = [queue.take(ttl=60), queue.take(ttl=60)]
    assert {info.name for info in queue.channel.locks()} == {"worker 1", "worker 2"}
    for message in both:
        assert message is not None
        message.done()
    while taken(queue):
        assert queue.channel.locks() == []


def test_many_messages_are_not_read_again_for_each() -> None:
    """They are taken one by one from what was read at once."""
    reads: list[int] = []

    class Counting:
        @oc.hookimpl(wrapper=True)
        def items(self, limit: int) -> Iterator[None]:
            reads.append(limit)
            return (yield)

    with oc.open_channel("many", extensions=[Counting()]) as channel:
        queue = Queue(channel)
        for number in range(400):
            queue.add("Send", number)
        seen = []
        while (message := queue.take(ttl=60)) is not None:
            seen.append(message.data)
            message.done()
    assert seen == list(range(400))
    assert len(reads) < 400


VALID = {
    "id": "x",
    "job": "Send",
    "data": None,
    "status": "waiting",
    "priority": 1,
    "attempts": 0,
    "added": 0,
    "notBefore": 0,
}


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        *(
            ({key: VALID[key] for key in VALID if key != gone}, f"it has no `{gone}`")
            for gone in VALID
            if gone not in ("data", "priority")
        ),
        *((VALID | {name: [1]}, f"its `{name}` is not valid") for name in VALID if name != "data"),
        (VALID | {"expires": "soon"}, "its `expires` is not valid"),
        *(
            (VALID | {name: time}, f"its `{name}` is not valid")
            for name in ("added", "notBefore", "changed", "expires")
            for time in (1e300, -1e300)
        ),
        (VALID | {"id": "y"}, "its `id` is not that of its key"),
        ("Send", "it is not a map"),
        (None, "it is not a map"),
    ],
)
def test_a_malformed_entry_is_set_aside_and_stops_nothing(entry: Any, reason: str) -> None:
    """It is listed with the reason, and can be deleted."""
    with oc.open_channel("malformed") as channel:
        queue = Queue(channel)
        channel.set({"id": "x"}, entry)
        queue.add("Send")
        assert [taken(queue) for _ in range(2)] == ["Send", None]
        assert queue.next_due() is None
        assert queue.malformed() == {"x": reason}
        (listed,) = queue.messages()
        assert (listed["status"], listed["error"]) == (
            "malformed",
            f"the entry is malformed: {reason}",
        )
        assert not queue.retry("x")
        assert queue.delete("x")
        assert queue.messages() == []


def test_a_malformed_entry_with_another_key_can_be_deleted(queue: Queue) -> None:
    """By its key as JSON."""
    queue.channel.set(5, VALID)
    assert queue.malformed() == {"5": "its `id` is not that of its key"}
    assert queue.delete("5")
    assert not queue.delete("5")


def test_a_delay_of_any_length_is_a_delay(queue: Queue) -> None:
    """Longer than any clock counts."""
    queue.add("Never", delay=10**19, ttl=10**300)
    assert taken(queue) is None
    assert RetryPolicy(pause=1e300, longest_pause=1e300).pause_after(10_000) > 0


def test_a_message_in_progress_can_be_deleted(queue: Queue) -> None:
    """It does not come back when its worker fails."""
    name = queue.add("Send")
    message = queue.take(ttl=60)
    assert message is not None
    assert queue.delete(name)
    message.failed("no route")
    assert queue.messages() == []


def test_a_late_worker_does_not_overwrite_the_attempt_of_another(queue: Queue) -> None:
    """Its lease was taken from it; what it says of its attempt no longer counts."""
    queue.add("Send")
    late = queue.take(ttl=60)
    assert late is not None
    queue.channel.force_unlock(queue.channel.locks()[0].name)
    second = queue.take(ttl=60)
    assert second is not None
    with pytest.raises(oc.LockLost):
        late.failed("no route")
    assert [one["attempts"] for one in queue.messages()] == [2]
    assert "error" not in queue.messages()[0]
    second.done()


def test_threads_share_the_work(queue: Queue) -> None:
    """Each message is processed once, by any of the threads."""
    for number in range(40):
        queue.add("Send", number)
    seen: list[Any] = []

    def work() -> None:
        while (message := queue.take(ttl=60)) is not None:
            seen.append(message.data)
            message.done()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(40))


@pytest.mark.parametrize("url", TYPES, indirect=True)
def test_the_message_of_a_killed_worker_is_processed_by_another(queue: Queue, url: str) -> None:
    """At once, since its lock goes with it; a message that kills its workers is kept at last."""
    queue.add("Send", "deadly")
    for _ in range(3):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER, url, "stays"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "deadly\n"
            worker.send_signal(signal.SIGKILL)
    assert queue.take(ttl=60) is None
    (kept,) = queue.messages()
    assert (kept["status"], kept["error"]) == ("failed", "the worker died while processing it")


@pytest.mark.parametrize("url", TYPES, indirect=True)
def test_processes_share_the_work(queue: Queue, url: str) -> None:
    """The queue outlives the process that filled it."""
    for number in range(30):
        queue.add("Send", number)
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    seen = [line for worker in workers for line in worker.communicate()[0].split()]
    assert sorted(map(int, seen)) == list(range(30))
    assert queue.messages() == []
