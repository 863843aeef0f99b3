"""Runs that another job launches at its fire time: each place in it is taken once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import ojobchannels as oc
from ojobchannels.errors import FireTimeTaken, LockBusy
from ojobchannels.manager import LaunchTime

if TYPE_CHECKING:
    from tests.conftest import Storage

NOON = 1_772_366_400_000
FIRST = LaunchTime(NOON, "coordinator")
OTHERS = [
    FIRST._replace(number=2),
    FIRST._replace(by="another coordinator"),
    FIRST._replace(time=NOON - 60_000),
]


def test_one_manager_runs_a_launch_and_others_find_it_taken(shared_storage: Storage) -> None:
    """A taken launch leaves no record; another number, launcher or fire time is another launch."""
    config = shared_storage.config
    with oc.JobManager(config, config) as one, oc.JobManager(config, config) as other:
        with one.run("extract", fire_time=FIRST):
            with pytest.raises(FireTimeTaken):  # while it runs
                other.start("extract", fire_time=FIRST)
            with pytest.raises(LockBusy):
                other.start("extract", fire_time=OTHERS[0], record_busy=False)
        with pytest.raises(FireTimeTaken):  # after its end
            other.start("extract", fire_time=FIRST)
        for launch in OTHERS:
            with other.run("extract", fire_time=launch):
                pass
        assert len(other.runs()) == 4
        assert other.runs()[-1]["launchedBy"] == "coordinator"


def test_a_launch_that_found_the_lock_held_can_still_run_elsewhere(
    shared_storage: Storage,
) -> None:
    """It is recorded as skipped, but not claimed: nobody has run it."""
    config = shared_storage.config
    with oc.JobManager(config, config) as one, oc.JobManager(config, config) as other:
        with one.run("extract"), pytest.raises(LockBusy):
            other.start("extract", fire_time=FIRST)
        with one.run("extract", fire_time=FIRST):
            pass
        assert [run["status"] for run in one.runs()] == ["completed", "skipped", "completed"]


def test_a_launch_whose_record_could_not_be_written_can_run_again(
    shared_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim is withdrawn with the failed start."""
    config = shared_storage.config
    with oc.JobManager(config, config) as manager:
        with monkeypatch.context() as patch:
            patch.setattr(manager, "record_start", _full)
            with pytest.raises(oc.StorageFull):
                manager.start("extract", fire_time=FIRST)
        with manager.run("extract", fire_time=FIRST) as run:
            pass
        assert run.status == "completed"


def _full(record: object) -> None:
    raise oc.StorageFull("oJobManager-jobs", "no space left", f"free some for {record}")
