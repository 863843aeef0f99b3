"""One run of a job: its lock, its record, its end, its time, and what is told of its loss."""

# ruff: noqa: PT012  the body of a run is what is tested, and it has more than one statement
from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run
from ojobchannels.manager.records import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver
    from tests.conftest import ManualClock
    from tests.manager.conftest import Log, Managers, Meddler


UNAVAILABLE = oc.ChannelUnavailable("jobs", "the disk is gone", "plug it in")


def stored(run: oc.JobRun) -> dict[str, Any]:
    """What stands in the jobs channel for a run, as it was written."""
    key = {"name": run.record["name"], "startTime": run.record["startTime"]}
    record = run.manager.jobs.get(key)
    assert isinstance(record, dict)
    return record


def lose(run: oc.JobRun) -> None:
    """Takes the lock away from a run, without a word to it."""
    assert run.manager.locks.force_unlock(run.name) is not None


def statuses(manager: oc.JobManager, name: str | None = None) -> list[str]:
    return [record["status"] for record in manager.runs(name)]


# ----------------------------------------------------------------------- the lock and the record


def test_a_run_holds_the_lock_of_its_name_until_it_ends(manager: oc.JobManager) -> None:
    """The lock is held in the body, under the run's fence, and free after it."""
    with manager.run("nightly") as run:
        held = manager.locks.lock_info("nightly")
        assert held is not None
        assert held.fence == run.fence
        assert held.holder["job"] == "nightly"
        assert held.holder["run"] == run.run_id
    assert manager.locks.lock_info("nightly") is None


def test_a_running_record_has_the_fields_of_the_contract(manager: oc.JobManager) -> None:
    """While it runs, the record tells everything but an end."""
    with manager.run("nightly", timeout=12.5, args={"day": "monday"}) as run:
        record = stored(run)
        assert record.pop("startDate").endswith("Z")
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


