"""Around the record of a run: concurrent writes, failing ends, interrupts, secrets."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import JobManager

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.manager.conftest import Log, Managers, Meddler


def full() -> oc.StorageFull:
    return oc.StorageFull("jobs", "no space", "free some")


class Strikes:
    """An extension that raises what a signal handler may raise, behind one operation."""

    def __init__(self) -> None:
        self.armed = ""

    @oc.hookimpl(wrapper=True)
    def get_set(self) -> Generator[None, Any, Any]:
        result = yield
        self._strike("get_set")
        return result

    @oc.hookimpl(wrapper=True)
    def set(self) -> Generator[None, Any, Any]:
        result = yield
        self._strike("set")
        return result

    @oc.hookimpl(wrapper=True)
    def lock_info(self) -> Generator[None, Any, Any]:
        result = yield
        self._strike("lock_info")
        return result

    def _strike(self, operation: str) -> None:
        if operation == self.armed:
            self.armed = ""
            raise KeyboardInterrupt(operation)


def stored(run: oc.JobRun) -> dict[str, Any]:
    record = run.manager.jobs.get({"name": run.name, "startTime": run.record["startTime"]})
    assert isinstance(record, dict)
    return record


def statuses(manager: oc.JobManager) -> list[str]:
    return [record["status"] for record in manager.jobs.get_all()]


# --------------------------------------------------------------------------- writes that cross


def test_a_note_keeps_what_the_run_writes_meanwhile(managers: Managers, meddler: Meddler) -> None:
    """Progress that is recorded between the reading and the writing of the note stays."""
    here, elsewhere = managers.open(), managers.open(on_jobs=meddler)
    run = here.start("x")
    meddler.before["get_set"] = lambda: run.update(progress=0.5)
    elsewhere.force_unlock("x", "ann: the host is gone")
    assert stored(run)["progress"] == 0.5
    assert stored(run)["note"].endswith("ann: the host is gone")


def test_an_update_keeps_a_note_that_is_left_meanwhile(
    managers: Managers, meddler: Meddler
) -> None:
    """Also before the run has noticed that its lock was force-released."""
    here, elsewhere = managers.open(on_jobs=meddler), managers.open()
    run = here.start("x")
    meddler.before["get_set"] = lambda: elsewhere.force_unlock("x", "ann: gone")
    run.update(progress=0.5)
    assert stored(run)["progress"] == 0.5
    assert stored(run)["note"].endswith("ann: gone")
    assert run.record == stored(run)


def test_a_note_does_not_open_the_record_of_a_run_that_ends_meanwhile(
    managers: Managers, meddler: Meddler
) -> None:
    """The end and the note are both kept."""
    here, elsewhere = managers.open(), managers.open(on_jobs=meddler)
    run = here.start("x")

    def end() -> None:
        with pytest.raises(oc.LockLost):
            run.end()

    meddler.before["get_set"] = end
    elsewhere.force_unlock("x", "ann: gone")
    assert stored(run)["status"] == "lost"
    assert "endTime" in stored(run)
    assert stored(run)["note"].endswith("ann: gone")


def test_an_error_while_writing_the_note_does_not_fail_force_unlock(
    managers: Managers, meddler: Meddler, log: Log
) -> None:
    """It returns the evicted holder, and the error is logged."""
    here, elsewhere = managers.open(), managers.open(on_jobs=meddler)
    run = here.start("x")
    meddler.failing["get_set"] = full()
    evicted = elsewhere.force_unlock("x")
    assert evicted is not None
    assert evicted.fence == run.fence
    assert "lock 'x' was force-released" in log.wait_for("but no note could be added")


def test_force_unlock_with_a_fence_evicts_only_that_lease(managers: Managers) -> None:
    """A fence that does not hold the lock any more frees nothing."""
    here, elsewhere = managers.open(), managers.open()
    with here.run("x") as first:
        pass
    assert elsewhere.force_unlock("x", fence=first.fence) is None
    with here.run("x") as second:
        assert elsewhere.force_unlock("x", fence=first.fence) is None
        second.check()
    third = here.start("x")
    evicted = elsewhere.force_unlock("x", fence=third.fence)
    assert evicted is not None
    assert evicted.fence == third.fence


def test_jobs_defined_by_concurrent_threads_are_all_known(simple_manager: oc.JobManager) -> None:
    """None of them is lost, however the threads take turns."""
    each = 150

    def declare(thread: int) -> None:
        for number in range(each):
            simple_manager.job(f"{thread}-{number}")(lambda: None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=declare, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    with pytest.raises(oc.UnknownJob) as raised:
        simple_manager.launch("nosuch")
    assert len(raised.value.known) == 4 * each


# ------------------------------------------------------------------------------ ends that fail


def test_an_error_while_recording_the_end_has_notes_about_the_run(
    managers: Managers, meddler: Meddler
) -> None:
    """The notes say that the run has ended, what its record says, and what becomes of its lock."""
    manager = managers.open(on_jobs=meddler)
    with pytest.raises(oc.StorageFull) as raised, manager.run("x") as run:
        meddler.failing["set"] = full()
    meddler.failing.clear()
    assert raised.value.__notes__ == [
        f"run {run.run_id} of job 'x' has ended (completed), but its record still says that it is "
        "running",
        f"run {run.run_id} will be shown as abandoned; its lock was released",
    ]
    assert manager.locks.lock_info("x") is None
    assert [record["status"] for record in manager.runs()] == ["abandoned"]


def test_the_error_of_the_body_gets_the_same_notes(managers: Managers, meddler: Meddler) -> None:
    """They are in one note, after the error at the end of the run."""
    manager = managers.open(on_jobs=meddler)

    @manager.job("x")
    def work() -> None:
        meddler.failing["set"] = full()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as raised:
        work()
    meddler.failing.clear()
    (note,) = raised.value.__notes__
    for part in ("no space", "has ended (failed)", "shown as abandoned; its lock was released"):
        assert part in note


def test_a_lock_lost_after_the_end_was_recorded_leaves_the_run_completed(
    managers: Managers, meddler: Meddler, log: Log
) -> None:
    """The work was done under the lock; record and caller agree on that."""
    here, elsewhere = managers.open(on_locks=meddler), managers.open()

    @here.job("x")
    def work() -> str:
        meddler.before["unlock"] = lambda: elsewhere.force_unlock("x")
        return "done"

    assert work() == "done"
    (record,) = here.runs()
    assert record["status"] == "completed"
    assert "after its end" in log.wait_for("lost its lock")


def test_a_lost_run_whose_record_was_removed_raises_lock_lost(
    managers: Managers,
) -> None:
    """The run's own status and that in the failure notice do not remain `running`."""
    manager = managers.open()
    notified: list[dict[str, Any]] = []

    @manager.job("x", on_failure=notified.append)
    def work() -> None:
        manager.force_unlock("x")
        manager.jobs.destroy()

    with pytest.raises(oc.LockLost):
        work()
    assert [record["status"] for record in notified] == ["lost"]
    assert manager.jobs.size() == 0


