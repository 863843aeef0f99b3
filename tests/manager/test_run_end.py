"""The end of a run, errors at its end, and updates of its record."""

# ruff: noqa: PT012  the body of a run is what is tested, and it has more than one statement
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.records import FIELDS, key_of

if TYPE_CHECKING:
    from tests.conftest import ManualClock
    from tests.manager.conftest import Managers, Meddler


UNAVAILABLE = oc.ChannelUnavailable("jobs", "the disk is gone", "plug it in")


def stored(run: oc.JobRun) -> Any:
    """Return the record of a run as it is in the channel."""
    return run.manager.jobs.get(key_of(run.record))


def lose(run: oc.JobRun) -> None:
    """Force-release the lock of a run, which does not notice."""
    assert run.manager.locks.force_unlock(run.name) is not None


def statuses(manager: oc.JobManager, name: str | None = None) -> list[str]:
    return [record["status"] for record in manager.runs(name)]


def test_a_started_run_is_ended_by_itself_or_by_its_name(manager: oc.JobManager) -> None:
    """`end` completes one run and does not affect the others."""
    first, second, third = (manager.start(name) for name in ("a", "b", "c"))
    manager.end(second)
    manager.end("a")
    third.end()
    assert [run.status for run in (first, second, third)] == ["completed"] * 3
    assert statuses(manager) == ["completed"] * 3
    assert manager.locks.locks() == []


def test_a_started_run_is_ended_as_failed_by_error(manager: oc.JobManager) -> None:
    """`error` takes an exception or a text."""
    first, second = manager.start("a"), manager.start("b")
    manager.error(first, "out of paper")
    manager.error("b", OSError("no route"))
    assert stored(first)["error"] == "out of paper"
    assert stored(second)["error"] == "OSError: no route"
    assert {stored(run)["status"] for run in (first, second)} == {"failed"}
    assert manager.locks.locks() == []


def test_a_run_cannot_be_ended_twice(manager: oc.JobManager) -> None:
    """The second end raises RunNotStarted and does not change the record."""
    run = manager.start("x")
    run.end()
    before = stored(run)
    for end in (
        run.end,
        lambda: run.fail("late"),
        lambda: manager.end(run),
        lambda: manager.end("x"),
        lambda: manager.error("x", "late"),
    ):
        with pytest.raises(oc.RunNotStarted, match="'x'"):
            end()
    assert stored(run) == before


def test_a_run_of_another_manager_cannot_be_ended(managers: Managers) -> None:
    """`end` and `error` know only the runs that this manager started."""
    here, elsewhere = managers.open(), managers.open()
    run = elsewhere.start("x")
    for what in (run, "x"):
        with pytest.raises(oc.RunNotStarted):
            here.end(what)
        with pytest.raises(oc.RunNotStarted):
            here.error(what, "not mine")
    assert stored(run)["status"] == "running"
    elsewhere.end(run)


def test_a_started_run_can_be_used_in_a_with_block(manager: oc.JobManager) -> None:
    """The block ends a run that was started before."""
    with manager.start("x") as run:
        assert run.open
    assert run.status == "completed"


def test_with_does_not_run_its_body_if_the_lock_is_already_lost(
    managers: Managers, clock: ManualClock
) -> None:
    """A started run whose lease expired is rejected."""
    manager = managers.open(clock=clock)
    run = manager.start("x", timeout=5, keep_alive=False, on_timeout="continue")
    clock.advance(5)
    with pytest.raises(oc.LockLost), run:
        pytest.fail("the body ran without the lock")
    with pytest.raises(oc.LockLost):
        run.end()


def test_a_run_that_was_ended_in_its_body_is_not_ended_again(manager: oc.JobManager) -> None:
    """Neither the end of the block nor a later error changes the record."""
    with pytest.raises(ValueError, match="late"), manager.run("x") as run:
        run.end()
        raise ValueError("late")
    assert stored(run)["status"] == "completed"


