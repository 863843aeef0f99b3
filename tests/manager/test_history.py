"""Queries on the run records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from tests.manager.conftest import complete, die, fail, raw_statuses

if TYPE_CHECKING:
    from tests.conftest import ManualClock
    from tests.manager.conftest import Managers, Meddler


@pytest.fixture
def manager(managers: Managers, clock: ManualClock) -> oc.JobManager:
    """A manager with a manual clock, on each embedded backend in turn."""
    return managers.open(clock=clock)


def test_runs_are_returned_with_the_latest_start_first(
    manager: oc.JobManager, clock: ManualClock
) -> None:
    """By their start, whatever changed last."""
    early = manager.start("early", timeout=60)
    clock.advance(1)
    later = [complete(manager, "a"), complete(manager, "b")]
    clock.advance(1)
    early.update(progress=1)
    shown = [record["runId"] for record in manager.runs()]
    assert sorted(shown[:2]) == sorted(later)
    assert shown[2] == early.run_id
    early.end()
    assert manager.runs()[2]["runId"] == early.run_id


def test_a_limit_keeps_the_runs_that_started_last(
    manager: oc.JobManager, clock: ManualClock
) -> None:
    """A long run that ended just now does not push out those that started after it."""
    long = manager.start("long", timeout=60)
    ids = []
    for number in range(3):
        clock.advance(1)
        ids.append(complete(manager, f"short-{number}"))
    clock.advance(1)
    long.end()
    assert [one["runId"] for one in manager.runs(limit=2)] == [ids[2], ids[1]]
    assert [one["runId"] for one in manager.runs(limit=4)] == [ids[2], ids[1], ids[0], long.run_id]
    assert manager.runs(limit=0) == []
    assert len(manager.runs(limit=None)) == 4


def test_the_default_limit_is_a_hundred_runs(simple_managers: Managers, clock: ManualClock) -> None:
    """A long history does not flood the caller."""
    manager = simple_managers.open(clock=clock)
    for _ in range(103):
        complete(manager, "x")
    assert len(manager.runs()) == 100
    assert len(manager.runs(limit=None)) == 103
    starts = [record["startTime"] for record in manager.runs(limit=3)]
    assert starts == [record["startTime"] for record in manager.runs(limit=None)[:3]]


def test_runs_are_filtered_by_name_and_status(manager: oc.JobManager, clock: ManualClock) -> None:
    """Alone and together; a limit counts only what fits."""
    ids = [
        complete(manager, "a"),
        fail(manager, "a"),
        complete(manager, "b"),
        complete(manager, "a"),
    ]
    clock.advance(1)
    with manager.run("b"):
        assert [one["runId"] for one in manager.runs("a")] == [ids[3], ids[1], ids[0]]
        assert [one["runId"] for one in manager.runs("a", "completed")] == [ids[3], ids[0]]
        assert [one["runId"] for one in manager.runs(status="failed")] == [ids[1]]
        assert [one["runId"] for one in manager.runs("a", "completed", limit=1)] == [ids[3]]
        assert [one["name"] for one in manager.runs(status="running")] == ["b"]
        assert manager.runs("c") == []


def test_an_unknown_status_is_rejected(simple_manager: oc.JobManager) -> None:
    """A misspelt status does not return an empty list."""
    with pytest.raises(oc.InvalidOption, match="pass running, completed, failed"):
        simple_manager.runs(status="complete")


def test_runs_since_a_time_include_that_time(manager: oc.JobManager, clock: ManualClock) -> None:
    """A datetime, or seconds since 1970; by the start of the run."""
    ids = []
    for _ in range(3):
        ids.append(complete(manager, "x"))
        clock.advance(10)
    middle = 1_900_000_010
    for since in (middle, float(middle), datetime.fromtimestamp(middle, UTC)):
        assert [one["runId"] for one in manager.runs(since=since)] == [ids[2], ids[1]]
    assert [one["runId"] for one in manager.runs(since=middle + 0.001)] == [ids[2]]
    assert [one["runId"] for one in manager.runs(since=middle, limit=1)] == [ids[2]]
    assert manager.runs(since=middle + 3600) == []


def test_a_run_whose_lease_expired_is_closed_by_a_query(
    managers: Managers, clock: ManualClock
) -> None:
    """No reader of the records after that finds a dead run without an end."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    dead = die(here, clock, "x")
    [shown] = elsewhere.runs()
    assert (shown["runId"], shown["status"]) == (dead, "abandoned")
    assert elsewhere.running() == []
    assert elsewhere.runs(status="running") == []
    assert [one["runId"] for one in elsewhere.runs(status="abandoned")] == [dead]
    assert elsewhere.report()[0]["abandoned"] == 1
    assert raw_statuses(elsewhere) == ["abandoned"]


