"""The kit on Redis: its contracts and state machines, and forked children."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.testing import ChannelConformance, Subject
from ojobchannels.testing.machines import prove_documents, prove_locks
from ojobchannels.testing.servers import RedisServer

if TYPE_CHECKING:
    from ojobchannels.testing.kit.pytest_fixtures import StartWorker


class TestRedis(ChannelConformance):
    """On a server of the session, which other tests use at the same time."""

    @pytest.fixture
    def ojob_subject(self, url: str) -> Subject:
        """A channel of its own."""
        return Subject("redis", {"url": url})


def test_documents_do_what_the_model_does(url: str) -> None:
    """After any operations, every handle shows what the model contains."""
    prove_documents(Subject("redis", {"url": url}), examples=30)


def test_locks_do_what_the_model_does(url: str) -> None:
    """After any operations, a lock has one holder, and fences grow."""
    prove_locks(Subject("redis", {"url": url}), examples=30)


def test_a_child_that_ends_closes_no_connection_of_its_parent(
    server: RedisServer, start_worker: StartWorker, storage: Subject
) -> None:
    """The parent's connection still works, and is the only one left."""
    storage.options = {"url": server.url}
    worker = start_worker(
        """
import os
channel.set("key", 1)
for _ in range(3):
    child = os.fork()
    if child == 0:
        channel.get("key")
        os._exit(0)
    os.waitpid(child, 0)
channel.set("key", 2)
send("waiting")
receive()
""",
        storage,
    )
    assert worker.receive() == "waiting"
    server.wait_until(lambda: server.info()["connected_clients"] == "2", "kept connections")
    assert server.info()["total_connections_received"]
    worker.send()
    assert worker.end() == 0
