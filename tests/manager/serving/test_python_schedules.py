"""Jobs in Python with a schedule, on a clock that the test moves."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from functools import partial
from queue import SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.testing.clock import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.manager.local_launches.launcher import Launch
    from ojobchannels.testing.fixtures.schedules import Schedules
    from tests.manager.conftest import Managers, Meddler

BEFORE_TWO = datetime.fromisoformat("2026-03-01T01:59:00Z")


def fire_dates(manager: oc.JobManager, name: str, status: str = "completed") -> list[str]:
    """Return the fire times of runs, oldest first, as time of day."""
    dates = [run["fireDate"] for run in manager.runs(name, status) if "fireDate" in run]
    return [date.partition("T")[2].partition(".")[0] for date in sorted(dates)]


def test_a_job_runs_at_its_fire_time(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """Not before it; the record has the fire time, and other runs of the job have none."""

    @simple_manager.job("report", cron="0 2 * * *")
    def report(year: int = 2026) -> int:
        return year

    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO)
    schedules.advance(59)
    assert report(2025) == 2025
    schedules.advance(1)
    assert "fireTime" not in schedules.wait_for("report")
    record = schedules.wait_for("report")
    assert record["fireDate"] == "2026-03-01T02:00:00.000Z"
    assert (record["status"], record["args"]) == ("completed", {})
    assert len(simple_manager.runs("report")) == 2


def test_an_interval_may_be_a_timedelta(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """Its fire times are the multiples since 1970, the same in all processes."""
    simple_manager.job("tick", interval=timedelta(minutes=5))(lambda: None)
    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO - timedelta(minutes=2))
    for _ in range(2):
        schedules.advance(300)
        schedules.wait_for("tick")
    assert fire_dates(simple_manager, "tick") == ["02:00:00", "02:05:00"]


def test_managers_share_a_schedule(managers: Managers, ojob_schedule: Schedules) -> None:
    """Each fire time is run once over all of them, also by one whose clock is late."""
    first, second = managers.open(), managers.open()
    ran = []
    for number, manager in enumerate((first, second)):
        manager.job("tick", cron="* * * * *")(lambda number=number: ran.append(number))
    early = ojob_schedule(first, at=BEFORE_TWO)
    late = ojob_schedule(second, at=BEFORE_TWO - timedelta(seconds=30))
    early.advance(60)
    early.wait_for("tick")
    late.advance(90)
    late.advance(60)
    late.wait_for("tick")
    early.advance(60)
    early.advance(60)
    early.wait_for("tick")
    assert fire_dates(first, "tick") == ["02:00:00", "02:01:00", "02:02:00"]
    assert ran == [0, 1, 0]


def test_what_was_missed_follows_misfire(
    simple_managers: Managers, ojob_schedule: Schedules
) -> None:
    """After a gap the latest runs, all, or none that is too late; the others are skipped."""
    manager = simple_managers.open()
    manager.job("latest", cron="* * * * *")(lambda: None)
    manager.job("all", cron="* * * * *", misfire="all")(lambda: None)
    manager.job("none", cron="* * * * *", misfire="none")(lambda: None)
    schedules = ojob_schedule(manager, at=BEFORE_TWO)
    schedules.advance(60)
    for name in ("latest", "all", "none"):
        schedules.wait_for(name)
    schedules.advance(60 * 2 + 61 + 58)  # two minutes late for that of 02:02, and just in time
    for name in ("latest", "all", "none"):
        for _ in range(3):
            schedules.wait_for(name)
    assert fire_dates(manager, "latest") == ["02:00:00", "02:03:00"]
    assert fire_dates(manager, "all") == ["02:00:00", "02:01:00", "02:02:00", "02:03:00"]
    assert fire_dates(manager, "none") == ["02:00:00", "02:03:00"]
    assert fire_dates(manager, "none", "skipped") == ["02:01:00", "02:02:00"]


def test_a_failure_is_retried_and_the_schedule_continues(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """Each attempt has the fire time in its record; also sys.exit fails one run only."""
    errors: list[BaseException] = [SystemExit(3), ValueError("no data")]

    @simple_manager.job("tick", cron="* * * * *", retries=1, backoff=0)
    def tick() -> None:
        if errors:
            raise errors.pop()

    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO)
    schedules.advance(60)
    first, second = schedules.wait_for("tick"), schedules.wait_for("tick")
    assert (first["status"], first["attempt"]) == ("failed", 1)
    assert (second["status"], second["attempt"]) == ("failed", 2)
    assert first["fireTime"] == second["fireTime"]
    schedules.advance(60)
    assert schedules.wait_for("tick")["status"] == "completed"


def test_a_fire_time_is_skipped_while_the_job_is_running_elsewhere(
    simple_managers: Managers, ojob_schedule: Schedules
) -> None:
    """It is recorded as that, whatever a call of the job would do."""
    manager, other = simple_managers.open(), simple_managers.open()
    manager.job("tick", cron="* * * * *", if_running="fail")(lambda: None)
    schedules = ojob_schedule(manager, at=BEFORE_TWO)
    with other.run("tick"):
        schedules.advance(60)
        record = schedules.wait_for("tick")
    assert (record["status"], record["fireDate"]) == ("skipped", "2026-03-01T02:00:00.000Z")
    schedules.advance(60)
    assert schedules.wait_for("tick")["status"] == "completed"


def test_a_job_that_waits_runs_when_the_lock_is_free(
    simple_managers: Managers, ojob_schedule: Schedules
) -> None:
    """With if_running="wait" no fire time is skipped because of another run."""
    manager, other = simple_managers.open(), simple_managers.open()
    manager.job("tick", cron="* * * * *", if_running="wait")(lambda: None)
    schedules = ojob_schedule(manager, at=BEFORE_TWO)
    with other.run("tick"):
        schedules.advance(60)
    assert schedules.wait_for("tick")["fireDate"] == "2026-03-01T02:00:00.000Z"
    assert manager.runs("tick", "skipped") == []


def test_a_pause_holds_for_schedules_in_python(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """Nothing runs during the pause; what was missed follows misfire when it is resumed."""
    simple_manager.job("tick", cron="* * * * *")(lambda: None)
    schedules = ojob_schedule(simple_manager)  # a pause has the times of this host
    schedules.advance(60)
    first = schedules.wait_for("tick")
    simple_manager.pause("tick", reason="the store is moved")
    schedules.advance(60)
    schedules.advance(60)
    (info,) = simple_manager.schedules()
    assert info.paused is not None
    simple_manager.resume("tick")
    records = [schedules.wait_for("tick") for _ in range(2)]
    assert [record["status"] for record in records] == ["skipped", "completed"]
    assert [record["fireTime"] - first["fireTime"] for record in records] == [60_000, 120_000]


def test_a_process_that_serves_is_a_daemon(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """Others see it and its schedules at once, with the file of the job; then that it stopped."""

    @simple_manager.job(
        "report",
        cron="0 2 * * *",
        timezone="Europe/Lisbon",
        jitter=60,
        misfire="all",
        overdue_after=timedelta(hours=1),
    )
    def report() -> None:
        """Do nothing."""

    assert simple_manager.schedules() == []
    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO)
    (info,) = simple_manager.schedules()
    (daemon,) = simple_manager.daemons()
    assert (info.name, info.job, info.run) == ("report", "report", "report")
    assert (info.trigger, info.timezone) == ("0 2 * * *", "Europe/Lisbon")
    assert (info.misfire, info.jitter, info.daemons) == ("all", 60_000, (daemon,))
    assert (daemon.file, daemon.alive) == (__file__, True)
    schedules.stop()
    (stopped,) = simple_manager.daemons()
    assert not stopped.alive
    assert stopped.stopped is not None
    assert [info.name for info in simple_manager.schedules()] == ["report"]


def test_an_operator_runs_it_now(simple_manager: oc.JobManager, ojob_schedule: Schedules) -> None:
    """With args; the record names the action, and the action its run and status."""

    @simple_manager.job("report", cron="0 2 * * *")
    def report(day: str = "today", **more: int) -> None:
        if more:
            raise ValueError(day)

    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO)
    simple_manager.run_now("report", {"day": "monday"}, author="ann", wait=60)
    record = schedules.wait_for("report")
    assert (record["status"], record["args"]) == ("completed", {"day": "monday"})
    assert record["requested"]["author"] == "ann"
    simple_manager.rerun(record["runId"], {"more": {"x": 1}}, wait=60)
    assert schedules.wait_for("report")["status"] == "failed"


def test_a_request_overtakes_the_schedules_that_are_due(
    simple_managers: Managers, ojob_schedule: Schedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one thread is left, it waits for the run that is active and the next one at most."""
    manager = simple_managers.open(threads=1)
    submitted, submit = SimpleQueue[str](), manager._submit_launch
    may_end, ran = Event(), list[str]()

    def note_submission(name: str, work: Callable[[Launch], Any]) -> Launch:
        launch = submit(name, work)
        submitted.put(name)
        return launch

    def wait_for_submission(name: str) -> None:
        while submitted.get(timeout=TIMEOUT_SECONDS) != name:
            pass

    def wait(name: str) -> None:
        may_end.wait(TIMEOUT_SECONDS)
        ran.append(name)

    monkeypatch.setattr(manager, "_submit_launch", note_submission)
    for name in ("due 1", "due 2", "due 3", "due 4"):
        manager.job(name, cron="0 2 * * *")(partial(wait, name))
    manager.job("wanted", cron="0 3 * * *")(lambda: ran.append("wanted"))
    manager.job("last", cron="0 3 * * *")(lambda: None)
    schedules = ojob_schedule(manager, at=BEFORE_TWO)
    wait_for_submission("last")  # those before it have looked at their start what is due
    schedules.advance(60)
    wait_for_submission("due 2")  # by "due 1", which is active
    request = Thread(target=manager.run_now, args=("wanted",), kwargs={"wait": TIMEOUT_SECONDS})
    request.start()
    wait_for_submission("wanted")
    may_end.set()
    for name in ("wanted", "due 4"):
        schedules.wait_for(name)
    request.join()
    assert ran == ["due 1", "due 2", "wanted", "due 3", "due 4"]