def test_a_run_that_cannot_write_its_record_releases_the_lock(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """A start that fails after the lock was acquired raises its error."""
    manager = simple_managers.open(on_jobs=meddler)
    meddler.failing["get_set"] = UNAVAILABLE
    with pytest.raises(oc.ChannelUnavailable, match="disk is gone"), manager.run("x"):
        pytest.fail("ran without a record")
    assert manager.locks.lock_info("x") is None


def test_a_start_that_fails_twice_raises_the_first_error(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """An error of the release does not hide why the start failed."""
    locks = type(meddler)()
    manager = simple_managers.open(on_jobs=meddler, on_locks=locks)
    meddler.failing["get_set"] = UNAVAILABLE
    locks.failing["unlock"] = oc.ChannelUnavailable("locks", "no route", "wait")
    with pytest.raises(oc.ChannelUnavailable, match="disk is gone"):
        manager.start("x")
    locks.failing.clear()


def test_an_error_at_the_end_does_not_hide_the_error_of_the_body(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """The error of the body is raised with a note, and the lock is released."""
    manager = simple_managers.open(on_jobs=meddler)
    with pytest.raises(ValueError, match="mine") as raised, manager.run("x"):
        meddler.failing["set"] = UNAVAILABLE
        raise ValueError("mine")
    assert any("disk is gone" in note for note in raised.value.__notes__)
    assert manager.locks.lock_info("x") is None


def test_an_error_of_an_extension_does_not_hide_the_error_of_the_body(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """An extension may raise anything."""
    manager = simple_managers.open(on_jobs=meddler)
    with pytest.raises(ValueError, match="mine") as raised, manager.run("x"):
        meddler.failing["set"] = ZeroDivisionError("metrics")
        raise ValueError("mine")
    assert any("metrics" in note for note in raised.value.__notes__)
    assert manager.locks.lock_info("x") is None


def test_an_error_at_the_end_of_a_successful_body_is_raised(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """A run whose end could not be recorded is not shown as completed."""
    manager = simple_managers.open(on_jobs=meddler)
    with pytest.raises(oc.ChannelUnavailable, match="disk is gone"), manager.run("x"):
        meddler.failing["set"] = UNAVAILABLE
    assert manager.locks.lock_info("x") is None
    assert statuses(manager) == ["abandoned"]


def test_update_writes_fields_that_other_managers_see_at_once(managers: Managers) -> None:
    """The fields are in the record while it runs and at its end."""
    here, elsewhere = managers.open(), managers.open()
    with here.run("x") as run:
        run.update(progress=0.5, step="load")
        [seen] = elsewhere.running()
        assert (seen["progress"], seen["step"], seen["status"]) == (0.5, "load", "running")
        assert "endTime" not in seen
        run.update(progress=1)
    assert (stored(run)["progress"], stored(run)["step"]) == (1, "load")
    assert stored(run)["status"] == "completed"


@pytest.mark.parametrize("field", FIELDS)
def test_update_rejects_fields_of_the_manager(simple_manager: oc.JobManager, field: str) -> None:
    """Name, status and end cannot be changed by an update."""
    with simple_manager.run("x") as run:
        before = stored(run)
        with pytest.raises(oc.InvalidOption, match=field):
            run.update(**{field: 1})
        with pytest.raises(ValueError, match=field):
            run.update(**{field: 1, "progress": 0.5})
        assert stored(run) == before


def test_update_copies_its_values(simple_manager: oc.JobManager) -> None:
    """Changes of an object after `update` are not in the record."""
    with simple_manager.run("x") as run:
        parts = ["a"]
        run.update(parts=parts)
        parts.append("b")
    assert stored(run)["parts"] == ["a"]


def test_update_rejects_values_that_are_not_json(simple_manager: oc.JobManager) -> None:
    """The record is not changed, and the run continues."""
    with simple_manager.run("x") as run:
        with pytest.raises(oc.InvalidValue, match="progress"):
            run.update(progress=object())
        run.update(progress=1)
    assert stored(run)["progress"] == 1


def test_update_needs_an_open_run(simple_manager: oc.JobManager) -> None:
    """It raises before the start and after the end."""
    run = simple_manager.run("x")
    with pytest.raises(oc.RunNotStarted):
        run.update(progress=0)
    with run:
        pass
    with pytest.raises(oc.RunNotStarted):
        run.update(progress=1)


def test_update_of_a_lost_run_does_not_change_the_record(managers: Managers) -> None:
    """A run that was marked as abandoned is not revived by an update."""
    here, elsewhere = managers.open(), managers.open()
    run = here.start("x")
    lose(run)
    assert elsewhere.prune(older_than=3600).abandoned == 1
    before = stored(run)
    with pytest.raises(oc.LockLost):
        run.update(progress=0.5)
    assert stored(run) == before
    with pytest.raises(oc.LockLost):
        run.end()
