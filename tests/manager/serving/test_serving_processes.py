"""Processes that share the schedules of their Python jobs, and are stopped or killed."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

pytestmark = pytest.mark.kit  # on one interpreter: most of the time goes into starting programs

SERVING = """
manager = oc.JobManager(params["config"], params["config"])

@manager.job("tick", interval=0.5)
def tick():
    send("ran")
    if params["dies"]:
        receive()

send("ready")
manager.serve()
manager.close()
"""

ENDING = """
import os, signal
with oc.JobManager(params["config"], params["config"]) as manager:
    @manager.job("tick", interval=0.1)
    def tick():
        os.kill(os.getpid(), signal.SIGTERM)
        return "ended in order"

    manager.serve()
    send([run["status"] for run in manager.runs("tick", "completed")])
    send([daemon.alive for daemon in manager.daemons()])
"""


def test_each_fire_time_is_run_once_although_a_process_is_killed(
    start_worker: StartWorker, db_storage: Storage
) -> None:
    """A process that dies in a run leaves it abandoned; others run the next fire times."""
    config = db_storage.config
    dying = start_worker(SERVING, config=config, dies=True)
    assert [dying.receive(), dying.receive()] == ["ready", "ran"]
    others = [start_worker(SERVING, config=config, dies=False) for _ in range(2)]
    assert [child.receive() for child in others] == ["ready", "ready"]
    dying.kill()
    with oc.JobManager(config, config) as manager:
        while len(manager.runs("tick", "completed")) < 3:
            time.sleep(0.1)
        began = [run for run in manager.runs("tick", limit=None) if run.status != "skipped"]
        assert set(Counter(run["fireTime"] for run in began).values()) == {1}
        assert [run.status for run in began][-1] == "abandoned"
        (schedule,) = manager.schedules()
        assert sum(daemon.alive for daemon in schedule.daemons) == 2
    for child in others:
        child.kill()


def test_serve_ends_in_order_at_sigterm(start_worker: StartWorker, db_storage: Storage) -> None:
    """The active run is completed, and the process is known as one that was stopped."""
    child = start_worker(ENDING, config=db_storage.config)
    assert child.receive()[-1] == "completed"
    assert child.receive() == [False]
    assert child.end() == 0
