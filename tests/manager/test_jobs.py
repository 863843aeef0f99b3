"""Functions as managed jobs: arguments, what happens if it runs already, retries and notices."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from ojobchannels.testing.kit.pytest_fixtures import WaitObserver
    from tests.manager.conftest import Log, Managers, Meddler


def statuses(manager: oc.JobManager, name: str) -> list[str]:
    """Oldest first."""
    return [record["status"] for record in manager.runs(name)[::-1]]


class Flaky:
    """Fails so many times, then succeeds."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ValueError(f"failure {self.calls}")
        return f"success {self.calls}"


class Pauses(threading.Event):
    """Takes the place of the manager's `closing`: notes the pauses, and does not take them."""

    def __init__(self, close_at: int | None = None) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._close_at = close_at

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return len(self.seconds) == self._close_at


# ------------------------------------------------------------------------------------- the call


def test_a_job_is_called_like_the_function_that_it_is(manager: oc.JobManager) -> None:
    """It takes its arguments and returns its answer, under the lock and with a record."""

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


def test_arguments_that_are_no_json_are_recorded_by_their_repr(
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
    pauses = simple_manager.closing = Pauses()

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
def test_options_that_a_job_does_not_take_are_refused_where_it_is_made(
    simple_manager: oc.JobManager, options: dict[str, Any]
) -> None:
    """Not at its first run in the night."""
    with pytest.raises(oc.InvalidOption, match=next(iter(options))):
        simple_manager.job("x", **options)(Flaky(0))


def test_a_timeout_of_a_job_is_that_of_its_runs(simple_manager: oc.JobManager) -> None:
    """`on_timeout="fail"` fails the run of a function that took too long."""
    passed = threading.Event()

    @simple_manager.job("x", timeout=0.3, on_timeout="fail")
    def slow() -> None:
        run = current_run()
        assert run is not None
        while True:
            run.check()
            passed.wait(0.01)

    with pytest.raises(oc.JobTimeout):
        slow()
    [record] = simple_manager.runs("x")
    assert record["status"] == "failed"
    assert record["duration"] >= 300


# ----------------------------------------------------------------------------------- if_running


def test_if_running_fail_raises_lock_busy(managers: Managers) -> None:
    """The default: whoever calls learns that the job runs elsewhere."""
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


def test_if_running_wait_waits_for_its_turn(
    managers: Managers, observer: WaitObserver, in_background: Callable[..., Future[Any]]
) -> None:
    """For ever, unless `wait` says how long."""
    here, elsewhere = managers.open(on_locks=observer), managers.open()
    job = here.job("x", if_running="wait")(Flaky(0))
    run = elsewhere.start("x")
    answer = in_background(job)
    observer.await_waiters()
    run.end()
    assert answer.result(30) == "success 1"
    assert statuses(here, "x") == ["completed", "completed"]


def test_if_running_wait_gives_up_after_its_time(managers: Managers) -> None:
    """Then it is LockBusy, and a record says skipped."""
    here, elsewhere = managers.open(), managers.open()
    job = here.job("x", if_running="wait", wait=0.05)(Flaky(0))
    with elsewhere.run("x"), pytest.raises(oc.LockBusy):
        job()
    assert statuses(here, "x") == ["completed", "skipped"]


def test_a_busy_lock_within_the_body_is_a_failure_and_no_skip(managers: Managers) -> None:
    """A body that could not start another job failed: told, retried, and never taken for None."""
    here, elsewhere = managers.open(), managers.open()
    told: list[str] = []

    @here.job(
        "outer",
        if_running="skip",
        retries=1,
        backoff=0,
        on_failure=lambda r: told.append(r["runId"]),
    )
    def outer() -> None:
        with here.run("inner"):
            pass

    with elsewhere.run("inner"), pytest.raises(oc.LockBusy, match="'inner'"):
        outer()
    assert statuses(here, "outer") == ["failed", "failed"]
    assert told == [here.runs("outer")[0]["runId"]]


# -------------------------------------------------------------------------------------- retries


def test_a_failed_run_is_followed_by_another_with_a_record_of_its_own(
    manager: oc.JobManager,
) -> None:
    """Each attempt is one run: own id, own lease, own end."""
    manager.closing = Pauses()
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
    pauses = simple_manager.closing = Pauses()
    job = simple_manager.job("x", retries=3, backoff=0.5)(Flaky(9))
    with pytest.raises(ValueError, match="failure 4"):
        job()
    assert pauses.seconds == [0.5, 1, 2]
    assert statuses(simple_manager, "x") == ["failed"] * 4


def test_the_lock_is_free_between_attempts(simple_manager: oc.JobManager) -> None:
    """A job that pauses does not keep others from running it."""
    seen: list[object] = []

    class Looks(Pauses):
        def wait(self, timeout: float | None = None) -> bool:
            seen.append(simple_manager.locks.lock_info("x"))
            return super().wait(timeout)

    simple_manager.closing = Looks()
    assert simple_manager.job("x", retries=1)(Flaky(1))() == "success 2"
    assert seen == [None]


def test_a_manager_that_closes_gives_up_on_retries(simple_manager: oc.JobManager) -> None:
    """The failure is raised, and notice is given of it: no other attempt follows."""
    told: list[int] = []
    pauses = simple_manager.closing = Pauses(close_at=2)
    job = simple_manager.job("x", retries=9, on_failure=lambda r: told.append(r["attempt"]))(
        Flaky(9)
    )
    with pytest.raises(ValueError, match="failure 2"):
        job()
    assert len(pauses.seconds) == 2
    assert told == [2]


def test_a_run_that_lost_its_lock_is_not_tried_again(manager: oc.JobManager) -> None:
    """Somebody else runs the job by now."""
    calls: list[int] = []

    @manager.job("x", retries=3, backoff=0)
    def loses() -> None:
        calls.append(1)
        manager.locks.force_unlock("x")

    with pytest.raises(oc.LockLost):
        loses()
    assert len(calls) == 1
    assert statuses(manager, "x") == ["lost"]


def test_a_run_that_is_recorded_as_completed_is_not_tried_again(
    simple_managers: Managers, meddler: Meddler
) -> None:
    """Also if giving back the lock failed: the work is done."""
    manager = simple_managers.open(on_locks=meddler)
    flaky = Flaky(0)
    told: list[object] = []
    job = manager.job("x", retries=3, backoff=0, on_failure=told.append)(flaky)
    meddler.failing["unlock"] = oc.ChannelUnavailable("locks", "no route", "wait")
    with pytest.raises(oc.ChannelUnavailable):
        job()
    meddler.failing.clear()
    assert flaky.calls == 1
    assert statuses(manager, "x") == ["completed"]
    assert told == []


# -------------------------------------------------------------------------------------- notices


def test_notice_is_given_of_the_last_failure_with_its_record(manager: oc.JobManager) -> None:
    """Once, when no attempt is left, with the record as it stands in the channel."""
    told: list[dict[str, Any]] = []
    manager.closing = Pauses()
    job = manager.job("x", retries=2, on_failure=told.append)(Flaky(3))
    with pytest.raises(ValueError, match="failure 3"):
        job()
    assert told == [manager.runs("x")[0]]
    assert told[0]["attempt"] == 3
    assert told[0]["status"] == "failed"


def test_no_notice_is_given_of_success_or_a_skip(managers: Managers) -> None:
    """Nothing failed."""
    told: list[dict[str, Any]] = []
    here, elsewhere = managers.open(on_failure=told.append), managers.open()
    here.closing = Pauses()
    assert here.job("a", retries=1, on_failure=told.append)(Flaky(1))() == "success 2"
    with elsewhere.run("b"):
        assert here.job("b", if_running="skip")(Flaky(0))() is None
        with pytest.raises(oc.LockBusy):
            here.job("b")(Flaky(0))()
    assert told == []


def test_notice_may_be_a_job_that_is_launched_with_the_record(managers: Managers) -> None:
    """It gets the record as `run`, and is a managed run itself."""
    manager = managers.open()
    told: list[str] = []

    @manager.job("alert")
    def alert(run: dict[str, Any]) -> None:
        told.append(f"{run['name']}: {run['error']}")

    with pytest.raises(ValueError, match="failure 1"):
        manager.job("x", on_failure="alert")(Flaky(1))()
    manager.close()
    assert told == ["x: ValueError: failure 1"]
    assert statuses(manager, "alert") == ["completed"]


def test_the_manager_s_notice_is_for_jobs_without_their_own(simple_managers: Managers) -> None:
    """The job's own takes its place."""
    default: list[str] = []
    own: list[str] = []
    manager = simple_managers.open(on_failure=lambda record: default.append(record["name"]))
    jobs = [
        manager.job("a")(Flaky(1)),
        manager.job("b", on_failure=lambda record: own.append(record["name"]))(Flaky(1)),
    ]
    for job in jobs:
        with pytest.raises(ValueError, match="failure 1"):
            job()
    assert (default, own) == (["a"], ["b"])


def test_notice_is_given_of_an_interrupted_job(simple_manager: oc.JobManager) -> None:
    """An interrupt ends the job, whatever retries it has left."""
    told: list[str] = []

    @simple_manager.job("x", retries=3, on_failure=lambda record: told.append(record["error"]))
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert told == ["KeyboardInterrupt"]
    assert statuses(simple_manager, "x") == ["failed"]


def test_notice_is_given_of_a_lost_run(simple_manager: oc.JobManager) -> None:
    """A run that lost its lock did not do what it was for."""
    told: list[str] = []

    @simple_manager.job("x", on_failure=lambda record: told.append(record["status"]))
    def loses() -> None:
        simple_manager.locks.force_unlock("x")

    with pytest.raises(oc.LockLost):
        loses()
    assert told == ["lost"]


@pytest.mark.parametrize("notice", ["no-such-job", lambda record: record["no such field"]])
def test_a_notice_that_fails_is_logged_and_hides_nothing(
    simple_manager: oc.JobManager, log: Log, notice: Any
) -> None:
    """The caller gets the failure of the job, not that of the notice."""
    with pytest.raises(ValueError, match="failure 1"):
        simple_manager.job("x", on_failure=notice)(Flaky(1))()
    assert "failure notice of job 'x' failed" in log.wait_for("notice")
    assert statuses(simple_manager, "x") == ["failed"]


def test_a_job_that_gives_notice_gets_none_of_its_own_failure(simple_managers: Managers) -> None:
    """Otherwise an alert that fails would alert for ever, and the manager would never close."""
    manager = simple_managers.open(on_failure="alert")

    @manager.job("alert")
    def alert(run: dict[str, Any]) -> None:
        raise OSError(f"no route to tell of {run['name']}")

    with pytest.raises(ValueError, match="failure 1"):
        manager.job("x")(Flaky(1))()
    manager.close()
    assert statuses(manager, "alert") == ["failed"]


def test_a_job_that_skips_its_run_and_then_fails_still_raises(
    simple_manager: oc.JobManager,
) -> None:
    """`if_running="skip"` is for a lock that is held, not for what the job's own code raises."""

    @simple_manager.job("a", if_running="skip")
    def job() -> None:
        run = current_run()
        assert run is not None
        run.skip("no news")
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        job()


def test_jobs_that_would_give_notice_to_each_other_for_ever_are_refused(
    simple_managers: Managers,
) -> None:
    """The one that closes the circle is, and told is the whole of it; a chain is no circle."""
    manager = simple_managers.open(on_failure="alert")
    manager.job("a", on_failure="b")(Flaky(1))
    manager.job("b", on_failure="c")(Flaky(1))
    with pytest.raises(oc.InvalidOption, match="'c', 'a', 'b' would notify each other") as refused:
        manager.job("c", on_failure="a")(Flaky(1))
    assert refused.value.option == "on_failure"
    manager.job("c")(Flaky(1))
    with pytest.raises(oc.InvalidOption, match="'alert', 'a', 'b', 'c' would notify each other"):
        manager.job("alert", on_failure="a")(Flaky(1))
    manager.job("alert", on_failure=lambda _: None)(Flaky(1))
    assert manager.launch("c", {}).error() is not None
