"""Durable launches over real processes that are killed, or asked to end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from tests.manager.durable_launches.test_durable_launches import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

KILLED = """
import threading
began = threading.Event()
manager = oc.JobManager(params["config"], params["config"])

@manager.job("work")
def work():
    began.set()
    threading.Event().wait()

manager.start_worker()
not_begun = manager.launch("unknown here", {"number": 7}, durable=True)
begun = manager.launch("work", durable=True, retries=1)
began.wait()
waiting = manager.launch("work", durable=True)
send([not_begun.launch_id, begun.launch_id, waiting.launch_id])
receive()
"""

SERVING = """
import os, signal
with oc.JobManager(params["config"], params["config"]) as manager:
    @manager.job("work")
    def work():
        os.kill(os.getpid(), signal.SIGTERM)
        return "ended in order"

    send("ready")
    manager.serve()
"""


@pytest.fixture
def manager(shared_storage: Storage) -> Iterator[oc.JobManager]:
    """A manager of this process on the channels that the workers use."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as opened:
        yield opened


def test_launches_survive_the_process_that_was_killed_before_and_in_the_middle(
    manager: oc.JobManager, start_worker: StartWorker, shared_storage: Storage
) -> None:
    """Another process takes what had not begun, and tries again what had; the run is abandoned."""
    child = start_worker(KILLED, config=shared_storage.config)
    not_begun, begun, waiting = child.receive()
    first_run = manager._store.find(begun).run_id
    child.kill()

    manager.job("work")(lambda: "done")
    manager.job("unknown here")(lambda number: number)
    manager.start_worker()
    assert manager.launch_result(not_begun, timeout=None) == 7
    assert manager.launch_result(begun, timeout=None) == "done"
    assert manager.launch_result(waiting, timeout=None) == "done"
    runs = {record["runId"]: record for record in manager.runs("work")}
    assert (runs[first_run]["status"], runs[first_run]["launchId"]) == ("abandoned", begun)
    again = [each["launchId"] for each in runs.values() if each["status"] == "completed"]
    assert sorted(again) == sorted([begun, waiting])


def test_a_process_that_serves_ends_in_order_at_sigterm(
    manager: oc.JobManager, start_worker: StartWorker, shared_storage: Storage
) -> None:
    """The launch that is running ends, and its result is kept."""
    child = start_worker(SERVING, config=shared_storage.config)
    launch = manager.launch("work", durable=True)
    assert child.receive() == "ready"
    assert child.end() == 0
    assert launch.result(0) == "ended in order"


KILLED_AT_THE_END = """
import os, signal

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

manager = oc.JobManager(params["config"], params["config"])
if params["is_copied"]:
    manager._store._queue.remove = die
else:
    manager._channels.ended_launches.set = die
manager.job("work")(lambda: "done")
launch = manager.launch("work", durable=True, retries=1, idempotency_key="once")
send(launch.launch_id)
manager.start_worker()
receive()
"""


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_launch_whose_process_is_killed_between_the_steps_of_its_end_has_ended_once(
    start_worker: StartWorker, db_storage: Storage, is_copied: bool
) -> None:
    """Before its end is copied out of the queue, or between that and its removal: its result is
    kept, it is listed once, it is not run again, and `prune` completes the end."""
    child = start_worker(KILLED_AT_THE_END, config=db_storage.config, is_copied=is_copied)
    launch_id = child.receive()
    assert list(child.remaining()) == []
    assert child.wait() == -signal.SIGKILL
    with oc.JobManager(db_storage.config, db_storage.config) as manager:
        manager.job("work")(lambda: pytest.fail("it ran again"))
        again = manager.launch("work", durable=True, idempotency_key="once")
        Worker(manager).take_due()
        assert again.launch_id == launch_id
        for _ in range(2):
            assert manager.launch_result(launch_id) == "done"
            assert [(info.id, info.state) for info in manager.launches()] == [
                (launch_id, "completed")
            ]
            assert not manager.cancel_launch(launch_id)
            manager._prune_launches(0)
        assert manager._channels.launches.size() == 0
        assert manager._channels.ended_launches.size() == 1
