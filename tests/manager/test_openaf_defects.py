"""What the job manager of OpenAF gets wrong, one test for each defect, named M1 to M14."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import ManualClock
    from tests.manager.conftest import Managers, Meddler


UNRENEWED: dict[str, Any] = {"timeout": 30, "keep_alive": False, "on_timeout": "continue"}


def stored(run: oc.JobRun) -> dict[str, Any]:
    record = run.manager.jobs.get({"name": run.name, "startTime": run.record["startTime"]})
    assert isinstance(record, dict)
    return record


def holds(run: oc.JobRun) -> bool:
    held = run.manager.locks.lock_info(run.name)
    return held is not None and held.fence == run.fence


def test_m01_a_start_that_could_not_lock_unlocks_nothing(managers: Managers) -> None:
    """After a refused start, an error here leaves the lock and the record of the real holder."""
    here, elsewhere = managers.open(), managers.open()
    holder = elsewhere.start("j1")
    with pytest.raises(oc.LockBusy):
        here.start("j1")
    with pytest.raises(oc.RunNotStarted):
        here.error("j1", "it could not be locked")
    with pytest.raises(oc.LockBusy), here.run("j1"):
        pytest.fail("ran beside the holder")
    assert holds(holder)
    assert stored(holder)["status"] == "running"
    holder.end()
    assert stored(holder)["status"] == "completed"


def test_m02_an_error_ends_only_the_run_that_failed(manager: oc.JobManager) -> None:
    """Another job of the same process keeps its lock, and its record stays running."""
    long = manager.start("long")
    with pytest.raises(ValueError, match="bad"), manager.run("bad"):
        raise ValueError("bad")
    other = manager.start("other")
    manager.error("other", "bad too")
    assert holds(long)
    assert stored(long)["status"] == "running"
    assert stored(other)["status"] == "failed"
    long.end()
    assert stored(long)["inError"] is False


def test_m03_an_error_does_not_rewrite_the_records_of_earlier_runs(manager: oc.JobManager) -> None:
    """A record that has ended is final: no later error changes its end or its text."""
    earlier = []
    for ends in (True, False):
        run = manager.start("x")
        run.end() if ends else run.fail("the first error")
        earlier.append(run)
    before = [stored(run) for run in earlier]
    with pytest.raises(ValueError, match="second"), manager.run("x"):
        raise ValueError("the second error")
    with pytest.raises(oc.RunNotStarted):
        manager.error("x", "a third error")
    assert [stored(run) for run in earlier] == before


def test_m04_two_runs_of_one_name_in_one_process_end_separately(
    managers: Managers, clock: ManualClock
) -> None:
    """A run that outlived its lease closes neither record nor lock of the one that followed."""
    manager = managers.open(clock=clock)
    first = manager.start("x", **UNRENEWED)
    clock.advance(31)
    second = manager.start("x", **UNRENEWED)
    with pytest.raises(oc.LockLost):
        manager.end(first)
    assert holds(second)
    assert stored(second)["status"] == "running"
    assert stored(first)["status"] == "lost"
    manager.end("x")
    assert stored(second)["status"] == "completed"
    assert stored(first)["status"] == "lost"


def test_m05_an_end_without_a_start_is_an_error_and_changes_nothing(
    manager: oc.JobManager,
) -> None:
    """No record appears for it, and no other run is forgotten for it."""
    other = manager.start("other")
    before = manager.jobs.get_all()
    with pytest.raises(oc.RunNotStarted, match="'x'"):
        manager.end("x")
    with pytest.raises(oc.RunNotStarted, match="'x'"):
        manager.error("x", "no such run")
    with pytest.raises(oc.RunNotStarted, match="'x'"):
        manager.run("x").end()
    assert manager.jobs.get_all() == before
    assert holds(other)
    manager.end("other")
    assert stored(other)["status"] == "completed"


def test_m06_the_record_is_closed_before_the_lock_is_free(
    managers: Managers, meddler: Meddler
) -> None:
    """The next holder never sees the previous run as running."""
    manager = managers.open(on_locks=meddler)
    seen: list[str] = []

    def note(run: oc.JobRun) -> None:
        seen.append(stored(run)["status"])

    for ends in (True, False):
        run = manager.start("x")
        meddler.before["unlock"] = partial(note, run)
        run.end() if ends else run.fail("broken")
    assert seen == ["completed", "failed"]


def test_m06_an_end_that_could_not_be_recorded_keeps_the_lock_and_can_be_repeated(
    managers: Managers, meddler: Meddler
) -> None:
    """An error of the record leaves the run open, not a free lock beside a running record."""
    manager = managers.open(on_jobs=meddler)
    run = manager.start("x")
    meddler.failing["set"] = oc.ChannelUnavailable("jobs", "the disk is gone", "plug it in")
    with pytest.raises(oc.ChannelUnavailable):
        run.end()
    assert run.open
    assert holds(run)
    meddler.failing.clear()
    run.end()
    assert stored(run)["status"] == "completed"
    assert not holds(run)


def test_m07_two_starts_in_one_millisecond_have_two_records(
    managers: Managers, clock: ManualClock
) -> None:
    """The later one starts a millisecond later; both keep their own end."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    first = here.start("x")
    first.end()
    second = elsewhere.start("x")
    second.fail("broken")
    assert second.record["startTime"] == first.record["startTime"] + 1
    assert (stored(first)["status"], stored(second)["status"]) == ("completed", "failed")
    assert len(here.runs("x")) == 2


