"""Kills and suspensions: their effect on writes, waiters and leases."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from itertools import islice

import pytest

from ojobchannels.errors import ChannelTimeout
from ojobchannels.testing.contracts.base import Contract, requires, timed
from ojobchannels.testing.contracts.processes.concurrency import WAIT
from ojobchannels.testing.kit.background import SOON, Background, WaitObserver
from ojobchannels.testing.kit.children import Child, Children, boot_time
from ojobchannels.testing.kit.subject import Subject

WRITE = """
for number in range(params["start"], params["keys"]):
    channel.set({"by": params["by"], "number": number}, {"by": params["by"], "number": number})
    send(number)
    if (number - params["start"]) % 40 == 39:
        receive()
"""
BATCHES = """
send()
turn = 0
while True:
    turn += 1
    channel.set_all((n, turn) for n in range(1200))
    channel.unset_all(range(1200))
"""
STOPPED = """
import threading
lost_event = threading.Event()
def lost(lease):
    send("lost")
    lost_event.set()
lease = channel.lock("nightly", ttl=0.5, keep_alive=True, on_lost=lost)
send(lease.fence)
lost_event.wait(30)
for attempt in (lease.check, lease.extend, lambda: channel.set("key", "old", fence=lease.fence)):
    try:
        attempt()
        send("passed")
    except oc.ChannelError as error:
        send(type(error).__name__)
"""


@requires("processes")
@timed
class KillContract(Contract):
    """A process that is killed or suspended at any moment has little effect on others."""

    @pytest.mark.parametrize(
        "number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "suspended"]
    )
    def test_a_dead_or_suspended_waiter_does_not_delay_others(
        self, subject: Subject, children: Children, background: Background, number: int
    ) -> None:
        """The waiters behind it get the lock soon after its release.

        A waiter that is suspended in the middle of a step may cause one timeout, but not two.
        """
        observer = WaitObserver()
        channel, behind = subject.open(), subject.open(extensions=[observer])
        for last_try in (False, True):
            lease = channel.lock("nightly", ttl=60)
            first = children(WAIT, subject)
            first.send("nightly")
            assert first.receive() == "waiting"
            second = background(behind.lock, "nightly", ttl=60, wait=30)
            observer.await_waiters()
            first.signal(number)
            released = boot_time()
            try:
                lease.release()
                second.result(20).release()
            except ChannelTimeout:
                first.kill()
                channel.force_unlock("nightly")
                assert not last_try, "a suspended waiter caused two timeouts"
                continue
            assert boot_time() - released < SOON
            return

    def test_a_suspended_holder_notices_its_loss_when_it_resumes(
        self, subject: Subject, children: Children, background: Background
    ) -> None:
        """`on_lost` is called once, and a write with the old fence is refused."""
        holder = children(STOPPED, subject)
        fence = holder.receive()
        holder.signal(signal.SIGSTOP)
        channel = subject.open()
        with background(channel.lock, "nightly", ttl=60, wait=10).result(12) as lease:
            assert lease.fence > fence
            channel.set("key", "new", fence=lease.fence)
            holder.signal(signal.SIGCONT)
            messages = [holder.receive() for _ in range(4)]
            assert messages == ["lost", "LockLost", "LockLost", "StaleFence"]
            lease.check()
        assert channel.get("key") == "new"

    def test_acknowledged_writes_survive_a_kill(self, subject: Subject, children: Children) -> None:
        """Two writers are killed in the middle of writing and started again, twice."""
        channel, keys = subject.open(), 150

        def start(by: str) -> Child:
            stored = [one["number"] for one in channel.get_all({"by": by})]
            assert stored == list(range(len(stored)))
            return children(WRITE, subject, by=by, start=len(stored), keys=keys)

        writers = {by: start(by) for by in "ab"}
        for turn in range(2):
            for by, writer in writers.items():
                before = _acknowledged(islice(writer.remaining(), 5 + 17 * turn))
                writer.kill()
                acknowledged = max(before, _acknowledged(writer.remaining()))
                assert acknowledged <= len(channel.get_all({"by": by})), "a write was lost"
                writers[by] = start(by)
        for writer in writers.values():
            for _ in range(keys // 40):
                writer.send()
        assert [writer.end() for writer in writers.values()] == [0, 0]
        for by in "ab":
            assert [one["number"] for one in channel.get_all({"by": by})] == list(range(keys))

    @requires("atomic_batches")
    def test_a_batch_of_a_killed_process_is_whole(
        self, subject: Subject, children: Children
    ) -> None:
        """More than a thousand entries are those of one batch, wherever the kill hits."""
        channel = subject.open()
        for turn in range(2):
            writer = children(BATCHES, subject)
            writer.receive()
            time.sleep(0.02 + 0.017 * turn)
            writer.kill()
            values = channel.get_all()
            assert len(values) in (0, 1200), f"{len(values)} of 1200 entries are left"
            assert len(set(values)) <= 1, "the entries are of two batches"


def _acknowledged(numbers: Iterable[int]) -> int:
    """Return the number of keys that a writer has acknowledged."""
    return max((number + 1 for number in numbers), default=0)
