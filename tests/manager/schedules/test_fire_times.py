"""Runs that are due at times: each time is taken once, by one of the managers on these channels."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.errors import FireTimeTaken, LockBusy
from ojobchannels.manager import LaunchTime
from ojobchannels.manager.schedules import fire_times

if TYPE_CHECKING:
    from collections.abc import Callable

    from ojobchannels.testing.kit.pytest_fixtures import Child
    from tests.conftest import Storage

NOON = 1_772_366_400_000
FIRST = LaunchTime(NOON, "coordinator")
OTHERS = [
    FIRST._replace(number=2),
    FIRST._replace(by="another coordinator"),
    FIRST._replace(time=NOON - 60_000),
]

DYING = """\
from ojobchannels.manager import records
from ojobchannels.manager.schedules import fire_times

manager = oc.JobManager(channel_config, channel_config)
due = records.due(params["noon"])
manager.locks.lock("report", ttl=60, holder={"job": "report", "run": "gone", **due})
if params["taken"]:
    fire_times.claim(manager.state, "report", params["noon"], "gone")
send("locked")
receive()
"""

DYING_AS_IT_SKIPS = """\
class Dying:
    @oc.hookimpl(wrapper=True)
    def get_set(self, key):
        if "startTime" in key.document:
            send("taken")
            receive()
        return (yield)

def opened(name, **options):
    return oc.open_channel(f"oJobManager-{name}", channel_config, **options)

manager = oc.JobManager(
    opened("jobs"), opened("locks"), state=opened("state", extensions=(Dying(),))
)
manager._record_not_run("report", "skipped", "missed", fire_time=params["noon"])
"""


@pytest.fixture
def one(shared_storage: Storage) -> Any:
    """A manager, on each embedded backend that processes share."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        yield manager


@pytest.fixture
def other(shared_storage: Storage) -> Any:
    """Another one on the same storage."""
    with oc.JobManager(shared_storage.config, shared_storage.config) as manager:
        yield manager


def recorded(manager: oc.JobManager) -> list[tuple[int, str]]:
    return sorted((run["fireTime"] - NOON, run["status"]) for run in manager.runs(limit=None))


def test_a_fire_time_is_run_once_and_recorded(one: oc.JobManager, other: oc.JobManager) -> None:
    """A later manager, after the first run has ended, runs nothing and records nothing."""
    with one.run("report", fire_time=NOON):
        pass
    with pytest.raises(FireTimeTaken) as caught:
        other.start("report", fire_time=NOON)
    assert (caught.value.name, caught.value.fire_time) == ("report", NOON)
    (record,) = one.runs()
    assert (record["fireTime"], record["fireDate"]) == (NOON, "2026-03-01T12:00:00.000Z")
    assert one.locks.locks() == []


def test_a_fire_time_that_another_process_is_running_is_not_skipped(
    one: oc.JobManager, other: oc.JobManager
) -> None:
    """The lock is held for that very time: no record says that it did not run."""
    with one.run("report", fire_time=NOON), pytest.raises(FireTimeTaken):
        other.start("report", fire_time=NOON)
    assert recorded(one) == [(0, "completed")]


def test_a_fire_time_during_the_previous_run_is_skipped_once(
    one: oc.JobManager, other: oc.JobManager
) -> None:
    """If several managers find the lock held for another time, one records it."""
    with one.run("report", fire_time=NOON):
        with pytest.raises(LockBusy):
            one.start("report", fire_time=NOON + 1)
        with pytest.raises(FireTimeTaken):
            other.start("report", fire_time=NOON + 1)
    assert recorded(one) == [(0, "completed"), (1, "skipped")]


def test_a_waiting_run_does_not_claim_its_fire_time(
    one: oc.JobManager, other: oc.JobManager
) -> None:
    """With `record_busy=False`, a run that finds the lock held does not take the fire time."""
    with one.run("report"), pytest.raises(LockBusy):
        other.start("report", fire_time=NOON, record_busy=False)
    with other.run("report", fire_time=NOON):
        pass
    assert [run["status"] for run in one.runs()] == ["completed", "completed"]


def test_one_of_many_concurrent_runs_claims_each_fire_time(
    one: oc.JobManager, other: oc.JobManager
) -> None:
    """Eight threads of two managers go for the same ten times."""

    def work(manager: oc.JobManager) -> None:
        for at in range(10):
            try:
                with manager.run("report", wait=30, fire_time=NOON + at):
                    pass
            except FireTimeTaken:
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [one, other] * 4))
    assert recorded(one) == [(at, "completed") for at in range(10)]


def test_a_forgotten_fire_time_counts_as_claimed(one: oc.JobManager) -> None:
    """The memory of a schedule stays small, and a clock that is far behind repeats nothing."""
    for at in range(100):
        fire_times.claim(one.state, "report", NOON + at, f"run {at}")
    assert not fire_times.is_unclaimed(one, "report", NOON)
    assert not fire_times.is_unclaimed(one, "report", NOON - 1)
    assert fire_times.is_unclaimed(one, "report", NOON + 100)
    (document,) = one.state.get_all()
    assert len(document["taken"]) < 100


def test_a_schedule_continues_at_its_last_claim(one: oc.JobManager) -> None:
    """A new one begins now; a known one after its last time, or after the first that is left."""
    assert fire_times.last_claimed(one.state, "report", NOON, back=False) == NOON
    assert fire_times.last_claimed(one.state, "report", NOON + 5, back=False) == NOON
    fire_times.claim(one.state, "report", NOON + 3, "run 3")
    assert fire_times.last_claimed(one.state, "report", NOON + 5, back=False) == NOON + 3
    assert fire_times.last_claimed(one.state, "report", NOON + 5, back=True) == NOON


