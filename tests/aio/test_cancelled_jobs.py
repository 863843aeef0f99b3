"""Launches, runs and managers whose task is cancelled, or that end elsewhere than they began."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import ojobchannels as oc


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The channels of a manager, in memory."""
    return dict.fromkeys(("jobs", "locks"), f"simple:?space={tmp_path}")


def test_a_launch_that_is_cancelled_before_it_began_has_ended(options: dict[str, Any]) -> None:
    """Awaiting it raises what a launch that was cancelled later raises."""
    manager = oc.AsyncJobManager(**options)

    @manager.job("report")
    async def report() -> None:
        raise AssertionError

    async def test() -> None:
        async with manager:
            launch = manager.launch("report")
            launch.cancel()
            with pytest.raises(asyncio.CancelledError):
                await launch
            assert launch.done()
            assert launch.state == "failed"

    asyncio.run(test())


async def cancel_with_a_launch(
    manager: oc.AsyncJobManager, options: dict[str, Any], body: Callable[[], Awaitable[object]]
) -> None:
    """Cancel a task that is in the context of a manager, or leaves it, while a launched job runs.

    The run is recorded as failed, and its lock is released.
    """
    entered = asyncio.Event()

    @manager.job("endless")
    async def endless() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def application() -> None:
        async with manager:
            manager.launch("endless")
            await body()

    task = asyncio.create_task(application())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with oc.AsyncJobManager(**options) as other:
        assert [run.status for run in await other.runs()] == ["failed"]
        assert other.sync.locks.locks() == []


def test_a_cancelled_close_cancels_the_launches_and_closes(options: dict[str, Any]) -> None:
    """The runs are recorded as failed, and their locks are released."""

    async def end_at_once() -> None:
        pass

    async def test() -> None:
        manager = oc.AsyncJobManager(**options)
        await cancel_with_a_launch(manager, options, end_at_once)
        with pytest.raises(oc.JobError):
            manager.run("endless")

    asyncio.run(test())


def test_a_cancelled_body_cancels_the_launches(options: dict[str, Any]) -> None:
    """As at Ctrl-C in `asyncio.run`, which would otherwise wait for them."""

    async def test() -> None:
        manager = oc.AsyncJobManager(**options)
        await cancel_with_a_launch(manager, options, lambda: asyncio.Event().wait())

    asyncio.run(test())


def test_an_open_manager_is_not_opened_again(options: dict[str, Any]) -> None:
    """Its channels would stay open."""

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            with pytest.raises(oc.JobError, match="open already"):
                await manager.open()

    asyncio.run(test())


def test_a_run_may_end_in_another_context(options: dict[str, Any]) -> None:
    """As in a fixture, whose end runs in another task than its start."""

    async def fixture(manager: oc.AsyncJobManager) -> AsyncIterator[str]:
        async with manager.run("report") as run:
            yield run.run_id

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            steps = fixture(manager)
            await asyncio.create_task(anext(steps))  # type: ignore[arg-type]  # it is a coroutine
            with pytest.raises(StopAsyncIteration):
                await asyncio.create_task(anext(steps))  # type: ignore[arg-type]  # likewise
            assert [run.status for run in await manager.runs()] == ["completed"]

    asyncio.run(test())


def test_a_failure_is_reported_on_a_thread(options: dict[str, Any]) -> None:
    """A callback that blocks does not stop the loop, whatever ends the job."""
    threads: list[threading.Thread] = []

    def notice(_: Mapping[str, Any]) -> None:
        threads.append(threading.current_thread())

    manager = oc.AsyncJobManager(on_failure=notice, **options)
    entered = asyncio.Event()

    @manager.job("fail", retries=1, backoff=0)
    async def fail() -> None:
        raise ValueError

    @manager.job("endless")
    async def endless() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def test() -> None:
        async with manager:
            with pytest.raises(ValueError):  # noqa: PT011  the function raises no other
                await fail()
            task = asyncio.create_task(endless())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(test())
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_a_job_that_is_cancelled_before_its_retry_is_reported(options: dict[str, Any]) -> None:
    """There is no further attempt, so the failure is final."""
    reported = threading.Event()
    manager = oc.AsyncJobManager(on_failure=lambda _: reported.set(), **options)

    @manager.job("fail", retries=1, backoff=3600)
    async def fail() -> None:
        raise ValueError

    async def test() -> None:
        loop, pauses = asyncio.get_running_loop(), asyncio.Event()

        class Handler(logging.Handler):
            """It notices that the next attempt is to start."""

            def emit(self, record: logging.LogRecord) -> None:
                if "attempt 2" in record.getMessage():
                    loop.call_soon_threadsafe(pauses.set)

        handler = Handler()
        logging.getLogger("ojobchannels.jobs").addHandler(handler)
        try:
            async with manager:
                task = asyncio.create_task(fail())
                await pauses.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        finally:
            logging.getLogger("ojobchannels.jobs").removeHandler(handler)

    asyncio.run(test())
    assert reported.is_set()
