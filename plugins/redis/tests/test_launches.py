"""Durable launches on a server whose worker is killed, before a run began and in the middle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ojobchannels as oc

if TYPE_CHECKING:
    from ojobchannels.testing.kit.pytest_fixtures import StartWorker
    from ojobchannels.testing.servers import RedisServer

KILLED = """
import threading
began = threading.Event()
manager = oc.JobManager(params["url"], params["url"], threads=1)

@manager.job("work")
def work(number):
    began.set()
    threading.Event().wait()

manager.start_worker()
begun = manager.launch("work", {"number": 1}, durable=True, retries=1)
began.wait()
waiting = manager.launch("work", {"number": 2}, durable=True)
send([begun.launch_id, waiting.launch_id])
receive()
"""


def test_launches_survive_the_process_that_was_killed(
    server: RedisServer, start_worker: StartWorker
) -> None:
    """The one in the middle is tried again once its leases are over, the other one is taken."""
    with oc.JobManager(server.url, server.url) as manager:
        child = start_worker(KILLED, url=server.url)
        begun, waiting = child.receive()
        first_run = manager._store.find(begun).run_id
        assert first_run is not None
        child.kill()
        for channel in (manager._channels.launches, manager.locks):
            for lock in channel.locks():
                channel.force_unlock(lock.name)  # as the end of their leases of a minute would

        manager.job("work")(lambda number: number)
        manager.start_worker()
        assert manager.launch_result(begun, timeout=None) == 1
        assert manager.launch_result(waiting, timeout=None) == 2
        runs = {record["runId"]: record["status"] for record in manager.runs("work")}
        assert runs.pop(first_run) == "abandoned"
        assert list(runs.values()) == ["completed"] * 2
