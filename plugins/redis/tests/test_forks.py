"""A forked child has its own connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ojobchannels.testing.kit.pytest_fixtures import StartWorker
    from ojobchannels.testing.kit.subject import Subject
    from ojobchannels.testing.servers import RedisServer


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
