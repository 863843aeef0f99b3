"""Several real processes under one manager's channels: exclusion, kills, stops and forks."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

    StartWorker = Callable[..., Child]

RUN = """
with oc.JobManager(params["config"], params["config"]) as manager:
    send("ready")
    receive()
    try:
        with manager.run("nightly", timeout=params["timeout"]) as run:
            key = {"name": "nightly", "startTime": run.record["startTime"]}
            send({"ran": run.run_id, "key": key})
            receive()
    except oc.LockBusy as busy:
        send({"busy": str(busy), "holder": busy.holder})
    except oc.LockLost as lost:
        send({"lost": str(lost), "status": run.status})
"""

FORK = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried here
with oc.JobManager(params["config"], params["config"]) as manager:
    with manager.run("nightly", timeout=60) as run:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            send({"open": run.open, "running": [one["runId"] for one in manager.running()]})
        else:
            for call in (run.end, lambda: run.fail("child"), lambda: run.update(progress=1)):
                try:
                    call()
                except oc.RunNotStarted:
                    continue
                os._exit(1)
    if not child:
        os._exit(0)
    send({"run": run.run_id, "status": run.status})
"""


@pytest.fixture
def manager(shared_storage: Storage) -> Iterator[oc.JobManager]:
    """A manager of this process on the channels that the workers use."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as opened:
        yield opened


@pytest.fixture
def ready_worker(start_worker: StartWorker, shared_storage: Storage) -> Callable[..., Child]:
    """Start a process that runs the job at the first signal, and ends it at the second."""

    def start(timeout: float = 60) -> Child:
        return start_worker(RUN, config=shared_storage.config, timeout=timeout)

    return start


def begin(worker: Child) -> Any:
    """Start the job of a ready worker; return its first report."""
    assert worker.receive() == "ready"
    worker.send()
    return worker.receive()


def written(manager: oc.JobManager, key: dict[str, Any]) -> dict[str, Any]:
    record = manager.jobs.get(key)
    assert isinstance(record, dict)
    return record


def test_one_of_eight_processes_that_start_a_job_at_once_runs_it(
    manager: oc.JobManager, ready_worker: Callable[..., Child]
) -> None:
    """Seven raise LockBusy that names the holder; the history shows one run and seven skipped."""
    workers = [ready_worker() for _ in range(8)]
    for worker in workers:
        assert worker.receive() == "ready"
    for worker in workers:
        worker.send()
    reports = [worker.receive() for worker in workers]

    [(runner, ran)] = [
        (one, word) for one, word in zip(workers, reports, strict=True) if "ran" in word
    ]
    refused = [word for word in reports if "busy" in word]
    assert len(refused) == 7
    for word in refused:
        assert word["holder"]["run"] == ran["ran"]
        assert f"pid {runner.pid}" in word["busy"]
    assert [record["runId"] for record in manager.running()] == [ran["ran"]]
    assert sorted(record["status"] for record in manager.runs()) == ["running"] + ["skipped"] * 7

    runner.send()
    assert [worker.end() for worker in workers] == [0] * 8
    found = manager.runs("nightly")
    assert sorted(record["status"] for record in found) == ["completed"] + ["skipped"] * 7
    assert {record["pid"] for record in found} == {worker.pid for worker in workers}
    assert len({record["startTime"] for record in found}) == 8
    assert manager.locks.locks() == []


def test_a_killed_run_is_shown_as_abandoned_and_the_job_runs_again_at_once(
    manager: oc.JobManager, ready_worker: Callable[..., Child]
) -> None:
    """After kill -9 in the middle of a lease, the job does not wait for its expiry."""
    worker = ready_worker()
    ran = begin(worker)
    assert [record["runId"] for record in manager.running()] == [ran["ran"]]
    worker.kill()

    assert manager.running() == []
    [record] = manager.runs()
    assert (record["runId"], record["status"]) == (ran["ran"], "abandoned")
    closed = written(manager, ran["key"])
    assert (closed["status"], closed["inError"]) == ("abandoned", True)
    assert closed["endTime"] >= closed["startTime"]
    assert "did not record an end" in closed["error"]

    with manager.run("nightly", timeout=60):
        pass
    assert [record["status"] for record in manager.runs()] == ["completed", "abandoned"]


def test_a_waiting_run_starts_when_the_holder_is_killed(
    manager: oc.JobManager, ready_worker: Callable[..., Child], start_worker: StartWorker
) -> None:
    """Long before the lease of a minute expires."""
    worker = ready_worker()
    begin(worker)
    killer = start_worker(
        "import os, signal\nreceive()\nos.kill(params['pid'], signal.SIGKILL)",
        pid=worker.pid,
    )
    killer.send()
    began = time.monotonic()
    with manager.run("nightly", timeout=60, wait=50):
        assert time.monotonic() - began < 20
    assert [record["status"] for record in manager.runs()] == ["completed", "abandoned"]
    assert killer.end() == 0


def test_a_killed_run_is_marked_by_prune(
    manager: oc.JobManager, ready_worker: Callable[..., Child]
) -> None:
    """Where the job is not started again, cleaning up writes what became of it."""
    worker = ready_worker()
    ran = begin(worker)
    assert manager.prune(older_than=3600) == (0, 0)
    worker.kill()
    assert manager.prune(older_than=3600) == (0, 1)
    assert written(manager, ran["key"])["status"] == "abandoned"


def test_a_holder_that_was_paused_beyond_its_lease_has_lost_its_run(
    manager: oc.JobManager, ready_worker: Callable[..., Child]
) -> None:
    """It says so in its own record, and leaves the new holder's lock and record alone."""
    worker = ready_worker(timeout=1)
    ran = begin(worker)
    os.kill(worker.pid, signal.SIGSTOP)
    run = manager.start("nightly", timeout=60, wait=50)
    assert written(manager, ran["key"])["status"] == "abandoned"
    mine = {"name": "nightly", "startTime": run.record["startTime"]}
    before = written(manager, mine)

    os.kill(worker.pid, signal.SIGCONT)
    worker.send()
    report = worker.receive()
    assert "lost the lock 'nightly'" in report["lost"]
    assert report["status"] == "lost"
    assert worker.end() == 0

    theirs = written(manager, ran["key"])
    assert (theirs["status"], theirs["inError"]) == ("lost", True)
    assert written(manager, mine) == before
    held = manager.locks.lock_info("nightly")
    assert held is not None
    assert held.fence == run.fence
    run.end()
    assert [record["status"] for record in manager.runs()] == ["completed", "lost"]


