"""The channel type ``postgres`` keeps what the kit demands of a backend on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from ojobchannels.testing.contracts.remote import RemoteContract
from ojobchannels.testing.servers import PostgresServer, or_skip
from ojobchannels_postgres.listener import THREAD
from ojobchannels_postgres.testing import SharedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ojobchannels as oc
    from ojobchannels.testing.kit.subject import Subject


class TestOnPostgres(RemoteContract):
    """On a server, whose notifications wake waiters."""

    remembers_unlock = True
    waiter_thread = THREAD
    round_trips: ClassVar = {"size": 2}  # the first one of a handle asks whether they are kept

    def fill(self, channel: oc.Channel, subject: Subject, count: int) -> None:
        """As `set` would, in less time."""
        url = subject.options["url"]
        schema = url.rpartition("schema=")[2]
        with SharedPostgres(url).client(url) as client:
            client.execute(
                f"""
                INSERT INTO "{schema}".ojob_documents (channel, id, key, value, position)
                SELECT %s, n, to_json(n), json_build_object('n', n, 'odd', n %% 2), n + 1
                FROM generate_series(0, %s - 1) AS n
                """,
                (channel.name, count),
            )

    @pytest.fixture
    def ojob_server(self, url: str) -> SharedPostgres:
        return SharedPostgres(url)

    @pytest.fixture
    def ojob_own_server(self) -> Iterator[SharedPostgres]:
        with or_skip(), PostgresServer() as server:
            yield SharedPostgres(None, server)
