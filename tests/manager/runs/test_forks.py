"""A manager that was opened before the process forked, as servers with prefork do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ojobchannels as oc

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

PREFORK = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # that is what is tried here
manager = oc.JobManager(params["config"], params["config"], threads=1)
started, over = threading.Event(), threading.Event()

@manager.job("busy")
def busy():
    started.set()
    over.wait(100)

@manager.job("work")
def work():
    return os.getpid()

def serve(runs):
    launched = manager.launch("work")
    assert launched.result(60) == os.getpid()
    with manager.run("child") as run:
        print("line of the child", file=sys.stderr)
        os.write(runs, run.run_id.encode())
        assert run.wait(60), "it was not cancelled"
    manager.close()

launch = manager.launch("busy")
assert started.wait(60)
runs, runs_of_child = os.pipe()
with manager.run("parent") as run:
    print("line of the parent", file=sys.stderr)
    child = os.fork()
    if not child:
        status = 1
        try:
            serve(runs_of_child)
            status = 0
        finally:
            os._exit(status)
    os.close(runs_of_child)
    if cancelled := os.read(runs, 32).decode():
        manager.cancel(cancelled)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
over.set()
manager.close()
send({"status": status, "parent": run.run_id, "child": cancelled})
"""


def test_a_manager_works_in_a_child_that_was_forked_in_the_middle_of_its_runs(
    start_worker: Callable[..., Child], shared_storage: Storage
) -> None:
    """The child launches, runs and is cancelled; runs and launches of the parent stay there."""
    worker = start_worker(PREFORK, config=shared_storage.config)
    seen = worker.receive()
    assert seen["status"] == 0
    assert worker.end() == 0
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        statuses = {record.name: record.status for record in manager.runs()}
        lines = {
            name: [line.text for line in output.first]
            for name in ("parent", "child")
            if (output := manager.output(seen[name]))
        }
    assert statuses == dict.fromkeys(("busy", "work", "parent", "child"), "completed")
    assert lines == {"parent": ["line of the parent"], "child": ["line of the child"]}
