"""The channel type ``redis`` keeps what the kit demands of a backend on a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.hookspecs import Granted
from ojobchannels.testing.contracts.remote import RemoteContract
from ojobchannels.testing.contracts.remote.base import READS, REPEATABLE
from ojobchannels_redis.testing import SharedRedis

if TYPE_CHECKING:
    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.proxy import Proxy
    from ojobchannels.testing.servers import RedisServer


class TestRedis(RemoteContract):
    """On a server of the session, and on servers to stop."""

    repeatable = REPEATABLE | {"set_all": lambda channel: channel.set_all({"a": 1, "b": 2})}
    waiter_thread = "ojobchannels-redis-subscriber"
    tick = 1e-6

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedRedis:
        return SharedRedis(url)

    @pytest.fixture
    def ojob_own_server(self, server: RedisServer) -> SharedRedis:
        return SharedRedis(None, server)

    def test_an_unset_whose_reply_was_lost_is_in_doubt_unless_it_removed_the_key(
        self, through: oc.Channel, proxy: Proxy
    ) -> None:
        """The repeated request does not find the key, which the first one may have removed."""
        cut = proxy.cut_reply(containing=b"EVAL")
        with pytest.raises(oc.OutcomeUnknown):
            through.unset("key")
        assert cut.is_set()
        assert through.get("key") is None
        through.set_all({"a": 1, "b": 2})
        proxy.cut_reply(containing=b"EVAL")
        with pytest.raises(oc.OutcomeUnknown):
            through.unset_all(["a", "b"])
        assert through.get_keys() == ["end"]
        through.set("key", 1)
        proxy.cut_request(containing=b"EVAL")
        with pytest.raises(oc.OutcomeUnknown):
            through.unset("no such key")
        proxy.cut_request(containing=b"EVAL")
        assert through.unset("key") is True

    def test_the_previous_holder_is_reported_also_when_the_first_reply_was_lost(
        self, through: oc.Channel, proxy: Proxy, subject: Subject
    ) -> None:
        """It never unlocked, so the next holder must clean up, until it has extended once."""
        subject.open().force_unlock("held")
        cut = proxy.cut_reply()
        with through.lock("held", ttl=30) as lease:
            assert cut.is_set()
            assert lease.previous is not None
            assert lease.previous["fence"] < lease.fence
            assert lease.previous["pid"] == os.getpid()
            lease.extend()
            request = {"name": "held", "token": lease.token, "ttl": 30_000, "holder": {}}
            assert through.hook.lock(**request, waits=False) == Granted(lease.fence, None)

    @pytest.mark.parametrize("name", ["get", "size", "items"])
    def test_a_read_without_a_reply_times_out(
        self, impatient: oc.Channel, proxy: Proxy, name: str
    ) -> None:
        """And is unavailable while connections are refused; nothing is in doubt."""
        proxy.black_hole()
        with pytest.raises(oc.ChannelTimeout):
            READS[name](impatient)
        proxy.heal()
        proxy.refuse()
        proxy.reset()
        with pytest.raises(oc.ChannelUnavailable):
            READS[name](impatient)

    def test_operations_on_many_entries_take_one_round_trip(
        self, counted: oc.Channel, proxy: Proxy
    ) -> None:
        """As long as the entries fit in one page; `destroy` first asks which indexes there are."""
        for operation, requests in (
            (lambda: counted.set_all({"a": 1, "b": 2, "c": 3}), 1),
            (counted.get_all, 1),
            (lambda: list(counted.items(limit=2)), 1),
            (lambda: counted.unset_all(["a", "b"]), 1),
            (counted.destroy, 2),
        ):
            before = proxy.counters.requests
            operation()
            assert proxy.counters.requests - before == requests

    def test_a_large_batch_has_a_longer_timeout(self, behind: Subject, proxy: Proxy) -> None:
        """The timeout counts once for each 10,000 entries."""
        patient = behind.open(timeout=2)
        proxy.delay(replies=2.2)
        assert patient.unset_all(range(60_000)) == 0
        proxy.heal()
