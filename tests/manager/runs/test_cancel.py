"""Promises about cancelled runs, in Python."""

from __future__ import annotations

from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import WrongRun
from ojobchannels.manager.actions import journal
from tests.manager.conftest import Log, Managers


def test_a_run_is_cancelled_from_another_manager(managers: Managers) -> None:
    """Its code learns of it, and its record and the action have the author and the reason."""
    worker, operator = managers.open(), managers.open()
    run = worker.start("job")
    run.check()
    assert run.cancellation is None
    action = operator.cancel(run.run_id, author="ann@desk", reason="stuck")
    assert (action.action, action.target, action.state) == ("cancel", run.run_id, "requested")
    assert run.wait(30)
    assert run.cancelled
    with pytest.raises(oc.RunCancelled) as caught, run:
        run.check()
    assert (caught.value.author, caught.value.reason) == ("ann@desk", "stuck")
    record = operator.record(run.run_id)
    assert record is not None
    assert (record["status"], record["inError"]) == ("cancelled", True)
    assert "cancelled by ann@desk: stuck" in record["error"]
    assert operator.locks.lock_info("job") is None
    done = journal.find(operator.state, action.number)
    assert done is not None
    assert (done.state, done.details["status"]) == ("done", "cancelled")
    assert operator.actions()[0].author == "ann@desk"
    assert operator.report()[0]["cancelled"] == 1


def test_a_run_of_the_own_manager_is_cancelled_at_once(simple_manager: oc.JobManager) -> None:
    """By the first characters of its identifier, too; the wait does not take its time then."""
    run = simple_manager.start("job")
    assert simple_manager.cancel(run.run_id[:8]).state == "taken"
    assert run.wait(0)
    with pytest.raises(oc.RunCancelled), run:
        run.check()


def test_a_cancelled_run_that_completes_is_completed(simple_manager: oc.JobManager) -> None:
    """It was cancelled too late: the record has what happened."""
    with simple_manager.run("job") as run:
        simple_manager.cancel(run.run_id)
    assert run.record["status"] == "completed"
    assert simple_manager.actions()[0].details["status"] == "completed"


def test_another_error_of_a_cancelled_run_is_its_cause(simple_manager: oc.JobManager) -> None:
    """Such as one that the cancellation has caused; the traceback has both."""
    run = simple_manager.start("job")
    simple_manager.cancel(run.run_id, reason="stuck")
    with pytest.raises(ValueError, match="half done"), run:
        raise ValueError("half done")
    assert run.record["status"] == "cancelled"
    assert "stuck" in run.record["error"]
    assert "ValueError: half done" in run.record["traceback"]


def test_a_cancelled_run_is_neither_retried_nor_a_failure(simple_managers: Managers) -> None:
    """An operator wanted it to end; no notice is needed."""
    notices: list[Any] = []
    manager = simple_managers.open(on_failure=notices.append)

    @manager.job("job", retries=3, backoff=0)
    def job() -> None:
        run = oc.manager.current_run()
        assert run is not None
        manager.cancel(run.run_id)
        run.check()

    with pytest.raises(oc.RunCancelled):
        job()
    assert [record["status"] for record in manager.runs("job")] == ["cancelled"]
    assert notices == []


def test_only_an_active_run_can_be_cancelled(simple_manager: oc.JobManager) -> None:
    """The error says what became of another one."""
    with simple_manager.run("job") as run:
        pass
    with pytest.raises(WrongRun, match="it has ended \\(completed\\)"):
        simple_manager.cancel(run.run_id)
    with pytest.raises(WrongRun, match="not recorded"):
        simple_manager.cancel("f" * 32)
    assert simple_manager.actions() == []


def test_the_log_says_who_has_cancelled_a_run(simple_manager: oc.JobManager, log: Log) -> None:
    """As a warning, in the process of the run."""
    with simple_manager.run("job") as run:
        simple_manager.cancel(run.run_id, author="ann@desk", reason="stuck")
    assert log.wait_for("cancelled") == "WARNING job 'job' is cancelled by ann@desk: stuck"


def test_only_one_of_several_runs_is_cancelled(simple_managers: Managers) -> None:
    """The others do not notice it."""
    manager, operator = simple_managers.open(), simple_managers.open()
    with manager.run("one") as one, manager.run("other") as other:
        operator.cancel(one.run_id)
        assert one.wait(30)
        assert not other.cancelled
        other.check()
    assert other.record["status"] == "completed"
