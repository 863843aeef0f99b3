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
stopped = []  # a second signal ends the process at once
with oc.JobManager(params["config"], params["config"]) as manager:
    @manager.job("tick", interval=0.1)
    def tick():
        if not stopped:
            stopped.append(os.kill(os.getpid(), signal.SIGTERM))
        return "ended in order"

    manager.serve()
    send([run["status"] for run in manager.runs("tick", "completed")])
    send([daemon.alive for daemon in manager.daemons()])
"""

FORKING = """
import os, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried here
manager = oc.JobManager(params["config"], params["config"])
manager.job("tick", interval=0.1)(lambda: None)

def pids():
    return [run["pid"] for run in manager.runs("tick", "completed", limit=None)]

manager.start_schedules()
ready, begins = os.pipe()
child = os.fork()
if not child:
    status = 1
    try:
        while len(before := pids()) < 3:
            time.sleep(0.02)
        assert set(before) == {os.getppid()}, before
        manager.start_schedules()
        os.write(begins, b"1")
        while os.getpid() not in pids():
            time.sleep(0.02)
        manager.close()
        status = 0
    finally:
        os._exit(status)
os.read(ready, 1)
manager.stop_schedules()
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
send([status, [run["fireTime"] for run in manager.runs("tick", "completed", limit=None)]])
manager.close()
"""

UNSERVED = """
manager = oc.JobManager(params["config"], params["config"])
manager.job("tick", interval=60)(lambda: None)
send("declared")
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


def test_a_forked_child_serves_schedules_only_after_its_own_start(
    start_worker: StartWorker, db_storage: Storage
) -> None:
    """Those of its parent continue, and it runs none of them a second time."""
    status, fire_times = start_worker(FORKING, config=db_storage.config).receive()
    assert status == 0
    assert set(Counter(fire_times).values()) == {1}


def test_a_program_that_forgets_to_serve_is_warned_at_its_exit(
    start_worker: StartWorker, db_storage: Storage, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its schedules would never run, and nothing else says so."""
    child = start_worker(UNSERVED, config=db_storage.config)
    assert child.receive() == "declared"
    assert child.end() == 0
    assert "no process has served the schedules of 'tick': call serve" in capfd.readouterr().err