@pytest.mark.parametrize("taken", [False, True], ids=["before it took the time", "after it"])
def test_a_run_that_died_before_its_record_is_recorded_by_the_next(
    shared_storage: Storage,
    one: oc.JobManager,
    start_worker: Callable[..., Child],
    taken: bool,
) -> None:
    """Killed between its lock and its record: the history has it as abandoned, with its time."""
    worker = start_worker(
        DYING,
        shared_storage,
        noon=NOON,
        taken=taken,
    )
    assert worker.receive() == "locked"
    worker.kill()
    with one.run("report", fire_time=NOON + 1, wait=10):
        pass
    assert recorded(one) == [(0, "abandoned"), (1, "completed")]
    gone = one.runs(status="abandoned")[0]
    assert (gone["runId"], gone["pid"]) == ("gone", worker.pid)
    assert gone["pid"] != os.getpid()


def test_a_skip_whose_process_died_before_its_record_is_recorded_by_the_next(
    shared_storage: Storage, one: oc.JobManager, start_worker: Callable[..., Child]
) -> None:
    """Killed between taking the time and its record: the history has it as skipped, once."""
    worker = start_worker(DYING_AS_IT_SKIPS, shared_storage, noon=NOON)
    assert worker.receive() == "taken"
    worker.kill()
    assert recorded(one) == []
    for at in (1, 2):
        with one.run("report", fire_time=NOON + at):
            pass
    assert recorded(one) == [(0, "skipped"), (1, "completed"), (2, "completed")]
    skipped = one.runs(status="skipped")[0]
    assert (skipped["pid"], skipped["reason"]) == (worker.pid, "missed")
    assert "owed" not in one.state.get({"schedule": "report"})


def test_a_skip_whose_record_could_not_be_written_is_recorded_by_the_next(
    shared_storage: Storage,
) -> None:
    """The next attempt finds the fire time claimed and recorded."""

    class Full:
        @oc.hookimpl(wrapper=True)
        def get_set(self, key: Any) -> Any:
            if full and "startTime" in key.document:
                raise full.pop()
            return (yield)

    full: list[oc.StorageFull] = []
    jobs, locks = shared_storage.open("jobs"), shared_storage.open("locks")
    state = shared_storage.open("state", extensions=(Full(),))
    with oc.JobManager(jobs, locks, state=state) as manager, manager.run("report"):
        full.append(oc.StorageFull("jobs", "the disk is full", "free some space"))
        with pytest.raises(oc.StorageFull):
            manager.start("report", fire_time=NOON)
        with pytest.raises(FireTimeTaken):
            manager.start("report", fire_time=NOON)
        (skipped,) = manager.runs(status="skipped")
        assert skipped["fireTime"] == NOON


def test_a_fire_time_whose_record_could_not_be_written_is_released(shared_storage: Storage) -> None:
    """The next attempt can claim it."""

    class Full:
        @oc.hookimpl(wrapper=True)
        def get_set(self) -> Any:
            if full:
                raise full.pop()
            return (yield)

    full = [oc.StorageFull("jobs", "the disk is full", "free some space")]
    jobs = shared_storage.open("jobs", extensions=(Full(),))
    locks, state = shared_storage.open("locks"), shared_storage.open("state")
    with oc.JobManager(jobs, locks, state=state) as manager:
        with pytest.raises(oc.StorageFull):
            manager.start("report", fire_time=NOON)
        assert locks.locks() == []
        with manager.run("report", fire_time=NOON):
            pass
        assert recorded(manager) == [(0, "completed")]


def test_a_fire_time_whose_record_was_written_with_a_lost_reply_is_recorded_once(
    shared_storage: Storage,
) -> None:
    """The run is recorded as failed, and the next attempt finds its fire time claimed."""

    class Unheard:
        @oc.hookimpl(wrapper=True)
        def get_set(self) -> Any:
            result = yield
            if lost:
                raise lost.pop()
            return result

    lost = [oc.OutcomeUnknown("jobs", "get_set", "look")]
    jobs = shared_storage.open("jobs", extensions=(Unheard(),))
    locks, state = shared_storage.open("locks"), shared_storage.open("state")
    with oc.JobManager(jobs, locks, state=state) as manager:
        with pytest.raises(oc.OutcomeUnknown):
            manager.start("report", fire_time=NOON)
        with pytest.raises(FireTimeTaken):
            manager.start("report", fire_time=NOON)
        assert recorded(manager) == [(0, "failed")]


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
    """It is recorded as skipped, but not claimed."""
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
            patch.setattr(manager, "_record_start", _full)
            with pytest.raises(oc.StorageFull):
                manager.start("extract", fire_time=FIRST)
        with manager.run("extract", fire_time=FIRST) as run:
            pass
        assert run.status == "completed"


def test_prune_removes_claims_that_no_process_needs(shared_storage: Storage) -> None:
    """A claim is kept for 90 days at least, as long as a suspended process may come to it."""
    config = shared_storage.config
    now = time.time_ns() // 1_000_000
    with oc.JobManager(config, config) as manager:
        for days in (0, 80, 100):
            with manager.run("extract", fire_time=FIRST._replace(time=now - days * 86_400_000)):
                pass
        manager.prune(older_than=0)
        kept = [
            round((now - claim["fireTime"]) / 86_400_000) for claim in manager.state.get_all({})
        ]
        assert kept == [0, 80]


def _full(record: object) -> None:
    raise oc.StorageFull("oJobManager-jobs", "no space left", f"free some for {record}")