def test_a_job_that_is_registered_later_or_again_is_served(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """The latest function of a name runs, at its own times; without a schedule, none does."""
    ran: list[str] = []
    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO)
    simple_manager.job("tick", cron="* * * * *")(lambda: ran.append("first"))
    schedules.advance(60)
    schedules.wait_for("tick")
    simple_manager.job("tick", cron="* * * * *")(lambda: ran.append("second"))
    schedules.advance(60)
    schedules.wait_for("tick")
    simple_manager.job("tick")(lambda: ran.append("third"))
    simple_manager.job("tock", cron="* * * * *")(lambda: None)
    schedules.advance(60)
    schedules.wait_for("tock")
    assert ran == ["first", "second"]


@pytest.mark.parametrize(
    ("at", "seconds", "dates"),
    [
        ("2026-10-25T00:29:00Z", [60, 3600], ["00:30:00"]),  # 02:30 in Berlin comes twice
        ("2026-03-29T00:59:00Z", [60, 3600], ["01:00:00"]),  # 02:30 in Berlin is left out
    ],
)
def test_clock_changes_are_those_of_job_files(
    simple_manager: oc.JobManager,
    ojob_schedule: Schedules,
    at: str,
    seconds: list[float],
    dates: list[str],
) -> None:
    """A time of day that is repeated runs once, and one that is skipped at the end of the gap."""
    simple_manager.job("tick", cron="30 2 * * *", timezone="Europe/Berlin")(lambda: None)
    simple_manager.job("mark", interval=3600 * 24)(lambda: None)
    schedules = ojob_schedule(simple_manager, at=datetime.fromisoformat(at))
    schedules.advance(seconds[0])
    schedules.wait_for("tick")
    schedules.advance(seconds[1])
    (info,) = [one for one in simple_manager.schedules() if one.name == "tick"]
    assert info.last_time is not None
    assert fire_dates(simple_manager, "tick") == dates


