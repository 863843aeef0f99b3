"""`JobManager.prune`: removal of old records and marking of abandoned runs."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from tests.manager.conftest import LONG_AGO, complete, die, fail, raw_statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.conftest import ManualClock
    from tests.manager.conftest import Managers, Meddler


@pytest.fixture
def manager(managers: Managers, clock: ManualClock) -> oc.JobManager:
    """A manager with a manual clock, on each embedded backend in turn."""
    return managers.open(clock=clock)


def test_prune_removes_only_runs_that_ended_long_ago(
    managers: Managers, clock: ManualClock
) -> None:
    """The end of the run counts, not its start; running runs are kept."""
    now = managers.open()
    clock.step_wall(LONG_AGO)
    then = managers.open(clock=clock)
    complete(then, "x")
    fail(then, "x")
    with then.run("busy"), pytest.raises(oc.LockBusy):
        then.start("busy")
    young = complete(now, "young")
    running = then.start("still", timeout=60)
    assert (now.jobs.size(), now.state.size()) == (5, 1)
    assert then.prune(older_than=365 * 86_400) == (4, 0)
    assert {record["runId"] for record in then.runs()} == {running.run_id, young}
    assert then.prune(older_than=timedelta(days=365)) == (0, 0)
    running.end()
    assert then.prune(older_than=timedelta(days=365)).removed == 1


def test_prune_marks_runs_whose_lease_expired_as_abandoned(
    managers: Managers, clock: ManualClock
) -> None:
    """A second prune finds nothing to mark."""
    manager = managers.open(clock=clock)
    dead = die(manager, clock, "x")
    with manager.run("y"):
        assert manager.prune(older_than=3600) == (0, 1)
        assert manager.prune(older_than=3600) == (0, 0)
    [found] = manager.runs(status="abandoned")
    assert (found["runId"], found["inError"]) == (dead, True)
    assert sorted(raw_statuses(manager)) == ["abandoned", "completed"]


def test_prune_does_not_mark_a_run_that_ends_meanwhile(
    managers: Managers, meddler: Meddler
) -> None:
    """Marking is a compare-and-set: a completed run is never marked as abandoned."""
    here, cleans = managers.open(), managers.open(on_locks=meddler)
    run = here.start("x")
    meddler.before["lock_info"] = run.end
    assert cleans.prune(older_than=3600) == (0, 0)
    assert raw_statuses(cleans) == ["completed"]


def test_prune_does_not_mark_a_run_that_starts_meanwhile(
    simple_managers: Managers, clock: ManualClock, meddler: Meddler
) -> None:
    """This holds even if an earlier run of that job was found dead in the same prune."""
    here = simple_managers.open(clock=clock)
    cleans = simple_managers.open(clock=clock, on_jobs=meddler)
    die(here, clock, "x")
    here.jobs.set_all((number, "fills a page") for number in range(1000))
    began: list[oc.JobRun] = []

    def start_before_the_second_page() -> None:
        meddler.before["items"] = lambda: began.append(here.start("x"))

    meddler.before["items"] = start_before_the_second_page
    cleans.prune(older_than=86_400)
    [run] = began
    assert [one["runId"] for one in here.running()] == [run.run_id]
    assert raw_statuses(here)[-1] == "running"
    run.end()
    assert run.status == "completed"


def test_concurrent_start_and_prune_mark_a_dead_run_once(
    managers: Managers, clock: ManualClock, in_background: Callable[..., Future[Any]]
) -> None:
    """The first one marks it, and none of them fails."""
    managers_at_once = [managers.open(clock=clock) for _ in range(4)]
    die(managers_at_once[0], clock, "x")
    ready = threading.Barrier(4)

    def prune(manager: oc.JobManager) -> int:
        ready.wait(30)
        return manager.prune(older_than=3600).abandoned

    def start(manager: oc.JobManager) -> int:
        ready.wait(30)
        with manager.run("x"):
            return 0

    work = [prune, prune, prune, start]
    marked = [in_background(*both) for both in zip(work, managers_at_once, strict=True)]
    assert sum(future.result(30) for future in marked) <= 1
    assert sorted(raw_statuses(managers_at_once[0])) == ["abandoned", "completed"]


def test_pruning_the_records_of_a_job_does_not_lower_its_fences(
    managers: Managers, clock: ManualClock
) -> None:
    """Records are removed, locks and their fences are kept."""
    clock.step_wall(LONG_AGO)
    manager = managers.open(clock=clock)
    with manager.run("x") as before:
        pass
    assert manager.prune(older_than=3600).removed == 1
    with manager.run("x") as after:
        pass
    assert after.fence > before.fence
