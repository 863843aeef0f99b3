"""Durable launches: stored at once, taken by any manager that knows the job, ended once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager.durable_launches.info import LONGEST_ARGS, LONGEST_RESULT
from ojobchannels.manager.durable_launches.store import LaunchStore
from ojobchannels.manager.durable_launches.worker import LaunchWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.manager.conftest import Managers


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000_000_000.0

    def __call__(self) -> float:
        return self.seconds


class Worker:
    """A worker without a thread: a test has it take what is due, in the thread of the test."""

    def __init__(self, manager: oc.JobManager, now: Now | None = None) -> None:
        self.store = LaunchStore(manager._channels, now or manager._store._now)
        manager._store = self.store
        self.worker = LaunchWorker(self.store, manager._registry, manager, lambda: 4, self._run)

    def _run(self, _name: str, call: Callable[[], None]) -> None:
        call()

    def take_due(self) -> None:
        self.worker.take_due()


@pytest.fixture
def now() -> Now:
    """The clock of the delays."""
    return Now()


def add(manager: oc.JobManager, body: Callable[..., Any], **options: Any) -> None:
    manager.job("work", **options)(body)


def test_a_launch_is_stored_and_taken_by_another_manager_that_knows_the_job(
    managers: Managers,
) -> None:
    """The manager that launches needs no job; the record of the run leads back to the launch."""
    here, there = managers.open(), managers.open()
    add(there, lambda days: {"removed": days})

    launch = here.launch("work", {"days": 7}, durable=True)
    assert here.launches()[0].id == launch.launch_id
    assert (launch.state, launch.done()) == ("waiting", False)
    Worker(there).take_due()

    assert launch.result(0) == here.launch_result(launch.launch_id) == {"removed": 7}
    assert launch.state == "completed"
    (record,) = here.runs("work")
    assert (record["launchId"], record["runId"]) == (launch.launch_id, launch.run_id)


def test_a_launch_of_an_unknown_job_stays_visible(simple_managers: Managers) -> None:
    """It waits, and says who would take it; it can be cancelled."""
    here, there = simple_managers.open(), simple_managers.open()
    add(there, lambda: None)
    unknown = here.launch("unknown", durable=True)
    worker = Worker(there)
    worker.take_due()
    assert (unknown.state, unknown.info.takers) == ("waiting", ())

    known = here.launch("work", durable=True, delay=3600)
    assert len(known.info.takers) == 1
    assert [info.takers == known.info.takers for info in here.launches()] == [False, True]

    assert here.cancel_launch(unknown.launch_id)
    assert not here.cancel_launch(unknown.launch_id)
    with pytest.raises(oc.LaunchFailed, match="cancelled"):
        unknown.result(0)


def test_a_failure_is_tried_again_while_retries_are_left(
    simple_managers: Managers, now: Now
) -> None:
    """Each attempt has a record; the pauses are those of the job, and notices come at the end."""
    failed: list[str] = []
    manager = simple_managers.open(on_failure=lambda record: failed.append(record["status"]))

    def body() -> None:
        raise ValueError("broken")

    add(manager, body, backoff=10)
    worker = Worker(manager, now)
    launch = manager.launch("work", durable=True, retries=1)
    worker.take_due()
    assert (launch.state, launch.info.error, failed) == ("waiting", "ValueError: broken", [])
    worker.take_due()
    assert len(manager.runs("work")) == 1

    now.seconds += 10
    worker.take_due()
    assert (launch.state, failed) == ("failed", ["failed"])
    assert [record["attempt"] for record in manager.runs("work")] == [2, 1]
    with pytest.raises(oc.LaunchFailed, match="ValueError: broken"):
        manager.launch_result(launch.launch_id)


def test_without_an_option_the_retries_are_those_of_the_job(
    simple_manager: oc.JobManager, now: Now
) -> None:
    """The manager that takes the launch knows them."""
    calls: list[int] = []

    def body() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError
        return "done"

    add(simple_manager, body, retries=1)
    worker = Worker(simple_manager, now)
    launch = simple_manager.launch("work", durable=True)
    worker.take_due()
    now.seconds += 1
    worker.take_due()
    assert launch.result(0) == "done"


def test_the_same_key_is_the_same_launch(managers: Managers) -> None:
    """Also after its end; another job with the key is another launch."""
    manager = managers.open()
    calls: list[int] = []
    add(manager, lambda number: calls.append(number))
    manager.job("other")(lambda number: calls.append(-number))
    worker = Worker(manager)
    first = manager.launch("work", {"number": 1}, durable=True, idempotency_key="order 7")
    again = manager.launch("work", {"number": 2}, durable=True, idempotency_key="order 7")
    worker.take_due()
    late = manager.launch("work", {"number": 3}, durable=True, idempotency_key="order 7")
    manager.launch("other", {"number": 4}, durable=True, idempotency_key="order 7")
    worker.take_due()
    assert first.launch_id == again.launch_id == late.launch_id
    assert calls == [1, -4]


def test_the_lowest_priority_is_first_and_a_delay_is_kept(
    simple_manager: oc.JobManager, now: Now
) -> None:
    """Equal ones come in the order of launching."""
    calls: list[str] = []
    add(simple_manager, lambda name: calls.append(name))
    worker = Worker(simple_manager, now)
    for name, priority, delay in (("a", 2, 0), ("b", 2, 0), ("c", 1, 0), ("d", 0, 60)):
        options: dict[str, Any] = {"priority": priority, "delay": delay}
        simple_manager.launch("work", {"name": name}, durable=True, **options)
        now.seconds += 1
    worker.take_due()
    assert calls == ["c", "a", "b"]
    now.seconds += 60
    worker.take_due()
    assert calls == ["c", "a", "b", "d"]


def test_a_launch_waits_while_its_job_is_running_elsewhere(
    simple_managers: Managers, now: Now
) -> None:
    """It is not an attempt and leaves no record; a job that skips ends it as skipped."""
    here, there = simple_managers.open(), simple_managers.open()
    add(there, lambda: "ran")
    worker = Worker(there, now)
    launch = here.launch("work", durable=True)
    with here.run("work"):
        worker.take_due()
        assert (launch.state, launch.info.attempts) == ("waiting", 0)
        assert len(here.runs("work")) == 1
    now.seconds += 1
    worker.take_due()
    assert LaunchStore(here._channels).result(launch.launch_id) == "ran"

    add(there, lambda: "ran", if_running="skip")
    skipped = here.launch("work", durable=True)
    with here.run("work"):
        worker.take_due()
    assert (skipped.state, skipped.result(0)) == ("skipped", None)


def die_while_running(manager: oc.JobManager, launch: oc.DurableLaunch[Any]) -> None:
    """Take a launch, begin its run, and end as a process does that is killed."""
    message = manager._store.take(["work"])
    assert message is not None
    assert message.id == launch.launch_id
    message.note(run="the run that died", begun=1)
    message._lease.to_document()  # no longer renewed
    assert manager._store._queue.channel.force_unlock(message._lease.name) is not None


def test_a_launch_whose_process_died_is_tried_again_or_ends_as_abandoned(
    managers: Managers,
) -> None:
    """Never more attempts than its retries allow."""
    manager = managers.open()
    calls: list[int] = []
    add(manager, lambda: calls.append(1))
    worker = Worker(manager)
    retried = manager.launch("work", durable=True, retries=1)
    die_while_running(manager, retried)
    assert retried.state == "waiting"
    worker.take_due()
    assert (retried.state, calls) == ("completed", [1])

    abandoned = manager.launch("work", durable=True)
    die_while_running(manager, abandoned)
    worker.take_due()
    assert (abandoned.state, abandoned.run_id) == ("abandoned", "the run that died")
    assert calls == [1]
    with pytest.raises(oc.LaunchFailed, match="died"):
        abandoned.result(0)


def test_arguments_that_are_too_large_are_refused_before_anything_is_stored(
    simple_manager: oc.JobManager,
) -> None:
    """The message says how large they are, and what to do."""
    with pytest.raises(oc.InvalidValue, match=r"4,194,316 bytes.*pass a key or a path"):
        simple_manager.launch("work", {"text": "x" * (LONGEST_ARGS + 1)}, durable=True)
    assert simple_manager.launches() == []


def test_a_worker_that_lost_a_launch_cannot_end_it(managers: Managers) -> None:
    """The end of the one that has it now counts."""
    manager = managers.open()
    launch = manager.launch("work", durable=True, retries=5)
    store = manager._store
    late = store.take(["work"])
    assert late is not None
    store._queue.channel.force_unlock(late._lease.name)
    present = store.take(["work"])
    assert present is not None
    with pytest.raises(oc.LockLost):
        store.end(late, "completed", run_id=None, result="late")
    assert launch.state == "running"
    assert store.end(present, "completed", run_id=None, result="present")
    assert launch.result(0) == "present"


@pytest.mark.parametrize(
    ("result", "reason"),
    [("x" * LONGEST_RESULT, "65,538 bytes"), ({1, 2}, "not JSON")],
    ids=["too large", "not JSON"],
)
def test_a_result_that_cannot_be_kept_is_an_error_and_never_none(
    simple_manager: oc.JobManager, result: object, reason: str
) -> None:
    """The launch has completed; asking for the result says why there is none."""
    add(simple_manager, lambda: result)
    launch = simple_manager.launch("work", durable=True)
    Worker(simple_manager).take_due()
    assert launch.state == "completed"
    with pytest.raises(oc.ResultNotKept, match=reason):
        launch.result(0)


def test_arguments_that_the_function_does_not_take_end_the_launch(
    simple_manager: oc.JobManager,
) -> None:
    """There is no run, and no further attempt."""
    add(simple_manager, lambda: None)
    launch = simple_manager.launch("work", {"password": "hunter22"}, durable=True, retries=3)
    Worker(simple_manager).take_due()
    assert (launch.state, simple_manager.runs("work")) == ("failed", [])
    assert "hunter22" not in repr([launch.info, *simple_manager._channels.ended_launches.items()])


def test_prune_removes_launches_that_have_ended(managers: Managers) -> None:
    """Those that wait are kept."""
    manager = managers.open()
    add(manager, lambda: None)
    ended = manager.launch("work", durable=True)
    Worker(manager).take_due()
    waiting = manager.launch("work", durable=True)
    manager.prune(older_than=3600)
    assert ended.done()
    manager._prune_launches((ended.info.ended or 0) + 1)
    assert [info.id for info in manager.launches()] == [waiting.launch_id]
    with pytest.raises(oc.UnknownLaunch, match=ended.launch_id):
        ended.result(0)


def test_an_end_that_was_written_but_not_moved_counts(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process died in between; `prune` moves it."""
    launch = simple_manager.launch("work", durable=True)
    store = simple_manager._store
    message = store.take(["work"])
    assert message is not None
    with monkeypatch.context() as dying:
        dying.setattr(store, "_move", lambda _: None)
        assert store.end(message, "completed", run_id=None, result=7)
    assert (launch.state, launch.result(0)) == ("completed", 7)
    assert [info.state for info in simple_manager.launches()] == ["completed"]
    store.prune(0)
    assert (launch.result(0), store._queue.channel.size()) == (7, 0)


