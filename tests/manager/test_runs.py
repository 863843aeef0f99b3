"""One run of a job: its lock, its record, its start time, and waiting for another run."""

# ruff: noqa: PT012  the body of a run is what is tested, and it has more than one statement
from __future__ import annotations

import os
import socket
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run
from ojobchannels.manager.records import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver
    from tests.conftest import ManualClock
    from tests.manager.conftest import Managers, Meddler


def stored(run: oc.JobRun) -> Any:
    """Return the record of a run as it is in the channel."""
    return run.manager.jobs.get(key_of(run.record))


def unstarted(run: oc.JobRun) -> Any:
    """Return the record of a run that did not begin, which is not among those that began."""
    return run.manager.state.get(key_of(run.record))


def statuses(manager: oc.JobManager, name: str | None = None) -> list[str]:
    return [record["status"] for record in manager.runs(name)]


def test_a_run_holds_the_lock_of_its_name_until_it_ends(manager: oc.JobManager) -> None:
    """The lock is held in the body, under the run's fence, and free after it."""
    with manager.run("nightly") as run:
        held = manager.locks.lock_info("nightly")
        assert held is not None
        assert held.fence == run.fence
        assert held.holder["job"] == "nightly"
        assert held.holder["run"] == run.run_id
    assert manager.locks.lock_info("nightly") is None


def test_a_running_record_has_the_documented_fields(manager: oc.JobManager) -> None:
    """While it runs, the record has everything except the end."""
    with manager.run("nightly", timeout=12.5, args={"day": "monday"}) as run:
        record = stored(run)
        assert record.pop("startDate").endswith("Z")
        assert record.pop("locksId")
        assert record == {
            "name": "nightly",
            "startTime": run.record["startTime"],
            "inError": False,
            "runId": run.run_id,
            "status": "running",
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "fence": run.fence,
            "timeout": 12_500,
            "args": {"day": "monday"},
        }


def test_a_completed_run_records_its_end_and_duration(
    managers: Managers, clock: ManualClock
) -> None:
    """Times are milliseconds UTC, dates the same moments in ISO 8601 with Z."""
    manager = managers.open(clock=clock)
    with manager.run("nightly") as run:
        clock.advance(2.5)
    record = stored(run)
    assert record["status"] == "completed"
    assert record["inError"] is False
    assert "error" not in record
    assert record["startTime"] == 1_900_000_000_000
    assert record["endTime"] == 1_900_000_002_500
    assert record["duration"] == 2_500
    assert record["startDate"] == "2030-03-17T17:46:40.000Z"
    assert record["endDate"] == "2030-03-17T17:46:42.500Z"
    assert datetime.fromisoformat(record["endDate"]).timestamp() * 1000 == record["endTime"]


def test_an_exception_is_recorded_and_raised_again(manager: oc.JobManager) -> None:
    """The record has the error and its traceback; the same exception is raised."""
    error = ValueError("no such customer")
    with pytest.raises(ValueError, match="no such customer") as raised, manager.run("x") as run:
        raise error
    assert raised.value is error
    record = stored(run)
    assert record["status"] == "failed"
    assert record["inError"] is True
    assert record["error"] == "ValueError: no such customer"
    assert "in test_an_exception_is_recorded_and_raised_again" in record["traceback"]
    assert record["endTime"] >= record["startTime"]
    assert manager.locks.lock_info("x") is None


def test_an_interrupted_run_is_recorded_as_failed(manager: oc.JobManager) -> None:
    """Ctrl-C ends the run like any other error, and is not swallowed."""
    with pytest.raises(KeyboardInterrupt), manager.run("x") as run:
        raise KeyboardInterrupt
    assert stored(run)["status"] == "failed"
    assert manager.locks.lock_info("x") is None


def test_an_error_text_with_lone_surrogates_is_recorded_with_escapes(
    manager: oc.JobManager,
) -> None:
    """A lone surrogate, as odd file names bring it, does not keep the failure out of the record."""
    with pytest.raises(ValueError, match="bad name"), manager.run("x") as run:
        raise ValueError("bad name \udcff")
    assert stored(run)["status"] == "failed"
    assert stored(run)["error"] == "ValueError: bad name \\udcff"


def test_an_error_text_of_any_length_is_recorded(manager: oc.JobManager) -> None:
    """A web page as error text, for example: no backend refuses the record for its size."""
    text = f"the server said: {'x' * 200_000} the end"
    with pytest.raises(ValueError, match="the server said"), manager.run("x") as run:
        raise ValueError(text)
    assert stored(run)["status"] == "failed"
    for field in ("error", "traceback"):
        assert len(stored(run)[field]) < 21_000
        assert "characters left out" in stored(run)[field]
        assert stored(run)[field].rstrip().endswith("xxx the end")
    assert stored(run)["error"].startswith("ValueError: the server said: xxx")
    assert "in test_an_error_text_of_any_length_is_recorded" in stored(run)["traceback"]


