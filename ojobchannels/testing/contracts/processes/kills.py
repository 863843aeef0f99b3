"""Kills and stops: what becomes of a process's writes, waits and leases."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from itertools import islice

import pytest

from ojobchannels.errors import ChannelTimeout
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.locks.requests import SOON
from ojobchannels.testing.contracts.processes.crowds import WAIT
from ojobchannels.testing.kit.background import Background, WaitObserver
from ojobchannels.testing.kit.children import Child, Children, boot_time
from ojobchannels.testing.kit.subject import Subject

WRITE = """
for number in range(params["start"], params["keys"]):
    channel.set({"by": params["by"], "number": number}, {"by": params["by"], "number": number})
    send(number)
    if (number - params["start"]) % 40 == 39:
        receive()
"""
STOPPED = """
import threading
told = threading.Event()
def lost(lease):
    send("lost")
    told.set()
lease = channel.lock("nightly", ttl=0.5, keep_alive=True, on_lost=lost)
send(lease.fence)
told.wait(30)
for attempt in (lease.check, lease.extend, lambda: channel.set("key", "old", fence=lease.fence)):
    try:
        attempt()
        send("passed")
    except oc.ChannelError as error:
        send(type(error).__name__)
"""


@requires("processes")
class KillContract(Contract):
    """Processes that die by -9 or are stopped, wherever they are, cost others little."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "stopped"])
    def test_a_waiter_that_is_dead_or_stopped_holds_nobody_up(
        self, subject: Subject, children: Children, background: Background, number: int
    ) -> None:
        """Those that wait behind it get the lock soon after its release.

        One that was stopped in the very middle of a step may cost others a timeout, not twice.
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
                assert not last_try, "a stopped waiter cost others a timeout twice"
                continue
            assert boot_time() - released < SOON
            return

    def test_a_stopped_holder_learns_on_waking_that_it_lost(
        self, subject: Subject, children: Children, background: Background
    ) -> None:
        """Once, by on_lost; its fenced write is refused where the next one wrote."""
        holder = children(STOPPED, subject)
        fence = holder.receive()
        holder.signal(signal.SIGSTOP)
        channel = subject.open()
        with background(channel.lock, "nightly", ttl=60, wait=10).result(12) as lease:
            assert lease.fence > fence
            channel.set("key", "new", fence=lease.fence)
            holder.signal(signal.SIGCONT)
            heard = [holder.receive() for _ in range(4)]
            assert heard == ["lost", "LockLost", "LockLost", "StaleFence"]
            lease.check()
        assert channel.get("key") == "new"

    def test_what_was_acknowledged_outlives_a_kill(
        self, subject: Subject, children: Children
    ) -> None:
        """Two writers die by -9 in the middle of it and are started again, twice."""
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


def _acknowledged(said: Iterable[int]) -> int:
    """How many keys, counted from 0, a writer says are stored."""
    return max((number + 1 for number in said), default=0)
