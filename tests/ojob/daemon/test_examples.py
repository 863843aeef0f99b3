"""The job files under docs/examples that run until stopped, under a hand_clock of the test."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.manager import JobManager

if TYPE_CHECKING:
    from tests.ojob.schedules import DaemonThread, HandClock, RunDaemon

pytest_plugins = ["tests.ojob.schedules"]

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(run_daemon: RunDaemon) -> Callable[..., DaemonThread]:
    """Start an example, and wait until its schedules have started."""

    def start(name: str, **options: Any) -> DaemonThread:
        path = Path(f"ready-{name}.yaml")
        path.write_text(
            f"include: docs/examples/{name}.yaml\n"
            "jobs: [{name: Ready, exec: log('here')}]\n"
            "todo: [Ready]\n"
        )
        return run_daemon(path, **options)

    return start


def manager() -> JobManager:
    """A manager on the same channels, to inspect them from outside."""
    return JobManager(
        {"type": "db", "args": {"file": "ojob-data/jobs.db"}},
        {"type": "db", "args": {"file": "ojob-data/locks.db"}},
    )


def test_scheduled(start: Callable[..., DaemonThread], hand_clock: HandClock) -> None:
    """It runs each hour, on one of two servers."""
    exports = Path("ojob-data/exports")
    exports.mkdir(parents=True)
    for name, age in (("old.csv", 2 * 86400), ("new.csv", 0)):
        (exports / name).write_text("")
        os.utime(exports / name, (time.time() - age,) * 2)
    late = type(hand_clock)()
    begin = hand_clock.now()
    first, second = start("scheduled"), start("scheduled", clock=late)
    hand_clock.move(HOUR)
    first.wait_for("Hourly Cleanup: 1 files removed from ojob-data/exports")
    first.wait_for("Hourly Cleanup completed")
    late.move(HOUR)
    late.move(HOUR)
    second.wait_for("Hourly Cleanup: 0 files removed")
    second.wait_for("Hourly Cleanup completed")
    assert [path.name for path in exports.iterdir()] == ["new.csv"]
    with manager() as stored_runs:
        fired = sorted(one["fireTime"] for one in stored_runs.runs("hourly-cleanup"))
    assert fired == [begin + HOUR, begin + 2 * HOUR]


def test_monitoring(start: Callable[..., DaemonThread], hand_clock: HandClock) -> None:
    """It sees the runs of other files, and warns of long ones."""
    with manager() as other:
        run = other.start("nightly")
        daemon = start("monitoring", too_long=-1)
        hand_clock.move(15 * MINUTE)
        daemon.wait_for("Monitor Jobs: 1 of 1 runs have not ended")
        daemon.wait_for("Monitor Jobs: warn: nightly is taking long: running since ")
        daemon.wait_for("Health Check: lock 'nightly' is held by ")
        run.end()
        daemon.stop()


def test_the_batch_system(start: Callable[..., DaemonThread], hand_clock: HandClock) -> None:
    """At night the three jobs run in order, and leave a report, records and a log."""
    daemon = start("batch-system")
    hand_clock.move(14 * HOUR)
    daemon.wait_for("Batch Coordinator: the nightly batch begins")
    daemon.wait_for("Extract Data: 6 rows extracted")
    daemon.wait_for("Transform Data: totals computed for 3 regions")
    daemon.wait_for("Load Data: 3 regions written to ./ojob-data/sales-by-region.csv")
    daemon.wait_for("Load Data completed")
    hand_clock.move(10 * MINUTE)
    daemon.wait_for("Monitor Batch: load-data: COMPLETED (0 s)")
    hand_clock.move(50 * MINUTE)
    daemon.wait_for("Cleanup Old Jobs: 0 old records removed")
    assert daemon.stop().exit_status == 0
    report = Path("ojob-data/sales-by-region.csv").read_text()
    assert report == "region,amount\nharbour,249.90\nnorth,165.75\nsouth,92.75\n"
    with manager() as stored_runs:
        reported = {one["name"]: one["status"] for one in stored_runs.runs(limit=None)}
    assert reported == dict.fromkeys(("extract-data", "transform-data", "load-data"), "completed")


def test_the_batch_system_after_a_failure(
    start: Callable[..., DaemonThread], hand_clock: HandClock
) -> None:
    """Dependents of the failed job do not run, and the history shows that."""
    daemon = start("batch-system", file="docs/examples/data/sales-with-a-fault.csv")
    hand_clock.move(14 * HOUR)
    daemon.wait_for("Extract Data failed")
    daemon.wait_for("Load Data depsfail (dependency 'Transform Data' did not run)")
    daemon.stop()
    with manager() as stored_runs:
        reported = {one["name"]: one["status"] for one in stored_runs.runs(limit=None)}
    assert reported == {
        "extract-data": "failed",
        "transform-data": "depsfail",
        "load-data": "depsfail",
    }