def test_an_error_whose_str_fails_is_still_raised(manager: oc.JobManager) -> None:
    """The lock is released."""

    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(SilentError), manager.run("x"):
        raise SilentError
    assert manager.locks.lock_info("x") is None


def test_a_job_that_is_running_elsewhere_is_busy_and_recorded_as_skipped(
    managers: Managers,
) -> None:
    """LockBusy has the holder; the skipped run is recorded without an error."""
    here, elsewhere = managers.open(), managers.open()
    with elsewhere.run("nightly") as holder:
        run = here.run("nightly", args={"n": 1})
        with pytest.raises(oc.LockBusy) as busy, run:
            pytest.fail("two runs of one job")
        assert busy.value.holder["run"] == holder.run_id
        assert f"pid {os.getpid()}" in str(busy.value)
        assert [one["runId"] for one in here.running()] == [holder.run_id]
    assert stored(run) is None
    record = unstarted(run)
    assert run.status == record["status"] == "skipped"
    assert record["runId"] == run.run_id
    assert record["endTime"] == record["startTime"]
    assert record["endDate"] == record["startDate"]
    assert record["inError"] is False
    assert record["args"] == {"n": 1}
    assert "held by" in record["reason"]
    assert "fence" not in record


def test_a_skipped_or_ended_run_cannot_be_started_again(manager: oc.JobManager) -> None:
    """Each run is one execution; no body runs without the lock."""
    with manager.run("x") as ended:
        refused = manager.run("x")
        with pytest.raises(oc.LockBusy):
            refused.start()
    for run in (ended, refused):
        with pytest.raises(oc.RunNotStarted):
            run.start()
        with pytest.raises(oc.RunNotStarted), run:
            pytest.fail("the body ran without the lock")
    assert statuses(manager) == ["skipped", "completed"]


def test_runs_of_different_jobs_can_be_active_together(manager: oc.JobManager) -> None:
    """One lock for each job name."""
    with manager.run("a"), manager.run("b"):
        assert {record["name"] for record in manager.running()} == {"a", "b"}


def test_args_are_recorded_as_they_were_passed(manager: oc.JobManager) -> None:
    """Changes of the arguments in the body do not change the record."""
    args = {"files": ["a", "b"]}
    with manager.run("x", args=args) as run:
        args["files"].clear()
    assert stored(run)["args"] == {"files": ["a", "b"]}


def test_extra_fields_are_added_to_the_record(simple_manager: oc.JobManager) -> None:
    """`extra` cannot set fields of the manager."""
    with simple_manager.run("x", extra={"tick": 7}) as run:
        assert stored(run)["tick"] == 7
    assert stored(run)["tick"] == 7
    with pytest.raises(oc.InvalidOption, match="status"):
        simple_manager.run("x", extra={"status": "completed"})


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("", {}, oc.InvalidName),
        ("a\0b", {}, oc.InvalidName),
        ("x", {"timeout": 0}, oc.InvalidOption),
        ("x", {"timeout": "1h"}, oc.InvalidOption),
        ("x", {"wait": -1}, oc.InvalidOption),
        ("x", {"on_timeout": "panic"}, oc.InvalidOption),
        ("x", {"args": {"when": object()}}, oc.InvalidValue),
    ],
)
def test_invalid_options_are_rejected_before_the_run_starts(
    simple_manager: oc.JobManager, name: str, options: dict[str, Any], error: type[Exception]
) -> None:
    """Nothing is locked or recorded."""
    with pytest.raises(error):
        simple_manager.run(name, **options)
    assert simple_manager.runs() == []
    assert simple_manager.locks.locks() == []


def test_two_runs_in_one_millisecond_have_separate_records(
    managers: Managers, clock: ManualClock
) -> None:
    """On a tie the later run starts one millisecond later."""
    manager = managers.open(clock=clock)
    for _ in range(3):
        with manager.run("x"):
            pass
    starts = [record["startTime"] for record in manager.runs()]
    assert starts == [1_900_000_000_002, 1_900_000_000_001, 1_900_000_000_000]


class Adds:
    """An extension that counts attempts to add an entry."""

    count = 0

    @oc.hookimpl(wrapper=True)
    def get_set(self, match: Any) -> Generator[None]:
        self.count += match is oc.ABSENT
        return (yield)


