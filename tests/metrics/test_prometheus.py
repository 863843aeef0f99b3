"""The metrics of a manager, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import ojobchannels as oc
from ojobchannels.metrics import totals
from ojobchannels.metrics.prometheus import family


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A database for the channels."""
    return {"type": "db", "args": {"file": str(tmp_path / "store.db")}}


@pytest.fixture
def manager(config: dict[str, Any]) -> Iterator[oc.JobManager]:
    """A manager."""
    with oc.JobManager(config, config) as manager:
        yield manager


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Read metrics, and return their values by name and labels."""
    return {
        (sample.name.removeprefix("ojobchannels_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def fail(manager: oc.JobManager, name: str) -> None:
    """Run a job that fails."""
    with suppress(RuntimeError), manager.run(name):
        raise RuntimeError


def test_outcomes_durations_and_active_runs(manager: oc.JobManager) -> None:
    """Runs are counted by job and status, whoever ran them."""
    manager.start("a").end()
    fail(manager, "a")
    manager._record_not_run("a", "skipped", "missed: no process was running")
    manager._record_not_run("b", "depsfail", "a failed")
    running = manager.start("c")
    found = samples(manager.metrics())
    assert found["run_outcomes_total", "a", "completed"] == 1
    assert found["run_outcomes_total", "a", "failed"] == 1
    assert found["run_outcomes_total", "a", "skipped"] == 1
    assert found["run_outcomes_total", "b", "depsfail"] == 1
    assert found["run_duration_seconds_count", "a", "completed"] == 1
    assert found["run_duration_seconds_bucket", "a", "completed", "+Inf"] == 1
    assert found["schedule_missed_total", "a"] == 1
    assert found["run_active", "c"] == 1
    success = next(run for run in manager.runs("a") if run["status"] == "completed")
    assert found["job_last_success_timestamp_seconds", "a"] == success["endTime"] / 1000
    running.end()


def test_counters_do_not_shrink_and_are_the_same_in_all_processes(
    manager: oc.JobManager, config: dict[str, Any]
) -> None:
    """Removing old records leaves the totals, and another manager continues them."""
    for _ in range(3):
        manager.start("a").end()
    assert samples(manager.metrics())["run_outcomes_total", "a", "completed"] == 3
    manager.prune(0)
    with oc.JobManager(config, config) as other:
        other.start("a").end()
        assert samples(other.metrics())["run_outcomes_total", "a", "completed"] == 4
    assert samples(manager.metrics())["run_outcomes_total", "a", "completed"] == 4


def test_delays_of_schedules(manager: oc.JobManager) -> None:
    """How late a run starts is counted once, at its start."""
    run = manager.start("a", fire_time=1_000)
    start = run.record["startTime"]
    first = samples(manager.metrics())
    run.end()
    second = samples(manager.metrics())
    for found in (first, second):
        assert found["schedule_delay_seconds_count", "a"] == 1
        assert found["schedule_delay_seconds_sum", "a"] == (start - 1_000) / 1000


def test_hostile_names_stay_inside_their_label(manager: oc.JobManager) -> None:
    """A name with quotes and line breaks neither breaks the format nor makes metrics of its own."""
    name = 'a"} 1\nojobchannels_run_active{x="\\'
    manager.start(name).end()
    found = samples(manager.metrics())
    assert found["run_outcomes_total", name, "completed"] == 1
    assert ("run_active", "\\") not in found


def test_the_number_of_jobs_is_bounded() -> None:
    """Job names that are made from data do not let the totals grow without limit."""
    memory = totals.new_totals()
    count = totals.MOST_JOBS + 5
    records = ({"name": f"job-{n}", "status": "skipped", "runId": f"{n}"} for n in range(count))
    totals.add(memory, records)
    assert len(memory["jobs"]) == totals.MOST_JOBS
    assert f"job-{count - 1}" in memory["jobs"]


def test_a_metric_without_samples_has_no_lines() -> None:
    """Prometheus would report a family without samples as stale."""
    assert list(family("x", "gauge", "A metric.", [])) == []
