"""Functions as managed jobs: arguments, `if_running` and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run
from tests.manager.conftest import Flaky, Pauses, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ojobchannels.testing.clock import ManualClock
    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver
    from tests.manager.conftest import Managers, Meddler


def test_a_job_is_called_like_its_function(manager: oc.JobManager) -> None:
    """It takes its arguments and returns its result, under the lock and with a record."""

    @manager.job("add", timeout=600)
    def add(one: int, other: int = 2) -> int:
        """Adds."""
        run = current_run()
        assert run is not None
        assert run.name == "add"
        assert manager.locks.lock_info("add") is not None
        return one + other

    assert add(1) == 3
    assert add(1, other=5) == 6
    latest, first = manager.runs("add")
    assert first["args"] == {"one": 1}
    assert latest["args"] == {"one": 1, "other": 5}
    assert latest["timeout"] == 600_000
    assert "attempt" not in latest
    assert (add.name, add.__doc__) == ("add", "Adds.")


def test_arguments_that_are_not_json_are_recorded_as_their_repr(
    simple_manager: oc.JobManager,
) -> None:
    """The function gets them as they are."""
    thing = object()

    @simple_manager.job("x")
    def same(*things: object, **more: object) -> object:
        return things[0] if things else more["thing"]

    assert same(thing) is thing
    assert same(thing=thing) is thing
    by_name, by_position = simple_manager.runs()
    assert by_name["args"] == {"more": repr({"thing": thing})}
    assert by_position["args"] == {"things": repr((thing,))}


def test_an_exception_of_the_function_is_recorded_and_raised(manager: oc.JobManager) -> None:
    """Without retries there is one record, and the caller gets the very error."""
    flaky = Flaky(1)
    job = manager.job("x")(flaky)
    with pytest.raises(ValueError, match="failure 1"):
        job()
    assert statuses(manager, "x") == ["failed"]
    assert manager.locks.lock_info("x") is None


def test_a_call_with_wrong_arguments_starts_no_run(simple_manager: oc.JobManager) -> None:
    """TypeError comes at once, as from the function itself: no record, no retry."""
    pauses = simple_manager._closing = Pauses()

    @simple_manager.job("x", retries=3)
    def takes_one(one: int) -> int:
        return one

    with pytest.raises(TypeError):
        takes_one()  # type: ignore[call-arg]  # that is the point
    assert simple_manager.runs() == []
    assert pauses.seconds == []


@pytest.mark.parametrize(
    "options",
    [
        {"if_running": "panic"},
        {"on_timeout": "panic"},
        {"timeout": -1},
        {"wait": "long"},
        {"backoff": -1},
    ],
)
def test_invalid_options_of_a_job_are_rejected_at_its_definition(
    simple_manager: oc.JobManager, options: dict[str, Any]
) -> None:
    """Not at its first run in the night."""
    with pytest.raises(oc.InvalidOption, match=next(iter(options))):
        simple_manager.job("x", **options)(Flaky(0))


def test_the_timeout_of_a_job_applies_to_its_runs(
    simple_managers: Managers, clock: ManualClock
) -> None:
    """`on_timeout="fail"` fails the run of a function that took too long."""
    manager = simple_managers.open(clock=clock)

    @manager.job("x", timeout=0.3, on_timeout="fail")
    def slow() -> None:
        run = current_run()
        assert run is not None
        for _ in range(3):
            run.check()
            clock.advance(0.1)
            run.lease.extend()
        run.check()

    with pytest.raises(oc.JobTimeout):
        slow()
    [record] = manager.runs("x")
    assert (record["status"], record["duration"]) == ("failed", 300)


def test_if_running_fail_raises_lock_busy(managers: Managers) -> None:
    """This is the default: the caller gets LockBusy."""
    here, elsewhere = managers.open(), managers.open()
    flaky = Flaky(0)
    job = here.job("x", retries=3)(flaky)
    with elsewhere.run("x") as run, pytest.raises(oc.LockBusy) as busy:
        job()
    assert busy.value.holder["run"] == run.run_id
    assert statuses(here, "x") == ["completed", "skipped"]
    assert flaky.calls == 0


def test_if_running_skip_returns_none_at_once(managers: Managers, meddler: Meddler) -> None:
    """No error, no waiting, no retry: a record says that it was skipped."""
    here, elsewhere = managers.open(on_locks=meddler), managers.open()
    flaky = Flaky(0)
    job = here.job("x", if_running="skip", retries=3)(flaky)
    with elsewhere.run("x"):
        assert job() is None
    assert (flaky.calls, meddler.calls["wait"]) == (0, 0)
    assert statuses(here, "x") == ["completed", "skipped"]
    assert job() == "success 1"


def test_if_running_wait_waits_for_the_lock(
    managers: Managers, observer: WaitObserver, in_background: Callable[..., Future[Any]]
) -> None:
    """There is no limit unless `wait` is set."""
    here, elsewhere = managers.open(on_locks=observer), managers.open()
    job = here.job("x", if_running="wait")(Flaky(0))
    run = elsewhere.start("x")
    future = in_background(job)
    observer.await_waiters()
    run.end()
    assert future.result(30) == "success 1"
    assert statuses(here, "x") == ["completed", "completed"]


def test_if_running_wait_stops_waiting_after_its_limit(managers: Managers) -> None:
    """Then it is LockBusy, and a record says skipped."""
    here, elsewhere = managers.open(), managers.open()
    job = here.job("x", if_running="wait", wait=0.05)(Flaky(0))
    with elsewhere.run("x"), pytest.raises(oc.LockBusy):
        job()
    assert statuses(here, "x") == ["completed", "skipped"]


def test_a_busy_lock_within_the_body_is_a_failure_not_a_skip(managers: Managers) -> None:
    """A body that could not start another job has failed: it is notified and retried."""
    here, elsewhere = managers.open(), managers.open()
    notified: list[str] = []

    @here.job(
        "outer",
        if_running="skip",
        retries=1,
        backoff=0,
        on_failure=lambda r: notified.append(r["runId"]),
    )
    def outer() -> None:
        with here.run("inner"):
            pass

    with elsewhere.run("inner"), pytest.raises(oc.LockBusy, match="'inner'"):
        outer()
    assert statuses(here, "outer") == ["failed", "failed"]
    assert notified == [here.runs("outer")[0]["runId"]]


def test_each_attempt_has_its_own_record(
    manager: oc.JobManager,
) -> None:
    """Each attempt is one run: own id, own lease, own end."""
    manager._closing = Pauses()
    job = manager.job("x", retries=3, backoff=1)(Flaky(2))
    assert job() == "success 3"
    found = manager.runs("x")[::-1]
    assert [one["status"] for one in found] == ["failed", "failed", "completed"]
    assert [one["attempt"] for one in found] == [1, 2, 3]
    assert [one.get("error") for one in found] == [
        "ValueError: failure 1",
        "ValueError: failure 2",
        None,
    ]
    assert len({one["runId"] for one in found}) == 3
    assert len({one["fence"] for one in found}) == 3


def test_the_pause_before_an_attempt_doubles(simple_manager: oc.JobManager) -> None:
    """backoff, twice that, four times that; the last failure is raised."""
    pauses = simple_manager._closing = Pauses()
    job = simple_manager.job("x", retries=3, backoff=0.5)(Flaky(9))
    with pytest.raises(ValueError, match="failure 4"):
        job()
    assert pauses.seconds == [0.5, 1, 2]
    assert statuses(simple_manager, "x") == ["failed"] * 4


def test_the_lock_is_free_between_attempts(simple_manager: oc.JobManager) -> None:
    """A job that pauses does not keep others from running it."""
    seen: list[object] = []

    class Looks(Pauses):
        def wait(self, seconds: float | None = None) -> bool:
            seen.append(simple_manager.locks.lock_info("x"))
            return super().wait(seconds)

    simple_manager._closing = Looks()
    assert simple_manager.job("x", retries=1)(Flaky(1))() == "success 2"
    assert seen == [None]


def test_a_closing_manager_starts_no_further_attempt(simple_manager: oc.JobManager) -> None:
    """The failure is raised, and notice is given of it: no other attempt follows."""
    notified: list[int] = []
    pauses = simple_manager._closing = Pauses(close_at=2)
    job = simple_manager.job("x", retries=9, on_failure=lambda r: notified.append(r["attempt"]))(
        Flaky(9)
    )
    with pytest.raises(ValueError, match="failure 2"):
        job()
    assert len(pauses.seconds) == 2
    assert notified == [2]


def test_a_lost_run_is_not_retried(manager: oc.JobManager) -> None:
    """Another process may be running the job by now."""
    calls: list[int] = []

    @manager.job("x", retries=3, backoff=0)
    def loses() -> None:
        calls.append(1)
        manager.locks.force_unlock("x")

    with pytest.raises(oc.LockLost):
        loses()
    assert len(calls) == 1
    assert statuses(manager, "x") == ["lost"]


def test_a_completed_run_is_not_retried(simple_managers: Managers, meddler: Meddler) -> None:
    """This holds even if the release of the lock failed: the work is done."""
    manager = simple_managers.open(on_locks=meddler)
    flaky = Flaky(0)
    notified: list[object] = []
    job = manager.job("x", retries=3, backoff=0, on_failure=notified.append)(flaky)
    meddler.failing["unlock"] = oc.ChannelUnavailable("locks", "no route", "wait")
    with pytest.raises(oc.ChannelUnavailable):
        job()
    meddler.failing.clear()
    assert flaky.calls == 1
    assert statuses(manager, "x") == ["completed"]
    assert notified == []
