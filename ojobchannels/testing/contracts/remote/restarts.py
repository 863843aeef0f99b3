"""What survives a crash and a restart of the server."""

from __future__ import annotations

import time

import pytest

from ojobchannels.errors import StaleFence
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import PATIENT, OwnServerContract
from ojobchannels.testing.fixtures.shared_servers import SharedServer
from ojobchannels.testing.kit.background import Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject


@timed
class RestartContract(OwnServerContract):
    """A server that is stopped or killed, and started again."""

    def test_what_was_written_is_there_after_a_restart(
        self, own: Subject, ojob_own_server: SharedServer
    ) -> None:
        """Documents, their order, marks and locks; open channels connect again by themselves."""
        server = ojob_own_server.process
        assert server is not None
        channel = own.open(timeout=PATIENT)
        lease = channel.lock("nightly", ttl=120)
        for number in range(20):
            channel.set(number, number, fence=lease.fence)
        for stop in (server.shut_down, server.kill):
            # A server may write its log once a second, and count its writes within a second.
            time.sleep(1.1)
            stop()
            server.start()
            time.sleep(1.1)
            assert sorted(channel.get_all()) == list(range(20))
            first, *rest = channel.get_keys()
            channel.set(first, first)
            assert channel.get_keys() == [*rest, first]
            assert channel.try_lock("nightly", ttl=1) is None
            with pytest.raises(StaleFence):
                channel.set(1, "late", fence=lease.fence - 1)
            lease.extend()
        lease.release()
        assert channel.pop() == 1
        with channel.lock("nightly", ttl=30) as later:
            assert later.fence > lease.fence

    def test_calls_wait_for_a_server_that_restarts(
        self, own: Subject, ojob_own_server: SharedServer, background: Background
    ) -> None:
        """Within the channel's timeout, also those that begin while the server is down."""
        server = ojob_own_server.process
        assert server is not None
        channel = own.open(timeout=PATIENT)
        channel.set("key", 0)
        server.shut_down()
        calls = [
            background(channel.get, "key"),
            background(channel.set, "other", 1),
            background(channel.lock, "nightly", ttl=60),
            background(channel.pop),
        ]
        server.start()
        began = time.monotonic()
        for call in calls:
            call.result(30)
        assert time.monotonic() - began < 15  # of the 30 that they have

    def test_a_waiter_outlives_a_restart(
        self,
        own: Subject,
        ojob_own_server: SharedServer,
        observer: WaitObserver,
        background: Background,
    ) -> None:
        """The lock is held after it, and its release wakes the waiter."""
        server = ojob_own_server.process
        assert server is not None
        holder = own.open(timeout=PATIENT)
        url = ojob_own_server.own_client(ojob_own_server.url, 1)
        waiter = own.open(url=url, timeout=PATIENT, extensions=[observer])
        lease = holder.lock("nightly", ttl=60)
        waiting = background(waiter.lock, "nightly", ttl=30, wait=60)
        observer.await_waiters()
        time.sleep(1.1)  # a server may write its log once a second
        server.kill()
        server.start()
        assert not waiting.done()
        info = holder.lock_info("nightly")
        assert info is not None
        assert info.fence == lease.fence
        released = time.monotonic()
        lease.release()
        waiting.result(30).release()
        assert time.monotonic() - released < 15
