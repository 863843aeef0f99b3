"""Deaths: where the backend watches over holders, their death frees what they held (rule 8)."""

from __future__ import annotations

import os
import signal
import statistics

import pytest

from ojobchannels.errors import LockLost
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.processes.crowds import WAIT
from ojobchannels.testing.kit.background import Background
from ojobchannels.testing.kit.children import Children, boot_time
from ojobchannels.testing.kit.subject import Subject

HOLD = "send(channel.lock(params['lock'], ttl=60).fence); receive()"
SHARE = """
import subprocess
lease = channel.lock("nightly", ttl=60)
child = subprocess.Popen(["sleep", "60"], pass_fds=lease.share())
send(child.pid)
if receive() == "release":
    lease.release()
    child.kill()
    child.wait()
    send()
receive()
"""


@requires("crash_release")
class CrashReleaseContract(Contract):
    """However a holder dies, its locks are free within 50 ms."""

    def test_kill_9_of_a_holder_frees_its_lock_for_a_waiter(
        self, subject: Subject, children: Children
    ) -> None:
        """Long before its ttl; in the median of three, on a clock that the processes share."""
        waiter = children(WAIT, subject)
        names = [f"lock {turn}" for turn in range(3)]
        holders = [children(HOLD, subject, lock=name) for name in names]
        lags = []
        for name, holder in zip(names, holders, strict=True):
            holder.receive()
            waiter.send(name)
            assert waiter.receive() == "waiting"
            killed = boot_time()
            holder.kill()
            lags.append(float(waiter.receive()) - killed)
        assert statistics.median(lags) < 0.06, f"free after {sorted(lags)} s"

    def test_the_death_of_a_holder_is_seen_without_waiting(
        self, subject: Subject, children: Children
    ) -> None:
        """`try_lock`, `lock_info` and `locks` know it; the next lease names the dead."""
        holder = children(HOLD, subject, lock="nightly")
        fence = holder.receive()
        channel = subject.open()
        assert channel.try_lock("nightly", ttl=1) is None
        holder.kill()
        assert channel.lock_info("nightly") is None
        assert channel.locks() == []
        lease = channel.try_lock("nightly", ttl=60)
        assert lease is not None
        assert lease.fence > fence
        assert lease.previous is not None
        assert (lease.previous["pid"], lease.previous["fence"]) == (holder.pid, fence)

    def test_a_dead_holders_lease_is_nobodys(self, subject: Subject, children: Children) -> None:
        """Its token extends, adopts, shares and unlocks nothing: all agree that it is free."""
        channel = subject.open()
        holder = children("send(channel.lock('nightly', ttl=60).token); receive()", subject)
        told = {"name": "nightly", "token": holder.receive()}
        assert channel.hook.extend(**told, ttl=60_000) is True
        holder.kill()
        assert channel.hook.extend(**told, ttl=60_000) is False
        assert channel.hook.adopt(**told, holder={"by": "heir"}) is False
        assert channel.hook.share(**told) is False
        assert channel.hook.unlock(**told) is False
        assert channel.lock_info("nightly") is None

    def test_who_took_a_lease_over_can_die_and_take_it_along(
        self, subject: Subject, children: Children
    ) -> None:
        """One document given to two: when the second dies, the first has lost the lease."""
        channel = subject.open()
        document = channel.lock("nightly", ttl=60).to_document()
        first = channel.lease_from(document)
        second = children(
            "channel.lease_from(params['document']); send(); receive()", subject, document=document
        )
        second.receive()
        second.kill()
        with pytest.raises(LockLost):
            first.extend()
        subject.open().lock("nightly", ttl=60).release()

    def test_a_lease_that_was_handed_over_outlives_its_sender(
        self, subject: Subject, children: Children, background: Background
    ) -> None:
        """The death of the sender does not free it, that of the receiver does."""
        channel = subject.open()
        sender = children(
            "send(channel.lock('nightly', ttl=60, keep_alive=True).to_document()); receive()",
            subject,
        )
        document = sender.receive()
        sender.kill()
        assert channel.try_lock("nightly", ttl=1) is None
        receiver = children(
            "send(channel.lease_from(params['document'], keep_alive=True).fence); receive()",
            subject,
            document=document,
        )
        assert receiver.receive() == document["fence"]
        assert channel.try_lock("nightly", ttl=1) is None
        receiver.kill()
        with background(channel.lock, "nightly", ttl=1, wait=5).result() as lease:
            assert lease.fence > document["fence"]

    def test_a_shared_lease_is_free_when_the_last_that_works_under_it_is_gone(
        self, subject: Subject, children: Children, background: Background
    ) -> None:
        """A job's own child process keeps the lock when the parent is killed."""
        channel = subject.open()
        parent = children(SHARE, subject)
        child = parent.receive()
        try:
            parent.kill()
            assert channel.try_lock("nightly", ttl=1) is None
            assert channel.lock_info("nightly") is not None
        finally:
            os.kill(child, signal.SIGKILL)
        with background(channel.lock, "nightly", ttl=1, wait=5).result():
            pass

    def test_a_shared_lease_is_held_while_only_the_child_is_gone(
        self, subject: Subject, children: Children
    ) -> None:
        """The end of a child frees nothing while the parent lives; the parent's release does."""
        channel = subject.open()
        parent = children(SHARE, subject)
        child = parent.receive()
        os.kill(child, signal.SIGKILL)
        assert channel.try_lock("nightly", ttl=1) is None
        parent.send("release")
        parent.receive()
        assert channel.lock_info("nightly") is None
