"""The timeout and the lease of a run, and the loss of its lock."""

# ruff: noqa: PT012  the body of a run is what is tested, and it has more than one statement
from __future__ import annotations

import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.records import key_of
from tests.manager.conftest import Flaky, Pauses

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.conftest import ManualClock, Storage
    from tests.manager.conftest import Log, Managers


def stored(run: oc.JobRun) -> Any:
    """Return the record of a run as it is in the channel."""
    return run.manager.jobs.get(key_of(run.record))


def lose(run: oc.JobRun) -> None:
    """Force-release the lock of a run, which does not notice."""
    assert run.manager.locks.force_unlock(run.name) is not None


def statuses(manager: oc.JobManager, name: str | None = None) -> list[str]:
    return [record["status"] for record in manager.runs(name)]


def test_a_run_that_exceeds_its_timeout_logs_a_warning_and_continues(
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
    assert [line for line in log.read() if "timeout" in line] == []


def test_a_run_that_exceeds_its_timeout_fails_with_on_timeout_fail(
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


def test_the_error_of_the_body_is_recorded_rather_than_the_timeout(
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


def test_a_run_exceeds_its_timeout_silently_with_on_timeout_continue(
    simple_managers: Managers, clock: ManualClock, log: Log
) -> None:
    """With `continue` nothing is logged, and `check` does not raise."""
    manager = simple_managers.open(clock=clock)
    with manager.run("x", timeout=50, on_timeout="continue") as run:
        for _ in range(4):
            clock.advance(25)
            run.lease.extend()
        run.check()
    assert stored(run)["status"] == "completed"
    assert [line for line in log.read() if "timeout" in line] == []


@pytest.mark.parametrize(
    ("timeout", "keep_alive", "lease"), [(3600, True, 60), (20, True, 20), (3600, False, 3600)]
)
def test_a_renewed_lease_lasts_at_most_a_minute(
    managers: Managers, clock: ManualClock, timeout: int, keep_alive: bool, lease: int
) -> None:
    """A crash blocks a minute and not an hour; without keep-alive the lease is the timeout."""
    manager = managers.open(clock=clock)
    with manager.run("x", timeout=timeout, keep_alive=keep_alive):
        held = manager.locks.lock_info("x")
        assert held is not None
        assert held.until - held.since == lease * 1000


def test_the_lease_is_renewed_while_the_run_is_active(
    simple_managers: Managers, clock: ManualClock
) -> None:
    """Ten leases later the run still holds its lock, under the same fence."""
    renewed = threading.Semaphore(0)

    class Renewals:
        @oc.hookimpl(wrapper=True)
        def extend_all(self) -> Generator[None, Any, Any]:
            results = yield
            renewed.release()
            return results

    manager = simple_managers.open(clock=clock, on_locks=Renewals())
    with manager.run("x", timeout=0.3, on_timeout="continue") as run:
        for _ in range(25):  # a step that is made before the last renewal is noted loses no lease
            clock.advance(0.12)
            assert renewed.acquire(timeout=30)
        run.check()
        held = manager.locks.lock_info("x")
        assert held is not None
        assert held.fence == run.fence
    assert stored(run)["duration"] == 3000


def test_without_keep_alive_the_lease_expires_at_the_timeout(
    managers: Managers, clock: ManualClock, log: Log
) -> None:
    """Then the lock is free; `check` and the end of the run raise LockLost."""
    manager = managers.open(clock=clock)
    with pytest.raises(oc.LockLost), manager.run("x", timeout=0.2, keep_alive=False) as run:
        clock.advance(0.2)
        assert manager.locks.lock_info("x") is None
        with pytest.raises(oc.LockLost):
            run.check()
        assert run.run_id in log.wait_for("lost its lock")
    assert stored(run)["status"] == "lost"


def test_a_run_that_lost_its_lock_does_not_affect_the_new_holder(
    managers: Managers, clock: ManualClock
) -> None:
    """The end raises LockLost; the lock and the record of the new run do not change."""
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
    """The error of the body is raised and recorded; the loss is a note on it."""
    manager = managers.open()
    with pytest.raises(ValueError, match="mine") as raised, manager.run("x") as run:
        lose(run)
        raise ValueError("mine")
    assert any("lost the lock 'x'" in note for note in raised.value.__notes__)
    assert stored(run)["status"] == "lost"
    assert stored(run)["error"] == "ValueError: mine"


def test_a_lost_run_replaces_abandoned_but_never_completed(managers: Managers) -> None:
    """A record with status completed is never changed."""
    manager = managers.open()
    abandoned, completed = manager.start("a"), manager.start("b")
    lose(abandoned)
    lose(completed)
    manager.prune(older_than=3600)
    expected = {**stored(completed), "status": "completed"}
    manager.jobs.set({"name": "b", "startTime": expected["startTime"]}, expected)
    for run in (abandoned, completed):
        with pytest.raises(oc.LockLost):
            run.end()
    assert stored(abandoned)["status"] == "lost"
    assert stored(completed) == expected


def test_an_evicted_run_cannot_end_the_next_run(managers: Managers) -> None:
    """The fence of the lock decides, even before the keep-alive has noticed the loss."""
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


def test_force_unlock_releases_the_lock_and_adds_a_note_to_the_record(managers: Managers) -> None:
    """It returns the evicted holder; the note has the time and the reason."""
    here, elsewhere = managers.open(), managers.open()
    run = here.start("x")
    evicted = elsewhere.force_unlock("x", "ann: the host is gone")
    assert evicted is not None
    assert evicted.holder["run"] == run.run_id
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
    """It returns None."""
    assert manager.force_unlock("x") is None
    assert manager.runs() == []


def test_force_unlock_releases_a_lock_without_a_run(manager: oc.JobManager) -> None:
    """A lock that was acquired without a run is released too."""
    lease = manager.locks.lock("x", ttl=30)
    evicted = manager.force_unlock("x")
    assert evicted is not None
    assert evicted.fence == lease.fence
    with suppress(oc.LockLost):
        lease.release()


def test_a_lock_is_kept_for_a_minimum_after_the_start(
    managers: Managers, clock: ManualClock
) -> None:
    """A server whose clock is late finds it held after the end, and does not repeat the run."""
    here, late = managers.open(clock=clock), managers.open(clock=clock)
    with here.run("x", timeout=60, lock_at_least_for=30) as run:
        clock.advance(1)
    assert run.status == "completed"
    clock.advance(28)
    with pytest.raises(oc.LockBusy, match=r"kept until 20\d\d-.*Z at least"):
        late.start("x", timeout=60)
    assert late.running() == []
    clock.advance(2)
    with late.run("x", timeout=60):
        pass
    assert statuses(late, "x") == ["completed", "skipped", "completed"]


@pytest.mark.parametrize(
    ("seconds", "kept"), [(5, True), (15, False)], ids=["shorter than the run", "longer"]
)
def test_a_failed_run_keeps_its_lock_as_a_good_one_does(
    managers: Managers, clock: ManualClock, seconds: int, kept: bool
) -> None:
    """The minimum counts from the start, so that a longer run releases its lock at its end."""
    manager = managers.open(clock=clock)
    with pytest.raises(ValueError, match="bad"), manager.run("x", lock_at_least_for=10):
        clock.advance(seconds)
        raise ValueError("bad")
    assert (manager.locks.lock_info("x") is not None) is kept


def test_a_kept_lock_outlives_the_manager(shared_storage: Storage) -> None:
    """The program of a short job ends at once; that does not release the lock."""
    config = shared_storage.config
    with oc.JobManager(config, config) as manager, manager.run("x", lock_at_least_for=60):
        pass
    with oc.JobManager(config, config) as later, pytest.raises(oc.LockBusy):
        later.start("x")


def test_a_run_that_was_skipped_does_not_keep_its_lock(simple_manager: oc.JobManager) -> None:
    """Nothing was done that must not be repeated."""
    simple_manager.start("x", lock_at_least_for=60).skip("nothing to do")
    assert simple_manager.locks.locks() == []


def test_only_the_last_attempt_keeps_the_lock(simple_manager: oc.JobManager) -> None:
    """The next one needs it."""
    simple_manager._closing = Pauses()
    work = Flaky(2)
    job = simple_manager.job("x", retries=2, lock_at_least_for=60)(work)
    assert job() == "success 3"
    assert simple_manager.locks.lock_info("x") is not None
    assert statuses(simple_manager, "x") == ["completed", "failed", "failed"]
