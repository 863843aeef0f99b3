"""Schedules of an AsyncJobManager, whose jobs run in its event loop."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ojobchannels as oc
from ojobchannels.manager import current_run

if TYPE_CHECKING:
    from ojobchannels.testing.fixtures.schedules import Schedules

BEFORE_TWO = datetime.fromisoformat("2026-03-01T01:59:00Z")


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The channels of a manager, in memory."""
    return dict.fromkeys(("jobs", "locks"), f"simple:?space={tmp_path}")


def test_a_scheduled_coroutine_function_runs_in_the_loop(
    options: dict[str, Any], ojob_schedule: Schedules
) -> None:
    """At its fire time, as a managed run that it can see; other tasks continue meanwhile."""
    manager = oc.AsyncJobManager(**options)
    seen: list[tuple[int, str]] = []

    @manager.job("tick", cron="0 2 * * *")
    async def tick() -> None:
        run = current_run()
        assert run is not None
        seen.append((threading.get_ident(), run.name))

    async def test() -> None:
        async with manager:
            schedules = ojob_schedule(manager.sync, at=BEFORE_TWO)
            await asyncio.to_thread(schedules.advance, 60)
            record = await asyncio.to_thread(schedules.wait_for, "tick")
        assert (record["status"], record["fireDate"]) == ("completed", "2026-03-01T02:00:00.000Z")
        assert seen == [(threading.get_ident(), "tick")]

    asyncio.run(test())


def test_serve_ends_although_it_has_hardly_begun(options: dict[str, Any]) -> None:
    """As in the lifespan of an application that ends at once; nothing is raised."""

    async def test() -> None:
        async with oc.AsyncJobManager(**options) as manager:
            serving = asyncio.create_task(manager.serve())
        await serving

    asyncio.run(test())


def test_serve_ends_with_the_manager(options: dict[str, Any]) -> None:
    """Its task runs schedules and durable launches, and has ended when the manager is closed."""
    manager = oc.AsyncJobManager(**options)

    async def test() -> None:
        ran = asyncio.Event()

        @manager.job("tick", interval=0.1)
        async def tick() -> None:
            ran.set()

        async with manager:
            serving = asyncio.create_task(manager.serve())
            await ran.wait()
            launch = await manager.call(manager.sync.launch, "tick", durable=True)
            assert await manager.call(launch.wait, 60)
            with pytest.raises(oc.JobError, match="serves already"):
                await manager.serve()
        assert serving.done()
        await serving
        with oc.JobManager(**options) as reader:
            assert [daemon.alive for daemon in reader.daemons()] == [False]
            assert {run.status for run in reader.runs("tick")} <= {"completed", "skipped"}

    asyncio.run(test())


def test_a_cancelled_serve_waits_for_its_runs(options: dict[str, Any]) -> None:
    """A run that is active when the task is cancelled completes; no other one starts."""
    manager = oc.AsyncJobManager(**options)

    async def test() -> None:
        began, go = asyncio.Event(), asyncio.Event()

        @manager.job("tick", interval=0.1)
        async def tick() -> None:
            began.set()
            await go.wait()

        async with manager:
            serving = asyncio.create_task(manager.serve())
            await began.wait()
            serving.cancel()
            asyncio.get_running_loop().call_later(0.01, go.set)
            with pytest.raises(asyncio.CancelledError):
                await serving
            number = len(await manager.runs("tick"))
            assert {run.status for run in await manager.runs("tick")} <= {"completed", "skipped"}
            began.clear()
            async with manager.run("other"):
                assert not began.is_set()
            assert len(await manager.runs("tick")) == number

    asyncio.run(test())