def test_a_skipped_run_raises_lock_busy_even_if_it_cannot_be_recorded(
    managers: Managers, meddler: Meddler, log: Log
) -> None:
    """The refusal is what counts; a job with `if_running="skip"` then still skips."""
    here, elsewhere = managers.open(), managers.open(on_state=meddler)
    skips = elsewhere.job("x", if_running="skip")(lambda: "ran")
    with here.run("x"):
        meddler.failing["get_set"] = full()
        with pytest.raises(oc.LockBusy):
            elsewhere.start("x")
        assert skips() is None
        meddler.failing.clear()
    assert "no space" in log.wait_for("cannot record that job 'x' was skipped")


# -------------------------------------------------------------------------- signals in between


def test_an_interrupt_after_the_new_record_leaves_neither_lock_nor_running_record(
    managers: Managers,
) -> None:
    """A run that began is recorded as failed, and the job can run again."""
    strikes = Strikes()
    manager = managers.open(on_jobs=strikes)
    strikes.armed = "get_set"
    with pytest.raises(KeyboardInterrupt), manager.run("x") as run:
        pytest.fail("ran after the interrupt")
    assert manager.locks.locks() == []
    assert statuses(manager) == ["failed"]
    with manager.run("x") as run:
        pass
    assert stored(run)["status"] == "completed"


def test_an_error_of_the_timeout_alarm_leaves_neither_lock_nor_running_record(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is closed as failed; neither the lock nor the run is kept."""
    manager = managers.open()

    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("ojobchannels.manager.runs.run.KEEP_ALIVE.set_alarm", no_memory)
    with pytest.raises(MemoryError):
        manager.start("x")
    monkeypatch.undo()
    assert manager.locks.locks() == []
    assert statuses(manager) == ["failed"]
    with pytest.raises(oc.RunNotStarted):
        manager.end("x")


@pytest.mark.parametrize(("operation", "status"), [("lock_info", "failed"), ("set", "completed")])
def test_an_interrupt_at_the_end_of_a_run_leaves_neither_lock_nor_running_record(
    managers: Managers, operation: str, status: str
) -> None:
    """An end that was recorded is kept; otherwise the run is recorded as failed."""
    strikes = Strikes()
    manager = managers.open(on_jobs=strikes, on_locks=strikes)
    with pytest.raises(KeyboardInterrupt), manager.run("x") as run:
        strikes.armed = operation
    assert manager.locks.locks() == []
    assert statuses(manager) == [status]
    assert (run.open, run.status) == (False, status)


SIMPLE = {"type": "simple"}


def test_args_are_masked_by_name_and_form() -> None:
    """Others who may read the records do not learn passwords, tokens and logins."""
    with JobManager(SIMPLE, SIMPLE) as manager:
        args = {"password": "hunter2", "db": "redis://ann:pa55@h/0", "licence": "x-1", "n": 1}
        with manager.run("Load", args=args, secret=["licence"]) as run:
            run.update(target="mongodb://ann:pa55@h")
        record = next(iter(manager.runs("Load")))
    assert record["args"] == {"password": "***", "db": "redis://***@h/0", "licence": "***", "n": 1}
    assert record["target"] == "mongodb://***@h"
    assert next(iter(args.values())) == "hunter2"


def test_errors_are_masked_by_value() -> None:
    """Also where the text of an error repeats the value of an arg."""
    with JobManager(SIMPLE, SIMPLE) as manager:
        with (
            pytest.raises(ValueError, match="hunter2"),
            manager.run(
                "Load", args={"password": "hunter2", "licence": "x-99"}, secret=["licence"]
            ),
        ):
            raise ValueError("login with hunter2 and x-99 failed")
        record = next(iter(manager.runs("Load")))
    assert record["error"] == "ValueError: login with *** and *** failed"
    assert "hunter2" not in record["traceback"]


def test_a_run_that_did_not_start_is_masked_too() -> None:
    """Its record is made from the same args."""
    with JobManager(SIMPLE, SIMPLE) as manager:
        record = manager._record_not_run("Load", "depsfail", "why", {"token": "abc"})
    assert record["args"] == {"token": "***"}
