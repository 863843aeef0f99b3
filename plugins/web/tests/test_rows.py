"""The order of the jobs, and the drawings beside them."""

from __future__ import annotations

from typing import Any

from ojobchannels.hookspecs import LockInfo
from ojobchannels.manager.overview import JobHead, PastRun
from ojobchannels.manager.schedules.overview import ScheduleInfo
from ojobchannels.manager.schedules.pauses import PauseInfo
from ojobchannels_web.view import charts
from ojobchannels_web.view.rows import rows

PAUSE = PauseInfo("ann", "holiday", 1, None)


def schedule(name: str, next_time: int | None, **more: Any) -> ScheduleInfo:
    made: dict[str, Any] = {"job": name, "run": name, "file": "jobs.yaml", "trigger": "* * * * *"}
    made |= {"timezone": "UTC", "misfire": "latest", "jitter": 0, "last_time": None}
    made |= {"overdue_since": None, "paused": None, "daemons": ()}
    return ScheduleInfo(name=name, next_time=next_time, **(made | more))


def head(name: str, *statuses: str) -> JobHead:
    """Returns a job with runs of these statuses, the latest first."""
    runs = [
        PastRun(1000 - n, status, None if status == "running" else 10 * n)
        for n, status in enumerate(statuses)
    ]
    return JobHead(name, tuple(runs))


def test_jobs_that_need_attention_come_first() -> None:
    """Overdue, failed, lost, abandoned; the others by their next fire time, then those without."""
    heads = [
        head("abandoned", "abandoned"),
        head("failed", "failed", "completed"),
        head("lost", "lost"),
        head("no schedule", "completed"),
        head("later", "completed"),
        head("late", "completed"),
    ]
    schedules = [
        schedule("later", 2000),
        schedule("soon", 1500),
        schedule("late", 900, overdue_since=900),
        schedule("failed", 100),
    ]
    found = rows(heads, [], schedules)
    assert [(row.name, row.state) for row in found] == [
        ("late", "overdue"),
        ("failed", "failed"),
        ("lost", "lost"),
        ("abandoned", "abandoned"),
        ("soon", "idle"),
        ("later", "completed"),
        ("no schedule", "completed"),
    ]
    assert [row.needs_attention for row in found] == [True] * 4 + [False] * 3


def test_a_failed_job_stays_failed_until_a_run_has_succeeded() -> None:
    """A run that is active, or was skipped, does not hide the failure."""
    [row] = rows([head("x", "running", "skipped", "failed")], [], [])
    assert (row.state, row.is_running) == ("failed", True)
    [row] = rows([head("x", "running", "completed", "failed")], [], [])
    assert (row.state, row.is_running) == ("running", True)


def test_a_job_has_the_first_of_its_fire_times_and_any_pause() -> None:
    [row] = rows([], [], [schedule("x", None, paused=PAUSE), schedule("x", 5), schedule("x", 3)])
    assert (row.next_time, row.pause, row.state) == (3, PAUSE, "paused")


def test_a_job_with_slots_has_all_its_holders() -> None:
    locks = [LockInfo("x", fence, {"pid": fence}, 1, 2, fence, 2) for fence in (1, 2)]
    [row] = rows([head("x", "running", "running")], locks, [])
    assert [lock.slot for lock in row.locks] == [1, 2]


def test_the_strip_has_the_last_twenty_runs_and_says_so() -> None:
    """The oldest at the left; its text says the same as its bars."""
    [row] = rows([head("x", *["failed"] * 3, *["completed"] * 40)], [], [])
    bars = charts.strip(row.strip)
    assert [bar.run.status for bar in bars] == ["completed"] * 17 + ["failed"] * 3
    assert bars[0].height < bars[-1].height
    assert charts.summary(row.strip) == "last 20 runs: 17 completed, 3 failed"


def test_statistics_count_the_runs_that_ended() -> None:
    runs = head("x", "running", "skipped", "failed", *["completed"] * 7).runs
    found = charts.statistics(runs)
    assert found == charts.Statistics(8, 7 / 8, 60, 90, 90)
    assert charts.statistics(head("x", "running", "skipped").runs) is None


def test_a_trend_needs_two_runs() -> None:
    assert charts.trend(head("x", "completed").runs, 90, 20) == ""
    points = charts.trend(head("x", "completed", "completed").runs, 90, 20)
    assert points == "0.0,19.0 90.0,1.0"