def test_a_run_whose_lease_expired_is_shown_as_abandoned_if_it_cannot_be_closed(
    managers: Managers, clock: ManualClock, meddler: Meddler
) -> None:
    """A full storage does not make a query fail, or show a dead run as running."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock, on_jobs=meddler)
    die(here, clock, "x")
    meddler.failing["get_set"] = oc.StorageFull("jobs", "no space left", "free some")
    assert [one["status"] for one in elsewhere.runs()] == ["abandoned"]
    assert raw_statuses(elsewhere) == ["running"]


def test_the_next_start_records_that_a_run_was_abandoned(
    managers: Managers, clock: ManualClock
) -> None:
    """The record has an end and a reason before the body of the new run starts."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    dead = die(here, clock, "x")
    with elsewhere.run("x") as run:
        assert raw_statuses(elsewhere) == ["abandoned", "running"]
        assert [one["runId"] for one in elsewhere.running()] == [run.run_id]
    [found] = elsewhere.runs(status="abandoned")
    assert found["runId"] == dead
    assert found["endTime"] >= found["startTime"]
    assert "lease expired" in found["error"]
    assert [one["status"] for one in elsewhere.runs()] == ["completed", "abandoned"]


def test_the_abandoned_run_is_found_if_records_before_it_were_removed(
    managers: Managers, clock: ManualClock
) -> None:
    """Others may have taken the millisecond of its fence, and be gone since."""
    manager = managers.open(clock=clock)
    complete(manager, "x")
    dead = die(manager, clock, "x")
    for record in manager.runs(status="completed"):
        manager.jobs.unset({"name": "x", "startTime": record["startTime"]})
    with manager.run("x"):
        pass
    assert [one["runId"] for one in manager.runs(status="abandoned")] == [dead]
    assert raw_statuses(manager) == ["abandoned", "completed"]


def test_a_run_that_ends_during_a_query_is_not_shown_as_abandoned(
    managers: Managers, meddler: Meddler
) -> None:
    """It may have completed between the read of the record and the read of the lock."""
    here, looks = managers.open(), managers.open(on_jobs=meddler, on_locks=meddler)
    for query, expected, operation in (
        (lambda: [one["status"] for one in looks.runs("a")], ["completed"], "lock_info"),
        (looks.running, [], "get"),
        (lambda: looks.report()[0]["abandoned"], 0, "lock_info"),
    ):
        run = here.start("a")
        meddler.before[operation] = run.end
        assert query() == expected
        assert run.status == "completed"
        looks.jobs.destroy()


