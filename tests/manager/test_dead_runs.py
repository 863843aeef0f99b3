"""Runs whose process died are closed, whoever notices it first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.records import key_of
from tests.manager.conftest import UNRENEWED, complete, die, raw_statuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import ManualClock, Storage
    from tests.manager.conftest import Managers, Meddler


def stored(manager: oc.JobManager, run_id: str) -> dict[str, Any]:
    """Return the record of a run as any reader of the channel finds it."""
    [record] = [each for each in manager.jobs.get_all() if each["runId"] == run_id]
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
    """Without its locks nobody can tell whether it has died: it is neither shown so, nor closed."""
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
    """An older version stored them beside the others; the first search corrects that."""
    manager = managers.open()
    complete(manager, "x")
    [record] = manager.runs()
    skipped = record | {"status": "skipped", "startTime": record["startTime"] + 1, "runId": "old"}
    manager.jobs.set(key_of(skipped), skipped)
    manager.close_dead_runs()
    assert raw_statuses(manager) == ["completed"]
    assert [one["status"] for one in manager.runs()] == ["skipped", "completed"]
    assert manager.runs(status="skipped")[0]["runId"] == "old"
