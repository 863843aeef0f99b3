"""Deaths: the death of a holder frees its locks, with `crash_release` (rule 8)."""

from __future__ import annotations

import os
import signal
import statistics

import pytest

from ojobchannels.errors import LockLost
from ojobchannels.testing.contracts.base import Contract, requires
from ojobchannels.testing.contracts.processes.concurrency import WAIT
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

    def test_killing_a_holder_frees_its_lock_for_a_waiter(
        self, subject: Subject, children: Children
    ) -> None:
        """Within 60 ms, long before the ttl, in the median of three."""
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

    def test_the_death_of_a_holder_is_noticed_at_once(
        self, subject: Subject, children: Children
    ) -> None:
        """By `try_lock`, `lock_info` and `locks`; `previous` names the dead holder."""
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

    def test_a_dead_holders_token_is_invalid(self, subject: Subject, children: Children) -> None:
        """It does not extend, adopt, share or unlock."""
        channel = subject.open()
        holder = children("send(channel.lock('nightly', ttl=60).token); receive()", subject)
        lease = {"name": "nightly", "token": holder.receive()}
        assert channel.hook.extend(**lease, ttl=60_000) is True
        holder.kill()
        assert channel.hook.extend(**lease, ttl=60_000) is False
        assert channel.hook.adopt(**lease, holder={"by": "heir"}) is False
        assert channel.hook.share(**lease) is False
        assert channel.hook.unlock(**lease) is False
        assert channel.lock_info("nightly") is None

    def test_the_death_of_an_adopter_ends_the_lease(
        self, subject: Subject, children: Children
    ) -> None:
        """If two processes adopt one document, the death of the second frees the lock."""
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

    def test_a_handed_over_lease_survives_its_sender(
        self, subject: Subject, children: Children, background: Background
    ) -> None:
        """The death of the sender does not free the lock, that of the receiver does."""
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

    def test_a_shared_lease_ends_with_the_last_process_that_shares_it(
        self, subject: Subject, children: Children, background: Background
    ) -> None:
        """The child process of a job keeps the lock if the parent is killed."""
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

    def test_a_shared_lease_survives_the_death_of_the_child(
        self, subject: Subject, children: Children
    ) -> None:
        """The parent still holds the lock, and its release frees it."""
        channel = subject.open()
        parent = children(SHARE, subject)
        child = parent.receive()
        os.kill(child, signal.SIGKILL)
        assert channel.try_lock("nightly", ttl=1) is None
        parent.send("release")
        parent.receive()
        assert channel.lock_info("nightly") is None
