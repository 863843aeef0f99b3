"""The channel type ``mongo`` keeps what the kit demands of a backend on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
import pytest

from ojobchannels.documents import check_key
from ojobchannels.testing.contracts.remote import RemoteContract
from ojobchannels.testing.contracts.remote.base import REPEATABLE
from ojobchannels.testing.servers import MongoServer, or_skip
from ojobchannels_mongo.codec import row_id, timestamp_of
from ojobchannels_mongo.testing import SharedMongo

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ojobchannels as oc
    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.proxy import Proxy


class OnMongo(RemoteContract):
    """On both kinds of server."""

    __test__ = False
    repeatable = REPEATABLE | {
        "unset": lambda channel: channel.unset("key"),
        "fenced unset": lambda channel: channel.unset("key", fence=7),
    }
    tests_idle_connections = False
    remembers_unlock = True
    refusals_of_twelve = 12 * 12  # waiters also poll their lock

    def fill(self, channel: oc.Channel, subject: Subject, count: int) -> None:
        """As `set` would, in less time."""
        with pymongo.MongoClient[dict[str, Any]](subject.options["url"]) as client:
            client.get_default_database()["ojob_documents"].insert_many(
                {
                    "_id": row_id(channel.name, check_key(n)),
                    "c": channel.name,
                    "k": str(n),
                    "v": {"n": n, "odd": n % 2},
                    "o": timestamp_of(n + 1),
                }
                for n in range(count)
            )

    @pytest.mark.parametrize("fence", [None, 7])
    def test_unset_knows_what_it_removed_when_its_reply_was_lost(
        self, through: oc.Channel, proxy: Proxy, fence: int | None
    ) -> None:
        """Its result is that of the first request, and not that of the repeated one."""
        for expected in (True, False):
            cut = proxy.cut_reply(1, b"ojob_documents")
            assert through.unset("key", fence=fence) is expected
            assert cut.is_set()
        assert through.get_keys() == ["end"]

    def test_listing_the_locks_takes_one_round_trip(
        self, counted: oc.Channel, proxy: Proxy
    ) -> None:
        """However many there are."""
        before = proxy.counters.requests
        counted.locks()
        assert proxy.counters.requests - before == 1


@pytest.mark.thorough
class TestStandalone(OnMongo):
    """On a standalone server, whose waiters poll their lock."""

    waiter_requests = 60

    @pytest.fixture
    def ojob_server(self, url_alone: str) -> SharedMongo:
        return SharedMongo(url_alone)

    @pytest.fixture
    def ojob_own_server(self) -> Iterator[SharedMongo]:
        with or_skip(), MongoServer() as server:
            yield SharedMongo(None, server)


class TestReplicaSet(OnMongo):
    """On a replica set of one, which remembers the writes of its clients."""

    repeats_writes = True
    waiter_thread = "ojobchannels-mongo-waiters"

    @pytest.fixture
    def ojob_server(self, url_replicated: str) -> SharedMongo:
        return SharedMongo(url_replicated)

    @pytest.fixture
    def ojob_own_server(self) -> Iterator[SharedMongo]:
        with or_skip(), MongoServer(replica_set=True) as server:
            yield SharedMongo(None, server)

    def test_batches_are_whole_when_connections_are_cut(
        self, subject: Subject, behind: Subject, proxy: Proxy
    ) -> None:
        """A transaction is committed once, or not at all."""
        direct, channel = subject.open(), behind.open()
        for turn, nth in enumerate((1, 2, 3)):
            (proxy.cut_reply if turn % 2 else proxy.cut_request)(nth, b"txnNumber")
            channel.set_all((n, turn) for n in range(50))
            assert direct.get_all() == [turn] * 50
            proxy.heal()
        proxy.cut_reply(2, b"txnNumber")  # that of the commit
        assert channel.unset_all(range(40)) == 40
        assert direct.size() == 10
