"""Processes that share a `file` or `db` channel: kills, forks, stops, waiting, and much writing."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from itertools import islice
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Storage, Worker

    StartWorker = Callable[..., Worker]

HOLD = "say(channel.lock(facts['lock'], ttl=60).fence); hear()"

# Takes the locks that it is told, one after the other; says when it went to wait, and when it won.
WAIT = """
with oc.open_channel(given["name"], given["config"], extensions=[Announcer()]) as waiting:
    while name := hear():
        with waiting.lock(name, ttl=60, wait=60):
            say(boot_time())
"""


def boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def test_kill_9_of_a_holder_frees_its_lock_for_a_waiter_within_50_ms(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Long before its ttl; the median of ten kills, on a clock that the processes share."""
    waiter = start_worker(WAIT, shared_storage)
    names = [f"lock {turn}" for turn in range(10)]
    holders = [start_worker(HOLD, shared_storage, lock=name) for name in names]
    lags = []
    for name, holder in zip(names, holders, strict=True):
        holder.hear()
        waiter.tell(name)
        assert waiter.hear() == "waiting"
        killed = boot_time()
        holder.kill()
        lags.append(waiter.hear() - killed)
    assert statistics.median(lags) < 0.05, lags


def test_a_release_wakes_a_waiter_in_another_process_within_50_ms(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """The median of ten."""
    waiter = start_worker(WAIT, shared_storage)
    channel = shared_storage.open()
    lags = []
    for turn in range(10):
        lease = channel.lock(f"lock {turn}", ttl=60)
        waiter.tell(lease.name)
        assert waiter.hear() == "waiting"
        released = boot_time()
        lease.release()
        lags.append(waiter.hear() - released)
    assert statistics.median(lags) < 0.05, lags


def test_the_death_of_a_holder_is_seen_without_waiting(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """`try_lock`, `lock_info` and `locks` know it at once, and the next lease names the dead."""
    holder = start_worker(HOLD, shared_storage, lock="nightly")
    fence = holder.hear()
    channel = shared_storage.open()
    assert channel.try_lock("nightly", ttl=1) is None
    holder.kill()
    assert channel.lock_info("nightly") is None
    assert channel.locks() == []
    lease = channel.try_lock("nightly", ttl=30)
    assert lease is not None
    assert lease.fence > fence
    assert lease.previous is not None
    assert (lease.previous["pid"], lease.previous["fence"]) == (holder.process.pid, fence)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_waiter_that_is_dead_or_stopped_holds_nobody_up(
    shared_storage: Storage, start_worker: StartWorker, signal_number: int
) -> None:
    """Those behind it in the waiting room get the lock soon after its release."""
    channel = shared_storage.open()
    lease = channel.lock("nightly", ttl=60)
    first, second = (start_worker(WAIT, shared_storage) for _ in range(2))
    for waiter in (first, second):
        waiter.tell("nightly")
        assert waiter.hear() == "waiting"
    os.kill(first.process.pid, signal_number)
    released = boot_time()
    lease.release()
    assert second.hear() - released < 1


def test_a_stopped_holder_learns_on_waking_that_it_lost(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Once, through on_lost; and its fenced write is refused where the next one wrote."""
    holder = start_worker(
        """
import threading
told = threading.Event()
def lost(lease):
    say("lost")
    told.set()
lease = channel.lock("nightly", ttl=0.5, keep_alive=True, on_lost=lost)
say(lease.fence)
told.wait(30)
for attempt in (lease.check, lease.extend, lambda: channel.set("key", "old", fence=lease.fence)):
    try:
        attempt()
        say("passed")
    except oc.ChannelError as error:
        say(type(error).__name__)
""",
        shared_storage,
    )
    fence = holder.hear()
    os.kill(holder.process.pid, signal.SIGSTOP)
    channel = shared_storage.open()
    with channel.lock("nightly", ttl=60, wait=10) as lease:
        assert lease.fence > fence
        channel.set("key", "new", fence=lease.fence)
        os.kill(holder.process.pid, signal.SIGCONT)
        heard = [holder.hear() for _ in range(4)]
        assert heard == ["lost", "LockLost", "LockLost", "StaleFence"]
        lease.check()
    assert channel.get("key") == "new"


FORK = """
import os, traceback
lease = channel.lock("nightly", ttl=60)
say(lease.fence)
hear()
child = os.fork()
if child == 0:
    try:
        lease.release()
        lease.release()
        with lease:
            pass
        assert not lease.held
        assert lease.remaining() == 0
        for attempt in (lease.check, lease.extend, lease.to_document, lease.share):
            try:
                attempt()
            except oc.LockLost as error:
                assert "parent" in str(error)
            else:
                raise AssertionError(attempt)
        channel.set("written by", os.getpid())
        assert channel.get("parent's") == "value"
        assert channel.try_lock("nightly", ttl=1) is None
        own = channel.lock("child's", ttl=60)
        say("child")
        hear()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
say(child)
say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
lease.check()
hear()
lease.release()
say("released")
"""


def test_rule_9_a_fork_does_not_inherit_a_lease(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """In the child release, `with` and extend do nothing; its end frees its own locks only."""
    channel = shared_storage.open()
    channel.set("parent's", "value")
    worker = start_worker(FORK, shared_storage)
    worker.hear()
    worker.tell()
    child, word = sorted([worker.hear(), worker.hear()], key=str)
    assert word == "child"
    assert channel.get("written by") == child
    assert channel.lock_info("nightly") is not None
    info = channel.lock_info("child's")
    assert info is not None
    assert info.holder["pid"] == child
    worker.tell()
    assert worker.hear() == 0
    assert channel.lock_info("child's") is None
    assert channel.lock_info("nightly") is not None
    worker.tell()
    assert worker.hear() == "released"
    assert channel.lock_info("nightly") is None
    assert worker.end() == 0


def test_rule_9_a_forked_child_does_not_keep_the_dead_parents_lock(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """The parent's life alone counts, although the child inherited its open files."""
    channel = shared_storage.open()
    channel.set("parent's", "value")
    worker = start_worker(FORK, shared_storage)
    worker.hear()
    worker.tell()
    child = next(word for word in (worker.hear(), worker.hear()) if word != "child")
    worker.kill()
    try:
        assert channel.lock_info("nightly") is None
        with channel.lock("nightly", ttl=1):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_rule_9_a_fork_leaves_the_renewals_to_the_parent(
    storage: Storage, start_worker: StartWorker
) -> None:
    """The parent's lease lives on, and the child has no thread that renews it."""
    worker = start_worker(
        """
import os, threading, time, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
told = threading.Event()
lease = channel.lock("nightly", ttl=1.5, keep_alive=True, on_lost=lambda _: told.set())
child = os.fork()
if child == 0:
    try:
        assert threading.active_count() == 1
        lease.release()
        with channel.lock("child's", ttl=1.5, keep_alive=True) as own:
            time.sleep(1.6)
            own.check()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
lease.check()
assert not told.is_set()
lease.release()
say("fine")
""",
        storage,
    )
    assert worker.hear() == "fine"
    assert worker.end() == 0


def test_a_child_that_forked_while_others_worked_is_not_stuck(
    storage: Storage, start_worker: StartWorker
) -> None:
    """No lock of the parent's threads is carried over closed, no connection is shared."""
    worker = start_worker(
        """
import os, threading, traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)
stop = threading.Event()
def work(number):
    turn = 0
    while not stop.is_set():
        turn += 1
        channel.set({"by": number}, turn)
        with channel.lock(f"lock {number}", ttl=60):
            channel.get({"by": number})
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
try:
    for turn in range(10):
        child = os.fork()
        if child == 0:
            try:
                channel.set("child", turn)
                assert channel.get("child") == turn
                with channel.lock("child's", ttl=60, wait=10):
                    pass
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
finally:
    stop.set()
    for thread in threads:
        thread.join()
say(channel.size())
""",
        storage,
    )
    assert worker.hear() == (3 if storage.type == "simple" else 4)
    assert worker.end() == 0


WRITE = """
for number in range(facts["start"], facts["keys"]):
    channel.set({"by": facts["by"], "number": number}, {"by": facts["by"], "number": number})
    say(number)
"""


def acknowledged(worker: Worker, limit: int | None = None) -> int:
    """How many keys, counted from 0, the writer says are stored; read to its end or so far."""
    assert worker.process.stdout is not None
    lines = islice(worker.process.stdout, limit)
    return max((int(line) + 1 for line in lines if line.endswith("\n")), default=0)


@pytest.mark.parametrize(
    "keys", [400, pytest.param(2000, marks=[pytest.mark.torture, pytest.mark.timeout(600)])]
)
def test_two_processes_write_many_keys_each_while_they_are_killed(
    shared_storage: Storage, start_worker: StartWorker, keys: int
) -> None:
    """Writers die by -9 at random and are started again: what was acknowledged is there."""
    channel = shared_storage.open()

    def start(by: str) -> Worker:
        stored = [one["number"] for one in channel.get_all({"by": by})]
        assert stored == list(range(len(stored)))
        return start_worker(WRITE, shared_storage, by=by, start=len(stored), keys=keys)

    writers = {by: start(by) for by in "ab"}
    for _ in range(4):
        for by, writer in writers.items():
            before = acknowledged(writer, limit=1 + random.randrange(keys // 8))
            writer.kill()
            assert max(before, acknowledged(writer)) <= len(channel.get_all({"by": by}))
            writers[by] = start(by)
    assert [writer.end() for writer in writers.values()] == [0, 0]
    assert channel.size() == 2 * keys
    for by in "ab":
        assert [one["number"] for one in channel.get_all({"by": by})] == list(range(keys))


def test_a_forked_child_goes_on_when_its_parent_is_gone(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """What the child writes is there, though the parent closed the channel meanwhile and ended."""
    parent = start_worker(
        """
import os, traceback
channel.set("parent", 1)
ready, begun = os.pipe()
child = os.fork()
if child == 0:
    os.close(ready)
    try:
        channel.set_all((n, n) for n in range(100))
        os.write(begun, b"!")
        hear()
        for n in range(100, 200):
            channel.set(n, n)
        say(channel.size())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
os.close(begun)
assert os.read(ready, 1) == b"!"
channel.close()
say("closed")
os._exit(0)
""",
        shared_storage,
    )
    assert parent.hear() == "closed"
    assert parent.process.wait(30) == 0
    with shared_storage.open() as channel:
        assert channel.size() == 101
        channel.set("other", 1)
    parent.tell()
    assert parent.hear() == 202
    parent.end()
    channel = shared_storage.open()
    assert channel.size() == 202
    assert {*range(200)} < set(channel.get_keys())


def test_no_update_is_lost_between_processes(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Four processes count one document up by compare and set."""
    script = """
for _ in range(facts["turns"]):
    while True:
        seen = channel.get("counter")
        if channel.get_set(seen, "counter", {"n": seen["n"] + 1}) is not None:
            break
"""
    channel = shared_storage.open()
    channel.set("counter", {"n": 0})
    workers = [start_worker(script, shared_storage, turns=50) for _ in range(4)]
    assert [worker.end() for worker in workers] == [0] * 4
    assert channel.get("counter") == {"n": 200}


def test_a_process_sees_what_another_wrote_as_soon_as_it_is_told(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Nothing is cached beyond the other's next write."""
    worker = start_worker(
        """
while (value := hear()) is not None:
    say(channel.get("key"))
    channel.set("answer", value)
    say()
""",
        shared_storage,
    )
    channel = shared_storage.open()
    for turn in range(50):
        channel.set("key", turn)
        worker.tell(turn)
        assert worker.hear() == turn
        worker.hear()
        assert channel.get("answer") == turn


def test_a_stopped_process_does_not_hang_the_others_for_ever(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Stopped wherever it was, also in the middle of a write, it costs others a timeout at most."""
    channel = shared_storage.open(timeout=0.2)
    worker = start_worker(
        "say()\nwhile True:\n    channel.set('key', 'x' * 100000)", shared_storage
    )
    worker.hear()
    refused = 0
    for turn in range(10):
        os.kill(worker.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        try:
            channel.set("other", turn)
        except oc.ChannelTimeout:
            refused += 1
        assert time.monotonic() - began < 5
        os.kill(worker.process.pid, signal.SIGCONT)
    worker.kill()
    channel.set("other", "last")
    assert channel.get("other") == "last"
