"""Failure notices of managed jobs: callables and launched jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run
from tests.manager.conftest import Flaky, Pauses, complete, die, statuses

if TYPE_CHECKING:
    from tests.conftest import ManualClock
    from tests.manager.conftest import Log, Managers


def test_the_last_failure_is_notified_with_its_record(manager: oc.JobManager) -> None:
    """The notice is called once, after the last attempt, with the record in the channel."""
    notified: list[dict[str, Any]] = []
    manager._closing = Pauses()
    job = manager.job("x", retries=2, on_failure=notified.append)(Flaky(3))
    with pytest.raises(ValueError, match="failure 3"):
        job()
    assert notified == [manager.runs("x")[0]]
    assert notified[0]["attempt"] == 3
    assert notified[0]["status"] == "failed"


def test_a_success_or_a_skip_is_not_notified(managers: Managers) -> None:
    """No run has failed."""
    notified: list[dict[str, Any]] = []
    here, elsewhere = managers.open(on_failure=notified.append), managers.open()
    here._closing = Pauses()
    assert here.job("a", retries=1, on_failure=notified.append)(Flaky(1))() == "success 2"
    with elsewhere.run("b"):
        assert here.job("b", if_running="skip")(Flaky(0))() is None
        with pytest.raises(oc.LockBusy):
            here.job("b")(Flaky(0))()
    assert notified == []


def test_a_notice_can_be_a_job_that_is_launched_with_the_record(managers: Managers) -> None:
    """The job gets the record as `run`, and is a managed job itself."""
    manager = managers.open()
    notified: list[str] = []

    @manager.job("alert")
    def alert(run: dict[str, Any]) -> None:
        notified.append(f"{run['name']}: {run['error']}")

    with pytest.raises(ValueError, match="failure 1"):
        manager.job("x", on_failure="alert")(Flaky(1))()
    manager.close()
    assert notified == ["x: ValueError: failure 1"]
    assert statuses(manager, "alert") == ["completed"]


def test_the_notice_of_the_manager_is_for_jobs_without_their_own(simple_managers: Managers) -> None:
    """A job's own notice replaces it."""
    default: list[str] = []
    own: list[str] = []
    manager = simple_managers.open(on_failure=lambda record: default.append(record["name"]))
    jobs = [
        manager.job("a")(Flaky(1)),
        manager.job("b", on_failure=lambda record: own.append(record["name"]))(Flaky(1)),
    ]
    for job in jobs:
        with pytest.raises(ValueError, match="failure 1"):
            job()
    assert (default, own) == (["a"], ["b"])


def test_an_interrupted_job_is_notified(simple_manager: oc.JobManager) -> None:
    """An interrupt ends the job, even if it has retries left."""
    notified: list[str] = []

    @simple_manager.job("x", retries=3, on_failure=lambda record: notified.append(record["error"]))
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert notified == ["KeyboardInterrupt"]
    assert statuses(simple_manager, "x") == ["failed"]


def test_a_lost_run_is_notified(simple_manager: oc.JobManager) -> None:
    """A lost run counts as a failure."""
    notified: list[str] = []

    @simple_manager.job("x", on_failure=lambda record: notified.append(record["status"]))
    def loses() -> None:
        simple_manager.locks.force_unlock("x")

    with pytest.raises(oc.LockLost):
        loses()
    assert notified == ["lost"]


@pytest.mark.parametrize("notice", ["no-such-job", lambda record: record["no such field"]])
def test_an_error_of_a_notice_is_logged_and_hides_nothing(
    simple_manager: oc.JobManager, log: Log, notice: Any
) -> None:
    """The caller gets the exception of the job, not that of the notice."""
    with pytest.raises(ValueError, match="failure 1"):
        simple_manager.job("x", on_failure=notice)(Flaky(1))()
    assert "failure notice of job 'x' failed" in log.wait_for("notice")
    assert statuses(simple_manager, "x") == ["failed"]


def test_a_job_is_not_notified_of_its_own_failure(simple_managers: Managers) -> None:
    """Otherwise a failing alert would be launched endlessly, and the manager would never close."""
    manager = simple_managers.open(on_failure="alert")

    @manager.job("alert")
    def alert(run: dict[str, Any]) -> None:
        raise OSError(f"cannot report {run['name']}")

    with pytest.raises(ValueError, match="failure 1"):
        manager.job("x")(Flaky(1))()
    manager.close()
    assert statuses(manager, "alert") == ["failed"]


def test_a_job_that_skips_its_run_and_then_fails_still_raises(
    simple_manager: oc.JobManager,
) -> None:
    """`if_running="skip"` applies to a held lock, not to an exception of the job."""

    @simple_manager.job("a", if_running="skip")
    def job() -> None:
        run = current_run()
        assert run is not None
        run.skip("no news")
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        job()


def test_jobs_that_notify_each_other_in_a_circle_are_rejected(
    simple_managers: Managers,
) -> None:
    """The error lists the whole circle; a chain is allowed."""
    manager = simple_managers.open(on_failure="alert")
    manager.job("a", on_failure="b")(Flaky(1))
    manager.job("b", on_failure="c")(Flaky(1))
    with pytest.raises(oc.InvalidOption, match="'c', 'a', 'b' would notify each other") as refused:
        manager.job("c", on_failure="a")(Flaky(1))
    assert refused.value.option == "on_failure"
    manager.job("c")(Flaky(1))
    with pytest.raises(oc.InvalidOption, match="'alert', 'a', 'b', 'c' would notify each other"):
        manager.job("alert", on_failure="a")(Flaky(1))
    manager.job("alert", on_failure=lambda _: None)(Flaky(1))
    launch = manager.launch("c", {})
    assert launch.wait()
    assert launch.error is not None


