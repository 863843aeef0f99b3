"""What survives a crash and a restart of the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ojobchannels.channels.channel import Channel
from ojobchannels.channels.lease import Lease
from ojobchannels.errors import StaleFence
from ojobchannels.testing.contracts.base import timed
from ojobchannels.testing.contracts.remote.base import PATIENT, OwnServerContract
from ojobchannels.testing.fixtures.shared_servers import SharedServer
from ojobchannels.testing.kit.background import Background, WaitObserver
from ojobchannels.testing.kit.subject import Subject


@timed
class RestartContract(OwnServerContract):
    """A server that is stopped or killed, and started again."""

    def test_a_restart_of_the_server_loses_nothing(
        self,
        own: Subject,
        ojob_own_server: SharedServer,
        observer: WaitObserver,
        background: Background,
    ) -> None:
        """Documents, locks and waiters are there after it, and calls wait for it.

        Whether it is shut down or killed; open channels connect again by themselves.
        """
        server = ojob_own_server.process
        assert server is not None
        channel = own.open(timeout=PATIENT)
        busy = own.open(f"{own.name} busy", timeout=PATIENT)
        url = ojob_own_server.own_client(ojob_own_server.url, 1)
        waiter = own.open(url=url, timeout=PATIENT, extensions=[observer])
        kept = busy.lock("kept", ttl=120)
        for stop in (server.shut_down, server.kill):
            lease = channel.lock("nightly", ttl=120)
            for number in range(20):
                channel.set(number, number, fence=lease.fence)
            busy.set("key", 0)
            waiting = background(waiter.lock, "nightly", ttl=30, wait=60)
            observer.await_waiters()
            # A server may write its log once a second, and count its writes within a second.
            time.sleep(1.1)
            stop()
            with _calls_that_wait(busy, background):
                server.start()
            time.sleep(1.1)
            _assert_kept(channel, lease)
            kept.extend()
            assert not waiting.done()
            released = time.monotonic()
            lease.release()
            with waiting.result(30) as later:
                assert later.fence > lease.fence
            assert time.monotonic() - released < 15
        kept.release()
        assert channel.pop() == 0  # which `_assert_kept` has changed last


@contextmanager
def _calls_that_wait(channel: Channel, background: Background) -> Iterator[None]:
    """Begin calls while the server is down, which are done soon after the block, if it runs."""
    calls = [
        background(channel.get, "key"),
        background(channel.set, "other", 1),
        background(lambda: channel.lock("nightly", ttl=60).release()),
        background(channel.pop),
    ]
    yield
    began = time.monotonic()
    for call in calls:
        call.result(30)
    assert time.monotonic() - began < 15  # of the 30 that they have


def _assert_kept(channel: Channel, lease: Lease) -> None:
    """Assert that twenty documents, their order and marks, and a lock have survived."""
    assert sorted(channel.get_all()) == list(range(20))
    first, *rest = channel.get_keys()
    channel.set(first, first)
    assert channel.get_keys() == [*rest, first]
    assert channel.try_lock("nightly", ttl=1) is None
    with pytest.raises(StaleFence):
        channel.set(1, "late", fence=lease.fence - 1)
    info = channel.lock_info("nightly")
    assert info is not None
    assert info.fence == lease.fence
    lease.extend()