def test_a_paused_holder_has_lost_its_run_even_without_a_successor(
    manager: oc.JobManager, ready_worker: Callable[..., Child]
) -> None:
    """Its lease expired, so its later work was not protected, even without another run."""
    worker = ready_worker(timeout=1)
    ran = begin(worker)
    os.kill(worker.pid, signal.SIGSTOP)
    manager.locks.lock("nightly", ttl=60, wait=50).release()
    assert manager.running() == []
    assert manager.runs()[0]["status"] == "abandoned"
    os.kill(worker.pid, signal.SIGCONT)
    worker.send()
    assert worker.receive()["status"] == "lost"
    assert written(manager, ran["key"])["status"] == "lost"


def test_a_run_is_not_open_in_a_forked_child(
    manager: oc.JobManager, start_worker: StartWorker, shared_storage: Storage
) -> None:
    """It can neither end nor change it, and leaving the with block there does nothing."""
    worker = start_worker(FORK, config=shared_storage.config)
    seen = worker.receive()
    ended = worker.receive()
    assert seen == {"open": True, "running": [ended["run"]]}
    assert ended["status"] == "completed"
    assert worker.end() == 0
    assert [record["status"] for record in manager.runs()] == ["completed"]


def test_start_times_grow_from_process_to_process(
    manager: oc.JobManager, ready_worker: Callable[..., Child]
) -> None:
    """Runs and refusals of many processes have their order in the history."""
    order = []
    for _ in range(2):
        worker = ready_worker()
        order.append(begin(worker)["key"]["startTime"])
        refused = manager.run("nightly")
        with pytest.raises(oc.LockBusy):
            refused.start()
        order.append(refused.record["startTime"])
        worker.send()
        assert worker.end() == 0
    assert order == sorted(set(order))
    assert [record["startTime"] for record in manager.runs()] == order[::-1]


def test_a_killed_run_with_locks_in_memory_is_closed(
    shared_storage: Storage, start_worker: StartWorker
) -> None:
    """Its locks were gone with its process; a process that lives keeps them, and its run."""
    script = """
with oc.JobManager(params["config"]) as manager, manager.run("nightly") as run:
    send("started")
    receive()
"""
    config = shared_storage.config
    with oc.JobManager(config) as looks:
        worker = start_worker(script, shared_storage, config=config)
        assert worker.receive() == "started"
        assert [record["status"] for record in looks.runs()] == ["running"]
        worker.kill()
        assert [record["status"] for record in looks.runs()] == ["abandoned"]