def test_a_failed_block_is_notified_once(managers: Managers) -> None:
    """Runs of `with manager.run`, and those that `error` ends, are notified as jobs are."""
    notified: list[dict[str, Any]] = []
    manager = managers.open(on_failure=notified.append)
    with pytest.raises(ValueError, match="bad"), manager.run("a"):
        raise ValueError("bad")
    manager.error(manager.start("b"), "worse")
    with manager.run("c"):
        pass
    manager.start("d").skip("no news")
    shown = [(record["name"], record["status"], record["error"]) for record in notified]
    assert shown == [("a", "failed", "ValueError: bad"), ("b", "failed", "worse")]
    assert notified[::-1] == manager.runs(status="failed")


def test_a_lost_run_is_notified_once(managers: Managers) -> None:
    """Its owner finds that it has lost the lock."""
    notified: list[str] = []
    manager = managers.open(on_failure=lambda record: notified.append(record["status"]))
    run = manager.start("a")
    manager.locks.force_unlock("a")
    with pytest.raises(oc.LockLost):
        run.end()
    manager.close_dead_runs()
    assert notified == ["lost"]


def test_an_abandoned_run_is_notified_once_by_whoever_finds_it(
    managers: Managers, clock: ManualClock
) -> None:
    """To the notice of its job, or else of the manager."""
    notified: list[tuple[str, str]] = []

    def notice(record: dict[str, Any]) -> None:
        notified.append((record["name"], record["status"]))

    here = managers.open(clock=clock)
    finders = [managers.open(clock=clock, on_failure=notice) for _ in range(2)]
    die(here, clock, "a")
    for finder in finders:
        finder.close_dead_runs()
        complete(finder, "b")
        assert finder.runs("a", "abandoned")
    assert notified == [("a", "abandoned")]


def test_a_run_that_others_closed_is_notified_by_the_first_manager_with_a_notice(
    managers: Managers, clock: ManualClock
) -> None:
    """A command that lists runs has no notice; what it finds is not lost."""
    notified: list[tuple[str, str]] = []

    def notice(record: dict[str, Any]) -> None:
        notified.append((record["name"], record["status"]))

    here, lists = managers.open(clock=clock), managers.open(clock=clock)
    die(here, clock, "a")
    die(here, clock, "b")
    assert [record["status"] for record in lists.runs()] == ["abandoned", "abandoned"]
    of_b = managers.open(clock=clock)
    of_b.job("b", on_failure=notice)(lambda: None)
    of_b.close_dead_runs()
    assert notified == [("b", "abandoned")]
    of_all = [managers.open(clock=clock, on_failure=notice) for _ in range(2)]
    for manager in of_all:
        complete(manager, "c")
    assert notified == [("b", "abandoned"), ("a", "abandoned")]


def test_a_notice_can_read_the_records(managers: Managers, clock: ManualClock) -> None:
    """It is called when the search for dead runs is over, which would wait for itself otherwise."""
    seen: list[int] = []
    here = managers.open(clock=clock)
    finder: oc.JobManager = managers.open(
        clock=clock, on_failure=lambda _: seen.append(len(finder.runs()))
    )
    die(here, clock, "a")
    assert finder.close_dead_runs() == 1
    assert seen == [1]


def test_starts_and_ends_are_logged_with_the_fields_of_their_records(
    simple_managers: Managers, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Those whose names belong to `logging` have a prefix."""
    caplog.set_level("INFO", "ojobchannels.jobs")
    manager = simple_managers.open(clock=clock)
    with manager.run("a", args={"day": 1}) as run:
        pass
    with pytest.raises(ValueError, match="bad"), manager.run("b"):
        raise ValueError("bad")
    die(manager, clock, "c")
    manager.close_dead_runs()
    logged: list[Any] = [each for each in caplog.records if hasattr(each, "runId")]
    assert [(each.levelname, each.run_name, each.status) for each in logged] == [
        ("INFO", "a", "running"),
        ("INFO", "a", "completed"),
        ("INFO", "b", "running"),
        ("ERROR", "b", "failed"),
        ("INFO", "c", "running"),
        ("WARNING", "c", "abandoned"),
    ]
    assert (logged[1].runId, logged[1].run_args, logged[1].duration) == (run.run_id, {"day": 1}, 0)
    assert "ValueError: bad" in logged[3].getMessage()
    assert "line" in logged[3].traceback


def ended(launch: oc.Launch) -> oc.Launch:
    """Wait for the end of a launch, and return it."""
    assert launch.wait()
    return launch


def test_a_launch_that_fails_is_logged_without_any_notice(
    simple_manager: oc.JobManager, log: Log
) -> None:
    """Whether its run failed, or it could not even start one."""
    simple_manager.job("bad")(Flaky(1))
    assert isinstance(ended(simple_manager.launch("bad")).error, ValueError)
    assert log.wait_for("failed").startswith("ERROR run of job 'bad' ended (failed), run ")
    assert isinstance(ended(simple_manager.launch("bad", {"no": "such"})).error, TypeError)
    assert log.wait_for("could not start") == "ERROR the launched job 'bad' could not start"