def test_m08_a_run_whose_process_died_is_not_shown_as_running(
    managers: Managers, clock: ManualClock
) -> None:
    """It is closed as abandoned once its lease expired, by whoever lists it or starts a run."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    runs = [here.start(name, **UNRENEWED) for name in ("a", "b")]
    clock.advance(30)
    assert elsewhere.running() == []
    assert [record["status"] for record in elsewhere.runs()] == ["abandoned", "abandoned"]
    assert [stored(run)["status"] for run in runs] == ["abandoned", "abandoned"]


def test_m09_channels_that_cannot_be_opened_stop_everything(tmp_path: Path) -> None:
    """No manager is created, and no run in memory that other processes would not see."""
    broken = tmp_path / "broken.db"
    broken.write_text("this is not a database, and it is long enough to be sure of that\n" * 20)
    config = {"type": "db", "args": {"file": str(broken)}}
    for jobs, locks in ((config, None), (None, config)):
        with pytest.raises(oc.ChannelDamaged):
            oc.JobManager(jobs, locks)
    assert broken.read_text().startswith("this is not a database")


def test_m10_a_body_that_returns_early_ends_its_run(manager: oc.JobManager) -> None:
    """`return` in a with block or in a job's function completes the run and frees the lock."""

    def early() -> str:
        with manager.run("by-hand"):
            return "done"

    @manager.job("decorated")
    def decorated(stop: bool) -> str:
        if stop:
            return "early"
        return "late"

    assert (early(), decorated(True)) == ("done", "early")
    assert [record["status"] for record in manager.runs()] == ["completed", "completed"]
    assert manager.locks.locks() == []


def test_m10_an_error_by_hand_needs_no_other_job_before_it(manager: oc.JobManager) -> None:
    """`error` works wherever a run is open, and is not left out because of what ran before."""
    with pytest.raises(ValueError, match="before"), manager.run("before"):
        raise ValueError("before")
    run = manager.start("x")
    manager.error("x", "reported by hand")
    assert stored(run)["error"] == "reported by hand"
    assert not holds(run)


def test_m11_a_failure_can_be_handled_by_a_named_job(managers: Managers) -> None:
    """The named job runs, and gets the record of what failed."""
    manager = managers.open()
    caught: list[str] = []

    @manager.job("handler")
    def handler(run: dict[str, Any]) -> None:
        caught.append(run["error"])

    @manager.job("x", on_failure="handler")
    def broken() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    manager.close()
    assert caught == ["ValueError: broken"]


def test_m12_a_launched_job_is_executed_and_can_be_waited_for(managers: Managers) -> None:
    """It has an id, a state, a result and a record; an unknown name is refused with a hint."""
    manager = managers.open()

    @manager.job("process-batch")
    def process(batch: str) -> str:
        return f"processed {batch}"

    launch = manager.launch("process-batch", {"batch": "b-1"})
    assert launch.result(30) == "processed b-1"
    assert launch.state == "completed"
    assert [record["runId"] for record in manager.runs("process-batch")] == [launch.run_id]
    with pytest.raises(oc.UnknownJob, match="did you mean 'process-batch'"):
        manager.launch("processbatch")


def test_m13_a_tick_that_finds_the_lock_held_is_skipped_at_once(
    managers: Managers, meddler: Meddler
) -> None:
    """No wait, no error: None, and a record with status skipped."""
    here, elsewhere = managers.open(on_locks=meddler), managers.open()
    tick = here.job("x", if_running="skip")(lambda: "ran")
    with elsewhere.run("x"):
        assert tick() is None
    assert meddler.calls["wait"] == 0
    assert meddler.calls["lock"] == 1
    [skipped] = here.runs(status="skipped")
    assert skipped["inError"] is False
    assert skipped["endTime"] == skipped["startTime"]


def test_m14_a_running_record_has_no_end_at_all(managers: Managers) -> None:
    """Neither key exists, not even with null, until the run has ended; also after an update."""
    manager = managers.open()
    with manager.run("x") as run:
        for record in (stored(run), manager.running()[0], run.record):
            assert record.keys().isdisjoint({"endTime", "endDate", "duration", "error"})
        run.update(progress=0.5)
        assert stored(run).keys().isdisjoint({"endTime", "endDate", "duration", "error"})
    assert {"endTime", "endDate", "duration"} <= stored(run).keys()
