"""The job files under docs/examples that run until they are stopped, under a clock of the test."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ojobchannels.manager import JobManager
from ojobchannels.ojob import check_file

if TYPE_CHECKING:
    from tests.ojob.schedules import HandClock, House, RunDaemon

pytest_plugins = ["tests.ojob.schedules"]

EXAMPLES = Path(__file__).resolve().parents[3] / "docs" / "examples"
MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "docs" / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clock(hand_clock: HandClock) -> HandClock:
    """Stands at noon."""
    return hand_clock


@pytest.fixture
def start(run_daemon: RunDaemon) -> Callable[..., House]:
    """Starts an example, and waits until its schedules are on."""

    def start(name: str, **options: Any) -> House:
        path = Path(f"ready-{name}.yaml")
        path.write_text(
            f"include: docs/examples/{name}.yaml\n"
            "jobs: [{name: Ready, exec: log('here')}]\n"
            "todo: [Ready]\n"
        )
        return run_daemon(path, **options)

    return start


def manager() -> JobManager:
    """The manager of the examples."""
    return JobManager(
        {"type": "db", "args": {"file": "ojob-data/jobs.db"}},
        {"type": "db", "args": {"file": "ojob-data/locks.db"}},
    )


@pytest.mark.parametrize("name", ["scheduled", "monitoring", "batch-system"])
def test_an_example_has_no_fault_and_tells_how_to_run_it(name: str) -> None:
    """In its first lines."""
    check_file(f"docs/examples/{name}.yaml")
    assert f"ojob run docs/examples/{name}.yaml\n" in Path(f"docs/examples/{name}.yaml").read_text()


def test_scheduled(start: Callable[..., House], clock: HandClock) -> None:
    """Each hour, on one of two servers."""
    exports = Path("ojob-data/exports")
    exports.mkdir(parents=True)
    for name, age in (("old.csv", 2 * 86400), ("new.csv", 0)):
        (exports / name).write_text("")
        os.utime(exports / name, (time.time() - age,) * 2)
    late = type(clock)()
    begin = clock.now()
    first, second = start("scheduled"), start("scheduled", clock=late)
    clock.advance(HOUR)
    first.hear("Hourly Cleanup: 1 files removed from ojob-data/exports")
    first.hear("Hourly Cleanup completed")
    late.advance(HOUR)
    late.advance(HOUR)
    second.hear("Hourly Cleanup: 0 files removed")
    second.hear("Hourly Cleanup completed")
    assert [path.name for path in exports.iterdir()] == ["new.csv"]
    with manager() as books:
        fired = sorted(one["fireTime"] for one in books.runs("hourly-cleanup"))
    assert fired == [begin + HOUR, begin + 2 * HOUR]


def test_monitoring(start: Callable[..., House], clock: HandClock) -> None:
    """It sees what other files run, and warns of what takes long."""
    with manager() as other:
        run = other.start("nightly")
        house = start("monitoring", too_long=-1)
        clock.advance(15 * MINUTE)
        house.hear("Monitor Jobs: 1 of 1 runs have not ended")
        house.hear("Monitor Jobs: warn: nightly takes long: it runs since ")
        house.hear("Health Check: lock 'nightly' is held by ")
        run.end()
        house.stop()


def test_the_batch_system(start: Callable[..., House], clock: HandClock) -> None:
    """At night the three run in their order, and leave a report, records, and a log."""
    house = start("batch-system")
    clock.advance(14 * HOUR)
    house.hear("Batch Coordinator: the nightly batch begins")
    house.hear("Extract Data: 6 rows extracted")
    house.hear("Transform Data: 3 regions summed up")
    house.hear("Load Data: 3 regions written to ./ojob-data/sales-by-region.csv")
    house.hear("Load Data completed")
    clock.advance(10 * MINUTE)
    house.hear("Monitor Batch: load-data: COMPLETED (0 s)")
    clock.advance(50 * MINUTE)
    house.hear("Cleanup Old Jobs: 0 old records removed")
    assert house.stop().exit_status == 0
    report = Path("ojob-data/sales-by-region.csv").read_text()
    assert report == "region,amount\nharbour,249.90\nnorth,165.75\nsouth,92.75\n"
    with manager() as books:
        told = {one["name"]: one["status"] for one in books.runs(limit=None)}
    assert told == dict.fromkeys(("extract-data", "transform-data", "load-data"), "completed")


def test_the_batch_system_after_a_failure(start: Callable[..., House], clock: HandClock) -> None:
    """What needs the failed one does not run, and the history says so."""
    house = start("batch-system", file="docs/examples/data/sales-with-a-fault.csv")
    clock.advance(14 * HOUR)
    house.hear("Extract Data failed")
    house.hear("Load Data depsfail (dependency 'Transform Data' did not run)")
    house.stop()
    with manager() as books:
        told = {one["name"]: one["status"] for one in books.runs(limit=None)}
    assert told == {
        "extract-data": "failed",
        "transform-data": "depsfail",
        "load-data": "depsfail",
    }