def test_a_completed_run_tells_when_it_ended_and_how_long_it_took(
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
    """The record has the error and its traceback, and the very exception goes on its way."""
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


def test_an_error_text_that_cannot_be_stored_as_it_is_is_recorded_with_escapes(
    manager: oc.JobManager,
) -> None:
    """A lone surrogate, as odd file names bring it, does not keep the failure out of the record."""
    with pytest.raises(ValueError, match="bad name"), manager.run("x") as run:
        raise ValueError("bad name \udcff")
    assert stored(run)["status"] == "failed"
    assert stored(run)["error"] == "ValueError: bad name \\udcff"


def test_an_error_that_cannot_be_told_does_not_hide_itself(manager: oc.JobManager) -> None:
    """An exception whose text cannot be made stands, and the lock is let go."""

    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(SilentError), manager.run("x"):
        raise SilentError
    assert manager.locks.lock_info("x") is None


def test_a_job_that_runs_elsewhere_is_busy_and_the_refused_run_is_recorded_as_skipped(
    managers: Managers,
) -> None:
    """LockBusy names the holder; the record of the refused run ends as it starts, with no error."""
    here, elsewhere = managers.open(), managers.open()
    with elsewhere.run("nightly") as holder:
        run = here.run("nightly", args={"n": 1})
        with pytest.raises(oc.LockBusy) as busy, run:
            pytest.fail("two runs of one job")
        assert busy.value.holder["run"] == holder.run_id
        assert f"pid {os.getpid()}" in str(busy.value)
        assert [one["runId"] for one in here.running()] == [holder.run_id]
    record = stored(run)
    assert run.status == record["status"] == "skipped"
    assert record["runId"] == run.run_id
    assert record["endTime"] == record["startTime"]
    assert record["endDate"] == record["startDate"]
    assert record["inError"] is False
    assert record["args"] == {"n": 1}
    assert "held by" in record["reason"]
    assert "fence" not in record


def test_a_run_that_was_refused_or_has_ended_does_not_start_again(manager: oc.JobManager) -> None:
    """Each run is one execution: `with` and `start` refuse another, and no body runs unheld."""
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


def test_runs_of_different_jobs_do_not_exclude_each_other(manager: oc.JobManager) -> None:
    """One lock for each job name."""
    with manager.run("a"), manager.run("b"):
        assert {record["name"] for record in manager.running()} == {"a", "b"}


def test_args_are_recorded_as_they_were_given(manager: oc.JobManager) -> None:
    """What the body does to its arguments does not change the record."""
    args = {"files": ["a", "b"]}
    with manager.run("x", args=args) as run:
        args["files"].clear()
    assert stored(run)["args"] == {"files": ["a", "b"]}


def test_more_fields_can_be_put_into_the_record(simple_manager: oc.JobManager) -> None:
    """`extra` adds fields, but none that the record has of its own."""
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
def test_what_a_run_does_not_take_is_refused_before_it_starts(
    simple_manager: oc.JobManager, name: str, options: dict[str, Any], error: type[Exception]
) -> None:
    """Nothing is locked or recorded for a call that is wrong."""
    with pytest.raises(error):
        simple_manager.run(name, **options)
    assert simple_manager.runs() == []
    assert simple_manager.locks.locks() == []


# ---------------------------------------------------------------------------------- start times


def test_two_runs_in_one_millisecond_have_records_of_their_own(
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
    """An extension that counts how often it is asked to store where nothing stands."""

    count = 0

    @oc.hookimpl(wrapper=True)
    def get_set(self, match: Any) -> Generator[None]:
        self.count += match is oc.ABSENT
        return (yield)


def test_many_runs_in_one_millisecond_cost_no_more_than_others(clock: ManualClock) -> None:
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
    """Also those of skipped runs: the order of starting is the order of start times."""
    manager = managers.open(clock=clock)
    order = []
    for _ in range(2):
        with manager.run("x") as run:
            clock.step_wall(step)
            refused = [manager.run("x"), manager.run("x")]
            for one in refused:
                with pytest.raises(oc.LockBusy):
                    one.start()
        order += [run, *refused]
        clock.advance(1)
    starts = [run.record["startTime"] for run in order]
    assert starts == sorted(set(starts))
    assert [record["runId"] for record in manager.runs()] == [run.run_id for run in order[::-1]]


def test_a_step_of_the_wall_clock_does_not_move_duration_or_timeout(
    managers: Managers, clock: ManualClock
) -> None:
    """How long a run took is counted on a clock that nobody sets."""
    manager = managers.open(clock=clock)
    with manager.run("x", timeout=30, on_timeout="fail") as run:
        clock.step_wall(3600)
        clock.advance(2)
        run.check()
        clock.step_wall(-7200)
    assert stored(run)["duration"] == 2000
    assert stored(run)["endTime"] == stored(run)["startTime"] + 2000


# -------------------------------------------------------------------------- start, end and error


def test_a_started_run_is_ended_by_itself_or_by_its_name(manager: oc.JobManager) -> None:
    """`end` completes one run, and leaves the others alone."""
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


def test_ending_twice_is_refused(manager: oc.JobManager) -> None:
    """The second end is RunNotStarted, and the record stays as the first left it."""
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


def test_a_run_of_another_manager_is_not_ended_here(managers: Managers) -> None:
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


def test_a_started_run_may_be_given_to_with(manager: oc.JobManager) -> None:
    """`with` takes over the ending of a run that was started before."""
    with manager.start("x") as run:
        assert run.open
    assert run.status == "completed"


def test_with_does_not_run_its_body_when_the_lock_was_lost_before(
    managers: Managers, clock: ManualClock
) -> None:
    """A started run whose lease is over is refused by `with`."""
    manager = managers.open(clock=clock)
    run = manager.start("x", timeout=5, keep_alive=False, on_timeout="continue")
    clock.advance(5)
    with pytest.raises(oc.LockLost), run:
        pytest.fail("the body ran without the lock")
    with pytest.raises(oc.LockLost):
        run.end()


def test_a_run_that_its_body_ended_is_left_alone(manager: oc.JobManager) -> None:
    """The end of the `with` adds nothing to an end by hand, nor does an error after it."""
    with pytest.raises(ValueError, match="late"), manager.run("x") as run:
        run.end()
        raise ValueError("late")
    assert stored(run)["status"] == "completed"


def test_a_run_that_cannot_write_its_record_lets_the_lock_go(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """A start that fails after the lock was taken is no start, and its error is told."""
    manager = simple_managers.open(on_jobs=meddler)
    meddler.failing["get_set"] = UNAVAILABLE
    with pytest.raises(oc.ChannelUnavailable, match="disk is gone"), manager.run("x"):
        pytest.fail("ran without a record")
    assert manager.locks.lock_info("x") is None


def test_a_start_that_fails_twice_over_tells_the_first_trouble(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """If the lock cannot be given back either, that does not hide why the start failed."""
    locks = type(meddler)()
    manager = simple_managers.open(on_jobs=meddler, on_locks=locks)
    meddler.failing["get_set"] = UNAVAILABLE
    locks.failing["unlock"] = oc.ChannelUnavailable("locks", "no route", "wait")
    with pytest.raises(oc.ChannelUnavailable, match="disk is gone"):
        manager.start("x")
    locks.failing.clear()


def test_trouble_at_the_end_does_not_hide_the_error_of_the_body(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """The body's error stands, with a note of the trouble, and the lock is let go."""
    manager = simple_managers.open(on_jobs=meddler)
    with pytest.raises(ValueError, match="mine") as raised, manager.run("x"):
        meddler.failing["set"] = UNAVAILABLE
        raise ValueError("mine")
    assert any("disk is gone" in note for note in raised.value.__notes__)
    assert manager.locks.lock_info("x") is None


def test_trouble_that_is_no_channel_error_does_not_hide_the_error_of_the_body_either(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """An extension may raise anything."""
    manager = simple_managers.open(on_jobs=meddler)
    with pytest.raises(ValueError, match="mine") as raised, manager.run("x"):
        meddler.failing["set"] = ZeroDivisionError("metrics")
        raise ValueError("mine")
    assert any("metrics" in note for note in raised.value.__notes__)
    assert manager.locks.lock_info("x") is None


def test_trouble_at_the_end_of_a_good_body_is_raised(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """A run whose end could not be recorded is not told as completed."""
    manager = simple_managers.open(on_jobs=meddler)
    with pytest.raises(oc.ChannelUnavailable, match="disk is gone"), manager.run("x"):
        meddler.failing["set"] = UNAVAILABLE
    assert manager.locks.lock_info("x") is None
    assert statuses(manager) == ["abandoned"]


# --------------------------------------------------------------------------------------- update


def test_update_writes_progress_that_others_see_at_once(managers: Managers) -> None:
    """Fields of one's own stand in the record while it runs, and at its end."""
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
def test_update_refuses_fields_of_the_record_s_own(
    simple_manager: oc.JobManager, field: str
) -> None:
    """Nobody gives a record another name, status or end by the way."""
    with simple_manager.run("x") as run:
        before = stored(run)
        with pytest.raises(oc.InvalidOption, match=field):
            run.update(**{field: 1})
        with pytest.raises(ValueError, match=field):
            run.update(**{field: 1, "progress": 0.5})
        assert stored(run) == before


def test_update_copies_what_it_is_given(simple_manager: oc.JobManager) -> None:
    """What becomes of an object after `update` is not in the record."""
    with simple_manager.run("x") as run:
        parts = ["a"]
        run.update(parts=parts)
        parts.append("b")
    assert stored(run)["parts"] == ["a"]


def test_update_refuses_what_is_no_json(simple_manager: oc.JobManager) -> None:
    """The record stays as it was, and the run goes on."""
    with simple_manager.run("x") as run:
        with pytest.raises(oc.InvalidValue, match="progress"):
            run.update(progress=object())
        run.update(progress=1)
    assert stored(run)["progress"] == 1


def test_update_needs_an_open_run(simple_manager: oc.JobManager) -> None:
    """Neither before the start nor after the end."""
    run = simple_manager.run("x")
    with pytest.raises(oc.RunNotStarted):
        run.update(progress=0)
    with run:
        pass
    with pytest.raises(oc.RunNotStarted):
        run.update(progress=1)


def test_update_of_a_lost_run_leaves_the_record_alone(managers: Managers) -> None:
    """A run that was told as abandoned does not come back to life by an update."""
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


# ------------------------------------------------------------------------------------- timeouts


def test_a_run_beyond_its_timeout_is_warned_of_and_goes_on(
    simple_managers: Managers, clock: ManualClock, log: Log
) -> None:
    """`warn`, the default, logs the job and the timeout; the run completes."""
    manager = simple_managers.open(clock=clock)
    with manager.run("x", timeout=0.4) as run:
        for _ in range(4):
            clock.advance(0.1)
            run.lease.extend()
        assert log.wait_for("timeout") == ("WARNING job 'x' has exceeded its timeout of 0.4 s")
        run.check()
    assert stored(run)["status"] == "completed"
    assert log.read() == []


def test_a_run_that_must_not_exceed_its_timeout_fails(
    managers: Managers, clock: ManualClock
) -> None:
    """With `fail`, `check` raises JobTimeout from then on, and the run is recorded as failed."""
    manager = managers.open(clock=clock)
    with (
        pytest.raises(oc.JobTimeout) as raised,
        manager.run("x", timeout=50, on_timeout="fail") as run,
    ):
        clock.advance(25)
        run.lease.extend()
        run.check()
        clock.advance(25)
        run.lease.extend()
        with pytest.raises(oc.JobTimeout):
            run.check()
    assert (raised.value.name, raised.value.seconds) == ("x", 50)
    assert stored(run)["status"] == "failed"
    assert stored(run)["error"].startswith("JobTimeout: job 'x' ran longer")
    assert stored(run)["duration"] == 50_000
    assert manager.locks.lock_info("x") is None


def test_the_error_of_an_overdue_body_is_the_one_that_is_recorded(
    managers: Managers, clock: ManualClock
) -> None:
    """A timeout does not hide why the body failed."""
    manager = managers.open(clock=clock)
    with (
        pytest.raises(ValueError, match="mine"),
        manager.run("x", timeout=50, on_timeout="fail") as run,
    ):
        clock.advance(49)
        run.lease.extend()
        clock.advance(1)
        raise ValueError("mine")
    assert stored(run)["error"] == "ValueError: mine"


def test_a_run_may_go_on_beyond_its_timeout_in_silence(
    simple_managers: Managers, clock: ManualClock, log: Log
) -> None:
    """With `continue` nothing is said, and no check raises."""
    manager = simple_managers.open(clock=clock)
    with manager.run("x", timeout=50, on_timeout="continue") as run:
        for _ in range(4):
            clock.advance(25)
            run.lease.extend()
        run.check()
    assert stored(run)["status"] == "completed"
    assert log.read() == []


# ---------------------------------------------------------------------- lease, renewal and loss


@pytest.mark.parametrize(
    ("timeout", "keep_alive", "lease"), [(3600, True, 60), (20, True, 20), (3600, False, 3600)]
)
def test_the_lease_is_a_minute_at_most_if_it_is_renewed(
    managers: Managers, clock: ManualClock, timeout: int, keep_alive: bool, lease: int
) -> None:
    """A crash blocks a minute and not an hour; without keep-alive the lease is the timeout."""
    manager = managers.open(clock=clock)
    with manager.run("x", timeout=timeout, keep_alive=keep_alive):
        held = manager.locks.lock_info("x")
        assert held is not None
        assert held.until - held.since == lease * 1000


def test_a_run_is_renewed_beyond_its_lease_for_as_long_as_it_works(
    simple_managers: Managers, clock: ManualClock
) -> None:
    """Ten leases later the run still holds its lock, under the same fence."""
    renewed = threading.Semaphore(0)

    class Renewals:
        @oc.hookimpl(wrapper=True)
        def extend_all(self) -> Generator[None, Any, Any]:
            answers = yield
            renewed.release()
            return answers

    manager = simple_managers.open(clock=clock, on_locks=Renewals())
    with manager.run("x", timeout=0.3, on_timeout="continue") as run:
        for _ in range(20):
            clock.advance(0.15)
            assert renewed.acquire(timeout=30)
        run.check()
        held = manager.locks.lock_info("x")
        assert held is not None
        assert held.fence == run.fence
    assert stored(run)["duration"] == 3000


def test_without_keep_alive_the_lease_ends_with_the_timeout(
    managers: Managers, clock: ManualClock, log: Log
) -> None:
    """The lock is free for others then; the run learns it by `check`, and at its end."""
    manager = managers.open(clock=clock)
    with pytest.raises(oc.LockLost), manager.run("x", timeout=0.2, keep_alive=False) as run:
        clock.advance(0.2)
        assert manager.locks.lock_info("x") is None
        with pytest.raises(oc.LockLost):
            run.check()
        assert run.run_id in log.wait_for("lost its lock")
    assert stored(run)["status"] == "lost"


def test_a_run_that_finds_its_lock_lost_says_so_and_leaves_the_new_holder_alone(
    managers: Managers, clock: ManualClock
) -> None:
    """The end raises LockLost; the new run's lock and record are as they were."""
    here, elsewhere = managers.open(clock=clock), managers.open(clock=clock)
    options: dict[str, Any] = {"timeout": 30, "keep_alive": False, "on_timeout": "continue"}
    with pytest.raises(oc.LockLost), here.run("x", **options) as run:
        clock.advance(30)
        other = elsewhere.start("x", **options)
        assert stored(run)["status"] == "abandoned"
        before = stored(other)
    assert stored(run)["status"] == "lost"
    assert stored(run)["inError"] is True
    assert "lost the lock" in stored(run)["error"]
    assert stored(other) == before
    held = elsewhere.locks.lock_info("x")
    assert held is not None
    assert held.fence == other.fence
    other.end()
    assert statuses(here) == ["completed", "lost"]


def test_a_loss_does_not_hide_the_error_of_the_body(managers: Managers) -> None:
    """The body's error stands and is recorded; the loss is a note on it."""
    manager = managers.open()
    with pytest.raises(ValueError, match="mine") as raised, manager.run("x") as run:
        lose(run)
        raise ValueError("mine")
    assert any("lost the lock 'x'" in note for note in raised.value.__notes__)
    assert stored(run)["status"] == "lost"
    assert stored(run)["error"] == "ValueError: mine"


def test_a_lost_run_replaces_abandoned_but_never_completed(managers: Managers) -> None:
    """What says that the run completed stands, whoever comes back."""
    manager = managers.open()
    abandoned, completed = manager.start("a"), manager.start("b")
    lose(abandoned)
    lose(completed)
    manager.prune(older_than=3600)
    said = {**stored(completed), "status": "completed"}
    manager.jobs.set({"name": "b", "startTime": said["startTime"]}, said)
    for run in (abandoned, completed):
        with pytest.raises(oc.LockLost):
            run.end()
    assert stored(abandoned)["status"] == "lost"
    assert stored(completed) == said


def test_a_run_that_was_put_out_cannot_end_the_run_that_followed(managers: Managers) -> None:
    """Also before its keep-alive has noticed: the fence of the lock decides."""
    here, elsewhere = managers.open(), managers.open()
    run = here.start("x")
    lose(run)
    with elsewhere.run("x") as other:
        with pytest.raises(oc.LockLost):
            here.end("x")
        assert stored(other)["status"] == "running"
        held = elsewhere.locks.lock_info("x")
        assert held is not None
        assert held.fence == other.fence
    assert stored(other)["status"] == "completed"


# ----------------------------------------------------------------------------------- force_unlock


def test_force_unlock_frees_the_job_and_leaves_a_note_in_the_record(managers: Managers) -> None:
    """Whom it put out is told, and the note says when and why."""
    here, elsewhere = managers.open(), managers.open()
    run = here.start("x")
    put_out = elsewhere.force_unlock("x", "ann: the host is gone")
    assert put_out is not None
    assert put_out.holder["run"] == run.run_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z ann: the host is gone", stored(run)["note"])
    run.update(progress=0.5)
    assert stored(run)["note"].endswith("ann: the host is gone")
    with elsewhere.run("x"):
        pass
    with pytest.raises(oc.LockLost):
        run.end()
    assert stored(run)["note"].endswith("ann: the host is gone")
    assert stored(run)["status"] == "lost"


def test_force_unlock_of_a_free_job_does_nothing(manager: oc.JobManager) -> None:
    """There was nobody to put out."""
    assert manager.force_unlock("x") is None
    assert manager.runs() == []


def test_force_unlock_of_a_lock_that_is_no_run_s_needs_no_record(manager: oc.JobManager) -> None:
    """A lock that was taken by hand is freed too."""
    lease = manager.locks.lock("x", ttl=30)
    put_out = manager.force_unlock("x")
    assert put_out is not None
    assert put_out.fence == lease.fence
    with suppress(oc.LockLost):
        lease.release()


# --------------------------------------------------------------------------- waiting and context


def test_a_run_does_not_wait_unless_it_is_told_to(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """A busy job is refused at once."""
    manager = simple_managers.open(on_locks=meddler)
    with manager.run("x"), pytest.raises(oc.LockBusy):
        manager.start("x")
    assert meddler.calls["wait"] == 0


def test_a_run_waits_for_the_one_before_it(
    managers: Managers, observer: WaitObserver, in_background: Callable[..., Future[Any]]
) -> None:
    """With `wait` it starts when the other ends, and nothing is told as skipped."""
    here, elsewhere = managers.open(), managers.open(on_locks=observer)
    first = here.start("x")
    second = in_background(elsewhere.start, "x", wait=60)
    observer.await_waiters()
    first.end()
    second.result(30).end()
    assert statuses(here) == ["completed", "completed"]


def test_a_run_that_waited_in_vain_is_skipped(manager: oc.JobManager) -> None:
    """LockBusy tells how long it waited."""
    with manager.run("x"), pytest.raises(oc.LockBusy) as busy:
        manager.start("x", wait=0.05)
    assert busy.value.waited >= 0.05
    assert statuses(manager) == ["skipped", "completed"]


def test_current_run_is_the_run_of_the_innermost_with(
    simple_manager: oc.JobManager, in_background: Callable[..., Future[Any]]
) -> None:
    """Outside, in other threads, and for a run that was only started, there is none."""
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


def test_a_run_that_finds_nothing_to_do_can_be_recorded_as_skipped(
    simple_manager: oc.JobManager,
) -> None:
    """It counts as one that did not run: its end is its start, and its lock is free."""
    with simple_manager.run("a") as run:
        run.skip("no news")
    record = stored(run)
    assert (record["status"], record["reason"], record["inError"]) == ("skipped", "no news", False)
    assert (record["endTime"], record["duration"]) == (record["startTime"], 0)
    assert simple_manager.locks.locks() == []
    with pytest.raises(oc.RunNotStarted):
        run.skip("again")


def test_an_error_without_words_is_recorded_by_its_name_alone(
    simple_manager: oc.JobManager,
) -> None:
    """No colon stands behind it that nothing follows."""
    with pytest.raises(StopIteration), simple_manager.run("a") as run:
        raise StopIteration
    assert stored(run)["error"] == "StopIteration"
