"""The channel type ``ignite`` keeps what the kit demands of a backend on a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from ojobchannels.testing.contracts.remote import RemoteContract
from ojobchannels.testing.contracts.remote.clock import ServerClock
from ojobchannels.testing.contracts.remote.in_loop import LoopSubject
from ojobchannels.testing.contracts.remote.outages import OutageContract
from ojobchannels.testing.contracts.remote.requests import LostRequestContract
from ojobchannels.testing.kit.subject import Subject
from ojobchannels_ignite.protocol.requests import Requests
from ojobchannels_ignite.testing import SharedIgnite

if TYPE_CHECKING:
    from ojobchannels.steps import Steps
    from ojobchannels.testing.servers import IgniteServer

_WRITES = ("set", "fenced set", "add", "get_set")


class OnIgnite:
    """A node of the session, and what is true of every node."""

    repeats_writes = True
    remembers_unlock = True
    remembers_eviction = True
    reads_first: ClassVar[Collection[str]] = frozenset({*_WRITES, "pop", "shift"})
    deciding: ClassVar[Mapping[str, int]] = {
        **dict.fromkeys(("lock", "unlock", "extend", "force_unlock", "pop", "shift"), 2),
        **dict.fromkeys(("add", "get_set"), 3),
    }

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedIgnite:
        return SharedIgnite(url)


class TestIgnite(OnIgnite, RemoteContract):
    """On a node of the session, and on nodes to stop."""

    round_trips = dict.fromkeys(_WRITES, 3) | {
        "unset": 2,
        "fenced unset": 2,
        "pop": 2,
        "shift": 2,
        "lock and unlock": 6,  # 4 if the lock exists
        "extend": 2,
        "force_unlock": 2,
    }
    waiter_requests = 50  # it polls
    shortest_lease = 5  # all wait for a second while a cache is made or removed
    tick = 1e-3

    @pytest.fixture
    def ojob_own_server(self, server: IgniteServer) -> SharedIgnite:
        return SharedIgnite(None, server)

    @pytest.fixture
    def ojob_server_clock(self, monkeypatch: pytest.MonkeyPatch) -> ServerClock:
        """The clock of the node that has a lock; only the test moves it."""
        clock = ServerClock()
        select = Requests.select

        def select_then(at: Requests, query: str, *arguments: str | int) -> Steps[list[list[Any]]]:
            rows = yield from select(at, query, *arguments)
            if "CURRENT_TIMESTAMP" not in query:
                return rows
            return [[*row, clock.now() // 1000] for *row, _ in rows]

        monkeypatch.setattr(Requests, "select", select_then)
        return clock


@pytest.mark.thorough
class TestFaultsInLoop(OnIgnite, LostRequestContract, OutageContract):
    """Operations in a loop survive a broken connection and a node that does not reply, too."""

    @pytest.fixture
    def ojob_subject(self, ojob_server: SharedIgnite, server_part: str) -> Subject:
        return LoopSubject("ignite", {"url": ojob_server.url_of(server_part)})