def test_a_clock_that_is_set_back_repeats_no_fire_time(
    simple_manager: oc.JobManager, ojob_schedule: Schedules
) -> None:
    """The next run is at the first fire time that was not yet run."""
    simple_manager.job("tick", cron="* * * * *")(lambda: None)
    schedules = ojob_schedule(simple_manager, at=BEFORE_TWO)
    schedules.advance(60)
    schedules.wait_for("tick")
    schedules.advance(-120)
    schedules.advance(120)
    schedules.advance(60)
    schedules.wait_for("tick")
    assert fire_dates(simple_manager, "tick") == ["02:00:00", "02:01:00"]


def test_a_store_that_is_gone_delays_a_fire_time(
    managers: Managers, meddler: Meddler, ojob_schedule: Schedules
) -> None:
    """It runs when the store can be reached again, and no failure is reported meanwhile."""
    failures: list[oc.RunRecord] = []
    manager = managers.open(on_state=meddler, on_failure=failures.append)
    manager.job("tick", cron="* * * * *", misfire="all")(lambda: None)
    schedules = ojob_schedule(manager, at=BEFORE_TWO)
    schedules.advance(60)
    schedules.wait_for("tick")
    meddler.failing["get_set"] = oc.ChannelUnavailable("state", "it is gone", "start it")
    before = meddler.calls["get_set"]
    schedules.advance(60)
    while meddler.calls["get_set"] == before:
        schedules.advance(1)
    meddler.failing.clear()
    while (dates := fire_dates(manager, "tick")[1:]) == []:
        schedules.advance(1)
    assert dates[0] == "02:01:00"
    assert failures == []