def test_the_worker_of_a_manager_takes_launches_until_the_manager_is_closed(
    simple_managers: Managers,
) -> None:
    """`close` waits for the launches that run, and takes no others."""
    manager, other = simple_managers.open(), simple_managers.open()
    began, may_go = threading.Event(), threading.Event()

    def body() -> str:
        began.set()
        assert may_go.wait(60)
        return "went"

    add(manager, body)
    manager.start_worker()
    launch = manager.launch("work", durable=True)
    assert began.wait(60)
    assert (launch.state, launch.info.worker is not None) == ("running", True)
    waiting = other.launch("work", durable=True)
    closing = threading.Thread(target=manager.close)
    closing.start()
    may_go.set()
    closing.join()
    assert other.launch_result(launch.launch_id) == "went"
    assert other._store.find(waiting.launch_id).state in ("waiting", "completed")
    assert other._store.find(waiting.launch_id).takers == ()


def test_a_job_launches_itself_with_the_arguments_of_its_function(
    simple_manager: oc.JobManager,
) -> None:
    """Also positional ones; wrong ones are refused where they are written."""

    @simple_manager.job("work")
    def work(first: int, second: int = 1) -> int:
        return first * second

    assert work.launch(3, second=2).result(60) == 6
    with pytest.raises(TypeError):
        work.launch()  # type: ignore[call-arg]  # wrong


def test_options_of_durable_launches_are_refused_elsewhere(simple_manager: oc.JobManager) -> None:
    """So a launch that is believed to be durable is."""
    add(simple_manager, lambda: None)
    with pytest.raises(oc.InvalidOption, match="durable=True"):
        simple_manager.launch("work", retries=1)  # type: ignore[call-overload]  # wrong
    for retries in (-1, 1.5, True, "3"):
        wrong: Any = retries
        with pytest.raises(oc.InvalidOption, match="retries"):
            simple_manager.launch("work", durable=True, retries=wrong)
    with pytest.raises(oc.InvalidValue):
        simple_manager.launch("work", {"a": {1}}, durable=True)