def test_running_returns_only_runs_that_hold_their_lock(
    managers: Managers, clock: ManualClock
) -> None:
    """They are returned latest first, whichever manager runs them."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    die(here, clock, "dead")
    complete(here, "done")
    with here.run("a"):
        clock.advance(1)
        with elsewhere.run("b"):
            assert [record["name"] for record in here.running()] == ["b", "a"]
        assert [record["name"] for record in here.running()] == ["a"]
    assert here.running() == []


def test_running_does_not_search_all_records(managers: Managers, meddler: Meddler) -> None:
    """The locks lead to them."""
    here, looks = managers.open(), managers.open(on_jobs=meddler)
    for _ in range(3):
        complete(here, "done")
    with here.run("a"):
        assert [record["name"] for record in looks.running()] == ["a"]
        assert [record["name"] for record in looks.runs("a", "running")] == ["a"]
        meddler.calls.clear()
        assert looks.runs("done", "running") == []
        assert looks.running()
    assert meddler.calls["items"] == 0
    assert looks.running() == []


def test_other_documents_in_the_channel_are_ignored(managers: Managers) -> None:
    """They are not run records, and they are kept."""
    manager = managers.open()
    complete(manager, "x")
    for key, value in (
        ("note", "buy paper"),
        (1, None),
        ({"name": "y"}, {"name": "y", "startTime": 1}),
    ):
        manager.jobs.set(key, value)
    assert [record["name"] for record in manager.runs()] == ["x"]
    assert [row["name"] for row in manager.report()] == ["x"]
    manager.prune(older_than=0)
    assert manager.jobs.get("note") == "buy paper"
    assert manager.jobs.get({"name": "y"}) == {"name": "y", "startTime": 1}


def test_the_report_counts_each_status_and_averages_what_ran(
    managers: Managers, clock: ManualClock
) -> None:
    """One row for each job, by name; skipped runs have no part in the average."""
    manager = managers.open(clock=clock)
    for seconds, ends in ((1, True), (2, True), (6, False)):
        run = manager.start("b", timeout=30)
        clock.advance(seconds)
        run.end() if ends else run.fail("broken")
    with manager.run("b", timeout=30), pytest.raises(oc.LockBusy):
        manager.start("b")
    clock.advance(1)
    die(manager, clock, "a")
    manager._record_not_run("a", "depsfail", "b failed")
    rows = manager.report()
    assert [row["name"] for row in rows] == ["a", "b"]
    assert rows[1] == {
        "name": "b",
        "runs": 5,
        "running": 0,
        "completed": 3,
        "failed": 1,
        "skipped": 1,
        "depsfail": 0,
        "abandoned": 0,
        "lost": 0,
        "cancelled": 0,
        "averageDuration": 2250,
        "lastStart": 1_900_000_009_001,
        "lastStatus": "skipped",
    }
    assert (rows[0]["runs"], rows[0]["abandoned"], rows[0]["depsfail"]) == (2, 1, 1)
    assert rows[0]["lastStatus"] == "depsfail"
    assert rows[0]["averageDuration"] is None


def test_the_report_without_records_is_empty(manager: oc.JobManager) -> None:
    """No runs, no rows."""
    assert manager.report() == []


def test_a_run_that_did_not_start_is_recorded_with_its_reason(manager: oc.JobManager) -> None:
    """depsfail and skipped end as they start, and do not count as errors."""
    record = manager._record_not_run("x", "depsfail", "extract failed", {"day": "monday"})
    assert manager.runs() == [record]
    assert manager.runs("x", "depsfail") == [record]
    assert manager.runs("y") == manager.runs("x", "completed") == []
    assert record["endTime"] == record["startTime"]
    assert (record["status"], record["reason"]) == ("depsfail", "extract failed")
    assert (record["inError"], record["args"]) == (False, {"day": "monday"})


def test_the_jobs_channel_holds_only_runs_that_began(
    managers: Managers, clock: ManualClock
) -> None:
    """A reader that judges by `endTime` and `inError` takes none of the others for a success."""
    manager = managers.open(clock=clock)
    began = [complete(manager, "x")]
    clock.advance(1)
    manager._record_not_run("x", "depsfail", "extract failed")
    clock.advance(1)
    with manager.run("x") as holder, pytest.raises(oc.LockBusy):
        manager.start("x")
    clock.advance(1)
    with manager.run("x") as skipped:
        skipped.skip("nothing to do")
    assert raw_statuses(manager) == ["completed", "completed"]
    shown = [(record["runId"], record["status"]) for record in manager.runs()]
    assert shown[0] == (skipped.run_id, "skipped")
    assert [status for _, status in shown[1:]] == ["skipped", "completed", "depsfail", "completed"]
    assert (shown[2][0], shown[4][0]) == (holder.run_id, began[0])
    assert [one["runId"] for one in manager.runs(limit=3)] == [run_id for run_id, _ in shown[:3]]


def test_a_run_that_lost_its_lock_before_it_was_skipped_began(managers: Managers) -> None:
    """It is recorded as lost: while it was active, another run may have been."""
    manager = managers.open()
    run = manager.start("x")
    manager.force_unlock("x")
    with pytest.raises(oc.LockLost):
        run.skip("nothing to do")
    assert [record["status"] for record in manager.runs()] == ["lost"]
    assert raw_statuses(manager) == ["lost"]


def test_an_empty_name_means_no_job(manager: oc.JobManager) -> None:
    """A command with an empty variable for its job finds no run, also none that was skipped."""
    complete(manager, "extract")
    manager._record_not_run("extract", "skipped", "nothing to do")
    assert {run["status"] for run in manager.runs()} == {"completed", "skipped"}
    assert manager.runs("") == []
    assert manager.record("") is None
