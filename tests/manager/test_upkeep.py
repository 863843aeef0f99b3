"""Upkeep of the records: runs whose process died are closed, and old records are removed."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.records import key_of
from tests.manager.conftest import LONG_AGO, UNRENEWED, complete, die, fail, raw_statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from tests.conftest import ManualClock, Storage
    from tests.manager.conftest import Managers, Meddler


def stored(manager: oc.JobManager, run_id: str) -> dict[str, Any]:
    """Return the record of a run as any reader of the channel finds it."""
    [record] = manager.jobs.get_all({"runId": run_id})
    assert isinstance(record, dict)
    return record


@pytest.mark.parametrize(
    "act",
    [
        lambda manager: manager.run("another").start().end(),
        lambda manager: manager.close_dead_runs(),
        lambda manager: manager.runs("another"),
        lambda manager: manager.report(),
        lambda manager: manager.prune(older_than=3600),
    ],
    ids=["any start", "close_dead_runs", "runs", "report", "prune"],
)
def test_a_dead_run_gets_an_end_and_an_error(
    managers: Managers, clock: ManualClock, act: Callable[[oc.JobManager], object]
) -> None:
    """It then reads as failed, and not as running, by `endTime` and `inError` alone."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    dead = die(here, clock, "x")
    act(elsewhere)
    record = stored(elsewhere, dead)
    assert (record["status"], record["inError"]) == ("abandoned", True)
    assert record["endTime"] - record["startTime"] == record["duration"]
    assert "its process did not record an end" in record["error"]
    assert elsewhere.close_dead_runs() == 0


def test_a_live_run_is_left_alone(managers: Managers, clock: ManualClock) -> None:
    """Its lock is held, however many others have died."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    for number in range(9):
        here.start(f"dead-{number}", **UNRENEWED)
    clock.advance(60)
    with here.run("alive", **UNRENEWED) as run:
        assert elsewhere.close_dead_runs() == 9
        assert stored(elsewhere, run.run_id)["status"] == "running"
        assert elsewhere.close_dead_runs() == 0
    assert run.status == "completed"


def test_a_run_under_other_locks_is_left_alone(shared_storage: Storage) -> None:
    """Only its own locks show whether it has died: here it is neither shown so, nor closed."""
    jobs, locks = shared_storage.open("jobs"), shared_storage.open("locks")
    others = shared_storage.open("other-locks")
    with oc.JobManager(jobs, locks) as here, oc.JobManager(jobs, others) as elsewhere:
        run = here.start("x", **UNRENEWED)
        complete(elsewhere, "y")
        assert elsewhere.prune(older_than=3600) == (0, 0)
        assert [one["status"] for one in elsewhere.runs("x")] == ["running"]
        assert stored(elsewhere, run.run_id)["status"] == "running"
        run.end()
        assert run.status == "completed"


def test_locks_that_were_never_used_show_nothing(shared_storage: Storage) -> None:
    """A reader that was given the wrong place, as by a command without --locks."""
    jobs, locks = shared_storage.open("jobs"), shared_storage.open("locks")
    nothing = shared_storage.open("nothing")
    with oc.JobManager(jobs, locks) as here, oc.JobManager(jobs, nothing) as reader:
        run = here.start("x", **UNRENEWED)
        assert [one["status"] for one in reader.runs()] == ["running"]
        assert reader.prune(older_than=0) == (0, 0)
        assert nothing.size() == 0
        run.end()


def test_a_new_process_finds_an_old_dead_run_without_reading_the_history(
    simple_managers: Managers, clock: ManualClock, meddler: Meddler
) -> None:
    """The search continues where an earlier one ended, with the runs that were running then."""
    here = simple_managers.open(clock=clock)
    long = here.start("long", timeout=86_400, keep_alive=False, on_timeout="continue")
    for _ in range(300):
        complete(here, "short")
    assert here.close_dead_runs() == 0
    complete(here, "short")
    assert here.close_dead_runs() == 0
    clock.advance(86_400)
    elsewhere = simple_managers.open(clock=clock, on_jobs=meddler)
    assert elsewhere.close_dead_runs() == 1
    assert stored(here, long.run_id)["status"] == "abandoned"
    assert meddler.calls["items"] == 2


def test_a_dead_run_is_found_after_its_storage_was_emptied(
    managers: Managers, clock: ManualClock
) -> None:
    """Records that were removed, or a new storage, do not hide the runs after them."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    for _ in range(5):
        complete(here, "x")
    assert elsewhere.close_dead_runs() == 0
    elsewhere.jobs.destroy()
    assert elsewhere.close_dead_runs() == 0
    dead = die(here, clock, "y")
    assert elsewhere.close_dead_runs() == 1
    assert stored(elsewhere, dead)["status"] == "abandoned"


def test_records_of_runs_that_did_not_begin_are_moved_out_of_an_older_history(
    managers: Managers,
) -> None:
    """An older version stored them beside the others; the first search of a process corrects it."""
    manager = managers.open()
    complete(manager, "x")
    [record] = manager.runs()
    skipped = record | {"status": "skipped", "startTime": record["startTime"] + 1, "runId": "old"}
    manager.jobs.set(key_of(skipped), skipped)
    managers.open().close_dead_runs()
    assert raw_statuses(manager) == ["completed"]
    assert [one["status"] for one in manager.runs()] == ["skipped", "completed"]
    assert manager.runs(status="skipped")[0]["runId"] == "old"


# -------------------------------------------------------------------------- prune


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


def test_prune_of_age_0_removes_what_has_just_ended(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what ended within the same millisecond."""
    manager = managers.open()
    with manager.run("x") as run:
        pass
    monkeypatch.setattr("ojobchannels.manager.history.now_ms", lambda: run.record["endTime"])
    assert manager.prune(older_than=0) == (1, 0)


@pytest.mark.parametrize("older_than", [float("inf"), float("nan"), -1])
def test_prune_refuses_an_age_that_is_out_of_range(older_than: float) -> None:
    """Instead of removing all records, or failing half-way."""
    with oc.JobManager() as manager, pytest.raises(oc.InvalidOption, match="older_than"):
        manager.prune(older_than)


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