def test_its_threads_end_with_it(simple_managers: Managers, ojob_schedule: Schedules) -> None:
    """A manager that was closed runs no fire time, and starts no thread."""
    manager = simple_managers.open()
    manager.job("tick", cron="* * * * *")(lambda: None)
    schedules = ojob_schedule(manager, at=BEFORE_TWO)
    manager.close()
    schedules.clock.advance(60)
    other = simple_managers.open()
    assert other.runs("tick") == []
    assert [daemon.alive for daemon in other.daemons()] == [False]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_serve_runs_schedules_until_the_manager_closes(simple_managers: Managers) -> None:
    """A job at its fire time may close it; the run is recorded before serve returns."""
    manager = simple_managers.open()
    manager.job("tick", interval=0.1)(manager._closing.set)
    manager.serve()
    assert [run["status"] for run in manager.runs("tick")][-1] == "completed"
    assert [daemon.alive for daemon in manager.daemons()] == [False]


def test_a_manager_that_closes_warns_of_schedules_that_were_never_served(
    simple_managers: Managers, ojob_schedule: Schedules, caplog: pytest.LogCaptureFixture
) -> None:
    """Not if it has served them itself, or another process has: then it only declares them."""
    text = "no process has served the schedules of 'report': call serve or start_schedules"
    first, second = simple_managers.open(), simple_managers.open()
    for manager in (first, second):
        manager.job("report", cron="0 2 * * *")(lambda: None)
        manager.job("cleanup")(lambda: None)
    first._warn_of_unserved()
    assert [record.getMessage() for record in caplog.records] == [text]
    caplog.clear()
    for number in range(12):
        first.job(f"report {number:02}", cron="0 2 * * *")(lambda: None)
    first._warn_of_unserved()
    assert "'report', 'report 00'" in caplog.text
    assert "'report 08' and 3 more: call serve" in caplog.text
    ojob_schedule(first, at=BEFORE_TWO)
    caplog.clear()
    for manager in (first, second):
        manager.close()
    assert [record for record in caplog.records if "no process" in record.getMessage()] == []
