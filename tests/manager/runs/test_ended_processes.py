"""Runs whose process has ended while their lock is still held: known on the host of the process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.cli.doctor.holders import check_holders
from ojobchannels.manager import records
from ojobchannels.manager.overview import RunOverview
from ojobchannels.manager.serving.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ojobchannels.testing.kit.pytest_fixtures import Child

    StartWorker = Callable[..., Child]

WORK = """
import subprocess
manager = oc.JobManager(params["url"], params["url"])
run = manager.start("convert", timeout=600)
subprocess.Popen(["cat", params["gate"]], pass_fds=run.lease.share())
send(run.run_id)
receive()
"""
IDENTITY = """
from ojobchannels.host.process_identity import this_process
send(this_process())
receive()
"""


def identity_of_an_ended_process(start_worker: StartWorker) -> str:
    """Return the identity of a process that was killed and is gone."""
    child = start_worker(IDENTITY)
    identity = child.receive()
    child.kill()
    assert isinstance(identity, str)
    return identity


def add_run(manager: oc.JobManager, process: str) -> oc.Lease:
    """Make a run of another process, as that would leave it when it is killed."""
    holder = {"job": "nightly", "run": "f" * 32, records.PROCESS: process}
    lease = manager.locks.lock("nightly", ttl=600, holder=holder)
    running = records.begun("nightly", "f" * 32, "running", {}) | {
        "fence": lease.fence,
        "locksId": manager._channels.locks_id(create=True),
    }
    records.add(manager.jobs, running, records.start_of(lease.fence))
    return lease


def test_a_run_is_abandoned_at_once_and_its_lock_is_kept(
    simple_manager: oc.JobManager, start_worker: StartWorker
) -> None:
    """Nothing is released early: what the process has started may still work."""
    lease = add_run(simple_manager, identity_of_an_ended_process(start_worker))
    overview = RunOverview(simple_manager)
    overview.refresh()
    assert [head.runs[0].status for head in overview.heads()] == ["abandoned"]
    assert simple_manager.running() == []
    (run,) = simple_manager.runs()
    assert (run["status"], "until its lease expires" in run["error"]) == ("abandoned", True)
    with pytest.raises(oc.LockBusy):
        simple_manager.start("nightly")
    assert not lease.lost
    advice = [check.advice for check in check_holders(simple_manager) if check.subject == "locks"]
    assert advice == ["to free it now: ojob unlock nightly"]
    lease.release()
    assert simple_manager.start("nightly").record["status"] == "running"


def test_a_run_of_an_unknown_process_is_judged_by_its_lock(simple_manager: oc.JobManager) -> None:
    """Such as one on another host, which only its lease shows."""
    elsewhere = "process 0b5e elsewhere 1 1"
    lease = add_run(simple_manager, elsewhere)
    assert [run["status"] for run in simple_manager.runs()] == ["running"]
    lease.release()
    assert [run["status"] for run in simple_manager.runs()] == ["abandoned"]


def test_a_killed_process_leaves_its_lock_to_its_children(
    tmp_path: Path, start_worker: StartWorker
) -> None:
    """Its run is abandoned, while a child that shares the lease still works."""
    url, gate = f"sqlite:////{tmp_path / 'jobs.db'}", tmp_path / "gate"
    os.mkfifo(gate)
    writer = os.open(gate, os.O_RDWR)  # the child reads until this is closed
    worker = start_worker(WORK, url=url, gate=str(gate))
    try:
        run_id = worker.receive()
        with oc.JobManager(url, url) as manager:
            assert [run["status"] for run in manager.runs()] == ["running"]
            worker.kill()
            (run,) = manager.runs()
            assert (run["runId"], run["status"]) == (run_id, "abandoned")
            assert manager.locks.lock_info("convert") is not None
    finally:
        os.close(writer)
    with oc.JobManager(url, url) as manager, manager.locks.lock("convert", ttl=60, wait=60):
        pass


def test_a_daemon_is_gone_at_once(simple_manager: oc.JobManager, start_worker: StartWorker) -> None:
    """Although it holds its lock for some seconds more."""
    daemon = Presence(simple_manager.state, "/srv/jobs.yaml", "hash")
    daemon.update([], {}, "hash")
    assert [each.alive for each in simple_manager.daemons()] == [True]
    ended = identity_of_an_ended_process(start_worker)
    simple_manager.state.set(daemon.info.key, daemon.info.document | {"process": ended})
    assert [each.alive for each in simple_manager.daemons()] == [False]
    daemon.close()
