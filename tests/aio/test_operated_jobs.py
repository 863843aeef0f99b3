"""Asynchronous jobs that operators cancel, that are launched durably, or whose loop is gone."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc
from ojobchannels.aio.jobs import cancelling


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The channels of a manager, in a database."""
    config = {"type": "db", "args": {"file": str(tmp_path / "jobs.db")}}
    return {"jobs": config, "locks": config}


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel a task as soon as its run is cancelled."""
    monkeypatch.setattr(cancelling, "GRACE_SECONDS", 0)


async def cancel_by_operator(options: dict[str, Any], run_id: str) -> None:
    """Cancel a run as another process does."""

    def cancel() -> None:
        with oc.JobManager(**options) as operator:
            operator.cancel(run_id, reason="it is stuck")

    await asyncio.to_thread(cancel)


def test_a_cancelled_run_ends_its_task(options: dict[str, Any]) -> None:
    """The body gets CancelledError, and the caller RunCancelled; the task itself continues."""
    ends: list[BaseException] = []

    async def body(manager: oc.AsyncJobManager) -> None:
        async with manager.run("endless") as run:
            await cancel_by_operator(options, run.run_id)
            try:
                await asyncio.Event().wait()
            except BaseException as error:
                ends.append(error)
                raise

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            with pytest.raises(oc.RunCancelled, match="it is stuck"):
                await body(manager)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(0)
            (record,) = await manager.runs("endless")
            assert record.status == "cancelled"
            assert "it is stuck" in str(record.error)
            assert manager.sync.locks.locks() == []

    asyncio.run(test())
    assert [type(error) for error in ends] == [asyncio.CancelledError]


def test_a_body_that_ends_in_time_is_completed(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may look at its run, and end by itself before its task is cancelled."""
    monkeypatch.setattr(cancelling, "GRACE_SECONDS", 3600)

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            async with manager.run("polite") as run:
                await cancel_by_operator(options, run.run_id)
                assert await asyncio.to_thread(run.sync.wait, 600)
            assert [each.status for each in await manager.runs()] == ["completed"]

    asyncio.run(test())


def test_a_task_that_others_cancel_too_ends_by_their_cancellation(options: dict[str, Any]) -> None:
    """As with nested timeouts."""

    async def body(manager: oc.AsyncJobManager) -> None:
        async with manager.run("endless") as run:
            task = asyncio.current_task()
            assert task is not None
            await cancel_by_operator(options, run.run_id)
            while not task.cancelling():
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    task.cancel()
                    await asyncio.sleep(3600)

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            with pytest.raises(asyncio.CancelledError):
                await asyncio.create_task(body(manager))
            assert [each.status for each in await manager.runs()] == ["cancelled"]

    asyncio.run(test())


def test_a_job_of_a_worker_thread_is_cancelled_in_the_loop(options: dict[str, Any]) -> None:
    """A durable launch whose run an operator cancels ends as cancelled, and its task with it."""
    manager = oc.AsyncJobManager(**options)
    began, ends = asyncio.Event(), list[BaseException]()

    @manager.job("endless")
    async def endless() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ends.append(error)
            raise

    async def test() -> None:
        async with manager:
            launch = await manager.launch("endless", durable=True)
            await manager.start_worker()
            await began.wait()
            run_id = (await launch.info()).run_id
            assert run_id is not None
            await cancel_by_operator(options, run_id)
            with pytest.raises(oc.LaunchFailed, match="cancelled"):
                await launch

    asyncio.run(test())
    assert [type(error) for error in ends] == [asyncio.CancelledError]


def test_durable_launches_are_shared_with_other_managers(options: dict[str, Any]) -> None:
    """Their results come back, in the loop and elsewhere."""
    manager = oc.AsyncJobManager(**options)

    @manager.job("double")
    async def double(number: int) -> int:
        return 2 * number

    async def test() -> str:
        async with manager:
            waiting = await manager.launch("unknown", durable=True)
            with pytest.raises(TimeoutError):
                await manager.launch_result(waiting.launch_id)
            assert await manager.cancel_launch(waiting.launch_id)
            key: dict[str, Any] = {"durable": True, "idempotency_key": "order 7"}
            first = await manager.launch("double", {"number": 21}, **key)
            again = await manager.launch("double", {"number": 22}, **key)
            assert again.launch_id == first.launch_id
            await manager.start_worker()
            assert await first == await manager.launch_result(again.launch_id, wait=True) == 42
            states = {info.name: info.state for info in await manager.launches()}
            assert states == {"double": "completed", "unknown": "cancelled"}
            with pytest.raises(oc.InvalidOption, match="durable=True"):
                manager.launch("double", retries=1)  # type: ignore[call-overload]  # wrong
            return str(first.launch_id)

    launch_id = asyncio.run(test())
    with oc.JobManager(**options) as other:
        assert other.launch_result(launch_id) == 42


def test_a_job_on_a_thread_ends_when_its_loop_is_closed(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It does not wait without a limit for what nothing runs any more."""
    caplog.set_level(logging.CRITICAL, "ojobchannels.jobs")
    manager = oc.AsyncJobManager(**options)
    began, errors = asyncio.Event(), list[BaseException]()

    @manager.job("endless")
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(manager.open())

    def call() -> None:
        try:
            endless.on_loop()
        except oc.JobError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()

    loop.run_until_complete(began.wait())
    tasks = asyncio.all_tasks(loop)
    loop.close()
    thread.join()
    assert "event loop" in str(errors[0])
    with pytest.raises(oc.JobError, match="event loop"):
        endless.on_loop()
    manager.sync.close()
    manager._calls.close()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # what this test is about
