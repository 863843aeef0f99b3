"""Durable launches whose worker or daemon is killed, before a run began and in the middle."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.testing.kit.pytest_fixtures import StartWorker
from ojobchannels.testing.programs import Program
from tests.ojob.programs import RUN, read_until

pytest_plugins = ["tests.ojob.processes"]

pytestmark = pytest.mark.kit  # on one interpreter: kills and signals are the same on all

FILE = """\
include: oJobManager.yaml
ojob: {{daemon: true, numThreads: 1}}
jobs:
- name: Init
  to: oJobManager Init
  args:
    chJobs: {config}
    chLocks: {config}
- name: {job}
  from: oJobManager Job Start
  to: oJobManager Job End
  catch: oJobManager Error
  args: {{name: "{job}"}}
  exec: |
    {code}
todo: [Init]
"""
STUCK = """print("at work", flush=True)
    import threading
    threading.Event().wait()"""


KILLED = """
import threading
began = threading.Event()
manager = oc.JobManager(params["place"], params["place"], threads=1)

@manager.job(params["job"])
def work(number):
    began.set()
    threading.Event().wait()

manager.start_worker()
begun = manager.launch(params["job"], {"number": 1}, durable=True, retries=1)
began.wait()
waiting = manager.launch(params["job"], {"number": 2}, durable=True)
send([begun.launch_id, waiting.launch_id])
receive()
"""


def evict(manager: JobManager, pid: int, job: str) -> None:
    """Release what a killed process holds, as the end of its leases of a minute would."""
    launches = manager._channels.launches
    for channel in (launches, manager.locks):
        for lock in channel.locks():
            if lock.holder.get("pid") == pid and (channel is launches or lock.name == job):
                channel.force_unlock(lock.name)


@pytest.mark.parametrize("shared_place", ["db", "redis"], indirect=True)
def test_the_launches_of_a_daemon_that_was_killed_are_taken_by_the_next(
    start: Callable[..., Program], shared_place: dict[str, Any]
) -> None:
    """The one in the middle is abandoned, and tried again; what was not started is run once."""
    job, config = f"work-{secrets.token_hex(4)}", json.dumps(shared_place)
    with JobManager(shared_place, shared_place) as manager:
        begun = manager.launch(job, durable=True, retries=1)
        last = manager.launch(job, durable=True, retries=0)
        first = start(RUN, FILE.format(config=config, job=job, code=STUCK))
        read_until(first, "at work")
        waiting = manager.launch(job, {"number": 7}, durable=True)
        first.kill()
        first.wait()
        evict(manager, first.pid, job)
        killed = begun.run_id
        second = start(RUN, FILE.format(config=config, job=job, code="return args.get('number')"))
        assert [each.result() for each in (begun, last, waiting)] == [None, None, 7]
        runs = {record["runId"]: record for record in manager.runs(job)}
        assert killed is not None
        assert (runs[killed]["status"], runs[killed]["launchId"]) == ("abandoned", begun.launch_id)
        completed = [one["launchId"] for one in runs.values() if one["status"] == "completed"]
        assert sorted(completed) == sorted(each.launch_id for each in (begun, last, waiting))
        second.terminate()
        second.communicate()
        assert second.returncode == 0


@pytest.mark.parametrize("shared_place", ["db", "redis"], indirect=True)
def test_the_launches_of_a_program_that_was_killed_are_taken_by_another(
    start_worker: StartWorker, shared_place: dict[str, Any]
) -> None:
    """Likewise."""
    job = f"work-{secrets.token_hex(4)}"
    with JobManager(shared_place, shared_place) as manager:
        child = start_worker(KILLED, place=shared_place, job=job)
        begun, waiting = child.receive()
        first_run = manager._store.find(begun).run_id
        child.kill()
        evict(manager, child.pid, job)
        manager.job(job)(lambda number: number)
        manager.start_worker()
        assert manager.launch_result(begun, timeout=None) == 1
        assert manager.launch_result(waiting, timeout=None) == 2
        statuses = {record["runId"]: record["status"] for record in manager.runs(job)}
        assert first_run is not None
        assert statuses.pop(first_run) == "abandoned"
        assert list(statuses.values()) == ["completed"] * 2
