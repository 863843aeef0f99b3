"""Launches whose process died at their end, or went on without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from tests.manager.durable_launches.test_durable_launches import Now, Worker, add

if TYPE_CHECKING:
    from tests.manager.conftest import Managers


@pytest.fixture
def now() -> Now:
    """The clock of the delays."""
    return Now()


def test_a_launch_whose_process_died_after_its_run_ends_as_the_run_did(
    managers: Managers,
) -> None:
    """A run that has completed is not repeated, also if retries are left; its result is lost."""
    manager = managers.open()
    add(manager, lambda: pytest.fail("it ran again"))
    worker = Worker(manager)
    launches = []
    for retries in (0, 1):  # the later one is first
        launch = manager.launch("work", durable=True, retries=retries, priority=-retries)
        die_at_the_end_of_the_run(manager, launch, None)
        launches.append(launch)
    failed = manager.launch("work", durable=True, priority=-2)
    die_at_the_end_of_the_run(manager, failed, ValueError("broken"))
    worker.take_due()
    assert [launch.state for launch in launches] == ["completed"] * 2
    assert launches[0].run_id == manager.runs("work", "completed")[-1]["runId"]
    with pytest.raises(oc.ResultNotKept, match="died"):
        launches[0].result(0)
    assert (failed.state, failed.error) == ("failed", "ValueError: broken")
    assert len(manager.runs("work")) == 3


def die_at_the_end_of_the_run(
    manager: oc.JobManager, launch: oc.DurableLaunch[Any], error: Exception | None
) -> None:
    """Take a launch and make its run; end as a process that is killed before it ends the launch."""
    message = manager._store.take(["work"])
    assert message is not None
    assert message.id == launch.launch_id
    run = manager.start("work", extra={"launchId": launch.launch_id})
    message.note(run=run.run_id, start=run.record["startTime"], begun=1)
    run.end() if error is None else run.fail(error)
    message._lease.to_document()
    assert manager._store._queue.channel.force_unlock(message._lease.name) is not None


def test_a_launch_whose_run_is_active_is_not_tried_again(
    simple_managers: Managers, now: Now
) -> None:
    """Its worker lost the launch and not the run: the launch waits for that, and says so."""
    manager, there = simple_managers.open(), simple_managers.open()
    add(manager, lambda: "again", max_concurrent=2)
    worker = Worker(manager, now)
    launch = manager.launch("work", durable=True)
    message = manager._store.take(["work"])
    assert message is not None
    run = there.start("work", max_concurrent=2)
    message.note(run=run.run_id, start=run.record["startTime"], begun=1)
    manager._store._queue.channel.force_unlock(message._lease.name)
    worker.take_due()
    assert launch.state == "waiting"
    assert "still active" in str(launch.info.reason)
    run.end()
    now.seconds += 1
    worker.take_due()
    assert (launch.state, launch.run_id) == ("completed", run.run_id)


def test_a_late_move_of_an_end_leaves_what_was_launched_again(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end was moved and removed by another process, and the same key launched once more."""
    store = simple_manager._store
    first = simple_manager.launch("work", durable=True, idempotency_key="order 7")
    message = store.take(["work"])
    assert message is not None
    late: list[Any] = []
    with monkeypatch.context() as dying:
        dying.setattr(store, "_move", late.append)
        assert store.end(message, "completed", run_id=None, result=7)
    simple_manager._prune_launches(2**53)
    again = simple_manager.launch("work", durable=True, idempotency_key="order 7")
    assert again.launch_id == first.launch_id
    store._move(late[0])
    assert again.state == "waiting"
    assert store.take(["work"]) is not None


@pytest.mark.parametrize("step", ["set", "unset"])
def test_a_move_of_an_end_that_is_suspended_leaves_what_was_launched_again(
    managers: Managers, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before it stores the end, or between that and the removal: its fence is stale since."""
    manager, other = managers.open(), managers.open()
    store = manager._store
    again: list[oc.DurableLaunch[Any]] = []
    first = manager.launch("work", durable=True, idempotency_key="order 7")
    message = store.take(["work"])
    assert message is not None
    channel = store._ended if step == "set" else store.channel
    request = getattr(channel, step)

    def suspended(*args: Any) -> object:
        monkeypatch.undo()
        other._store.channel.force_unlock(f"launches with keys {first.launch_id[:2]}")
        other._prune_launches(2**53)
        again.append(other.launch("work", durable=True, idempotency_key="order 7"))
        return request(*args)

    monkeypatch.setattr(channel, step, suspended)
    assert store.end(message, "completed", run_id=None, result=7)
    assert again[0].launch_id == first.launch_id
    assert again[0].state == "waiting"
    assert store.take(["work"]) is not None


def test_a_key_that_is_launched_again_while_its_launch_ends_stays_ended(
    simple_manager: oc.JobManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch that is suspended between its look for the key and its write adds nothing."""
    store = simple_manager._store
    first = simple_manager.launch("work", durable=True, idempotency_key="order 7")
    message = store.take(["work"])
    assert message is not None
    add_message = store._queue.add

    def end_before(*args: Any, **options: Any) -> str:
        monkeypatch.undo()
        store.channel.force_unlock(f"launches with keys {first.launch_id[:2]}")
        assert store.end(message, "completed", run_id=None, result=7)
        return add_message(*args, **options)

    monkeypatch.setattr(store._queue, "add", end_before)
    again = simple_manager.launch("work", durable=True, idempotency_key="order 7")
    assert again.launch_id == first.launch_id
    assert (again.state, again.result(0)) == ("completed", 7)
    assert store.take(["work"]) is None


def test_a_prune_that_is_suspended_leaves_the_end_of_a_later_launch(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at the ends and the removal, the key is launched again, and ends again."""
    manager, other = managers.open(), managers.open()
    store = manager._store

    def run_once(result: int) -> oc.DurableLaunch[Any]:
        launch: oc.DurableLaunch[Any] = other.launch(
            "work", durable=True, idempotency_key="order 7"
        )
        message = other._store.take(["work"])
        assert message is not None
        assert other._store.end(message, "completed", run_id=None, result=result)
        return launch

    first = run_once(1)
    remove_end = store._remove_end

    def suspended(*args: Any) -> bool:
        monkeypatch.undo()
        other._prune_launches(2**53)
        run_once(2)
        return remove_end(*args)

    monkeypatch.setattr(store, "_remove_end", suspended)
    assert manager._prune_launches(2**53) == 0
    assert first.result(0) == 2
    assert manager._prune_launches(2**53) == 1