def test_many_runs_in_one_millisecond_find_their_start_times_at_once(clock: ManualClock) -> None:
    """Each of a hundred finds its start time at once, although all before it are taken."""
    adds = Adds()
    with (
        oc.open_channel("jobs", extensions=[adds]) as jobs,
        oc.open_channel("locks", clock=clock) as locks,
        oc.JobManager(jobs=jobs, locks=locks) as manager,
    ):
        for _ in range(100):
            manager.start("nightly").end()
        starts = [record["startTime"] for record in manager.runs("nightly", limit=None)]
        jobs.destroy()
    assert len(set(starts)) == 100
    assert max(starts) - min(starts) == 99
    assert adds.count <= 102


@pytest.mark.parametrize("step", [-3600, 3600])
def test_start_times_of_one_job_grow_when_the_wall_clock_steps(
    managers: Managers, clock: ManualClock, step: int
) -> None:
    """Start times have the order of the starts; a skipped one is later than that of the holder."""
    manager = managers.open(clock=clock)
    began = []
    for _ in range(3):
        with manager.run("x") as run:
            clock.step_wall(step)
            refused = [manager.run("x"), manager.run("x")]
            for one in refused:
                with pytest.raises(oc.LockBusy):
                    one.start()
        began.append(run)
        skipped = [one.record["startTime"] for one in refused]
        assert run.record["startTime"] < skipped[0] < skipped[1]
        clock.advance(1)
    starts = [run.record["startTime"] for run in began]
    assert starts == sorted(set(starts))
    shown = [record["runId"] for record in manager.runs(status="completed")]
    assert shown == [run.run_id for run in began[::-1]]


def test_a_step_of_the_wall_clock_does_not_change_duration_or_timeout(
    managers: Managers, clock: ManualClock
) -> None:
    """Durations are measured with a clock that cannot be set."""
    manager = managers.open(clock=clock)
    with manager.run("x", timeout=30, on_timeout="fail") as run:
        clock.step_wall(3600)
        clock.advance(2)
        run.check()
        clock.step_wall(-7200)
    assert stored(run)["duration"] == 2000
    assert stored(run)["endTime"] == stored(run)["startTime"] + 2000


def test_a_run_does_not_wait_by_default(simple_managers: Managers, meddler: Meddler) -> None:
    """A busy job raises LockBusy at once."""
    manager = simple_managers.open(on_locks=meddler)
    with manager.run("x"), pytest.raises(oc.LockBusy):
        manager.start("x")
    assert meddler.calls["wait"] == 0


def test_a_run_waits_for_the_previous_one(
    managers: Managers, observer: WaitObserver, in_background: Callable[..., Future[Any]]
) -> None:
    """With `wait` it starts when the other ends, and no run is skipped."""
    here, elsewhere = managers.open(), managers.open(on_locks=observer)
    first = here.start("x")
    second = in_background(elsewhere.start, "x", wait=60)
    observer.await_waiters()
    first.end()
    second.result(30).end()
    assert statuses(here) == ["completed", "completed"]


def test_a_run_whose_wait_timed_out_is_skipped(manager: oc.JobManager) -> None:
    """LockBusy has the time that it waited."""
    with manager.run("x"), pytest.raises(oc.LockBusy) as busy:
        manager.start("x", wait=0.05)
    assert busy.value.waited >= 0.05
    assert statuses(manager) == ["skipped", "completed"]


def test_current_run_is_the_run_of_the_innermost_with(
    simple_manager: oc.JobManager, in_background: Callable[..., Future[Any]]
) -> None:
    """It is None outside, in other threads, and for a run started without a block."""
    assert current_run() is None
    with simple_manager.run("a") as outer:
        assert current_run() is outer
        with pytest.raises(ValueError, match="inner"), simple_manager.run("b") as inner:
            assert current_run() is inner
            raise ValueError("inner")
        assert current_run() is outer
        assert in_background(current_run).result(30) is None
    assert current_run() is None
    run = simple_manager.start("c")
    assert current_run() is None
    run.end()


def test_a_run_can_be_recorded_as_skipped(
    simple_manager: oc.JobManager,
) -> None:
    """It counts as not run: its end equals its start, and its lock is free."""
    with simple_manager.run("a") as run:
        run.skip("no news")
    assert stored(run) is None
    record = unstarted(run)
    assert (record["status"], record["reason"], record["inError"]) == ("skipped", "no news", False)
    assert (record["endTime"], record["duration"]) == (record["startTime"], 0)
    assert simple_manager.locks.locks() == []
    with pytest.raises(oc.RunNotStarted):
        run.skip("again")


def test_an_error_without_a_message_is_recorded_by_its_name(
    simple_manager: oc.JobManager,
) -> None:
    """The text does not end with a colon."""
    with pytest.raises(StopIteration), simple_manager.run("a") as run:
        raise StopIteration
    assert stored(run)["error"] == "StopIteration"
